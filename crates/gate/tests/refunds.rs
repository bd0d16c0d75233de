//! `on_failure = "refund"`: whoever is not served has the call to come for a while, and then its money back, once.
#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use farthing_gate::{Gate, ResolverOptions, Route};
use farthing_protocol::ports::ClaimId;
use harness::rail::{Act, FakeRail};
use harness::refund::{Back, FakeRefunder};
use harness::{REFUND, Rig, offer};
use http::Method;

fn auth(credential: &str) -> [(&str, &str); 1] {
    [("Authorization", credential)]
}

const QUICK: ResolverOptions = ResolverOptions {
    older_than_ms: 1_000,
    min_wait_ms: 1,
    max_wait_ms: 10,
    ask_timeout_ms: 5_000,
    refund_after_ms: 5_000,
    keep_final_ms: 86_400_000,
};

struct Shop {
    rig: Rig,
    refunder: Arc<FakeRefunder>,
    /// A rail of the same name: routes are given before the rig has its own.
    rail: Arc<FakeRail>,
}

async fn shop() -> Shop {
    let (refunder, rail) = (Arc::new(FakeRefunder::default()), Arc::new(FakeRail::new()));
    let route = Route::priced([Method::GET], "/refund/{what}", [offer(&rail, 10)]).serving(REFUND);
    let back = Arc::clone(&refunder);
    let rig = Rig::gated(|gate| gate.route(route).refunder(back)).await;
    Shop { rig, refunder, rail }
}

impl Shop {
    /// A call that was paid and has failed.
    async fn owed(&self, tx: &str) -> (String, ClaimId) {
        self.rig.upstream.bad_calls.store(1, Ordering::SeqCst);
        let (credential, id) = self.rig.buy_with_body("GET", "/refund/500", tx, "").await;
        assert_eq!(self.rig.send("GET", "/refund/500", &auth(&credential)).await.status, 500);
        self.rig.reaches(&id, "refund_due").await;
        (credential, id)
    }

    fn resolve(&self) -> tokio::task::JoinHandle<()> {
        let gate: Gate = self.rig.gate.clone();
        tokio::spawn(async move { gate.resolver(QUICK).await })
    }

    fn moved(&self) -> Vec<String> {
        self.refunder.moved.lock().unwrap().clone()
    }
}

/// The payer comes first; after a while it has its money, and is told so.
#[tokio::test]
async fn money_goes_back_when_nobody_comes() {
    let shop = shop().await;
    let (served, served_id) = shop.owed("0x1").await;
    let (left, left_id) = shop.owed("0x2").await;
    let resolver = shop.resolve();
    let again = shop.rig.send("GET", "/refund/500", &auth(&served)).await;
    assert_eq!((again.status, again.body.as_str()), (200, "content"), "{again:?}");
    shop.rig.reaches(&served_id, "delivered").await;
    assert_eq!(shop.refunder.planned.load(Ordering::SeqCst), 0, "the payer has its time");
    shop.rig.clock.advance(5_000);
    shop.rig.reaches(&left_id, "refunded").await;
    assert_eq!(shop.moved(), [left_id.0.as_str()]);
    let refunded = shop.rig.send("GET", "/refund/500", &auth(&left)).await;
    assert_eq!((refunded.status, refunded.code().as_str()), (402, "payment_refunded"), "{refunded:?}");
    assert_eq!((refunded.challenges().len(), shop.rail.settlements()), (1, 2));
    resolver.abort();
}

/// Whatever the rail says, money goes back once, and nothing is given up that may have happened.
#[tokio::test]
async fn refunds_are_tried_until_they_are_known() {
    for (plan, send, resolve, state, sent) in [
        (vec![Back::NotNow, Back::Panic], vec![], vec![], "refunded", 1),
        (vec![Back::No], vec![], vec![], "credit", 0),
        (vec![], vec![Back::No], vec![], "refunded", 2),
        (vec![], vec![Back::NotNow], vec![], "refunded", 1),
        (vec![], vec![Back::NotNow], vec![Back::NotNow, Back::Panic], "refunded", 1),
        (vec![], vec![Back::Panic], vec![Back::No], "refunded", 2),
    ] {
        let shop = shop().await;
        let shown = format!("{plan:?} {send:?} {resolve:?}");
        shop.refunder.plan.lock().unwrap().extend(plan);
        shop.refunder.send.lock().unwrap().extend(send);
        shop.refunder.resolve.lock().unwrap().extend(resolve);
        let (credential, id) = shop.owed("0x1").await;
        let resolver = shop.resolve();
        for _ in 0..1_000 {
            shop.rig.clock.advance(1_000);
            if shop.rig.claim(&id).await.state.name() == state {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        shop.rig.reaches(&id, state).await;
        resolver.abort();
        assert_eq!(
            (shop.refunder.sent.load(Ordering::SeqCst), shop.moved().len()),
            (sent, usize::from(state == "refunded")),
            "{shown}"
        );
        let answer = shop.rig.send("GET", "/refund/500", &auth(&credential)).await;
        assert_eq!(answer.status, if state == "refunded" { 402 } else { 200 }, "{shown}: {answer:?}");
    }
}

/// While it may be going back, the call is not served.
#[tokio::test]
async fn a_refund_that_may_have_happened_serves_nothing() {
    let shop = shop().await;
    shop.refunder.send.lock().unwrap().push_back(Back::NotNow);
    shop.refunder.resolve.lock().unwrap().extend(std::iter::repeat_n(Back::NotNow, 100_000));
    let (credential, id) = shop.owed("0x1").await;
    shop.rig.clock.advance(5_000);
    let resolver = shop.resolve();
    shop.rig.reaches(&id, "refunding").await;
    let waits = shop.rig.send("GET", "/refund/500", &auth(&credential)).await;
    assert_eq!((waits.status, waits.code().as_str()), (409, "payment_in_progress"), "{waits:?}");
    resolver.abort();
}

/// Two resolvers on one store: every payment goes back once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_resolvers_give_back_once() {
    let shop = shop().await;
    let mut ids = Vec::new();
    for n in 0..40 {
        ids.push(shop.owed(&format!("0x{n}")).await.1);
    }
    shop.rig.clock.advance(5_000);
    let resolvers = [shop.resolve(), shop.resolve(), shop.resolve()];
    for id in &ids {
        shop.rig.reaches(id, "refunded").await;
    }
    for resolver in resolvers {
        resolver.abort();
    }
    let mut moved = shop.moved();
    moved.sort();
    let mut expected: Vec<String> = ids.into_iter().map(|id| id.0).collect();
    expected.sort();
    assert_eq!(moved, expected);
}

/// Whoever hangs up on an answer gets the answer, and no money: the service did its work.
#[tokio::test]
async fn hanging_up_is_no_way_to_a_refund() {
    let shop = shop().await;
    let (credential, id) = shop.rig.buy_with_body("GET", "/refund/gated", "0x1", "").await;
    shop.rig.leave_after("/refund/gated", &auth(&credential), "first half ").await;
    shop.rig.upstream.go_on.notify_one();
    shop.rig.reaches(&id, "credit").await;
    assert!(shop.rig.claim(&id).await.answered);
}

/// Who paid has to be known to give anything back; otherwise it stays a credit.
#[tokio::test]
async fn nobody_is_given_nothing_back() {
    let shop = shop().await;
    shop.rail.verify.lock().unwrap().push_back(Act::Anonymous);
    let (_, id) = shop.owed("0x1").await;
    shop.rig.clock.advance(5_000);
    let resolver = shop.resolve();
    shop.rig.reaches(&id, "credit").await;
    resolver.abort();
    assert_eq!(shop.refunder.planned.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_promise_needs_somebody_to_keep_it() {
    let (rail, clock) = (Arc::new(FakeRail::new()), harness::fixed_clock());
    let store = Arc::new(farthing_store::MemoryClaims::new());
    let route = Route::priced([Method::GET], "/refund/{what}", [offer(&rail, 10)]).serving(REFUND);
    let built = harness::builder(&rail, store, &clock).route(route).build();
    assert_eq!(built.map(drop).map_err(|error| error.code()), Err("route_no_refunder"));
}
