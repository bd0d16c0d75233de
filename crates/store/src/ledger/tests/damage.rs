//! Files that somebody or something changed: what is not what was written is found, and never believed.

use farthing_ledger::record::{Committed, Expect, RecordStore, Version};
use farthing_ledger::store::LedgerStore;
use farthing_ledger::testkit::conformance::{hold, opening, post, void};
use farthing_ledger::testkit::model::Dice;
use farthing_ledger::testkit::records::{add, check, commit, delete, get, pay, put, thing};
use farthing_ledger::{Outcome, Remainder, Step};
use rusqlite::Connection;

use super::{Files, TINY, at};
use crate::ledger::verify_file;

/// A closed ledger with some of everything, all of it in the main file.
async fn history(files: &Files) {
    let ledger = files.open();
    ledger.transact(at(1), opening(1_000)).await.unwrap();
    for id in 0..20 {
        let keep = post(200 + id, 100 + id, 3, Remainder::Keep);
        let steps = [hold(100 + id, 10, 1_000), keep].map(Step::single);
        let outcomes = ledger.transact(at(2), steps.into()).await.unwrap();
        assert_eq!(outcomes, [Outcome::Applied; 2]);
    }
    ledger.transact(at(3), (0..10).map(|id| Step::single(void(300 + id, 100 + id))).collect()).await.unwrap();
    for id in 0..60_u32 {
        let changes = vec![put(&format!("k{id}"), Expect::Absent, "what it says"), add("n", &[1])];
        commit(&ledger, vec![], changes).await.unwrap();
    }
    drop(ledger);
    let db = Connection::open(files.path()).unwrap();
    db.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
}

#[tokio::test]
async fn what_is_changed_beside_the_journal_is_found() {
    let table = [
        ("UPDATE account SET totals = zeroblob(64) WHERE place = 1", "storage_damaged"),
        ("UPDATE account SET guard = 1 WHERE place = 1", "storage_damaged"),
        ("UPDATE account SET last_seq = last_seq - 1 WHERE place = 1", "storage_damaged"),
        ("UPDATE account SET as_of = 1000 WHERE place = 1", "storage_damaged"),
        ("UPDATE old_hold SET remaining = zeroblob(16)", "storage_damaged"),
        ("UPDATE journal SET prev_debit = 1 WHERE seq = 20", "storage_damaged"),
        ("UPDATE journal SET id = zeroblob(16) WHERE seq = 20", "storage_damaged"),
        ("UPDATE journal SET ends = NULL WHERE seq = 50", "storage_damaged"),
        ("UPDATE journal SET hash = zeroblob(32) WHERE seq = 20", "entry_hash_mismatch"),
        ("UPDATE journal SET body = zeroblob(100) WHERE seq = 20", "entry_hash_mismatch"),
        ("DELETE FROM journal WHERE seq = 20", "entry_hash_mismatch"),
        ("UPDATE journal SET seq = 99 WHERE seq = 55", "storage_damaged"),
        ("UPDATE journal SET version = 1 WHERE seq = 50", "storage_damaged"),
        ("UPDATE journal SET version = 1000 WHERE seq = 50", "storage_damaged"),
        ("UPDATE record_version SET version = 3", "storage_damaged"),
        ("UPDATE record SET body = 'what it sayz' WHERE key = 'k7'", "storage_damaged"),
        ("UPDATE record SET key = 'k777' WHERE key = 'k7'", "storage_damaged"),
        ("UPDATE record SET kind = 'others_2' WHERE key = 'k7'", "storage_damaged"),
        ("UPDATE record SET revision = revision - 1 WHERE key = 'k7'", "storage_damaged"),
        ("UPDATE record SET proof = x'' WHERE key = 'k7'", "storage_damaged"),
    ];
    for (change, expected) in table {
        let files = Files::new(TINY);
        history(&files).await;
        verify_file(files.path()).unwrap().unwrap();
        let db = Connection::open(files.path()).unwrap();
        assert!(db.execute(change, []).unwrap() > 0, "{change}");
        assert_eq!(verify_file(files.path()).unwrap().unwrap_err().code(), expected, "{change}");
    }
}

#[tokio::test]
async fn a_flipped_byte_in_the_file_is_found_or_changes_nothing() {
    let files = Files::new(TINY);
    history(&files).await;
    let sound = std::fs::read(files.path()).unwrap();
    let report = verify_file(files.path()).unwrap().unwrap();
    let copy = files.folder.path().join("copy.db");
    let mut dice = Dice::new(5);
    let (mut found, mut harmless) = (0, 0);
    for _ in 0..400 {
        let place = usize::try_from(dice.below(u64::try_from(sound.len()).unwrap())).unwrap();
        let mut bytes = sound.clone();
        bytes[place] ^= 1 << dice.below(8);
        std::fs::write(&copy, bytes).unwrap();
        match verify_file(&copy) {
            Ok(Ok(same)) => {
                // Unused space, or a counter of SQLite's own: what the ledger says is what it said.
                assert_eq!(same, report, "byte {place}");
                harmless += 1;
            }
            Ok(Err(_)) | Err(_) => found += 1,
        }
    }
    assert!(found > 50, "{found} found, {harmless} harmless");
}

#[tokio::test]
async fn a_damaged_record_is_told_and_decides_nothing() {
    let files = Files::new(TINY);
    history(&files).await;
    let db = Connection::open(files.path()).unwrap();
    db.execute("UPDATE record SET body = '[\"9\"]' WHERE key IN ('n', 'k7')", []).unwrap();
    drop(db);
    let ledger = files.open();
    let head = ledger.head().await.unwrap();
    for key in ["n", "k7"] {
        assert_eq!(ledger.records(&[thing("k1"), thing(key)]).await.unwrap_err().code(), "ledger_damaged");
    }
    // Also not overwritten: who did not read it cannot know what is lost.
    for change in [
        add("n", &[1]),
        check("k7", Expect::Present),
        put("k7", Expect::Anything, "x"),
        delete("n", Expect::Present),
    ] {
        let error = commit(&ledger, vec![pay(900, 1)], vec![put("new", Expect::Absent, ""), change])
            .await
            .unwrap_err();
        assert_eq!(error.code(), "ledger_damaged");
    }
    assert_eq!((ledger.head().await.unwrap(), get(&ledger, "new").await), (head, None));
    // The others go on.
    let done = commit(&ledger, vec![pay(900, 1)], vec![put("k1", Expect::Present, "new")]).await.unwrap();
    assert!(matches!(done, Committed::Applied { .. }), "{done:?}");
    assert_eq!(ledger.verify().await.unwrap().unwrap_err().code(), "storage_damaged");
}

#[tokio::test]
async fn a_file_from_before_there_were_records_is_brought_up_to_date() {
    let files = Files::new(TINY);
    history(&files).await;
    let db = Connection::open(files.path()).unwrap();
    db.execute_batch(
        "DROP TABLE record; DROP TABLE record_version; ALTER TABLE journal DROP COLUMN version; PRAGMA user_version = 1",
    )
    .unwrap();
    drop(db);
    let before = verify_file(files.path()).unwrap().expect("an old file is verified as it is");
    let ledger = files.open();
    let head = ledger.head().await.unwrap();
    assert_eq!((head.seq, head.hash.to_string()), (before.entries, before.hash));
    // Whatever was told about it before there were versions is not after what is told now.
    let version = ledger.changed(Version(0)).await.unwrap();
    assert!(version >= Version(head.seq), "{version:?}");
    assert_eq!(get(&ledger, "k1").await, None);
    let changes = vec![put("k1", Expect::Absent, "first")];
    let done = commit(&ledger, vec![pay(900, 1)], changes).await.unwrap();
    assert_eq!(
        done,
        Committed::Applied { outcomes: vec![Outcome::Applied], version: Version(version.0 + 1) }
    );
    drop(ledger);
    verify_file(files.path()).unwrap().unwrap();
    assert_eq!(files.open().changed(Version(0)).await.unwrap(), Version(version.0 + 1));
}
