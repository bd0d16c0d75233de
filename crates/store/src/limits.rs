//! How large the parts of a claim may be. A store refuses more before it writes anything, so that no caller can fill the
//! disk with one request.

use farthing_protocol::UnixMs;
use farthing_protocol::ports::{
    ClaimStep, Delivery, First, Lease, NewClaim, Settled, SettlementPlan, StoreError, StoredAnswer,
};

/// The most that each part of a claim may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits;

impl Limits {
    /// Bytes of an id, a scope, a payer, a budget's name.
    pub const NAME_BYTES: usize = 1024;
    /// Keys of a claim.
    pub const KEYS: usize = 32;
    /// Bytes of a plan, as JSON.
    pub const PLAN_BYTES: usize = 256 * 1024;
    /// Bytes of what was settled, as JSON.
    pub const SETTLED_BYTES: usize = 64 * 1024;
    /// Bytes of the reason of a failure.
    pub const WHY_BYTES: usize = 4 * 1024;
    /// Bytes of the body of an answer that is kept: as many as a gateway may be configured to keep. Ask before handing more in.
    pub const ANSWER_BYTES: usize = 64 * 1024 * 1024;
    /// Bytes of the headers of an answer that is kept, names and values.
    pub const ANSWER_HEADERS_BYTES: usize = 512 * 1024;
    /// The last instant that is kept, in milliseconds: what fits SQL's signed 64 bits.
    pub const LAST_MS: u64 = i64::MAX.unsigned_abs();
    /// The most claims that one call lists or forgets.
    pub const PAGE: usize = 10_000;
}

/// Refuses a claim with a part that is too large, or without keys.
pub(crate) fn check_new(new: &NewClaim, now: UnixMs) -> Result<(), StoreError> {
    name("id", &new.id.0)?;
    name("scope", &new.scope)?;
    if let Some(payer) = &new.payer {
        name("payer", payer)?;
    }
    if new.keys.is_empty() {
        return Err(refused("a claim has at least one key"));
    }
    if new.keys.len() > Limits::KEYS {
        return Err(refused(&format!("a claim has at most {} keys, not {}", Limits::KEYS, new.keys.len())));
    }
    for key in &new.keys {
        name("key", &key.0)?;
    }
    instant("expires", new.expires)?;
    instant("now", now)?;
    plan("plan", &new.plan)?;
    if let Some(reservation) = &new.reservation {
        name("budget", &reservation.budget)?;
    }
    if let Some(idempotency) = &new.idempotency {
        name("idempotency.key", &idempotency.key)?;
    }
    match &new.first {
        First::Settle => Ok(()),
        First::Serve(lease) => until(lease),
    }
}

/// Refuses a step with a part that is too large.
pub(crate) fn check_step(step: &ClaimStep, now: UnixMs) -> Result<(), StoreError> {
    instant("now", now)?;
    match step {
        ClaimStep::BeginSettlement { answer: kept, .. }
        | ClaimStep::Delivered { answer: kept, .. }
        | ClaimStep::Undelivered { answer: kept, .. } => kept.as_deref().map_or(Ok(()), answer),
        ClaimStep::Settled { settled, delivery } => {
            check_settled(settled)?;
            match delivery {
                Delivery::Begin(lease) => until(lease),
                Delivery::Later => Ok(()),
            }
        }
        ClaimStep::Failed { why, .. } => size("why", why.len(), Limits::WHY_BYTES),
        ClaimStep::BeginDelivery(lease) | ClaimStep::Renew(lease) => until(lease),
        ClaimStep::BeginRefund { plan: refund } => plan("refund plan", refund),
        ClaimStep::Refunded { refund } => check_settled(refund),
        ClaimStep::Interrupted { .. } | ClaimStep::RefundFailed | ClaimStep::KeepCredit => Ok(()),
    }
}

fn answer(answer: &StoredAnswer) -> Result<(), StoreError> {
    size("answer", answer.body.len(), Limits::ANSWER_BYTES)?;
    let headers = answer.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    size("answer's headers", headers, Limits::ANSWER_HEADERS_BYTES)
}

fn check_settled(settled: &Settled) -> Result<(), StoreError> {
    size("settled", json(settled)?.len(), Limits::SETTLED_BYTES)?;
    instant("settled.at", settled.at)
}

fn plan(what: &str, plan: &SettlementPlan) -> Result<(), StoreError> {
    size(what, json(plan)?.len(), Limits::PLAN_BYTES)
}

fn until(lease: &Lease) -> Result<(), StoreError> {
    instant("lease.until", lease.until)
}

/// `value` as JSON.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|error| StoreError { detail: format!("cannot be written as JSON: {error}") })
}

fn name(what: &str, text: &str) -> Result<(), StoreError> {
    if text.is_empty() {
        return Err(refused(&format!("`{what}` is empty")));
    }
    // PostgreSQL's text has none, and no name of ours either.
    if text.contains('\0') {
        return Err(refused(&format!("`{what}` contains a zero byte")));
    }
    size(what, text.len(), Limits::NAME_BYTES)
}

fn size(what: &str, bytes: usize, max: usize) -> Result<(), StoreError> {
    if bytes > max {
        return Err(refused(&format!("`{what}` has {bytes} bytes, and {max} are the most")));
    }
    Ok(())
}

fn instant(what: &str, at: UnixMs) -> Result<(), StoreError> {
    if at.as_ms() > Limits::LAST_MS {
        return Err(refused(&format!("`{what}` is later than can be kept")));
    }
    Ok(())
}

fn refused(why: &str) -> StoreError {
    StoreError { detail: format!("refused, nothing was written: {why}") }
}
