//! [`Seen`]: what this process has read and what never changes: where a budget hangs, and that an account of a window is open. It saves
//! readings and decides nothing; whatever it forgets is read again.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use farthing_ledger::AccountId;

use super::TenantId;
use crate::id::{BudgetId, CustomerId};

/// How much of each kind is remembered. Past it all of that kind is forgotten: what is in use is soon there again.
const MOST: usize = 100_000;

/// Where a budget hangs. Budgets never move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) customer: CustomerId,
    pub(super) asset: String,
    /// All above it, its parent first.
    pub(super) ancestors: Vec<BudgetId>,
}

/// What was seen.
#[derive(Debug, Default)]
pub(super) struct Seen {
    places: Mutex<HashMap<(TenantId, BudgetId), Place>>,
    windows: Mutex<HashSet<AccountId>>,
}

impl Seen {
    /// Where the budget hangs, if it was seen.
    pub(super) fn place(&self, tenant: TenantId, budget: BudgetId) -> Option<Place> {
        lock(&self.places).get(&(tenant, budget)).cloned()
    }

    /// Remembers where a budget hangs.
    pub(super) fn hangs(&self, tenant: TenantId, budget: BudgetId, place: Place) {
        let mut places = lock(&self.places);
        if places.len() >= MOST {
            places.clear();
        }
        places.insert((tenant, budget), place);
    }

    /// Whether all these accounts were seen.
    pub(super) fn are_open(&self, accounts: &[AccountId]) -> bool {
        all(&lock(&self.windows), accounts)
    }

    /// Remembers that these accounts are there.
    pub(super) fn open(&self, accounts: &[AccountId]) {
        let mut windows = lock(&self.windows);
        if windows.len() >= MOST {
            windows.clear();
        }
        windows.extend(accounts);
    }
}

fn all<T: Eq + Hash>(set: &HashSet<T>, some: &[T]) -> bool {
    some.iter().all(|one| set.contains(one))
}

/// Nobody panics while holding it; if somebody did, what is there is still true.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
