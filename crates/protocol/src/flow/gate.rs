//! The seller's flow: from a request to an answer, in steps that a driver carries out.
//!
//! The order is fixed and is what makes it safe: read the credential, check that the challenge is ours and for this
//! route, recall whether it was claimed before, check expiry, verify, **claim**, settle, record, deliver, record. Nothing
//! is done with money before the claim is durable, and nothing is delivered before the settlement is.
//!
//! It is not a server: bodies, sockets and waiting belong to the driver.

mod step;

pub use step::{Action, BodyTooLarge, Event, Offer, Outcome, Terms};

use crate::binding::Binder;
use crate::digest::Sha256Digest;
use crate::ports::{
    AdvanceError, Claim, ClaimId, ClaimKey, ClaimOutcome, ClaimState, ClaimStep, Delivery, NewClaim,
    ReservationFate, SettleError, Settled, SettlementPlan, StoreError, Timing, Verified, VerifyError,
};
use crate::{Credential, Problem, ProblemKind, Receipt, UnixMs};

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
    Body { pick: Pick },
    Recall { pick: Pick },
    Verify { offer: usize, expires: UnixMs },
    Claim { offer: usize, plan: SettlementPlan, payer: Option<String> },
    Settle { payer: Option<String> },
    Record { next: Next },
    Done,
}

/// The offer that a credential answers.
#[derive(Debug, Clone, Copy)]
struct Pick {
    offer: usize,
    terms: Standing,
}

/// Whether the credential's request is what the route asks for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It is.
    Current,
    /// The route has other terms by now: good for a payment that was made under the old ones, not for a new one.
    Superseded,
}

#[derive(Debug)]
enum Next {
    Deliver { settled: Settled, payer: Option<String> },
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
        if !matches!(self.state, State::Start) {
            return self.out_of_step();
        }
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
        let Some(pick) = self.pick() else { return self.other_terms() };
        if echo.digest.is_some() {
            self.state = State::Body { pick };
            return Action::ReadBody;
        }
        self.recall(pick)
    }

    /// The offer with this very request, or else any of the same kind.
    fn pick(&self) -> Option<Pick> {
        let echo = &self.credential.challenge;
        let kind = |offer: &Offer<'_>| offer.method == echo.method && offer.intent == echo.intent;
        let offers = self.terms.offers;
        let current = offers.iter().position(|offer| kind(offer) && offer.request.as_str() == echo.request);
        current
            .map(|offer| Pick { offer, terms: Standing::Current })
            .or_else(|| Some(Pick { offer: offers.iter().position(kind)?, terms: Standing::Superseded }))
    }

    fn other_terms(&mut self) -> Action {
        self.challenge(
            ProblemKind::InvalidChallenge,
            "challenge_for_other_terms",
            "The terms of this route have changed since the challenge was issued.",
        )
    }

    /// What to do after `event`.
    pub fn handle(&mut self, event: Event, now: UnixMs) -> Action {
        match (std::mem::replace(&mut self.state, State::Done), event) {
            (State::Body { pick }, Event::Body(body)) => self.after_body(pick, body),
            (State::Recall { pick }, Event::Recalled { keys, claim }) => {
                self.after_recall(pick, keys, claim, now)
            }
            (State::Verify { offer, expires }, Event::Verified(result)) => {
                self.after_verify(offer, expires, result)
            }
            (State::Claim { offer, plan, payer }, Event::Claimed(result)) => match result {
                Ok(ClaimOutcome::New) => {
                    self.state = State::Settle { payer };
                    Action::Settle { offer, plan }
                }
                other => self.not_claimed(other, now),
            },
            (State::Settle { payer }, Event::Settlement(result)) => self.after_settle(payer, result, now),
            (State::Record { next }, Event::Recorded(result)) => self.after_record(next, result),
            _ => self.out_of_step(),
        }
    }

    /// A driver that answers another question than was asked has lost its place: nothing may be assumed.
    fn out_of_step(&mut self) -> Action {
        self.state = State::Done;
        pending("flow_out_of_step", "The payment's state is being checked.")
    }

    fn after_body(&mut self, pick: Pick, body: Result<Sha256Digest, BodyTooLarge>) -> Action {
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
            return self.recall(pick);
        }
        self.challenge(
            ProblemKind::VerificationFailed,
            "digest_mismatch",
            "The body is not the one that the challenge was issued for.",
        )
    }

    fn recall(&mut self, pick: Pick) -> Action {
        self.state = State::Recall { pick };
        Action::Recall { offer: pick.offer, id: self.id() }
    }

    fn after_recall(
        &mut self,
        pick: Pick,
        keys: Result<Vec<ClaimKey>, Problem>,
        claim: Result<Option<Claim>, StoreError>,
        now: UnixMs,
    ) -> Action {
        let keys = match keys {
            Ok(keys) => keys,
            Err(problem) => return self.challenge(problem.kind, problem.code, problem.detail),
        };
        // Money that the bytes do not name cannot be recognised: no keys are not the claim's keys.
        let same_money =
            |claim: &Claim| !keys.is_empty() && keys.iter().all(|key| claim.new.keys.contains(key));
        match claim {
            Err(_) => pending(
                "store_unavailable",
                "Payments cannot be checked right now. Do not pay again: send the same credential again.",
            ),
            Ok(Some(claim)) if !matches!(claim.state, ClaimState::Failed { .. }) => {
                match (same_money(&claim), pick.terms) {
                    (true, _) => self.existing(claim, now),
                    (false, Standing::Current) => replayed(),
                    (false, Standing::Superseded) => self.other_terms(),
                }
            }
            Ok(_) if pick.terms == Standing::Superseded => self.other_terms(),
            Ok(_) => self.check_expiry(pick.offer, now),
        }
    }

    fn check_expiry(&mut self, offer: usize, now: UnixMs) -> Action {
        // Required, and refused at the instant it is reached (C2; DESIGN section 5).
        let expires = self.credential.challenge.expires.as_deref().and_then(|text| UnixMs::parse(text).ok());
        let late_ms = self.terms.offers[offer].late_ms;
        let timed = expires.and_then(|expires| match now {
            now if now < expires => Some((expires, Timing::InTime)),
            now if now < expires.plus_ms(late_ms) => Some((expires, Timing::Late)),
            _ => None,
        });
        match timed {
            Some((expires, timing)) => {
                self.state = State::Verify { offer, expires };
                Action::Verify { offer, expires, timing }
            }
            None => {
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
            // Money without a name could be used again under another challenge.
            Ok(verified) if verified.keys.is_empty() => self.challenge(
                ProblemKind::InternalPaymentError,
                "verifier_without_keys",
                "The payment cannot be checked, and was not taken.",
            ),
            Ok(verified) => {
                self.state =
                    State::Claim { offer, plan: verified.plan.clone(), payer: verified.payer.clone() };
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
            Err(VerifyError::Unavailable { .. }) => pending(
                "rail_unavailable",
                "The payment cannot be checked right now. Do not pay again: send the same credential again.",
            ),
        }
    }

    fn not_claimed(&mut self, result: Result<ClaimOutcome, StoreError>, now: UnixMs) -> Action {
        match result {
            Ok(ClaimOutcome::New) => self.out_of_step(),
            Ok(ClaimOutcome::Existing(claim)) => self.existing(*claim, now),
            Ok(ClaimOutcome::Taken { .. }) => replayed(),
            Ok(ClaimOutcome::OverBudget { .. }) => Action::Refuse {
                problem: Problem::new(
                    ProblemKind::PaymentPending,
                    "sponsorship_exhausted",
                    "Fees cannot be sponsored right now, and the payment was not taken.",
                ),
                retry_after_s: Some(60),
            },
            Err(_) => pending(
                "store_unavailable",
                "Payments cannot be checked right now. Do not pay again: send the same credential again.",
            ),
        }
    }

    fn existing(&mut self, claim: Claim, now: UnixMs) -> Action {
        let in_progress = |detail: &str| Action::Refuse {
            problem: Problem::new(ProblemKind::PaymentInProgress, "payment_in_progress", detail),
            retry_after_s: Some(1),
        };
        match claim.state {
            ClaimState::Settling => {
                in_progress("This payment is being settled. Send the same credential again.")
            }
            ClaimState::Delivering { lease_until, .. } if now < lease_until => in_progress(
                "This payment's call is being served. Send the same credential again if that fails.",
            ),
            ClaimState::Credit(settled) | ClaimState::Delivering { settled, .. } => {
                let step = ClaimStep::BeginDelivery { lease_until: now.plus_ms(self.terms.lease_ms) };
                self.record(step, Next::Deliver { settled, payer: claim.new.payer })
            }
            ClaimState::Delivered(_) => replayed(),
            // A failed claim is claimed anew, so a store never reports one as existing.
            ClaimState::Failed { .. } => self.out_of_step(),
        }
    }

    fn after_settle(
        &mut self,
        payer: Option<String>,
        result: Result<Settled, SettleError>,
        now: UnixMs,
    ) -> Action {
        match result {
            Ok(settled) => {
                let delivery = Delivery::Begin { lease_until: now.plus_ms(self.terms.lease_ms) };
                let step = ClaimStep::Settled { settled: settled.clone(), delivery };
                self.record(step, Next::Deliver { settled, payer })
            }
            Err(SettleError::Rejected(problem)) => self.failed(problem, ReservationFate::Released),
            Err(SettleError::Reverted(problem)) => self.failed(problem, ReservationFate::Spent),
            Err(SettleError::Unknown { .. }) => pending(
                "outcome_unknown",
                "The payment was sent and its outcome is not known yet. Do not pay again: send the same credential again.",
            ),
        }
    }

    fn failed(&mut self, problem: Problem, reservation: ReservationFate) -> Action {
        let why = problem.code.to_owned();
        self.record(ClaimStep::Failed { why, reservation }, Next::Challenge(problem))
    }

    fn record(&mut self, step: ClaimStep, next: Next) -> Action {
        self.state = State::Record { next };
        Action::Record { id: self.id(), step }
    }

    fn after_record(&mut self, next: Next, result: Result<(), AdvanceError>) -> Action {
        match (next, result) {
            (Next::Deliver { settled, payer }, Ok(())) => Action::Deliver(Box::new(Outcome {
                id: self.id(),
                receipt: Receipt::for_settled(&self.credential.challenge.method, settled),
                payer,
            })),
            (Next::Deliver { .. }, Err(AdvanceError::WrongState { .. })) => Action::Refuse {
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

#[cfg(test)]
mod tests;
