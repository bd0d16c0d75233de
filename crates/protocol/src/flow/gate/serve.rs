//! The second half of a call whose payment is settled after the service has answered: from the reservation to the settled
//! payment. As the first half, it does no IO.
//!
//! The service's answer is withheld until its payment is settled and recorded. Where the service fails, nothing was asked of
//! the payer and nothing will be.

use farthing_money::Money;

use crate::ports::{
    AdvanceError, ClaimId, ClaimStep, Delivery, Lease, LeaseHolder, ReservationFate, SettleError, Settled,
    SettlementPlan, StoredAnswer,
};
use crate::{Problem, Receipt, UnixMs};

use super::outcome::{KeepAnswer, Outcome};
use super::refusal;
use super::terms::Promise;

/// What is reserved, and for whom.
#[derive(Debug, Clone)]
pub struct Reserved {
    /// The claim.
    pub id: ClaimId,
    /// Who calls the service.
    pub holder: LeaseHolder,
    /// How long a lease lasts, in milliseconds.
    pub lease_ms: u64,
    /// Index of the offer that settles it.
    pub offer: usize,
    /// The method, for the receipt.
    pub method: String,
    /// How to settle.
    pub plan: SettlementPlan,
    /// Who pays.
    pub payer: Option<String>,
    /// What is paid.
    pub paid: Option<Money>,
    /// Whether the answer is kept after it was delivered.
    pub keep: KeepAnswer,
    /// What the route promises.
    pub promise: Promise,
}

/// The flow of a call whose payment is reserved: begins with the service being called.
///
/// Hand over what happens with [`handle`](Self::handle) until the action is `Uncharged`, `Deliver`, `Challenge` or `Withhold`.
#[derive(Debug)]
pub struct ServeFlow {
    reserved: Reserved,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The service is being called.
    Serving,
    /// The step to `Failed` is being recorded.
    Freeing,
    /// The step to `Settling` is being recorded.
    Begun,
    Settling,
    /// The step to `Delivering` is being recorded.
    Recording(Settled),
    /// The step to `Failed` is being recorded, after a settlement that was refused.
    Refusing(Problem),
    Done,
}

/// What happened to a reserved call.
#[derive(Debug)]
pub enum ServeEvent {
    /// The service has answered with this status. What it answered, where all of it is there and small enough to keep.
    Answered {
        /// The status.
        status: u16,
        /// The answer.
        answer: Option<Box<StoredAnswer>>,
    },
    /// The service gave no answer, or a part of one that broke.
    NoAnswer,
    /// The store's answer.
    Recorded(Result<(), AdvanceError>),
    /// The rail's answer.
    Settlement(Result<Settled, SettleError>),
}

/// What the driver of a reserved call is to do next.
#[derive(Debug)]
pub enum ServeAction {
    /// Take this step in the store; answer with [`ServeEvent::Recorded`].
    Record {
        /// The claim.
        id: ClaimId,
        /// The step.
        step: ClaimStep,
    },
    /// Settle with the offer's verifier; answer with [`ServeEvent::Settlement`].
    Settle {
        /// Index of the offer.
        offer: usize,
        /// What to settle.
        plan: SettlementPlan,
    },
    /// Pass the service's failure on. Nothing was charged and nothing is left to record.
    Uncharged,
    /// The payment is settled: deliver what the service answered, then record [`Outcome::step`].
    Deliver(Box<Outcome>),
    /// The service's answer is dropped. Answer 402 with fresh challenges.
    Challenge(Problem),
    /// The service's answer is dropped. Answer with this problem.
    Withhold {
        /// What to answer.
        problem: Problem,
        /// When the same credential may be sent again, in seconds.
        retry_after_s: Option<u32>,
    },
}

impl ServeFlow {
    pub(super) const fn new(reserved: Reserved) -> Self {
        Self { reserved, state: State::Serving }
    }

    /// What is reserved.
    #[must_use]
    pub const fn reserved(&self) -> &Reserved {
        &self.reserved
    }

    /// What to do after `event`.
    pub fn handle(&mut self, event: ServeEvent, now: UnixMs) -> ServeAction {
        match (std::mem::replace(&mut self.state, State::Done), event) {
            (State::Serving, ServeEvent::Answered { status, answer }) if Outcome::is_bought(status) => {
                let step = ClaimStep::BeginSettlement { holder: self.reserved.holder, answer };
                self.record(step, State::Begun)
            }
            (State::Serving, ServeEvent::Answered { .. } | ServeEvent::NoAnswer) => {
                let (why, holder) = ("service_failed".to_owned(), Some(self.reserved.holder));
                let reservation = ReservationFate::Released;
                self.record(ClaimStep::Failed { why, reservation, holder }, State::Freeing)
            }
            // However that went: a reservation that stays is given up when its lease has run out.
            (State::Freeing, ServeEvent::Recorded(_)) => ServeAction::Uncharged,
            (State::Begun, ServeEvent::Recorded(Ok(()))) => {
                self.state = State::Settling;
                ServeAction::Settle { offer: self.reserved.offer, plan: self.reserved.plan.clone() }
            }
            (State::Settling, ServeEvent::Settlement(result)) => self.after_settle(result, now),
            (State::Recording(settled), ServeEvent::Recorded(Ok(()))) => {
                ServeAction::Deliver(Box::new(self.reserved.outcome(settled)))
            }
            (State::Refusing(problem), ServeEvent::Recorded(Ok(()))) => refused(problem),
            // Somebody else has taken the reservation, or has learned what became of the settlement.
            (
                State::Begun | State::Recording(_),
                ServeEvent::Recorded(Err(AdvanceError::WrongState { .. })),
            ) => withheld(refusal::in_progress(refusal::BEING_SERVED)),
            (State::Begun | State::Recording(_) | State::Refusing(_), ServeEvent::Recorded(Err(_))) => {
                withheld(refusal::state_kept())
            }
            _ => withheld(refusal::out_of_step()),
        }
    }

    fn after_settle(&mut self, result: Result<Settled, SettleError>, now: UnixMs) -> ServeAction {
        let failed = |problem: &Problem, reservation| {
            let why = problem.code.to_owned();
            ClaimStep::Failed { why, reservation, holder: None }
        };
        match result {
            Ok(settled) => {
                let until = now.plus_ms(self.reserved.lease_ms);
                let delivery = Delivery::Begin(Lease { holder: self.reserved.holder, until });
                let step = ClaimStep::Settled { settled: settled.clone(), delivery };
                self.record(step, State::Recording(settled))
            }
            Err(SettleError::Rejected(problem)) => {
                let step = failed(&problem, ReservationFate::Released);
                self.record(step, State::Refusing(problem))
            }
            Err(SettleError::Reverted(problem)) => {
                let step = failed(&problem, ReservationFate::Spent);
                self.record(step, State::Refusing(problem))
            }
            Err(SettleError::Unknown { .. }) => withheld(refusal::outcome_unknown()),
        }
    }

    fn record(&mut self, step: ClaimStep, state: State) -> ServeAction {
        self.state = state;
        ServeAction::Record { id: self.reserved.id.clone(), step }
    }
}

impl Reserved {
    /// The first delivery of a payment that is settled now.
    pub(super) fn outcome(&self, settled: Settled) -> Outcome {
        let Self { id, holder, method, payer, paid, keep, promise, .. } = self.clone();
        let receipt = Receipt::for_settled(&method, settled);
        Outcome { id, holder, receipt, payer, paid, deliveries: 1, keep, promise, answer: None }
    }
}

/// A problem of the rail's as an answer: only 402 may carry challenges (C1).
fn refused(problem: Problem) -> ServeAction {
    if problem.status() == 402 {
        ServeAction::Challenge(problem)
    } else {
        ServeAction::Withhold { problem, retry_after_s: None }
    }
}

fn withheld((problem, retry_after_s): (Problem, Option<u32>)) -> ServeAction {
    ServeAction::Withhold { problem, retry_after_s }
}

#[cfg(test)]
mod tests;
