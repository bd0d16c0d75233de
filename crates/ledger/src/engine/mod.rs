//! [`Engine`]: decides batches of commands in memory. It writes nothing: whoever owns it writes what it decided, then says
//! whether that is on disk.
//!
//! The same engine serves an owner that keeps everything in memory and a process that loads what each batch names
//! ([`crate::ReadSet`]): it judges only what it was given. It is deterministic: the same loads, commands and instants
//! give the same outcomes and the same entries, whatever the seed.

mod books;
mod follow;
mod known;
mod records;
mod rules;

use farthing_money::Asset;
use foldhash::fast::FixedState;

use crate::journal::{Entry, Event, Posted, Released};
use crate::{
    Account, AccountId, AssetId, Command, Hold, HoldState, Link, Outcome, PostHold, Rejection, Step,
    Timestamp, TransferId, VoidHold,
};
use books::Books;
use rules::{HoldChange, Verdict};

pub use follow::Diverged;
pub use known::Known;
pub use records::Memory;

/// What an engine decided since the last commit. Reused from batch to batch, so that nothing is allocated for a transfer.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Decision {
    /// One outcome a step, in order.
    pub outcomes: Vec<Outcome>,
    /// What to write to the journal, in order.
    pub entries: Vec<Entry>,
}

impl Decision {
    /// Forgets the outcomes and entries, and keeps their room.
    pub fn clear(&mut self) {
        self.outcomes.clear();
        self.entries.clear();
    }
}

/// Why something cannot be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A hold was loaded before its accounts.
    #[error("account {account} of hold {hold} is not loaded")]
    AccountMissing {
        /// The hold.
        hold: TransferId,
        /// Its account.
        account: AccountId,
    },
    /// Accounts and assets are loaded between batches: what is undecided could not be taken back otherwise.
    #[error("a batch is neither committed nor rolled back")]
    Undecided,
}

impl LoadError {
    /// The stable code, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::AccountMissing { .. } => "load_account_missing",
            Self::Undecided => "load_undecided",
        }
    }
}

/// Whether the money movements of a linked group are new or exist.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Group {
    #[default]
    Undecided,
    Existing,
    New,
}

impl Group {
    fn meets_existing(&mut self) -> Result<(), Rejection> {
        self.becomes(Self::Existing)
    }

    fn meets_new(&mut self) -> Result<(), Rejection> {
        self.becomes(Self::New)
    }

    fn becomes(&mut self, now: Self) -> Result<(), Rejection> {
        if *self != Self::Undecided && *self != now {
            return Err(Rejection::LinkedGroupPartlyExists);
        }
        *self = now;
        Ok(())
    }
}

/// Place of the next entry, and the earliest time that it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    seq: u64,
    at: Timestamp,
}

/// A ledger in memory. See the module's documentation.
#[derive(Debug)]
pub struct Engine {
    books: Books,
    next: Position,
    committed: Position,
}

impl Engine {
    /// An empty engine whose first entry follows entry `seq`, which happened at `at`.
    ///
    /// `seed` should be drawn at random once a process: it keeps callers, who choose ids, from choosing slow ones.
    #[must_use]
    pub fn new(seed: u64, seq: u64, at: Timestamp) -> Self {
        let next = Position { seq: seq + 1, at };
        Self { books: Books::new(&FixedState::with_seed(seed)), next, committed: next }
    }

    /// Gives it an asset that is in the journal.
    ///
    /// # Errors
    /// [`LoadError::Undecided`] inside a batch.
    pub fn load_asset(&mut self, id: AssetId, asset: Asset) -> Result<(), LoadError> {
        self.between_batches()?;
        self.books.define(&crate::NewAsset { id, asset });
        self.books.settle();
        Ok(())
    }

    /// Gives it an account that is in the journal. An account that it has is left as it is.
    ///
    /// # Errors
    /// [`LoadError::Undecided`] inside a batch.
    pub fn load_account(&mut self, account: Account) -> Result<(), LoadError> {
        self.between_batches()?;
        if self.books.slot(account.id).is_none() {
            self.books.open(account);
            self.books.settle();
        }
        Ok(())
    }

    /// Gives it what an id was used for, at any time. An id that it has is left as it is.
    ///
    /// # Errors
    /// [`LoadError::AccountMissing`] for a hold whose accounts are not loaded.
    pub fn load(&mut self, known: Known) -> Result<(), LoadError> {
        if self.books.records.memory(known.id()) == Memory::Known {
            return Ok(());
        }
        let (debit, credit) = match &known {
            Known::Hold(Hold { new, .. }) => {
                let of = &new.transfer;
                let slot = |account: AccountId| {
                    self.books.slot(account).ok_or(LoadError::AccountMissing { hold: of.id, account })
                };
                (slot(of.debit)?, slot(of.credit)?)
            }
            Known::Transfer(_) | Known::Post(_) | Known::Void(_) => (0, 0),
        };
        self.books.records.add(known, debit, credit);
        Ok(())
    }

    fn between_batches(&self) -> Result<(), LoadError> {
        if self.books.mark() == 0 { Ok(()) } else { Err(LoadError::Undecided) }
    }

    /// Says that ids up to `floor` may have been used although they were not loaded.
    pub fn raise_floor(&mut self, floor: TransferId) {
        self.books.records.raise_floor(floor);
    }

    /// Whether it can judge `id`, or must be given what the store knows about it first.
    #[must_use]
    pub fn memory(&self, id: TransferId) -> Memory {
        self.books.records.memory(id)
    }

    /// Decides `steps` in order at `now`, and appends to `out`. Nothing is final until [`Engine::commit`].
    ///
    /// Time never goes back: a `now` before the last entry counts as the last entry's.
    pub fn decide(&mut self, now: Timestamp, steps: &[Step], out: &mut Decision) {
        let mut rest = steps;
        while let Some((step, after)) = rest.split_first() {
            if step.link == Link::End {
                let outcome = self.step(now, &step.command, (&mut Group::default(), out));
                out.outcomes.push(outcome.unwrap_or_else(Outcome::Rejected));
                rest = after;
                continue;
            }
            let end = rest.iter().position(|step| step.link == Link::End);
            let (group, after) = rest.split_at(end.map_or(rest.len(), |end| end + 1));
            match end {
                Some(_) => self.group(now, group, out),
                None => {
                    reject_all(group.len(), group.len() - 1, Rejection::LinkedGroupOpen, &mut out.outcomes)
                }
            }
            rest = after;
        }
    }

    /// Makes everything that was decided final.
    pub fn commit(&mut self) {
        self.books.settle();
        self.committed = self.next;
    }

    /// Takes back everything that was decided since the last commit.
    pub fn roll_back(&mut self) {
        self.books.rewind(0);
        self.next = self.committed;
    }

    /// Forgets the oldest ids until about `keep` are left; what is undecided and open holds stay. Only after a commit.
    pub fn forget(&mut self, keep: usize) {
        if self.books.mark() == 0 {
            self.books.records.forget(keep);
        }
    }

    /// How many ids it remembers.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.books.records.len()
    }

    /// The account as decided so far.
    #[must_use]
    pub fn account(&self, id: AccountId) -> Option<&Account> {
        self.books.account(id)
    }

    /// Where the account stands in [`Engine::accounts`]. It never moves.
    #[must_use]
    pub fn place(&self, id: AccountId) -> Option<usize> {
        self.books.slot(id)
    }

    /// Every account, in the order in which they were opened or loaded.
    #[must_use]
    pub fn accounts(&self) -> &[Account] {
        self.books.accounts()
    }

    /// Where the accounts that changed since the last commit stand in [`Engine::accounts`], in order.
    #[must_use]
    pub fn changed(&self) -> Vec<usize> {
        self.books.changed()
    }

    /// The asset with this number.
    #[must_use]
    pub fn asset(&self, id: AssetId) -> Option<&Asset> {
        self.books.asset(id)
    }

    /// Every asset, in no order.
    pub fn assets(&self) -> impl Iterator<Item = (AssetId, &Asset)> {
        self.books.assets()
    }

    /// What `id` was used for, if it remembers.
    #[must_use]
    pub fn known(&self, id: TransferId) -> Option<&Known> {
        self.books.records.get(id).map(|record| &record.known)
    }

    /// Every hold that is still open, in no order.
    pub fn open_holds(&self) -> impl Iterator<Item = &Hold> {
        self.books.records.open().filter_map(|record| match &record.known {
            Known::Hold(hold) => Some(hold),
            _ => None,
        })
    }

    /// At most `limit` open holds that have run out at `now`, the longest overdue first. It looks at every open hold.
    #[must_use]
    pub fn due(&self, now: Timestamp, limit: usize) -> Vec<TransferId> {
        let mut due: Vec<(Timestamp, TransferId)> = self
            .open_holds()
            .filter_map(|hold| match hold.new.expiry {
                crate::Expiry::At(at) if at <= now => Some((at, hold.new.transfer.id)),
                _ => None,
            })
            .collect();
        due.sort_unstable();
        due.truncate(limit);
        due.into_iter().map(|(_, id)| id).collect()
    }

    fn group(&mut self, now: Timestamp, steps: &[Step], out: &mut Decision) {
        let (mark, next) = (self.books.mark(), self.next);
        let (outcomes, entries) = (out.outcomes.len(), out.entries.len());
        let mut group = Group::default();
        for (at, step) in steps.iter().enumerate() {
            match self.step(now, &step.command, (&mut group, out)) {
                Ok(outcome) => out.outcomes.push(outcome),
                Err(rejection) => {
                    self.books.rewind(mark);
                    self.next = next;
                    out.entries.truncate(entries);
                    out.outcomes.truncate(outcomes);
                    reject_all(steps.len(), at, rejection, &mut out.outcomes);
                    return;
                }
            }
        }
    }

    fn step(
        &mut self,
        now: Timestamp,
        command: &Command,
        (group, out): (&mut Group, &mut Decision),
    ) -> Result<Outcome, Rejection> {
        let now = self.next.at.max(now);
        let event = match command {
            Command::DefineAsset(new) => match rules::define(&self.books, new)? {
                Verdict::Exists => return Ok(Outcome::Exists),
                Verdict::Accept(()) => {
                    self.books.define(new);
                    Event::AssetDefined(new.clone())
                }
            },
            Command::OpenAccount(new) => match rules::open(&self.books, new)? {
                Verdict::Exists => return Ok(Outcome::Exists),
                Verdict::Accept(()) => {
                    self.books.open(Account::open(*new));
                    Event::AccountOpened(*new)
                }
            },
            Command::CloseAccount(id) => match rules::close(&self.books, *id)? {
                Verdict::Exists => return Ok(Outcome::Exists),
                Verdict::Accept(slot) => {
                    self.books.close(slot);
                    Event::AccountClosed(*id)
                }
            },
            Command::Transfer(new) => match rules::transfer(&self.books, new, group)? {
                Verdict::Exists => return Ok(Outcome::Exists),
                Verdict::Accept(sides) => {
                    self.books.set_sides(sides);
                    self.books.remember(Known::Transfer(*new), sides.debit, sides.credit);
                    Event::Transferred(*new)
                }
            },
            Command::Hold(new) => match rules::hold(&self.books, new, now, group)? {
                Verdict::Exists => return Ok(Outcome::Exists),
                Verdict::Accept(sides) => {
                    let hold = Hold { new: *new, left: new.transfer.amount, state: HoldState::Open };
                    self.books.set_sides(sides);
                    self.books.remember(Known::Hold(hold), sides.debit, sides.credit);
                    Event::Held(*new)
                }
            },
            Command::Post(new) => match rules::post(&self.books, new, now, group)? {
                Verdict::Exists => return Ok(Outcome::Exists),
                Verdict::Accept(change) => self.post(new, &change),
            },
            Command::Void(new) => match rules::void(&self.books, new, group)? {
                Verdict::Exists => return Ok(Outcome::Exists),
                Verdict::Accept(change) => self.void(new, &change),
            },
            Command::Expire(id) => match rules::expire(&self.books, *id, now)? {
                Verdict::Exists => return Ok(Outcome::Exists),
                Verdict::Accept(change) => Event::Expired(self.end(&change)),
            },
        };
        out.entries.push(Entry { seq: self.next.seq, at: now, event });
        self.next = Position { seq: self.next.seq + 1, at: now };
        Ok(Outcome::Applied)
    }

    fn post(&mut self, new: &PostHold, change: &HoldChange) -> Event {
        let Released { debit, credit, asset, .. } = self.end(change);
        self.books.remember(Known::Post(*new), 0, 0);
        let (settlement, left) = (change.settlement, change.left);
        Event::Posted(Posted { post: *new, debit, credit, asset, settlement, left })
    }

    fn void(&mut self, new: &VoidHold, change: &HoldChange) -> Event {
        let released = self.end(change);
        self.books.remember(Known::Void(*new), 0, 0);
        Event::Voided { id: new.id, reference: new.reference, released }
    }

    fn end(&mut self, change: &HoldChange) -> Released {
        self.books.set_sides(change.sides);
        self.books.set_hold(change.slot, change.left, change.state);
        let of = &change.of;
        Released {
            hold: of.id,
            debit: of.debit,
            credit: of.credit,
            asset: of.asset,
            amount: change.settlement.released,
        }
    }
}

/// Answers a group of `steps` steps of which the one at `at` was refused.
fn reject_all(steps: usize, at: usize, rejection: Rejection, outcomes: &mut Vec<Outcome>) {
    outcomes
        .extend((0..steps).map(|step| {
            Outcome::Rejected(if step == at { rejection } else { Rejection::LinkedGroupFailed })
        }));
}

#[cfg(test)]
mod tests;
