//! What the seller's flow asks of its driver, and what the driver answers.

use crate::digest::Sha256Digest;
use crate::ports::{
    AdvanceError, Claim, ClaimId, ClaimKey, ClaimOutcome, ClaimStep, NewClaim, SettleError, Settled,
    SettlementPlan, StoreError, StoredAnswer, Timing, Verified, VerifyError,
};
use crate::{Problem, UnixMs};

use super::outcome::{Outcome, Replay};
use super::serve::ServeFlow;

/// What the driver is to do next.
#[derive(Debug)]
pub enum Action {
    /// Answer 402 with fresh challenges for every offer.
    Challenge(Problem),
    /// Answer with this problem and no challenge. `retry_after_s` becomes a `Retry-After` header.
    Refuse {
        /// What to answer.
        problem: Problem,
        /// When the same credential may be sent again, in seconds; `None` when never.
        retry_after_s: Option<u32>,
    },
    /// Read the request's body (up to the driver's limit), keep it, and hand its digest back as [`Event::Body`].
    ReadBody,
    /// Ask the offer's verifier for the credential's keys, the store for the claim; answer with [`Event::Recalled`].
    Recall {
        /// Index of the offer that the credential answers.
        offer: usize,
        /// The claim to look up.
        id: ClaimId,
    },
    /// Verify with the offer's verifier; answer with [`Event::Verified`].
    Verify {
        /// Index of the offer that the credential answers.
        offer: usize,
        /// When the challenge expires.
        expires: UnixMs,
        /// Whether it has.
        timing: Timing,
    },
    /// Claim in the store; answer with [`Event::Claimed`].
    Claim(Box<NewClaim>),
    /// Settle with the offer's verifier; answer with [`Event::Settlement`].
    Settle {
        /// Index of the offer that the credential answers.
        offer: usize,
        /// What to settle.
        plan: SettlementPlan,
    },
    /// Take this step in the store; answer with [`Event::Recorded`].
    Record {
        /// The claim.
        id: ClaimId,
        /// The step.
        step: ClaimStep,
    },
    /// Look up the answer that is kept for this claim; answer with [`Event::Answer`].
    FetchAnswer {
        /// The claim.
        id: ClaimId,
    },
    /// Serve the request, or the answer that is kept, then call [`Outcome::step`] with how that went and record it.
    Deliver(Box<Outcome>),
    /// Call the service and tell this flow how that went: nothing is settled yet.
    Serve(Box<ServeFlow>),
    /// Answer with this once more. Nothing is recorded.
    Replay(Box<Replay>),
}

/// What happened.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "made a few times a request, and handed over at once")]
pub enum Event {
    /// The digest of the body that was read.
    Body(Result<Sha256Digest, BodyTooLarge>),
    /// The credential's keys and the claim of that id, if there is one.
    Recalled {
        /// The keys, or why the payload cannot be read.
        keys: Result<Vec<ClaimKey>, Problem>,
        /// The claim.
        claim: Result<Option<Claim>, StoreError>,
    },
    /// The verifier's answer.
    Verified(Result<Verified, VerifyError>),
    /// The store's answer.
    Claimed(Result<ClaimOutcome, StoreError>),
    /// The rail's answer.
    Settlement(Result<Settled, SettleError>),
    /// The store's answer.
    Recorded(Result<(), AdvanceError>),
    /// The store's answer.
    Answer(Result<Option<StoredAnswer>, StoreError>),
    /// What was to be claimed or begun is being served by this very driver: nothing was asked of the store.
    Busy,
}

/// The body is larger than the driver reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyTooLarge {
    /// The most that the driver reads, in bytes.
    pub max: usize,
}
