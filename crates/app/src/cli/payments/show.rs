//! `farthing payments show ID`.

use anstyle::Style;
use farthing_client::journal::PaymentRecord;
use farthing_protocol::UnixMs;

use super::{again, cost, words};
use crate::error::CliError;
use crate::output::{Align, Output, Table, style};

pub fn run(record: &PaymentRecord, output: Output) -> Result<(), CliError> {
    if output.is_json() {
        return output.json(&super::json::payment(record));
    }
    let mut table = Table::default();
    for (name, fact) in facts(record) {
        table.row([(name.to_owned(), style::DIM, Align::Left), (fact, Style::new(), Align::Left)]);
    }
    table.lines().into_iter().try_for_each(|line| output.line(line))
}

fn facts(record: &PaymentRecord) -> Vec<(&'static str, String)> {
    let agreed = &record.agreed;
    let mut facts = vec![
        ("payment", record.id.to_string()),
        ("state", words(record).to_owned()),
        ("amount", cost(record)),
        ("for", format!("{} {}", record.target.method, record.target.url)),
        ("paid to", agreed.recipient.clone()),
    ];
    facts.extend(record.cost_base.map(|_| ("held", agreed.to_string())));
    for share in &agreed.shares {
        let amount = share.amount_base.to_decimal(agreed.scale);
        facts.push(("share", format!("{amount} to {}", share.recipient)));
    }
    facts.push(("from", agreed.payer.clone()));
    facts.push(("on", format!("{}, {}", agreed.network, agreed.mode)));
    facts.push(("began", record.began.to_string()));
    facts.push(("changed", record.changed.to_string()));
    facts.extend(record.target.idempotency_key.clone().map(|key| ("key", key)));
    facts.extend(record.status.map(|status| ("answer", status.to_string())));
    facts.extend(record.reference.clone().map(|reference| ("reference", reference)));
    facts.extend(record.settled_at.clone().map(|at| ("settled", at)));
    facts.extend(record.receipt.as_ref().map(|receipt| ("receipt", receipt.to_string())));
    facts.extend(record.why.clone().map(|why| ("because", why)));
    facts.extend(record.decided_by.map(|by| ("decided by", by.name().to_owned())));
    if !record.state.is_final() && !record.in_flight {
        if record.credential.is_some() {
            facts.push(("again", format!("the same payment may still be good: {}", again(record))));
        }
        if agreed.is_metered() {
            facts.push(("counts", super::resolve::until(agreed.charge_at_ms.map(UnixMs::from_ms))));
            facts.push(("decide", super::word::how(record)));
        } else if !record.state.is_known() {
            facts.push(("find out", format!("farthing payments resolve {}", record.id)));
        }
    }
    facts
}
