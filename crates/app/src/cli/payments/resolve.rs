//! `farthing payments resolve`: asks the rails what became of open payments. Pays nothing.

use anstyle::Style;
use farthing_client::journal::PaymentRecord;
use farthing_client::{Agent, Resolution};
use serde_json::{Value, json};

use super::again;
use crate::cli::charge::ServiceArgs;
use crate::cli::network::NetworkArgs;
use crate::error::{CliError, Exit};
use crate::output::{Output, one_line, paint, style};
use crate::wire::buyer;

/// Which payments are looked up.
pub enum Which {
    /// This one.
    One(Box<PaymentRecord>),
    /// Every one that is open.
    All,
}

/// What was learnt of one payment.
struct Found {
    record: PaymentRecord,
    resolution: Resolution,
}

pub async fn run(
    which: Which,
    (network, service): (&NetworkArgs, ServiceArgs),
    output: Output,
) -> Result<Exit, CliError> {
    let agent = buyer::observer(network, service).await?;
    let (records, swept) = match which {
        Which::One(record) => (vec![*record], 0),
        // What died before it sent anything needs nobody to be asked.
        Which::All => {
            let open = agent.journal().payments().map_err(|error| CliError::from(&error))?;
            let open = open.into_iter().filter(|record| !record.state.is_known()).collect();
            (open, agent.sweep().await)
        }
    };
    let mut found = Vec::new();
    for record in records {
        let what = format!("asking about {}", record.id);
        let resolution = output.progress(what, look(&agent, &record)).await?;
        found.push(Found { record, resolution });
    }
    write(&found, swept, output)?;
    Ok(if found.iter().all(|found| is_known(&found.resolution)) { Exit::Ok } else { Exit::Unknown })
}

async fn look(agent: &Agent, record: &PaymentRecord) -> Result<Resolution, CliError> {
    agent.resolve(&record.id).await.map_err(|error| CliError::from(&error))
}

const fn is_known(resolution: &Resolution) -> bool {
    !matches!(resolution, Resolution::Pending | Resolution::NotFound { .. } | Resolution::InFlight)
}

fn write(found: &[Found], swept: usize, output: Output) -> Result<(), CliError> {
    if output.is_json() {
        let payments: Vec<Value> = found.iter().map(as_json).collect();
        return output.json(&json!({ "payments": payments, "given_back": swept }));
    }
    if found.is_empty() {
        output.note("there is no open payment whose outcome is not known");
    }
    for Found { record, resolution } in found {
        let (style, words) = words(record, resolution);
        output.line(format_args!("{}  {}  {}", record.id, record.agreed, paint(style, words)))?;
        if matches!(resolution, Resolution::Moved { .. }) && record.credential.is_some() {
            output.line(format_args!("  the call may still be had, without paying: {}", again(record)))?;
        }
    }
    Ok(())
}

fn words(record: &PaymentRecord, resolution: &Resolution) -> (Style, String) {
    match resolution {
        Resolution::Closed => (style::DIM, format!("was closed before: {}", super::words(record))),
        Resolution::InFlight => (style::WARN, "a process is at work on it; left alone".to_owned()),
        Resolution::NotSent => (style::GOOD, "never sent; nothing was paid".to_owned()),
        Resolution::CannotMove { why } => {
            (style::GOOD, format!("can no longer be taken; nothing was paid ({})", one_line(why)))
        }
        Resolution::Moved { reference } => (style::WARN, format!("paid: {}", one_line(reference))),
        Resolution::Pending => {
            (style::WARN, "not known yet; ask again later, and do not pay again".to_owned())
        }
        Resolution::NotFound { why } => (style::BAD, format!("could not be looked up: {}", one_line(why))),
        _ => (style::WARN, "not known".to_owned()),
    }
}

fn as_json(Found { record, resolution }: &Found) -> Value {
    let (fate, reference, why) = match resolution {
        Resolution::Closed => ("closed", None, None),
        Resolution::InFlight => ("in_flight", None, None),
        Resolution::NotSent => ("not_sent", None, None),
        Resolution::CannotMove { why } => ("cannot_move", None, Some(why)),
        Resolution::Moved { reference } => ("moved", Some(reference), None),
        Resolution::NotFound { why } => ("not_found", None, Some(why)),
        _ => ("pending", None, None),
    };
    json!({
        "id": record.id.as_str(), "fate": fate, "known": is_known(resolution), "reference": reference, "why": why,
        "amount": record.agreed.amount_base.to_decimal(record.agreed.scale), "asset": record.agreed.asset,
    })
}
