//! [`Batch`]: what one transaction writes, ready made, and who waits for it. The writer fills it in memory while the batch before
//! it goes to the disk; nothing here decides or reads the file.

use std::ops::Range;

use farthing_ledger::journal::{Entry, Event, Head};
use farthing_ledger::record::{Committed, RecordKey, Version};
use farthing_ledger::store::StoreError;
use farthing_ledger::{Account, AccountId, HoldState, Known, NewAccount, Timestamp, TransferId};

use super::recover::{Books, Sweep};
use super::shelf::{Content, Shelf};
use super::sql::{self, Sql};
use super::view::Shown;
use super::writer::Reply;

/// For each account row that a batch brings up to date, so many entries; and it always does a few.
const ENTRIES_A_ROW: usize = 16;
const FEWEST_ROWS: usize = 2;

/// One transaction.
#[derive(Default)]
pub(super) struct Batch {
    /// The entries' canonical bytes, one after the other.
    pub(super) bodies: Vec<u8>,
    pub(super) entries: Vec<EntryRow>,
    /// What changes beside the journal, in order.
    pub(super) beside: Vec<Beside>,
    pub(super) records: Vec<RecordRow>,
    pub(super) answers: Vec<Answer>,
    /// What the view shows once it is durable.
    pub(super) shown: Vec<(usize, Shown)>,
    pub(super) head: Option<Head>,
    pub(super) version: Version,
    /// About how many steps and changes, and bytes of records.
    pub(super) weight: usize,
    pub(super) size: usize,
}

/// A row of the journal.
pub(super) struct EntryRow {
    pub(super) seq: i64,
    pub(super) body: Range<usize>,
    pub(super) hash: [u8; 32],
    pub(super) id: Option<[u8; 16]>,
    pub(super) ends: Option<[u8; 16]>,
    /// The entries before it that touched its accounts: the debit's, the credit's.
    pub(super) prev: Option<(i64, i64)>,
    pub(super) version: i64,
}

/// A change of another table.
pub(super) enum Beside {
    Asset { id: u32, seq: i64 },
    Opened { place: i64, new: NewAccount, at: Timestamp, seq: i64 },
    Closed { id: AccountId, at: Timestamp },
    Totals { place: i64, totals: [u8; 64], last_seq: i64, as_of: i64 },
    OldHold { id: [u8; 16], seq: i64, left: [u8; 16] },
    HoldLeft { id: [u8; 16], left: [u8; 16] },
    HoldEnded { id: [u8; 16] },
    ReplayFrom { seq: i64 },
}

/// What becomes of a record: its row, or none.
pub(super) struct RecordRow {
    pub(super) at: RecordKey,
    pub(super) content: Option<Content>,
}

/// Somebody who waits until the batch is durable, and what is then answered.
pub(super) enum Answer {
    Work(Reply<Committed>, Result<Committed, StoreError>),
    Known(Reply<Option<Known>>, Result<Option<Known>, StoreError>),
    Due(Reply<Vec<TransferId>>, Vec<TransferId>),
    Snapshot(Reply<(Head, Vec<Account>)>),
}

impl Batch {
    /// Whether nobody waits for it. Nothing is in it then, either.
    pub(super) fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// Whether there is anything to write.
    pub(super) fn has_rows(&self) -> bool {
        !self.entries.is_empty() || !self.records.is_empty()
    }

    /// Forgets everything, and keeps its room.
    pub(super) fn clear(&mut self) {
        self.bodies.clear();
        self.entries.clear();
        self.beside.clear();
        self.records.clear();
        self.answers.clear();
        self.shown.clear();
        self.head = None;
        (self.weight, self.size) = (0, 0);
    }

    /// Answers that nothing of it happened, and forgets it.
    pub(super) fn refuse(&mut self) {
        let again = || StoreError::Retryable("what was decided before it could not be written".into());
        self.answers.drain(..).for_each(|answer| answer.refuse(again));
        self.clear();
    }

    /// Adds `entries`, which the engine has just decided, each with the version of its commit, the records that were changed
    /// with them, and a few account rows of the checkpoint that is always under way.
    ///
    /// # Errors
    /// [`Sql::Damaged`]: the books contradict themselves, and must be read again.
    pub(super) fn add(
        &mut self,
        (books, shelf): (&mut Books, &mut Shelf),
        (entries, versions): (&[Entry], &[Version]),
    ) -> Result<(), Sql> {
        let (before, fewest) = (self.entries.len(), if self.has_rows() { 0 } else { FEWEST_ROWS });
        for (entry, version) in entries.iter().zip(versions) {
            self.add_entry(books, entry, *version)?;
            self.add_beside(books, entry);
        }
        self.size += shelf.unwritten_size();
        shelf.hand_over(&mut self.records);
        if self.has_rows() {
            let rows = fewest.max(self.entries.len() / ENTRIES_A_ROW - before / ENTRIES_A_ROW);
            self.checkpoint(books, rows);
            self.age_holds(books, rows);
        }
        // A later value of the same account comes later, and counts.
        self.shown.extend(books.engine.changed().into_iter().map(|place| {
            (place, Shown { account: books.engine.accounts()[place], last_seq: books.last_seq[place] })
        }));
        (self.head, self.version) = (Some(books.chain.head()), shelf.version);
        Ok(())
    }

    fn add_entry(&mut self, books: &mut Books, entry: &Entry, version: Version) -> Result<(), Sql> {
        let bytes = |id: TransferId| id.as_u128().to_be_bytes();
        let prev = match entry.event.movement() {
            Some(movement) => {
                let debit = touch(books, movement.debit, entry.seq)?;
                let credit = touch(books, movement.credit, entry.seq)?;
                Some((sql::signed(debit), sql::signed(credit)))
            }
            None => None,
        };
        let (body, hash) = books.chain.seal(entry);
        let start = self.bodies.len();
        self.bodies.extend_from_slice(body);
        self.entries.push(EntryRow {
            seq: sql::signed(entry.seq),
            body: start..self.bodies.len(),
            hash: *hash.as_bytes(),
            id: entry.transfer_id().map(bytes),
            ends: entry.ends().map(bytes),
            prev,
            version: sql::signed(version.0),
        });
        Ok(())
    }

    /// What an entry changes beside the journal.
    fn add_beside(&mut self, books: &mut Books, entry: &Entry) {
        let seq = sql::signed(entry.seq);
        match &entry.event {
            Event::AssetDefined(new) => self.beside.push(Beside::Asset { id: new.id.as_u32(), seq }),
            Event::AccountOpened(new) => {
                let place = i64::try_from(books.last_seq.len()).unwrap_or(i64::MAX);
                self.beside.push(Beside::Opened { place, new: *new, at: entry.at, seq });
                books.last_seq.push(0);
                books.as_of.push(entry.seq);
            }
            Event::AccountClosed(id) => self.beside.push(Beside::Closed { id: *id, at: entry.at }),
            Event::Held(new) => books.young.push_back((entry.seq, new.transfer.id)),
            Event::Posted(_) | Event::Voided { .. } | Event::Expired(_) => self.old_hold(books, entry),
            Event::Transferred(_) => {}
        }
    }

    /// Keeps the row of a hold that has one exact.
    fn old_hold(&mut self, books: &mut Books, entry: &Entry) {
        let Some(hold) = entry.hold().filter(|hold| books.old.contains(hold)) else { return };
        let id = hold.as_u128().to_be_bytes();
        match &entry.event {
            Event::Posted(posted) if !posted.left.is_zero() => {
                self.beside.push(Beside::HoldLeft { id, left: posted.left.base().to_be_bytes() });
            }
            _ => {
                self.beside.push(Beside::HoldEnded { id });
                books.old.remove(&hold);
            }
        }
    }

    /// Brings up to `rows` account rows up to date, where the last batch stopped. When the round is complete, all that
    /// happened before it began is in the rows.
    fn checkpoint(&mut self, books: &mut Books, rows: usize) {
        let head = books.chain.head().seq;
        let accounts = books.engine.accounts();
        let (mut written, mut looked) = (0, 0);
        while let Some(account) = accounts.get(books.sweep.place)
            && written < rows
            && looked < rows * 16
        {
            let place = books.sweep.place;
            if books.last_seq[place] > books.as_of[place] {
                self.beside.push(Beside::Totals {
                    place: i64::try_from(place).unwrap_or(i64::MAX),
                    totals: sql::totals_bytes(&account.totals),
                    last_seq: sql::signed(books.last_seq[place]),
                    as_of: sql::signed(head),
                });
                books.as_of[place] = head;
                written += 1;
            }
            books.sweep.place += 1;
            looked += 1;
        }
        let complete =
            books.sweep.place >= accounts.len() && head - books.sweep.began >= books.tuning.shortest_round;
        let aged = books.young.front().is_none_or(|(seq, _)| *seq > books.sweep.began);
        if complete && aged {
            self.beside.push(Beside::ReplayFrom { seq: sql::signed(books.sweep.began + 1) });
            books.sweep = Sweep { place: 0, began: head };
        }
    }

    /// Gives up to `rows` holds that are older than the round a row of their own, if they are still open.
    fn age_holds(&mut self, books: &mut Books, rows: usize) {
        let (mut written, mut looked) = (0, 0);
        while let Some((seq, id)) = books.young.front().copied()
            && seq <= books.sweep.began
            && written < rows
            && looked < rows * 64
        {
            if let Some(Known::Hold(hold)) = books.engine.known(id)
                && hold.state == HoldState::Open
            {
                self.beside.push(Beside::OldHold {
                    id: id.as_u128().to_be_bytes(),
                    seq: sql::signed(seq),
                    left: hold.left.base().to_be_bytes(),
                });
                books.old.insert(id);
                written += 1;
            }
            books.young.pop_front();
            looked += 1;
        }
    }
}

/// Says that entry `seq` touched the account, and gives the one that did before it; 0 for none.
fn touch(books: &mut Books, id: AccountId, seq: u64) -> Result<u64, Sql> {
    let place = books.engine.place(id).and_then(|place| books.last_seq.get_mut(place));
    let last = place.ok_or_else(|| Sql::Damaged(format!("account {id} has no place")))?;
    Ok(std::mem::replace(last, seq))
}
