//! The store of claims: what makes a payment usable exactly once (C21, C24), and nothing paid ever lost.
//!
//! One claim follows one credential through its life:
//!
//! ```text
//!            claim                settled                begin delivery        delivered
//!   (none) --------> Settling --------------> Credit ------------------> Delivering --------> Delivered
//!                       |                       ^                            |
//!                       | failed                +----------------------------+
//!                       v                              undelivered, or the lease ran out
//!                    Failed   (its keys are free again)
//! ```
//!
//! Every step is durable before it is answered: claim, persist, act, in that order.

use std::fmt;

use async_trait::async_trait;
use farthing_money::Amount;

use super::{Settled, SettlementPlan};
use crate::UnixMs;

/// Names a claim: the id of the challenge that the credential answers, which is unique per issued challenge.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClaimId(pub String);

impl fmt::Display for ClaimId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names money that may be used once, canonically: `tempo:4217:tx:0x…` in lower case. Never header bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClaimKey(pub String);

/// A limit that settling counts against, such as the fees that a gateway sponsors in a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Which budget.
    pub budget: String,
    /// The most that this settlement can spend.
    pub amount: Amount,
    /// The most that may be spent within the window.
    pub limit: Amount,
    /// Length of the sliding window, in milliseconds.
    pub window_ms: u64,
}

/// What is written before anything is done with a payment.
#[derive(Debug, Clone)]
pub struct NewClaim {
    /// The challenge's id.
    pub id: ClaimId,
    /// What the money is, in every spelling. Not empty.
    pub keys: Vec<ClaimKey>,
    /// The scope (route) that the challenge was issued for.
    pub scope: String,
    /// Who pays, where known.
    pub payer: Option<String>,
    /// How to settle, and how to learn the outcome.
    pub plan: SettlementPlan,
    /// What settling counts against, if anything.
    pub reservation: Option<Reservation>,
    /// When the challenge expires.
    pub expires: UnixMs,
}

/// Where a claim is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimState {
    /// Claimed; the settlement may or may not have happened.
    Settling,
    /// Settled and not delivered: the payer has a call to come.
    Credit(Settled),
    /// Settled and being delivered, by somebody who must finish before the lease runs out.
    Delivering {
        /// What was settled.
        settled: Settled,
        /// When the delivery counts as failed.
        lease_until: UnixMs,
    },
    /// Settled and delivered: final.
    Delivered(Settled),
    /// Not settled and never will be; its keys are free.
    Failed {
        /// Why.
        why: String,
    },
}

impl ClaimState {
    /// The state's name as stores and logs write it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Settling => "settling",
            Self::Credit(_) => "credit",
            Self::Delivering { .. } => "delivering",
            Self::Delivered(_) => "delivered",
            Self::Failed { .. } => "failed",
        }
    }
}

/// A claim as the store keeps it.
#[derive(Debug, Clone)]
pub struct Claim {
    /// What was claimed.
    pub new: NewClaim,
    /// Where it is.
    pub state: ClaimState,
    /// When it last changed.
    pub changed: UnixMs,
}

/// What became of an attempt to claim.
#[derive(Debug, Clone)]
pub enum ClaimOutcome {
    /// It is ours: settle.
    New,
    /// The same credential (same id, same set of keys) was claimed before, and has not failed.
    Existing(Box<Claim>),
    /// The money or the challenge is used by another credential.
    Taken {
        /// What is taken: one of the keys, or the id.
        what: String,
    },
    /// The reservation does not fit its budget. Nothing was written.
    OverBudget {
        /// Which budget.
        budget: String,
    },
}

/// Whether settling goes on to deliver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The caller delivers now and finishes before the lease runs out.
    Begin {
        /// When the delivery counts as failed.
        lease_until: UnixMs,
    },
    /// Nobody is waiting: keep it as a credit.
    Later,
}

/// What a failed settlement did to its reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReservationFate {
    /// Nothing was spent: the budget has it back.
    Released,
    /// It was spent although the payment failed (fees of a transaction that reverted), or may have been.
    Spent,
}

/// One step in the life of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimStep {
    /// `Settling` to `Credit` or `Delivering`.
    Settled {
        /// What was settled.
        settled: Settled,
        /// Whether the caller goes on to deliver.
        delivery: Delivery,
    },
    /// `Settling` to `Failed`; frees the keys, and gives the reservation back unless it was spent.
    Failed {
        /// Why.
        why: String,
        /// Whether the reservation was spent all the same.
        reservation: ReservationFate,
    },
    /// `Credit`, or `Delivering` with a lease that has run out, to `Delivering`.
    BeginDelivery {
        /// When the delivery counts as failed.
        lease_until: UnixMs,
    },
    /// `Delivering` to `Delivered`.
    Delivered,
    /// `Delivering` to `Credit`.
    Undelivered,
}

/// Why a store did not answer. Nothing may be assumed about what it wrote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store failed: {detail}")]
pub struct StoreError {
    /// What went wrong, for the log.
    pub detail: String,
}

/// Why a step was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdvanceError {
    /// There is no such claim.
    #[error("there is no claim {id}")]
    Unknown {
        /// The claim.
        id: ClaimId,
    },
    /// The claim is in a state that the step does not start from: somebody else was faster.
    #[error("the claim is {state}, from where this step does not lead")]
    WrongState {
        /// Name of the state that it is in.
        state: &'static str,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Keeps claims. Every method is one atomic, durable step.
#[async_trait]
pub trait ClaimStore: Send + Sync {
    /// Claims all keys and the id, and the reservation, or none of them. A `Failed` claim is claimed anew.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn claim(&self, claim: NewClaim, now: UnixMs) -> Result<ClaimOutcome, StoreError>;

    /// Takes one step. Taking `Settled`, `Failed` or `Delivered` again with the same content is accepted and changes nothing;
    /// what the first `Failed` said of its reservation stands.
    ///
    /// # Errors
    /// [`AdvanceError`].
    async fn advance(&self, id: &ClaimId, step: ClaimStep, now: UnixMs) -> Result<(), AdvanceError>;

    /// The claim with this id.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn get(&self, id: &ClaimId) -> Result<Option<Claim>, StoreError>;

    /// Claims in `Settling` that have not changed since `before`, oldest first, at most `limit`: their outcome is unknown.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn unresolved(&self, before: UnixMs, limit: usize) -> Result<Vec<Claim>, StoreError>;

    /// Gives every lease back (`Delivering` to `Credit`): for a store that one process owns, at its start. Returns how many.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn release_leases(&self, now: UnixMs) -> Result<usize, StoreError>;

    /// Forgets final claims (`Delivered`, `Failed`) whose challenge expired before `expired_before`, at most `limit`, and
    /// returns how many. Credits are kept for ever. Safe as long as `expired_before` lies before every rail's
    /// `late_ms`: an expired challenge without a claim is refused, and every payment is bound to one challenge.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn prune(&self, expired_before: UnixMs, limit: usize) -> Result<usize, StoreError>;
}
