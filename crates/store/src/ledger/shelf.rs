//! [`Shelf`]: the records that the writer has at hand. It is the only one that changes them, so what it has read once it need not
//! read again; what a batch changes is gathered here, a record that many works change is written once, and nothing is written
//! before all of the batch is decided.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use farthing_ledger::record::{Expect, RecordChange, RecordKey, Version, add_to_counter};
use rusqlite::{Connection, OptionalExtension, params};

use super::batch::RecordRow;
use super::sql::{self, Sql};

/// About so many bytes of unchanged records are kept.
const KEPT: usize = 32 << 20;
/// A record's weight beside its key and its body.
const OVERHEAD: usize = 128;

/// A record without its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) revision: Version,
    pub(super) body: String,
}

#[derive(Debug)]
struct Slot {
    now: Option<Content>,
    is_written: bool,
}

/// What becomes of a record.
#[derive(Debug)]
pub(super) enum Becomes {
    Text(String),
    Nothing,
    Same,
}

#[derive(Debug)]
pub(super) struct Shelf {
    /// The last commit that was decided.
    pub(super) version: Version,
    slots: HashMap<RecordKey, Slot>,
    unwritten: Vec<RecordKey>,
    /// About the size of all slots, and of those that are not written.
    size: usize,
    unwritten_size: usize,
}

impl Shelf {
    /// The shelf of a file, with nothing on it.
    pub(super) fn of(db: &Connection) -> Result<Self, Sql> {
        Ok(Self::empty(stored_version(db)?))
    }

    fn empty(version: Version) -> Self {
        Self { version, slots: HashMap::new(), unwritten: Vec::new(), size: 0, unwritten_size: 0 }
    }

    /// About how many bytes are to be written.
    pub(super) const fn unwritten_size(&self) -> usize {
        self.unwritten_size
    }

    /// Reads the records that `changes` are about, as far as it has not got them.
    pub(super) fn fetch(&mut self, db: &Connection, changes: &[RecordChange]) -> Result<(), Sql> {
        for change in changes {
            let at = change.at();
            if !self.slots.contains_key(at) {
                let now = read(db, at)?;
                self.size += OVERHEAD + at.key.len() + now.as_ref().map_or(0, |content| content.body.len());
                self.slots.insert(at.clone(), Slot { now, is_written: true });
            }
        }
        Ok(())
    }

    fn get(&self, at: &RecordKey) -> Option<&Content> {
        self.slots.get(at).and_then(|slot| slot.now.as_ref())
    }

    /// The first of `changes`, which were fetched, whose expectation fails.
    pub(super) fn conflict(&self, changes: &[RecordChange]) -> Option<usize> {
        changes.iter().position(|change| {
            let found = self.get(change.at());
            !match change.expect() {
                Expect::Anything => true,
                Expect::Absent => found.is_none(),
                Expect::Present => found.is_some(),
                Expect::Revision(revision) => found.is_some_and(|content| content.revision == revision),
            }
        })
    }

    /// What `changes`, which were fetched, come to. Nothing is changed yet.
    pub(super) fn work_out(&self, changes: Vec<RecordChange>) -> Result<Vec<(RecordKey, Becomes)>, Sql> {
        let one = |change| {
            Ok(match change {
                RecordChange::Put { at, body, .. } => (at, Becomes::Text(body)),
                RecordChange::Delete { at, .. } if self.get(&at).is_some() => (at, Becomes::Nothing),
                RecordChange::Delete { at, .. } | RecordChange::Check { at, .. } => (at, Becomes::Same),
                RecordChange::Add { at, numbers } => {
                    let before = self.get(&at).map(|content| content.body.as_str());
                    let sum = add_to_counter(before, &numbers).map_err(Sql::Damaged)?;
                    (at, Becomes::Text(sum))
                }
            })
        };
        changes.into_iter().map(one).collect()
    }

    /// Changes a record, and says whether it did. It is written with the batch.
    pub(super) fn change(&mut self, at: RecordKey, becomes: Becomes, revision: Version) -> bool {
        let now = match becomes {
            Becomes::Text(body) => Some(Content { revision, body }),
            Becomes::Nothing => None,
            Becomes::Same => return false,
        };
        let added = OVERHEAD + at.key.len() + now.as_ref().map_or(0, |content| content.body.len());
        self.size += added;
        self.unwritten_size += added;
        match self.slots.entry(at) {
            Entry::Occupied(mut slot) => {
                if std::mem::replace(&mut slot.get_mut().is_written, false) {
                    self.unwritten.push(slot.key().clone());
                }
                slot.get_mut().now = now;
            }
            Entry::Vacant(vacant) => {
                self.unwritten.push(vacant.key().clone());
                vacant.insert(Slot { now, is_written: false });
            }
        }
        true
    }

    /// Gives away what was changed, as the rows that are to be written.
    pub(super) fn hand_over(&mut self, rows: &mut Vec<RecordRow>) {
        for at in self.unwritten.drain(..) {
            let Some(slot) = self.slots.get_mut(&at) else { continue };
            slot.is_written = true;
            rows.push(RecordRow { at, content: slot.now.clone() });
        }
        self.unwritten_size = 0;
    }

    /// Whether it should be tidied.
    pub(super) const fn is_too_big(&self) -> bool {
        self.size > KEPT
    }

    /// Forgets everything when it has become too much. Only when all is written.
    pub(super) fn tidy(&mut self) {
        if self.is_too_big() && self.unwritten.is_empty() {
            *self = Self::empty(self.version);
        }
    }
}

/// The last commit in the file.
pub(super) fn stored_version(db: &Connection) -> Result<Version, Sql> {
    let of_records: i64 = db.query_row("SELECT version FROM record_version", [], |row| row.get(0))?;
    let last = "SELECT version FROM journal ORDER BY seq DESC LIMIT 1";
    let of_entries: Option<i64> = db.query_row(last, [], |row| row.get(0)).optional()?.flatten();
    Ok(Version(sql::unsigned(of_records.max(of_entries.unwrap_or_default()))?))
}

fn read(db: &Connection, at: &RecordKey) -> Result<Option<Content>, Sql> {
    let mut find = db.prepare_cached(sql::RECORD_BY_KEY)?;
    let found = find.query_row(params![at.table.name(), at.key], |row| Ok(sql::record(row, at.table.name())));
    let found = found.optional()?.transpose()?;
    Ok(found.map(|record| Content { revision: record.revision, body: record.body }))
}
