//! `farthing payments`: what the journal says was paid, what is not known to be, and finding out.

use std::path::PathBuf;

use anstyle::Style;
use clap::Subcommand;
use farthing_client::journal::{PaymentRecord, PaymentState};
use farthing_client::{FileJournal, PaymentId, PaymentJournal};

use super::charge::ServiceArgs;
use super::network::NetworkArgs;
use crate::error::{CliError, Exit};
use crate::output::{Output, style};
use crate::wire;
use filter::FilterArgs;

mod export;
mod filter;
mod json;
mod list;
mod resolve;
mod show;
mod word;

const EXAMPLES: &str = "Examples:
  farthing payments
  farthing payments --open               only those that are not over
  farthing payments --host '*.example.com' --since 7d --state served
  farthing payments 019a3c1e-7b1a-7c3d-9e2f-0123456789ab
  farthing payments resolve --all        ask the chain what became of open ones; pays nothing
  farthing payments resolve 019a3c1e-7b1a-7c3d-9e2f-0123456789ab --cost 0.006 --note 'as on the invoice'
  farthing payments export --format csv --since 2026-01-01 -o 2026.csv";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Only this payment
    id: Option<String>,
    #[command(flatten)]
    list: list::ListArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show payments, the latest last
    List(list::ListArgs),
    /// Show all that is known of one payment, with its receipt
    Show {
        /// Which payment
        id: String,
    },
    /// Learn what became of payments that are open: from the chain; or, of a vendor with an API key, by your word. Pays nothing
    Resolve(ResolveArgs),
    /// Write payments, with their receipts, as JSON or CSV
    Export(ExportArgs),
}

#[derive(Debug, clap::Args)]
struct ResolveArgs {
    /// Which payment
    id: Option<String>,
    /// Every open payment
    #[arg(long, conflicts_with = "id")]
    all: bool,
    #[command(flatten)]
    word: word::WordArgs,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    service: ServiceArgs,
}

#[derive(Debug, clap::Args)]
struct ExportArgs {
    /// As what
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: export::ExportFormat,
    /// Write to this file, which only you may read, instead of standard output
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    filter: FilterArgs,
}

pub async fn run(args: Args, output: Output) -> Result<Exit, CliError> {
    let journal = wire::journal::open()?;
    match (args.command, args.id) {
        (Some(Command::Show { id }), _) | (None, Some(id)) => show::run(&find(&journal, &id)?, output)?,
        (Some(Command::List(more)), _) => list::run(&journal, &args.list.and(more), output)?,
        (Some(Command::Resolve(resolve)), _) => {
            let which = match resolve.id {
                Some(id) => {
                    let record = find(&journal, &id)?;
                    let verdict = resolve.word.verdict(&record)?;
                    resolve::Which::One(Box::new(record), verdict)
                }
                None if resolve.all => resolve::Which::All,
                None => {
                    let message = "it is not said which payment to look up";
                    return Err(CliError::usage("usage", message).help("name one, or add --all"));
                }
            };
            return resolve::run(which, (&resolve.network, resolve.service), output).await;
        }
        (Some(Command::Export(args)), _) => {
            export::run(&journal, args.format, args.out.as_deref(), &args.filter, output)?;
        }
        (None, None) => list::run(&journal, &args.list, output)?,
    }
    Ok(Exit::Ok)
}

/// The payment with this id.
pub fn find(journal: &FileJournal, id: &str) -> Result<PaymentRecord, CliError> {
    let missing = || {
        CliError::usage("no_such_payment", format!("there is no payment {id}"))
            .help("farthing payments lists them")
    };
    let id = PaymentId::parse(id).ok_or_else(missing)?;
    journal.payment(&id).map_err(|error| CliError::from(&error))?.ok_or_else(missing)
}

/// What the payment cost, or will at most: `0.01 PathUSD`.
fn cost(record: &PaymentRecord) -> String {
    format!("{} {}", record.cost().to_decimal(record.agreed.scale), record.agreed.asset)
}

/// The command that presents the payment again.
fn again(record: &PaymentRecord) -> String {
    let (method, url) = (quoted(&record.target.method), quoted(&record.target.url));
    format!("farthing request --payment {} -X {method} {url}", record.id)
}

/// As a word for a shell: a redirect may have led to a URL that a seller wrote.
pub fn quoted(word: &str) -> String {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/@%+,=".contains(&byte);
    if word.bytes().all(safe) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// Where a payment is, in words.
fn words(record: &PaymentRecord) -> &'static str {
    match record.state {
        PaymentState::Served => "served",
        PaymentState::NotPaid => "not paid",
        PaymentState::Forfeited => "paid, not served",
        PaymentState::Charged => "charged, no answer",
        PaymentState::Paid => "paid, to be served",
        _ if record.in_flight => "being paid now",
        _ if record.agreed.is_metered() => "only the vendor knows",
        PaymentState::Refused => "sent, not served",
        _ => "outcome not known",
    }
}

const fn colour(state: PaymentState) -> Style {
    match state {
        PaymentState::Served => style::GOOD,
        PaymentState::NotPaid => style::DIM,
        PaymentState::Forfeited | PaymentState::Charged => style::BAD,
        _ => style::WARN,
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_command_to_copy_runs_nothing_else() {
        let cases = [
            ("https://a.test/x%20y", "https://a.test/x%20y"),
            ("https://a.test/$(id);x", "'https://a.test/$(id);x'"),
            ("https://a.test/'x", "'https://a.test/'\\''x'"),
        ];
        for (word, expected) in cases {
            assert_eq!(quoted(word), expected);
        }
    }
}
