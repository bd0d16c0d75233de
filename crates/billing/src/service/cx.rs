//! [`Cx`]: who asks, when, and under which idempotency key; and what is kept of a call's answer.

use farthing_ledger::Timestamp;
use farthing_ledger::record::{Expect, RecordChange, RecordKey, Table};
use farthing_money::{Id, id_128};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::ServiceError;

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

    /// The same call as one of several commits: what it answers is not what the whole call answers.
    #[must_use]
    pub(super) fn aside(&self) -> Self {
        Self { idempotency: None, ..self.clone() }
    }

    /// The same call, about what belongs to `tenant`.
    #[must_use]
    pub(super) fn of(&self, tenant: TenantId) -> Self {
        Self { tenant, ..self.clone() }
    }
}

/// Answers under their keys.
const IDEMPOTENCY: Table = Table::new("idempotency");

#[derive(Serialize, Deserialize)]
struct Kept<T> {
    fingerprint: String,
    at_ms: u64,
    answer: T,
}

pub(super) fn key(cx: &Cx, idempotency: &Idempotency) -> RecordKey {
    RecordKey { table: IDEMPOTENCY, key: format!("{}/{}", cx.tenant, idempotency.key) }
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
