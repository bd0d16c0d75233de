//! One ledger that grows: at each size, what a pair, a balance and a start after a crash cost.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use farthing_ledger::store::LedgerStore;
use farthing_store::ledger::SqliteLedger;
use tempfile::TempDir;

use super::load::{Beside, Shape, Until, load, read_balances};
use super::world::open;

const ACCOUNTS: u64 = 10_000;
/// How long each size is measured.
const FOR: Duration = Duration::from_secs(3);

pub async fn age(sizes: &[u64]) {
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = folder.path().join("ledger.db");
    // 1,000 entries have no room for as many accounts: the first size is measured with a tenth of it.
    println!(
        "{:>10} {:>14} {:>9} {:>9} {:>10} {:>10} {:>12} {:>12} {:>9}",
        "entries", "pairs/s at 64", "cpu ns", "writer", "hold p50", "hold p99", "balance p99", "start", "MiB"
    );
    let few = folder.path().join("few.db");
    one_size(&few, &Arc::new(open(&few, 400).await), (400, 1_000)).await;
    let ledger = Arc::new(open(&path, ACCOUNTS).await);
    for entries in sizes {
        one_size(&path, &ledger, (ACCOUNTS, *entries)).await;
    }
}

async fn one_size(path: &Path, ledger: &Arc<SqliteLedger>, (wallets, entries): (u64, u64)) {
    let shape = |in_flight| Shape { wallets, in_flight, beside: Beside::Nothing };
    load(ledger, shape(1_024), Until::Entries(entries)).await;
    // Before the measured load adds to it.
    let entries = ledger.head().await.unwrap().seq;
    let start = start_after_a_crash(path);
    let end = Instant::now() + FOR;
    let reading = tokio::spawn(read_balances(Arc::clone(ledger), wallets, end));
    let measured = load(ledger, shape(64), Until::Time(end)).await;
    let balance = reading.await.unwrap();
    let ((all, writer), rate) = (measured.cpu_a_pair(), measured.pairs_a_second());
    let mib = std::fs::metadata(path).unwrap().len() >> 20;
    println!(
        "{entries:>10} {rate:>14} {all:>9} {writer:>9} {:>10.2?} {:>10.2?} {balance:>12.2?} {start:>12.2?} {mib:>9}",
        measured.p50, measured.p99
    );
}

/// Opens a copy of the files as they are while the ledger runs: what a crash would leave.
fn start_after_a_crash(path: &Path) -> Duration {
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let copy = folder.path().join("ledger.db");
    std::fs::copy(path, &copy).unwrap();
    std::fs::copy(path.with_extension("db-wal"), copy.with_extension("db-wal")).unwrap();
    let started = Instant::now();
    let ledger = SqliteLedger::open(&copy, 1).unwrap();
    let elapsed = started.elapsed();
    drop(ledger);
    elapsed
}
