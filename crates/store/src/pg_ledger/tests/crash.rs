//! Processes that write are killed, and the server is, at random moments: nothing that was answered is lost, nothing happened
//! twice, and records agree with the journal.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command as Process, Stdio};
use std::sync::atomic::AtomicBool;

use farthing_ledger::journal::Event;
use farthing_ledger::record::{Order, Scan, read_counter};
use farthing_ledger::store::StoreError;

use super::*;

const URL: &str = "FARTHING_PG_LEDGER_TEST_URL";
const START: &str = "FARTHING_PG_LEDGER_TEST_START";
const DONE: Table = Table::new("done");
const COUNT: Table = Table::new("count");
const LANES: u128 = 8;

fn count_key() -> RecordKey {
    RecordKey { table: COUNT, key: "all".into() }
}

fn done_key(n: u128) -> RecordKey {
    RecordKey { table: DONE, key: format!("{n:020}") }
}

/// The `n`th work of the load: a hold, a record that says so, and a counter that counts it.
fn numbered(n: u128) -> Work {
    let put = RecordChange::Put { at: done_key(n), expect: Expect::Absent, body: n.to_string() };
    let add = RecordChange::Add { at: count_key(), numbers: vec![1] };
    Work {
        now: at(10),
        steps: vec![Step::single(hold(10_000 + 2 * n, 10, u64::MAX))],
        records: vec![put, add],
    }
}

/// How its hold ends: two thirds of them are captured, of which a part is left open.
fn ending(n: u128) -> Vec<Step> {
    let remainder = if n.is_multiple_of(3) { Remainder::Keep } else { Remainder::Release };
    match n % 4 {
        0 => vec![],
        _ => vec![Step::single(post(10_001 + 2 * n, 10_000 + 2 * n, 3, remainder))],
    }
}

/// Does it until somebody answers, and says whether the first answer was already lost.
async fn does(ledger: &PgLedger, n: u128, lost: &AtomicI32) {
    loop {
        match ledger.commit(numbered(n)).await {
            Ok(Committed::Applied { outcomes, .. }) => break assert_eq!(outcomes, [Outcome::Applied], "{n}"),
            // It happened, and its answer was lost.
            Ok(Committed::Conflict { at: 0 }) => break,
            Ok(other) => panic!("{n}: {other:?}"),
            Err(StoreError::Unknown(_) | StoreError::Retryable(_)) => lost.fetch_add(1, Ordering::Relaxed),
            Err(error) => panic!("{n}: {error}"),
        };
    }
    let steps = ending(n);
    while !steps.is_empty() {
        match ledger.transact(at(10), steps.clone()).await {
            Ok(outcomes) => {
                assert!(matches!(outcomes[0], Outcome::Applied | Outcome::Exists), "{n}");
                break;
            }
            Err(StoreError::Unknown(_) | StoreError::Retryable(_)) => {
                lost.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => panic!("{n}: {error}"),
        }
    }
}

/// The holds that the journal says.
async fn held(ledger: &PgLedger) -> BTreeSet<u128> {
    let (mut held, mut after) = (BTreeSet::new(), 0);
    loop {
        let page = ledger.journal(after, 1_000).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.entry.seq;
        held.extend(page.iter().filter_map(|sealed| match &sealed.entry.event {
            Event::Held(new) => Some((new.transfer.id.as_u128() - 10_000) / 2),
            _ => None,
        }));
    }
    held
}

/// The holds that records say.
async fn done(ledger: &PgLedger) -> BTreeSet<u128> {
    let (mut done, mut after) = (BTreeSet::new(), None);
    loop {
        let scan = Scan { table: DONE, prefix: String::new(), after, order: Order::Ascending, limit: 1_000 };
        let page = ledger.scan(scan).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.key.clone());
        done.extend(page.iter().map(|record| record.body.parse::<u128>().unwrap()));
    }
    done
}

/// Compares journal, records and counter, and all of them with what was answered.
async fn agree(ledger: &PgLedger, answered: &BTreeSet<u128>) {
    ledger.verify().await.unwrap().unwrap();
    // The server may still carry out what a process sent that was killed: what is compared is read while nothing happens.
    let (held, done) = loop {
        let before = ledger.head().await.unwrap().seq;
        let read = (held(ledger).await, done(ledger).await);
        if ledger.head().await.unwrap().seq == before {
            break read;
        }
    };
    assert_eq!(held, done, "records say what the journal says");
    assert!(answered.is_subset(&done), "{:?} were answered and are lost", answered.difference(&done));
    let counter = ledger.records(&[count_key()]).await.unwrap().remove(0);
    let counted = counter.map_or(0, |record| read_counter(&record.body).unwrap()[0]);
    assert_eq!(counted, i128::try_from(done.len()).unwrap(), "counted once each");
}

/// Runs in a process of its own until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the process that the crash test kills"]
#[allow(clippy::disallowed_methods, reason = "a child learns from its environment what to do")]
async fn crash_child() {
    let (Ok(url), Ok(start)) = (std::env::var(URL), std::env::var(START)) else { return };
    let start: u128 = start.parse().unwrap();
    let ledger = Arc::new(PgLedger::open_tuned(PgUrl::parse(&url).unwrap(), 0, TINY).await.unwrap());
    let lanes: Vec<_> = (0..LANES)
        .map(|lane| {
            let ledger = Arc::clone(&ledger);
            tokio::spawn(async move {
                for n in (0..100_000).map(|round| start + round * LANES + lane) {
                    does(&ledger, n, &AtomicI32::new(0)).await;
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "done {n}").unwrap();
                    out.flush().unwrap();
                }
            })
        })
        .collect();
    for lane in lanes {
        lane.await.unwrap();
    }
}

fn start(url: &str, start: u128) -> Child {
    Process::new(std::env::current_exe().unwrap())
        .args(["--exact", "pg_ledger::tests::crash::crash_child", "--ignored", "--nocapture"])
        .env(URL, url)
        .env(START, start.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Reads `lines` answers, kills the process, and gives all that it had answered.
fn read_and_kill(mut child: Child, lines: usize) -> BTreeSet<u128> {
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    let number = |line: String| line.rsplit_once("done ").and_then(|(_, n)| n.parse::<u128>().ok());
    let mut answered = BTreeSet::new();
    while answered.len() < lines
        && let Some(line) = out.next()
    {
        answered.extend(number(line.unwrap()));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    answered.extend(out.map_while(Result::ok).filter_map(number));
    assert!(answered.len() >= lines, "the child stopped by itself");
    answered
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_answered_is_lost_when_processes_are_killed() {
    let Some(cluster) = Cluster::shared("processes_are_killed") else { return };
    let databases = Databases::new(cluster, TINY);
    let ledger = databases.open().await;
    ledger.transact(at(1), opening(1 << 60)).await.unwrap();
    let (mut dice, mut answered) = (Dice::new(77), BTreeSet::new());
    let mut next = 0;
    let mut child = || {
        next += 1_000_000_u128;
        start(&databases.url, next)
    };
    // Two write; one of them is killed, and another one takes its place, again and again.
    let mut beside = child();
    for _ in 0..12 {
        let killed = std::mem::replace(&mut beside, child());
        let lines = usize::try_from(1 + dice.below(150)).unwrap();
        answered.extend(tokio::task::spawn_blocking(move || read_and_kill(killed, lines)).await.unwrap());
        // Whoever lives goes on at once: the log was not left locked.
        let now = ledger.transact(at(10), vec![Step::single(transfer_back())]).await.unwrap();
        assert!(matches!(now[0], Outcome::Applied | Outcome::Exists), "{now:?}");
    }
    answered.extend(tokio::task::spawn_blocking(move || read_and_kill(beside, 1)).await.unwrap());
    agree(&ledger, &answered).await;
    databases.proven().await;
}

fn transfer_back() -> farthing_ledger::Command {
    farthing_ledger::Command::Transfer(conformance::transfer(1_001, (conformance::WORLD, WALLET), 1))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_answered_is_lost_when_the_server_is_killed() {
    let Some(bin) = Cluster::find() else { return };
    let cluster = Arc::new(Cluster::start(&bin).unwrap());
    let url = PgUrl::parse(&cluster.database()).unwrap();
    let open = async || Arc::new(PgLedger::open_tuned(url.clone(), 0, TINY).await.unwrap());
    let ledgers = [open().await, open().await];
    ledgers[0].transact(at(1), opening(1 << 60)).await.unwrap();
    let (stop, lost) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicI32::new(0)));
    let answers = Arc::new(AtomicI32::new(0));
    let lanes: Vec<_> = (0..LANES * 2)
        .map(|lane| {
            let ledger = Arc::clone(&ledgers[usize::try_from(lane % 2).unwrap()]);
            let (stop, lost, answers) = (Arc::clone(&stop), Arc::clone(&lost), Arc::clone(&answers));
            tokio::spawn(async move {
                let mut answered = BTreeSet::new();
                for n in (0..).map(|round: u128| 1_000_000 + round * LANES * 2 + lane) {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    does(&ledger, n, &lost).await;
                    answers.fetch_add(1, Ordering::Relaxed);
                    answered.insert(n);
                }
                answered
            })
        })
        .collect();
    let mut dice = Dice::new(78);
    for round in 0..8 {
        let until = answers.load(Ordering::Relaxed) + 20 + i32::try_from(dice.below(100)).unwrap();
        while answers.load(Ordering::Relaxed) < until {
            assert!(lanes.iter().all(|lane| !lane.is_finished()), "a lane ended in round {round}");
            tokio::time::sleep(std::time::Duration::from_micros(200)).await;
        }
        tokio::time::sleep(std::time::Duration::from_micros(dice.below(4_000))).await;
        let (cluster, immediate) = (Arc::clone(&cluster), dice.percent(50));
        let stopped = tokio::task::spawn_blocking(move || {
            if immediate {
                cluster.stop_now()
            } else {
                cluster.kill()
            }
            cluster.resume()
        });
        stopped.await.unwrap().unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    let mut answered = BTreeSet::new();
    for lane in lanes {
        answered.extend(lane.await.unwrap());
    }
    for ledger in &ledgers {
        agree(ledger, &answered).await;
    }
    assert!(lost.load(Ordering::Relaxed) > 0, "no answer was ever lost: the server was killed too gently");
}
