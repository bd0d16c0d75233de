//! [`Beside`]: what a database keeps beside the journal's bytes, compared with what the journal says.

use std::collections::{BTreeMap, HashMap};

use farthing_ledger::journal::Entry;
use farthing_ledger::verify::{Fault, Verifier};
use farthing_ledger::{Account, AccountId, TransferId};
use farthing_money::Amount;

use super::row::AccountRow;

/// What a row of the journal says beside body and hash.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Columns {
    pub(crate) seq: u64,
    pub(crate) id: Option<u128>,
    pub(crate) ends: Option<u128>,
    /// The entries before this one in the histories of its debit and its credit account.
    pub(crate) before: (Option<u64>, Option<u64>),
}

/// Everything that is stored beside the journal.
#[derive(Default)]
pub(crate) struct Beside {
    accounts: BTreeMap<u64, Vec<AccountRow>>,
    old_holds: HashMap<TransferId, Amount>,
    last_seq: HashMap<AccountId, u64>,
}

impl Beside {
    pub(crate) fn account(&mut self, row: AccountRow) {
        self.accounts.entry(row.as_of).or_default().push(row);
    }

    pub(crate) fn old_hold(&mut self, id: TransferId, left: Amount) {
        self.old_holds.insert(id, left);
    }

    /// Compares an entry's row with the entry, and account rows that are as of it with what adds up.
    pub(crate) fn follow(
        &mut self,
        entry: &Entry,
        columns: &Columns,
        verifier: &Verifier,
    ) -> Result<(), String> {
        let seq = entry.seq;
        let movement = entry.event.movement();
        let mut before = |id: AccountId| self.last_seq.insert(id, seq).unwrap_or_default();
        let expected = Columns {
            seq,
            id: entry.transfer_id().map(TransferId::as_u128),
            ends: entry.ends().map(TransferId::as_u128),
            before: movement.map_or((None, None), |m| (Some(before(m.debit)), Some(before(m.credit)))),
        };
        if *columns != expected {
            return Err(format!("the row of entry {seq} does not say what the entry says"));
        }
        for row in self.accounts.remove(&seq).unwrap_or_default() {
            let id = row.account.id;
            let told = verifier.replay().get(id);
            let last = self.last_seq.get(&id).copied().unwrap_or_default();
            // Closing is written at once, so that the row may be ahead of its totals in this one thing.
            let alike = told.is_some_and(|told| Account { state: told.state, ..row.account } == *told);
            if !alike || last != row.last_seq {
                return Err(format!(
                    "the row of account {id} is not what the journal adds up to at entry {seq}"
                ));
            }
        }
        Ok(())
    }

    /// Compares what can only be compared at the end: holds that have a row, and rows that are as of no entry.
    pub(crate) fn finish(&self, verifier: &Verifier) -> Result<(), Fault> {
        if let Some(row) = self.accounts.values().flatten().next() {
            let what = format!("the row of account {} is as of an entry that does not exist", row.account.id);
            return Err(Fault::Storage { what });
        }
        let open: HashMap<TransferId, Amount> =
            verifier.replay().open_holds().map(|hold| (hold.new.transfer.id, hold.left)).collect();
        match self.old_holds.iter().find(|(id, left)| open.get(id) != Some(left)) {
            Some((id, _)) => {
                Err(Fault::Storage { what: format!("the row of hold {id} is not what the journal says") })
            }
            None => Ok(()),
        }
    }
}
