//! Issue 3: 1,000 upstream failures of every kind, before and after settlement, with and without a key: each call ends delivered,
//! credited or uncharged, none is open, and every credit is redeemed.
#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use farthing_gate::AnswerOptions;
use farthing_gate::server::ServerOptions;
use farthing_protocol::ports::ClaimId;
use farthing_store::MemoryClaims;
use futures_util::{StreamExt, stream};
use harness::Rig;

/// What the upstream does, and whether its client waits for the end.
const KINDS: &[(&str, Leaves)] = &[
    ("500", Leaves::Never),
    ("404", Leaves::Never),
    ("402", Leaves::Never),
    ("reset", Leaves::Never),
    ("silent", Leaves::Never),
    ("half", Leaves::Never),
    ("short", Leaves::Never),
    ("stalls", Leaves::Never),
    ("slow", Leaves::AtOnce),
    ("short", Leaves::InTheBody),
    ("500", Leaves::AtOnce),
    ("silent", Leaves::AtOnce),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leaves {
    Never,
    AtOnce,
    InTheBody,
}

struct Call {
    path: String,
    credential: String,
    key: Option<String>,
    id: ClaimId,
}

impl Call {
    fn headers(&self) -> Vec<(&str, &str)> {
        let mut headers = vec![("Authorization", self.credential.as_str())];
        headers.extend(self.key.as_deref().map(|key| ("Idempotency-Key", key)));
        headers
    }
}

async fn fail(rig: &Rig, n: usize) -> Call {
    let (what, leaves) = KINDS[n / 4 % KINDS.len()];
    let path = format!("/{}/{what}", if n.is_multiple_of(2) { "paid" } else { "after" });
    let key = (n / 2).is_multiple_of(2).then(|| format!("key-{n}"));
    let (credential, id) = rig.buy_with_body("GET", &path, &format!("0x{n}"), "").await;
    let call = Call { path, credential, key, id };
    match leaves {
        Leaves::Never => drop(rig.send("GET", &call.path, &call.headers()).await),
        Leaves::AtOnce => {
            let stream = rig.open("GET", &call.path, &call.headers(), "").await;
            // The call has begun: a client that leaves before has sent nothing.
            while rig.store.inner.get(&call.id).await.unwrap().is_none() {
                tokio::task::yield_now().await;
            }
            drop(stream);
        }
        // What is settled after the service is not let out before it is whole: there is no middle to leave in.
        Leaves::InTheBody if n % 2 == 1 => drop(rig.send("GET", &call.path, &call.headers()).await),
        Leaves::InTheBody => rig.leave_after(&call.path, &call.headers(), "first half").await,
    }
    call
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_1000_failures_none_stays_open() {
    let answers = AnswerOptions { max_bytes: 4096, ..AnswerOptions::default() };
    let gate = |gate: farthing_gate::GateBuilder| gate.answers(answers).max_verifications(4096);
    let store = Arc::new(MemoryClaims::new());
    let rig = Rig::serving(store, |options| options, gate, ServerOptions::default()).await;
    rig.upstream.bad_calls.store(usize::MAX, Ordering::SeqCst);
    let calls: Vec<Call> = stream::iter(0..1_000).map(|n| fail(&rig, n)).buffer_unordered(64).collect().await;
    rig.gate.idle().await;
    let mut states: BTreeMap<(String, bool), usize> = BTreeMap::new();
    let ends = Instant::now() + Duration::from_secs(60);
    for call in &calls {
        let mut claim = rig.claim(&call.id).await;
        // A client may have left before its call was noticed as one in progress.
        while !matches!(claim.state.name(), "credit" | "failed") && Instant::now() < ends {
            tokio::time::sleep(Duration::from_millis(10)).await;
            claim = rig.claim(&call.id).await;
        }
        let settled = claim.state.settled().is_some();
        assert!(matches!(claim.state.name(), "credit" | "failed"), "{}: {:?}", call.path, claim.state);
        assert_eq!(settled, call.path.starts_with("/paid/"), "{}: {:?}", call.path, claim.state);
        *states.entry((claim.state.name().to_owned(), settled)).or_default() += 1;
    }
    assert_eq!(states.values().sum::<usize>(), 1_000, "{states:?}");
    assert_eq!(rig.rail.settlements(), 500);
    // Everybody comes again, and is served once.
    rig.upstream.bad_calls.store(0, Ordering::SeqCst);
    let before = rig.upstream.calls();
    for call in &calls {
        let served = rig.send("GET", &call.path, &call.headers()).await;
        assert_eq!((served.status, served.body.as_str()), (200, "content"), "{}: {served:?}", call.path);
        assert!(served.one("payment-receipt").is_some());
    }
    rig.gate.idle().await;
    assert_eq!((rig.rail.settlements(), rig.upstream.calls() - before), (1_000, 1_000));
    for call in &calls {
        assert_eq!(rig.claim(&call.id).await.state.name(), "delivered", "{}", call.path);
        let again = rig.send("GET", &call.path, &call.headers()).await;
        assert_eq!(again.status, if call.key.is_some() { 200 } else { 403 }, "{}: {again:?}", call.path);
    }
    assert_eq!((rig.rail.settlements(), rig.upstream.calls() - before), (1_000, 1_000));
}
