//! What an engine knows, and how to go back: accounts side by side in memory, found by one lookup, changed in place, with
//! the values from before kept until the batch is on disk.

use std::collections::HashMap;

use farthing_money::{Amount, Asset};
use foldhash::fast::FixedState;

use super::Known;
use super::records::Records;
use crate::{Account, AccountId, AccountState, AssetId, HoldState, NewAsset, Sums, TransferId};

/// How to take one change back.
#[derive(Debug)]
enum Undo {
    Asset(AssetId),
    Opened,
    Closed(usize),
    Moved { debit: usize, debits: Sums, credit: usize, credits: Sums },
    Hold { slot: usize, left: Amount, state: HoldState },
    Record(TransferId),
}

/// New sums for the two sides that a movement changes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sides {
    pub(super) debit: usize,
    pub(super) debits: Sums,
    pub(super) credit: usize,
    pub(super) credits: Sums,
}

#[derive(Debug)]
pub(super) struct Books {
    assets: HashMap<AssetId, Asset, FixedState>,
    index: HashMap<AccountId, usize, FixedState>,
    accounts: Vec<Account>,
    pub(super) records: Records,
    undo: Vec<Undo>,
}

impl Books {
    pub(super) fn new(hasher: &FixedState) -> Self {
        Self {
            assets: HashMap::with_hasher(hasher.clone()),
            index: HashMap::with_hasher(hasher.clone()),
            accounts: Vec::new(),
            records: Records::new(hasher.clone()),
            undo: Vec::new(),
        }
    }

    pub(super) fn asset(&self, id: AssetId) -> Option<&Asset> {
        self.assets.get(&id)
    }

    pub(super) fn assets(&self) -> impl Iterator<Item = (AssetId, &Asset)> {
        self.assets.iter().map(|(id, asset)| (*id, asset))
    }

    pub(super) fn slot(&self, id: AccountId) -> Option<usize> {
        self.index.get(&id).copied()
    }

    pub(super) fn account(&self, id: AccountId) -> Option<&Account> {
        self.accounts.get(self.slot(id)?)
    }

    pub(super) fn at(&self, slot: usize) -> &Account {
        &self.accounts[slot]
    }

    pub(super) fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    pub(super) fn define(&mut self, new: &NewAsset) {
        self.assets.insert(new.id, new.asset.clone());
        self.undo.push(Undo::Asset(new.id));
    }

    pub(super) fn open(&mut self, account: Account) {
        self.index.insert(account.id, self.accounts.len());
        self.accounts.push(account);
        self.undo.push(Undo::Opened);
    }

    pub(super) fn close(&mut self, slot: usize) {
        self.accounts[slot].state = AccountState::Closed;
        self.undo.push(Undo::Closed(slot));
    }

    pub(super) fn set_sides(&mut self, new: Sides) {
        let Sides { debit, debits, credit, credits } = new;
        let was_debits = std::mem::replace(&mut self.accounts[debit].totals.debits, debits);
        let was_credits = std::mem::replace(&mut self.accounts[credit].totals.credits, credits);
        self.undo.push(Undo::Moved { debit, debits: was_debits, credit, credits: was_credits });
    }

    pub(super) fn remember(&mut self, known: Known, debit: usize, credit: usize) {
        self.undo.push(Undo::Record(known.id()));
        self.records.add(known, debit, credit);
    }

    pub(super) fn set_hold(&mut self, slot: usize, left: Amount, state: HoldState) {
        if let Some(Known::Hold(was)) = self.records.at(slot).map(|record| &record.known) {
            self.undo.push(Undo::Hold { slot, left: was.left, state: was.state });
            self.records.set_hold(slot, left, state);
        }
    }

    /// How many changes can be taken back.
    pub(super) fn mark(&self) -> usize {
        self.undo.len()
    }

    /// Takes back every change after `mark`, the last first.
    pub(super) fn rewind(&mut self, mark: usize) {
        while self.undo.len() > mark {
            match self.undo.pop() {
                Some(Undo::Asset(id)) => drop(self.assets.remove(&id)),
                Some(Undo::Opened) => {
                    if let Some(account) = self.accounts.pop() {
                        self.index.remove(&account.id);
                    }
                }
                Some(Undo::Closed(slot)) => self.accounts[slot].state = AccountState::Open,
                Some(Undo::Moved { debit, debits, credit, credits }) => {
                    self.accounts[debit].totals.debits = debits;
                    self.accounts[credit].totals.credits = credits;
                }
                Some(Undo::Hold { slot, left, state }) => self.records.set_hold(slot, left, state),
                Some(Undo::Record(id)) => self.records.take_back(id),
                None => return,
            }
        }
    }

    /// Makes every change so far final.
    pub(super) fn settle(&mut self) {
        self.undo.clear();
    }

    /// Accounts that changed since the last [`Books::settle`], in the order of their first appearance in memory.
    pub(super) fn changed(&self) -> Vec<usize> {
        let opened = self.undo.iter().filter(|undo| matches!(undo, Undo::Opened)).count();
        let mut slots: Vec<usize> = (self.accounts.len() - opened..self.accounts.len()).collect();
        for undo in &self.undo {
            match undo {
                Undo::Closed(slot) => slots.push(*slot),
                Undo::Moved { debit, credit, .. } => slots.extend([*debit, *credit]),
                Undo::Asset(_) | Undo::Opened | Undo::Hold { .. } | Undo::Record(_) => {}
            }
        }
        slots.sort_unstable();
        slots.dedup();
        slots
    }
}
