//! Writing one batch: its entries, its records, and a few account rows of the checkpoint that is always under way. All of it is
//! one transaction; nothing here decides.

use farthing_ledger::journal::{Entry, Event};
use farthing_ledger::record::Version;
use farthing_ledger::{AccountId, HoldState, Known, NewAccount, TransferId};
use rusqlite::{CachedStatement, Connection, params};

use super::recover::{Books, Sweep};
use super::shelf::Shelf;
use super::sql::{self, Sql};

/// For each account row that a batch brings up to date, so many entries; and it always does a few.
const ENTRIES_A_ROW: usize = 16;
const FEWEST_ROWS: usize = 2;

/// Writes `entries`, which the engine has just decided, each with the version of its commit, and what the records on `shelf` have
/// become, as one transaction. After an error books and shelf do not match the file any more and must be read again.
pub(super) fn write(
    db: &Connection,
    (books, shelf): (&mut Books, &mut Shelf),
    (entries, versions): (&[Entry], &[Version]),
) -> Result<(), Sql> {
    db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let mut insert = Inserts::prepare(db)?;
    for (entry, version) in entries.iter().zip(versions) {
        insert.entry(books, entry, *version)?;
        beside(db, books, entry)?;
    }
    drop(insert);
    shelf.write(db)?;
    let rows = FEWEST_ROWS.max(entries.len() / ENTRIES_A_ROW);
    checkpoint(db, books, rows)?;
    age_holds(db, books, rows)?;
    Ok(())
}

/// Makes the batch durable.
pub(super) fn commit(db: &Connection) -> Result<(), Sql> {
    db.prepare_cached("COMMIT")?.execute([])?;
    Ok(())
}

struct Inserts<'a> {
    entry: CachedStatement<'a>,
}

impl<'a> Inserts<'a> {
    fn prepare(db: &'a Connection) -> Result<Self, Sql> {
        let entry = db.prepare_cached(
            "INSERT INTO journal (seq, body, hash, id, ends, prev_debit, prev_credit, version)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        Ok(Self { entry })
    }

    fn entry(&mut self, books: &mut Books, entry: &Entry, version: Version) -> Result<(), Sql> {
        let bytes = |id: TransferId| id.as_u128().to_be_bytes();
        let (prev_debit, prev_credit) = match entry.event.movement() {
            Some(movement) => (
                Some(touch(books, movement.debit, entry.seq)?),
                Some(touch(books, movement.credit, entry.seq)?),
            ),
            None => (None, None),
        };
        let (body, hash) = books.chain.seal(entry);
        self.entry.execute(params![
            sql::signed(entry.seq),
            body,
            hash.as_bytes(),
            entry.transfer_id().map(bytes),
            entry.ends().map(bytes),
            prev_debit.map(sql::signed),
            prev_credit.map(sql::signed),
            sql::signed(version.0),
        ])?;
        Ok(())
    }
}

/// Says that entry `seq` touched the account, and gives the one that did before it; 0 for none.
fn touch(books: &mut Books, id: AccountId, seq: u64) -> Result<u64, Sql> {
    let place = books.engine.place(id).and_then(|place| books.last_seq.get_mut(place));
    let last = place.ok_or_else(|| Sql::Damaged(format!("account {id} has no place")))?;
    Ok(std::mem::replace(last, seq))
}

/// What an entry changes beside the journal.
fn beside(db: &Connection, books: &mut Books, entry: &Entry) -> Result<(), Sql> {
    let seq = sql::signed(entry.seq);
    match &entry.event {
        Event::AssetDefined(new) => {
            db.prepare_cached("INSERT INTO asset VALUES (?1, ?2)")?.execute(params![new.id.as_u32(), seq])?;
        }
        Event::AccountOpened(new) => opened(db, books, entry, new)?,
        Event::AccountClosed(id) => {
            db.prepare_cached("UPDATE account SET closed_ms = ?2 WHERE id = ?1")?
                .execute(params![id.as_u128().to_be_bytes(), sql::signed(entry.at.unix_ms())])?;
        }
        Event::Held(new) => books.young.push_back((entry.seq, new.transfer.id)),
        Event::Posted(_) | Event::Voided { .. } | Event::Expired(_) => old_hold(db, books, entry)?,
        Event::Transferred(_) => {}
    }
    Ok(())
}

fn opened(db: &Connection, books: &mut Books, entry: &Entry, new: &NewAccount) -> Result<(), Sql> {
    db.prepare_cached(
        "INSERT INTO account (place, id, asset, guard, opened_ms, totals, last_seq, as_of)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7)",
    )?
    .execute(params![
        i64::try_from(books.last_seq.len()).unwrap_or(i64::MAX),
        new.id.as_u128().to_be_bytes(),
        new.asset.as_u32(),
        sql::limit_number(new.limit),
        sql::signed(entry.at.unix_ms()),
        [0_u8; 64],
        sql::signed(entry.seq),
    ])?;
    books.last_seq.push(0);
    books.as_of.push(entry.seq);
    Ok(())
}

/// Keeps the row of a hold that has one exact.
fn old_hold(db: &Connection, books: &mut Books, entry: &Entry) -> Result<(), Sql> {
    let Some(hold) = entry.hold().filter(|hold| books.old.contains(hold)) else { return Ok(()) };
    let id = hold.as_u128().to_be_bytes();
    match &entry.event {
        Event::Posted(posted) if !posted.left.is_zero() => {
            db.prepare_cached("UPDATE old_hold SET remaining = ?2 WHERE id = ?1")?
                .execute(params![id, posted.left.base().to_be_bytes()])?;
        }
        _ => {
            db.prepare_cached("DELETE FROM old_hold WHERE id = ?1")?.execute(params![id])?;
            books.old.remove(&hold);
        }
    }
    Ok(())
}

/// Brings up to `rows` account rows up to date, where the last batch stopped. When the round is complete, all that
/// happened before it began is in the rows.
fn checkpoint(db: &Connection, books: &mut Books, rows: usize) -> Result<(), Sql> {
    let head = books.chain.head().seq;
    let accounts = books.engine.accounts();
    let mut update =
        db.prepare_cached("UPDATE account SET totals = ?2, last_seq = ?3, as_of = ?4 WHERE place = ?1")?;
    let (mut written, mut looked) = (0, 0);
    while let Some(account) = accounts.get(books.sweep.place)
        && written < rows
        && looked < rows * 16
    {
        let place = books.sweep.place;
        if books.last_seq[place] > books.as_of[place] {
            update.execute(params![
                i64::try_from(place).unwrap_or(i64::MAX),
                sql::totals_bytes(&account.totals),
                sql::signed(books.last_seq[place]),
                sql::signed(head),
            ])?;
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
        db.prepare_cached("UPDATE replay_from SET seq = ?1")?
            .execute([sql::signed(books.sweep.began + 1)])?;
        books.sweep = Sweep { place: 0, began: head };
    }
    Ok(())
}

/// Gives up to `rows` holds that are older than the round a row of their own, if they are still open.
fn age_holds(db: &Connection, books: &mut Books, rows: usize) -> Result<(), Sql> {
    let mut insert = db.prepare_cached("INSERT INTO old_hold VALUES (?1, ?2, ?3)")?;
    let (mut written, mut looked) = (0, 0);
    while let Some((seq, id)) = books.young.front().copied()
        && seq <= books.sweep.began
        && written < rows
        && looked < rows * 64
    {
        if let Some(Known::Hold(hold)) = books.engine.known(id)
            && hold.state == HoldState::Open
        {
            let id_bytes = id.as_u128().to_be_bytes();
            insert.execute(params![id_bytes, sql::signed(seq), hold.left.base().to_be_bytes()])?;
            books.old.insert(id);
            written += 1;
        }
        books.young.pop_front();
        looked += 1;
    }
    Ok(())
}
