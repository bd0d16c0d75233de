//! [`View`]: the accounts as of the last commit, for readers that must not wait for the next one.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use farthing_ledger::journal::Head;
use farthing_ledger::{Account, AccountId};

use super::recover::Books;

/// An account, and the last entry that touched it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown {
    pub(super) account: Account,
    pub(super) last_seq: u64,
}

#[derive(Debug)]
pub(super) struct View {
    pub(super) head: Head,
    accounts: Vec<Shown>,
    places: HashMap<AccountId, usize>,
}

/// A view that one writer changes and many read.
#[derive(Debug, Clone)]
pub(super) struct SharedView(Arc<RwLock<View>>);

impl SharedView {
    pub(super) fn of(books: &Books) -> Self {
        Self(Arc::new(RwLock::new(View::of(books))))
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, View> {
        // A view is replaced value by value; a panic elsewhere leaves it whole.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, View> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    pub(super) fn of(books: &Books) -> Self {
        let accounts = books.engine.accounts().iter().zip(&books.last_seq);
        let accounts: Vec<Shown> =
            accounts.map(|(account, last_seq)| Shown { account: *account, last_seq: *last_seq }).collect();
        let places = accounts.iter().enumerate().map(|(place, shown)| (shown.account.id, place)).collect();
        Self { head: books.chain.head(), accounts, places }
    }

    pub(super) fn get(&self, id: AccountId) -> Option<Shown> {
        self.accounts.get(*self.places.get(&id)?).copied()
    }

    /// Takes over what changed with the commit that ends with `head`.
    pub(super) fn update(&mut self, head: Head, changed: &[(usize, Shown)]) {
        self.head = head;
        for (place, shown) in changed {
            match self.accounts.get_mut(*place) {
                Some(old) => *old = *shown,
                None => {
                    self.places.insert(shown.account.id, self.accounts.len());
                    self.accounts.push(*shown);
                }
            }
        }
    }

    pub(super) fn accounts(&self) -> Vec<Account> {
        self.accounts.iter().map(|shown| shown.account).collect()
    }
}
