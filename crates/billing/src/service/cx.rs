//! [`Cx`]: who asks, when, and under which idempotency key; and what is kept of a call's answer.

use farthing_ledger::Timestamp;
use farthing_ledger::record::{Expect, RecordChange, RecordKey, Table};
use farthing_money::{Id, id_128};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::ServiceError;
use crate::id::of_text;

id_128! {
    /// One platform that bills here. No tenant ever sees what is another's.
    TenantId
}

/// A call that may be told again: under the same key it answers what it answered before, and does nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The caller's key.
    pub key: String,
    /// A hash of everything that makes the call what it is: the operation and its input.
    pub fingerprint: String,
}

/// What every call of the service is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cx {
    /// Who asks.
    pub tenant: TenantId,
    /// The caller's clock.
    pub now: Timestamp,
    /// A fresh time-ordered id: names what the call makes.
    pub id: Id,
    /// Whether it may be told again.
    pub idempotency: Option<Idempotency>,
}

/// Whose the records are that belong to no tenant. The id is reserved: no tenant has it.
pub(super) const OPERATOR: TenantId = TenantId::from_u128(0);

impl Cx {
    /// The same call, about what belongs to no tenant.
    #[must_use]
    pub(super) fn operator(&self) -> Self {
        self.of(OPERATOR)
    }

    /// A commit of its own on the way of this call, the one about `what` and `n`: it has an id of its own, from which other names
    /// follow, and what it answers is not what the whole call answers.
    #[must_use]
    pub(super) fn part(&self, what: &str, n: u128) -> Self {
        let unix_ms = u64::try_from(self.id.as_u128() >> 80).expect("128 bits less 80 are 48");
        let id = Id::from_parts(unix_ms, of_text("part of a call", &[self.id.as_u128(), n], what));
        Self { tenant: self.tenant, now: self.now, id, idempotency: None }
    }

    /// The same call, about what belongs to `tenant`.
    #[must_use]
    pub(super) fn of(&self, tenant: TenantId) -> Self {
        Self { tenant, ..self.clone() }
    }
}

/// Answers under their keys.
pub(super) const IDEMPOTENCY: Table = Table::new("idempotency");

#[derive(Serialize, Deserialize)]
struct Kept<T> {
    fingerprint: String,
    at_ms: u64,
    answer: T,
}

pub(super) fn key(cx: &Cx, idempotency: &Idempotency) -> RecordKey {
    RecordKey { table: IDEMPOTENCY, key: format!("{}/{}", cx.tenant, idempotency.key) }
}

/// Where the answer of this call is kept, when it may be told again.
pub(super) fn replay_key(cx: &Cx) -> Option<RecordKey> {
    cx.idempotency.as_ref().map(|idempotency| key(cx, idempotency))
}

pub(super) fn kept<T: Serialize>(
    cx: &Cx,
    idempotency: &Idempotency,
    answer: &T,
) -> Result<RecordChange, ServiceError> {
    let kept = Kept { fingerprint: idempotency.fingerprint.clone(), at_ms: cx.now.unix_ms(), answer };
    let body = serde_json::to_string(&kept).map_err(|error| ServiceError::unreadable("answer", &error))?;
    Ok(RecordChange::Put { at: key(cx, idempotency), expect: Expect::Absent, body })
}

pub(super) fn replayed<T: DeserializeOwned>(
    body: &str,
    idempotency: &Idempotency,
) -> Result<T, ServiceError> {
    #[derive(Deserialize)]
    struct Fingerprint {
        fingerprint: String,
    }
    let unreadable = |error: serde_json::Error| ServiceError::unreadable("kept answer", &error);
    let Fingerprint { fingerprint } = serde_json::from_str(body).map_err(unreadable)?;
    if fingerprint != idempotency.fingerprint {
        return Err(ServiceError::IdempotencyKeyReused);
    }
    Ok(serde_json::from_str::<Kept<T>>(body).map_err(unreadable)?.answer)
}
