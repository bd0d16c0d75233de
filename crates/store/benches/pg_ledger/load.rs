//! The processes that share the ledger: each is told what to do, says when it is ready, and tells what it measured.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdout, Command as Process, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use farthing_ledger::store::LedgerStore;
use farthing_ledger::testkit::model::Dice;
use farthing_ledger::{Command, Outcome, Step, Timestamp};
use farthing_store::PgUrl;
use farthing_store::pg_ledger::PgLedger;

use super::cpu::Cpu;
use super::pace::Pace;
use super::world::{Ids, NOW_MS, capture, hold, wallet};

pub const PROCESSES: u64 = 2;

/// What a child is told: URL, its number, wallets, callers, until when, pairs a second that are offered to it (0: as many as it can).
pub const TOLD: &str = "FARTHING_BENCH_PG_LEDGER";

/// When callers stop.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    Seconds(u64),
    Entries(u64),
    /// After one hold.
    First,
    /// Before it stops by itself.
    Killed,
}

impl Until {
    fn text(self) -> String {
        match self {
            Self::Seconds(seconds) => format!("s{seconds}"),
            Self::Entries(entries) => format!("e{entries}"),
            Self::First => "f0".to_owned(),
            Self::Killed => "k0".to_owned(),
        }
    }

    fn read(text: &str) -> Self {
        let number = text[1..].parse().unwrap();
        match &text[..1] {
            "s" => Self::Seconds(number),
            "e" => Self::Entries(number),
            "f" => Self::First,
            _ => Self::Killed,
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Shape<'a> {
    pub url: &'a str,
    pub wallets: u64,
    pub in_flight: u64,
    /// Pairs a second that are offered; as many as callers come to when none.
    pub pace: Option<u64>,
}

impl<'a> Shape<'a> {
    /// Callers that never rest.
    pub const fn saturating(url: &'a str, wallets: u64, in_flight: u64) -> Self {
        Self { url, wallets, in_flight, pace: None }
    }
}

/// When the pairs of callers begin.
#[derive(Debug, Clone)]
enum Drive {
    /// When the one before has ended, until told to stop.
    Saturating(Arc<AtomicBool>),
    Paced(Arc<Pace>),
}

impl Drive {
    /// When the next pair was due; none when it is not to begin.
    async fn next(&self) -> Option<Instant> {
        match self {
            Self::Saturating(stop) => (!stop.load(Ordering::Relaxed)).then(Instant::now),
            Self::Paced(pace) => pace.next().await,
        }
    }
}

/// How long each hold took from when it was due, and how much of that it had not begun, in microseconds.
#[derive(Debug, Default)]
struct Called {
    holds: Vec<u64>,
    late: Vec<u64>,
}

/// One caller, which holds, waits, captures, waits.
async fn call(ledger: Arc<PgLedger>, seed: u64, wallets: u64, drive: Drive) -> Called {
    let (mut ids, mut dice) = (Ids::new(seed + 100), Dice::new(seed));
    let now = Timestamp::from_unix_ms(NOW_MS);
    let mut called = Called::default();
    while let Some(due) = drive.next().await {
        called.late.push(micros(due.elapsed()));
        let hold = hold(&mut ids, &mut dice, wallets);
        let outcome = ledger.transact(now, vec![Step::single(Command::Hold(hold))]).await.unwrap();
        called.holds.push(micros(due.elapsed()));
        assert_eq!(outcome, [Outcome::Applied]);
        let post = capture(&mut ids, hold.transfer.id);
        let outcome = ledger.transact(now, vec![Step::single(Command::Post(post))]).await.unwrap();
        assert_eq!(outcome, [Outcome::Applied]);
    }
    called
}

/// Balances read one after the other while others write.
async fn read_balances(ledger: Arc<PgLedger>, wallets: u64, stop: Arc<AtomicBool>) -> Vec<u64> {
    let mut dice = Dice::new(3);
    let mut latencies = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let id = wallet(&mut dice, wallets);
        let asked = Instant::now();
        assert!(ledger.accounts(&[id]).await.unwrap()[0].is_some());
        latencies.push(micros(asked.elapsed()));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    latencies
}

/// The least that a question takes at the same time: a connection that asks for nothing.
async fn ask_for_nothing(url: String, stop: Arc<AtomicBool>) -> Vec<u64> {
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(async move { connection.await.unwrap() });
    let statement = client.prepare("SELECT 1").await.unwrap();
    let mut latencies = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let asked = Instant::now();
        client.query_one(&statement, &[]).await.unwrap();
        latencies.push(micros(asked.elapsed()));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    latencies
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap()
}

fn say(line: &str) {
    println!("{line}");
    std::io::stdout().flush().unwrap();
}

fn listen() {
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

/// One of the processes.
pub async fn child(told: &str) {
    let words: Vec<&str> = told.split(' ').collect();
    let number = |place: usize| words[place].parse::<u64>().unwrap();
    let (url, who, wallets, callers) = (words[0], number(1), number(2), number(3));
    let (until, pace) = (Until::read(words[4]), number(5));
    let ledger = Arc::new(PgLedger::open(PgUrl::parse(url).unwrap(), who).await.unwrap());
    if matches!(until, Until::First) {
        let hold = hold(&mut Ids::new(who), &mut Dice::new(who), wallets);
        let step = vec![Step::single(Command::Hold(hold))];
        let outcome = ledger.transact(Timestamp::from_unix_ms(NOW_MS), step).await.unwrap();
        assert_eq!(outcome, [Outcome::Applied]);
        return say("first");
    }
    say("ready");
    listen();
    let (stop, before) = (Arc::new(AtomicBool::new(false)), Cpu::now());
    // No two processes draw the same ids.
    let seed = rand_seed(who);
    // Processes take turns.
    let after = || Duration::from_secs(who) / u32::try_from(pace * PROCESSES).unwrap();
    let pace = (pace > 0).then(|| Pace::start(pace, after()));
    let drive = pace.clone().map_or_else(|| Drive::Saturating(Arc::clone(&stop)), Drive::Paced);
    let tasks: Vec<_> = (0..callers)
        .map(|caller| tokio::spawn(call(Arc::clone(&ledger), seed + caller, wallets, drive.clone())))
        .collect();
    let reads = tokio::spawn(read_balances(Arc::clone(&ledger), wallets, Arc::clone(&stop)));
    let trips = tokio::spawn(ask_for_nothing(url.to_owned(), Arc::clone(&stop)));
    match until {
        Until::Seconds(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
        Until::Entries(entries) => {
            while ledger.head().await.unwrap().seq < entries {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Until::First => {}
        Until::Killed => std::future::pending().await,
    }
    stop.store(true, Ordering::Relaxed);
    pace.iter().for_each(|pace| pace.stop());
    let (mut holds, mut late) = (Vec::new(), Vec::new());
    for task in tasks {
        let called = task.await.unwrap();
        holds.extend(called.holds);
        late.extend(called.late);
    }
    let (reads, trips) = (reads.await.unwrap(), trips.await.unwrap());
    let cpu = micros(Cpu::now().since(before).all);
    let measured = [("holds", holds), ("late", late), ("reads", reads), ("trips", trips), ("cpu", vec![cpu])];
    for (name, values) in measured {
        let values: Vec<String> = values.iter().map(u64::to_string).collect();
        say(&format!("{name} {}", values.join(" ")));
    }
    say("end");
    // Its connections stay until the CPU time of their other ends has been read.
    listen();
}

/// Where the ids of a process begin.
fn rand_seed(who: u64) -> u64 {
    let pid = u64::from(std::process::id());
    (pid << 32) + (who << 20)
}

/// What both processes measured together.
#[derive(Debug, Default)]
pub struct Measured {
    pub elapsed: Duration,
    /// Sorted, in microseconds, as are the next three.
    pub holds: Vec<u64>,
    pub late: Vec<u64>,
    pub reads: Vec<u64>,
    pub trips: Vec<u64>,
    /// CPU time of the processes.
    pub cpu: Duration,
    /// CPU time of the server's.
    pub server_cpu: Duration,
}

impl Measured {
    pub fn pairs(&self) -> u64 {
        u64::try_from(self.holds.len()).unwrap()
    }

    pub fn pairs_a_second(&self) -> u64 {
        self.pairs() * 1_000 / u64::try_from(self.elapsed.as_millis()).unwrap().max(1)
    }

    /// Microseconds of CPU a pair: the processes', and the server's.
    pub fn cpu_a_pair(&self) -> (u64, u64) {
        let of = |time: Duration| micros(time) / self.pairs().max(1);
        (of(self.cpu), of(self.server_cpu))
    }
}

/// A child, and what it says.
pub struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    pub fn start(shape: Shape<'_>, who: u64, until: Until) -> Self {
        let Shape { url, wallets, in_flight, pace } = shape;
        let (callers, pace) = (in_flight / PROCESSES, pace.unwrap_or(0) / PROCESSES);
        let told = format!("{url} {who} {wallets} {callers} {} {pace}", until.text());
        let mut process = Process::new(std::env::current_exe().unwrap());
        process.env(TOLD, told).stdin(Stdio::piped()).stdout(Stdio::piped());
        if matches!(until, Until::Killed) {
            // What it says when its database is gone is not worth reading.
            process.stderr(Stdio::null());
        }
        let mut child = process.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    pub fn line(&mut self) -> String {
        self.lines.next().expect("a process ended early").unwrap()
    }

    pub fn go(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn end(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

/// Both processes, ready to go.
pub fn start(shape: Shape<'_>, until: Until) -> Vec<Running> {
    let mut running: Vec<Running> = (1..=PROCESSES).map(|who| Running::start(shape, who, until)).collect();
    for one in &mut running {
        assert_eq!(one.line(), "ready");
    }
    running
}

/// Lets both processes run to their end; `server_cpu` says how long the server's have been on a CPU.
pub fn measure(shape: Shape<'_>, until: Until, server_cpu: impl Fn() -> Duration) -> Measured {
    let mut running = start(shape, until);
    let (started, before) = (Instant::now(), server_cpu());
    running.iter_mut().for_each(Running::go);
    let mut measured = Measured::default();
    for one in &mut running {
        loop {
            let line = one.line();
            if line == "end" {
                break;
            }
            // What comes after the end of the load takes no time of it.
            if measured.elapsed.is_zero() || line.starts_with("holds") {
                measured.elapsed = measured.elapsed.max(started.elapsed());
            }
            let (name, values) = line.split_once(' ').unwrap_or((&line, ""));
            let values = values.split_whitespace().map(|value| value.parse::<u64>().unwrap());
            match name {
                "holds" => measured.holds.extend(values),
                "late" => measured.late.extend(values),
                "reads" => measured.reads.extend(values),
                "trips" => measured.trips.extend(values),
                _ => measured.cpu += Duration::from_micros(values.sum()),
            }
        }
    }
    measured.server_cpu = server_cpu().saturating_sub(before);
    running.into_iter().for_each(Running::end);
    let Measured { holds, late, reads, trips, .. } = &mut measured;
    for values in [holds, late, reads, trips] {
        values.sort_unstable();
    }
    measured
}

pub fn percentile(sorted: &[u64], percent: usize) -> u64 {
    sorted.get(sorted.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default()
}

/// Microseconds as milliseconds.
pub fn ms(micros: u64) -> String {
    format!("{}.{:02} ms", micros / 1_000, micros % 1_000 / 10)
}
