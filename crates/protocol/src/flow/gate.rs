//! The seller's flow: from a request to an answer, in steps that a driver carries out.
//!
//! The order is fixed and is what makes it safe: read the credential, check that the challenge is ours, of this history of the
//! store, and for this route, recall whether it was claimed before, check expiry, verify, **claim**, settle, record, deliver,
//! record. Nothing is done with money before the claim is durable, and nothing is delivered before the settlement is. Where a
//! route settles after the service has answered, [`ServeFlow`] goes on from the claim; its order is: serve, record, settle,
//! record, and only then is the answer let out.
//!
//! `found` has what becomes of a request whose payment was claimed before, `outcome` what a delivery's end leads to.
//!
//! It is not a server: bodies, sockets and waiting belong to the driver.

mod claim;
mod found;
mod outcome;
mod refusal;
mod request;
mod serve;
mod step;
mod terms;

pub use outcome::{Ending, KeepAnswer, Outcome, Replay};
pub use request::mark;
pub use serve::{Reserved, ServeAction, ServeEvent, ServeFlow};
pub use step::{Action, BodyTooLarge, Event};
pub use terms::{Offer, Promise, Requested, SettleOrder, Terms};

use claim::{Claimed, Claiming, Purpose};
use found::Wanted;

use crate::binding::{Binder, Slots};
use crate::digest::Sha256Digest;
use crate::ports::{
    AdvanceError, Claim, ClaimId, ClaimKey, ClaimState, ClaimStep, Lease, NewClaim, StoreError, Timing,
    Verified, VerifyError,
};
use crate::{Credential, Problem, ProblemKind, UnixMs};

/// The seller's flow for one request that carries a credential.
///
/// Call [`start`](Self::start), carry the action out, hand the result to [`handle`](Self::handle), until the action is
/// `Challenge`, `Refuse`, `Deliver`, `Serve` or `Replay`.
#[derive(Debug)]
pub struct GateFlow<'a> {
    terms: Terms<'a>,
    credential: &'a Credential<'a>,
    /// The request as its key names it, once the body is known.
    request: Option<[u8; 32]>,
    kept: Kept,
    shown: Shown,
    state: State,
}

/// Whether the payment of this credential is kept for later, because its call is paid by another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    No,
    Yes,
}

/// What shows that the challenge is ours and unaltered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// Nothing yet.
    Nothing,
    /// A secret that we have.
    BySecret,
    /// The claim that was made of it while there was the secret.
    ByClaim,
}

#[derive(Debug)]
enum State {
    Start,
    Body { pick: Pick },
    Recall { pick: Pick },
    Verify { offer: usize, expires: UnixMs },
    Claim(Box<Claiming>),
    Settle { purpose: Purpose, new: Box<Claimed> },
    Record { next: Next },
    Answer { wanted: Box<Wanted> },
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
    /// Deliver.
    Deliver(Box<Outcome>),
    /// Ask for a payment.
    Challenge(Problem),
    /// This payment is seen to; serve the call by the one that it was made with.
    Serve(Box<Claim>),
}

impl<'a> GateFlow<'a> {
    /// A flow for `credential`, sent to the route with these terms.
    #[must_use]
    pub const fn new(terms: Terms<'a>, credential: &'a Credential<'a>) -> Self {
        Self { terms, credential, request: None, kept: Kept::No, shown: Shown::Nothing, state: State::Start }
    }

    /// The problem of a request without a credential: not part of a flow, because nothing can follow.
    #[must_use]
    pub fn unpaid() -> Problem {
        Problem::new(ProblemKind::PaymentRequired, "payment_required", "Payment is required.")
    }

    /// The challenge whose payment is kept as a credit, although the call was answered from another one: the payer is to be told.
    #[must_use]
    pub fn kept(&self) -> Option<ClaimId> {
        (self.kept == Kept::Yes).then(|| self.id())
    }

    /// Checks what needs no IO: that the challenge is ours, unaltered, for this realm and this route (C6).
    pub fn start(&mut self, binder: &Binder) -> Action {
        if !matches!(self.state, State::Start) {
            return self.refuse(refusal::out_of_step());
        }
        let echo = &self.credential.challenge;
        if binder.check(echo).is_err() {
            return self.start_without_secret();
        }
        self.shown = Shown::BySecret;
        // From here on every echoed field is what we wrote: the binding covers them all but the description.
        if !self.is_of_this_history() {
            return self.refuse(refusal::before_restore());
        }
        if !self.is_for_this_route() {
            return self.challenge(
                ProblemKind::InvalidChallenge,
                "challenge_for_another_route",
                "The challenge was issued for another route.",
            );
        }
        match self.pick() {
            Some(pick) => self.begin_with(pick),
            None => self.other_terms(),
        }
    }

    /// No secret that we have binds it. Its payer may have paid while we had the one that does, and is owed the call, or the word that it
    /// was delivered: the claim says what the challenge bound then. What cannot be of such a claim costs the store nothing.
    fn start_without_secret(&mut self) -> Action {
        let fits = self.is_of_this_history() && self.is_for_this_route();
        match self.pick().filter(|_| fits) {
            Some(pick) => self.recall(pick),
            None => self.not_ours(),
        }
    }

    /// Only what the claim was made of, letter by letter, is shown by it.
    fn after_claim_is_asked(&mut self, pick: Pick, claim: Result<Option<Claim>, StoreError>) -> Action {
        let bound = Slots::of_echo(&self.credential.challenge).digest();
        match claim {
            Err(_) => self.refuse(refusal::store_unavailable()),
            Ok(Some(claim)) if bound.is_some() && claim.new.bound == bound => {
                self.shown = Shown::ByClaim;
                self.begin_with(pick)
            }
            Ok(_) => self.not_ours(),
        }
    }

    fn is_of_this_history(&self) -> bool {
        let opaque = self.credential.challenge.opaque.as_deref();
        opaque.and_then(crate::dialect::mpp::epoch_of) == Some(self.terms.epoch)
    }

    fn is_for_this_route(&self) -> bool {
        let echo = &self.credential.challenge;
        let scope = self.terms.scope;
        let in_scope =
            echo.opaque.as_deref().is_some_and(|opaque| crate::dialect::mpp::scope_is(opaque, scope));
        echo.realm == self.terms.realm && in_scope
    }

    fn begin_with(&mut self, pick: Pick) -> Action {
        if self.credential.challenge.digest.is_some() || self.terms.requested.key.is_some() {
            self.state = State::Body { pick };
            return Action::ReadBody;
        }
        self.recall(pick)
    }

    fn not_ours(&mut self) -> Action {
        self.challenge(
            ProblemKind::InvalidChallenge,
            "challenge_not_ours",
            "The challenge was not issued here, or was altered.",
        )
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
                self.after_verify(offer, expires, result, now)
            }
            (State::Claim(claiming), Event::Claimed(result)) => self.after_claim(*claiming, result, now),
            (State::Settle { purpose, new }, Event::Settlement(result)) => {
                self.after_settle(purpose, &new, result, now)
            }
            (State::Record { next }, Event::Recorded(result)) => self.after_record(next, result, now),
            (State::Answer { wanted }, Event::Answer(result)) => self.after_answer(*wanted, result, now),
            (State::Claim(_) | State::Record { .. }, Event::Busy) => {
                self.refuse(refusal::in_progress(refusal::BEING_SERVED))
            }
            _ => self.refuse(refusal::out_of_step()),
        }
    }

    fn after_body(&mut self, pick: Pick, body: Result<Sha256Digest, BodyTooLarge>) -> Action {
        let bound = self.credential.challenge.digest.as_deref();
        let body = match body {
            Ok(body) => body,
            Err(BodyTooLarge { max }) if bound.is_none() => return self.refuse(refusal::body_too_large(max)),
            Err(BodyTooLarge { max }) => {
                let detail = format!("A body bound to its payment may have at most {max} bytes.");
                return self.challenge(ProblemKind::BadRequest, "body_too_large", detail);
            }
        };
        if bound.is_some_and(|header| !body.matches(header)) {
            return self.challenge(
                ProblemKind::VerificationFailed,
                "digest_mismatch",
                "The body is not the one that the challenge was issued for.",
            );
        }
        self.request = Some(self.terms.requested.whole(&body));
        self.recall(pick)
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
        if self.shown == Shown::Nothing {
            return self.after_claim_is_asked(pick, claim);
        }
        let keys = match keys {
            Ok(keys) => keys,
            Err(problem) => return self.challenge(problem.kind, problem.code, problem.detail),
        };
        // Money that the bytes do not name cannot be recognised: no keys are not the claim's keys.
        let same_money =
            |claim: &Claim| !keys.is_empty() && keys.iter().all(|key| claim.new.keys.contains(key));
        match claim {
            Err(_) => self.refuse(refusal::store_unavailable()),
            Ok(Some(claim)) if !is_claimed_anew(&claim.state, now) => {
                match (same_money(&claim), pick.terms) {
                    (true, _) => self.found(claim, now),
                    (false, Standing::Current) => self.refuse(refusal::replayed()),
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
        now: UnixMs,
    ) -> Action {
        match result {
            // Money without a name could be used again under another challenge.
            Ok(verified) if verified.keys.is_empty() => self.challenge(
                ProblemKind::InternalPaymentError,
                "verifier_without_keys",
                "The payment cannot be checked, and was not taken.",
            ),
            Ok(verified) => {
                let (funds, first) = (verified.funds, self.first(&verified, now));
                let key = self.key(verified.payer.as_deref(), &self.id());
                let new = NewClaim {
                    id: self.id(),
                    keys: verified.keys,
                    scope: self.terms.scope.to_owned(),
                    payer: verified.payer,
                    paid: Some(verified.paid),
                    plan: verified.plan,
                    reservation: verified.reservation,
                    expires,
                    idempotency: key,
                    bound: Slots::of_echo(&self.credential.challenge).digest(),
                    first,
                };
                let again = new.idempotency.is_some().then(|| new.clone());
                self.claim(offer, new, Purpose::Call, funds, again)
            }
            Err(VerifyError::Rejected(problem)) => self.challenge(problem.kind, problem.code, problem.detail),
            Err(VerifyError::Replayed) => self.refuse(refusal::replayed()),
            Err(VerifyError::Unavailable { .. }) => self.refuse(refusal::rail_unavailable()),
        }
    }

    fn record(&mut self, id: ClaimId, step: ClaimStep, next: Next) -> Action {
        self.state = State::Record { next };
        Action::Record { id, step }
    }

    fn after_record(&mut self, next: Next, result: Result<(), AdvanceError>, now: UnixMs) -> Action {
        match (next, result) {
            (Next::Deliver(outcome), Ok(())) => Action::Deliver(outcome),
            (Next::Deliver(_), Err(AdvanceError::WrongState { .. })) => {
                self.refuse(refusal::in_progress(refusal::BEING_SERVED))
            }
            (Next::Challenge(problem), Ok(())) => self.challenge(problem.kind, problem.code, problem.detail),
            // Somebody else has learned what became of it: it is kept all the same.
            (Next::Serve(call), Ok(()) | Err(AdvanceError::WrongState { .. })) => self.found(*call, now),
            (_, Err(_)) => self.refuse(refusal::state_kept()),
        }
    }

    const fn lease(&self, now: UnixMs) -> Lease {
        Lease { holder: self.terms.holder, until: now.plus_ms(self.terms.lease_ms) }
    }

    fn id(&self) -> ClaimId {
        ClaimId(self.credential.challenge.id.clone().into_owned())
    }

    fn refuse(&mut self, (problem, retry_after_s): refusal::Refusal) -> Action {
        self.state = State::Done;
        Action::Refuse { problem, retry_after_s }
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

/// Whether the same credential is claimed as if it had never been: nothing was taken and nothing will be.
fn is_claimed_anew(state: &ClaimState, now: UnixMs) -> bool {
    match state {
        ClaimState::Failed { .. } => true,
        ClaimState::Reserved { lease } => lease.until <= now,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
