//! From the verified payment to the settled one: what is claimed, what comes first, and what becomes of a payment whose call was
//! paid before.

use crate::ports::{
    Claim, ClaimId, ClaimOutcome, ClaimState, ClaimStep, Delivery, First, Funds, IdempotencyKey, NewClaim,
    ReservationFate, SettleError, Settled, StoreError, Verified,
};
use crate::{Problem, UnixMs};

use super::outcome::KeepAnswer;
use super::serve::{Reserved, ServeFlow};
use super::step::Action;
use super::terms::SettleOrder;
use super::{GateFlow, Kept, Next, State, refusal};

/// What is being claimed.
#[derive(Debug)]
pub(super) struct Claiming {
    pub(super) purpose: Purpose,
    pub(super) funds: Funds,
    pub(super) claimed: Claimed,
    /// The same once more, where it may have to be claimed without its key.
    pub(super) again: Option<NewClaim>,
}

/// What is needed of a claim once it is ours.
#[derive(Debug)]
pub(super) struct Claimed {
    pub(super) reserved: Reserved,
    pub(super) first: First,
}

/// What a payment is for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// This call.
    Call,
    /// A later call: this one was paid before, and the money of this payment has moved all the same.
    Keep(Box<Claim>),
}

impl GateFlow<'_> {
    /// What comes first: the service only where the payment can wait for all of it.
    pub(super) fn first(&self, verified: &Verified, now: UnixMs) -> First {
        let served = now.plus_ms(self.terms.promise.service_ms);
        let can_wait = verified.settle_by.is_none_or(|settle_by| served < settle_by);
        match (self.terms.promise.settle, verified.funds) {
            (SettleOrder::After, Funds::Authorised) if can_wait => First::Serve(self.lease(now)),
            _ => First::Settle,
        }
    }

    pub(super) fn key(&self, payer: Option<&str>, id: &ClaimId) -> Option<IdempotencyKey> {
        let key = self.terms.requested.key(self.terms.scope, payer, id)?;
        Some(IdempotencyKey { key, request: self.request? })
    }

    pub(super) fn claim(
        &mut self,
        offer: usize,
        new: NewClaim,
        purpose: Purpose,
        funds: Funds,
        again: Option<NewClaim>,
    ) -> Action {
        let keep = if new.idempotency.is_some() { KeepAnswer::Yes } else { KeepAnswer::No };
        let reserved = Reserved {
            id: new.id.clone(),
            holder: self.terms.holder,
            lease_ms: self.terms.lease_ms,
            offer,
            method: self.terms.offers[offer].method.to_owned(),
            plan: new.plan.clone(),
            payer: new.payer.clone(),
            paid: new.paid.clone(),
            keep,
            promise: self.terms.promise,
        };
        let claimed = Claimed { reserved, first: new.first };
        self.state = State::Claim(Box::new(Claiming { purpose, funds, claimed, again }));
        Action::Claim(Box::new(new))
    }

    pub(super) fn after_claim(
        &mut self,
        claiming: Claiming,
        result: Result<ClaimOutcome, StoreError>,
        now: UnixMs,
    ) -> Action {
        let Claiming { purpose, funds, claimed, again } = claiming;
        match (result, purpose) {
            (Ok(ClaimOutcome::New), purpose) => match claimed.first {
                First::Settle => {
                    let (offer, plan) = (claimed.reserved.offer, claimed.reserved.plan.clone());
                    self.state = State::Settle { purpose, new: Box::new(claimed) };
                    Action::Settle { offer, plan }
                }
                First::Serve(_) => Action::Serve(Box::new(ServeFlow::new(claimed.reserved))),
            },
            (Ok(ClaimOutcome::Existing(claim)), Purpose::Call) => self.found(*claim, now),
            (Ok(ClaimOutcome::Existing(_)), Purpose::Keep(call)) => {
                self.kept = Kept::Yes;
                self.found(*call, now)
            }
            (Ok(ClaimOutcome::SameRequest(call)), Purpose::Call) => {
                self.same_request(*call, claimed.reserved.offer, funds, again, now)
            }
            (Ok(ClaimOutcome::SameRequest(_)), Purpose::Keep(_)) => self.refuse(refusal::out_of_step()),
            (Ok(ClaimOutcome::Taken { .. }), _) => self.refuse(refusal::replayed()),
            (Ok(ClaimOutcome::OverBudget { .. }), _) => self.refuse(refusal::over_budget()),
            (Err(_), _) => self.refuse(refusal::store_unavailable()),
        }
    }

    /// The payer has paid for this request before, with another credential: this payment is not taken, and if it has moved by
    /// itself, it is kept for another call.
    fn same_request(
        &mut self,
        call: Claim,
        offer: usize,
        funds: Funds,
        again: Option<NewClaim>,
        now: UnixMs,
    ) -> Action {
        let given_back = matches!(call.state, ClaimState::Refunded { .. });
        match (again, funds) {
            // What was paid then is paid back: this is the payment of the call, and the key stays with the one before.
            (Some(new), _) if given_back => {
                let new = NewClaim { idempotency: None, ..new };
                self.claim(offer, new, Purpose::Call, funds, None)
            }
            (Some(new), Funds::Moved) => {
                let new = NewClaim { idempotency: None, first: First::Settle, ..new };
                self.claim(offer, new, Purpose::Keep(Box::new(call)), funds, None)
            }
            _ => self.found(call, now),
        }
    }

    pub(super) fn after_settle(
        &mut self,
        purpose: Purpose,
        new: &Claimed,
        result: Result<Settled, SettleError>,
        now: UnixMs,
    ) -> Action {
        match (result, purpose) {
            (Ok(settled), Purpose::Call) => {
                let delivery = Delivery::Begin(self.lease(now));
                let step = ClaimStep::Settled { settled: settled.clone(), delivery };
                self.record(self.id(), step, Next::Deliver(Box::new(new.reserved.outcome(settled))))
            }
            (Ok(settled), Purpose::Keep(call)) => {
                self.kept = Kept::Yes;
                let step = ClaimStep::Settled { settled, delivery: Delivery::Later };
                self.record(self.id(), step, Next::Serve(call))
            }
            (Err(SettleError::Rejected(problem)), purpose) => {
                self.failed(problem, ReservationFate::Released, purpose)
            }
            (Err(SettleError::Reverted(problem)), purpose) => {
                self.failed(problem, ReservationFate::Spent, purpose)
            }
            (Err(SettleError::Unknown { .. }), Purpose::Call) => self.refuse(refusal::outcome_unknown()),
            // A credit as soon as it is known.
            (Err(SettleError::Unknown { .. }), Purpose::Keep(call)) => {
                self.kept = Kept::Yes;
                self.found(*call, now)
            }
        }
    }

    fn failed(&mut self, problem: Problem, reservation: ReservationFate, purpose: Purpose) -> Action {
        let why = problem.code.to_owned();
        let next = match purpose {
            Purpose::Call => Next::Challenge(problem),
            Purpose::Keep(call) => Next::Serve(call),
        };
        self.record(self.id(), ClaimStep::Failed { why, reservation, holder: None }, next)
    }
}
