//! [`MemoryClaims`]: claims in memory, written as plainly as the contract. The model that other stores are compared with,
//! and the store of examples. It is not durable and not fast.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use farthing_money::Amount;
use farthing_protocol::UnixMs;
use farthing_protocol::ports::{
    AdvanceError, Amends, Claim, ClaimId, ClaimOutcome, ClaimState, ClaimStep, ClaimStore, Delivery, First,
    Lease, Listed, NewClaim, Page, ReservationFate, StoreEpoch, StoreError, StoredAnswer,
};

use crate::epoch::{UNNAMED, another};
use crate::limits::{Limits, check_new, check_step};
use crate::transition::ABANDONED;

/// Claims in memory: gone when it is dropped. One process owns it.
#[derive(Debug)]
pub struct MemoryClaims {
    epoch: StoreEpoch,
    released: Released,
    inner: Mutex<Inner>,
}

/// Which leases nobody can hold when a process starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Released {
    All,
    RunOut,
}

#[derive(Debug, Default)]
struct Inner {
    claims: BTreeMap<ClaimId, Entry>,
    spent: Vec<Spent>,
}

/// A claim and what is kept beside it.
#[derive(Debug)]
struct Entry {
    claim: Claim,
    answer: Option<StoredAnswer>,
    /// The step that was taken last, if nothing else has changed the claim since.
    last: Option<ClaimStep>,
}

#[derive(Debug)]
struct Spent {
    /// Whose failure gives it back; nobody's once it has been spent by a settlement that failed.
    claim: Option<ClaimId>,
    budget: String,
    amount: Amount,
    at: UnixMs,
    window_ms: u64,
}

impl MemoryClaims {
    /// An empty store, with a history of its own.
    #[must_use]
    pub fn new() -> Self {
        Self { epoch: another(UNNAMED), released: Released::All, inner: Mutex::default() }
    }

    /// An empty store that behaves as if other processes had it open too: the model of those that can be shared.
    #[must_use]
    pub fn as_if_shared() -> Self {
        Self { released: Released::RunOut, ..Self::new() }
    }

    fn lock(&self) -> Result<MutexGuard<'_, Inner>, StoreError> {
        self.inner
            .lock()
            .map_err(|_| StoreError { detail: "a thread panicked while it held the store".into() })
    }
}

impl Default for MemoryClaims {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl ClaimStore for MemoryClaims {
    async fn claim(&self, new: NewClaim, now: UnixMs) -> Result<ClaimOutcome, StoreError> {
        check_new(&new, now)?;
        self.lock()?.claim(new, now)
    }

    async fn advance(&self, id: &ClaimId, step: ClaimStep, now: UnixMs) -> Result<(), AdvanceError> {
        check_step(&step, now)?;
        self.lock()?.advance(id, step, now)
    }

    async fn get(&self, id: &ClaimId) -> Result<Option<Claim>, StoreError> {
        Ok(self.lock()?.claims.get(id).map(|entry| entry.claim.clone()))
    }

    async fn answer(&self, id: &ClaimId) -> Result<Option<StoredAnswer>, StoreError> {
        Ok(self.lock()?.claims.get(id).and_then(|entry| entry.answer.clone()))
    }

    async fn list(&self, listed: Listed, page: Page) -> Result<Vec<Claim>, StoreError> {
        let inner = self.lock()?;
        let mut found: Vec<&Claim> = inner
            .claims
            .values()
            .map(|entry| &entry.claim)
            .filter(|claim| is_listed(claim, listed, &page))
            .collect();
        found.sort_by_key(|claim| place(claim));
        found.truncate(page.limit.min(Limits::PAGE));
        Ok(found.into_iter().cloned().collect())
    }

    async fn release_leases(&self, now: UnixMs) -> Result<usize, StoreError> {
        let mut inner = self.lock()?;
        let mut released = Vec::new();
        for (id, entry) in &mut inner.claims {
            if let ClaimState::Delivering { lease, .. } | ClaimState::Reserved { lease } = &entry.claim.state
                && self.released == Released::RunOut
                && lease.until > now
            {
                continue;
            }
            let next = match &entry.claim.state {
                ClaimState::Delivering { settled, .. } => ClaimState::Credit(settled.clone()),
                ClaimState::Reserved { .. } => ClaimState::Failed { why: ABANDONED.to_owned() },
                _ => continue,
            };
            entry.claim.state = next;
            entry.claim.changed = now;
            entry.last = None;
            released.push(id.clone());
        }
        for id in &released {
            inner.free_if_failed(id, ReservationFate::Released);
        }
        Ok(released.len())
    }

    async fn prune(&self, expired_before: UnixMs, limit: usize) -> Result<usize, StoreError> {
        let mut inner = self.lock()?;
        let mut doomed: Vec<(UnixMs, ClaimId)> = inner
            .claims
            .values()
            .map(|entry| &entry.claim)
            .filter(|claim| is_final(&claim.state))
            .filter(|claim| claim.new.expires < expired_before)
            .map(|claim| (claim.new.expires, claim.new.id.clone()))
            .collect();
        doomed.sort();
        doomed.truncate(limit.min(Limits::PAGE));
        for (_, id) in &doomed {
            inner.claims.remove(id);
        }
        inner.spent.retain(|spent| spent.at.plus_ms(spent.window_ms) >= expired_before);
        Ok(doomed.len())
    }

    async fn epoch(&self) -> Result<StoreEpoch, StoreError> {
        Ok(self.epoch)
    }
}

impl Inner {
    fn claim(&mut self, new: NewClaim, now: UnixMs) -> Result<ClaimOutcome, StoreError> {
        let mut abandoned = false;
        if let Some(old) = self.claims.get(&new.id).map(|entry| &entry.claim).filter(|old| is_live(old)) {
            if keys(&old.new) != keys(&new) {
                return Ok(ClaimOutcome::Taken { what: new.id.0 });
            }
            abandoned = is_abandoned(old, now);
            if !abandoned {
                return Ok(ClaimOutcome::Existing(Box::new(old.clone())));
            }
        }
        let others = || {
            self.claims.values().map(|entry| &entry.claim).filter(|old| is_live(old) && old.new.id != new.id)
        };
        for key in &new.keys {
            if others().any(|old| old.new.keys.contains(key)) {
                return Ok(ClaimOutcome::Taken { what: key.0.clone() });
            }
        }
        if let Some(wanted) = &new.idempotency
            && let Some(old) =
                others().find(|old| old.new.idempotency.as_ref().is_some_and(|held| held.key == wanted.key))
        {
            return Ok(ClaimOutcome::SameRequest(Box::new(old.clone())));
        }
        // What an abandoned attempt has reserved is given back.
        let mine = |spent: &Spent| abandoned && spent.claim.as_ref() == Some(&new.id);
        if let Some(wanted) = &new.reservation {
            let in_window = |spent: &&Spent| {
                spent.budget == wanted.budget && spent.at.plus_ms(wanted.window_ms) > now && !mine(spent)
            };
            let amounts = self.spent.iter().filter(in_window).map(|spent| spent.amount);
            let total = Amount::sum(amounts.chain([wanted.amount]));
            if !total.is_ok_and(|total| total <= wanted.limit) {
                return Ok(ClaimOutcome::OverBudget { budget: wanted.budget.clone() });
            }
        }
        self.spent.retain(|spent| !mine(spent));
        if let Some(wanted) = &new.reservation {
            self.spent.push(Spent {
                claim: Some(new.id.clone()),
                budget: wanted.budget.clone(),
                amount: wanted.amount,
                at: now,
                window_ms: wanted.window_ms,
            });
        }
        let state = match new.first {
            First::Settle => ClaimState::Settling,
            First::Serve(lease) => ClaimState::Reserved { lease },
        };
        let id = new.id.clone();
        let claim = Claim { new, state, changed: now, deliveries: 0, answered: false };
        self.claims.insert(id, Entry { claim, answer: None, last: None });
        Ok(ClaimOutcome::New)
    }

    fn advance(&mut self, id: &ClaimId, step: ClaimStep, now: UnixMs) -> Result<(), AdvanceError> {
        let Some(entry) = self.claims.get_mut(id) else {
            return Err(AdvanceError::Unknown { id: id.clone() });
        };
        if entry.last.as_ref().is_some_and(|last| is_same(last, &step)) {
            return Ok(());
        }
        let state = entry.claim.state.clone();
        let Some(next) = next(&state, &step, now) else {
            return Err(AdvanceError::WrongState { state: state.name() });
        };
        if next == state {
            return Ok(());
        }
        if matches!(
            step,
            ClaimStep::BeginDelivery(_) | ClaimStep::Settled { delivery: Delivery::Begin(_), .. }
        ) {
            entry.claim.deliveries = entry.claim.deliveries.saturating_add(1);
        }
        if let ClaimStep::BeginSettlement { answer: Some(answer), .. }
        | ClaimStep::Delivered { answer: Some(answer), .. }
        | ClaimStep::Undelivered { answer: Some(answer), .. } = &step
        {
            entry.answer = Some((**answer).clone());
            entry.claim.answered = true;
        }
        entry.claim.state = next;
        entry.claim.changed = now;
        let fate = match &step {
            ClaimStep::Failed { reservation, .. } => *reservation,
            _ => ReservationFate::Released,
        };
        entry.last = Some(step);
        self.free_if_failed(id, fate);
        Ok(())
    }

    /// What a claim that has just failed held is free, and what it was answered is nobody's.
    fn free_if_failed(&mut self, id: &ClaimId, fate: ReservationFate) {
        let Some(entry) = self.claims.get_mut(id).filter(|entry| !is_live(&entry.claim)) else { return };
        entry.answer = None;
        entry.claim.answered = false;
        let of_claim = |spent: &Spent| spent.claim.as_ref() == Some(id);
        match fate {
            // The same id may be claimed anew, and fail otherwise: that gives only its own part back.
            ReservationFate::Spent => {
                self.spent.iter_mut().filter(|spent| of_claim(spent)).for_each(|spent| spent.claim = None);
            }
            ReservationFate::Released => self.spent.retain(|spent| !of_claim(spent)),
        }
    }
}

/// Where a step leads, if anywhere.
fn next(state: &ClaimState, step: &ClaimStep, now: UnixMs) -> Option<ClaimState> {
    use ClaimState::{
        Credit, Delivered, Delivering, Failed, RefundDue, Refunded, Refunding, Reserved, Settling,
    };
    let state = state.clone();
    match step.clone() {
        ClaimStep::BeginSettlement { holder, .. } => match state {
            Reserved { lease } if lease.holder == holder && now < lease.until => Some(Settling),
            _ => None,
        },
        ClaimStep::Settled { settled, delivery } => match (state, delivery) {
            (Settling, Delivery::Begin(lease)) => Some(Delivering { settled, lease }),
            (Settling, Delivery::Later) => Some(Credit(settled)),
            _ => None,
        },
        ClaimStep::Failed { why, holder, .. } => match (state, holder) {
            (Settling, None) => Some(Failed { why }),
            (Reserved { lease }, None) if lease.until <= now => Some(Failed { why }),
            (Reserved { lease }, Some(holder)) if lease.holder == holder => Some(Failed { why }),
            (Failed { why: old }, _) if old == why => Some(Failed { why }),
            _ => None,
        },
        ClaimStep::BeginDelivery(lease) => match state {
            Credit(settled) | RefundDue(settled) => Some(Delivering { settled, lease }),
            Delivering { settled, lease: old } if old.until <= now => Some(Delivering { settled, lease }),
            _ => None,
        },
        ClaimStep::Renew(lease) => {
            let later = |old: Lease| Lease { until: old.until.max(lease.until), ..old };
            match state {
                Reserved { lease: old } if old.holder == lease.holder => Some(Reserved { lease: later(old) }),
                Delivering { settled, lease: old } if old.holder == lease.holder => {
                    Some(Delivering { settled, lease: later(old) })
                }
                _ => None,
            }
        }
        ClaimStep::Delivered { holder, .. } => match state {
            Delivering { settled, lease } if lease.holder == holder => Some(Delivered(settled)),
            _ => None,
        },
        ClaimStep::Undelivered { holder, amends, .. } => match (state, amends) {
            (Delivering { lease, .. }, _) if lease.holder != holder => None,
            (Delivering { settled, .. }, Amends::Credit) => Some(Credit(settled)),
            (Delivering { settled, .. }, Amends::Refund) => Some(RefundDue(settled)),
            _ => None,
        },
        ClaimStep::Interrupted { holder } => match state {
            Delivering { settled, lease } if lease.holder == holder && lease.until <= now => {
                Some(Credit(settled))
            }
            _ => None,
        },
        ClaimStep::BeginRefund { plan } => match state {
            RefundDue(settled) => Some(Refunding { settled, plan }),
            _ => None,
        },
        ClaimStep::Refunded { refund } => match state {
            Refunding { settled, .. } => Some(Refunded { settled, refund }),
            _ => None,
        },
        ClaimStep::RefundFailed => match state {
            Refunding { settled, .. } => Some(RefundDue(settled)),
            _ => None,
        },
        ClaimStep::KeepCredit => match state {
            RefundDue(settled) => Some(Credit(settled)),
            _ => None,
        },
    }
}

/// Whether it is the same step again. What a failure did to its reservation is decided the first time.
fn is_same(last: &ClaimStep, step: &ClaimStep) -> bool {
    match (last, step) {
        (ClaimStep::Failed { why: last, .. }, ClaimStep::Failed { why, .. }) => last == why,
        _ => last == step,
    }
}

/// Whether the claim holds its id, its keys and its idempotency key.
const fn is_live(claim: &Claim) -> bool {
    !matches!(claim.state, ClaimState::Failed { .. })
}

fn is_abandoned(claim: &Claim, now: UnixMs) -> bool {
    matches!(claim.state, ClaimState::Reserved { lease } if lease.until <= now)
}

const fn is_final(state: &ClaimState) -> bool {
    matches!(state, ClaimState::Delivered(_) | ClaimState::Refunded { .. } | ClaimState::Failed { .. })
}

fn keys(new: &NewClaim) -> BTreeSet<&str> {
    new.keys.iter().map(|key| key.0.as_str()).collect()
}

/// What lists are ordered by.
fn place(claim: &Claim) -> (UnixMs, ClaimId) {
    (claim.changed, claim.new.id.clone())
}

fn is_listed(claim: &Claim, listed: Listed, page: &Page) -> bool {
    let is_of_kind = match (listed, &claim.state) {
        (Listed::Abandoned, ClaimState::Reserved { lease })
        | (Listed::Interrupted, ClaimState::Delivering { lease, .. }) => lease.until <= page.before,
        (Listed::Settling, ClaimState::Settling)
        | (Listed::RefundDue, ClaimState::RefundDue(_))
        | (Listed::Refunding, ClaimState::Refunding { .. })
        | (Listed::Credit, ClaimState::Credit(_))
        | (Listed::Delivered, ClaimState::Delivered(_)) => claim.changed <= page.before,
        _ => false,
    };
    is_of_kind && page.after.as_ref().is_none_or(|after| place(claim) > *after)
}
