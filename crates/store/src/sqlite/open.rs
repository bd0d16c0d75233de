//! Opening the file: who may own it, how it is written, and which version of the schema it has.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

/// Why a store was not opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process has it open.
    #[error(
        "{} is in use by another process. One process owns a SQLite store: stop the other one, or give this one its own \
         file. Several processes on one store need PostgreSQL",
        path.display()
    )]
    InUse {
        /// The store's file.
        path: PathBuf,
    },
    /// The file, or the lock beside it, cannot be opened.
    #[error("{} cannot be opened: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A database that something else made.
    #[error("{} is a database of another program; name a new file", path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// A newer Farthing has been here.
    #[error(
        "{} was written by a newer version (schema {found}, this version knows {known}); run that version",
        path.display()
    )]
    TooNew {
        /// The file.
        path: PathBuf,
        /// The version that it has.
        found: i64,
        /// The newest version that we know.
        known: i64,
    },
    /// SQLite refuses.
    #[error("{}: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
}

impl OpenError {
    /// The stable code of the failure, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InUse { .. } => "store_in_use",
            Self::Io { .. } => "store_unreadable",
            Self::NotOurs { .. } => "store_of_another_program",
            Self::TooNew { .. } => "store_too_new",
            Self::Sqlite { .. } => "store_failed",
        }
    }
}

/// `frth`: marks the file as ours, so that no other program's database is ever migrated.
const APPLICATION_ID: i64 = 0x6672_7468;

/// Every migration, in order: its number is its place, from one. Never edited once released, only added to.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/sqlite/0001_claims.sql"),
    include_str!("../../migrations/sqlite/0002_spent_reservations.sql"),
];

/// The advisory lock of a store. Held as long as it lives; the kernel gives it back when the process dies.
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

/// Opens the file for writing, makes it ours, and brings its schema up to date.
pub(super) fn writer(path: &Path) -> Result<Connection, OpenError> {
    // Made before SQLite sees it, readable by its owner only: plans hold signed transactions. SQLite gives the files that it
    // puts beside it the same mode.
    drop(private_file(path)?);
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    prepare(db, path)
}

/// A database in memory.
pub(super) fn in_memory() -> Result<Connection, OpenError> {
    let path = Path::new(":memory:");
    let db =
        Connection::open_in_memory().map_err(|source| OpenError::Sqlite { path: path.to_owned(), source })?;
    prepare(db, path)
}

/// A second connection, for reading.
pub(super) fn reader(path: &Path) -> Result<Connection, OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    db.busy_timeout(BUSY).map_err(sqlite)?;
    Ok(db)
}

const BUSY: Duration = Duration::from_secs(5);

fn prepare(mut db: Connection, path: &Path) -> Result<Connection, OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    refuse_strangers(&db, path)?;
    db.busy_timeout(BUSY).map_err(sqlite)?;
    for (name, value) in [
        ("journal_mode", "WAL"),
        // An answered step has reached the disk: the journal is synced at every commit.
        ("synchronous", "FULL"),
        ("fullfsync", "ON"),
        ("foreign_keys", "ON"),
        ("trusted_schema", "OFF"),
        ("cache_size", "-16384"),
        // 32 MiB of journal before it is copied into the file: scattered keys touch the same pages again until then.
        ("wal_autocheckpoint", "8192"),
        ("journal_size_limit", "67108864"),
    ] {
        db.pragma_update(None, name, value).map_err(sqlite)?;
    }
    db.set_prepared_statement_cache_capacity(64);
    migrate(&mut db, path)?;
    Ok(db)
}

fn refuse_strangers(db: &Connection, path: &Path) -> Result<(), OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let number = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(sqlite);
    let (id, objects) = (number("PRAGMA application_id")?, number("SELECT count(*) FROM sqlite_schema")?);
    match id {
        APPLICATION_ID => Ok(()),
        0 if objects == 0 => Ok(()),
        _ => Err(OpenError::NotOurs { path: path.to_owned() }),
    }
}

fn migrate(db: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let transaction = db.transaction().map_err(sqlite)?;
    transaction
        .execute_batch(
            "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY, applied TEXT NOT NULL) STRICT;",
        )
        .map_err(sqlite)?;
    let found: i64 = transaction
        .query_row("SELECT coalesce(max(version), 0) FROM schema_version", [], |row| row.get(0))
        .map_err(sqlite)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    if found > known {
        return Err(OpenError::TooNew { path: path.to_owned(), found, known });
    }
    for (version, migration) in (1_i64..).zip(MIGRATIONS).filter(|(version, _)| *version > found) {
        transaction.execute_batch(migration).map_err(sqlite)?;
        transaction
            .execute("INSERT INTO schema_version VALUES (?1, datetime('now'))", [version])
            .map_err(sqlite)?;
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
