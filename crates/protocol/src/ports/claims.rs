//! The store of claims: what makes a payment usable exactly once (C21, C24), and nothing paid ever lost.
//!
//! One claim follows one credential through its life:
//!
//! ```text
//!           claim              settled              begin delivery         delivered
//!  (none) -+------> Settling -----------> Credit ------------------> Delivering ------> Delivered
//!          |          ^   |                 ^  ^                        |    |
//!          | claim    |   | failed          |  +------------------------+    | undelivered, refund
//!          |          |   v                 |     undelivered                v
//!          +-> Reserved  Failed             +------------------------- RefundDue --> Refunding --> Refunded
//!                  |        ^                   begin delivery             ^             |
//!                  +--------+                                              +-------------+
//!                    failed, or the lease ran out                            the refund failed
//! ```
//!
//! `Reserved` is for routes that settle after the service has answered: the money is claimed and has not been asked for.
//! A delivery and a reservation belong to whoever holds the lease, and to nobody once it has run out.
//!
//! Every step is durable before it is answered: claim, persist, act, in that order.

use std::fmt;

use async_trait::async_trait;
use farthing_money::{Amount, Money};

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

/// Names who holds a lease, unique for each lease that is taken, over processes and restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseHolder(pub u128);

/// The right to serve a call, alone, for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Who has it.
    pub holder: LeaseHolder,
    /// When it has run out: from that instant on anybody may take it.
    pub until: UnixMs,
}

/// What a payer calls one request, so that sending it again is not a new request (C23).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Names the request: a digest over the route's name, who pays, and the `Idempotency-Key` header. At most one live claim
    /// has it.
    pub key: String,
    /// SHA-256 over method, target and body: another request under the same key is a mistake of the payer's.
    pub request: [u8; 32],
}

/// An answer of the service, kept because its payer may not have received it.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredAnswer {
    /// The status.
    pub status: u16,
    /// The headers as the service sent them, scrubbed, in their order; without the receipt.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl fmt::Debug for StoredAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What somebody bought is nobody's business.
        f.debug_struct("StoredAnswer")
            .field("status", &self.status)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

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

/// What comes first once a payment is claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// It is settled: the claim begins in `Settling`.
    Settle,
    /// The service is called, by the holder of this lease: the claim begins in `Reserved`.
    Serve(Lease),
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
    /// What is paid, as the rail verified it. None in claims of stores that were made before amounts were kept.
    pub paid: Option<Money>,
    /// How to settle, and how to learn the outcome.
    pub plan: SettlementPlan,
    /// What settling counts against, if anything.
    pub reservation: Option<Reservation>,
    /// When the challenge expires.
    pub expires: UnixMs,
    /// What the payer calls the request, where it does.
    pub idempotency: Option<IdempotencyKey>,
    /// What the challenge bound ([`crate::binding::Slots::digest`]): the credential is known by it also when the secret that bound it is
    /// gone. None in claims of stores that were made before it was kept.
    pub bound: Option<[u8; 32]>,
    /// What comes first.
    pub first: First,
}

/// Where a claim is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimState {
    /// Claimed and not to be settled before the service has answered. No money has been asked for.
    Reserved {
        /// Who calls the service.
        lease: Lease,
    },
    /// Claimed; the settlement may or may not have happened.
    Settling,
    /// Settled and not delivered: the payer has a call to come.
    Credit(Settled),
    /// Settled and being delivered, by the holder of the lease.
    Delivering {
        /// What was settled.
        settled: Settled,
        /// Who delivers.
        lease: Lease,
    },
    /// Settled and delivered: final.
    Delivered(Settled),
    /// Settled, not delivered, and to be given back. Until that begins, the same credential is still served.
    RefundDue(Settled),
    /// Being given back; that may or may not have happened.
    Refunding {
        /// What was settled.
        settled: Settled,
        /// How it is given back.
        plan: SettlementPlan,
    },
    /// Given back: final.
    Refunded {
        /// What was settled.
        settled: Settled,
        /// What gave it back.
        refund: Settled,
    },
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
            Self::Reserved { .. } => "reserved",
            Self::Settling => "settling",
            Self::Credit(_) => "credit",
            Self::Delivering { .. } => "delivering",
            Self::Delivered(_) => "delivered",
            Self::RefundDue(_) => "refund_due",
            Self::Refunding { .. } => "refunding",
            Self::Refunded { .. } => "refunded",
            Self::Failed { .. } => "failed",
        }
    }

    /// What was settled, once something was.
    #[must_use]
    pub const fn settled(&self) -> Option<&Settled> {
        match self {
            Self::Credit(settled)
            | Self::Delivering { settled, .. }
            | Self::Delivered(settled)
            | Self::RefundDue(settled)
            | Self::Refunding { settled, .. }
            | Self::Refunded { settled, .. } => Some(settled),
            Self::Reserved { .. } | Self::Settling | Self::Failed { .. } => None,
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
    /// How often a delivery has begun: a payer who never reads to the end is not served for ever.
    pub deliveries: u32,
    /// Whether the store has the service's answer ([`ClaimStore::answer`]).
    pub answered: bool,
}

/// What became of an attempt to claim.
#[derive(Debug, Clone)]
pub enum ClaimOutcome {
    /// It is ours: settle, or serve.
    New,
    /// The same credential (same id, same set of keys) was claimed before, and has not failed. A claim in `Reserved` whose
    /// lease has run out is claimed anew instead.
    Existing(Box<Claim>),
    /// Another live claim was made for the same request under the same idempotency key. Nothing was written.
    SameRequest(Box<Claim>),
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
    /// The caller delivers now and holds this lease.
    Begin(Lease),
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

/// What the payer of an undelivered call gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amends {
    /// The call, when the same credential comes again.
    Credit,
    /// The money, unless the same credential comes before that has begun.
    Refund,
}

/// One step in the life of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimStep {
    /// `Reserved` to `Settling`, by the holder, whose lease has not run out: the service has answered, and the payment is about
    /// to be asked for. What was answered is kept if it is given.
    BeginSettlement {
        /// Who called the service.
        holder: LeaseHolder,
        /// What it answered.
        answer: Option<Box<StoredAnswer>>,
    },
    /// `Settling` to `Credit` or `Delivering`.
    Settled {
        /// What was settled.
        settled: Settled,
        /// Whether the caller goes on to deliver.
        delivery: Delivery,
    },
    /// `Settling`, or `Reserved` by the holder or once the lease has run out, to `Failed`; frees the keys, and gives the
    /// reservation back unless it was spent.
    Failed {
        /// Why.
        why: String,
        /// Whether the reservation was spent all the same.
        reservation: ReservationFate,
        /// Who held the reservation of a `Reserved` claim; none for `Settling`, and for a lease that has run out.
        holder: Option<LeaseHolder>,
    },
    /// `Delivering` to `Credit`, once this holder's lease has run out: whoever delivered has gone.
    Interrupted {
        /// Who delivered.
        holder: LeaseHolder,
    },
    /// `Credit`, `RefundDue`, or `Delivering` with a lease that has run out, to `Delivering`.
    BeginDelivery(Lease),
    /// `Reserved` or `Delivering` stays what it is, with a later end of the same holder's lease, run out or not: as long as
    /// nobody else has taken it.
    Renew(Lease),
    /// `Delivering` to `Delivered`, by the holder.
    Delivered {
        /// Who delivered.
        holder: LeaseHolder,
        /// The answer, where the payer may ask for it again ([`NewClaim::idempotency`]).
        answer: Option<Box<StoredAnswer>>,
    },
    /// `Delivering` to `Credit` or `RefundDue`, by the holder.
    Undelivered {
        /// Who did not deliver.
        holder: LeaseHolder,
        /// What the service answered in full, though the payer did not get it: served to the same credential.
        answer: Option<Box<StoredAnswer>>,
        /// What the payer gets.
        amends: Amends,
    },
    /// `RefundDue` to `Refunding`: about to be given back in this way.
    BeginRefund {
        /// How.
        plan: SettlementPlan,
    },
    /// `Refunding` to `Refunded`.
    Refunded {
        /// What gave it back.
        refund: Settled,
    },
    /// `Refunding` to `RefundDue`: this attempt did not happen and can no longer happen.
    RefundFailed,
    /// `RefundDue` to `Credit`: it cannot be given back.
    KeepCredit,
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

/// Names the history that a store has: another one after it may have lost claims, because a backup was restored. Challenges carry
/// it, and those of another history are not honoured, so that no credential is revived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StoreEpoch(pub u32);

/// Which claims [`ClaimStore::list`] lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Listed {
    /// In `Settling`: their outcome is unknown.
    Settling,
    /// In `Reserved` with a lease that has run out: nothing was asked of their payers.
    Abandoned,
    /// In `Delivering` with a lease that has run out: their payers have paid, and nobody serves them.
    Interrupted,
    /// In `RefundDue`.
    RefundDue,
    /// In `Refunding`: whether they were given back is unknown.
    Refunding,
    /// In `Credit`: owed to their payers.
    Credit,
    /// In `Delivered`: earned.
    Delivered,
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Only claims that have not changed since; for `Abandoned` and `Interrupted`, whose lease ran out before.
    pub before: UnixMs,
    /// Begins after this claim, as the page before ended with it: its instant of change and its id.
    pub after: Option<(UnixMs, ClaimId)>,
    /// The most claims.
    pub limit: usize,
}

/// Keeps claims. Every method is one atomic, durable step, whichever process calls it.
#[async_trait]
pub trait ClaimStore: Send + Sync {
    /// Claims all keys and the id, the idempotency key and the reservation, or none of them. A `Failed` claim is claimed
    /// anew, and so is one in `Reserved` whose lease has run out, by the same credential.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn claim(&self, claim: NewClaim, now: UnixMs) -> Result<ClaimOutcome, StoreError>;

    /// Takes one step. Taking one again with the same content is accepted and changes nothing, where the claim is still in
    /// the state that it led to; what the first `Failed` said of its reservation stands.
    ///
    /// # Errors
    /// [`AdvanceError`].
    async fn advance(&self, id: &ClaimId, step: ClaimStep, now: UnixMs) -> Result<(), AdvanceError>;

    /// The claim with this id.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn get(&self, id: &ClaimId) -> Result<Option<Claim>, StoreError>;

    /// The answer that is kept for a claim.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn answer(&self, id: &ClaimId) -> Result<Option<StoredAnswer>, StoreError>;

    /// Claims of one kind, oldest change first, then by id.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn list(&self, listed: Listed, page: Page) -> Result<Vec<Claim>, StoreError>;

    /// Gives back, at the start of a process, the leases that no living process can hold: all of them where one process owns the
    /// store, and those that have run out where several share it. `Delivering` becomes `Credit`, `Reserved` becomes `Failed`.
    /// Returns how many.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn release_leases(&self, now: UnixMs) -> Result<usize, StoreError>;

    /// Forgets final claims (`Delivered`, `Refunded`, `Failed`) whose challenge expired before `expired_before`, at most `limit`,
    /// their answers with them, and returns how many. Credits are kept for ever. Safe as long as `expired_before` lies before
    /// every rail's `late_ms`: an expired challenge without a claim is refused, and every payment is bound to one challenge.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn prune(&self, expired_before: UnixMs, limit: usize) -> Result<usize, StoreError>;

    /// The history that this store has now.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn epoch(&self) -> Result<StoreEpoch, StoreError>;
}
