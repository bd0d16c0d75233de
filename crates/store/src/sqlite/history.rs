//! Which history the store has. Every batch that is committed is counted in the database, and the count is written to a file
//! beside it: a database that has counted less than that file says has been put back to an earlier state, and gets another
//! [`StoreEpoch`].
//!
//! The file is not synced at every batch: a crash of the process leaves it as it is, and one of the machine may leave it behind
//! the database, which says nothing. It is no backup, and must not be restored with the database: where both are put back
//! together (a snapshot of the volume), nothing can be seen, and [`super::SqliteClaims::fence`] is for that.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use farthing_protocol::ports::StoreEpoch;
use rusqlite::{Connection, OptionalExtension};

use super::sql;
use crate::epoch::another;
use crate::owned_file::{OpenError, private_file};

/// What is said of a history: in the database, and beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Said {
    epoch: StoreEpoch,
    commits: i64,
}

/// The file beside the database, and the history that it is of.
#[derive(Debug)]
pub(super) struct Witness {
    file: File,
    epoch: StoreEpoch,
}

impl Witness {
    /// Writes how many batches were committed. One that is not written makes the next start no less safe: the number beside
    /// the database is then smaller.
    pub(super) fn saw(&self, commits: i64) {
        if let Err(error) = self.write(commits) {
            tracing::warn!(%error, "the file beside the store could not be written");
        }
    }

    /// In one width, so that a later line covers an earlier one.
    fn write(&self, commits: i64) -> std::io::Result<()> {
        write_at_start(&self.file, format!("{:010} {commits:020}\n", self.epoch.0).as_bytes())
    }
}

#[cfg(unix)]
fn write_at_start(file: &File, bytes: &[u8]) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, 0)
}

#[cfg(not(unix))]
fn write_at_start(mut file: &File, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::{Seek, SeekFrom, Write};
    file.seek(SeekFrom::Start(0))?;
    file.write_all(bytes)
}

/// The file beside the database at `path`.
pub(super) fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".witness");
    PathBuf::from(name)
}

/// What the file says, if it says anything that can be read.
fn read(file: &mut File) -> Option<Said> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    let (epoch, commits) = text.trim_end().split_once(' ')?;
    Some(Said { epoch: StoreEpoch(epoch.parse().ok()?), commits: commits.parse().ok()? })
}

/// How a database was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// It was made just now, with a history of its own.
    New,
    /// It was there.
    Old,
}

/// Compares the database with the file beside it; one that has lost history begins another. What is answered is durable.
pub(super) fn open(db: &Connection, path: &Path, found: Found) -> Result<(StoreEpoch, Witness), OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let (epoch, commits, witnessed): (u32, i64, bool) =
        db.query_row(sql::HISTORY, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).map_err(sqlite)?;
    let mut said = Said { epoch: StoreEpoch(epoch), commits };
    let mut file = private_file(&beside(path))?;
    let lost = match (found, read(&mut file)) {
        (Found::New, _) => false,
        (Found::Old, Some(beside)) => beside.epoch != said.epoch || beside.commits > said.commits,
        // A database from before there were such files has none yet.
        (Found::Old, None) => witnessed,
    };
    if lost {
        tracing::warn!(
            store = %path.display(),
            "the store is not what it was when it was last used: a backup was restored, or the file beside it is gone. \
             Challenges from before are not honoured, so that no payment is used twice"
        );
        said = renew(db, said.epoch).map_err(sqlite)?;
    }
    let witness = Witness { file, epoch: said.epoch };
    let io = |source| OpenError::Io { path: beside(path), source };
    witness.write(said.commits).and_then(|()| witness.file.sync_all()).map_err(io)?;
    sync_directory(path).map_err(io)?;
    // Only now: a database that says it has a witness, and has none, has lost history.
    db.execute("UPDATE history SET witnessed = 1 WHERE one = 1", []).map_err(sqlite)?;
    Ok((said.epoch, witness))
}

/// Begins another history in a database that nobody else has open.
pub(super) fn fence(db: &Connection, path: &Path, witness: &Witness) -> Result<StoreEpoch, OpenError> {
    let said =
        renew(db, witness.epoch).map_err(|source| OpenError::Sqlite { path: path.to_owned(), source })?;
    let io = |source| OpenError::Io { path: beside(path), source };
    let file = witness.file.try_clone().map_err(io)?;
    let witness = Witness { file, epoch: said.epoch };
    witness.write(said.commits).and_then(|()| witness.file.sync_all()).map_err(io)?;
    Ok(said.epoch)
}

/// The history of a database that is only read.
pub(super) fn look(db: &Connection) -> Result<Option<StoreEpoch>, rusqlite::Error> {
    db.query_row(sql::HISTORY, [], |row| row.get(0)).optional().map(|epoch| epoch.map(StoreEpoch))
}

/// Gives the database another epoch, durably.
fn renew(db: &Connection, old: StoreEpoch) -> Result<Said, rusqlite::Error> {
    let epoch = another(old);
    let commits = db.query_row(
        "UPDATE history SET epoch = ?1, commits = commits + 1 WHERE one = 1 RETURNING commits",
        [epoch.0],
        |row| row.get(0),
    )?;
    Ok(Said { epoch, commits })
}

/// A file that was made is there after a crash of the machine once its directory is synced.
fn sync_directory(path: &Path) -> std::io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}
