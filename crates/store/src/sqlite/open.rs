//! Opening the file of claims: how it is written, and which version of the schema it has.

use std::path::Path;

use rusqlite::Connection;

use super::history::Found;
use crate::epoch::{UNNAMED, another};
use crate::owned_file::{self, BUSY, OpenError};

/// `frth`: marks the file as ours, so that no other program's database is ever migrated.
const APPLICATION_ID: i64 = 0x6672_7468;

/// Every migration, in order: its number is its place, from one. Never edited once released, only added to.
const MIGRATIONS: &[&str] = &[
    include_str!("../../migrations/sqlite/0001_claims.sql"),
    include_str!("../../migrations/sqlite/0002_spent_reservations.sql"),
    include_str!("../../migrations/sqlite/0003_leases_answers_epoch.sql"),
    include_str!("../../migrations/sqlite/0004_delivered.sql"),
    include_str!("../../migrations/sqlite/0005_bound_interrupted.sql"),
];

/// Opens the file for writing, makes it ours, and brings its schema up to date.
pub(super) fn writer(path: &Path) -> Result<(Connection, Found), OpenError> {
    let db = owned_file::open(path)?;
    prepare(db, path)
}

/// A database in memory.
pub(super) fn in_memory() -> Result<Connection, OpenError> {
    let path = Path::new(":memory:");
    let db =
        Connection::open_in_memory().map_err(|source| OpenError::Sqlite { path: path.to_owned(), source })?;
    Ok(prepare(db, path)?.0)
}

/// A second connection, for reading.
pub(super) fn reader(path: &Path) -> Result<Connection, OpenError> {
    owned_file::open_to_read(path).map_err(|source| OpenError::Sqlite { path: path.to_owned(), source })
}

/// A connection that only reads a file which another process may own. Its schema has to be this version's.
pub(super) fn looker(path: &Path) -> Result<Connection, OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    if let Err(source) = std::fs::metadata(path) {
        return Err(OpenError::Io { path: path.to_owned(), source });
    }
    let db = reader(path)?;
    owned_file::refuse_strangers(&db, path, APPLICATION_ID)?;
    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let found = db
        .query_row("SELECT coalesce(max(version), 0) FROM schema_version", [], |row| row.get(0))
        .map_err(sqlite)?;
    match known.cmp(&found) {
        std::cmp::Ordering::Equal => Ok(db),
        std::cmp::Ordering::Less => Err(OpenError::TooNew { path: path.to_owned(), found, known }),
        std::cmp::Ordering::Greater => Err(OpenError::TooOld { path: path.to_owned(), found, known }),
    }
}

fn prepare(mut db: Connection, path: &Path) -> Result<(Connection, Found), OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    owned_file::refuse_strangers(&db, path, APPLICATION_ID)?;
    db.busy_timeout(BUSY).map_err(sqlite)?;
    for (name, value) in [
        ("journal_mode", "WAL"),
        // An answered step has reached the disk: the journal is synced at every commit.
        ("synchronous", "FULL"),
        ("fullfsync", "ON"),
        ("trusted_schema", "OFF"),
        ("cache_size", "-16384"),
        // 32 MiB of journal before it is copied into the file: scattered keys touch the same pages again until then.
        ("wal_autocheckpoint", "8192"),
        ("journal_size_limit", "67108864"),
    ] {
        db.pragma_update(None, name, value).map_err(sqlite)?;
    }
    db.set_prepared_statement_cache_capacity(64);
    // Off while tables are made anew; what points nowhere afterwards is found before it is committed.
    db.pragma_update(None, "foreign_keys", "OFF").map_err(sqlite)?;
    let found = migrate(&mut db, path)?;
    db.pragma_update(None, "foreign_keys", "ON").map_err(sqlite)?;
    Ok((db, found))
}

fn migrate(db: &mut Connection, path: &Path) -> Result<Found, OpenError> {
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
    if found == 0 {
        // A store that begins honours no credential of a store that was here before it.
        let epoch = another(UNNAMED);
        transaction.execute("UPDATE history SET epoch = ?1 WHERE one = 1", [epoch.0]).map_err(sqlite)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(sqlite)?;
    let dangling = transaction.prepare("PRAGMA foreign_key_check").and_then(|mut check| check.exists([]));
    if dangling.map_err(sqlite)? {
        return Err(OpenError::Damaged { path: path.to_owned() });
    }
    transaction.commit().map_err(sqlite)?;
    Ok(if found == 0 { Found::New } else { Found::Old })
}
