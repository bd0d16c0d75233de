//! Opening a ledger's file: who may own it, how it is written, and which version of the schema it has.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::sql::Sql;
use crate::OpenError;

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
const MIGRATIONS: &[&str] = &[include_str!("../../migrations/sqlite/ledger_0001.sql")];

/// How long a statement waits for a lock that only our own connections can hold.
const BUSY: Duration = Duration::from_secs(5);

/// Pages in the write-ahead log before they are moved into the file: 16 MB, so that a commit seldom pays for it.
const LOG_PAGES: i64 = 4_000;

/// The advisory lock of a ledger. The kernel gives it back when the process dies.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Locks `<path>.lock`: a file of its own, because SQLite's locks are on the database itself.
    pub(super) fn take(path: &Path) -> Result<Self, OpenError> {
        let mut lock_path = path.as_os_str().to_owned();
        lock_path.push(".lock");
        let lock_path = PathBuf::from(lock_path);
        let file = private_file(&lock_path)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => Err(OpenError::Io { path: lock_path, source }),
        }
    }
}

/// Opens the file for writing, makes it when there is none, and brings its schema up to date.
pub(super) fn writer(path: &Path) -> Result<Connection, OpenError> {
    // Made before SQLite sees it, readable by its owner only; SQLite gives the files beside it the same mode.
    drop(private_file(path)?);
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut db = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    refuse_strangers(&db, path)?;
    configure(&db).map_err(sqlite)?;
    migrate(&mut db, path)?;
    Ok(db)
}

/// A connection for reading.
pub(super) fn reader(path: &Path) -> Result<Connection, Sql> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY)?;
    Ok(db)
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

fn refuse_strangers(db: &Connection, path: &Path) -> Result<(), OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let number = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(sqlite);
    match (number("PRAGMA application_id")?, number("SELECT count(*) FROM sqlite_schema")?) {
        (APPLICATION_ID, _) | (0, 0) => Ok(()),
        _ => Err(OpenError::NotOurs { path: path.to_owned() }),
    }
}

fn migrate(db: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let transaction = db.transaction().map_err(sqlite)?;
    let version = "SELECT user_version FROM pragma_user_version";
    let found: i64 = transaction.query_row(version, [], |row| row.get(0)).map_err(sqlite)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(OpenError::TooNew { path: path.to_owned(), found, known });
    }
    for (version, migration) in (1_i64..).zip(MIGRATIONS).filter(|(version, _)| *version > found) {
        transaction.execute_batch(migration).map_err(sqlite)?;
        transaction.pragma_update(None, "user_version", version).map_err(sqlite)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(sqlite)?;
    transaction.commit().map_err(sqlite)
}

/// Opens or makes a file that only its owner may read or write.
fn private_file(path: &Path) -> Result<File, OpenError> {
    let io = |source| OpenError::Io { path: path.to_owned(), source };
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path).map_err(io)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = file.metadata().map_err(io)?.permissions().mode();
        if mode & 0o077 != 0 {
            file.set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(io)?;
        }
    }
    Ok(file)
}
