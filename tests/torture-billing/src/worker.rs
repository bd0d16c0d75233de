//! The process under test: the billing service over a store, which answers calls on standard input all at once. It has no other
//! purpose than to be killed.

use std::path::Path;
use std::sync::Arc;

use farthing_billing::CustomerId;
use farthing_billing::service::deposit::Seen;
use farthing_billing::service::topup::run::{Next, RuleName};
use farthing_billing::service::{
    Authority, Billing, Class, Cx, HoldId, Idempotency, Named as _, ServiceError, TenantId,
};
use farthing_ledger::Timestamp;
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;

use crate::call::{Answered, Asked, Call, Reply};
use crate::clock::fresh_id;
use crate::place;
use crate::source::{Processor, Source};
use crate::world::ASSET;

/// Serves until standard input ends.
///
/// # Errors
/// A sentence, when the store cannot be opened.
pub async fn run(store: &str, source: &Path) -> Result<(), String> {
    let source = Arc::new(Source::new(source));
    let billing = Billing::new(place::open(store).await?);
    let (answers, mut waiting) = mpsc::channel::<Answered>(4_096);
    let writing = tokio::spawn(async move {
        let mut out = tokio::io::stdout();
        while let Some(answer) = waiting.recv().await {
            let Ok(mut line) = serde_json::to_vec(&answer) else { continue };
            line.push(b'\n');
            if out.write_all(&line).await.is_err() || out.flush().await.is_err() {
                return;
            }
        }
    });
    let ready = Answered { n: 0, reply: Reply::Done(serde_json::json!("ready")) };
    answers.send(ready).await.map_err(|error| error.to_string())?;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let asked: Asked = serde_json::from_str(&line).map_err(|error| format!("{line}: {error}"))?;
        let (billing, answers, source) = (billing.clone(), answers.clone(), Arc::clone(&source));
        tokio::spawn(async move {
            let reply = answer((&billing, &source), &asked).await;
            // Nobody to tell means that this process is about to end.
            drop(answers.send(Answered { n: asked.n, reply }).await);
        });
    }
    drop(answers);
    writing.await.map_err(|error| error.to_string())?;
    Ok(())
}

async fn answer(on: (&Billing, &Source), asked: &Asked) -> Reply {
    let tenant = u128::from_str_radix(&asked.tenant, 16).map(TenantId::from_u128);
    let Ok(tenant) = tenant else { return Reply::Refused("tenant".to_owned()) };
    let fingerprint = serde_json::to_string(&asked.call).unwrap_or_default();
    let idempotency = asked.key.clone().map(|key| Idempotency { key, fingerprint });
    let now = Timestamp::from_unix_ms(asked.now_ms);
    let cx = Cx { tenant, now, id: fresh_id(), idempotency };
    match call(on, &cx, &asked.call).await {
        Ok(value) => Reply::Done(value),
        Err(error) if error.class() == Class::Unavailable => Reply::Later(error.code().to_owned()),
        Err(error) => Reply::Refused(error.code().to_owned()),
    }
}

async fn call(
    (billing, source): (&Billing, &Source),
    cx: &Cx,
    call: &Call,
) -> Result<serde_json::Value, ServiceError> {
    let owner = Authority::Owner;
    let hold = |text: &str| HoldId::read(text);
    match call {
        Call::Credit { customer, credit } => {
            json(billing.credit(cx, (CustomerId::read(customer)?, ASSET), credit).await)
        }
        Call::Place { new } => json(billing.place_hold(cx, &owner, new).await),
        Call::Capture { hold: id, capture } => {
            json(billing.capture_hold(cx, &owner, hold(id)?, capture).await)
        }
        Call::Void { hold: id, void } => json(billing.void_hold(cx, &owner, hold(id)?, void).await),
        Call::Refund { hold: id, refund } => json(billing.refund_hold(cx, hold(id)?, refund).await),
        Call::Usage { new } => json(billing.record_usage(cx, new).await),
        Call::Deposit { seen } => json(billing.deposit_seen(cx, seen).await.map(|seen| match seen {
            Seen::Credited(_) => "credited",
            Seen::Known(_) => "known",
            Seen::Exception(_) => "exception",
        })),
        Call::TopUp { customer } => json(top_up((billing, source), cx, CustomerId::read(customer)?).await),
        Call::Expire => json(billing.expire_due(cx, 256).await),
        Call::Wallet { customer } => json(billing.wallet(cx, CustomerId::read(customer)?, ASSET).await),
    }
}

/// What a driver of top-ups does for one rule. How often the source was asked.
///
/// # Errors
/// The service's.
pub async fn top_up(
    (billing, source): (&Billing, &dyn Processor),
    cx: &Cx,
    customer: CustomerId,
) -> Result<usize, ServiceError> {
    let rule = RuleName { tenant: cx.tenant, customer, asset: ASSET.to_owned() };
    let mut next = billing.topup_next(cx, &rule).await?;
    for asked in 0..8 {
        let fresh = Cx { id: fresh_id(), ..cx.clone() };
        let (attempt, outcome) = match next {
            Next::Nothing | Next::At(_) => return Ok(asked),
            Next::Charge(ask) => (ask.attempt.id.clone(), source.charge(&ask.attempt)),
            Next::Lookup(ask) => (ask.attempt.id.clone(), source.look_up(&ask.attempt.id)),
        };
        next = billing.topup_told(&fresh, (&rule, &attempt), &outcome).await?;
    }
    Ok(8)
}

fn json<T: Serialize>(done: Result<T, ServiceError>) -> Result<serde_json::Value, ServiceError> {
    serde_json::to_value(done?).map_err(|error| ServiceError::unreadable("answer", &error))
}
