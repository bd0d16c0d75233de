#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use farthing_protocol::UnixMs;
use farthing_protocol::ports::{ClaimId, ClaimOutcome, ClaimStore, StoreEpoch};
use rusqlite::Connection;

use crate::testkit::{delivered, new_claim};

use super::{SqliteClaims, open, sql};

/// DESIGN section 6: cost grows with the work asked for, never with the history kept.
#[test]
fn no_statement_scans_a_table() {
    let db = open::in_memory().unwrap();
    for statement in sql::ALL {
        let mut explain = db.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).unwrap();
        for place in 1..=explain.parameter_count() {
            explain.raw_bind_parameter(place, 1).unwrap();
        }
        let mut rows = explain.raw_query();
        while let Some(row) = rows.next().unwrap() {
            let detail: String = row.get(3).unwrap();
            // Walking a partial index that holds nothing but the rows that are asked for is no scan of the table.
            let walks_own_index = detail.contains("SCAN claim USING")
                && [sql::RELEASE_DELIVERIES, sql::RESERVATIONS].contains(statement);
            assert!(!detail.contains("SCAN") || walks_own_index, "{statement}\n  {detail}");
            assert!(!detail.contains("TEMP B-TREE"), "{statement}\n  {detail}");
        }
    }
}

#[test]
fn the_file_is_ours_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("claims.db");
    let store = SqliteClaims::open(&path).unwrap();
    let second = SqliteClaims::open(&path).unwrap_err();
    assert_eq!(second.code(), "store_in_use");
    assert!(second.to_string().contains("PostgreSQL"), "{second}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let names: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(names.len() >= 3, "{names:?}");
        for name in names {
            let mode = std::fs::metadata(&name).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{name:?}");
        }
    }
    drop(store);
    SqliteClaims::open(&path).unwrap();
}

#[test]
fn strange_files_are_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (foreign, newer, text) = (dir.path().join("a"), dir.path().join("b"), dir.path().join("c"));
    Connection::open(&foreign).unwrap().execute_batch("CREATE TABLE claim (x)").unwrap();
    drop(SqliteClaims::open(&newer).unwrap());
    Connection::open(&newer).unwrap().execute_batch("INSERT INTO schema_version VALUES (99, '')").unwrap();
    std::fs::write(&text, "not a database, but long enough to be taken for one: ".repeat(40)).unwrap();
    let missing = dir.path().join("no/such/dir/d");
    for (path, code) in [
        (&foreign, "store_of_another_program"),
        (&newer, "store_too_new"),
        (&text, "store_failed"),
        (&missing, "store_unreadable"),
    ] {
        let before = std::fs::read(path).unwrap_or_default();
        let error = SqliteClaims::open(path).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
        if code != "store_too_new" {
            assert_eq!(std::fs::read(path).unwrap_or_default(), before, "{code}");
        }
    }
}

/// One row that cannot be read fails those that ask for it, and nobody who waits beside them.
#[tokio::test]
async fn a_broken_row_fails_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("claims.db");
    let (now, bad) = (UnixMs::from_ms(1), ClaimId("bad".into()));
    let store = SqliteClaims::open(&path).unwrap();
    store.claim(new_claim("bad", &["k"]), now).await.unwrap();
    drop(store);
    Connection::open(&path).unwrap().execute_batch("UPDATE claim SET plan = '{\"secret\":'").unwrap();
    let store = Arc::new(SqliteClaims::open(&path).unwrap());
    let others = (0..32).map(|n| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.claim(new_claim(&format!("c{n}"), &[&format!("k{n}")]), now).await })
    });
    let others: Vec<_> = others.collect();
    let failure = store.advance(&bad, delivered(), now).await.unwrap_err().to_string();
    assert!(failure.contains("bad") && failure.contains("plan"), "{failure}");
    assert!(!failure.contains("secret"), "a plan is never repeated: {failure}");
    for other in others {
        assert!(matches!(other.await.unwrap(), Ok(ClaimOutcome::New)));
    }
}

#[test]
fn commits_reach_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let (db, _) = open::writer(&dir.path().join("claims.db")).unwrap();
    let pragma = |name: &str| {
        db.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, rusqlite::types::Value>(0)).unwrap()
    };
    assert_eq!(pragma("journal_mode"), rusqlite::types::Value::Text("wal".into()));
    assert_eq!(pragma("synchronous"), rusqlite::types::Value::Integer(2));
    assert_eq!(pragma("foreign_keys"), rusqlite::types::Value::Integer(1));
}

/// How the files of a store are kept and put back.
struct Kept {
    dir: tempfile::TempDir,
}

impl Kept {
    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join("claims.db")
    }

    fn beside(&self) -> std::path::PathBuf {
        super::history::beside(&self.path())
    }

    /// Opens the store, commits so many batches, and says which history it was.
    async fn work(&self, from: u64, batches: u64) -> StoreEpoch {
        let store = SqliteClaims::open(self.path()).unwrap();
        for n in from..from + batches {
            let id = format!("c{n}");
            store.claim(new_claim(&id, &[&id]), UnixMs::from_ms(1)).await.unwrap();
        }
        store.epoch().await.unwrap()
    }

    /// The files of a store that is closed: nothing is left in its log.
    fn copy(&self, name: &str) {
        std::fs::copy(self.path(), self.dir.path().join(name)).unwrap();
    }

    fn restore(&self, name: &str) {
        std::fs::copy(self.dir.path().join(name), self.path()).unwrap();
    }
}

/// Restoring a backup revives no credential, and nothing else makes one worthless.
#[tokio::test]
async fn a_store_that_lost_history_begins_another() {
    let kept = Kept { dir: tempfile::tempdir().unwrap() };
    let first = kept.work(0, 3).await;
    assert_ne!(first, StoreEpoch(0));
    kept.copy("backup");
    // Opened again, as often as one likes, it is the same store: idle, at work, and after a crash of the machine that left the
    // file beside it behind.
    let behind = std::fs::read(kept.beside()).unwrap();
    assert_eq!(kept.work(0, 0).await, first);
    assert_eq!(kept.work(3, 2).await, first);
    std::fs::write(kept.beside(), &behind).unwrap();
    assert_eq!(kept.work(5, 1).await, first);
    kept.copy("later");
    // The backup has counted less than the file beside it says.
    kept.restore("backup");
    let second = kept.work(5, 0).await;
    assert_ne!(second, first);
    assert_eq!(kept.work(3, 1).await, second, "once made, it stays");
    // A backup of the first history that has counted more than the second one has.
    kept.restore("later");
    let third = kept.work(6, 0).await;
    assert!(third != first && third != second);
    // Somewhere else, without the file beside it; and with one that cannot be read.
    std::fs::remove_file(kept.beside()).unwrap();
    let fourth = kept.work(6, 1).await;
    std::fs::write(kept.beside(), "???").unwrap();
    let fifth = kept.work(7, 1).await;
    assert!(![first, second, third].contains(&fourth) && ![first, second, third, fourth].contains(&fifth));
    // Made anew in the old one's place, beside what the old one left.
    std::fs::remove_file(kept.path()).unwrap();
    let anew = kept.work(0, 1).await;
    assert!(![first, second, third, fourth, fifth, StoreEpoch(0)].contains(&anew));
    // By hand, for what cannot be seen.
    let fenced = SqliteClaims::fence(kept.path()).unwrap();
    assert_ne!(fenced, anew);
    assert_eq!(kept.work(1, 1).await, fenced);
    assert_eq!(std::fs::read(kept.beside()).unwrap().len(), behind.len());
}

/// A backup of a running store, as SQLite makes them.
#[tokio::test]
async fn a_backup_of_a_running_store_is_seen_when_it_is_restored() {
    let kept = Kept { dir: tempfile::tempdir().unwrap() };
    let store = SqliteClaims::open(kept.path()).unwrap();
    let first = store.epoch().await.unwrap();
    store.claim(new_claim("a", &["a"]), UnixMs::from_ms(1)).await.unwrap();
    let backup = kept.dir.path().join("backup");
    let reader = Connection::open(kept.path()).unwrap();
    reader.execute("VACUUM INTO ?1", [backup.to_str().unwrap()]).unwrap();
    drop(reader);
    store.claim(new_claim("b", &["b"]), UnixMs::from_ms(1)).await.unwrap();
    drop(store);
    kept.restore("backup");
    let store = SqliteClaims::open(kept.path()).unwrap();
    assert!(store.get(&ClaimId("b".into())).await.unwrap().is_none());
    assert_ne!(store.epoch().await.unwrap(), first);
}

/// Looking at a store that somebody else has open changes nothing in it.
#[tokio::test]
async fn a_store_that_is_in_use_can_be_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("claims.db");
    let store = SqliteClaims::open(&path).unwrap();
    store.claim(new_claim("a", &["k"]), UnixMs::from_ms(1)).await.unwrap();
    let looker = SqliteClaims::open_to_look(&path).unwrap();
    assert!(looker.get(&ClaimId("a".into())).await.unwrap().is_some());
    assert_eq!(looker.epoch().await, store.epoch().await);
    assert!(looker.claim(new_claim("b", &["b"]), UnixMs::from_ms(1)).await.is_err());
    assert_eq!(SqliteClaims::fence(&path).unwrap_err().code(), "store_in_use");
    let missing = SqliteClaims::open_to_look(dir.path().join("none.db")).unwrap_err();
    assert_eq!(missing.code(), "store_unreadable");
    assert!(!dir.path().join("none.db").exists());
}
