//! Durable pairs of a hold and its capture a second through the ledger's API, with the floor of the same file system and the
//! same SQLite beside it: the same rows, written in batches by a loop that does nothing else.
//!
//! `cargo bench -p farthing-store --bench ledger`. Every answer was on disk when it was given. With `-- age` it lets one
//! ledger grow to ten million entries instead, and shows at each size what a pair, a balance and a start after a crash cost.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops at the first error"
)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use farthing_ledger::journal::{Chain, Entry, Event, Head, Posted};
use farthing_ledger::store::LedgerStore;
use farthing_ledger::testkit::model::Dice;
use farthing_ledger::{
    AccountId, AssetId, Command, Expiry, Limit, NewAccount, NewAsset, NewHold, Outcome, PostAmount, PostHold,
    Remainder, Settlement, Step, Tag, Timestamp, Transfer, TransferId,
};
use farthing_money::{Amount, Asset, AssetKind, Id};
use farthing_store::ledger::SqliteLedger;
use tempfile::TempDir;

const UNIT: AssetId = AssetId::from_u32(1);
const WORLD: AccountId = AccountId::from_u128(1);
const VENDORS: u64 = 16;
const FIRST_WALLET: u64 = 1_000;
const NOW_MS: u64 = 1_800_000_000_000;
const FOR: Duration = Duration::from_secs(4);

/// Ids as callers would make them: UUIDv7, many a millisecond.
struct Ids {
    started: Instant,
    dice: Dice,
}

impl Ids {
    fn new(seed: u64) -> Self {
        Self { started: Instant::now(), dice: Dice::new(seed) }
    }

    fn next(&mut self) -> TransferId {
        let ms = NOW_MS + u64::try_from(self.started.elapsed().as_millis()).unwrap();
        let random = (u128::from(self.dice.next_u64()) << 64) | u128::from(self.dice.next_u64());
        Id::from_parts(ms, random).into()
    }
}

fn account(number: u64) -> AccountId {
    AccountId::from_u128(u128::from(number))
}

fn hold(ids: &mut Ids, dice: &mut Dice, wallets: u64) -> NewHold {
    let transfer = Transfer {
        id: ids.next(),
        debit: account(FIRST_WALLET + dice.below(wallets)),
        credit: account(2 + dice.below(VENDORS)),
        asset: UNIT,
        amount: Amount::from_base(1_000),
        code: 1,
        tag: Tag { subject: 47, reference: 0 },
    };
    NewHold { transfer, expiry: Expiry::At(Timestamp::from_unix_ms(NOW_MS + 300_000)) }
}

fn capture(ids: &mut Ids, hold: TransferId) -> PostHold {
    let amount = PostAmount::Exact(Amount::from_base(700));
    PostHold { id: ids.next(), hold, amount, remainder: Remainder::Release, reference: 0 }
}

async fn open(path: &Path, wallets: u64) -> SqliteLedger {
    let ledger = SqliteLedger::open(path, 0x5eed).unwrap();
    let mut ids = Ids::new(1);
    let asset = Asset::new("UNIT", 6, AssetKind::Custom).unwrap();
    let open = |id, limit| Command::OpenAccount(NewAccount { id, asset: UNIT, limit });
    let mut commands = vec![Command::DefineAsset(NewAsset { id: UNIT, asset }), open(WORLD, Limit::None)];
    commands.extend((2..2 + VENDORS).map(|number| open(account(number), Limit::None)));
    for wallet in 0..wallets {
        let credit = account(FIRST_WALLET + wallet);
        commands.push(open(credit, Limit::DebitsMustNotExceedCredits));
        let amount = Amount::from_base(1 << 80);
        let (id, tag) = (ids.next(), Tag::default());
        commands.push(Command::Transfer(Transfer {
            id,
            debit: WORLD,
            credit,
            asset: UNIT,
            amount,
            code: 0,
            tag,
        }));
    }
    for part in commands.chunks(4_096) {
        let steps = part.iter().cloned().map(Step::single).collect();
        let outcomes = ledger.transact(Timestamp::from_unix_ms(NOW_MS), steps).await.unwrap();
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Applied));
    }
    ledger
}

struct Measured {
    pairs_a_second: u64,
    p50: Duration,
    p99: Duration,
}

/// When callers stop.
#[derive(Clone, Copy)]
enum Until {
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

/// `in_flight` callers, each of which holds, waits, captures, waits.
async fn load(ledger: &Arc<SqliteLedger>, (in_flight, wallets): (u64, u64), until: Until) -> Measured {
    let pairs = Arc::new(AtomicU64::new(0));
    let before = ledger.head().await.unwrap().seq;
    let started = Instant::now();
    let callers: Vec<_> = (0..in_flight)
        .map(|caller| {
            tokio::spawn(call(Arc::clone(ledger), (caller ^ before, wallets), until, Arc::clone(&pairs)))
        })
        .collect();
    let mut latencies = Vec::new();
    for caller in callers {
        latencies.extend(caller.await.unwrap());
    }
    let (done, elapsed) = (pairs.load(Ordering::Relaxed), started.elapsed());
    let (p50, p99) = (percentile(&mut latencies, 50), percentile(&mut latencies, 99));
    Measured { pairs_a_second: per_second(done, elapsed), p50, p99 }
}

fn percentile(latencies: &mut [Duration], percent: usize) -> Duration {
    latencies.sort_unstable();
    latencies.get(latencies.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default()
}

async fn call(
    ledger: Arc<SqliteLedger>,
    (caller, wallets): (u64, u64),
    until: Until,
    pairs: Arc<AtomicU64>,
) -> Vec<Duration> {
    let (mut ids, mut dice) = (Ids::new(caller + 100), Dice::new(caller));
    let now = Timestamp::from_unix_ms(NOW_MS);
    let mut latencies = Vec::new();
    while !until.reached(&ledger).await {
        let hold = hold(&mut ids, &mut dice, wallets);
        let asked = Instant::now();
        let outcome = ledger.transact(now, vec![Step::single(Command::Hold(hold))]).await.unwrap();
        latencies.push(asked.elapsed());
        assert_eq!(outcome, [Outcome::Applied]);
        let post = capture(&mut ids, hold.transfer.id);
        let outcome = ledger.transact(now, vec![Step::single(Command::Post(post))]).await.unwrap();
        assert_eq!(outcome, [Outcome::Applied]);
        pairs.fetch_add(1, Ordering::Relaxed);
    }
    latencies
}

async fn through_the_api(wallets: u64, in_flight: u64) -> Measured {
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let ledger = Arc::new(open(&folder.path().join("ledger.db"), wallets).await);
    let measured = load(&ledger, (in_flight, wallets), Until::Time(Instant::now() + FOR)).await;
    ledger.verify().await.unwrap().unwrap();
    measured
}

/// Balances read one after the other while others write.
async fn read_balances(ledger: Arc<SqliteLedger>, end: Instant) -> Duration {
    let mut dice = Dice::new(3);
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let id = account(FIRST_WALLET + dice.below(10_000));
        let asked = Instant::now();
        assert!(ledger.accounts(&[id]).await.unwrap()[0].is_some());
        latencies.push(asked.elapsed());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    percentile(&mut latencies, 99)
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

async fn age() {
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = folder.path().join("ledger.db");
    let ledger = Arc::new(open(&path, 10_000).await);
    println!(
        "{:>10} {:>14} {:>12} {:>12} {:>14} {:>12}",
        "entries", "pairs/s at 64", "hold p50", "hold p99", "balance p99", "start"
    );
    for entries in [30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000] {
        load(&ledger, (1_024, 10_000), Until::Entries(entries)).await;
        let end = Instant::now() + FOR / 4;
        let reading = tokio::spawn(read_balances(Arc::clone(&ledger), end));
        let Measured { pairs_a_second, p50, p99 } = load(&ledger, (64, 10_000), Until::Time(end)).await;
        let balance = reading.await.unwrap();
        let entries = ledger.head().await.unwrap().seq;
        let start = start_after_a_crash(&path);
        println!(
            "{entries:>10} {pairs_a_second:>14} {p50:>12.2?} {p99:>12.2?} {balance:>14.2?} {start:>12.2?}"
        );
    }
}

/// The same rows, ready made, in transactions of `batch` rows.
fn floor(batch: usize) -> u64 {
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let db = rusqlite::Connection::open(folder.path().join("floor.db")).unwrap();
    for (name, value) in [("journal_mode", "WAL"), ("synchronous", "FULL"), ("cache_size", "-32768")] {
        db.pragma_update(None, name, value).unwrap();
    }
    db.pragma_update(None, "wal_autocheckpoint", 4_000).unwrap();
    db.execute_batch(include_str!("../migrations/sqlite/ledger_0001.sql")).unwrap();
    let (mut ids, mut dice) = (Ids::new(9), Dice::new(9));
    let (mut seq, mut spent) = (0_u64, Duration::ZERO);
    let mut chain = Chain::after(Head::genesis());
    while spent < FOR {
        let rows: Vec<Row> =
            (0..batch / 2).flat_map(|_| rows(&mut ids, &mut dice, (&mut chain, &mut seq))).collect();
        let started = Instant::now();
        db.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut insert =
            db.prepare_cached("INSERT INTO journal VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)").unwrap();
        for Row { seq, body, hash, id, ends } in &rows {
            insert.execute(rusqlite::params![seq, body, hash, id, ends, seq - 1, seq - 1]).unwrap();
        }
        drop(insert);
        db.execute_batch("COMMIT").unwrap();
        spent += started.elapsed();
    }
    per_second(seq / 2, spent)
}

struct Row {
    seq: i64,
    body: Vec<u8>,
    hash: [u8; 32],
    id: [u8; 16],
    ends: Option<[u8; 16]>,
}

fn rows(ids: &mut Ids, dice: &mut Dice, (chain, seq): (&mut Chain, &mut u64)) -> [Row; 2] {
    let held = hold(ids, dice, 10_000);
    let Transfer { id, debit, credit, asset, .. } = held.transfer;
    let amount = Amount::from_base;
    let posted = Posted {
        post: capture(ids, id),
        debit,
        credit,
        asset,
        settlement: Settlement { posted: amount(700), released: amount(300) },
        left: Amount::ZERO,
    };
    [Event::Held(held), Event::Posted(posted)].map(|event| {
        *seq += 1;
        let entry = Entry { seq: *seq, at: Timestamp::from_unix_ms(NOW_MS), event };
        let (body, hash) = chain.seal(&entry);
        Row {
            seq: i64::try_from(*seq).unwrap(),
            body: body.to_vec(),
            hash: *hash.as_bytes(),
            id: entry.transfer_id().unwrap().as_u128().to_be_bytes(),
            ends: entry.ends().map(|hold| hold.as_u128().to_be_bytes()),
        }
    })
}

fn per_second(count: u64, elapsed: Duration) -> u64 {
    count * 1_000 / u64::try_from(elapsed.as_millis()).unwrap().max(1)
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if std::env::args().any(|argument| argument == "age") {
        runtime.block_on(age());
        return;
    }
    println!(
        "{:<18} {:>9} {:>14} {:>14} {:>12} {:>12}",
        "accounts", "in flight", "pairs/s", "floor pairs/s", "hold p50", "hold p99"
    );
    for (name, wallets) in [("10000", 10_000), ("one hot account", 1)] {
        for in_flight in [64_u64, 1_024] {
            let floor = floor(usize::try_from(in_flight).unwrap());
            let measured = runtime.block_on(through_the_api(wallets, in_flight));
            let Measured { pairs_a_second, p50, p99 } = measured;
            println!("{name:<18} {in_flight:>9} {pairs_a_second:>14} {floor:>14} {p50:>12.2?} {p99:>12.2?}");
        }
    }
}
