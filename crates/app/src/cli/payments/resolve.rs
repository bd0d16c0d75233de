//! `farthing payments resolve`: asks the rails what became of open payments, and takes a person's word where no rail knows. Pays
//! nothing.

use anstyle::Style;
use farthing_client::journal::{DecidedBy, PaymentRecord};
use farthing_client::{Agent, DecideError, Decided, Resolution, Verdict};
use farthing_protocol::UnixMs;
use serde_json::{Value, json};

use super::again;
use crate::cli::charge::ServiceArgs;
use crate::cli::network::NetworkArgs;
use crate::error::{CliError, Exit};
use crate::output::{Output, one_line, paint, style};
use crate::wire::{buyer, wallet};

/// Which payments are looked up.
pub enum Which {
    /// This one; closed by this word, where one is given.
    One(Box<PaymentRecord>, Option<Verdict>),
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
    let tells = service.is_named();
    let agent = buyer::observer(network, service).await?;
    let (records, all) = match which {
        Which::One(record, Some(verdict)) => {
            let decided = agent.decide(&record.id, verdict).await.map_err(|error| undecided(&error))?;
            let found = [Found { record: *record, resolution: Resolution::Charged(decided) }];
            write(&found, 0, output)?;
            return untold(&found, tells, output);
        }
        Which::One(record, None) => (vec![*record], false),
        Which::All => {
            let open = agent.journal().payments().map_err(|error| CliError::from(&error))?;
            (open.into_iter().filter(|record| !record.state.is_known()).collect(), true)
        }
    };
    // Before what only time ends is swept, so that it is told.
    let (metered, others): (Vec<_>, Vec<_>) =
        records.into_iter().partition(|record| record.agreed.is_metered());
    let mut found = look_at(metered, &agent, output).await?;
    // What died before it sent anything needs nobody to be asked.
    let swept = if all { agent.sweep().await } else { 0 };
    found.extend(look_at(others, &agent, output).await?);
    write(&found, swept, output)?;
    untold(&found, tells, output)?;
    Ok(if found.iter().all(|found| is_known(&found.resolution)) { Exit::Ok } else { Exit::Unknown })
}

async fn look_at(records: Vec<PaymentRecord>, agent: &Agent, output: Output) -> Result<Vec<Found>, CliError> {
    let mut found = Vec::new();
    for record in records {
        let what = format!("asking about {}", record.id);
        let resolution = output.progress(what, look(agent, &record)).await?;
        found.push(Found { record, resolution });
    }
    Ok(found)
}

async fn look(agent: &Agent, record: &PaymentRecord) -> Result<Resolution, CliError> {
    agent.resolve(&record.id).await.map_err(|error| CliError::from(&error))
}

fn undecided(error: &DecideError) -> CliError {
    let cli = match error {
        DecideError::Journal(error) => return CliError::from(error),
        error => CliError::usage(error.code(), error.to_string()),
    };
    match error {
        DecideError::Answerable { payment, .. } => {
            cli.help(format!("ask: farthing payments resolve {payment}"))
        }
        _ => cli,
    }
}

/// Says where a wallet still holds the money of a payment that is closed: its service was not named.
fn untold(found: &[Found], tells: bool, output: Output) -> Result<Exit, CliError> {
    for Found { record, resolution } in found.iter().filter(|found| !tells && is_known(&found.resolution)) {
        let closed = !matches!(resolution, Resolution::Moved { .. });
        if let Some(service) = wallet::holding(&record.id)?.filter(|_| closed) {
            output.warn(format_args!(
                "a wallet at {service} still holds the money of {}; tell it: farthing payments resolve --all --billing-url {service}",
                record.id
            ));
        }
    }
    Ok(Exit::Ok)
}

const fn is_known(resolution: &Resolution) -> bool {
    !matches!(
        resolution,
        Resolution::Pending
            | Resolution::OnlyVendorKnows { .. }
            | Resolution::NotFound { .. }
            | Resolution::InFlight
    )
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
        if matches!(resolution, Resolution::OnlyVendorKnows { .. }) {
            output.line(format_args!("  {}", super::word::how(record)))?;
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
        Resolution::Charged(decided) => (style::GOOD, word(record, decided)),
        Resolution::OnlyVendorKnows { charge_at } => {
            (style::WARN, format!("only the vendor knows whether it counted the call; {}", until(*charge_at)))
        }
        Resolution::Pending => {
            (style::WARN, "not known yet; ask again later, and do not pay again".to_owned())
        }
        Resolution::NotFound { why } => (style::BAD, format!("could not be looked up: {}", one_line(why))),
        _ => (style::WARN, "not known".to_owned()),
    }
}

fn word(record: &PaymentRecord, decided: &Decided) -> String {
    let whose = match decided.by {
        DecidedBy::Person => "as you say",
        DecidedBy::Policy => "as the policy says, because nobody said otherwise in time",
    };
    if decided.cost.is_zero() {
        return format!("not charged, {whose}; its money is free again");
    }
    let (cost, asset) = (decided.cost.to_decimal(record.agreed.scale), &record.agreed.asset);
    format!("charged {cost} {asset}, {whose}")
}

/// Until when money stays held.
pub fn until(charge_at: Option<UnixMs>) -> String {
    charge_at.map_or_else(
        || "held until somebody says what it cost".to_owned(),
        |at| format!("held until somebody says what it cost, and charged in full from {at} on"),
    )
}

fn as_json(Found { record, resolution }: &Found) -> Value {
    let (fate, reference, why) = match resolution {
        Resolution::Closed => ("closed", None, None),
        Resolution::InFlight => ("in_flight", None, None),
        Resolution::NotSent => ("not_sent", None, None),
        Resolution::CannotMove { why } => ("cannot_move", None, Some(why)),
        Resolution::Moved { reference } => ("moved", Some(reference), None),
        Resolution::NotFound { why } => ("not_found", None, Some(why)),
        Resolution::Charged(decided) if decided.cost.is_zero() => ("not_charged", None, None),
        Resolution::Charged(_) => ("charged", None, None),
        Resolution::OnlyVendorKnows { .. } => ("only_vendor_knows", None, None),
        _ => ("pending", None, None),
    };
    let (cost, decided_by, charge_at) = match resolution {
        Resolution::Charged(decided) => {
            (Some(decided.cost.to_decimal(record.agreed.scale)), Some(decided.by), None)
        }
        Resolution::OnlyVendorKnows { charge_at } => (None, None, charge_at.map(|at| at.to_string())),
        _ => (None, None, None),
    };
    json!({
        "id": record.id.as_str(), "fate": fate, "known": is_known(resolution), "reference": reference, "why": why,
        "amount": record.agreed.amount_base.to_decimal(record.agreed.scale), "asset": record.agreed.asset,
        "cost": cost, "decided_by": decided_by, "charge_at": charge_at,
    })
}
