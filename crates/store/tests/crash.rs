//! A process that writes claims is killed at random moments: whatever it had been answered is there afterwards, and nothing
//! is there half (C21; DESIGN section 3: process death at any point loses nothing).
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests; the child learns where to write from its environment"
)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use farthing_protocol::UnixMs;
use farthing_protocol::ports::{ClaimId, ClaimOutcome, ClaimStep, ClaimStore, Delivery};
use farthing_store::SqliteClaims;
use farthing_store::testkit::{delivered, failed, lease, new_claim, reservation, settled};

const ROUNDS: u64 = 12;
const DIR: &str = "FARTHING_CRASH_TEST_DIR";
const ROUND: &str = "FARTHING_CRASH_TEST_ROUND";

/// The process that is killed: 16 payments at a time, each step said on standard output once it is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by the test below"]
async fn child() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let round = std::env::var(ROUND).unwrap();
    let store = Arc::new(SqliteClaims::open(Path::new(&dir).join("claims.db")).unwrap());
    let lanes = (0..16).map(|lane| {
        let (store, round) = (Arc::clone(&store), round.clone());
        tokio::spawn(async move {
            for n in 0.. {
                one_payment(&store, &format!("{round}-{lane}-{n}"), n).await;
            }
        })
    });
    for lane in lanes.collect::<Vec<_>>() {
        lane.await.unwrap();
    }
}

async fn one_payment(store: &SqliteClaims, id: &str, n: u64) {
    let say = |state: &str| {
        let mut out = std::io::stdout().lock();
        writeln!(out, "@ {id} {state}").unwrap();
        out.flush().unwrap();
    };
    let now = UnixMs::from_ms(1_000 + n);
    let mut new = new_claim(id, &[&format!("{id} k1"), &format!("{id} k2")]);
    new.reservation = Some(reservation("fees", 1, u128::MAX, 1_000_000));
    assert!(matches!(store.claim(new, now).await, Ok(ClaimOutcome::New)));
    say("settling");
    let claim = ClaimId(id.to_owned());
    if n % 4 == 3 {
        store.advance(&claim, failed("no"), now).await.unwrap();
        return say("failed");
    }
    let delivery = Delivery::Begin(lease(now.plus_ms(10)));
    store.advance(&claim, ClaimStep::Settled { settled: settled(id), delivery }, now).await.unwrap();
    say("delivering");
    store.advance(&claim, delivered(), now).await.unwrap();
    say("delivered");
}

#[tokio::test]
async fn nothing_that_was_answered_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let mut answered: HashMap<String, String> = HashMap::new();
    // A fixed seed: xorshift, so that a failure can be repeated.
    let mut random: u64 = 0x9e37_79b9_7f4a_7c15;
    for round in 0..ROUNDS {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let lines = 1 + random % 800;
        let said = run_and_kill(dir.path(), round, lines, Duration::from_micros(random >> 16 & 0xfff));
        check(dir.path(), &answered, &said).await;
        answered.extend(said);
    }
    assert!(answered.len() > 400, "only {} payments were seen", answered.len());
}

/// Runs a child until it has said so many lines, waits a little, and kills it. What it said.
fn run_and_kill(dir: &Path, round: u64, lines: u64, wait: Duration) -> HashMap<String, String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(DIR, dir)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = HashMap::new();
    let mut killed = false;
    let mut seen = 0;
    // After the kill the pipe still holds what was said before: all of it counts.
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        // The harness's own words may share a line with the first answer.
        let Some((_, answer)) = line.split_once("@ ") else { continue };
        // The last line may be cut in the middle: it counts only with a state that is one.
        if let Some((id, state)) = answer.rsplit_once(' ')
            && ["settling", "delivering", "delivered", "failed"].contains(&state)
        {
            said.insert(id.to_owned(), state.to_owned());
        }
        seen += 1;
        if seen >= lines && !killed {
            std::thread::sleep(wait);
            child.kill().unwrap();
            killed = true;
        }
    }
    child.wait().unwrap();
    assert!(killed, "the child ended by itself in round {round}");
    said
}

async fn check(dir: &Path, before: &HashMap<String, String>, latest: &HashMap<String, String>) {
    let path = dir.join("claims.db");
    {
        let db = rusqlite::Connection::open(&path).unwrap();
        let one = |sql: &str| db.query_row(sql, [], |row| row.get::<_, rusqlite::types::Value>(0)).unwrap();
        assert_eq!(one("PRAGMA integrity_check"), rusqlite::types::Value::Text("ok".into()));
        for (what, sql) in [
            (
                "a key without its claim",
                "SELECT count(*) FROM claim_key WHERE claim NOT IN (SELECT seq FROM claim)",
            ),
            (
                "a claim without its two keys, or a failed one with some",
                "SELECT count(*) FROM claim WHERE (SELECT count(*) FROM claim_key WHERE claim = seq)
                 <> iif(state = 'failed', 0, 2)",
            ),
            (
                "a claim without its reservation, or a failed one with it",
                "SELECT count(*) FROM claim WHERE (SELECT count(*) FROM reservation WHERE claim_id = id)
                 <> iif(state = 'failed', 0, 1)",
            ),
        ] {
            assert_eq!(one(sql), rusqlite::types::Value::Integer(0), "{what}");
        }
    }
    let store = SqliteClaims::open(&path).unwrap();
    let order = ["settling", "delivering", "delivered"];
    for (place, (id, said)) in latest.iter().chain(before).enumerate() {
        let claim = store.get(&ClaimId(id.clone())).await.unwrap().expect("an answered claim is there");
        let state = claim.state.name();
        let rank = |name: &str| order.iter().position(|state| *state == name);
        let reached = match (rank(state), rank(said)) {
            (Some(state), Some(said)) => state >= said,
            // Settling may have gone on to fail; a failure that was answered stays one.
            _ => state == said || said == "settling",
        };
        assert!(reached, "{id} was answered `{said}` and is `{state}`");
        // Each theft is a commit of its own: some of them tell as much as all.
        if place >= 60 {
            continue;
        }
        let outcome = store.claim(new_claim("thief", &[&format!("{id} k2")]), claim.changed).await.unwrap();
        match state {
            "failed" => {
                // Free, and now the thief's: give it back for the next round.
                assert!(matches!(outcome, ClaimOutcome::New), "{id}: {outcome:?}");
                let step = failed("no");
                store.advance(&ClaimId("thief".into()), step, claim.changed).await.unwrap();
            }
            _ => assert!(matches!(outcome, ClaimOutcome::Taken { .. }), "{id}: {outcome:?}"),
        }
    }
    drop(store);
    // The thief had no reservation: it would be counted as half written.
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute("DELETE FROM claim WHERE id = 'thief'", []).unwrap();
}
