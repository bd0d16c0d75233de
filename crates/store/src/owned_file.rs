//! A SQLite file that one process owns: its lock, its mode, and whose it is. What is in it belongs to the stores.

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
    /// It would have to be migrated, and is only to be read.
    #[error(
        "{} was written by an older version (schema {found}, this version knows {known}): start the gateway once, and it is \
         brought up to date",
        path.display()
    )]
    TooOld {
        /// The file.
        path: PathBuf,
        /// The version that it has.
        found: i64,
        /// The version that we read.
        known: i64,
    },
    /// Its tables do not go together.
    #[error("{} is damaged: rows point to claims that are not there. Restore a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// A database server does not answer.
    #[error("{server} cannot be reached: {why}")]
    Unreachable {
        /// The server and the database.
        server: String,
        /// Why.
        why: String,
    },
    /// A database server refuses.
    #[error("{server}: {why}")]
    Database {
        /// The server and the database.
        server: String,
        /// Why.
        why: String,
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
            Self::TooOld { .. } => "store_too_old",
            Self::Damaged { .. } => "store_damaged",
            Self::Unreachable { .. } => "store_unreachable",
            Self::Database { .. } | Self::Sqlite { .. } => "store_failed",
        }
    }
}

/// How long a statement waits for a lock that only our own connections can hold.
pub(crate) const BUSY: Duration = Duration::from_secs(5);

/// The advisory lock of a store. Held as long as it lives; the kernel gives it back when the process dies.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// How often a lock is asked for that somebody has, and how long it is waited in between. Whoever is killed lets go of it a moment
    /// later, and a process that is being started has everything of its parent's until it runs a program of its own.
    const TRIES: (u32, Duration) = (25, Duration::from_millis(20));

    /// Locks `<path>.lock`: a file of its own, because SQLite's locks are on the database itself. Waits half a second for it.
    pub(crate) fn take(path: &Path) -> Result<Self, OpenError> {
        let mut lock_path = path.as_os_str().to_owned();
        lock_path.push(".lock");
        let lock_path = PathBuf::from(lock_path);
        let file = private_file(&lock_path)?;
        let (tries, pause) = Self::TRIES;
        for _ in 0..tries {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) => std::thread::sleep(pause),
                Err(TryLockError::Error(source)) => return Err(OpenError::Io { path: lock_path, source }),
            }
        }
        Err(OpenError::InUse { path: path.to_owned() })
    }
}

/// Opens the file for writing, and makes it when there is none.
pub(crate) fn open(path: &Path) -> Result<Connection, OpenError> {
    // Made before SQLite sees it, readable by its owner only: it may hold signed transactions. SQLite gives the files that
    // it puts beside it the same mode.
    drop(private_file(path)?);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags)
        .map_err(|source| OpenError::Sqlite { path: path.to_owned(), source })
}

/// A further connection, for reading.
pub(crate) fn open_to_read(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.busy_timeout(BUSY)?;
    Ok(db)
}

/// Refuses a database that is neither empty nor marked with `application_id`.
pub(crate) fn refuse_strangers(db: &Connection, path: &Path, application_id: i64) -> Result<(), OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let number = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(sqlite);
    let (id, objects) = (number("PRAGMA application_id")?, number("SELECT count(*) FROM sqlite_schema")?);
    if id == application_id || (id == 0 && objects == 0) {
        return Ok(());
    }
    Err(OpenError::NotOurs { path: path.to_owned() })
}

/// Opens or makes a file that only its owner may read or write.
pub(crate) fn private_file(path: &Path) -> Result<File, OpenError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_waited_for_a_moment_and_no_longer() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::TempDir::new()?;
        let path = folder.path().join("store.db");
        let held = Lock::take(&path)?;
        let holder = std::thread::spawn(move || {
            std::thread::sleep(Lock::TRIES.1 * 3);
            drop(held);
        });
        let taken = Lock::take(&path)?;
        holder.join().map_err(|_| "the holder panicked")?;
        assert_eq!(Lock::take(&path).map(drop).map_err(|error| error.code()), Err("store_in_use"));
        drop(taken);
        Lock::take(&path)?;
        Ok(())
    }
}
