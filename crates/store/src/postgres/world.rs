//! What one batch sees and does, in memory: the claims that it has locked, who holds the keys and requests that it wants, its
//! budgets. Commands are decided here one after the other, as if each were alone; what comes of them all is written once.
//!
//! It does no IO. What it knows of keys and requests may be overtaken before it is written: then the database's unique indexes
//! say so, and the batch is begun anew.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use farthing_protocol::UnixMs;
use farthing_protocol::ports::{
    AdvanceError, Claim, ClaimId, ClaimOutcome, ClaimState, ClaimStep, First, NewClaim, ReservationFate,
    StoreError, StoredAnswer,
};

use super::budget::Budgets;
use super::row::Stored;
use crate::row::Corrupt;
use crate::transition::{ABANDONED, Transition, answer_of, begins_delivery, fingerprint, transition};

/// The batch does not see one state of things: somebody was faster. It is begun anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overtaken;

/// What a command came to; its own error when its claim cannot be read.
pub(super) type Decided<T> = Result<Result<T, StoreError>, Overtaken>;

/// What a batch knows.
#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) slots: BTreeMap<ClaimId, Slot>,
    /// Who holds a key.
    pub(super) keys: HashMap<String, ClaimId>,
    /// Who holds a request.
    pub(super) requests: HashMap<String, ClaimId>,
    /// Claims that hold requests and are not the batch's own: for answers only.
    pub(super) others: HashMap<ClaimId, Claim>,
    pub(super) budgets: Budgets,
}

/// One claim of the batch.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// As it was found, locked; none when there is no such claim.
    pub(super) before: Option<Stored>,
    /// As it is now.
    pub(super) now: Option<Stored>,
    /// Why it could not be read.
    pub(super) corrupt: Option<StoreError>,
    pub(super) written: Written,
    pub(super) answer: AnswerChange,
}

/// How much of a claim's row is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Written {
    /// Nothing.
    #[default]
    Nothing,
    /// Where it is.
    State,
    /// All of it.
    Whole,
}

/// What becomes of the answer that is kept.
#[derive(Debug, Default)]
pub(super) enum AnswerChange {
    /// What there is stays.
    #[default]
    None,
    /// There is none any more.
    Forget,
    /// This one.
    Keep(StoredAnswer),
}

impl Slot {
    /// A claim as it was found.
    pub(super) fn found(read: Result<Stored, Corrupt>) -> Self {
        match read {
            Ok(stored) => Self { before: Some(stored.clone()), now: Some(stored), ..Self::default() },
            Err(corrupt) => Self { corrupt: Some(corrupt.into()), ..Self::default() },
        }
    }
}

/// Whether a claim holds its id, its keys and its request.
pub(super) const fn is_live(claim: &Claim) -> bool {
    !matches!(claim.state, ClaimState::Failed { .. })
}

/// A claim's keys, each once.
pub(super) fn keys(new: &NewClaim) -> BTreeSet<&str> {
    new.keys.iter().map(|key| key.0.as_str()).collect()
}

impl World {
    /// Claims the id, all keys, the idempotency key and the reservation, or none.
    pub(super) fn claim(&mut self, new: &NewClaim, now: UnixMs) -> Decided<ClaimOutcome> {
        let Some(slot) = self.slots.get(&new.id) else { return Err(Overtaken) };
        if let Some(error) = &slot.corrupt {
            return Ok(Err(error.clone()));
        }
        let mut abandoned = false;
        if let Some(old) = slot.now.as_ref().map(|old| &old.claim).filter(|old| is_live(old)) {
            if keys(&old.new) != keys(new) {
                return Ok(Ok(ClaimOutcome::Taken { what: new.id.0.clone() }));
            }
            abandoned = matches!(old.state, ClaimState::Reserved { lease } if lease.until <= now);
            if !abandoned {
                return Ok(Ok(ClaimOutcome::Existing(Box::new(old.clone()))));
            }
        }
        for key in &new.keys {
            match self.keys.get(&key.0) {
                Some(holder) if *holder != new.id => {
                    return Ok(Ok(ClaimOutcome::Taken { what: key.0.clone() }));
                }
                // It was claimed after this batch had looked for it.
                Some(_) if !abandoned => return Err(Overtaken),
                _ => {}
            }
        }
        if let Some(holder) = new.idempotency.as_ref().and_then(|wanted| self.requests.get(&wanted.key)) {
            if *holder != new.id {
                let holder = self.holder(holder)?;
                return Ok(Ok(ClaimOutcome::SameRequest(Box::new(holder))));
            }
            if !abandoned {
                return Err(Overtaken);
            }
        }
        match &new.reservation {
            Some(wanted) => match self.budgets.reserve(&new.id, wanted, now) {
                None => return Err(Overtaken),
                Some(false) => {
                    return Ok(Ok(ClaimOutcome::OverBudget { budget: wanted.budget.clone() }));
                }
                Some(true) => {}
            },
            None => self.budgets.release(&new.id),
        }
        self.put(new, now);
        Ok(Ok(ClaimOutcome::New))
    }

    /// The claim that holds a request.
    fn holder(&self, id: &ClaimId) -> Result<Claim, Overtaken> {
        let own = self.slots.get(id).and_then(|slot| slot.now.as_ref()).map(|stored| &stored.claim);
        own.filter(|claim| is_live(claim)).or_else(|| self.others.get(id)).cloned().ok_or(Overtaken)
    }

    fn put(&mut self, new: &NewClaim, now: UnixMs) {
        self.free_names(&new.id);
        let state = match new.first {
            First::Settle => ClaimState::Settling,
            First::Serve(lease) => ClaimState::Reserved { lease },
        };
        let claim = Claim { new: new.clone(), state, changed: now, deliveries: 0, answered: false };
        for key in &new.keys {
            self.keys.insert(key.0.clone(), new.id.clone());
        }
        if let Some(idempotency) = &new.idempotency {
            self.requests.insert(idempotency.key.clone(), new.id.clone());
        }
        let slot = self.slots.entry(new.id.clone()).or_default();
        slot.now = Some(Stored { claim, last_step: None });
        slot.written = Written::Whole;
        slot.answer = AnswerChange::Forget;
    }

    /// Takes one step of a claim's life.
    pub(super) fn advance(
        &mut self,
        id: &ClaimId,
        step: &ClaimStep,
        now: UnixMs,
    ) -> Decided<Result<(), AdvanceError>> {
        let Some(slot) = self.slots.get_mut(id) else { return Err(Overtaken) };
        if let Some(error) = &slot.corrupt {
            return Ok(Err(error.clone()));
        }
        let Some(stored) = &mut slot.now else {
            return Ok(Ok(Err(AdvanceError::Unknown { id: id.clone() })));
        };
        let print = match fingerprint(step) {
            Ok(print) => print,
            Err(error) => return Ok(Err(error)),
        };
        if stored.last_step.as_deref() == Some(&print) {
            return Ok(Ok(Ok(())));
        }
        let claim = &mut stored.claim;
        let next = match transition(&claim.state, step, now) {
            Transition::To(next) if next != claim.state => next,
            Transition::To(_) | Transition::Already => return Ok(Ok(Ok(()))),
            Transition::Wrong => {
                return Ok(Ok(Err(AdvanceError::WrongState { state: claim.state.name() })));
            }
        };
        claim.deliveries = claim.deliveries.saturating_add(u32::from(begins_delivery(step)));
        if let Some(answer) = answer_of(step) {
            claim.answered = true;
            slot.answer = AnswerChange::Keep(answer.clone());
        }
        (claim.state, claim.changed) = (next, now);
        stored.last_step = Some(print.to_vec());
        slot.written = slot.written.max(Written::State);
        let fate = match step {
            ClaimStep::Failed { reservation, .. } => *reservation,
            _ => ReservationFate::Released,
        };
        self.free_if_failed(id, fate);
        Ok(Ok(Ok(())))
    }

    /// Gives a lease back that has run out.
    pub(super) fn release(&mut self, id: &ClaimId, now: UnixMs) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        let Some(stored) = &mut slot.now else { return };
        stored.claim.state = match &stored.claim.state {
            ClaimState::Delivering { settled, .. } => ClaimState::Credit(settled.clone()),
            ClaimState::Reserved { .. } => ClaimState::Failed { why: ABANDONED.to_owned() },
            _ => return,
        };
        stored.claim.changed = now;
        stored.last_step = None;
        slot.written = slot.written.max(Written::State);
        self.free_if_failed(id, ReservationFate::Released);
    }

    /// What a claim that has just failed held is free, and what it was answered is nobody's.
    fn free_if_failed(&mut self, id: &ClaimId, fate: ReservationFate) {
        let Some(slot) = self.slots.get_mut(id) else { return };
        let Some(stored) = slot.now.as_mut().filter(|stored| !is_live(&stored.claim)) else { return };
        stored.claim.answered = false;
        slot.answer = AnswerChange::Forget;
        self.free_names(id);
        match fate {
            ReservationFate::Released => self.budgets.release(id),
            ReservationFate::Spent => self.budgets.spend(id),
        }
    }

    /// Nobody holds this claim's keys and request, as far as the batch knows.
    fn free_names(&mut self, id: &ClaimId) {
        let Some(stored) = self.slots.get(id).and_then(|slot| slot.now.as_ref()) else { return };
        for key in &stored.claim.new.keys {
            if self.keys.get(&key.0) == Some(id) {
                self.keys.remove(&key.0);
            }
        }
        if let Some(idempotency) = &stored.claim.new.idempotency
            && self.requests.get(&idempotency.key) == Some(id)
        {
            self.requests.remove(&idempotency.key);
        }
    }
}
