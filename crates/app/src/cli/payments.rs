//! `farthing payments`: what the journal says was paid, and what is not known to be.

use anstyle::Style;
use farthing_client::journal::{PaymentRecord, PaymentState};
use farthing_client::{FileJournal, PaymentId, PaymentJournal};
use serde_json::{Value, json};

use crate::config::env;
use crate::error::{CliError, Exit};
use crate::output::{Align, Output, Table, style};

/// The journal's file in Farthing's directory.
pub const JOURNAL: &str = "payments.jsonl";

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  farthing payments\n  farthing payments --open      only those whose outcome is not known\n  farthing payments 019a3c1e-7b1a-7c3d-9e2f-0123456789ab")]
pub struct Args {
    /// Only this payment
    id: Option<String>,
    /// Only payments whose outcome is not known
    #[arg(long)]
    open: bool,
    /// How many, counted from the latest
    #[arg(long, default_value_t = 20)]
    last: usize,
}

pub fn run(args: &Args, output: Output) -> Result<Exit, CliError> {
    let journal = FileJournal::new(env::home()?.join(JOURNAL));
    if let Some(id) = &args.id {
        let missing = || {
            CliError::usage("no_such_payment", format!("there is no payment {id}")).help("farthing payments lists them")
        };
        let record = journal.payment(&PaymentId::parse(id).ok_or_else(missing)?).map_err(|e| CliError::from(&e))?;
        let record = record.ok_or_else(missing)?;
        show(&record, output)?;
        return Ok(Exit::Ok);
    }
    let mut records = journal.payments().map_err(|e| CliError::from(&e))?;
    records.retain(|record| !args.open || !record.state.is_final());
    let records = &records[records.len().saturating_sub(args.last)..];
    if output.is_json() {
        output.json(&json!({ "payments": records.iter().map(to_json).collect::<Vec<_>>() }))?;
        return Ok(Exit::Ok);
    }
    if records.is_empty() {
        output.note(if args.open { "every payment's outcome is known" } else { "nothing was paid yet" });
        return Ok(Exit::Ok);
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
    table.lines().into_iter().try_for_each(|line| output.line(line))?;
    Ok(Exit::Ok)
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
    let mut table = Table::default();
    for (name, fact) in facts {
        table.row([(name.to_owned(), style::DIM, Align::Left), (fact, Style::new(), Align::Left)]);
    }
    table.lines().into_iter().try_for_each(|line| output.line(line))
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
