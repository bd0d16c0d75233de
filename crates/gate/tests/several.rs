//! Several processes over one store, and a store whose history has changed.
#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use farthing_gate::ResolverOptions;
use farthing_protocol::ports::{ClaimState, ClaimStep, Lease, LeaseHolder};
use harness::Rig;
use harness::rail::Act;

fn auth(credential: &str) -> [(&str, &str); 1] {
    [("Authorization", credential)]
}

/// C24 over processes: 64 copies at two of them, one settlement, one execution, one delivery.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_64_copies_at_two_processes_one_is_served() {
    for path in ["/paid/slow", "/after/slow", "/paid/stream", "/after/stream"] {
        let one = Arc::new(Rig::gated(|gate| gate).await);
        let other = Arc::new(one.beside().await);
        let (credential, id) = one.buy_with_body("GET", path, "0x1", "").await;
        let copies: Vec<_> = (0..64)
            .map(|n| {
                let (rig, credential) =
                    (Arc::clone(if n % 2 == 0 { &one } else { &other }), credential.clone());
                tokio::spawn(async move { rig.send("GET", path, &auth(&credential)).await })
            })
            .collect();
        let mut served = 0;
        for copy in copies {
            let answer = copy.await.unwrap();
            assert!(matches!(answer.status, 200 | 403 | 409), "{path}: {answer:?}");
            served += usize::from(answer.status == 200);
        }
        assert_eq!(served, 1, "{path}");
        assert_eq!(one.rail.settlements() + other.rail.settlements(), 1, "{path}");
        assert_eq!(one.upstream.calls() + other.upstream.calls(), 1, "{path}");
        one.reaches(&id, "delivered").await;
    }
}

/// A process that is gone holds its calls until their leases have run out, and not longer.
#[tokio::test]
async fn a_lease_passes_to_another_process() {
    for (path, open, state) in [("/paid/held", "delivering", 1), ("/after/held", "reserved", 0)] {
        let one = Rig::gated(|gate| gate.lease_ms(60_000)).await;
        let other = one.beside().await;
        let (credential, id) = one.buy_with_body("GET", path, "0x1", "").await;
        let held = one.open("GET", path, &auth(&credential), "").await;
        one.reaches(&id, open).await;
        assert_eq!(one.rail.settlements(), state);
        one.clock.advance(59_999);
        let waits = other.send("GET", path, &auth(&credential)).await;
        assert_eq!((waits.status, waits.one("retry-after")), (409, Some("1")), "{path}: {waits:?}");
        one.clock.advance(1);
        other.upstream.go_on.notify_one();
        let served = other.send("GET", path, &auth(&credential)).await;
        assert_eq!((served.status, served.body.as_str()), (200, "content"), "{path}: {served:?}");
        other.reaches(&id, "delivered").await;
        // Whoever was slow records nothing any more.
        one.upstream.go_on.notify_one();
        let late = harness::read("GET", held).await;
        assert_eq!(late.status, if state == 1 { 200 } else { 409 }, "{path}: {late:?}");
        one.gate.idle().await;
        let claim = one.claim(&id).await;
        assert_eq!((claim.state.name(), claim.new.id), ("delivered", id));
        assert_eq!(one.rail.settlements() + other.rail.settlements(), 1, "{path}");
    }
}

/// Reservations of processes that are gone are given up: nothing was asked of their payers.
#[tokio::test]
async fn abandoned_reservations_fail() {
    let one = Rig::gated(|gate| gate.lease_ms(60_000)).await;
    let other = one.beside().await;
    let (credential, id) = one.buy_with_body("GET", "/after/held", "0x1", "").await;
    let held = one.open("GET", "/after/held", &auth(&credential), "").await;
    one.reaches(&id, "reserved").await;
    let gate = other.gate.clone();
    let options = ResolverOptions { min_wait_ms: 1, ..ResolverOptions::default() };
    let resolver = tokio::spawn(async move { gate.resolver(options).await });
    one.clock.advance(60_000);
    other.reaches(&id, "failed").await;
    resolver.abort();
    one.upstream.go_on.notify_one();
    assert_eq!(harness::read("GET", held).await.status, 409);
    assert_eq!(one.rail.settlements(), 0);
}

/// A call that was paid for and whose process is gone is owed again, whether its payer comes or not, and to nobody who still serves.
#[tokio::test]
async fn interrupted_deliveries_are_credits() {
    let one = Rig::gated(|gate| gate.lease_ms(60_000)).await;
    let other = one.beside_with(|gate| gate.lease_ms(60_000)).await;
    let (credential, id) = one.buy_with_body("GET", "/paid/held", "0x1", "").await;
    let held = one.open("GET", "/paid/held", &auth(&credential), "").await;
    one.reaches(&id, "delivering").await;
    let resolve = |rig: &Rig| {
        let gate = rig.gate.clone();
        let options = ResolverOptions { min_wait_ms: 1, ..ResolverOptions::default() };
        tokio::spawn(async move { gate.resolver(options).await })
    };
    // Its own process is at work on it: what the clock says of the lease is nothing to it.
    one.clock.advance(600_000);
    let mine = resolve(&one);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(one.claim(&id).await.state.name(), "delivering");
    mine.abort();
    // Renewed, as by a process that has been cut off from the store: another one waits as long again.
    let ClaimState::Delivering { lease, .. } = one.claim(&id).await.state else { panic!("it is delivered") };
    let renewed = Lease { until: one.clock.now().plus_ms(60_000), ..lease };
    one.store.inner.advance(&id, ClaimStep::Renew(renewed), one.clock.now()).await.unwrap();
    let theirs = resolve(&other);
    one.clock.advance(119_999);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(one.claim(&id).await.state.name(), "delivering");
    one.clock.advance(1);
    other.reaches(&id, "credit").await;
    other.upstream.go_on.notify_one();
    let served = other.send("GET", "/paid/held", &auth(&credential)).await;
    assert_eq!((served.status, served.body.as_str()), (200, "content"), "{served:?}");
    other.reaches(&id, "delivered").await;
    theirs.abort();
    one.upstream.go_on.notify_one();
    assert_eq!(harness::read("GET", held).await.status, 200);
    one.gate.idle().await;
    assert_eq!(one.claim(&id).await.deliveries, 2);
    assert_eq!((one.rail.settlements(), other.rail.settlements()), (1, 0));
}

/// Two resolvers at once do no harm, in as many pages as it takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_resolvers_resolve_once() {
    let one = Rig::gated(|gate| gate).await;
    let other = one.beside().await;
    let mut bought = Vec::new();
    for n in 0..30 {
        let (credential, id) = one.buy_with_body("GET", "/paid/x", &format!("0x{n}"), "").await;
        one.rail.settle.lock().unwrap().push_back(Act::Shrug);
        assert_eq!(one.send("GET", "/paid/x", &auth(&credential)).await.status, 503);
        bought.push((credential, id));
    }
    one.clock.advance(60_000);
    let resolvers = [&one, &other].map(|rig| {
        let gate = rig.gate.clone();
        let options = ResolverOptions { min_wait_ms: 1, ..ResolverOptions::default() };
        tokio::spawn(async move { gate.resolver(options).await })
    });
    for (credential, id) in &bought {
        one.reaches(id, "credit").await;
        assert_eq!(other.send("GET", "/paid/x", &auth(credential)).await.status, 200);
    }
    for resolver in resolvers {
        resolver.abort();
    }
    assert_eq!((one.rail.settlements(), other.rail.settlements(), other.upstream.calls()), (30, 0, 30));
}

/// Restoring a backup revives no credential: those of the history before are refused, with nothing looked at.
#[tokio::test]
async fn a_restored_store_honours_no_old_challenge() {
    let rig = Rig::gated(|gate| gate).await;
    let (paid, _) = rig.buy_with_body("GET", "/paid/x", "0x1", "").await;
    let (unpaid, _) = rig.buy_with_body("GET", "/after/x", "0x2", "").await;
    assert_eq!(rig.send("GET", "/paid/x", &auth(&paid)).await.status, 200);
    rig.store.restored.store(77, Ordering::SeqCst);
    // At start, or now and then.
    rig.gate.recover().await.unwrap();
    let (calls, verified) =
        (rig.store.calls.load(Ordering::SeqCst), rig.rail.verified.load(Ordering::SeqCst));
    for (path, credential) in [("/paid/x", &paid), ("/after/x", &unpaid), ("/paid/x", &unpaid)] {
        let refused = rig.send("GET", path, &auth(credential)).await;
        assert_eq!((refused.status, refused.code().as_str()), (403, "payment_before_restore"), "{refused:?}");
        assert!(refused.challenges().is_empty() && refused.one("retry-after").is_none());
    }
    assert_eq!(rig.store.calls.load(Ordering::SeqCst), calls);
    assert_eq!(rig.rail.verified.load(Ordering::SeqCst), verified);
    let fresh = rig.buy("GET", "/paid/x", "0x3").await;
    assert_eq!(rig.send("GET", "/paid/x", &auth(&fresh)).await.status, 200);
    // A resolver finds it out too.
    let old = rig.buy("GET", "/paid/x", "0x4").await;
    rig.store.restored.store(78, Ordering::SeqCst);
    let gate = rig.gate.clone();
    let options = ResolverOptions { min_wait_ms: 1, ..ResolverOptions::default() };
    let resolver = tokio::spawn(async move { gate.resolver(options).await });
    rig.store.broken.store(true, Ordering::SeqCst);
    while rig.send("GET", "/paid/x", &auth(&old)).await.status != 403 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    resolver.abort();
}

/// A step in the name of somebody else's lease is not taken.
#[tokio::test]
async fn a_stranger_ends_no_call() {
    let rig = Rig::gated(|gate| gate).await;
    let (credential, id) = rig.buy_with_body("GET", "/paid/held", "0x1", "").await;
    let held = rig.open("GET", "/paid/held", &auth(&credential), "").await;
    rig.reaches(&id, "delivering").await;
    let stranger = ClaimStep::Delivered { holder: LeaseHolder(u128::MAX), answer: None };
    assert!(rig.store.inner.advance(&id, stranger, rig.clock.now()).await.is_err());
    rig.upstream.go_on.notify_one();
    assert_eq!(harness::read("GET", held).await.status, 200);
    rig.reaches(&id, "delivered").await;
}
