//! [`Log`]: the books of one process and how far it has followed the log. It decides nothing and writes nothing.

use farthing_ledger::journal::{Entry, Event, Head, Sealed};
use farthing_ledger::{AccountId, Command, Decision, HoldState, Known, Memory, NewHold, Step, TransferId};
use tokio_postgres::Row;

use super::error::Failure;
use super::row::{self, Marks};
use crate::books::{self, Books, Damaged};

/// The books, as of the end of the log when it was read last.
pub(super) struct Log {
    pub(super) books: Books,
    pub(super) marks: Marks,
    /// What entries of others are worked out in.
    scratch: Decision,
}

impl Log {
    pub(super) fn new(books: Books, marks: Marks) -> Self {
        let mut log = Self { books, marks, scratch: Decision::default() };
        log.take_marks(marks);
        log
    }

    /// The end of what was followed.
    pub(super) const fn head(&self) -> Head {
        self.books.chain.head()
    }

    /// Takes over what others appended. The rows are `seq, body, hash`, in order, and begin after what was followed last.
    pub(super) fn follow(&mut self, rows: &[Row], news: &mut Vec<Sealed>) -> Result<(), Failure> {
        let before = self.head();
        let followed = rows.iter().try_for_each(|row| self.follow_one(row, before, news));
        match followed {
            Ok(()) => self.books.engine.commit(),
            // What was noted beside the engine is not taken back: the books are of no use any more.
            Err(_) => self.books.engine.roll_back(),
        }
        followed
    }

    fn follow_one(&mut self, row: &Row, before: Head, news: &mut Vec<Sealed>) -> Result<(), Failure> {
        let (body, hash) = row::body_and_hash(row, 1)?;
        let head = self.head();
        if head.hash.next(body) != hash || row::number(row, 0)? != head.seq + 1 {
            return Err(match head == before {
                true => Failure::Diverged,
                false => Damaged(format!("the hash of entry {} does not match", head.seq + 1)).into(),
            });
        }
        let sealed = books::row::sealed(body, hash)?;
        self.books
            .engine
            .follow(&sealed.entry, &mut self.scratch)
            .map_err(|error| Damaged(error.to_string()))?;
        self.books.chain.seal(&sealed.entry);
        self.note(&sealed.entry)?;
        news.push(sealed);
        Ok(())
    }

    /// Compares the end of the log with what was followed, and takes over the rest of what stands there.
    pub(super) fn arrive(&mut self, marks: Marks) -> Result<(), Failure> {
        let head = self.head();
        if head.seq < marks.head.seq {
            return Err(Failure::Damaged(format!(
                "the log ends at entry {}, not {}",
                head.seq, marks.head.seq
            )));
        }
        if head != marks.head {
            return Err(Failure::Diverged);
        }
        self.take_marks(marks);
        Ok(())
    }

    /// Checkpoints that others wrote, or we.
    pub(super) fn take_marks(&mut self, marks: Marks) {
        while let Some((seq, id)) = self.books.young.front().copied()
            && seq <= marks.aged_to
        {
            if self.is_open(id) {
                self.books.old.insert(id);
            }
            self.books.young.pop_front();
        }
        self.books.sweep = marks.sweep;
        self.marks = marks;
    }

    pub(super) fn is_open(&self, id: TransferId) -> bool {
        matches!(self.books.engine.known(id), Some(Known::Hold(hold)) if hold.state == HoldState::Open)
    }

    /// Notes beside the engine what an entry did that stands in the log.
    pub(super) fn note(&mut self, entry: &Entry) -> Result<(), Damaged> {
        if let Some(movement) = entry.event.movement() {
            for id in [movement.debit, movement.credit] {
                let place = self.place(id)?;
                if let Some(last) = self.books.last_seq.get_mut(place) {
                    *last = entry.seq;
                }
            }
        }
        match &entry.event {
            Event::AccountOpened(_) => {
                self.books.last_seq.push(0);
                self.books.as_of.push(entry.seq);
            }
            Event::Held(new) => self.books.young.push_back((entry.seq, new.transfer.id)),
            _ => {
                if let Some(hold) = entry.ends() {
                    self.books.old.remove(&hold);
                }
            }
        }
        Ok(())
    }

    pub(super) fn place(&self, id: AccountId) -> Result<usize, Damaged> {
        self.books.engine.place(id).ok_or_else(|| Damaged(format!("account {id} has no place")))
    }

    /// The ids that `steps` name and that the journal has to be asked about.
    pub(super) fn unsure<'a>(&self, steps: impl Iterator<Item = &'a Step>) -> Vec<TransferId> {
        let mut unsure: Vec<TransferId> = steps
            .flat_map(|step| named(&step.command))
            .flatten()
            .filter(|id| self.books.engine.memory(*id) == Memory::Unsure)
            .collect();
        unsure.sort_unstable();
        unsure.dedup();
        unsure
    }

    /// Gives the engine what the journal says about ids that it has forgotten. Call it when everything is followed.
    pub(super) fn remember(&mut self, used: &[Row], ended: &[Row]) -> Result<(), Failure> {
        for row in used {
            let entry = row::sealed(row, 0)?.entry;
            let known = match entry.transfer_id() {
                Some(id) if self.books.engine.memory(id) != Memory::Known => known_of(&entry, ended)?,
                _ => None,
            };
            if let Some(known) = known {
                self.books.engine.load(known).map_err(Damaged::from)?;
            }
        }
        Ok(())
    }

    /// Forgets ids that are old. Only between batches.
    pub(super) fn forget(&mut self) {
        self.books.engine.forget(self.books.tuning.remembered);
    }
}

/// What an entry says about its id; `ended` are the entries that ended holds, with `body, hash, ends`.
pub(super) fn known_of(entry: &Entry, ended: &[Row]) -> Result<Option<Known>, Failure> {
    let mut end = None;
    if let Event::Held(new) = &entry.event {
        let id = new.transfer.id.as_u128().to_be_bytes();
        for row in ended {
            if row.try_get::<_, &[u8]>(2)? == id {
                end = Some(row::sealed(row, 0)?);
            }
        }
    }
    Ok(books::row::known(entry, end.as_ref().map(|end| &end.entry.event))?)
}

fn named(command: &Command) -> [Option<TransferId>; 2] {
    match command {
        Command::Transfer(transfer) | Command::Hold(NewHold { transfer, .. }) => [Some(transfer.id), None],
        Command::Post(post) => [Some(post.id), Some(post.hold)],
        Command::Void(void) => [Some(void.id), Some(void.hold)],
        Command::Expire(hold) => [Some(*hold), None],
        Command::DefineAsset(_) | Command::OpenAccount(_) | Command::CloseAccount(_) => [None, None],
    }
}
