//! [`MemoryClaims`]: claims in memory, written as plainly as the contract. The model that other stores are compared with,
//! and the store of examples. It is not durable and not fast.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;
use farthing_money::Amount;
use farthing_protocol::UnixMs;
use farthing_protocol::ports::{
    AdvanceError, Claim, ClaimId, ClaimOutcome, ClaimState, ClaimStep, ClaimStore, Delivery, NewClaim,
    ReservationFate, StoreError,
};

use crate::limits::{Limits, check_new, check_step};

/// Claims in memory: gone when it is dropped.
#[derive(Debug, Default)]
pub struct MemoryClaims {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    claims: BTreeMap<ClaimId, Claim>,
    spent: Vec<Spent>,
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
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> Result<MutexGuard<'_, Inner>, StoreError> {
        self.inner
            .lock()
            .map_err(|_| StoreError { detail: "a thread panicked while it held the store".into() })
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
        Ok(self.lock()?.claims.get(id).cloned())
    }

    async fn unresolved(&self, before: UnixMs, limit: usize) -> Result<Vec<Claim>, StoreError> {
        let inner = self.lock()?;
        let mut found: Vec<Claim> = inner
            .claims
            .values()
            .filter(|claim| claim.state == ClaimState::Settling && claim.changed <= before)
            .cloned()
            .collect();
        found.sort_by(|a, b| (a.changed, &a.new.id).cmp(&(b.changed, &b.new.id)));
        found.truncate(limit.min(Limits::PAGE));
        Ok(found)
    }

    async fn release_leases(&self, now: UnixMs) -> Result<usize, StoreError> {
        let mut released = 0;
        for claim in self.lock()?.claims.values_mut() {
            if let ClaimState::Delivering { settled, .. } = &claim.state {
                claim.state = ClaimState::Credit(settled.clone());
                claim.changed = now;
                released += 1;
            }
        }
        Ok(released)
    }

    async fn prune(&self, expired_before: UnixMs, limit: usize) -> Result<usize, StoreError> {
        let mut inner = self.lock()?;
        let mut doomed: Vec<(UnixMs, ClaimId)> = inner
            .claims
            .values()
            .filter(|claim| matches!(claim.state, ClaimState::Delivered(_) | ClaimState::Failed { .. }))
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
}

impl Inner {
    fn claim(&mut self, new: NewClaim, now: UnixMs) -> Result<ClaimOutcome, StoreError> {
        if let Some(old) = self.claims.get(&new.id).filter(|old| is_live(old)) {
            let same =
                old.new.keys.iter().collect::<BTreeSet<_>>() == new.keys.iter().collect::<BTreeSet<_>>();
            return Ok(match same {
                true => ClaimOutcome::Existing(Box::new(old.clone())),
                false => ClaimOutcome::Taken { what: new.id.0 },
            });
        }
        for key in &new.keys {
            if self.claims.values().any(|old| is_live(old) && old.new.keys.contains(key)) {
                return Ok(ClaimOutcome::Taken { what: key.0.clone() });
            }
        }
        if let Some(wanted) = &new.reservation {
            let in_window =
                |spent: &&Spent| spent.budget == wanted.budget && spent.at.plus_ms(wanted.window_ms) > now;
            let amounts = self.spent.iter().filter(in_window).map(|spent| spent.amount);
            let total = Amount::sum(amounts.chain([wanted.amount]));
            if !total.is_ok_and(|total| total <= wanted.limit) {
                return Ok(ClaimOutcome::OverBudget { budget: wanted.budget.clone() });
            }
            self.spent.push(Spent {
                claim: Some(new.id.clone()),
                budget: wanted.budget.clone(),
                amount: wanted.amount,
                at: now,
                window_ms: wanted.window_ms,
            });
        }
        let claim = Claim { new, state: ClaimState::Settling, changed: now };
        self.claims.insert(claim.new.id.clone(), claim);
        Ok(ClaimOutcome::New)
    }

    fn advance(&mut self, id: &ClaimId, step: ClaimStep, now: UnixMs) -> Result<(), AdvanceError> {
        let Some(claim) = self.claims.get_mut(id) else {
            return Err(AdvanceError::Unknown { id: id.clone() });
        };
        let wrong = AdvanceError::WrongState { state: claim.state.name() };
        let spent_all_the_same =
            matches!(step, ClaimStep::Failed { reservation: ReservationFate::Spent, .. });
        let next = match step {
            ClaimStep::Settled { settled, delivery } => {
                let next = match delivery {
                    Delivery::Begin { lease_until } => ClaimState::Delivering { settled, lease_until },
                    Delivery::Later => ClaimState::Credit(settled),
                };
                match claim.state {
                    _ if claim.state == next => return Ok(()),
                    ClaimState::Settling => next,
                    _ => return Err(wrong),
                }
            }
            ClaimStep::Failed { why, .. } => match &claim.state {
                ClaimState::Failed { why: old } if *old == why => return Ok(()),
                ClaimState::Settling => ClaimState::Failed { why },
                _ => return Err(wrong),
            },
            ClaimStep::BeginDelivery { lease_until } => match claim.state.clone() {
                ClaimState::Credit(settled) => ClaimState::Delivering { settled, lease_until },
                ClaimState::Delivering { settled, lease_until: old } if now >= old => {
                    ClaimState::Delivering { settled, lease_until }
                }
                _ => return Err(wrong),
            },
            ClaimStep::Delivered => match claim.state.clone() {
                ClaimState::Delivering { settled, .. } => ClaimState::Delivered(settled),
                ClaimState::Delivered(_) => return Ok(()),
                _ => return Err(wrong),
            },
            ClaimStep::Undelivered => match claim.state.clone() {
                ClaimState::Delivering { settled, .. } => ClaimState::Credit(settled),
                _ => return Err(wrong),
            },
        };
        claim.state = next;
        claim.changed = now;
        if !is_live(claim) {
            let of_claim = |spent: &Spent| spent.claim.as_ref() == Some(id);
            if spent_all_the_same {
                // The same id may be claimed anew, and fail otherwise: that gives only its own part back.
                self.spent.iter_mut().filter(|spent| of_claim(spent)).for_each(|spent| spent.claim = None);
            } else {
                self.spent.retain(|spent| !of_claim(spent));
            }
        }
        Ok(())
    }
}

/// Whether the claim holds its id and its keys.
const fn is_live(claim: &Claim) -> bool {
    !matches!(claim.state, ClaimState::Failed { .. })
}
