//! The seller's flow: from a request to an answer, in steps that a driver carries out.
//!
//! The order is fixed and is what makes it safe: read the credential, check that the challenge is ours and for this
//! route, recall whether it was claimed before, check expiry, verify, **claim**, settle, record, deliver, record. Nothing
//! is done with money before the claim is durable, and nothing is delivered before the settlement is.
//!
//! It is not a server: bodies, sockets and waiting belong to the driver.

use crate::binding::Binder;
use crate::digest::Sha256Digest;
use crate::ports::{
    AdvanceError, Claim, ClaimId, ClaimKey, ClaimOutcome, ClaimState, ClaimStep, Delivery, NewClaim,
    SettleError, Settled, SettlementPlan, StoreError, Verified, VerifyError,
};
use crate::{Credential, EncodedJson, Problem, ProblemKind, Receipt, UnixMs};

/// One way to pay for the requested route, as the route would offer it now.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    /// The method's name.
    pub method: &'a str,
    /// The intent.
    pub intent: &'a str,
    /// The encoded request.
    pub request: &'a EncodedJson,
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
    /// Who paid, where known.
    pub payer: Option<String>,
}

impl Outcome {
    /// The step to record when the upstream has answered (or failed to): a 2xx is a delivery, anything else leaves a credit.
    #[must_use]
    pub fn step(&self, status: Option<u16>) -> ClaimStep {
        match status {
            Some(200..=299) => ClaimStep::Delivered,
            _ => ClaimStep::Undelivered,
        }
    }
}

/// The seller's flow for one request that carries a credential.
///
/// Call [`start`](Self::start), carry the action out, hand the result to [`handle`](Self::handle), until the action is
/// `Challenge`, `Refuse` or `Deliver`.
#[derive(Debug)]
pub struct GateFlow<'a> {
    terms: Terms<'a>,
    credential: &'a Credential<'a>,
    state: State,
}

#[derive(Debug)]
enum State {
    Start,
    Body { offer: usize },
    Recall { offer: usize },
    Verify { offer: usize, expires: UnixMs },
    Claim { offer: usize, plan: SettlementPlan },
    Settle,
    Record { next: Next },
    Done,
}

#[derive(Debug)]
enum Next {
    Deliver(Settled),
    Challenge(Problem),
}

impl<'a> GateFlow<'a> {
    /// A flow for `credential`, sent to the route with these terms.
    #[must_use]
    pub const fn new(terms: Terms<'a>, credential: &'a Credential<'a>) -> Self {
        Self { terms, credential, state: State::Start }
    }

    /// The problem of a request without a credential: not part of a flow, because nothing can follow.
    #[must_use]
    pub fn unpaid() -> Problem {
        Problem::new(ProblemKind::PaymentRequired, "payment_required", "Payment is required.")
    }

    /// Checks what needs no IO: that the challenge is ours, unaltered, for this realm and this route (C6).
    pub fn start(&mut self, binder: &Binder) -> Action {
        let echo = &self.credential.challenge;
        if binder.check(echo).is_err() {
            return self.challenge(
                ProblemKind::InvalidChallenge,
                "challenge_not_ours",
                "The challenge was not issued here, or was altered.",
            );
        }
        // From here on every echoed field is what we wrote: the binding covers them all but the description.
        if echo.realm != self.terms.realm || !dialect_scope_is(echo.opaque.as_deref(), self.terms.scope) {
            return self.challenge(
                ProblemKind::InvalidChallenge,
                "challenge_for_another_route",
                "The challenge was issued for another route.",
            );
        }
        let same_kind = |o: &Offer<'_>| o.method == echo.method && o.intent == echo.intent;
        let Some(offer) =
            self.terms.offers.iter().position(|o| same_kind(o) && o.request.as_str() == echo.request)
        else {
            return self.challenge(
                ProblemKind::InvalidChallenge,
                "challenge_for_other_terms",
                "The terms of this route have changed since the challenge was issued.",
            );
        };
        if echo.digest.is_some() {
            self.state = State::Body { offer };
            return Action::ReadBody;
        }
        self.recall(offer)
    }

    /// What to do after `event`.
    pub fn handle(&mut self, event: Event, now: UnixMs) -> Action {
        match (std::mem::replace(&mut self.state, State::Done), event) {
            (State::Body { offer }, Event::Body(body)) => self.after_body(offer, body),
            (State::Recall { offer }, Event::Recalled { keys, claim }) => {
                self.after_recall(offer, keys, claim, now)
            }
            (State::Verify { offer, expires }, Event::Verified(result)) => {
                self.after_verify(offer, expires, result)
            }
            (State::Claim { offer, plan }, Event::Claimed(result)) => {
                self.after_claim(offer, plan, result, now)
            }
            (State::Settle, Event::Settlement(result)) => self.after_settle(result, now),
            (State::Record { next }, Event::Recorded(result)) => self.after_record(next, result),
            // A driver that answers another question than was asked has lost its place: nothing may be assumed.
            _ => pending("flow_out_of_step", "The payment's state is being checked."),
        }
    }

    fn after_body(&mut self, offer: usize, body: Result<Sha256Digest, BodyTooLarge>) -> Action {
        let matched = match body {
            Ok(body) => {
                self.credential.challenge.digest.as_deref().is_some_and(|header| body.matches(header))
            }
            Err(BodyTooLarge { max }) => {
                let detail = format!("A body bound to its payment may have at most {max} bytes.");
                return self.challenge(ProblemKind::BadRequest, "body_too_large", detail);
            }
        };
        if matched {
            return self.recall(offer);
        }
        self.challenge(
            ProblemKind::VerificationFailed,
            "digest_mismatch",
            "The body is not the one that the challenge was issued for.",
        )
    }

    fn recall(&mut self, offer: usize) -> Action {
        self.state = State::Recall { offer };
        Action::Recall { offer, id: self.id() }
    }

    fn after_recall(
        &mut self,
        offer: usize,
        keys: Result<Vec<ClaimKey>, Problem>,
        claim: Result<Option<Claim>, StoreError>,
        now: UnixMs,
    ) -> Action {
        let keys = match keys {
            Ok(keys) => keys,
            Err(problem) => return self.challenge(problem.kind, problem.code, problem.detail),
        };
        match claim {
            Err(_) => {
                pending("store_unavailable", "Payments cannot be checked right now. Nothing was charged.")
            }
            Ok(Some(claim)) if !matches!(claim.state, ClaimState::Failed { .. }) => {
                if keys.iter().all(|key| claim.new.keys.contains(key)) {
                    self.existing(claim.state, now)
                } else {
                    replayed()
                }
            }
            Ok(_) => self.check_expiry(offer, now),
        }
    }

    fn check_expiry(&mut self, offer: usize, now: UnixMs) -> Action {
        // Required, and refused at the instant it is reached (C2; DESIGN section 5).
        let expires = self.credential.challenge.expires.as_deref().and_then(|text| UnixMs::parse(text).ok());
        match expires {
            Some(expires) if now < expires => {
                self.state = State::Verify { offer, expires };
                Action::Verify { offer, expires }
            }
            _ => {
                self.challenge(ProblemKind::PaymentExpired, "challenge_expired", "The challenge has expired.")
            }
        }
    }

    fn after_verify(
        &mut self,
        offer: usize,
        expires: UnixMs,
        result: Result<Verified, VerifyError>,
    ) -> Action {
        match result {
            Ok(verified) => {
                self.state = State::Claim { offer, plan: verified.plan.clone() };
                Action::Claim(Box::new(NewClaim {
                    id: self.id(),
                    keys: verified.keys,
                    scope: self.terms.scope.to_owned(),
                    payer: verified.payer,
                    plan: verified.plan,
                    reservation: verified.reservation,
                    expires,
                }))
            }
            Err(VerifyError::Rejected(problem)) => self.challenge(problem.kind, problem.code, problem.detail),
            Err(VerifyError::Replayed) => replayed(),
            Err(VerifyError::Unavailable { .. }) => {
                pending("rail_unavailable", "The payment cannot be checked right now. Nothing was charged.")
            }
        }
    }

    fn after_claim(
        &mut self,
        offer: usize,
        plan: SettlementPlan,
        result: Result<ClaimOutcome, StoreError>,
        now: UnixMs,
    ) -> Action {
        match result {
            Ok(ClaimOutcome::New) => {
                self.state = State::Settle;
                Action::Settle { offer, plan }
            }
            Ok(ClaimOutcome::Existing(claim)) => self.existing(claim.state, now),
            Ok(ClaimOutcome::Taken { .. }) => replayed(),
            Ok(ClaimOutcome::OverBudget { .. }) => Action::Refuse {
                problem: Problem::new(
                    ProblemKind::PaymentPending,
                    "sponsorship_exhausted",
                    "Fees cannot be sponsored right now. Nothing was charged.",
                ),
                retry_after_s: Some(60),
            },
            Err(_) => {
                pending("store_unavailable", "Payments cannot be checked right now. Nothing was charged.")
            }
        }
    }

    fn existing(&mut self, state: ClaimState, now: UnixMs) -> Action {
        let in_progress = |detail: &str| Action::Refuse {
            problem: Problem::new(ProblemKind::PaymentInProgress, "payment_in_progress", detail),
            retry_after_s: Some(1),
        };
        match state {
            ClaimState::Settling => {
                in_progress("This payment is being settled. Send the same credential again.")
            }
            ClaimState::Delivering { lease_until, .. } if now < lease_until => in_progress(
                "This payment's call is being served. Send the same credential again if that fails.",
            ),
            ClaimState::Credit(settled) | ClaimState::Delivering { settled, .. } => {
                let step = ClaimStep::BeginDelivery { lease_until: now.plus_ms(self.terms.lease_ms) };
                self.record(step, Next::Deliver(settled))
            }
            ClaimState::Delivered(_) => replayed(),
            // A failed claim is claimed anew, so a store never reports one as existing.
            ClaimState::Failed { .. } => pending("flow_out_of_step", "The payment's state is being checked."),
        }
    }

    fn after_settle(&mut self, result: Result<Settled, SettleError>, now: UnixMs) -> Action {
        match result {
            Ok(settled) => {
                let delivery = Delivery::Begin { lease_until: now.plus_ms(self.terms.lease_ms) };
                self.record(ClaimStep::Settled { settled: settled.clone(), delivery }, Next::Deliver(settled))
            }
            Err(SettleError::Rejected(problem)) => {
                self.record(ClaimStep::Failed { why: problem.code.to_owned() }, Next::Challenge(problem))
            }
            Err(SettleError::Unknown { .. }) => pending(
                "outcome_unknown",
                "The payment was sent and its outcome is not known yet. Do not pay again: send the same credential again.",
            ),
        }
    }

    fn record(&mut self, step: ClaimStep, next: Next) -> Action {
        self.state = State::Record { next };
        Action::Record { id: self.id(), step }
    }

    fn after_record(&mut self, next: Next, result: Result<(), AdvanceError>) -> Action {
        match (next, result) {
            (Next::Deliver(settled), Ok(())) => Action::Deliver(Box::new(Outcome {
                id: self.id(),
                receipt: Receipt::for_settled(&self.credential.challenge.method, settled),
                payer: self.credential.source.as_deref().map(str::to_owned),
            })),
            (Next::Deliver(_), Err(AdvanceError::WrongState { .. })) => Action::Refuse {
                problem: Problem::new(
                    ProblemKind::PaymentInProgress,
                    "payment_in_progress",
                    "This payment's call is being served. Send the same credential again if that fails.",
                ),
                retry_after_s: Some(1),
            },
            (Next::Challenge(problem), Ok(())) => self.challenge(problem.kind, problem.code, problem.detail),
            (_, Err(_)) => {
                pending("store_unavailable", "The payment's state is kept. Send the same credential again.")
            }
        }
    }

    fn id(&self) -> ClaimId {
        ClaimId(self.credential.challenge.id.clone().into_owned())
    }

    fn challenge(&mut self, kind: ProblemKind, code: &'static str, detail: impl Into<String>) -> Action {
        self.state = State::Done;
        let problem = Problem::new(kind, code, detail);
        // Only 402 may carry challenges (C1); a rail may also answer 400.
        if problem.status() == 402 {
            Action::Challenge(problem)
        } else {
            Action::Refuse { problem, retry_after_s: None }
        }
    }
}

fn replayed() -> Action {
    Action::Refuse {
        problem: Problem::new(
            ProblemKind::CredentialReplayed,
            "credential_replayed",
            "This payment was already used. Do not pay again for the same call.",
        ),
        retry_after_s: None,
    }
}

fn pending(code: &'static str, detail: &str) -> Action {
    Action::Refuse {
        problem: Problem::new(ProblemKind::PaymentPending, code, detail),
        retry_after_s: Some(1),
    }
}

fn dialect_scope_is(opaque: Option<&str>, scope: &str) -> bool {
    opaque.is_some_and(|opaque| crate::dialect::mpp::scope_is(opaque, scope))
}
