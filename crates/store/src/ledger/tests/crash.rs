//! Processes that are killed in the middle of their commits: what was answered is there, and nothing is there half.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::sync::Arc;

use farthing_ledger::journal::Event;
use farthing_ledger::record::{Committed, Expect, Order, Record, RecordStore, Scan, Work, read_counter};
use farthing_ledger::store::{LedgerStore, MAX_PAGE};
use farthing_ledger::testkit::conformance::{VENDOR, WALLET, WORLD, hold, opening, post, transfer, void};
use farthing_ledger::testkit::model::Dice;
use farthing_ledger::testkit::records::{THINGS, add, delete, get, put};
use farthing_ledger::{Command, Outcome, Remainder, Step};
use tempfile::TempDir;

use super::{TINY, at};
use crate::ledger::{SqliteLedger, verify_file};

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
                        say_done(n);
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
}

fn say_done(n: u128) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "done {n}").unwrap();
    out.flush().unwrap();
}

/// Kills a writing process after `lines` answers, and gives what it had answered.
fn run_and_kill(child: &str, folder: &Path, lines: u64) -> Vec<u128> {
    let mut child = Process::new(std::env::current_exe().unwrap())
        .args(["--exact", child, "--ignored", "--nocapture"])
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
        let answered = run_and_kill("ledger::tests::crash::crash_child", folder.path(), lines);
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

/// The first id of payments that have a record.
const PAID: u128 = 10_000;

/// Payment `n`, with its record, its place among the counters, and the caller's last payment, which replaces the one before.
/// Every seventh asks for more than there is, and must leave nothing.
fn payment(n: u128, caller: u128, before: Option<u128>) -> Work {
    let amount = if n % 7 == 6 { u128::from(u64::MAX) } else { n % 5 + 1 };
    let mut records = vec![
        put(&format!("paid/{n:020}"), Expect::Absent, &amount.to_string()),
        add("sum", &[1, i128::try_from(amount).unwrap()]),
        put(&format!("last/{caller:02}/{n:020}"), Expect::Absent, ""),
    ];
    records.extend(before.map(|before| delete(&format!("last/{caller:02}/{before:020}"), Expect::Present)));
    let steps = vec![Step::single(Command::Transfer(transfer(PAID + n, (WALLET, VENDOR), amount)))];
    Work { now: at(10), steps, records }
}

/// Runs in a process of its own, in the folder of the ledger, until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the process that the crash test kills"]
async fn crash_child_with_records() {
    let Ok(start) = std::fs::read_to_string("start") else { return };
    let start: u128 = start.parse().unwrap();
    let ledger = Arc::new(SqliteLedger::open_tuned("ledger.db".into(), TINY).unwrap());
    let callers: Vec<_> = (0..16_u128)
        .map(|caller| {
            let ledger = Arc::clone(&ledger);
            tokio::spawn(async move {
                let mut before = None;
                for n in (0..100_000).map(|round| start + round * 16 + caller) {
                    match ledger.commit(payment(n, caller, before)).await.unwrap() {
                        Committed::Applied { .. } if n % 7 != 6 => {
                            before = Some(n);
                            say_done(n);
                        }
                        Committed::Refused { .. } if n % 7 == 6 => {}
                        other => panic!("{n}: {other:?}"),
                    }
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
}

async fn all(ledger: &SqliteLedger, prefix: &str) -> Vec<Record> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let prefix = prefix.to_owned();
        let scan = Scan { table: THINGS, prefix, after, order: Order::Ascending, limit: MAX_PAGE };
        let page = ledger.scan(scan).await.unwrap();
        let Some(last) = page.last() else { return found };
        after = Some(last.key.clone());
        found.extend(page);
    }
}

/// Every payment in the journal, by its number.
async fn paid(ledger: &SqliteLedger) -> HashSet<u128> {
    let (mut found, mut seq) = (HashSet::new(), 0);
    loop {
        let page = ledger.journal(seq, MAX_PAGE).await.unwrap();
        let Some(last) = page.last() else { return found };
        seq = last.entry.seq;
        for sealed in page {
            if let Event::Transferred(transfer) = sealed.entry.event
                && transfer.debit == WALLET
            {
                assert!(found.insert(transfer.id.as_u128() - PAID), "{transfer:?} happened twice");
            }
        }
    }
}

#[tokio::test]
async fn records_and_journal_agree_when_the_process_is_killed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("ledger.db");
    let mut dice = Dice::new(78);
    let ledger = SqliteLedger::open_tuned(path.clone(), TINY).unwrap();
    ledger.transact(at(1), opening(1_000_000)).await.unwrap();
    drop(ledger);
    let mut answered = HashSet::new();
    for round in 0..25_u128 {
        std::fs::write(folder.path().join("start"), (round * 10_000_000).to_string()).unwrap();
        let child = "ledger::tests::crash::crash_child_with_records";
        let lines = 1 + dice.below(300);
        let said = run_and_kill(child, folder.path(), lines);
        assert!(said.len() as u64 >= lines, "round {round}: the child stopped by itself");
        answered.extend(said);
        verify_file(&path).unwrap().unwrap();

        let ledger = SqliteLedger::open_tuned(path.clone(), TINY).unwrap();
        let paid = paid(&ledger).await;
        let records = all(&ledger, "paid/").await;
        let number = |record: &Record| record.key.rsplit('/').next().unwrap().parse::<u128>().unwrap();
        let recorded: HashSet<u128> = records.iter().map(number).collect();
        assert_eq!(recorded, paid, "round {round}: a payment without a record, or the other way round");
        let lost: Vec<&u128> = answered.difference(&paid).collect();
        assert!(lost.is_empty(), "round {round}: {lost:?} were answered and are lost");
        let sum: i128 = records.iter().map(|record| record.body.parse::<i128>().unwrap()).sum();
        let counter = read_counter(&get(&ledger, "sum").await.unwrap().body).unwrap();
        assert_eq!(counter, [i128::try_from(records.len()).unwrap(), sum], "round {round}: counters");
        let vendor = ledger.accounts(&[VENDOR]).await.unwrap()[0].unwrap();
        assert_eq!(vendor.totals.credits.posted.base(), u128::try_from(sum).unwrap());
        // Of every caller's last payments there is one, and it is the highest of the round.
        let last = all(&ledger, "last/").await;
        let mine = last.iter().filter(|record| number(record) >= round * 10_000_000);
        let mut callers: HashSet<String> = HashSet::new();
        for record in mine {
            let caller = record.key.split('/').nth(1).unwrap();
            assert!(callers.insert(caller.to_owned()), "round {round}: {record:?} was not replaced");
            let caller: u128 = caller.parse().unwrap();
            let highest = paid.iter().filter(|n| *n % 16 == caller).max().unwrap();
            assert_eq!(number(record), *highest, "round {round}: {record:?}");
        }
        ledger.verify().await.unwrap().unwrap();
    }
}
