//! What lies where, what is done about it, and what became of that: for people and for programs.

use alloy_primitives::Address;
use anstyle::Style;
use farthing_billing::service::Named as _;
use farthing_funding::collect::{Done, Ended, Left, Lying, Verdict};
use farthing_money::{Amount, Money};
use farthing_rails::tempo::tokens;
use serde_json::{Value, json};

use super::Told;
use crate::cli::billing::collections;
use crate::error::CliError;
use crate::output::{Align, Output, Table, one_line, paint, style};

fn money(chain_id: u64, token: Address, amount: Amount) -> Money {
    Money::new(amount, tokens::asset(chain_id, token))
}

/// One sum a token, in the order of the plan.
fn sum(lying: impl Iterator<Item = (Address, Amount)>) -> Vec<(Address, Amount)> {
    let mut sums: Vec<(Address, Amount)> = Vec::new();
    for (token, amount) in lying {
        match sums.iter_mut().find(|(of, _)| *of == token) {
            Some((_, sum)) => *sum = sum.checked_add(amount).unwrap_or(Amount::MAX),
            None => sums.push((token, amount)),
        }
    }
    sums
}

fn listed(chain_id: u64, sums: &[(Address, Amount)]) -> String {
    let sums = sums.iter().map(|(token, amount)| money(chain_id, *token, *amount).to_string());
    sums.collect::<Vec<_>>().join(" and ")
}

/// What is to be sent, and from how many addresses.
pub fn sums(told: &Told<'_>) -> String {
    let sums = sum(told.plan.collected().map(|it| (it.token, it.moved)));
    let mut indexes: Vec<u32> = told.plan.collected().map(|it| it.index).collect();
    indexes.dedup();
    let many = if indexes.len() == 1 { "address" } else { "addresses" };
    format!("{} from {} {many}", listed(told.chain_id, &sums), indexes.len())
}

/// What is about to be done, for people. Results for programs come at the end.
pub fn plan(told: &Told<'_>, output: Output) -> Result<(), CliError> {
    if output.is_json() {
        return Ok(());
    }
    for earlier in told.earlier {
        output.line(format_args!("Sent earlier: {}", collections::in_words(earlier)))?;
    }
    let mut table = Table::default();
    for lying in &told.plan.lying {
        let (said, style) = match &lying.verdict {
            Verdict::Collect => {
                let fee = money(told.chain_id, lying.fee_token, lying.fee);
                (format!("{} to collect, fee at most {fee}", amount(lying.moved)), style::GOOD)
            }
            Verdict::Leave(left) => (format!("stays: {}", words(left)), style::WARN),
        };
        table.row([
            (money(told.chain_id, lying.token, lying.held).to_string(), style::MONEY, Align::Right),
            (lying.address.to_string(), style::DIM, Align::Left),
            (whose(lying), Style::new(), Align::Left),
            (said, style, Align::Left),
        ]);
    }
    table.lines().into_iter().try_for_each(|line| output.line(line))?;
    let looked_at = told.plan.looked_at;
    if told.plan.lying.is_empty() {
        output.line(format_args!("Nothing lies at any of {looked_at} addresses."))?;
    } else if told.plan.collected().next().is_none() {
        output.line("Nothing is worth collecting.")?;
    } else {
        let fees = sum(told.plan.collected().map(|it| (it.fee_token, it.fee)));
        let fees = listed(told.chain_id, &fees);
        output.line(format_args!("{} to collect; the fees take at most {fees}.", sums(told)))?;
    }
    uncredited(told, output)
}

/// Where what lies there and what customers were credited differ.
fn uncredited(told: &Told<'_>, output: Output) -> Result<(), CliError> {
    let owed = &told.plan.owed;
    let token = |text: &str| text.parse::<Address>().ok();
    let exceptions = sum(owed.exceptions.iter().filter_map(|it| Some((token(&it.token)?, it.amount))));
    if !exceptions.is_empty() {
        output.line(format_args!(
            "Nobody was credited for {} of what came: {} exceptions wait for a person, wherever the money lies.",
            listed(told.chain_id, &exceptions),
            owed.exceptions.len(),
        ))?;
    }
    let unread = sum(owed.unread.iter().map(|it| (it.token, it.amount)));
    if !unread.is_empty() {
        output.line(format_args!(
            "{} came in blocks that the service has not read yet: it will be credited, collected or not.",
            listed(told.chain_id, &unread),
        ))?;
    }
    Ok(())
}

fn amount(amount: Amount) -> String {
    amount.to_decimal(tokens::SCALE)
}

fn whose(lying: &Lying) -> String {
    let owner = lying.owner.as_ref().map(|owner| one_line(&owner.external_id));
    format!("{} ({})", owner.as_deref().unwrap_or("nobody's"), lying.index)
}

fn words(left: &Left) -> String {
    match left {
        Left::CostsMore => "the fee may cost more than it brings".to_owned(),
        Left::BelowMinimum => "less than the minimum".to_owned(),
        Left::NoFee { why } => format!("no fee can be paid: {}", one_line(why)),
        Left::UnderWay { .. } => "an earlier transfer of it may still be executed".to_owned(),
        Left::WouldFail { why } => format!("the chain would not execute it: {}", one_line(why)),
    }
}

/// What became of one transfer, as it ends, for people.
pub fn one(chain_id: u64, done: &Done, output: Output) {
    let from = format!("from {} {}", done.lying.address, whose(&done.lying));
    let money = |amount| money(chain_id, done.lying.token, amount);
    if output.is_json() {
        return;
    }
    // What cannot be written is shown again with the result, whose failure is told.
    let _ = match &done.ended {
        Ended::Collected { amount, hash, .. } => {
            let verb = paint(style::GOOD, "collected");
            output.line(format_args!("{verb} {} {from}  {hash}", paint(style::MONEY, money(*amount))))
        }
        Ended::Left(left) => {
            let verb = paint(style::WARN, "left");
            output.line(format_args!("{verb} {} {from}: {}", money(done.lying.held), words(left)))
        }
        Ended::Failed { why } => {
            let verb = paint(style::BAD, "failed");
            output.line(format_args!("{verb} {} {from}: {}", money(done.lying.moved), one_line(why)))
        }
        Ended::Unknown { hash, why } => {
            let verb = paint(style::WARN, "not known");
            output.line(format_args!("{verb} {} {from}  {hash}: {}", money(done.lying.moved), one_line(why)))
        }
    };
}

/// What was done: a sum for people, everything for programs.
pub fn done(told: &Told<'_>, output: Output) -> Result<(), CliError> {
    let done = told.done.unwrap_or_default();
    if output.is_json() {
        return json(told, output);
    }
    if done.is_empty() {
        return Ok(());
    }
    let collected = sum(done.iter().filter_map(|it| match &it.ended {
        Ended::Collected { amount, .. } => Some((it.lying.token, *amount)),
        _ => None,
    }));
    if !collected.is_empty() {
        let sum = listed(told.chain_id, &collected);
        output.line(format_args!("{} {sum} at {}", paint(style::GOOD, "Collected"), told.to))?;
    }
    if done.iter().any(|it| matches!(it.ended, Ended::Unknown { .. })) {
        output.line("What is not known is looked up by the next run: start it in half a minute.")?;
    }
    Ok(())
}

/// Everything, for programs.
pub fn json(told: &Told<'_>, output: Output) -> Result<(), CliError> {
    if !output.is_json() {
        return Ok(());
    }
    let of = |lying: &Lying| {
        let same = |done: &&Done| (done.lying.index, done.lying.token) == (lying.index, lying.token);
        told.done.unwrap_or_default().iter().find(same)
    };
    let lying: Vec<Value> = told.plan.lying.iter().map(|it| as_json(told, it, of(it))).collect();
    let earlier: Vec<Value> = told.earlier.iter().map(collections::as_json).collect();
    let base = |sums: Vec<(Address, Amount)>| -> Vec<Value> {
        let asset = |token| tokens::asset(told.chain_id, token).code().to_owned();
        sums.into_iter()
            .map(|(token, amount)| json!({ "token": token, "asset": asset(token), "amount_base": amount }))
            .collect()
    };
    let owed = &told.plan.owed;
    let collected = told.done.unwrap_or_default().iter().filter_map(|it| match &it.ended {
        Ended::Collected { amount, .. } => Some((it.lying.token, *amount)),
        _ => None,
    });
    output.json(&json!({
        "chain_id": told.chain_id, "to": told.to, "dry_run": told.done.is_none(),
        "looked_at": told.plan.looked_at, "earlier": earlier, "addresses": lying,
        "to_collect": base(sum(told.plan.collected().map(|it| (it.token, it.moved)))),
        "collected": base(sum(collected)),
        "unread": base(sum(owed.unread.iter().map(|it| (it.token, it.amount)))),
        "exceptions": owed.exceptions,
    }))
}

fn as_json(told: &Told<'_>, lying: &Lying, done: Option<&Done>) -> Value {
    let owner = lying.owner.as_ref();
    let owed = &told.plan.owed;
    let mut value = json!({
        "index": lying.index, "address": lying.address, "token": lying.token,
        "asset": tokens::asset(told.chain_id, lying.token).code(),
        "tenant": owner.map(|it| it.tenant.text()), "customer": owner.map(|it| it.customer.text()),
        "external_id": owner.map(|it| &it.external_id), "held_base": lying.held,
        "exceptions_base": owed.exceptions_at(lying.address, lying.token),
        "unread_base": owed.unread_at(lying.address, lying.token),
        "amount_base": lying.moved, "fee_most_base": lying.fee, "fee_token": lying.fee_token,
    });
    let (state, more) = match (done.map(|done| &done.ended), &lying.verdict) {
        (Some(Ended::Collected { amount, fee_most, fee, hash, block }), _) => (
            "collected",
            json!({
                "amount_base": amount, "fee_most_base": fee_most, "fee_base": fee, "transaction": hash,
                "block": block,
            }),
        ),
        (Some(Ended::Failed { why }), _) => ("failed", json!({ "why": why })),
        (Some(Ended::Unknown { hash, why }), _) => ("unknown", json!({ "transaction": hash, "why": why })),
        (Some(Ended::Left(left)), _) | (None, Verdict::Leave(left)) => {
            ("left", json!({ "reason": reason(left), "why": words(left) }))
        }
        (None, Verdict::Collect) => ("to_collect", json!({})),
    };
    value["state"] = state.into();
    if let (Some(value), Some(more)) = (value.as_object_mut(), more.as_object()) {
        value.extend(more.clone());
    }
    value
}

/// Stable, for programs.
const fn reason(left: &Left) -> &'static str {
    match left {
        Left::CostsMore => "costs_more",
        Left::BelowMinimum => "below_minimum",
        Left::NoFee { .. } => "no_fee",
        Left::UnderWay { .. } => "under_way",
        Left::WouldFail { .. } => "would_fail",
    }
}
