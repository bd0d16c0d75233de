//! Durable pairs of a hold and its capture a second through the ledger on PostgreSQL, by two processes on one database, with the
//! floor of the same server beside it: the same rows, inserted in batches by one connection that does nothing else.
//!
//! `cargo bench -p farthing-store --bench pg_ledger`. It starts a server of its own, with `fsync` on. Every answer was on disk
//! when it was given. While the pairs run, one task in each process reads balances, one after the other.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a benchmark prints, stops at the first error, and its children learn from their environment what to do"
)]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command as Process, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use farthing_ledger::journal::{Chain, Entry, Event, Head, Posted};
use farthing_ledger::store::LedgerStore;
use farthing_ledger::testkit::model::Dice;
use farthing_ledger::{
    AccountId, AssetId, Command, Expiry, Limit, NewAccount, NewAsset, NewHold, Outcome, PostAmount, PostHold,
    Remainder, Settlement, Step, Tag, Timestamp, Transfer, TransferId,
};
use farthing_money::{Amount, Asset, AssetKind, Id};
use farthing_store::PgUrl;
use farthing_store::pg_ledger::{PgLedger, verify_database};
use farthing_store::testkit::postgres::Cluster;

const UNIT: AssetId = AssetId::from_u32(1);
const WORLD: AccountId = AccountId::from_u128(1);
const VENDORS: u64 = 16;
const FIRST_WALLET: u64 = 1_000;
const NOW_MS: u64 = 1_800_000_000_000;
const PROCESSES: u64 = 2;

/// What a child is told: URL, its number, wallets, callers, seconds.
const TOLD: &str = "FARTHING_BENCH_PG_LEDGER";

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

fn transfer(ids: &mut Ids, credit: AccountId) -> Command {
    let (id, amount, tag) = (ids.next(), Amount::from_base(1 << 80), Tag::default());
    Command::Transfer(Transfer { id, debit: WORLD, credit, asset: UNIT, amount, code: 0, tag })
}

async fn open_accounts(url: &str, wallets: u64) {
    let ledger = PgLedger::open(PgUrl::parse(url).unwrap(), 0x5eed).await.unwrap();
    let mut ids = Ids::new(1);
    let asset = Asset::new("UNIT", 6, AssetKind::Custom).unwrap();
    let open = |id, limit| Command::OpenAccount(NewAccount { id, asset: UNIT, limit });
    let mut commands = vec![Command::DefineAsset(NewAsset { id: UNIT, asset }), open(WORLD, Limit::None)];
    commands.extend((2..2 + VENDORS).map(|number| open(account(number), Limit::None)));
    for wallet in 0..wallets {
        let credit = account(FIRST_WALLET + wallet);
        commands.push(open(credit, Limit::DebitsMustNotExceedCredits));
        commands.push(transfer(&mut ids, credit));
    }
    for part in commands.chunks(4_096) {
        let steps = part.iter().cloned().map(Step::single).collect();
        let outcomes = ledger.transact(Timestamp::from_unix_ms(NOW_MS), steps).await.unwrap();
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Applied));
    }
    ledger.close().await;
}

/// One caller, which holds, waits, captures, waits; gives how long each hold took, in microseconds.
async fn call(ledger: Arc<PgLedger>, seed: u64, wallets: u64, end: Instant) -> Vec<u64> {
    let (mut ids, mut dice) = (Ids::new(seed + 100), Dice::new(seed));
    let now = Timestamp::from_unix_ms(NOW_MS);
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let hold = hold(&mut ids, &mut dice, wallets);
        let asked = Instant::now();
        let outcome = ledger.transact(now, vec![Step::single(Command::Hold(hold))]).await.unwrap();
        latencies.push(micros(asked.elapsed()));
        assert_eq!(outcome, [Outcome::Applied]);
        let post = capture(&mut ids, hold.transfer.id);
        let outcome = ledger.transact(now, vec![Step::single(Command::Post(post))]).await.unwrap();
        assert_eq!(outcome, [Outcome::Applied]);
    }
    latencies
}

/// Balances read one after the other while others write.
async fn read_balances(ledger: Arc<PgLedger>, wallets: u64, end: Instant) -> Vec<u64> {
    let mut dice = Dice::new(3);
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let id = account(FIRST_WALLET + dice.below(wallets));
        let asked = Instant::now();
        assert!(ledger.accounts(&[id]).await.unwrap()[0].is_some());
        latencies.push(micros(asked.elapsed()));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    latencies
}

/// The least that a question takes at the same time: a connection that asks for nothing.
async fn ask_for_nothing(url: String, end: Instant) -> Vec<u64> {
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(async move { connection.await.unwrap() });
    let statement = client.prepare("SELECT 1").await.unwrap();
    let mut latencies = Vec::new();
    while Instant::now() < end {
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

/// One of the processes.
async fn child(told: &str) {
    let words: Vec<&str> = told.split(' ').collect();
    let number = |place: usize| words[place].parse::<u64>().unwrap();
    let (who, wallets, callers, seconds) = (number(1), number(2), number(3), number(4));
    let ledger = Arc::new(PgLedger::open(PgUrl::parse(words[0]).unwrap(), who).await.unwrap());
    println!("ready");
    std::io::stdout().flush().unwrap();
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    let end = Instant::now() + Duration::from_secs(seconds);
    let tasks: Vec<_> = (0..callers)
        .map(|caller| tokio::spawn(call(Arc::clone(&ledger), (who << 20) + caller, wallets, end)))
        .collect();
    let reads = tokio::spawn(read_balances(Arc::clone(&ledger), wallets, end));
    let trips = tokio::spawn(ask_for_nothing(words[0].to_owned(), end));
    let mut holds = Vec::new();
    for task in tasks {
        holds.extend(task.await.unwrap());
    }
    let (reads, trips) = (reads.await.unwrap(), trips.await.unwrap());
    for (name, values) in [("holds", holds), ("reads", reads), ("trips", trips)] {
        let values: Vec<String> = values.iter().map(u64::to_string).collect();
        println!("{name} {}", values.join(" "));
    }
}

struct Measured {
    pairs_a_second: u64,
    holds: Vec<u64>,
    reads: Vec<u64>,
    trips: Vec<u64>,
}

fn measure(url: &str, wallets: u64, in_flight: u64, seconds: u64) -> Measured {
    let start = |who: u64| -> Child {
        let told = format!("{url} {who} {wallets} {} {seconds}", in_flight / PROCESSES);
        Process::new(std::env::current_exe().unwrap())
            .env(TOLD, told)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let mut children: Vec<Child> = (1..=PROCESSES).map(start).collect();
    let mut lines: Vec<_> =
        children.iter_mut().map(|child| BufReader::new(child.stdout.take().unwrap()).lines()).collect();
    for lines in &mut lines {
        assert_eq!(lines.next().unwrap().unwrap(), "ready");
    }
    let started = Instant::now();
    for child in &mut children {
        child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    }
    let mut measured =
        Measured { pairs_a_second: 0, holds: Vec::new(), reads: Vec::new(), trips: Vec::new() };
    let mut elapsed = Duration::ZERO;
    for lines in &mut lines {
        for line in lines {
            let line = line.unwrap();
            elapsed = elapsed.max(started.elapsed());
            let (name, values) = line.split_once(' ').unwrap();
            let values = values.split(' ').map(|value| value.parse::<u64>().unwrap());
            match name {
                "holds" => measured.holds.extend(values),
                "reads" => measured.reads.extend(values),
                _ => measured.trips.extend(values),
            }
        }
    }
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    measured.holds.sort_unstable();
    measured.reads.sort_unstable();
    measured.trips.sort_unstable();
    measured.pairs_a_second = u64::try_from(measured.holds.len()).unwrap() * 1_000
        / u64::try_from(elapsed.as_millis()).unwrap().max(1);
    measured
}

fn percentile(sorted: &[u64], percent: usize) -> String {
    let value = sorted.get(sorted.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default();
    format!("{}.{:02} ms", value / 1_000, value % 1_000 / 10)
}

/// The same rows, ready made, in transactions of `batch` rows by one connection.
async fn floor(url: &str, batch: u64, seconds: u64) -> u64 {
    let ledger = PgLedger::open(PgUrl::parse(url).unwrap(), 1).await.unwrap();
    ledger.close().await;
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(async move { connection.await.unwrap() });
    client.batch_execute("SET search_path TO farthing").await.unwrap();
    let insert = "INSERT INTO ledger_journal (shard, seq, body, hash, id, ends, debit, credit, prev_debit, prev_credit)
         SELECT 0, seq, body, hash, id, ends, 1, 2, seq - 1, seq - 1
         FROM unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[])
              AS u (seq, body, hash, id, ends)";
    let insert = client.prepare(insert).await.unwrap();
    let (mut ids, mut dice) = (Ids::new(9), Dice::new(9));
    let (mut chain, mut seq, mut spent) = (Chain::after(Head::genesis()), 0_u64, Duration::ZERO);
    while spent < Duration::from_secs(seconds) {
        let (mut seqs, mut bodies, mut hashes, mut used, mut ends) = (vec![], vec![], vec![], vec![], vec![]);
        for event in (0..batch / 2).flat_map(|_| pair(&mut ids, &mut dice)) {
            seq += 1;
            let entry = Entry { seq, at: Timestamp::from_unix_ms(NOW_MS), event };
            let (body, hash) = chain.seal(&entry);
            seqs.push(i64::try_from(seq).unwrap());
            bodies.push(body.to_vec());
            hashes.push(hash.as_bytes().to_vec());
            used.push(entry.transfer_id().map(|id| id.as_u128().to_be_bytes().to_vec()));
            ends.push(entry.ends().map(|id| id.as_u128().to_be_bytes().to_vec()));
        }
        let started = Instant::now();
        client.execute(&insert, &[&seqs, &bodies, &hashes, &used, &ends]).await.unwrap();
        spent += started.elapsed();
    }
    seq / 2 * 1_000 / u64::try_from(spent.as_millis()).unwrap()
}

fn pair(ids: &mut Ids, dice: &mut Dice) -> [Event; 2] {
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
    [Event::Held(held), Event::Posted(posted)]
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if let Ok(told) = std::env::var(TOLD) {
        return runtime.block_on(child(&told));
    }
    let seconds = if std::env::args().any(|argument| argument == "quick") { 2 } else { 6 };
    let cluster = Cluster::start(&Cluster::find().expect("PostgreSQL is installed")).unwrap();
    cluster.set("shared_buffers = 256MB\nmax_wal_size = 4GB\n").unwrap();
    cluster.stop_now();
    cluster.resume().unwrap();
    println!(
        "{:<16} {:>9} {:>9} {:>14} {:>11} {:>11} {:>12} {:>12}",
        "accounts",
        "in flight",
        "pairs/s",
        "floor pairs/s",
        "hold p50",
        "hold p99",
        "balance p50",
        "balance p99"
    );
    for (name, wallets) in [("10000", 10_000), ("one hot account", 1)] {
        for in_flight in [64_u64, 128, 1_024] {
            let floor = runtime.block_on(floor(&cluster.database(), in_flight, seconds));
            let url = cluster.database();
            runtime.block_on(open_accounts(&url, wallets));
            let Measured { pairs_a_second, holds, reads, trips } = measure(&url, wallets, in_flight, seconds);
            println!(
                "{name:<16} {in_flight:>9} {pairs_a_second:>9} {floor:>14} {:>11} {:>11} {:>12} {:>12} {:>13}",
                percentile(&holds, 50),
                percentile(&holds, 99),
                percentile(&reads, 50),
                percentile(&reads, 99),
                percentile(&trips, 99)
            );
            runtime.block_on(verify_database(&PgUrl::parse(&url).unwrap(), 0)).unwrap().unwrap();
        }
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load at the end: {}", load.trim());
}
