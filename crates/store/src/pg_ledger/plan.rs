//! [`Plan`]: everything that one batch writes, as columns. It is worked out from the books and changes nothing.

use std::collections::{BTreeMap, HashMap};

use farthing_ledger::journal::{Chain, Entry, Event, Sealed};
use farthing_ledger::{AccountId, HoldState, Known, TransferId};
use farthing_money::Amount;

use super::desk::Desk;
use super::log::Log;
use super::row::{Marks, proof};
use crate::books::row::{limit_number, signed, totals_bytes};
use crate::books::{Damaged, Sweep};

/// For each account row that is brought up to date, so many entries.
const ENTRIES_A_ROW: u64 = 16;
/// Rows are brought up to date every so many entries, many at once: a statement costs more than a row.
const STRIDE: u64 = 512;

/// Sixteen bytes, as a number is stored.
pub(super) type Bytes = [u8; 16];

/// Entries, a column each.
#[derive(Debug, Default)]
pub(super) struct Journal {
    pub(super) seqs: Vec<i64>,
    pub(super) bodies: Vec<Vec<u8>>,
    pub(super) hashes: Vec<[u8; 32]>,
    pub(super) ids: Vec<Option<Bytes>>,
    pub(super) ends: Vec<Option<Bytes>>,
    pub(super) debits: Vec<Option<i64>>,
    pub(super) credits: Vec<Option<i64>>,
    pub(super) before_debits: Vec<Option<i64>>,
    pub(super) before_credits: Vec<Option<i64>>,
}

/// Accounts that are opened.
#[derive(Debug, Default)]
pub(super) struct Opened {
    pub(super) places: Vec<i64>,
    pub(super) ids: Vec<Bytes>,
    pub(super) assets: Vec<i64>,
    pub(super) guards: Vec<i64>,
    pub(super) opened_ms: Vec<i64>,
    pub(super) as_of: Vec<i64>,
}

/// Account rows that are brought up to date.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) places: Vec<i64>,
    pub(super) totals: Vec<Vec<u8>>,
    pub(super) last_seqs: Vec<i64>,
}

/// Old holds: given a row, changed, gone.
#[derive(Debug, Default)]
pub(super) struct Holds {
    pub(super) kept: (Vec<Bytes>, Vec<i64>, Vec<Bytes>),
    pub(super) reduced: (Vec<Bytes>, Vec<Bytes>),
    pub(super) gone: Vec<Bytes>,
}

/// Records that are written.
#[derive(Debug, Default)]
pub(super) struct Puts {
    pub(super) tables: Vec<&'static str>,
    pub(super) keys: Vec<String>,
    pub(super) revisions: Vec<i64>,
    pub(super) bodies: Vec<String>,
    pub(super) proofs: Vec<Bytes>,
}

/// Records: written and deleted.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) put: Puts,
    pub(super) deleted: (Vec<&'static str>, Vec<String>),
}

/// What a batch writes.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) journal: Journal,
    pub(super) assets: (Vec<i64>, Vec<i64>),
    pub(super) opened: Opened,
    pub(super) closed: (Vec<Bytes>, Vec<i64>),
    pub(super) rows: Rows,
    pub(super) holds: Holds,
    pub(super) records: Records,
    pub(super) marks: Marks,
    pub(super) version_before: u64,
    /// The entries as they will stand in the log.
    pub(super) sealed: Vec<Sealed>,
    /// The last entry that touched an account, by its place.
    last: HashMap<usize, u64>,
    /// What becomes of holds that have a row.
    old: BTreeMap<TransferId, Option<Amount>>,
    next_place: usize,
}

fn id_bytes(id: TransferId) -> Bytes {
    id.as_u128().to_be_bytes()
}

fn place_number(place: usize) -> i64 {
    i64::try_from(place).unwrap_or(i64::MAX)
}

impl Plan {
    /// What `entries`, which the engine has just decided, and the records of `desk` come to.
    pub(super) fn of(log: &Log, entries: Vec<Entry>, desk: &mut Desk) -> Result<Self, Damaged> {
        let mut chain = log.books.chain.clone();
        let mut plan = Self {
            journal: Journal::default(),
            assets: (Vec::new(), Vec::new()),
            opened: Opened::default(),
            closed: (Vec::new(), Vec::new()),
            rows: Rows::default(),
            holds: Holds::default(),
            records: Records::default(),
            marks: log.marks,
            version_before: log.marks.version,
            sealed: Vec::with_capacity(entries.len()),
            last: HashMap::new(),
            old: BTreeMap::new(),
            next_place: log.books.last_seq.len(),
        };
        for entry in entries {
            plan.add(log, &mut chain, entry)?;
        }
        plan.marks.head = chain.head();
        plan.marks.version = desk.version;
        plan.write_old_holds();
        let (before, after) = (log.head().seq, plan.marks.head.seq);
        let stride = STRIDE.min(log.books.tuning.shortest_round);
        if before / stride != after / stride {
            plan.checkpoint(log, (after - before + stride) / ENTRIES_A_ROW + 2);
        }
        plan.add_records(desk);
        Ok(plan)
    }

    fn add(&mut self, log: &Log, chain: &mut Chain, entry: Entry) -> Result<(), Damaged> {
        let seq = entry.seq;
        let movement = entry.event.movement();
        let mut side = |id: Option<AccountId>| -> Result<(Option<i64>, Option<i64>), Damaged> {
            let Some(id) = id else { return Ok((None, None)) };
            let place = log.place(id)?;
            let before = log.books.last_seq.get(place).copied().unwrap_or_default();
            let before = self.last.insert(place, seq).unwrap_or(before);
            Ok((Some(place_number(place)), Some(signed(before))))
        };
        let (debit, before_debit) = side(movement.map(|movement| movement.debit))?;
        let (credit, before_credit) = side(movement.map(|movement| movement.credit))?;
        let (body, hash) = chain.seal(&entry);
        let journal = &mut self.journal;
        journal.seqs.push(signed(seq));
        journal.bodies.push(body.to_vec());
        journal.hashes.push(*hash.as_bytes());
        journal.ids.push(entry.transfer_id().map(id_bytes));
        journal.ends.push(entry.ends().map(id_bytes));
        journal.debits.push(debit);
        journal.credits.push(credit);
        journal.before_debits.push(before_debit);
        journal.before_credits.push(before_credit);
        self.beside(log, &entry);
        self.sealed.push(Sealed { entry, hash });
        Ok(())
    }

    /// What an entry changes beside the journal.
    fn beside(&mut self, log: &Log, entry: &Entry) {
        let seq = signed(entry.seq);
        match &entry.event {
            Event::AssetDefined(new) => {
                self.assets.0.push(new.id.as_u32().into());
                self.assets.1.push(seq);
            }
            Event::AccountOpened(new) => {
                let opened = &mut self.opened;
                opened.places.push(place_number(self.next_place));
                opened.ids.push(new.id.as_u128().to_be_bytes());
                opened.assets.push(new.asset.as_u32().into());
                opened.guards.push(limit_number(new.limit));
                opened.opened_ms.push(signed(entry.at.unix_ms()));
                opened.as_of.push(seq);
                self.next_place += 1;
            }
            Event::AccountClosed(id) => {
                self.closed.0.push(id.as_u128().to_be_bytes());
                self.closed.1.push(signed(entry.at.unix_ms()));
            }
            event => {
                if let Some(hold) = entry.hold().filter(|hold| log.books.old.contains(hold)) {
                    let left = match event {
                        Event::Posted(posted) if !posted.left.is_zero() => Some(posted.left),
                        _ => None,
                    };
                    self.old.insert(hold, left);
                }
            }
        }
    }

    fn write_old_holds(&mut self) {
        for (id, left) in &self.old {
            match left {
                Some(left) => {
                    self.holds.reduced.0.push(id_bytes(*id));
                    self.holds.reduced.1.push(left.base().to_be_bytes());
                }
                None => self.holds.gone.push(id_bytes(*id)),
            }
        }
    }

    /// Brings up to `rows` account rows up to date, where the last process stopped, and gives as many holds that are older than
    /// the round a row of their own. When the round is complete, all that happened before it began is in the rows.
    fn checkpoint(&mut self, log: &Log, rows: u64) {
        let limit = usize::try_from(rows).unwrap_or(usize::MAX);
        let head = self.marks.head.seq;
        let accounts = log.books.engine.accounts();
        let Sweep { mut place, began } = self.marks.sweep;
        let from = place;
        while let Some(account) = accounts.get(place)
            && self.rows.places.len() < limit
            && place - from < limit * 16
        {
            // Accounts of this very batch are opened with a row that is as of their own entry.
            let known = log.books.last_seq.get(place).copied().unwrap_or_default();
            let last = self.last.get(&place).copied().unwrap_or(known);
            if log.books.as_of.get(place).is_none_or(|as_of| last > *as_of) {
                self.rows.places.push(place_number(place));
                self.rows.totals.push(totals_bytes(&account.totals).to_vec());
                self.rows.last_seqs.push(signed(last));
            }
            place += 1;
        }
        self.marks.sweep.place = place;
        let aged = self.age_holds(log, limit);
        if place >= accounts.len() && aged && head - began >= log.books.tuning.shortest_round {
            self.marks.replay_from = began + 1;
            self.marks.sweep = Sweep { place: 0, began: head };
        }
    }

    /// Whether every hold that is older than the round has a row now, or has ended.
    fn age_holds(&mut self, log: &Log, limit: usize) -> bool {
        let began = self.marks.sweep.began;
        let young = log.books.young.iter().take_while(|(seq, _)| *seq <= began);
        for (looked, (seq, id)) in young.enumerate() {
            if self.holds.kept.0.len() >= limit || looked >= limit * 64 {
                return false;
            }
            if let Some(Known::Hold(hold)) = log.books.engine.known(*id)
                && hold.state == HoldState::Open
            {
                self.holds.kept.0.push(id_bytes(*id));
                self.holds.kept.1.push(signed(*seq));
                self.holds.kept.2.push(hold.left.base().to_be_bytes());
            }
            self.marks.aged_to = *seq;
        }
        self.marks.aged_to = self.marks.aged_to.max(began);
        true
    }

    fn add_records(&mut self, desk: &mut Desk) {
        let Records { put, deleted } = &mut self.records;
        for (at, record) in desk.changes() {
            let table = at.table.name();
            match record {
                Some(record) => {
                    put.tables.push(table);
                    put.keys.push(at.key.clone());
                    put.revisions.push(signed(record.revision.0));
                    put.bodies.push(record.body.clone());
                    put.proofs.push(proof(table, record));
                }
                None => {
                    deleted.0.push(table);
                    deleted.1.push(at.key.clone());
                }
            }
        }
    }

    /// Takes over what was planned, now that it stands in the log.
    pub(super) fn note_in(self, log: &mut Log) -> Result<Vec<Sealed>, Damaged> {
        for sealed in &self.sealed {
            log.note(&sealed.entry)?;
        }
        let head = self.marks.head.seq;
        log.books.chain.rewind(self.marks.head);
        for place in self.rows.places {
            let place = usize::try_from(place).unwrap_or(usize::MAX);
            if let Some(as_of) = log.books.as_of.get_mut(place) {
                *as_of = head;
            }
        }
        log.take_marks(self.marks);
        Ok(self.sealed)
    }
}
