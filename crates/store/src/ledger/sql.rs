//! Rows: how the ledger's types are written to columns and read back. What cannot be read back is damage, not a default.

use farthing_ledger::journal::{Event, Hash, Sealed};
use farthing_ledger::record::{Record, Version};
use farthing_ledger::store::StoreError;
use farthing_ledger::{Known, TransferId};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};
use sha2::{Digest, Sha256};

use crate::books::Damaged;
use crate::books::row::{self, AccountColumns, AccountRow};
pub(super) use crate::books::row::{limit_number, signed, totals_bytes};

/// What goes wrong between us and the file.
#[derive(Debug, thiserror::Error)]
pub(super) enum Sql {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("{0}")]
    Damaged(String),
}

impl From<Damaged> for Sql {
    fn from(Damaged(what): Damaged) -> Self {
        Self::Damaged(what)
    }
}

impl From<Sql> for StoreError {
    fn from(error: Sql) -> Self {
        match error {
            Sql::Sqlite(error) => Self::Retryable(Box::new(error)),
            Sql::Damaged(what) => Self::Damaged { what },
        }
    }
}

pub(super) const ACCOUNT_COLUMNS: &str = "id, asset, guard, opened_ms, closed_ms, totals, last_seq, as_of";

pub(super) fn account(row: &Row<'_>) -> Result<AccountRow, Sql> {
    Ok(AccountRow::read(&AccountColumns {
        id: blob(row.get_ref(0)?, "an account's id")?,
        asset: row.get(1)?,
        guard: row.get(2)?,
        opened_ms: row.get(3)?,
        closed_ms: row.get(4)?,
        totals: blob(row.get_ref(5)?, "an account's totals")?,
        last_seq: row.get(6)?,
        as_of: row.get(7)?,
    })?)
}

pub(super) fn blob<'a>(value: ValueRef<'a>, what: &str) -> Result<&'a [u8], Sql> {
    value.as_blob().map_err(|_| damaged(what))
}

/// An entry from the columns `body, hash`, which come first.
pub(super) fn sealed(row: &Row<'_>) -> Result<Sealed, Sql> {
    let (body, hash) = body_and_hash(row)?;
    Ok(row::sealed(body, hash)?)
}

pub(super) fn body_and_hash<'a>(row: &'a Row<'_>) -> Result<(&'a [u8], Hash), Sql> {
    let body = blob(row.get_ref(0)?, "an entry's body")?;
    Ok((body, row::hash(blob(row.get_ref(1)?, "an entry's hash")?)?))
}

pub(super) const RECORD_BY_KEY: &str =
    "SELECT key, revision, body, proof FROM record WHERE kind = ?1 AND key = ?2";

/// A record of `table` from the columns `key, revision, body, proof`.
pub(super) fn record(row: &Row<'_>, table: &str) -> Result<Record, Sql> {
    let text = |column| -> Result<String, Sql> {
        let text = row.get_ref(column)?.as_str().map_err(|_| damaged("a record's text"))?;
        Ok(text.to_owned())
    };
    let revision = Version(unsigned(row.get(1)?)?);
    let record = Record { key: text(0)?, revision, body: text(2)? };
    let proof = blob(row.get_ref(3)?, "a record's proof")?;
    if proof != record_proof(table, &record.key, (revision, &record.body)) {
        return Err(Sql::Damaged(format!("record {:?} of {table} is not what was written", record.key)));
    }
    Ok(record)
}

/// What tells whether a record is what was written. Against a bad disk, not against somebody who can write the file.
pub(super) fn record_proof(table: &str, key: &str, (revision, body): (Version, &str)) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in [table.as_bytes(), &[0], key.as_bytes(), &[0], &revision.0.to_be_bytes(), body.as_bytes()] {
        hash.update(part);
    }
    let mut proof = [0; 16];
    proof.copy_from_slice(&hash.finalize()[..16]);
    proof
}

/// 16 bytes as a number.
pub(super) fn number(value: ValueRef<'_>) -> Result<u128, Sql> {
    Ok(row::number(blob(value, "a 16-byte number")?)?)
}

pub(super) fn unsigned(number: i64) -> Result<u64, Sql> {
    Ok(row::unsigned(number)?)
}

pub(super) fn damaged(what: &str) -> Sql {
    row::damaged(what).into()
}

/// What the journal says about an id that is not in memory. Holds in memory are all that are open, so this one has ended.
pub(super) fn known(db: &Connection, id: TransferId) -> Result<Option<Known>, Sql> {
    let bytes = id.as_u128().to_be_bytes();
    let find = |column: &str| -> Result<Option<Sealed>, Sql> {
        let mut find = db.prepare_cached(&format!("SELECT body, hash FROM journal WHERE {column} = ?1"))?;
        find.query_row([bytes], |row| Ok(sealed(row))).optional()?.transpose()
    };
    let Some(found) = find("id")? else { return Ok(None) };
    let end = match &found.entry.event {
        Event::Held(_) => find("ends")?,
        _ => None,
    };
    Ok(row::known(&found.entry, end.as_ref().map(|end| &end.entry.event))?)
}
