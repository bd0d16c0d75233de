//! Proving a ledger's file: the journal by its hash chain and by adding it up, and everything beside it by the journal.

use farthing_ledger::journal::Head;
use farthing_ledger::verify::{Fault, Report, Verifier};
use farthing_ledger::{Account, TransferId};
use farthing_money::Amount;
use rusqlite::Connection;

use super::sql::{self, ACCOUNT_COLUMNS, Sql};
use super::{open, shelf};
use crate::books::beside::{Beside, Columns};

/// What a running ledger shows at one moment, to be compared with its file.
pub(super) struct Shown {
    pub(super) head: Head,
    pub(super) accounts: Vec<Account>,
}

/// Proves the file behind `db`, which must not have read anything yet. What is unreadable is a fault like any other.
pub(super) fn audit(db: &Connection, shown: Option<&Shown>) -> Result<Report, Fault> {
    match run(db, shown) {
        Ok(result) => result,
        Err(error) => Err(Fault::Storage { what: error.to_string() }),
    }
}

fn run(db: &Connection, shown: Option<&Shown>) -> Result<Result<Report, Fault>, Sql> {
    // One snapshot of the file, whatever is written meanwhile.
    db.execute_batch("BEGIN")?;
    let result = match prove(db, shown) {
        Ok(Ok(report)) => prove_records(db).map(|proved| proved.map(|()| report)),
        other => other,
    };
    db.execute_batch("ROLLBACK")?;
    Ok(match result? {
        Ok(report) => whole(db)?.map(|()| report),
        fault => fault,
    })
}

/// Checks what can be checked of records: that each is what was written, and by a commit that there was. What they say is not
/// in the journal.
fn prove_records(db: &Connection) -> Result<Result<(), Fault>, Sql> {
    if !open::has_records(db)? {
        return Ok(Ok(()));
    }
    let storage = |what: String| Ok(Err(Fault::Storage { what }));
    let last = shelf::stored_version(db)?;
    let mut before = 0;
    let mut read = db.prepare("SELECT version, seq FROM journal WHERE version IS NOT NULL ORDER BY seq")?;
    let mut rows = read.query([])?;
    while let Some(row) = rows.next()? {
        let (version, seq) = (sql::unsigned(row.get(0)?)?, sql::unsigned(row.get(1)?)?);
        if version < before || version > last.0 {
            return storage(format!("entry {seq} is of commit {version}, between {before} and {}", last.0));
        }
        before = version;
    }
    let mut read = db.prepare("SELECT key, revision, body, proof, kind FROM record")?;
    let mut rows = read.query([])?;
    while let Some(row) = rows.next()? {
        let table: String = row.get(4)?;
        let record = match sql::record(row, &table) {
            Ok(record) => record,
            Err(error) => return storage(error.to_string()),
        };
        if record.revision.0 == 0 || record.revision > last {
            return storage(format!("record {:?} of {table} is of a commit that was not made", record.key));
        }
    }
    Ok(Ok(()))
}

fn prove(db: &Connection, shown: Option<&Shown>) -> Result<Result<Report, Fault>, Sql> {
    let mut beside = load(db)?;
    let mut verifier = Verifier::new();
    let mut read =
        db.prepare("SELECT body, hash, id, ends, prev_debit, prev_credit, seq FROM journal ORDER BY seq")?;
    let mut rows = read.query([])?;
    let (mut seq, mut compared) = (0, compare(&verifier, shown, 0));
    while let Some(row) = rows.next()? {
        let (body, hash) = sql::body_and_hash(row)?;
        let entry = match verifier.add_stored(body, hash) {
            Ok(entry) => entry,
            Err(fault) => return Ok(Err(fault)),
        };
        let columns = Columns {
            seq: sql::unsigned(row.get(6)?)?,
            id: blob(row, 2)?,
            ends: blob(row, 3)?,
            before: (integer(row, 4)?, integer(row, 5)?),
        };
        if let Err(what) = beside.follow(&entry, &columns, &verifier) {
            return Ok(Err(Fault::Storage { what }));
        }
        seq = entry.seq;
        compared = compared.and_then(|()| compare(&verifier, shown, seq));
    }
    if let Some(shown) = shown.filter(|shown| shown.head.seq > seq) {
        return Ok(Err(Fault::Ends { seq, expected: shown.head.seq }));
    }
    Ok(compared.and_then(|()| beside.finish(&verifier)).and_then(|()| verifier.finish()))
}

/// Compares what was shown when the journal ended at `seq`. The file may have grown since.
fn compare(verifier: &Verifier, shown: Option<&Shown>, seq: u64) -> Result<(), Fault> {
    let Some(shown) = shown.filter(|shown| shown.head.seq == seq) else { return Ok(()) };
    verifier.ends_at(&shown.head)?;
    verifier.accounts_are(&shown.accounts)
}

/// SQLite's own check of pages and indexes.
fn whole(db: &Connection) -> Result<Result<(), Fault>, Sql> {
    let said: String = db.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    Ok(if said == "ok" { Ok(()) } else { Err(Fault::Storage { what: said }) })
}

fn blob(row: &rusqlite::Row<'_>, column: usize) -> Result<Option<u128>, Sql> {
    match row.get_ref(column)? {
        rusqlite::types::ValueRef::Null => Ok(None),
        value => sql::number(value).map(Some),
    }
}

fn integer(row: &rusqlite::Row<'_>, column: usize) -> Result<Option<u64>, Sql> {
    row.get::<_, Option<i64>>(column)?.map(sql::unsigned).transpose()
}

fn load(db: &Connection) -> Result<Beside, Sql> {
    let mut beside = Beside::default();
    let mut read = db.prepare(&format!("SELECT {ACCOUNT_COLUMNS} FROM account"))?;
    let mut rows = read.query([])?;
    while let Some(row) = rows.next()? {
        beside.account(sql::account(row)?);
    }
    let mut read = db.prepare("SELECT id, remaining FROM old_hold")?;
    let mut rows = read.query([])?;
    while let Some(row) = rows.next()? {
        let id = TransferId::from_u128(sql::number(row.get_ref(0)?)?);
        beside.old_hold(id, Amount::from_base(sql::number(row.get_ref(1)?)?));
    }
    Ok(beside)
}
