//! Callers, each of which holds, waits until that is on disk, captures, and waits again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use farthing_ledger::record::{Committed, RecordStore};
use farthing_ledger::store::LedgerStore;
use farthing_ledger::testkit::model::Dice;
use farthing_ledger::{Command, Outcome, Step, Timestamp};
use farthing_store::ledger::SqliteLedger;

use super::cpu::Cpu;
use super::sqlite::works;
use super::world::{Ids, NOW_MS, capture, hold, wallet};

/// What is written with each hold and each capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    Nothing,
    Records,
}

#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub wallets: u64,
    pub in_flight: u64,
    pub beside: Beside,
}

/// When callers stop.
#[derive(Debug, Clone, Copy)]
pub enum Until {
    Time(Instant),
    Entries(u64),
}

impl Until {
    async fn reached(self, ledger: &SqliteLedger) -> bool {
        match self {
            Self::Time(end) => Instant::now() >= end,
            Self::Entries(entries) => ledger.head().await.unwrap().seq >= entries,
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Measured {
    pub pairs: u64,
    pub elapsed: Duration,
    pub cpu: Cpu,
    /// Of a single hold.
    pub p50: Duration,
    pub p99: Duration,
}

impl Measured {
    pub fn pairs_a_second(&self) -> u64 {
        let micros = u64::try_from(self.elapsed.as_micros()).unwrap().max(1);
        self.pairs * 1_000_000 / micros
    }

    /// CPU time of a pair in nanoseconds: of all threads, and of the writer.
    pub fn cpu_a_pair(&self) -> (u64, u64) {
        let of = |time: Duration| u64::try_from(time.as_nanos()).unwrap() / self.pairs.max(1);
        (of(self.cpu.all), of(self.cpu.writer))
    }
}

pub async fn load(ledger: &Arc<SqliteLedger>, shape: Shape, until: Until) -> Measured {
    let pairs = Arc::new(AtomicU64::new(0));
    // No two loads of a process draw the same ids.
    static LOADS: AtomicU64 = AtomicU64::new(1);
    let load = LOADS.fetch_add(1, Ordering::Relaxed) << 32;
    let (started, cpu) = (Instant::now(), Cpu::now());
    let callers: Vec<_> = (0..shape.in_flight)
        .map(|caller| {
            tokio::spawn(call(Arc::clone(ledger), (load + caller, shape), until, Arc::clone(&pairs)))
        })
        .collect();
    let mut latencies = Vec::new();
    for caller in callers {
        latencies.extend(caller.await.unwrap());
    }
    let (elapsed, cpu) = (started.elapsed(), Cpu::now().since(cpu));
    let (p50, p99) = (percentile(&mut latencies, 50), percentile(&mut latencies, 99));
    Measured { pairs: pairs.load(Ordering::Relaxed), elapsed, cpu, p50, p99 }
}

fn percentile(latencies: &mut [Duration], percent: usize) -> Duration {
    latencies.sort_unstable();
    latencies.get(latencies.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default()
}

async fn call(
    ledger: Arc<SqliteLedger>,
    (caller, shape): (u64, Shape),
    until: Until,
    pairs: Arc<AtomicU64>,
) -> Vec<Duration> {
    let (mut ids, mut dice) = (Ids::new(caller + 100), Dice::new(caller));
    let now = Timestamp::from_unix_ms(NOW_MS);
    let mut latencies = Vec::new();
    while !until.reached(&ledger).await {
        let hold = hold(&mut ids, &mut dice, shape.wallets);
        let post = capture(&mut ids, hold.transfer.id);
        if shape.beside == Beside::Records {
            let [placed, captured] = works(hold, post);
            let asked = Instant::now();
            let done = ledger.commit(placed).await.unwrap();
            latencies.push(asked.elapsed());
            assert!(matches!(done, Committed::Applied { .. }));
            let done = ledger.commit(captured).await.unwrap();
            assert!(matches!(done, Committed::Applied { .. }));
        } else {
            let asked = Instant::now();
            let outcome = ledger.transact(now, vec![Step::single(Command::Hold(hold))]).await.unwrap();
            latencies.push(asked.elapsed());
            assert_eq!(outcome, [Outcome::Applied]);
            let outcome = ledger.transact(now, vec![Step::single(Command::Post(post))]).await.unwrap();
            assert_eq!(outcome, [Outcome::Applied]);
        }
        pairs.fetch_add(1, Ordering::Relaxed);
    }
    latencies
}

/// Balances read one after the other while others write: how long the slowest of a hundred takes.
pub async fn read_balances(ledger: Arc<SqliteLedger>, wallets: u64, end: Instant) -> Duration {
    let mut dice = Dice::new(3);
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let id = wallet(&mut dice, wallets);
        let asked = Instant::now();
        assert!(ledger.accounts(&[id]).await.unwrap()[0].is_some());
        latencies.push(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    percentile(&mut latencies, 99)
}
