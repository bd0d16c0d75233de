//! Durable pairs of a hold and its capture a second through the ledger's API, with the floor of the same file system and the
//! same SQLite beside it in the same round.
//!
//! `cargo bench -p farthing-store --bench ledger [-- --rounds N]`. Every answer was on disk when it was given. Times on the wall
//! are of the best round, since other programs only ever take time away; CPU times and ratios are of the middle one. With
//! `-- age [ENTRIES]` it lets one ledger grow to ten million entries instead (or so many), and shows at each size what a pair, a
//! balance and a start after a crash cost.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark prints, stops at the first error, and makes ids of the time"
)]

mod age;
mod cpu;
mod floor;
mod load;
mod sqlite;
mod world;

use std::sync::Arc;
use std::time::{Duration, Instant};

use farthing_ledger::store::LedgerStore;
use tempfile::TempDir;

use floor::floor;
use load::{Beside, Measured, Shape, Until, load};

/// How long a round of the ledger, and one of the floor.
const ROUND: Duration = Duration::from_secs(2);

async fn through_the_api(shape: Shape) -> Measured {
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let ledger = Arc::new(sqlite::open(&folder.path().join("ledger.db"), shape.wallets).await);
    let measured = load(&ledger, shape, Until::Time(Instant::now() + ROUND)).await;
    ledger.verify().await.unwrap().unwrap();
    measured
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let arguments: Vec<String> = std::env::args().collect();
    let after =
        |name: &str| arguments.iter().position(|argument| argument == name).map(|at| arguments.get(at + 1));
    if let Some(most) = after("age") {
        let most: u64 = most.and_then(|most| most.parse().ok()).unwrap_or(10_000_000);
        let sizes = [21_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000];
        let sizes: Vec<u64> = sizes.into_iter().filter(|size| *size <= most).collect();
        runtime.block_on(age::age(&sizes));
        return;
    }
    let rounds = after("--rounds").flatten().and_then(|rounds| rounds.parse().ok()).unwrap_or(5);
    let shapes = shapes();
    let mut table: Vec<Vec<(Measured, Measured)>> = shapes.iter().map(|_| Vec::new()).collect();
    for _ in 0..rounds {
        for ((_, shape), row) in shapes.iter().zip(&mut table) {
            let floor = floor(usize::try_from(shape.in_flight).unwrap(), ROUND);
            row.push((runtime.block_on(through_the_api(*shape)), floor));
        }
    }
    print(&shapes, &table);
}

fn shapes() -> Vec<(&'static str, Shape)> {
    let mut shapes = Vec::new();
    for (name, wallets, beside) in [
        ("10,000", 10_000, Beside::Nothing),
        ("one hot", 1, Beside::Nothing),
        ("10,000, with records", 10_000, Beside::Records),
    ] {
        shapes.extend([64, 1_024].map(|in_flight| (name, Shape { wallets, in_flight, beside })));
    }
    shapes
}

fn print(shapes: &[(&str, Shape)], table: &[Vec<(Measured, Measured)>]) {
    println!(
        "{:<21} {:>9} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9} {:>9} {:>10} {:>10}",
        "accounts",
        "in flight",
        "pairs/s",
        "floor",
        "ratio",
        "cpu us",
        "writer",
        "floor cpu",
        "ratio",
        "hold p50",
        "hold p99"
    );
    for ((name, shape), rounds) in shapes.iter().zip(table) {
        let best = |of: fn(&Measured) -> u64, floor: bool| {
            rounds
                .iter()
                .map(|(ours, theirs)| of(if floor { theirs } else { ours }))
                .max()
                .unwrap_or_default()
        };
        let rate = Measured::pairs_a_second;
        let common = |of: fn(&(Measured, Measured)) -> u64| middle(rounds.iter().map(of).collect());
        let p50 = rounds.iter().map(|(ours, _)| ours.p50).min().unwrap_or_default();
        let p99 = rounds.iter().map(|(ours, _)| ours.p99).min().unwrap_or_default();
        println!(
            "{name:<21} {:>9} {:>8} {:>8} {:>8} {:>8} {:>8} {:>9} {:>9} {p50:>10.2?} {p99:>10.2?}",
            shape.in_flight,
            best(rate, false),
            best(rate, true),
            common(|(ours, theirs)| percent(ours.pairs_a_second(), theirs.pairs_a_second())),
            common(|(ours, _)| ours.cpu_a_pair().0),
            common(|(ours, _)| ours.cpu_a_pair().1),
            common(|(_, theirs)| theirs.cpu_a_pair().0),
            common(|(ours, theirs)| percent(ours.cpu_a_pair().1, theirs.cpu_a_pair().0)),
        );
    }
}

fn percent(ours: u64, theirs: u64) -> u64 {
    ours * 100 / theirs.max(1)
}

fn middle(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or_default()
}
