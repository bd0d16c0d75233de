//! Every store passes the same suite, and does step by step what the memory model does.
#![allow(clippy::unwrap_used, reason = "tests")]

use farthing_protocol::UnixMs;
use farthing_protocol::ports::{
    Amends, ClaimId, ClaimKey, ClaimStep, ClaimStore, Delivery, First, LeaseHolder, NewClaim, ReservationFate,
};
use farthing_store::testkit::postgres::Cluster;
use farthing_store::testkit::{
    Operation, Probe, Sharing, answer, begin_refund, claim_store_suite, failed, failed_and_spent, lease_of,
    new_claim, refunded, reservation, same_request, settled,
};
use farthing_store::{MemoryClaims, PgClaims, PgUrl, SqliteClaims};
use proptest::prelude::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_passes_the_suite() {
    claim_store_suite(Sharing::Alone, || async { MemoryClaims::new() }).await;
    claim_store_suite(Sharing::Shared, || async { MemoryClaims::as_if_shared() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_in_memory_passes_the_suite() {
    claim_store_suite(Sharing::Alone, || async { SqliteClaims::open_in_memory().unwrap() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_in_a_file_passes_the_suite() {
    let dir = tempfile::tempdir().unwrap();
    let next = std::sync::atomic::AtomicU32::new(0);
    let make = || async {
        let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        SqliteClaims::open(dir.path().join(format!("{n}.db"))).unwrap()
    };
    claim_store_suite(Sharing::Alone, make).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgres_passes_the_suite() {
    let Some(cluster) = Cluster::shared("postgres_passes_the_suite") else { return };
    let make = || async { PgClaims::open(PgUrl::parse(&cluster.database()).unwrap()).await.unwrap() };
    claim_store_suite(Sharing::Shared, make).await;
}

const IDS: [&str; 4] = ["a", "b", "c", "d"];
const KEYS: [&str; 8] = ["k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8"];

fn any_holder() -> impl Strategy<Value = LeaseHolder> {
    (0..3_u128).prop_map(LeaseHolder)
}

fn any_claim() -> impl Strategy<Value = NewClaim> {
    let reserved =
        prop::option::of((0..2_usize, 0..30_u128, prop::sample::select(vec![40_u128, 100]), 1..12_u64));
    let first = prop::option::of((any_holder(), 0..30_u64));
    let request = prop::option::of((prop::sample::select(vec!["r1", "r2"]), 0..2_u8));
    let keys = prop::collection::vec(prop::sample::select(&KEYS[..]), 1..3);
    (prop::sample::select(&IDS[..]), keys, reserved, 0..30_u64, first, request).prop_map(
        |(id, keys, reserved, expires, first, request)| {
            let mut new = new_claim(id, &[]);
            new.keys = keys.into_iter().map(|key| ClaimKey(key.to_owned())).collect();
            new.expires = UnixMs::from_ms(expires);
            new.reservation = reserved.map(|(budget, amount, limit, window)| {
                reservation(["x", "y"][budget], amount, limit, window)
            });
            if let Some((holder, until)) = first {
                new.first = First::Serve(lease_of(holder, UnixMs::from_ms(until)));
            }
            match request {
                Some((key, digest)) => same_request(new, key, digest),
                None => new,
            }
        },
    )
}

fn any_step() -> impl Strategy<Value = ClaimStep> {
    let reference = || prop::sample::select(vec!["r1", "r2"]);
    let lease =
        || (any_holder(), 0..30_u64).prop_map(|(holder, until)| lease_of(holder, UnixMs::from_ms(until)));
    let kept = || prop::option::of(reference().prop_map(answer));
    let amends = prop::sample::select(vec![Amends::Credit, Amends::Refund]);
    prop_oneof![
        (any_holder(), kept()).prop_map(|(holder, answer)| ClaimStep::BeginSettlement { holder, answer }),
        (reference(), prop::option::of(lease())).prop_map(|(reference, lease)| ClaimStep::Settled {
            settled: settled(reference),
            delivery: lease.map_or(Delivery::Later, Delivery::Begin),
        }),
        reference().prop_map(failed),
        reference().prop_map(failed_and_spent),
        (reference(), any_holder()).prop_map(|(why, holder)| ClaimStep::Failed {
            why: why.into(),
            reservation: ReservationFate::Released,
            holder: Some(holder),
        }),
        lease().prop_map(ClaimStep::BeginDelivery),
        lease().prop_map(ClaimStep::BeginDelivery),
        lease().prop_map(ClaimStep::Renew),
        (any_holder(), kept()).prop_map(|(holder, answer)| ClaimStep::Delivered { holder, answer }),
        (any_holder(), kept(), amends).prop_map(|(holder, answer, amends)| ClaimStep::Undelivered {
            holder,
            answer,
            amends
        }),
        reference().prop_map(begin_refund),
        reference().prop_map(refunded),
        Just(ClaimStep::RefundFailed),
        Just(ClaimStep::KeepCredit),
    ]
}

fn any_operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        8 => any_claim().prop_map(|new| Operation::Claim(Box::new(new))),
        16 => (prop::sample::select(&IDS[..]), any_step())
            .prop_map(|(id, step)| Operation::Advance(ClaimId(id.to_owned()), step)),
        1 => Just(Operation::Release),
        3 => (20..60_u64, 0..5_usize).prop_map(|(before, limit)| Operation::Prune {
            expired_before: UnixMs::from_ms(before),
            limit,
        }),
    ]
}

/// Operations and what the clock says at each. It may go back: it is set by people.
#[derive(Debug, Clone)]
struct Run {
    operations: Vec<(Operation, u64)>,
    clock_goes_on: bool,
}

fn any_run(most: usize) -> impl Strategy<Value = Run> {
    (prop::collection::vec((any_operation(), 0..30_u64), 1..most), any::<bool>())
        .prop_map(|(operations, clock_goes_on)| Run { operations, clock_goes_on })
}

async fn compare(run: Run, model: &MemoryClaims, store: &impl ClaimStore) {
    let mut latest = 0;
    for (step, (operation, now)) in run.operations.into_iter().enumerate() {
        latest = if run.clock_goes_on { latest + now % 4 } else { now };
        let now = UnixMs::from_ms(latest);
        let expected = Probe(model).run(operation.clone(), now).await;
        let actual = Probe(store).run(operation.clone(), now).await;
        assert_eq!(actual, expected, "step {step}: {operation:?} at {latest}");
        let (seen, expected) = (Probe(store).look(&IDS, now).await, Probe(model).look(&IDS, now).await);
        assert_eq!(seen, expected, "after step {step}: {operation:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn sqlite_does_what_the_model_does(run in any_run(120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            compare(run, &MemoryClaims::new(), &SqliteClaims::open_in_memory().unwrap()).await;
        });
    }
}

/// Fewer and shorter runs: each operation is synced to the disk, and looked at in full.
#[test]
fn postgres_does_what_the_model_does() {
    let Some(cluster) = Cluster::shared("postgres_does_what_the_model_does") else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let url = cluster.database();
    let name = url.rsplit('/').next().unwrap();
    let store = runtime.block_on(PgClaims::open(PgUrl::parse(&url).unwrap())).unwrap();
    proptest!(ProptestConfig { cases: 40, ..ProptestConfig::default() }, |(run in any_run(60))| {
        cluster.sql(name, "TRUNCATE farthing.claim, farthing.claim_key, farthing.answer, farthing.budget, farthing.reservation");
        runtime.block_on(compare(run, &MemoryClaims::as_if_shared(), &store));
    });
}
