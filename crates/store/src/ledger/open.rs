//! Opening a ledger's file: how it is written, and which version of the schema it has.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::sql::Sql;
use crate::OpenError;
use crate::owned_file::{self, BUSY};

/// Why a ledger was not opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerOpenError {
    /// The file cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What is in it contradicts itself; `farthing ledger verify` names the first broken entry.
    #[error("the ledger in {} is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What contradicts.
        what: String,
    },
}

impl LedgerOpenError {
    /// The stable code of the failure, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Open(error) => error.code(),
            Self::Damaged { .. } => "ledger_damaged",
        }
    }
}

/// `frtl`: marks the file as a ledger of ours.
const APPLICATION_ID: i64 = 0x6672_746c;

/// Every migration, in order: its number is its place, from one. Never edited once released, only added to.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/sqlite/ledger_0001.sql"),
    include_str!("../../migrations/sqlite/ledger_0002.sql"),
];

/// The first schema that has records.
const WITH_RECORDS: i64 = 2;

/// Pages in the write-ahead log before they are moved into the file: 16 MB, so that a commit seldom pays for it.
const LOG_PAGES: i64 = 4_000;

/// Opens the file for writing, makes it when there is none, and brings its schema up to date.
pub(super) fn writer(path: &Path) -> Result<Connection, OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let mut db = owned_file::open(path)?;
    owned_file::refuse_strangers(&db, path, APPLICATION_ID)?;
    configure(&db).map_err(sqlite)?;
    migrate(&mut db, path)?;
    Ok(db)
}

/// A connection for reading.
pub(super) fn reader(path: &Path) -> Result<Connection, Sql> {
    Ok(owned_file::open_to_read(path)?)
}

/// A connection for whoever only looks, at a file that is there, is a ledger and has this version's schema.
pub(super) fn looker(path: &Path) -> Result<Connection, OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    std::fs::metadata(path).map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
    let db = owned_file::open_to_read(path).map_err(sqlite)?;
    owned_file::refuse_strangers(&db, path, APPLICATION_ID)?;
    let (found, known) = (schema(&db).map_err(sqlite)?, i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX));
    match found.cmp(&known) {
        Ordering::Equal => Ok(db),
        Ordering::Less => Err(OpenError::TooOld { path: path.to_owned(), found, known }),
        Ordering::Greater => Err(OpenError::TooNew { path: path.to_owned(), found, known }),
    }
}

fn configure(db: &Connection) -> Result<(), rusqlite::Error> {
    db.busy_timeout(BUSY)?;
    // An answered outcome has reached the disk: the log is synced at every commit.
    for (name, value) in [
        ("journal_mode", "WAL"),
        ("synchronous", "FULL"),
        ("fullfsync", "ON"),
        ("trusted_schema", "OFF"),
        ("cache_size", "-32768"),
    ] {
        db.pragma_update(None, name, value)?;
    }
    db.pragma_update(None, "wal_autocheckpoint", LOG_PAGES)?;
    db.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn schema(db: &Connection) -> Result<i64, rusqlite::Error> {
    db.query_row("SELECT user_version FROM pragma_user_version", [], |row| row.get(0))
}

/// Whether the file has records: one that is only read may be older.
pub(super) fn has_records(db: &Connection) -> Result<bool, Sql> {
    Ok(schema(db)? >= WITH_RECORDS)
}

fn migrate(db: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let transaction = db.transaction().map_err(sqlite)?;
    let found = schema(&transaction).map_err(sqlite)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(OpenError::TooNew { path: path.to_owned(), found, known });
    }
    if found == known {
        // Nothing is written: after a full disk the file has to open.
        return Ok(());
    }
    for (version, migration) in (1_i64..).zip(MIGRATIONS).filter(|(version, _)| *version > found) {
        transaction.execute_batch(migration).map_err(sqlite)?;
        transaction.pragma_update(None, "user_version", version).map_err(sqlite)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(sqlite)?;
    transaction.commit().map_err(sqlite)
}
