#![allow(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use farthing_ledger::store::LedgerStore;
use farthing_ledger::testkit::conformance::{VENDOR, WALLET, WORLD, hold, opening, post, transfer, void};
use farthing_ledger::testkit::model::Dice;
use farthing_ledger::testkit::{Fixture, MemoryLedger, Workload, conformance, records};
use farthing_ledger::{Command, Net, Outcome, Remainder, Step, Timestamp};
use tempfile::TempDir;

use super::recover::Tuning;
use super::{LedgerOpenError, SqliteLedger, verify_file};
use crate::OpenError;

/// So small that every batch outgrows it: holds get rows, ids are forgotten and looked up, rounds complete.
const TINY: Tuning = Tuning { shortest_round: 8, remembered: 4, seed: 3 };

struct Files {
    folder: TempDir,
    made: AtomicUsize,
    tuning: Tuning,
}

impl Files {
    fn new(tuning: Tuning) -> Self {
        Self { folder: TempDir::new().unwrap(), made: AtomicUsize::new(0), tuning }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(format!("ledger-{}.db", self.made.load(Ordering::Relaxed)))
    }

    fn open(&self) -> SqliteLedger {
        // Another test that starts a process shares the lock with it until that has become another program.
        for _ in 0..1_000_000 {
            match SqliteLedger::open_tuned(self.path(), self.tuning) {
                Err(LedgerOpenError::Open(OpenError::InUse { .. })) => std::thread::yield_now(),
                opened => return opened.unwrap(),
            }
        }
        panic!("{} stays in use", self.path().display());
    }
}

#[async_trait::async_trait]
impl Fixture for Files {
    type Store = SqliteLedger;

    async fn fresh(&self) -> SqliteLedger {
        self.made.fetch_add(1, Ordering::Relaxed);
        self.open()
    }

    async fn reopen(&self, store: SqliteLedger) -> SqliteLedger {
        drop(store);
        self.open()
    }
}

fn at(ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(ms)
}

#[tokio::test]
async fn it_keeps_the_contract() {
    conformance::run(&Files::new(Tuning::new(1))).await;
}

#[tokio::test]
async fn it_keeps_the_contract_when_memory_is_short() {
    conformance::run(&Files::new(TINY)).await;
}

#[tokio::test]
async fn it_keeps_the_contract_of_records() {
    records::run(&Files::new(Tuning::new(1))).await;
    records::run(&Files::new(TINY)).await;
}

#[tokio::test]
async fn a_long_history_equals_the_model_through_many_restarts() {
    let files = Files::new(TINY);
    let (mut ledger, model) = (files.open(), MemoryLedger::new());
    let mut workload = Workload::new(11);
    let mut dice = Dice::new(11);
    for round in 0..500 {
        let (now, steps) = workload.batch();
        let expected = model.decide(now, &steps);
        assert_eq!(ledger.transact(now, steps.clone()).await.unwrap(), expected, "round {round}: {steps:?}");
        workload.learn(&steps, &expected);
        if dice.percent(10) {
            drop(ledger);
            ledger = files.open();
            assert_eq!(ledger.head().await.unwrap(), model.scan().head(), "round {round}");
        }
        if dice.percent(4) {
            ledger.verify().await.unwrap().unwrap();
        }
    }
    let accounts = workload.accounts();
    assert_eq!(ledger.accounts(&accounts).await.unwrap(), model.accounts(&accounts).await.unwrap());
    for id in accounts {
        let then = at(3_000);
        assert_eq!(
            ledger.account_at(id, then).await.unwrap(),
            model.account_at(id, then).await.unwrap(),
            "{id}"
        );
    }
    verify_file(files.path()).unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_calls_on_a_wallet_for_four_hundred() {
    let files = Files::new(Tuning::new(1));
    let ledger = Arc::new(files.open());
    ledger.transact(at(1), opening(400)).await.unwrap();
    let calls: Vec<_> = (2_001..=3_000_u128)
        .map(|id| {
            let ledger = Arc::clone(&ledger);
            tokio::spawn(async move {
                let outcome = ledger.transact(at(2), vec![Step::single(hold(id, 1, 100))]).await.unwrap();
                let wallet = ledger.accounts(&[WALLET]).await.unwrap()[0].unwrap();
                assert!(matches!(wallet.balances().available, Net::Plus(_)), "{wallet:?}");
                outcome[0].code()
            })
        })
        .collect();
    let mut codes = Vec::new();
    for call in calls {
        codes.push(call.await.unwrap());
    }
    assert_eq!(codes.iter().filter(|code| **code == "applied").count(), 400);
    assert_eq!(codes.iter().filter(|code| **code == "exceeds_credits").count(), 600);
    ledger.verify().await.unwrap().unwrap();
}

#[tokio::test]
async fn a_second_owner_is_refused() {
    let files = Files::new(Tuning::new(1));
    let ledger = files.open();
    assert_eq!(SqliteLedger::open(files.path(), 1).unwrap_err().code(), "store_in_use");
    drop(ledger);
    files.open();
}

#[tokio::test]
async fn strangers_are_left_alone() {
    let files = Files::new(Tuning::new(1));
    rusqlite::Connection::open(files.path()).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    assert_eq!(SqliteLedger::open(files.path(), 1).unwrap_err().code(), "store_of_another_program");
    assert_eq!(verify_file(files.folder.path().join("none.db")).unwrap_err().code(), "store_unreadable");
}

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
    drop(ledger);
    let db = rusqlite::Connection::open(files.path()).unwrap();
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
    ];
    for (change, expected) in table {
        let files = Files::new(TINY);
        history(&files).await;
        verify_file(files.path()).unwrap().unwrap();
        let db = rusqlite::Connection::open(files.path()).unwrap();
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

/// The `n`th command of the load that is killed: everybody can tell it from its number.
fn numbered(n: u128) -> Command {
    let (kind, of) = (n % 4, n - n % 4);
    match kind {
        0 => hold(10_000 + of, 10, u64::MAX),
        1 => post(10_000 + n, 10_000 + of, 3, Remainder::Keep),
        2 if of % 8 == 0 => void(10_000 + n, 10_000 + of),
        2 => post(10_000 + n, 10_000 + of, 4, Remainder::Release),
        _ => Command::Transfer(transfer(10_000 + n, (WORLD, WALLET), 10)),
    }
}

/// Runs in a process of its own, in the folder of the ledger, until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the process that the crash test kills"]
async fn crash_child() {
    let Ok(start) = std::fs::read_to_string("start") else { return };
    let start: u128 = start.parse().unwrap();
    let ledger = Arc::new(SqliteLedger::open_tuned("ledger.db".into(), TINY).unwrap());
    let callers: Vec<_> = (0..16_u128)
        .map(|caller| {
            let ledger = Arc::clone(&ledger);
            tokio::spawn(async move {
                for n in (0..10_000).map(|round| start + (round * 16 + caller) * 4) {
                    for n in n..n + 4 {
                        let steps = vec![Step::single(numbered(n))];
                        let outcome = ledger.transact(at(10), steps).await.unwrap();
                        assert_eq!(outcome, [Outcome::Applied], "{n}");
                        let mut out = std::io::stdout().lock();
                        writeln!(out, "done {n}").unwrap();
                        out.flush().unwrap();
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
}

/// Kills a writing process after `lines` answers, and gives what it had answered.
fn run_and_kill(folder: &Path, lines: u64) -> Vec<u128> {
    let mut child = Process::new(std::env::current_exe().unwrap())
        .args(["--exact", "ledger::tests::crash_child", "--ignored", "--nocapture"])
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut answered = Vec::new();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    let numbers = |line: String| line.rsplit_once("done ").and_then(|(_, n)| n.parse::<u128>().ok());
    while (answered.len() as u64) < lines
        && let Some(line) = out.next()
    {
        answered.extend(numbers(line.unwrap()));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What was answered before the end and not read yet was answered too.
    answered.extend(out.map_while(Result::ok).filter_map(numbers));
    answered
}

#[tokio::test]
async fn nothing_that_was_answered_is_lost_when_the_process_is_killed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ledger.db");
    let mut dice = Dice::new(77);
    let ledger = SqliteLedger::open_tuned(path.clone(), TINY).unwrap();
    ledger.transact(at(1), opening(1_000_000)).await.unwrap();
    drop(ledger);
    for round in 0..30_u128 {
        let start = round * 1_000_000;
        std::fs::write(folder.path().join("start"), start.to_string()).unwrap();
        let lines = 1 + dice.below(400);
        let answered = run_and_kill(folder.path(), lines);
        assert!(answered.len() as u64 >= lines, "round {round}: the child stopped by itself");
        verify_file(&path).unwrap().unwrap();
        let ledger = SqliteLedger::open_tuned(path.clone(), TINY).unwrap();
        for n in answered {
            let outcome = ledger.transact(at(20), vec![Step::single(numbered(n))]).await.unwrap();
            assert_eq!(outcome, [Outcome::Exists], "round {round}: {n} was answered and is lost");
        }
        ledger.verify().await.unwrap().unwrap();
        let vendor = ledger.accounts(&[VENDOR]).await.unwrap()[0].unwrap();
        assert!(!vendor.totals.credits.posted.is_zero(), "round {round}: the load did something");
    }
}
