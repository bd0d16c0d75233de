//! Claims, steps and their parts, plain where it does not matter.

use super::*;

/// A claim with this id and these keys, settled first, and plain other parts.
#[must_use]
pub fn new_claim(id: &str, keys: &[&str]) -> NewClaim {
    NewClaim {
        id: ClaimId(id.to_owned()),
        keys: keys.iter().map(|key| ClaimKey((*key).to_owned())).collect(),
        scope: "GET /paid".into(),
        payer: Some("did:pkh:eip155:1337:0x00000000000000000000000000000000000000aa".into()),
        paid: Asset::new("PathUSD", 6, token())
            .ok()
            .map(|asset| Money::new(Amount::from_base(10_000), asset)),
        plan: plan("0x76ff"),
        reservation: None,
        expires: UnixMs::from_ms(5_000),
        idempotency: None,
        bound: Some([7; 32]),
        first: First::Settle,
    }
}

fn token() -> AssetKind {
    AssetKind::Token { network: "eip155:1337".into(), address: "0x20c0".into() }
}

fn plan(raw: &str) -> SettlementPlan {
    SettlementPlan {
        rail: "test:1".into(),
        data: serde_json::json!({ "raw": raw, "deep": { "n": 1, "none": null, "text": "zero \0 ü" } }),
    }
}

/// The same claim, served first by [`HOLDER`] until then.
#[must_use]
pub fn serve_first(mut new: NewClaim, until: u64) -> NewClaim {
    new.first = First::Serve(lease(at(until)));
    new
}

/// The same claim, under this idempotency key.
#[must_use]
pub fn same_request(mut new: NewClaim, key: &str, request: u8) -> NewClaim {
    new.idempotency = Some(IdempotencyKey { key: key.to_owned(), request: [request; 32] });
    new
}

/// What was settled, with this reference.
#[must_use]
pub fn settled(reference: &str) -> Settled {
    let mut extra = serde_json::Map::new();
    extra.insert("chainId".into(), 1337.into());
    Settled {
        reference: reference.to_owned(),
        at: UnixMs::from_ms(1_700_000_000_123),
        external_id: Some("order \"7\" ü".into()),
        extra,
    }
}

/// `amount` of a budget of `limit` in a window of `window_ms`.
#[must_use]
pub fn reservation(budget: &str, amount: u128, limit: u128, window_ms: u64) -> Reservation {
    Reservation {
        budget: budget.to_owned(),
        amount: Amount::from_base(amount),
        limit: Amount::from_base(limit),
        window_ms,
    }
}

/// An answer with this body, and headers of every kind of byte.
#[must_use]
pub fn answer(body: &str) -> Box<StoredAnswer> {
    Box::new(StoredAnswer {
        status: 200,
        headers: vec![
            ("content-type".into(), b"text/plain".to_vec()),
            ("x-bytes".into(), (1..=u8::MAX).collect()),
            ("x-bytes".into(), vec![]),
        ],
        body: [body.as_bytes(), &[0, 255, 10]].concat(),
    })
}

pub(super) const fn at(ms: u64) -> UnixMs {
    UnixMs::from_ms(ms)
}

/// Who delivers, where it does not matter who does.
pub const HOLDER: LeaseHolder = LeaseHolder(7);

/// Who has no lease.
pub const OTHER: LeaseHolder = LeaseHolder(u128::MAX - 8);

/// [`HOLDER`]'s lease.
#[must_use]
pub const fn lease(until: UnixMs) -> Lease {
    lease_of(HOLDER, until)
}

/// A holder's lease.
#[must_use]
pub const fn lease_of(holder: LeaseHolder, until: UnixMs) -> Lease {
    Lease { holder, until }
}

/// [`HOLDER`] has delivered.
#[must_use]
pub const fn delivered() -> ClaimStep {
    ClaimStep::Delivered { holder: HOLDER, answer: None }
}

/// [`HOLDER`] has not delivered.
#[must_use]
pub const fn undelivered() -> ClaimStep {
    ClaimStep::Undelivered { holder: HOLDER, answer: None, amends: Amends::Credit }
}

/// [`HOLDER`] has called the service and asks for the money.
#[must_use]
pub const fn begin_settlement() -> ClaimStep {
    ClaimStep::BeginSettlement { holder: HOLDER, answer: None }
}

/// A failure that gives its reservation back.
#[must_use]
pub fn failed(why: &str) -> ClaimStep {
    ClaimStep::Failed { why: why.to_owned(), reservation: ReservationFate::Released, holder: None }
}

/// A failure that spent its reservation all the same.
#[must_use]
pub fn failed_and_spent(why: &str) -> ClaimStep {
    ClaimStep::Failed { why: why.to_owned(), reservation: ReservationFate::Spent, holder: None }
}

/// A failure before any money was asked for, as the lease's holder says it.
#[must_use]
pub fn failed_by(holder: LeaseHolder, why: &str) -> ClaimStep {
    let reservation = ReservationFate::Released;
    ClaimStep::Failed { why: why.to_owned(), reservation, holder: Some(holder) }
}

/// About to give back in this way.
#[must_use]
pub fn begin_refund(raw: &str) -> ClaimStep {
    ClaimStep::BeginRefund { plan: plan(raw) }
}

/// Given back.
#[must_use]
pub fn refunded(reference: &str) -> ClaimStep {
    ClaimStep::Refunded { refund: settled(reference) }
}

pub(super) fn settle_and_begin(reference: &str, until: u64) -> ClaimStep {
    ClaimStep::Settled { settled: settled(reference), delivery: Delivery::Begin(lease(at(until))) }
}

pub(super) fn settle_for_later(reference: &str) -> ClaimStep {
    ClaimStep::Settled { settled: settled(reference), delivery: Delivery::Later }
}

pub(super) fn begin(until: u64) -> ClaimStep {
    ClaimStep::BeginDelivery(lease(at(until)))
}
