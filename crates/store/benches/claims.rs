//! Claims a second with 1, 64 and 1024 in flight, on SQLite and PostgreSQL, beside what these can do by themselves: one
//! transaction a claim, and 1024 claims a transaction, written into the same tables by their drivers alone.
#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs, reason = "a benchmark")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use farthing_protocol::UnixMs;
use farthing_protocol::ports::{ClaimId, ClaimOutcome, ClaimStep, ClaimStore, Delivery, NewClaim};
use farthing_store::testkit::postgres::Cluster;
use farthing_store::testkit::{HOLDER, lease, new_claim, settled};
use farthing_store::{PgClaims, PgUrl, SqliteClaims};
use rusqlite::Connection;
use tokio::runtime::Runtime;

static NEXT: AtomicU64 = AtomicU64::new(0);
const NOW: UnixMs = UnixMs::from_ms(1);

/// Ids as scattered as the real ones, which are HMACs.
fn fresh() -> (String, String) {
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let scattered = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (format!("{scattered:016x}{n:027}"), format!("tempo:1337:tx:0x{scattered:016x}{n:048x}"))
}

fn claim() -> NewClaim {
    let (id, key) = fresh();
    new_claim(&id, &[&key])
}

/// A whole payment: claimed, settled, delivered.
async fn payment(store: &dyn ClaimStore) {
    let new = claim();
    let id: ClaimId = new.id.clone();
    assert!(matches!(store.claim(new, NOW).await, Ok(ClaimOutcome::New)));
    let delivery = Delivery::Begin(lease(NOW.plus_ms(10)));
    store.advance(&id, ClaimStep::Settled { settled: settled("0x"), delivery }, NOW).await.unwrap();
    store.advance(&id, ClaimStep::Delivered { holder: HOLDER, answer: None }, NOW).await.unwrap();
}

async fn claimed(store: &dyn ClaimStore) {
    assert!(matches!(store.claim(claim(), NOW).await, Ok(ClaimOutcome::New)));
}

fn in_flight(
    group: &mut BenchmarkGroup<'_, WallTime>,
    runtime: &Runtime,
    name: &str,
    store: &Arc<dyn ClaimStore>,
) {
    for copies in [1_u64, 64, 1024] {
        group.throughput(Throughput::Elements(copies));
        for whole in [false, true] {
            let what = if whole { "payments" } else { "claims" };
            group.bench_function(BenchmarkId::new(format!("{name} {what}"), copies), |bencher| {
                bencher.iter(|| {
                    runtime.block_on(async {
                        let tasks: Vec<_> = (0..copies)
                            .map(|_| {
                                let store = Arc::clone(store);
                                tokio::spawn(async move {
                                    if whole { payment(&*store).await } else { claimed(&*store).await }
                                })
                            })
                            .collect();
                        for task in tasks {
                            task.await.unwrap();
                        }
                    });
                });
            });
        }
    }
}

fn claims(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let mut group = criterion.benchmark_group("claims");
    group.sample_size(20);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let store: Arc<dyn ClaimStore> = Arc::new(SqliteClaims::open(dir.path().join("store.db")).unwrap());
    in_flight(&mut group, &runtime, "sqlite", &store);
    drop(store);
    for batch in [1_u64, 1024] {
        let db = raw_sqlite(&dir.path().join(format!("raw-{batch}.db")));
        group.throughput(Throughput::Elements(batch));
        group.bench_function(BenchmarkId::new("rusqlite", batch), |bencher| {
            bencher.iter(|| raw_sqlite_batch(&db, batch));
        });
    }
    if let Some(cluster) = Cluster::shared("claims on PostgreSQL") {
        postgres(&mut group, &runtime, cluster);
    }
    group.finish();
}

fn postgres(group: &mut BenchmarkGroup<'_, WallTime>, runtime: &Runtime, cluster: &Cluster) {
    let url = cluster.database();
    let open = PgClaims::open(PgUrl::parse(&url).unwrap());
    let store: Arc<dyn ClaimStore> = Arc::new(runtime.block_on(open).unwrap());
    in_flight(group, runtime, "postgres", &store);
    let url = cluster.database();
    runtime.block_on(PgClaims::open(PgUrl::parse(&url).unwrap())).unwrap();
    let client = runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.batch_execute("SET search_path TO farthing").await.unwrap();
        client
    });
    let insert = "INSERT INTO claim (id, keys, scope, payer, plan, expires_ms, state, changed_ms, deliveries, answered)
        SELECT id, '[]', 'GET /paid', payer, plan, 5000, 'settling', 1, 0, false
        FROM unnest($1::text[], $2::text[], $3::text[]) AS u (id, payer, plan)";
    let insert_keys = "INSERT INTO claim_key SELECT * FROM unnest($1::text[], $2::text[])";
    let statements = runtime.block_on(async {
        (client.prepare(insert).await.unwrap(), client.prepare(insert_keys).await.unwrap())
    });
    for batch in [1_u64, 1024] {
        group.throughput(Throughput::Elements(batch));
        group.bench_function(BenchmarkId::new("tokio-postgres", batch), |bencher| {
            bencher.iter(|| {
                let (ids, keys): (Vec<_>, Vec<_>) = (0..batch).map(|_| fresh()).unzip();
                let plain = new_claim("x", &[]);
                let payers: Vec<_> = ids.iter().map(|_| plain.payer.clone()).collect();
                let plan = serde_json::to_string(&plain.plan).unwrap();
                let plans: Vec<_> = ids.iter().map(|_| plan.clone()).collect();
                runtime.block_on(async {
                    client.batch_execute("BEGIN").await.unwrap();
                    client.execute(&statements.0, &[&ids, &payers, &plans]).await.unwrap();
                    client.execute(&statements.1, &[&keys, &ids]).await.unwrap();
                    client.batch_execute("COMMIT").await.unwrap();
                });
            });
        });
    }
}

/// The same schema, made by the store itself, on a bare connection.
fn raw_sqlite(path: &Path) -> Connection {
    drop(SqliteClaims::open(path).unwrap());
    let db = Connection::open(path).unwrap();
    db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;").unwrap();
    db
}

fn raw_sqlite_batch(db: &Connection, batch: u64) {
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    for _ in 0..batch {
        let (id, key) = fresh();
        let new = new_claim(&id, &[&key]);
        let plan = serde_json::to_string(&new.plan).unwrap();
        db.prepare_cached(
            "INSERT INTO claim (id, keys, scope, payer, plan, expires_ms, state, changed_ms, deliveries, answered)
             VALUES (?1, ?2, ?3, ?4, ?5, 5000, 'settling', 1, 0, 0)",
        )
        .unwrap()
        .execute((&id, &key, &new.scope, &new.payer, plan))
        .unwrap();
        db.prepare_cached("INSERT INTO claim_key (key, claim) VALUES (?1, ?2)")
            .unwrap()
            .execute((&key, db.last_insert_rowid()))
            .unwrap();
    }
    db.execute_batch("COMMIT").unwrap();
}

criterion_group!(benches, claims);
criterion_main!(benches);
