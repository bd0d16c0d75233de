//! What becomes of a request whose payment was claimed before, by its own credential or, under the same `Idempotency-Key`, by
//! another one of its payer's: it is told to wait, served, served from what is kept, or refused. Nothing new is settled here.

use crate::ports::{Amends, Claim, ClaimId, ClaimState, ClaimStep, Settled, StoreError, StoredAnswer};
use crate::{ProblemKind, Receipt, UnixMs};

use super::outcome::{KeepAnswer, Outcome, Replay};
use super::request::{KeyFit, is_for};
use super::step::Action;
use super::terms::Promise;
use super::{GateFlow, Next, State, refusal};

/// An answer that is being looked up.
#[derive(Debug)]
pub(super) enum Wanted {
    /// For a credit: without it, the service is called.
    Credit(Outcome),
    /// For a call that was delivered: it is served again, and nothing else is.
    Again { id: ClaimId, receipt: Receipt },
}

impl GateFlow<'_> {
    pub(super) fn found(&mut self, claim: Claim, now: UnixMs) -> Action {
        let asked = self.key(claim.new.payer.as_deref(), &claim.new.id);
        let fit = KeyFit::of(&claim, asked.as_ref());
        if fit == KeyFit::OtherRequest {
            return self.refuse(refusal::key_reused());
        }
        match &claim.state {
            ClaimState::Settling => self.refuse(refusal::in_progress(refusal::BEING_SETTLED)),
            // One whose lease has run out is claimed anew by its own credential, and by no other.
            ClaimState::Reserved { .. } => self.refuse(refusal::in_progress(refusal::BEING_SERVED)),
            ClaimState::Delivering { lease, .. } if now < lease.until => {
                self.refuse(refusal::in_progress(refusal::BEING_SERVED))
            }
            // A key promises one execution of the call that it names, and this credit is for another one.
            ClaimState::Credit(_) | ClaimState::RefundDue(_) | ClaimState::Delivering { .. }
                if fit == KeyFit::OtherKey =>
            {
                self.refuse(refusal::key_mismatch())
            }
            ClaimState::Credit(settled)
            | ClaimState::RefundDue(settled)
            | ClaimState::Delivering { settled, .. } => {
                let outcome = self.outcome(&claim, settled.clone());
                if !claim.answered {
                    return self.begin(outcome, now);
                }
                self.fetch(claim.new.id, Wanted::Credit(outcome))
            }
            ClaimState::Delivered(settled) if fit == KeyFit::Same && claim.answered => {
                let receipt = Receipt::for_settled(self.method(&claim), settled.clone());
                self.fetch(claim.new.id.clone(), Wanted::Again { id: claim.new.id, receipt })
            }
            ClaimState::Delivered(_) if fit == KeyFit::Same => self.refuse(refusal::not_kept()),
            ClaimState::Delivered(_) => self.refuse(refusal::replayed()),
            ClaimState::Refunding { .. } => self.refuse(refusal::in_progress(refusal::BEING_REFUNDED)),
            ClaimState::Refunded { .. } => self.challenge(
                ProblemKind::VerificationFailed,
                "payment_refunded",
                "This payment was given back, because its call could not be served. Pay again to make the call.",
            ),
            // A failed claim is claimed anew, so a store never reports one as existing.
            ClaimState::Failed { .. } => self.refuse(refusal::out_of_step()),
        }
    }

    fn fetch(&mut self, id: ClaimId, wanted: Wanted) -> Action {
        self.state = State::Answer { wanted: Box::new(wanted) };
        Action::FetchAnswer { id }
    }

    pub(super) fn after_answer(
        &mut self,
        wanted: Wanted,
        answer: Result<Option<StoredAnswer>, StoreError>,
        now: UnixMs,
    ) -> Action {
        let Ok(answer) = answer else { return self.refuse(refusal::store_unavailable()) };
        match (wanted, answer) {
            (Wanted::Credit(outcome), Some(mut answer)) => {
                if !is_for(&mut answer, &self.terms.requested.target_digest()) {
                    return self.refuse(refusal::other_answer());
                }
                self.begin(Outcome { answer: Some(Box::new(answer)), ..outcome }, now)
            }
            (Wanted::Credit(outcome), None) => self.begin(outcome, now),
            (Wanted::Again { id, receipt }, Some(mut answer)) => {
                if !is_for(&mut answer, &self.terms.requested.target_digest()) {
                    return self.refuse(refusal::other_answer());
                }
                Action::Replay(Box::new(Replay { id, receipt, answer: Box::new(answer) }))
            }
            (Wanted::Again { .. }, None) => self.refuse(refusal::not_kept()),
        }
    }

    fn begin(&mut self, outcome: Outcome, now: UnixMs) -> Action {
        let step = ClaimStep::BeginDelivery(self.lease(now));
        self.record(outcome.id.clone(), step, Next::Deliver(Box::new(outcome)))
    }

    fn outcome(&self, claim: &Claim, settled: Settled) -> Outcome {
        let keep = if claim.new.idempotency.is_some() { KeepAnswer::Yes } else { KeepAnswer::No };
        Outcome {
            id: claim.new.id.clone(),
            holder: self.terms.holder,
            receipt: Receipt::for_settled(self.method(claim), settled),
            payer: claim.new.payer.clone(),
            paid: claim.new.paid.clone(),
            deliveries: claim.deliveries.saturating_add(1),
            keep,
            promise: Promise { amends: self.amends(claim), ..self.terms.promise },
            answer: None,
        }
    }

    /// What is made good if the service fails now. A credit whose delivery has begun before may be that of a payer who has read
    /// all but the end of its answer: it stays a credit, else a second request that is left at once would bring the money, too.
    const fn amends(&self, claim: &Claim) -> Amends {
        match claim.state {
            ClaimState::RefundDue(_) => self.terms.promise.amends,
            _ if claim.deliveries == 0 => self.terms.promise.amends,
            _ => Amends::Credit,
        }
    }

    /// The method that a claim was paid with: another one than this credential's, perhaps.
    fn method(&self, claim: &Claim) -> &str {
        let rail = self.terms.offers.iter().find(|offer| offer.rail == claim.new.plan.rail);
        rail.map_or(&*self.credential.challenge.method, |offer| offer.method)
    }
}
