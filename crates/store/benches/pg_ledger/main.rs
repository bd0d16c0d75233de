//! Durable pairs of a hold and its capture a second through the ledger on PostgreSQL, by two processes on one database, with the
//! floor of the same server beside it: the same rows, inserted in batches by one connection that does nothing else.
//!
//! `cargo bench -p farthing-store --bench pg_ledger`. It starts a server of its own, with `fsync` on. Every answer was on disk
//! when it was given. While the pairs run, one task in each process reads balances, one after the other. First callers come to as
//! many pairs as they can, which saturates the CPUs, then they are offered a pace (`-- paced` for that alone). With `-- age [ENTRIES]`
//! it lets one ledger grow to ten million entries instead (or so many), and shows at each size what a pair, a balance, a start
//! after a crash and a proof cost. With `-- backup` it shows what an old snapshot of the database costs those who write.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark prints, stops at the first error, makes ids of the time, and its children learn from their environment what to do"
)]

mod age;
mod backup;
mod begin;
#[allow(dead_code, reason = "what the other ledger's benchmark needs of it")]
#[path = "../ledger/cpu.rs"]
mod cpu;
mod floor;
mod load;
mod pace;
mod paced;
mod server;
#[path = "../ledger/world.rs"]
mod world;

use farthing_store::PgUrl;
use farthing_store::pg_ledger::verify_database;
use farthing_store::testkit::postgres::Cluster;

use begin::begin;
use floor::floor;
use load::{Shape, Until, measure, ms, percentile};

/// A server of its own.
fn cluster() -> Cluster {
    let cluster = Cluster::start(&Cluster::find().expect("PostgreSQL is installed")).unwrap();
    cluster.set("shared_buffers = 256MB\nmax_wal_size = 4GB\n").unwrap();
    cluster.stop_now();
    cluster.resume().unwrap();
    cluster
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if let Ok(told) = std::env::var(load::TOLD) {
        return runtime.block_on(load::child(&told));
    }
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "age") {
        let most = arguments.get(at + 1).and_then(|most| most.parse().ok()).unwrap_or(10_000_000);
        return runtime.block_on(age::age(most));
    }
    if arguments.iter().any(|argument| argument == "backup") {
        return runtime.block_on(backup::backup(6, 10));
    }
    let seconds = if arguments.iter().any(|argument| argument == "quick") { 2 } else { 6 };
    let cluster = cluster();
    if arguments.iter().any(|argument| argument == "paced") {
        runtime.block_on(paced::paced(&cluster, seconds));
        return print_load();
    }
    println!(
        "{:<16} {:>9} {:>8} {:>8} {:>9} {:>9} {:>11} {:>11} {:>11} {:>12} {:>13}",
        "accounts",
        "in flight",
        "pairs/s",
        "floor",
        "cpu us",
        "server us",
        "hold p50",
        "hold p99",
        "balance p50",
        "balance p99",
        "SELECT 1 p99"
    );
    for (name, wallets) in [("10000", 10_000), ("one hot account", 1)] {
        for in_flight in [64_u64, 128, 1_024] {
            let floor = runtime.block_on(floor(&cluster.database(), in_flight, seconds));
            let url = cluster.database();
            runtime.block_on(begin(&url, wallets));
            let shape = Shape::saturating(&url, wallets, in_flight);
            let measured = measure(shape, Until::Seconds(seconds), || server::cpu(&cluster));
            let ((own, server), of) =
                (measured.cpu_a_pair(), |values: &[u64], percent| ms(percentile(values, percent)));
            println!(
                "{name:<16} {in_flight:>9} {:>8} {floor:>8} {own:>9} {server:>9} {:>11} {:>11} {:>11} {:>12} {:>13}",
                measured.pairs_a_second(),
                of(&measured.holds, 50),
                of(&measured.holds, 99),
                of(&measured.reads, 50),
                of(&measured.reads, 99),
                of(&measured.trips, 99)
            );
            runtime.block_on(verify_database(&PgUrl::parse(&url).unwrap(), 0)).unwrap().unwrap();
        }
    }
    runtime.block_on(paced::paced(&cluster, seconds));
    print_load();
}

fn print_load() {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load at the end: {}", load.trim());
}
