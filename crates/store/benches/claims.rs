//! Claims a second with 1, 64 and 1024 in flight, beside what SQLite itself can do: one transaction a claim, and 1024 claims
//! a transaction, written with bare rusqlite into the same tables.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use farthing_protocol::UnixMs;
use farthing_protocol::ports::{ClaimOutcome, ClaimStore};
use farthing_store::SqliteClaims;
use farthing_store::testkit::new_claim;
use rusqlite::Connection;

static NEXT: AtomicU64 = AtomicU64::new(0);

/// Ids as scattered as the real ones, which are HMACs.
fn fresh() -> (String, String) {
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    let scattered = n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (format!("{scattered:016x}{n:027}"), format!("tempo:1337:tx:0x{scattered:016x}{n:048x}"))
}

fn claims(criterion: &mut Criterion) {
    let dir = tempfile::tempdir().unwrap();
    let mut group = criterion.benchmark_group("claims");
    group.sample_size(20);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    for in_flight in [1_u64, 64, 1024] {
        let store = Arc::new(SqliteClaims::open(dir.path().join(format!("{in_flight}.db"))).unwrap());
        group.throughput(Throughput::Elements(in_flight));
        group.bench_function(BenchmarkId::new("store", in_flight), |bencher| {
            bencher.iter(|| {
                runtime.block_on(async {
                    let tasks: Vec<_> = (0..in_flight)
                        .map(|_| {
                            let store = Arc::clone(&store);
                            tokio::spawn(async move {
                                let (id, key) = fresh();
                                store.claim(new_claim(&id, &[&key]), UnixMs::from_ms(1)).await
                            })
                        })
                        .collect();
                    for task in tasks {
                        assert!(matches!(task.await.unwrap(), Ok(ClaimOutcome::New)));
                    }
                });
            });
        });
    }
    for batch in [1_u64, 1024] {
        let db = raw(&dir.path().join(format!("raw-{batch}.db")));
        group.throughput(Throughput::Elements(batch));
        group.bench_function(BenchmarkId::new("rusqlite", batch), |bencher| {
            bencher.iter(|| raw_batch(&db, batch));
        });
    }
    group.finish();
}

/// The same schema, made by the store itself, on a bare connection.
fn raw(path: &Path) -> Connection {
    drop(SqliteClaims::open(path).unwrap());
    let db = Connection::open(path).unwrap();
    db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;").unwrap();
    db
}

fn raw_batch(db: &Connection, batch: u64) {
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    for _ in 0..batch {
        let (id, key) = fresh();
        let new = new_claim(&id, &[&key]);
        let plan = serde_json::to_string(&new.plan).unwrap();
        db.prepare_cached(
            "INSERT INTO claim (id, keys, scope, payer, plan, expires_ms, state, changed_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, 5000, 'settling', 1)",
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
