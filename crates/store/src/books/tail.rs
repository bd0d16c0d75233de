//! [`Tail`]: opening the books. Account rows are checkpoints that lag behind, each as of an entry of its own; the tail of the
//! journal brings them up to date. Nothing is believed that the hash chain of the tail does not cover.

use std::collections::HashMap;

use farthing_ledger::journal::{Chain, Change, Entry, Event, Hash, Head, Movement};
use farthing_ledger::{Account, AccountId, Engine, Hold, HoldState, Known, NewAsset, NewHold, TransferId};
use farthing_money::Amount;

use super::row::AccountRow;
use super::{Books, Damaged, Sweep, Tuning, row};

/// Checkpoints, brought up to date entry by entry.
pub(crate) struct Tail {
    head: Head,
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

/// What is read beside accounts, old holds and the tail.
pub(crate) struct Rest {
    /// Every asset.
    pub(crate) assets: Vec<NewAsset>,
    /// The highest id of entries before the tail: ids above it that are not in memory were never used.
    pub(crate) floor: Option<TransferId>,
    pub(crate) tuning: Tuning,
}

impl Tail {
    /// The tail of the journal that follows `head`; accounts in the order of their opening.
    pub(crate) fn after(head: Head, accounts: Vec<AccountRow>, old: Vec<Hold>) -> Self {
        let places = accounts.iter().enumerate().map(|(place, row)| (row.account.id, place)).collect();
        let old = old.into_iter().map(|hold| (hold.new.transfer.id, hold)).collect();
        Self { head, accounts, places, old, young: HashMap::new(), seen: Vec::new() }
    }

    /// The next entry, as it is stored.
    pub(crate) fn add_stored(&mut self, body: &[u8], hash: Hash) -> Result<(), Damaged> {
        if self.head.hash.next(body) != hash {
            let seq = self.head.seq + 1;
            return Err(Damaged(format!("the hash of entry {seq} does not match its content")));
        }
        let entry = row::sealed(body, hash)?.entry;
        self.head = Head { seq: entry.seq, at: entry.at, hash };
        self.add(&entry)
    }

    fn add(&mut self, entry: &Entry) -> Result<(), Damaged> {
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

    fn add_movement(&mut self, movement: &Movement, seq: u64) -> Result<(), Damaged> {
        let Movement { debit, credit, change, .. } = *movement;
        for (id, side) in [(debit, Side::Debit), (credit, Side::Credit)] {
            let place = *self.places.get(&id).ok_or_else(|| Damaged(format!("account {id} has no row")))?;
            let Some(row) = self.accounts.get_mut(place).filter(|row| row.as_of < seq) else { continue };
            row.last_seq = seq;
            add_to(&mut row.account, side, change)
                .map_err(|error| Damaged(format!("entry {seq} does not fit account {id}: {error}")))?;
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

    /// The books at the end of the journal.
    pub(crate) fn finish(self, rest: Rest) -> Result<Books, Damaged> {
        let (head, tuning) = (self.head, rest.tuning);
        let mut engine = Engine::new(tuning.seed, head.seq, head.at);
        for new in rest.assets {
            engine.load_asset(new.id, new.asset)?;
        }
        for row in &self.accounts {
            engine.load_account(row.account)?;
        }
        for hold in self.old.values() {
            engine.load(Known::Hold(*hold))?;
        }
        for seen in &self.seen {
            match seen {
                Seen::Hold(id) => {
                    if let Some((_, hold)) = self.young.get(id) {
                        engine.load(Known::Hold(*hold))?;
                    }
                }
                Seen::Other(known) => engine.load(*known)?,
            }
        }
        if let Some(floor) = rest.floor {
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
enum Side {
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
