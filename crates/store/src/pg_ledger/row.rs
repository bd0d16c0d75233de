//! Rows of PostgreSQL as the ledger's types.

use farthing_ledger::Timestamp;
use farthing_ledger::journal::{Hash, Head, Sealed};
use farthing_ledger::record::{Record, RecordKey, Version};
use sha2::{Digest, Sha256};
use tokio_postgres::Row;

use super::desk::Found;
use super::error::Failure;
use crate::books::Sweep;
use crate::books::row::{self, AccountColumns, AccountRow, unsigned};

/// The end of the log, and what is kept beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) head: Head,
    pub(super) version: u64,
    pub(super) replay_from: u64,
    pub(super) sweep: Sweep,
    /// Holds that were placed up to here and are open have a row.
    pub(super) aged_to: u64,
}

pub(super) fn number(row: &Row, column: usize) -> Result<u64, Failure> {
    Ok(unsigned(row.try_get(column)?)?)
}

pub(super) fn marks(row: &Row) -> Result<Marks, Failure> {
    let at = Timestamp::from_unix_ms(number(row, 1)?);
    let head = Head { seq: number(row, 0)?, at, hash: row::hash(row.try_get(2)?)? };
    let place = usize::try_from(number(row, 6)?).map_err(|_| row::damaged("a place"))?;
    Ok(Marks {
        head,
        version: number(row, 3)?,
        replay_from: number(row, 4)?,
        sweep: Sweep { place, began: number(row, 5)? },
        aged_to: number(row, 7)?,
    })
}

/// Body and hash of an entry, from that column on.
pub(super) fn body_and_hash(row: &Row, first: usize) -> Result<(&[u8], Hash), Failure> {
    Ok((row.try_get(first)?, row::hash(row.try_get(first + 1)?)?))
}

pub(super) fn sealed(row: &Row, first: usize) -> Result<Sealed, Failure> {
    let (body, hash) = body_and_hash(row, first)?;
    Ok(row::sealed(body, hash)?)
}

/// From the columns `id, asset, guard, opened_ms, closed_ms, totals, last_seq, as_of`.
pub(super) fn account(row: &Row) -> Result<AccountRow, Failure> {
    Ok(AccountRow::read(&AccountColumns {
        id: row.try_get(0)?,
        asset: row.try_get(1)?,
        guard: row.try_get(2)?,
        opened_ms: row.try_get(3)?,
        closed_ms: row.try_get(4)?,
        totals: row.try_get(5)?,
        last_seq: row.try_get(6)?,
        as_of: row.try_get(7)?,
    })?)
}

/// A record, from the columns `tbl, key, revision, body, proof`.
pub(super) fn record(row: &Row) -> Result<Found, Failure> {
    let (table, key): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    let record = Record { key: key.clone(), revision: Version(number(row, 2)?), body: row.try_get(3)? };
    let found: &[u8] = row.try_get(4)?;
    let damaged = || format!("record {key:?} of {table} is not what was written");
    let record = if found == proof(&table, &record) { Ok(record) } else { Err(damaged()) };
    Ok(Found { table, key, record })
}

/// What tells whether a record is what was written. Against a bad disk, not against somebody who may write to the database.
pub(super) fn proof(table: &str, record: &Record) -> [u8; 16] {
    let mut hash = Sha256::new();
    let revision = record.revision.0.to_be_bytes();
    for part in [table.as_bytes(), &[0], record.key.as_bytes(), &[0], &revision, record.body.as_bytes()] {
        hash.update(part);
    }
    let mut proof = [0; 16];
    proof.copy_from_slice(&hash.finalize()[..16]);
    proof
}

/// Names of records as two columns.
pub(super) fn names<'a>(keys: impl Iterator<Item = &'a RecordKey>) -> (Vec<&'static str>, Vec<&'a str>) {
    keys.map(|at| (at.table.name(), at.key.as_str())).unzip()
}
