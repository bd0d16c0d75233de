//! One ledger that grows: at each size, what a pair, a balance, a start after a crash and a proof cost, with a young ledger beside it
//! in the same rounds.

use std::time::{Duration, Instant};

use farthing_store::PgUrl;
use farthing_store::pg_ledger::verify_database;
use farthing_store::testkit::postgres::Cluster;

use super::begin::begin;
use super::load::{Measured, Running, Shape, Until, measure, ms, percentile, start};
use super::{cluster, server};

const ACCOUNTS: u64 = 10_000;
/// The young ledger has so few that it begins with less than 1,000 entries.
const FEW: u64 = 400;
const IN_FLIGHT: u64 = 64;
const ROUNDS: usize = 3;
const SECONDS: u64 = 3;

/// How long it takes until the first hold is answered.
struct Starts {
    /// Of a process, after `kill -9` of those before it.
    process: Duration,
    /// Of the server, after it was stopped at once under load.
    server: Duration,
    /// Of a process on that server.
    after_it: Duration,
}

pub async fn age(most: u64) {
    let cluster = cluster();
    println!(
        "{:>10} {:>8} {:>8} {:>9} {:>7} {:>10} {:>7} {:>11} {:>11} {:>9} {:>9} {:>9} {:>8} {:>9} {:>9}",
        "entries",
        "pairs/s",
        "young %",
        "cpu us",
        "young",
        "server us",
        "young",
        "balance p99",
        "SELECT 1",
        "start",
        "server",
        "after it",
        "MiB",
        "verify",
        "rows/s"
    );
    let (few, many) = (cluster.database(), cluster.database());
    begin(&few, FEW).await;
    begin(&many, ACCOUNTS).await;
    // What is measured at one size adds about 300,000.
    let sizes = [1_000, 30_000, 300_000, 1_000_000, 3_000_000, 10_000_000];
    for entries in sizes.into_iter().filter(|size| *size <= most) {
        let (url, wallets) = if entries <= 1_000 { (&few, FEW) } else { (&many, ACCOUNTS) };
        let shape = Shape::saturating(url, wallets, IN_FLIGHT);
        let grow = Shape { in_flight: 1_024, ..shape };
        measure(grow, Until::Entries(entries), || Duration::ZERO);
        one_size(&cluster, shape).await;
    }
    super::print_load();
}

async fn one_size(cluster: &Cluster, shape: Shape<'_>) {
    let database = shape.url.rsplit('/').next().unwrap();
    // Before the measured load adds to it.
    let entries = cluster.sql(database, "SELECT max(seq) FROM farthing.ledger_end");
    let mib = cluster.sql(database, "SELECT pg_database_size(current_database()) >> 20");
    let mut rounds: Vec<(Measured, Measured)> = Vec::new();
    for _ in 0..ROUNDS {
        let url = cluster.database();
        begin(&url, FEW).await;
        let young = Shape::saturating(&url, FEW, IN_FLIGHT);
        let [young, old] =
            [young, shape].map(|shape| measure(shape, Until::Seconds(SECONDS), || server::cpu(cluster)));
        rounds.push((old, young));
    }
    let (rows, proof) = prove(shape.url).await;
    let starts = starts(cluster, shape);
    let rate = rounds.iter().map(|(old, _)| old.pairs_a_second()).max().unwrap_or_default();
    let common = |of: fn(&(Measured, Measured)) -> u64| middle(rounds.iter().map(of).collect());
    let best = |of: fn(&Measured) -> &Vec<u64>| {
        rounds.iter().map(|(old, _)| percentile(of(old), 99)).min().unwrap_or_default()
    };
    println!(
        "{entries:>10} {rate:>8} {:>8} {:>9} {:>7} {:>10} {:>7} {:>11} {:>11} {:>9.0?} {:>9.0?} {:>9.0?} {mib:>8} {:>9.1?} {:>9}",
        common(|(old, young)| old.pairs_a_second() * 100 / young.pairs_a_second().max(1)),
        common(|(old, _)| old.cpu_a_pair().0),
        common(|(_, young)| young.cpu_a_pair().0),
        common(|(old, _)| old.cpu_a_pair().1),
        common(|(_, young)| young.cpu_a_pair().1),
        ms(best(|old| &old.reads)),
        ms(best(|old| &old.trips)),
        starts.process,
        starts.server,
        starts.after_it,
        proof,
        rows * 1_000 / u64::try_from(proof.as_millis()).unwrap().max(1),
    );
}

/// What `farthing ledger verify` calls, while nobody else uses the ledger: entries, and how long it took.
async fn prove(url: &str) -> (u64, Duration) {
    let started = Instant::now();
    let report = verify_database(&PgUrl::parse(url).unwrap(), 0).await.unwrap().unwrap();
    (report.entries, started.elapsed())
}

/// Kills, and starts again: the processes alone, the best of three; then the server with them.
fn starts(cluster: &Cluster, shape: Shape<'_>) -> Starts {
    let mut process = Duration::MAX;
    for _ in 0..ROUNDS {
        under_load(shape).into_iter().for_each(Running::kill);
        process = process.min(first_hold(shape));
    }
    let running = under_load(shape);
    cluster.stop_now();
    let stopped = Instant::now();
    cluster.resume().unwrap();
    let server = stopped.elapsed();
    running.into_iter().for_each(Running::kill);
    Starts { process, server, after_it: first_hold(shape) }
}

/// Both processes, in the middle of their work.
fn under_load(shape: Shape<'_>) -> Vec<Running> {
    let mut running = start(shape, Until::Killed);
    running.iter_mut().for_each(Running::go);
    std::thread::sleep(Duration::from_millis(1_500));
    running
}

/// From the start of a process to the answer to its first hold.
fn first_hold(shape: Shape<'_>) -> Duration {
    let started = Instant::now();
    let mut process = Running::start(shape, 9, Until::First);
    assert_eq!(process.line(), "first");
    started.elapsed()
}

fn middle(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}
