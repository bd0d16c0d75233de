//! `--dry-run`: what a call would cost, who would be paid, and what the policy says to it. Pays nothing.

use anstyle::Style;
use farthing_client::policy::UNITS_SCALE;
use farthing_client::{BudgetPreview, OfferPreview, Preview};
use farthing_money::Amount;
use farthing_protocol::ports::{FeeBearer, Quote};
use serde_json::{Value, json};

use crate::cli::policy::explain;
use crate::config::network;
use crate::error::{CliError, Exit};
use crate::output::{Align, Output, Table, one_line, paint, style};

/// Writes what the seller asks for. Ends like the call would: refused where nothing may be paid.
pub fn write(preview: &Preview, output: Output) -> Result<Exit, CliError> {
    if output.is_json() {
        output.json(&as_json(preview))?;
        return Ok(exit(preview));
    }
    if preview.status != 402 {
        output.line(format_args!(
            "{} asks for nothing: it answered {}. The request was carried out.",
            preview.url, preview.status
        ))?;
        return Ok(Exit::Ok);
    }
    if let Some(why) = &preview.unreadable {
        output.warn(format_args!("one way to pay cannot be read: {}", one_line(why)));
    }
    if preview.offers.is_empty() {
        output.line(format_args!("{} asks for a payment of another kind (402).", preview.url))?;
        return Ok(Exit::Ok);
    }
    let several = if preview.offers.len() > 1 { Several::Yes } else { Several::No };
    for (index, offer) in preview.offers.iter().enumerate() {
        let mark = if preview.chosen == Some(index) { paint(style::GOOD, "*") } else { " ".to_owned() };
        print_offer(offer, &mark, several, output)?;
    }
    if let Some(payment) = &preview.earlier {
        output.line(format_args!(
            "{}: the payment {payment} for this same request is open. The call would present it again instead of paying; \
             see farthing payments {payment}",
            paint(style::WARN, "paid before")
        ))?;
    }
    if let Some(question) = &preview.question {
        output.line(format_args!(
            "{}: on a terminal, whether {} may be paid",
            paint(style::WARN, "would be asked"),
            one_line(&question.host)
        ))?;
    }
    match &preview.refusal {
        Some(refusal) => output.line(format_args!(
            "{}: {}",
            paint(style::BAD, "would be refused"),
            one_line(&refusal.why)
        ))?,
        None => output.line(format_args!("{}. Nothing was paid.", paint(style::GOOD, "would be paid")))?,
    }
    Ok(exit(preview))
}

fn exit(preview: &Preview) -> Exit {
    if preview.refusal.is_some() { Exit::Refused } else { Exit::Ok }
}

/// Whether there are several offers: the verdict on the only one is the last line anyway.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Several {
    Yes,
    No,
}

fn print_offer(offer: &OfferPreview, mark: &str, several: Several, output: Output) -> Result<(), CliError> {
    let challenge = &offer.challenge;
    let quote = match &offer.quote {
        Ok(quote) => quote,
        Err(declined) => {
            let what = one_line(&format!("{} {}: {}", challenge.method, challenge.intent, declined.why));
            return output.line(format_args!("{mark} {what}"));
        }
    };
    let money = paint(style::MONEY, one_line(&quote.money.to_string()));
    output.line(format_args!("{mark} {money} by {}", challenge.method))?;
    let mut facts = vec![
        ("to", quote.recipient.clone()),
        ("from", quote.payer.clone()),
        ("on", chain(&quote.network)),
        ("how", quote.mode.to_owned()),
        ("fee", fee_words(quote.fee).to_owned()),
        ("realm", challenge.realm.clone()),
    ];
    for share in &quote.shares {
        let amount = share.amount.to_decimal(quote.money.asset().scale());
        facts.push(("share", format!("{amount} to {}", share.recipient)));
    }
    facts.extend(challenge.description.clone().map(|text| ("for", text.chars().take(200).collect())));
    facts.extend(challenge.expires.clone().map(|text| ("until", text.chars().take(200).collect())));
    if let (Err(refusal), Several::Yes) = (&offer.verdict, several) {
        facts.push(("policy", refusal.why.clone()));
    }
    for budget in &offer.budgets {
        let units = |amount: Amount| amount.to_decimal(UNITS_SCALE);
        facts.push(("left", format!("{} of the limit of {}", units(budget.left), budget.rule)));
    }
    let mut table = Table::default();
    for (name, fact) in facts {
        table.row([(name.to_owned(), style::DIM, Align::Left), (fact, Style::new(), Align::Left)]);
    }
    table.lines().into_iter().try_for_each(|line| output.line(line))?;
    // Why, rule by rule.
    offer.checks.iter().try_for_each(|check| output.line(format_args!("  {}", explain::check_line(check))))
}

fn as_json(preview: &Preview) -> Value {
    let offers: Vec<Value> = preview.offers.iter().map(offer_json).collect();
    json!({
        "dry_run": true,
        "url": preview.url.as_str(),
        "status": preview.status,
        "offers": offers,
        "chosen": preview.chosen,
        "decision": match (&preview.refusal, preview.chosen) {
            (Some(_), _) => "refused",
            (None, Some(_)) => "would_pay",
            (None, None) => "nothing_to_pay",
        },
        "refusal": preview.refusal.as_ref().map(|r| json!({ "code": r.code, "message": r.why })),
        "would_ask_about": preview.question.as_ref().map(|question| &question.host),
        "earlier_payment": preview.earlier.as_ref().map(farthing_client::PaymentId::as_str),
    })
}

fn budget_json(budget: &BudgetPreview) -> Value {
    let units = |amount: Amount| amount.to_decimal(UNITS_SCALE);
    json!({
        "rule": budget.rule, "window": budget.window.name(), "limit": units(budget.limit),
        "spent": units(budget.spent.confirmed), "held": units(budget.spent.held), "left": units(budget.left),
        "this_payment": units(budget.units),
    })
}

fn offer_json(offer: &OfferPreview) -> Value {
    let challenge = &offer.challenge;
    let quote = offer.quote.as_ref().ok().map(|quote| {
        let asset = quote.money.asset();
        json!({
            "amount": quote.money.amount().to_decimal(asset.scale()),
            "amount_base": quote.money.amount(),
            "asset": asset,
            "recipient": quote.recipient,
            "shares": shares(quote),
            "payer": quote.payer,
            "network": quote.network,
            "mode": quote.mode,
            "fee": fee(quote.fee),
        })
    });
    json!({
        "challenge_id": challenge.id,
        "method": challenge.method.as_str(),
        "intent": challenge.intent.as_str(),
        "realm": challenge.realm,
        "description": challenge.description,
        "expires": challenge.expires,
        "quote": quote,
        "allowed": offer.verdict.is_ok(),
        "checks": offer.checks.iter().map(explain::check_json).collect::<Vec<_>>(),
        "budgets": offer.budgets.iter().map(budget_json).collect::<Vec<_>>(),
        "refusal": offer.verdict.as_ref().err().map(|r| json!({ "code": r.code, "message": r.why })),
    })
}

/// Who else receives a part, for programs.
pub fn shares(quote: &Quote) -> Value {
    quote
        .shares
        .iter()
        .map(|share| json!({ "recipient": share.recipient, "amount_base": share.amount }))
        .collect()
}

/// Who pays the fee, for programs.
pub const fn fee(bearer: FeeBearer) -> &'static str {
    match bearer {
        FeeBearer::Payer => "payer",
        FeeBearer::Seller => "seller",
        FeeBearer::Nobody => "none",
    }
}

const fn fee_words(bearer: FeeBearer) -> &'static str {
    match bearer {
        FeeBearer::Payer => "you pay the network's fee",
        FeeBearer::Seller => "the seller pays the network's fee",
        FeeBearer::Nobody => "there is none",
    }
}

/// A CAIP-2 network for people.
pub fn chain(network: &str) -> String {
    let id = network.strip_prefix("eip155:").and_then(|id| id.parse().ok());
    id.map_or_else(|| one_line(network), network::name)
}
