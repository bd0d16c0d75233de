//! Every store passes the same suite, and SQLite does step by step what the memory model does.
#![allow(clippy::unwrap_used, reason = "tests")]

use farthing_protocol::UnixMs;
use farthing_protocol::ports::{ClaimId, ClaimKey, ClaimStep, Delivery, NewClaim};
use farthing_store::testkit::{
    Operation, Probe, claim_store_suite, failed, failed_and_spent, new_claim, reservation, settled,
};
use farthing_store::{MemoryClaims, SqliteClaims};
use proptest::prelude::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_passes_the_suite() {
    claim_store_suite(|| async { MemoryClaims::new() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_in_memory_passes_the_suite() {
    claim_store_suite(|| async { SqliteClaims::open_in_memory().unwrap() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_in_a_file_passes_the_suite() {
    let dir = tempfile::tempdir().unwrap();
    let next = std::sync::atomic::AtomicU32::new(0);
    let make = || async {
        let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        SqliteClaims::open(dir.path().join(format!("{n}.db"))).unwrap()
    };
    claim_store_suite(make).await;
}

const IDS: [&str; 4] = ["a", "b", "c", "d"];
const KEYS: [&str; 8] = ["k1", "k2", "k3", "k4", "k5", "k6", "k7", "k8"];

fn any_claim() -> impl Strategy<Value = NewClaim> {
    let reserved =
        prop::option::of((0..2_usize, 0..30_u128, prop::sample::select(vec![40_u128, 100]), 1..12_u64));
    (
        prop::sample::select(&IDS[..]),
        prop::collection::vec(prop::sample::select(&KEYS[..]), 1..3),
        reserved,
        0..30_u64,
    )
        .prop_map(|(id, keys, reserved, expires)| {
            let mut new = new_claim(id, &[]);
            new.keys = keys.into_iter().map(|key| ClaimKey(key.to_owned())).collect();
            new.expires = UnixMs::from_ms(expires);
            new.reservation = reserved.map(|(budget, amount, limit, window)| {
                reservation(["x", "y"][budget], amount, limit, window)
            });
            new
        })
}

fn any_step() -> impl Strategy<Value = ClaimStep> {
    let reference = || prop::sample::select(vec!["r1", "r2"]);
    let lease = || (0..30_u64).prop_map(UnixMs::from_ms);
    prop_oneof![
        (reference(), prop::option::of(lease())).prop_map(|(reference, lease)| ClaimStep::Settled {
            settled: settled(reference),
            delivery: lease.map_or(Delivery::Later, |lease_until| Delivery::Begin { lease_until }),
        }),
        reference().prop_map(failed),
        reference().prop_map(failed_and_spent),
        lease().prop_map(|lease_until| ClaimStep::BeginDelivery { lease_until }),
        lease().prop_map(|lease_until| ClaimStep::BeginDelivery { lease_until }),
        Just(ClaimStep::Delivered),
        Just(ClaimStep::Undelivered),
    ]
}

fn any_operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        8 => any_claim().prop_map(|new| Operation::Claim(Box::new(new))),
        12 => (prop::sample::select(&IDS[..]), any_step())
            .prop_map(|(id, step)| Operation::Advance(ClaimId(id.to_owned()), step)),
        1 => Just(Operation::Release),
        3 => (20..60_u64, 0..5_usize).prop_map(|(before, limit)| Operation::Prune {
            expired_before: UnixMs::from_ms(before),
            limit,
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, ..ProptestConfig::default() })]

    /// The clock may go back: it is set by people.
    #[test]
    fn sqlite_does_what_the_model_does(
        operations in prop::collection::vec((any_operation(), 0..30_u64), 1..120),
        clock_goes_on in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (model, store) = (MemoryClaims::new(), SqliteClaims::open_in_memory().unwrap());
            let mut latest = 0;
            for (step, (operation, now)) in operations.into_iter().enumerate() {
                latest = if clock_goes_on { latest + now % 4 } else { now };
                let now = UnixMs::from_ms(latest);
                let expected = Probe(&model).run(operation.clone(), now).await;
                let actual = Probe(&store).run(operation.clone(), now).await;
                assert_eq!(actual, expected, "step {step}: {operation:?} at {latest}");
                assert_eq!(Probe(&store).look(&IDS).await, Probe(&model).look(&IDS).await, "after step {step}: {operation:?}");
            }
        });
    }
}
