//! `farthing ledger verify`: a sound ledger is proved, and a single changed byte is found and named.

use std::path::Path;

use farthing_ledger::Timestamp;
use farthing_ledger::store::LedgerStore;
use farthing_ledger::testkit::conformance::{hold, opening};
use farthing_ledger::{Outcome, Step};
use farthing_store::PgUrl;
use farthing_store::ledger::SqliteLedger;
use farthing_store::pg_ledger::PgLedger;
use farthing_store::testkit::postgres::Cluster;

use crate::support::Home;

/// Accounts, and 40 holds.
async fn fill(ledger: &impl LedgerStore) {
    ledger.transact(Timestamp::from_unix_ms(1), opening(1_000)).await.unwrap();
    let holds = (0..40).map(|id| Step::single(hold(0x1_0000 + id, 7, 1_000_000))).collect();
    let outcomes = ledger.transact(Timestamp::from_unix_ms(2), holds).await.unwrap();
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Applied));
}

/// Where the journal's entries are in the file: each one's place in the journal, and those of one byte of it. SQLite leaves behind
/// what it has moved to another page: each copy is one.
async fn entries(file: &Path, ledger: &SqliteLedger) -> Vec<(u64, Vec<usize>)> {
    let bytes = std::fs::read(file).unwrap();
    let mut found = Vec::new();
    for sealed in ledger.journal(0, 1_000).await.unwrap() {
        let mut body = Vec::new();
        sealed.entry.encode(&mut body);
        let within = usize::try_from(sealed.entry.seq).unwrap() % body.len();
        let copies = bytes.windows(body.len()).enumerate().filter(|(_, window)| *window == body);
        found.push((sealed.entry.seq, copies.map(|(at, _)| at + within).collect()));
    }
    found
}

#[tokio::test]
async fn a_file_is_proved_and_a_changed_byte_is_named() {
    let home = Home::new();
    let path = home.path().join("billing.db");
    let shown = path.to_str().unwrap();
    let missing = home.run(&["ledger", "verify", "--store", shown]);
    assert_eq!(missing.code, 2, "{missing:?}");
    fill(&SqliteLedger::open(&path, 1).unwrap()).await;
    let report = home.run(&["ledger", "verify", "--store", shown, "--output", "json"]).ok().json();
    assert_eq!((&report["ok"], &report["open_holds"]), (&true.into(), &40.into()), "{report}");
    let asset = report["assets"][0].clone();
    assert_eq!((&asset["posted"], &asset["pending"]), (&"1000".into(), &"280".into()), "{report}");
    let hash = report["hash"].as_str().unwrap();
    let text = home.run(&["ledger", "verify", "--store", shown, "--hash", hash]).ok().stdout;
    assert!(text.contains("is sound") && text.contains(hash), "{text}");

    // While another process has it open, too.
    let ledger = SqliteLedger::open(&path, 1).unwrap();
    home.run(&["ledger", "verify", "--store", shown]).ok();
    let places = entries(&path, &ledger).await;
    assert!(places.len() > 40 && places.iter().all(|(_, at)| !at.is_empty()), "{places:?}");
    drop(ledger);
    let sound = std::fs::read(&path).unwrap();
    for (seq, at) in places.into_iter().step_by(7) {
        let mut bytes = sound.clone();
        at.iter().for_each(|at| bytes[*at] ^= 0x10);
        std::fs::write(&path, bytes).unwrap();
        let run = home.run(&["ledger", "verify", "--store", shown, "--output", "json"]);
        let error: serde_json::Value = serde_json::from_str(&run.stderr).unwrap();
        assert_eq!(
            (run.code, &error["error"]["details"]["entry"]),
            (1, &seq.into()),
            "bytes {at:?}: {run:?}"
        );
        let text = home.run(&["ledger", "verify", "--store", shown]);
        assert!(text.stderr.contains(&format!("entry {seq}")), "{text:?}");
    }

    // An end that was cut off is told from the hash that was noted before.
    std::fs::write(&path, &sound).unwrap();
    let ledger = SqliteLedger::open(&path, 1).unwrap();
    let more = vec![Step::single(hold(0x2_0000, 1, 1_000_000))];
    ledger.transact(Timestamp::from_unix_ms(3), more).await.unwrap();
    drop(ledger);
    let run = home.run(&["ledger", "verify", "--store", shown, "--hash", hash, "--output", "json"]);
    assert!(run.code == 1 && run.stderr.contains("ledger_ends_otherwise"), "{run:?}");
}

#[tokio::test]
async fn a_database_is_proved_and_a_changed_byte_is_named() {
    let test = "a_database_is_proved_and_a_changed_byte_is_named";
    let Some(cluster) = Cluster::shared(test) else { return };
    let url = cluster.database();
    let ledger = PgLedger::open(PgUrl::parse(&url).unwrap(), 1).await.unwrap();
    fill(&ledger).await;
    ledger.close().await;
    let home = Home::new();
    let report = home.run(&["ledger", "verify", "--store", &url, "--output", "json"]).ok().json();
    assert_eq!((&report["ok"], &report["open_holds"]), (&true.into(), &40.into()), "{report}");
    let name = url.rsplit('/').next().unwrap();
    cluster.sql(
        name,
        "UPDATE farthing.ledger_journal SET body = set_byte(body, 9, get_byte(body, 9) # 16) WHERE seq = 20",
    );
    let run = home.run(&["ledger", "verify", "--store", &url, "--output", "json"]);
    let error: serde_json::Value = serde_json::from_str(&run.stderr).unwrap();
    assert_eq!((run.code, &error["error"]["details"]["entry"]), (1, &20.into()), "{run:?}");
    let gone = home.run(&["ledger", "verify", "--store", "postgres://farthing@127.0.0.1:1/none"]);
    assert_eq!(gone.code, 3, "{gone:?}");
}
