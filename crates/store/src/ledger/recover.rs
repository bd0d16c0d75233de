//! Opening the books: the state that a writer keeps in memory, and how it is read back from checkpoint and journal.
//!
//! Account rows are checkpoints that lag behind, each as of an entry of its own; the tail of the journal brings them up to
//! date. Nothing is believed that the hash chain of the tail does not cover.

use std::collections::{HashMap, HashSet, VecDeque};

use farthing_ledger::journal::{Chain, Change, Entry, Event, Head, Movement, Sealed};
use farthing_ledger::{Account, AccountId, Engine, Hold, HoldState, Known, NewHold, TransferId};
use farthing_money::Amount;
use rusqlite::Connection;

use super::sql::{self, ACCOUNT_COLUMNS, AccountRow, Sql};

/// What the writer keeps in memory.
pub(super) struct Books {
    pub(super) engine: Engine,
    pub(super) chain: Chain,
    /// For every account in [`Engine::accounts`], the last entry that touched it.
    pub(super) last_seq: Vec<u64>,
    /// For every account, the entry that its row is as of.
    pub(super) as_of: Vec<u64>,
    /// Holds with a row of their own.
    pub(super) old: HashSet<TransferId>,
    /// Holds without one, in the order in which they were placed; some have ended since.
    pub(super) young: VecDeque<(u64, TransferId)>,
    pub(super) sweep: Sweep,
    pub(super) tuning: Tuning,
}

/// How much is kept in memory. Tests make it small, so that little is enough to outgrow it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tuning {
    /// The shortest round of checkpoints, in entries: start-up reads at most about twice as many, and holds that end
    /// within one never get a row.
    pub(super) shortest_round: u64,
    /// Ids that the engine remembers. What is older is looked up in the file when its id is not higher than all that
    /// were forgotten.
    pub(super) remembered: usize,
    /// The engine's seed.
    pub(super) seed: u64,
}

impl Tuning {
    pub(super) const fn new(seed: u64) -> Self {
        Self { shortest_round: 65_536, remembered: 1 << 17, seed }
    }
}

/// How far the present round of checkpoints has come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sweep {
    /// The next account to look at.
    pub(super) place: usize,
    /// The end of the journal when the round began.
    pub(super) began: u64,
}

/// Reads everything that a writer needs.
pub(super) fn recover(db: &Connection, tuning: Tuning) -> Result<Books, Sql> {
    let from: i64 = db.query_row("SELECT seq FROM replay_from", [], |row| row.get(0))?;
    let from = sql::unsigned(from)?;
    let mut tail = Tail::load(db)?;
    let mut head = head_before(db, from)?;
    let mut read = db.prepare("SELECT body, hash FROM journal WHERE seq >= ?1 ORDER BY seq")?;
    let mut rows = read.query([sql::signed(from)])?;
    while let Some(row) = rows.next()? {
        let (body, hash) = sql::body_and_hash(row)?;
        if head.hash.next(body) != hash {
            return Err(Sql::Damaged(format!(
                "the hash of entry {} does not match its content",
                head.seq + 1
            )));
        }
        let Sealed { entry, hash } = sql::sealed(row)?;
        head = Head { seq: entry.seq, at: entry.at, hash };
        tail.add(&entry)?;
    }
    drop(rows);
    tail.finish(db, from, (head, tuning))
}

/// The head of the journal just before entry `seq`.
fn head_before(db: &Connection, seq: u64) -> Result<Head, Sql> {
    if seq <= 1 {
        return Ok(Head::genesis());
    }
    let mut read = db.prepare("SELECT body, hash FROM journal WHERE seq = ?1")?;
    let Sealed { entry, hash } = read.query_row([sql::signed(seq - 1)], |row| Ok(sql::sealed(row)))??;
    Ok(Head { seq: entry.seq, at: entry.at, hash })
}

/// Checkpoints, brought up to date entry by entry.
struct Tail {
    accounts: Vec<AccountRow>,
    places: HashMap<AccountId, usize>,
    old: HashMap<TransferId, Hold>,
    young: HashMap<TransferId, (u64, Hold)>,
    seen: Vec<Seen>,
}

/// An id of the tail: holds are looked up at the end, when it is known what became of them.
enum Seen {
    Hold(TransferId),
    Other(Known),
}

impl Tail {
    fn load(db: &Connection) -> Result<Self, Sql> {
        let mut accounts = Vec::new();
        let mut read = db.prepare(&format!("SELECT {ACCOUNT_COLUMNS} FROM account ORDER BY place"))?;
        let mut rows = read.query([])?;
        while let Some(row) = rows.next()? {
            accounts.push(sql::account(row)?);
        }
        let places = accounts.iter().enumerate().map(|(place, row)| (row.account.id, place)).collect();
        let old = old_holds(db)?;
        Ok(Self { accounts, places, old, young: HashMap::new(), seen: Vec::new() })
    }

    fn add(&mut self, entry: &Entry) -> Result<(), Sql> {
        if let Some(movement) = entry.event.movement() {
            self.add_movement(&movement, entry.seq)?;
        }
        match &entry.event {
            Event::Transferred(transfer) => self.seen.push(Seen::Other(Known::Transfer(*transfer))),
            Event::Held(new) => self.place(entry.seq, *new),
            Event::Posted(posted) => {
                self.seen.push(Seen::Other(Known::Post(posted.post)));
                let state = if posted.left.is_zero() { HoldState::Posted } else { HoldState::Open };
                self.set_hold(posted.post.hold, posted.left, state);
            }
            Event::Voided { released, .. } => {
                self.seen.extend(entry.void().map(|void| Seen::Other(Known::Void(void))));
                self.set_hold(released.hold, Amount::ZERO, HoldState::Voided);
            }
            Event::Expired(released) => self.set_hold(released.hold, Amount::ZERO, HoldState::Expired),
            // Their rows are written with their entries.
            Event::AssetDefined(_) | Event::AccountOpened(_) | Event::AccountClosed(_) => {}
        }
        Ok(())
    }

    fn add_movement(&mut self, movement: &Movement, seq: u64) -> Result<(), Sql> {
        let Movement { debit, credit, change, .. } = *movement;
        for (id, side) in [(debit, Side::Debit), (credit, Side::Credit)] {
            let place =
                *self.places.get(&id).ok_or_else(|| Sql::Damaged(format!("account {id} has no row")))?;
            let Some(row) = self.accounts.get_mut(place).filter(|row| row.as_of < seq) else { continue };
            row.last_seq = seq;
            add_to(&mut row.account, side, change)
                .map_err(|error| Sql::Damaged(format!("entry {seq} does not fit account {id}: {error}")))?;
        }
        Ok(())
    }

    fn place(&mut self, seq: u64, new: NewHold) {
        let id = new.transfer.id;
        if !self.old.contains_key(&id) {
            let hold = Hold { new, left: new.transfer.amount, state: HoldState::Open };
            self.young.insert(id, (seq, hold));
        }
        self.seen.push(Seen::Hold(id));
    }

    /// Old holds have rows that are exact already.
    fn set_hold(&mut self, id: TransferId, left: Amount, state: HoldState) {
        if let Some((_, hold)) = self.young.get_mut(&id) {
            *hold = Hold { left, state, ..*hold };
        }
    }

    fn finish(self, db: &Connection, from: u64, (head, tuning): (Head, Tuning)) -> Result<Books, Sql> {
        let broken = |error: farthing_ledger::engine::LoadError| Sql::Damaged(error.to_string());
        let mut engine = Engine::new(tuning.seed, head.seq, head.at);
        for new in assets(db)? {
            engine.load_asset(new.id, new.asset).map_err(broken)?;
        }
        for row in &self.accounts {
            engine.load_account(row.account).map_err(broken)?;
        }
        for hold in self.old.values() {
            engine.load(Known::Hold(*hold)).map_err(broken)?;
        }
        for seen in &self.seen {
            match seen {
                Seen::Hold(id) => {
                    if let Some((_, hold)) = self.young.get(id) {
                        engine.load(Known::Hold(*hold)).map_err(broken)?;
                    }
                }
                Seen::Other(known) => engine.load(*known).map_err(broken)?,
            }
        }
        if let Some(floor) = highest_id_before(db, from)? {
            engine.raise_floor(floor);
        }
        let mut young: Vec<(u64, TransferId)> = self
            .young
            .iter()
            .filter(|(_, (_, hold))| hold.state == HoldState::Open)
            .map(|(id, (seq, _))| (*seq, *id))
            .collect();
        young.sort_unstable();
        Ok(Books {
            engine,
            chain: Chain::after(head),
            last_seq: self.accounts.iter().map(|row| row.last_seq).collect(),
            as_of: self.accounts.iter().map(|row| row.as_of).collect(),
            old: self.old.into_keys().collect(),
            young: young.into(),
            sweep: Sweep { place: 0, began: head.seq },
            tuning,
        })
    }
}

/// Which side of an account a change is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Debit,
    Credit,
}

fn add_to(account: &mut Account, side: Side, change: Change) -> Result<(), farthing_money::MoneyError> {
    let sums = match side {
        Side::Debit => &mut account.totals.debits,
        Side::Credit => &mut account.totals.credits,
    };
    *sums = change.apply(*sums)?;
    Ok(())
}

fn assets(db: &Connection) -> Result<Vec<farthing_ledger::NewAsset>, Sql> {
    let mut read = db.prepare(
        "SELECT body, hash FROM journal JOIN asset ON asset.seq = journal.seq ORDER BY journal.seq",
    )?;
    let mut rows = read.query([])?;
    let mut assets = Vec::new();
    while let Some(row) = rows.next()? {
        match sql::sealed(row)?.entry.event {
            Event::AssetDefined(new) => assets.push(new),
            _ => return Err(sql::damaged("an asset's entry")),
        }
    }
    Ok(assets)
}

fn old_holds(db: &Connection) -> Result<HashMap<TransferId, Hold>, Sql> {
    let mut read =
        db.prepare("SELECT body, hash, remaining FROM old_hold JOIN journal ON journal.seq = old_hold.seq")?;
    let mut rows = read.query([])?;
    let mut holds = HashMap::new();
    while let Some(row) = rows.next()? {
        let left = Amount::from_base(sql::number(row.get_ref(2)?)?);
        match sql::sealed(row)?.entry.event {
            Event::Held(new) => {
                holds.insert(new.transfer.id, Hold { new, left, state: HoldState::Open });
            }
            _ => return Err(sql::damaged("a hold's entry")),
        }
    }
    Ok(holds)
}

/// The highest id of entries before `seq`: ids above it that are not in memory were never used. Ids grow with time, so
/// that it is found after about as many steps as the tail is long.
fn highest_id_before(db: &Connection, seq: u64) -> Result<Option<TransferId>, Sql> {
    let mut read = db.prepare("SELECT id, seq FROM journal WHERE id IS NOT NULL ORDER BY id DESC")?;
    let mut rows = read.query([])?;
    while let Some(row) = rows.next()? {
        if sql::unsigned(row.get(1)?)? < seq {
            return Ok(Some(TransferId::from_u128(sql::number(row.get_ref(0)?)?)));
        }
    }
    Ok(None)
}
