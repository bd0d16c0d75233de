//! The ids that an engine remembers, and the holds that are open. It forgets the oldest when told to, and then knows of
//! which ids it can no longer say that they are new.

use std::collections::{HashMap, VecDeque};

use farthing_money::Amount;
use foldhash::fast::FixedState;

use super::Known;
use crate::{HoldState, TransferId};

/// Whether an engine can judge an id by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// It knows what the id was used for.
    Known,
    /// The id was never used.
    New,
    /// The id may have been used before anything that the engine remembers: look it up and load what is found.
    Unsure,
}

/// One remembered id. `debit`, `credit` and `open_at` mean something for holds only.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) known: Known,
    pub(super) debit: usize,
    pub(super) credit: usize,
    open_at: usize,
    queued: Queued,
}

/// Whether a record waits in the queue of those to forget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Queued {
    Yes,
    No,
}

#[derive(Debug)]
pub(super) struct Records {
    index: HashMap<TransferId, usize, FixedState>,
    slots: Vec<Option<Record>>,
    free: Vec<usize>,
    arrivals: VecDeque<usize>,
    open: Vec<usize>,
    floor: TransferId,
}

impl Records {
    pub(super) fn new(hasher: FixedState) -> Self {
        Self {
            index: HashMap::with_hasher(hasher),
            slots: Vec::new(),
            free: Vec::new(),
            arrivals: VecDeque::new(),
            open: Vec::new(),
            floor: TransferId::from_u128(0),
        }
    }

    pub(super) fn memory(&self, id: TransferId) -> Memory {
        if self.index.contains_key(&id) {
            Memory::Known
        } else if id > self.floor {
            Memory::New
        } else {
            Memory::Unsure
        }
    }

    /// From here on, an id up to `floor` that is not remembered may have been used.
    pub(super) fn raise_floor(&mut self, floor: TransferId) {
        self.floor = self.floor.max(floor);
    }

    pub(super) fn slot(&self, id: TransferId) -> Option<usize> {
        self.index.get(&id).copied()
    }

    pub(super) fn get(&self, id: TransferId) -> Option<&Record> {
        self.at(self.slot(id)?)
    }

    pub(super) fn at(&self, slot: usize) -> Option<&Record> {
        self.slots.get(slot)?.as_ref()
    }

    /// Remembers `known`; `debit` and `credit` are where a hold's accounts are.
    pub(super) fn add(&mut self, known: Known, debit: usize, credit: usize) {
        let slot = self.free.pop().unwrap_or(self.slots.len());
        let open_at = self.open.len();
        if is_open(&known) {
            self.open.push(slot);
        }
        self.index.insert(known.id(), slot);
        self.arrivals.push_back(slot);
        let record = Some(Record { known, debit, credit, open_at, queued: Queued::Yes });
        match self.slots.get_mut(slot) {
            Some(place) => *place = record,
            None => self.slots.push(record),
        }
    }

    /// Takes back the [`Records::add`] of `id`, which is at or near the end of the queue.
    pub(super) fn take_back(&mut self, id: TransferId) {
        let Some(slot) = self.slot(id) else { return };
        // A hold that was forgotten and ended since stands behind it.
        if let Some(at) = self.arrivals.iter().rposition(|queued| *queued == slot) {
            self.arrivals.remove(at);
        }
        self.remove(slot);
    }

    /// Says what is left of the hold in `slot` and where it stands now; keeps the list of open holds.
    pub(super) fn set_hold(&mut self, slot: usize, left: Amount, state: HoldState) {
        let open_len = self.open.len();
        let Some(Some(record)) = self.slots.get_mut(slot) else { return };
        let Known::Hold(hold) = &mut record.known else { return };
        let was = std::mem::replace(&mut hold.state, state);
        hold.left = left;
        match (was == HoldState::Open, state == HoldState::Open) {
            (true, false) => {
                let at = record.open_at;
                let forgotten = std::mem::replace(&mut record.queued, Queued::Yes) == Queued::No;
                if forgotten {
                    self.arrivals.push_back(slot);
                }
                self.close(at);
            }
            (false, true) => {
                record.open_at = open_len;
                self.open.push(slot);
            }
            _ => {}
        }
    }

    /// Forgets the oldest records by arrival until `keep` of them are left; open holds stay whatever their age.
    ///
    /// The floor rises to the highest id that was forgotten: an id from the far future makes every later one a question
    /// to the store, which costs time and never correctness.
    pub(super) fn forget(&mut self, keep: usize) {
        while self.arrivals.len() > keep {
            let Some(slot) = self.arrivals.pop_front() else { return };
            let Some(Some(record)) = self.slots.get_mut(slot) else { continue };
            if is_open(&record.known) {
                record.queued = Queued::No;
            } else {
                self.floor = self.floor.max(record.known.id());
                self.remove(slot);
            }
        }
    }

    pub(super) fn open(&self) -> impl Iterator<Item = &Record> {
        self.open.iter().filter_map(|slot| self.at(*slot))
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    fn remove(&mut self, slot: usize) {
        let Some(place) = self.slots.get_mut(slot) else { return };
        // Read before it is dropped: moving a whole record out costs more than the rest of this function.
        let Some(Record { known, open_at, .. }) = place else { return };
        let (id, open_at) = (known.id(), is_open(known).then_some(*open_at));
        *place = None;
        if let Some(at) = open_at {
            self.close(at);
        }
        self.index.remove(&id);
        self.free.push(slot);
    }

    fn close(&mut self, at: usize) {
        self.open.swap_remove(at);
        if let Some(moved) = self.open.get(at).copied()
            && let Some(Some(record)) = self.slots.get_mut(moved)
        {
            record.open_at = at;
        }
    }
}

fn is_open(known: &Known) -> bool {
    matches!(known, Known::Hold(hold) if hold.state == HoldState::Open)
}
