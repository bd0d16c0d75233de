//! The service: what a platform asks of its billing, each a function that reads records, plans with the pure half of this
//! crate, and commits ledger steps, records and events as one.
//!
//! | a call | how it stays right |
//! |---|---|
//! | is told twice | its idempotency key, its result and its effect are one commit ([`Cx::idempotency`]) |
//! | races another | what both read is checked in the commit; whoever is late reads again ([`Fate::Again`]) |
//! | crashes | it happened whole or not at all; the same key tells which |
//! | comes from another tenant | every key of every record begins with the tenant, and every asset is one tenant's alone |
//!
//! It reads no clock and draws no randomness: a [`Cx`] brings both. It speaks no HTTP and knows no rail.

pub mod asset;
pub mod budget;
pub mod collection;
pub mod customer;
mod cx;
pub mod deposit;
mod document;
mod draft;
mod error;
pub mod event;
pub mod figures;
pub mod grant;
pub mod hold;
mod input;
pub mod key;
pub mod names;
pub mod prepaid;
pub mod product;
pub mod report;
pub mod retention;
#[cfg(feature = "schema")]
pub mod schema;
mod secret;
mod seen;
#[cfg(test)]
mod shop;
pub mod subject;
pub mod tenant;
#[cfg(test)]
mod testing;
pub mod token;
pub mod topup;
mod turns;
pub mod usage;
pub mod vendor;
pub mod wallet;
pub mod webhook;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use farthing_ledger::record::{Committed, Record, RecordStore, Work};
use farthing_ledger::{Outcome, Rejection};

pub use cx::{Cx, Idempotency, TenantId};
pub use document::{Document, Page, PageQuery, Stored, id_text, read_id};
pub use draft::{Draft, Fate};
pub use error::{Class, ServiceError};
pub use input::Metadata;
pub use names::{HoldId, KeyId, Named};
pub use secret::Secret;
use seen::Seen;
pub use token::{Authority, Presented};
use turns::Turns;

/// How often a call reads again when others changed what it had read.
pub const ATTEMPTS: usize = 16;

/// The billing layer over a store. Cheap to clone.
#[derive(Clone)]
pub struct Billing {
    store: Arc<dyn RecordStore>,
    /// Set when a call answers what it answered before.
    replayed: Option<Arc<AtomicBool>>,
    turns: Arc<Turns>,
    seen: Arc<Seen>,
}

impl std::fmt::Debug for Billing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Billing").finish_non_exhaustive()
    }
}

impl Billing {
    /// Billing whose truth is `store`.
    #[must_use]
    pub fn new(store: Arc<dyn RecordStore>) -> Self {
        Self { store, replayed: None, turns: Arc::new(Turns::new()), seen: Arc::default() }
    }

    /// The same billing, which sets `replayed` when a call answers what it answered before under its idempotency key. For one
    /// call: whoever answers over a wire can then say so.
    #[must_use]
    pub fn noting_replays(&self, replayed: Arc<AtomicBool>) -> Self {
        Self { replayed: Some(replayed), ..self.clone() }
    }

    /// The ledger and its records.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn RecordStore> {
        &self.store
    }

    /// Who goes first, among calls of this process that would refuse each other.
    pub(in crate::service) fn turns(&self) -> &Turns {
        &self.turns
    }

    /// Commits a draft. The result `result` is kept under the idempotency key, when there is one, in the same commit.
    ///
    /// # Errors
    /// [`ServiceError::Store`]; [`ServiceError::IdempotencyKeyReused`].
    pub async fn commit<T: serde::Serialize + Sync>(
        &self,
        cx: &Cx,
        draft: Draft,
        result: &T,
    ) -> Result<Fate, ServiceError> {
        let Draft { steps, mut records } = draft;
        if let Some(idempotency) = &cx.idempotency {
            records.push(cx::kept(cx, idempotency, result)?);
        }
        Ok(match self.store.commit(Work { now: cx.now, steps, records }).await? {
            Committed::Applied { outcomes, version } => Fate::Applied { outcomes, version },
            Committed::Refused { outcomes } => Fate::Refused { outcomes },
            // Also when somebody else made this very call: the next attempt finds what it answered.
            Committed::Conflict { .. } => Fate::Again,
        })
    }

    /// Commits a draft that makes `made` under an id of its own. What the same call answered before stands, also when it was
    /// made by somebody else at the same time.
    async fn commit_new<T: serde::Serialize + serde::de::DeserializeOwned + Sync>(
        &self,
        cx: &Cx,
        draft: Draft,
        made: T,
        (what, id): (&'static str, String),
    ) -> Result<T, ServiceError> {
        if let Fate::Applied { .. } = self.commit(cx, draft, &made).await? {
            return Ok(made);
        }
        self.replay(cx).await?.ok_or(ServiceError::AlreadyExists { what, id })
    }

    /// What a call with this idempotency key answered before. Ask before anything else, in every attempt.
    ///
    /// # Errors
    /// [`ServiceError::IdempotencyKeyReused`] when the key belongs to another call; [`ServiceError::Store`].
    pub async fn replay<T: serde::de::DeserializeOwned>(&self, cx: &Cx) -> Result<Option<T>, ServiceError> {
        let Some(idempotency) = &cx.idempotency else { return Ok(None) };
        let found = self.store.records(&[cx::key(cx, idempotency)]).await?;
        self.replay_of(cx, found.into_iter().next().flatten().as_ref())
    }

    /// As [`Billing::replay`], from the record, for whoever reads it together with others ([`cx::replay_key`]).
    pub(crate) fn replay_of<T: serde::de::DeserializeOwned>(
        &self,
        cx: &Cx,
        found: Option<&Record>,
    ) -> Result<Option<T>, ServiceError> {
        match (found, &cx.idempotency) {
            (Some(record), Some(idempotency)) => {
                let answer = cx::replayed(&record.body, idempotency)?;
                if let Some(replayed) = &self.replayed {
                    replayed.store(true, Ordering::Relaxed);
                }
                Ok(Some(answer))
            }
            _ => Ok(None),
        }
    }
}

/// Why the ledger refused, when nothing knows it better.
fn refused(outcomes: &[Outcome]) -> ServiceError {
    let first = outcomes.iter().find_map(|outcome| match outcome {
        Outcome::Applied | Outcome::Exists | Outcome::Rejected(Rejection::LinkedGroupFailed) => None,
        Outcome::Rejected(rejection) => Some(*rejection),
    });
    ServiceError::Ledger(first.unwrap_or(Rejection::LinkedGroupFailed))
}
