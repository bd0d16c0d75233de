//! `farthing payments`: what the journal says was paid, and what is not known to be.

use anstyle::Style;
use clap::Subcommand;
use farthing_client::journal::{PaymentRecord, PaymentState};
use farthing_client::{FileJournal, PaymentId, PaymentJournal};
use serde_json::{Value, json};

use crate::config::env;
use crate::error::{CliError, Exit};
use crate::output::{Align, Output, Table, style};

/// The journal's file in Farthing's directory.
const JOURNAL: &str = "payments.jsonl";

const EXAMPLES: &str = "Examples:
  farthing payments
  farthing payments --open      only those whose outcome is not known
  farthing payments 019a3c1e-7b1a-7c3d-9e2f-0123456789ab";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Only this payment
    id: Option<String>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show payments, the latest last
    List(ListArgs),
    /// Show all that is known of one payment
    Show {
        /// Which payment
        id: String,
    },
}

/// How many payments are listed.
const LAST: usize = 20;

#[derive(Debug, Clone, Copy, clap::Args)]
struct ListArgs {
    /// Only payments whose outcome is not known
    #[arg(long)]
    open: bool,
    /// How many, counted from the latest [default: 20]
    #[arg(long, value_name = "COUNT")]
    last: Option<usize>,
}

impl ListArgs {
    /// Options count before `list` and after it.
    const fn and(self, more: Self) -> Self {
        let last = if more.last.is_some() { more.last } else { self.last };
        Self { open: self.open || more.open, last }
    }
}

pub fn run(args: &Args, output: Output) -> Result<Exit, CliError> {
    let journal = journal()?;
    match (&args.command, &args.id) {
        (Some(Command::Show { id }), _) | (None, Some(id)) => show(&find(&journal, id)?, output)?,
        (Some(Command::List(more)), _) => list(&journal, args.list.and(*more), output)?,
        (None, None) => list(&journal, args.list, output)?,
    }
    Ok(Exit::Ok)
}

fn list(journal: &FileJournal, args: ListArgs, output: Output) -> Result<(), CliError> {
    let mut records = journal.payments().map_err(|e| CliError::from(&e))?;
    records.retain(|record| !args.open || !record.state.is_final());
    let records = &records[records.len().saturating_sub(args.last.unwrap_or(LAST))..];
    if output.is_json() {
        return output.json(&json!({ "payments": records.iter().map(to_json).collect::<Vec<_>>() }));
    }
    if records.is_empty() {
        output.note(if args.open { "every payment's outcome is known" } else { "nothing was paid yet" });
        return Ok(());
    }
    let mut table = Table::default();
    for record in records {
        table.row([
            (record.began.to_string(), style::DIM, Align::Left),
            (record.agreed.to_string(), style::MONEY, Align::Right),
            (words(record.state).to_owned(), colour(record.state), Align::Left),
            (record.target.url.clone(), Style::new(), Align::Left),
            (record.id.to_string(), style::DIM, Align::Left),
        ]);
    }
    table.lines().into_iter().try_for_each(|line| output.line(line))
}

/// The journal in Farthing's directory.
pub fn journal() -> Result<FileJournal, CliError> {
    Ok(FileJournal::new(env::home()?.join(JOURNAL)))
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

fn show(record: &PaymentRecord, output: Output) -> Result<(), CliError> {
    if output.is_json() {
        return output.json(&to_json(record));
    }
    let agreed = &record.agreed;
    let mut facts = vec![
        ("payment", record.id.to_string()),
        ("state", words(record.state).to_owned()),
        ("amount", agreed.to_string()),
        ("for", format!("{} {}", record.target.method, record.target.url)),
        ("paid to", agreed.recipient.clone()),
        ("from", agreed.payer.clone()),
        ("on", format!("{}, {}", agreed.network, agreed.mode)),
        ("began", record.began.to_string()),
        ("changed", record.changed.to_string()),
    ];
    facts.extend(record.status.map(|status| ("answer", status.to_string())));
    facts.extend(record.reference.clone().map(|reference| ("reference", reference)));
    facts.extend(record.why.clone().map(|why| ("because", why)));
    if !record.state.is_final() && record.credential.is_some() {
        let again = format!(
            "farthing request --payment {} -X {} {}",
            record.id,
            quoted(&record.target.method),
            quoted(&record.target.url)
        );
        facts.push(("again", format!("the same payment may still be good: {again}")));
    }
    let mut table = Table::default();
    for (name, fact) in facts {
        table.row([(name.to_owned(), style::DIM, Align::Left), (fact, Style::new(), Align::Left)]);
    }
    table.lines().into_iter().try_for_each(|line| output.line(line))
}

/// As a word for a shell: a redirect may have led to a URL that a seller wrote.
fn quoted(word: &str) -> String {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/@%+,=".contains(&byte);
    if word.bytes().all(safe) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

fn to_json(record: &PaymentRecord) -> Value {
    json!({
        "id": record.id.as_str(),
        "state": record.state,
        "final": record.state.is_final(),
        "began": record.began.to_string(),
        "changed": record.changed.to_string(),
        "target": record.target,
        "agreed": record.agreed,
        "status": record.status,
        "reference": record.reference,
        "why": record.why,
    })
}

const fn words(state: PaymentState) -> &'static str {
    match state {
        PaymentState::Served => "served",
        PaymentState::NotPaid => "not paid",
        PaymentState::Refused => "sent, not served",
        _ => "outcome not known",
    }
}

const fn colour(state: PaymentState) -> Style {
    match state {
        PaymentState::Served => style::GOOD,
        PaymentState::NotPaid => style::DIM,
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
