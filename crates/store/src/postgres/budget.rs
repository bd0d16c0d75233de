//! Budgets of one batch, in memory while their rows are locked: what fits, and what is to be written.

use std::collections::{BTreeMap, HashMap};

use farthing_money::Amount;
use farthing_protocol::UnixMs;
use farthing_protocol::ports::{ClaimId, Reservation};

use super::wide::Wide;
use crate::limits::Limits;
use crate::row::{ms, outside};

/// The budgets that the commands of a batch touch.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    budgets: HashMap<String, Budget>,
    entries: Vec<Entry>,
    /// Places of the entries that a claim's failure gives back.
    of_claim: HashMap<String, Vec<usize>>,
}

/// One of them: its sums later than each instant that somebody asks for.
#[derive(Debug)]
struct Budget {
    /// The instant that the row's total is of.
    after_ms: i64,
    sums: BTreeMap<i64, Wide>,
    touched: bool,
}

/// A reservation that is in the database, or will be.
#[derive(Debug)]
struct Entry {
    /// Its row, if it has one.
    seq: Option<i64>,
    /// Whose failure gives it back.
    claim: Option<String>,
    budget: String,
    at_ms: i64,
    amount: Amount,
    until_ms: i64,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    Released,
    Spent,
}

/// What a batch does to reservations, one element a row.
#[derive(Debug, Default)]
pub(super) struct Writes {
    pub(super) released: Vec<i64>,
    pub(super) spent: Vec<i64>,
    pub(super) budgets: Vec<String>,
    pub(super) at: Vec<i64>,
    pub(super) claims: Vec<Option<String>>,
    pub(super) amounts: Vec<String>,
    pub(super) until: Vec<i64>,
    pub(super) totals: Totals,
}

/// New totals of budgets, one element a row.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) names: Vec<String>,
    pub(super) after: Vec<i64>,
    pub(super) high: Vec<i64>,
    pub(super) low: Vec<String>,
}

impl Budgets {
    /// A budget as its row says.
    pub(super) fn add(&mut self, name: String, after_ms: i64, total: Wide) {
        let sums = BTreeMap::from([(after_ms, total)]);
        self.budgets.insert(name, Budget { after_ms, sums, touched: false });
    }

    /// What a budget holds later than an instant.
    pub(super) fn add_sum(&mut self, name: &str, outside_ms: i64, sum: Wide) {
        if let Some(budget) = self.budgets.get_mut(name) {
            budget.sums.insert(outside_ms, sum);
        }
    }

    /// A reservation that a claim of the batch has.
    pub(super) fn add_reserved(
        &mut self,
        seq: i64,
        claim: String,
        budget: String,
        at_ms: i64,
        amount: Amount,
    ) {
        let (fate, claim, until_ms) = (Fate::Kept, Some(claim), 0);
        self.push(Entry { seq: Some(seq), claim, budget, at_ms, amount, until_ms, fate });
    }

    fn push(&mut self, entry: Entry) {
        if let Some(claim) = &entry.claim {
            self.of_claim.entry(claim.clone()).or_default().push(self.entries.len());
        }
        self.entries.push(entry);
    }

    /// Reserves in place of what the claim has reserved before, or says that it does not fit and changes nothing. None when the
    /// budget was not loaded.
    pub(super) fn reserve(&mut self, id: &ClaimId, wanted: &Reservation, now: UnixMs) -> Option<bool> {
        let outside_ms = outside(now, wanted.window_ms);
        let mut sum = *self.budgets.get(&wanted.budget)?.sums.get(&outside_ms)?;
        for place in self.of_claim.get(&id.0).into_iter().flatten() {
            let Some(own) = self.entries.get(*place) else { continue };
            if own.budget == wanted.budget && own.at_ms > outside_ms {
                sum = sum.minus(own.amount);
            }
        }
        if !sum.plus(wanted.amount).fits(wanted.limit) {
            return Some(false);
        }
        self.release(id);
        let until = UnixMs::from_ms(now.plus_ms(wanted.window_ms).as_ms().min(Limits::LAST_MS));
        let budget = self.budgets.get_mut(&wanted.budget)?;
        budget.after_ms = outside_ms;
        budget.change(ms(now), |sum| sum.plus(wanted.amount));
        self.push(Entry {
            seq: None,
            claim: Some(id.0.clone()),
            budget: wanted.budget.clone(),
            at_ms: ms(now),
            amount: wanted.amount,
            until_ms: ms(until),
            fate: Fate::Kept,
        });
        Some(true)
    }

    /// Gives back what a claim has reserved.
    pub(super) fn release(&mut self, id: &ClaimId) {
        for place in self.of_claim.remove(&id.0).unwrap_or_default() {
            let Some(entry) = self.entries.get_mut(place) else { continue };
            entry.fate = Fate::Released;
            if let Some(budget) = self.budgets.get_mut(&entry.budget) {
                budget.change(entry.at_ms, |sum| sum.minus(entry.amount));
            }
        }
    }

    /// Keeps what a claim has reserved as spent.
    pub(super) fn spend(&mut self, id: &ClaimId) {
        for place in self.of_claim.remove(&id.0).unwrap_or_default() {
            if let Some(entry) = self.entries.get_mut(place) {
                entry.fate = Fate::Spent;
            }
        }
    }

    /// What is to be written.
    pub(super) fn writes(self) -> Writes {
        let mut writes = Writes::default();
        for entry in self.entries {
            match (entry.seq, entry.fate) {
                (Some(_), Fate::Kept) | (None, Fate::Released) => {}
                (Some(seq), Fate::Released) => writes.released.push(seq),
                (Some(seq), Fate::Spent) => writes.spent.push(seq),
                (None, fate) => {
                    writes.budgets.push(entry.budget);
                    writes.at.push(entry.at_ms);
                    writes.claims.push(entry.claim.filter(|_| fate == Fate::Kept));
                    writes.amounts.push(entry.amount.base().to_string());
                    writes.until.push(entry.until_ms);
                }
            }
        }
        for (name, budget) in self.budgets.into_iter().filter(|(_, budget)| budget.touched) {
            let Some(total) = budget.sums.get(&budget.after_ms) else { continue };
            let (high, low) = total.parts();
            writes.totals.names.push(name);
            writes.totals.after.push(budget.after_ms);
            writes.totals.high.push(high);
            writes.totals.low.push(low);
        }
        writes
    }
}

impl Budget {
    /// Changes every sum that a reservation of that instant is part of.
    fn change(&mut self, at_ms: i64, change: impl Fn(Wide) -> Wide) {
        self.touched = true;
        for (_, sum) in self.sums.range_mut(..at_ms) {
            *sum = change(*sum);
        }
    }
}
