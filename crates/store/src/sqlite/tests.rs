#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use farthing_protocol::UnixMs;
use farthing_protocol::ports::{ClaimId, ClaimOutcome, ClaimStep, ClaimStore};
use rusqlite::Connection;

use crate::testkit::{failed, failed_and_spent, new_claim, reservation};

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
            let walks_own_index = detail.contains("SCAN claim USING") && statement == &sql::RELEASE;
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

/// A file of the version before is brought up to date, with what it holds.
#[tokio::test]
async fn an_older_file_is_migrated() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("claims.db");
    let (now, id) = (UnixMs::from_ms(1), ClaimId("a".into()));
    let mut new = new_claim("a", &["k"]);
    new.reservation = Some(reservation("fees", 60, 100, 1_000));
    SqliteClaims::open(&path).unwrap().claim(new, now).await.unwrap();
    let older = "DROP TABLE spent_reservation; DELETE FROM schema_version WHERE version = 2";
    Connection::open(&path).unwrap().execute_batch(older).unwrap();
    for fits in [40, 41] {
        // Opened again, so that what was spent is read from the file.
        let store = SqliteClaims::open(&path).unwrap();
        store.advance(&id, failed_and_spent("reverted"), now).await.unwrap();
        let mut next = new_claim("b", &["k"]);
        next.reservation = Some(reservation("fees", fits, 100, 1_000));
        let outcome = store.claim(next, now).await.unwrap();
        assert_eq!(matches!(outcome, ClaimOutcome::New), fits == 40, "{outcome:?}");
        if fits == 40 {
            store.advance(&ClaimId("b".into()), failed("no"), now).await.unwrap();
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
    let failure = store.advance(&bad, ClaimStep::Delivered, now).await.unwrap_err().to_string();
    assert!(failure.contains("bad") && failure.contains("plan"), "{failure}");
    assert!(!failure.contains("secret"), "a plan is never repeated: {failure}");
    for other in others {
        assert!(matches!(other.await.unwrap(), Ok(ClaimOutcome::New)));
    }
}

#[test]
fn commits_reach_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let db = open::writer(&dir.path().join("claims.db")).unwrap();
    let pragma = |name: &str| {
        db.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, rusqlite::types::Value>(0)).unwrap()
    };
    assert_eq!(pragma("journal_mode"), rusqlite::types::Value::Text("wal".into()));
    assert_eq!(pragma("synchronous"), rusqlite::types::Value::Integer(2));
    assert_eq!(pragma("foreign_keys"), rusqlite::types::Value::Integer(1));
}
