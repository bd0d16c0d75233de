//! One ledger that grows: at each size, what a pair, a balance and a start after a crash cost, with a young ledger beside it in
//! the same rounds.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use farthing_ledger::store::LedgerStore;
use farthing_store::ledger::SqliteLedger;
use tempfile::TempDir;

use super::cpu::Cpu;
use super::load::{Beside, Measured, Shape, Until, load, read_balances};
use super::sqlite::open;
use super::{middle, percent};

const ACCOUNTS: u64 = 10_000;
/// The young ledger has so few that it begins with less than 1,000 entries.
const FEW: u64 = 400;
const IN_FLIGHT: u64 = 64;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(1);

pub async fn age(sizes: &[u64]) {
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = folder.path().join("ledger.db");
    println!(
        "{:>10} {:>9} {:>11} {:>8} {:>9} {:>8} {:>11} {:>11} {:>9} {:>6}",
        "entries",
        "pairs/s",
        "to young %",
        "cpu ns",
        "young",
        "to it %",
        "balance p99",
        "start",
        "its cpu",
        "MiB"
    );
    let ledger = Arc::new(open(&path, ACCOUNTS).await);
    for entries in sizes {
        let shape = Shape { wallets: ACCOUNTS, in_flight: 1_024, beside: Beside::Nothing };
        load(&ledger, shape, Until::Entries(*entries)).await;
        one_size((folder.path(), &path), &ledger).await;
    }
}

async fn one_size((folder, path): (&Path, &PathBuf), ledger: &Arc<SqliteLedger>) {
    // Before the measured load adds to it.
    let entries = ledger.head().await.unwrap().seq;
    let starts: Vec<(Duration, Duration)> = (0..ROUNDS).map(|_| start_after_a_crash(path)).collect();
    let start = starts.iter().map(|(wall, _)| *wall).min().unwrap_or_default();
    let start_cpu = starts.iter().map(|(_, cpu)| *cpu).min().unwrap_or_default();
    let mut rounds: Vec<(Measured, Measured)> = Vec::new();
    let mut balance = Duration::MAX;
    for round in 0..ROUNDS {
        let name = folder.join(format!("young-{entries}-{round}.db"));
        let young = measure(&Arc::new(open(&name, FEW).await), FEW).await.0;
        let (old, read) = measure(ledger, ACCOUNTS).await;
        balance = balance.min(read);
        rounds.push((old, young));
    }
    let rate = rounds.iter().map(|(old, _)| old.pairs_a_second()).max().unwrap_or_default();
    let common = |of: fn(&(Measured, Measured)) -> u64| middle(rounds.iter().map(of).collect());
    let mib = std::fs::metadata(path).unwrap().len() >> 20;
    println!(
        "{entries:>10} {rate:>9} {:>11} {:>8} {:>9} {:>8} {balance:>11.2?} {start:>11.2?} {start_cpu:>9.2?} {mib:>6}",
        common(|(old, young)| percent(old.pairs_a_second(), young.pairs_a_second())),
        common(|(old, _)| old.cpu_a_pair().0),
        common(|(_, young)| young.cpu_a_pair().0),
        common(|(old, young)| percent(old.cpu_a_pair().0, young.cpu_a_pair().0)),
    );
}

/// A load with somebody beside it who reads balances.
async fn measure(ledger: &Arc<SqliteLedger>, wallets: u64) -> (Measured, Duration) {
    let end = Instant::now() + ROUND;
    let reading = tokio::spawn(read_balances(Arc::clone(ledger), wallets, end));
    let shape = Shape { wallets, in_flight: IN_FLIGHT, beside: Beside::Nothing };
    let measured = load(ledger, shape, Until::Time(end)).await;
    (measured, reading.await.unwrap())
}

/// Opens a copy of the files as they are while the ledger runs, which is what a crash would leave: how long that takes, and how
/// long of it on a CPU.
fn start_after_a_crash(path: &Path) -> (Duration, Duration) {
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let copy = folder.path().join("ledger.db");
    std::fs::copy(path, &copy).unwrap();
    std::fs::copy(path.with_extension("db-wal"), copy.with_extension("db-wal")).unwrap();
    let (started, cpu) = (Instant::now(), Cpu::of_this_thread());
    let ledger = SqliteLedger::open(&copy, 1).unwrap();
    let (elapsed, cpu) = (started.elapsed(), Cpu::of_this_thread().saturating_sub(cpu));
    drop(ledger);
    (elapsed, cpu)
}
