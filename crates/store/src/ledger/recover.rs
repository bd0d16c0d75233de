//! Opening the books: what a writer keeps in memory is read back from checkpoint and journal ([`crate::books::tail`]).

use farthing_ledger::journal::{Event, Head, Sealed};
use farthing_ledger::{Hold, NewAsset, TransferId};
use rusqlite::Connection;

use super::sql::{self, ACCOUNT_COLUMNS, Sql};
use crate::books::row::{self, AccountRow};
use crate::books::tail::{Rest, Tail};
pub(super) use crate::books::{Books, Sweep, Tuning};

/// Reads everything that a writer needs.
pub(super) fn recover(db: &Connection, tuning: Tuning) -> Result<Books, Sql> {
    let from: i64 = db.query_row("SELECT seq FROM replay_from", [], |row| row.get(0))?;
    let from = sql::unsigned(from)?;
    let mut tail = Tail::after(head_before(db, from)?, accounts(db)?, old_holds(db)?);
    let mut read = db.prepare("SELECT body, hash FROM journal WHERE seq >= ?1 ORDER BY seq")?;
    let mut rows = read.query([sql::signed(from)])?;
    while let Some(row) = rows.next()? {
        let (body, hash) = sql::body_and_hash(row)?;
        tail.add_stored(body, hash)?;
    }
    let floor = highest_id_before(db, from)?;
    Ok(tail.finish(Rest { assets: assets(db)?, floor, tuning })?)
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

fn accounts(db: &Connection) -> Result<Vec<AccountRow>, Sql> {
    let mut read = db.prepare(&format!("SELECT {ACCOUNT_COLUMNS} FROM account ORDER BY place"))?;
    let mut rows = read.query([])?;
    let mut accounts = Vec::new();
    while let Some(row) = rows.next()? {
        accounts.push(sql::account(row)?);
    }
    Ok(accounts)
}

fn assets(db: &Connection) -> Result<Vec<NewAsset>, Sql> {
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

fn old_holds(db: &Connection) -> Result<Vec<Hold>, Sql> {
    let mut read =
        db.prepare("SELECT body, hash, remaining FROM old_hold JOIN journal ON journal.seq = old_hold.seq")?;
    let mut rows = read.query([])?;
    let mut holds = Vec::new();
    while let Some(row) = rows.next()? {
        let left = sql::blob(row.get_ref(2)?, "a 16-byte number")?;
        holds.push(row::old_hold(&sql::sealed(row)?, left)?);
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
