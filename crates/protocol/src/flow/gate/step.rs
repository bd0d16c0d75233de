//! What the seller's flow asks of its driver, and what the driver answers.

use crate::digest::Sha256Digest;
use crate::ports::{
    AdvanceError, Claim, ClaimId, ClaimKey, ClaimOutcome, ClaimStep, NewClaim, SettleError, Settled,
    SettlementPlan, StoreError, Timing, Verified, VerifyError,
};
use crate::{EncodedJson, Problem, Receipt, UnixMs};

/// One way to pay for the requested route, as the route would offer it now.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    /// The method's name.
    pub method: &'a str,
    /// The intent.
    pub intent: &'a str,
    /// The encoded request.
    pub request: &'a EncodedJson,
    /// [`crate::ports::Verifier::late_ms`] of its rail.
    pub late_ms: u64,
}

/// What the route asks for.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// The realm that challenges are issued for: the public host.
    pub realm: &'a str,
    /// Names the route; written into the challenge's opaque slot.
    pub scope: &'a str,
    /// Every way to pay.
    pub offers: &'a [Offer<'a>],
    /// How long a delivery may take before it counts as failed, in milliseconds.
    pub lease_ms: u64,
}

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
    /// Serve the request, then call [`Outcome::step`] with how that went and record it.
    Deliver(Box<Outcome>),
}

/// What happened.
#[derive(Debug)]
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
}

/// The body is larger than the driver reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyTooLarge {
    /// The most that the driver reads, in bytes.
    pub max: usize,
}

/// A settled payment whose call is to be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The claim to record the delivery on.
    pub id: ClaimId,
    /// For the response, on 2xx only (C14).
    pub receipt: Receipt,
    /// Who paid, where the rail knows: never the credential's word alone.
    pub payer: Option<String>,
}

impl Outcome {
    /// The step to record when the upstream has answered (or failed to). A 2xx is a delivery, and so is a redirect: where it
    /// leads is what was bought. Anything else leaves a credit.
    #[must_use]
    pub fn step(&self, status: Option<u16>) -> ClaimStep {
        match status {
            Some(200..=399) => ClaimStep::Delivered,
            _ => ClaimStep::Undelivered,
        }
    }
}
