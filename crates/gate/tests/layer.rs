//! The gate as a layer around an axum router, without sockets.
#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::Extension;
use axum::routing::get;
use farthing_gate::{Decision, Gate, GateBuilder, GateLayer, PaidBy, Route, Unmatched};
use farthing_protocol::ports::{ClaimId, ClaimState, ClaimStore};
use farthing_protocol::{Binder, Challenge, CredentialHeader, PaymentProof, Secret};
use farthing_store::MemoryClaims;
use harness::rail::{Act, FakeRail};
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;

fn gate(unmatched: Unmatched) -> Gate {
    let (rail, clock) = (Arc::new(FakeRail::new()), harness::fixed_clock());
    let binder = Binder::new(Secret::new(vec![1; 32]).unwrap(), None);
    Gate::builder(harness::REALM, binder, Arc::new(MemoryClaims::new()), Arc::new(move || clock.now()))
        .route(Route::priced([Method::GET], "/paid", [harness::offer(&rail, 10)]))
        .route(Route::priced([Method::GET], "/panics", [harness::offer(&rail, 10)]))
        .unmatched(unmatched)
        .credential_header(CredentialHeader::PaymentAuthorization)
        .build()
        .unwrap()
}

static PANICS: AtomicUsize = AtomicUsize::new(1);

fn app(unmatched: Unmatched) -> Router {
    let paid = |Extension(by): Extension<PaidBy>| async move {
        format!("{} {} {}", by.payer.unwrap(), by.reference.unwrap(), by.amount.unwrap().amount().base())
    };
    let panics = || async {
        let again = PANICS.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        assert!(!again, "the handler panics once");
        "well"
    };
    Router::new()
        .route("/paid", get(paid))
        .route("/panics", get(panics))
        .route("/other", get(|| async { "free" }))
        .layer(GateLayer::new(gate(unmatched)))
}

async fn ask(app: &Router, path: &str, credential: Option<&str>) -> (StatusCode, Response<()>, String) {
    let mut request = Request::get(path).header("authorization", "Bearer of another kind");
    if let Some(credential) = credential {
        request = request.header("payment-authorization", credential);
    }
    let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let text = String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap();
    (parts.status, Response::from_parts(parts, ()), text)
}

fn challenge(response: &Response<()>) -> Challenge {
    let values = response.headers().get_all("www-authenticate");
    Challenge::parse_all(values.iter().map(http::HeaderValue::as_bytes)).remove(0).unwrap()
}

#[tokio::test]
async fn a_handler_learns_who_paid() {
    let app = app(Unmatched::PassThrough);
    let (status, unpaid, _) = ask(&app, "/paid", None).await;
    assert_eq!(status, 402);
    let challenge = challenge(&unpaid);
    assert_eq!(challenge.header, CredentialHeader::PaymentAuthorization);
    let (status, paid, text) = ask(&app, "/paid", Some(&harness::answer(&challenge, "0x1"))).await;
    assert_eq!(status, 200);
    assert_eq!(text, "did:pkh:eip155:1337:0x00000000000000000000000000000000000000aa ref-3 10");
    assert!(paid.headers().contains_key("payment-receipt"));
}

/// A handler that panics has not served: the same credential is served by the next attempt.
#[tokio::test]
async fn a_panic_is_a_credit() {
    let app = app(Unmatched::PassThrough);
    let (_, unpaid, _) = ask(&app, "/panics", None).await;
    let credential = harness::answer(&challenge(&unpaid), "0x1");
    let (panicking, secret) = (app.clone(), credential.clone());
    let first = tokio::spawn(async move { ask(&panicking, "/panics", Some(&secret)).await.0 });
    assert!(first.await.unwrap_err().is_panic());
    for _ in 0..1_000 {
        let (status, _, text) = ask(&app, "/panics", Some(&credential)).await;
        if status == 200 {
            assert_eq!(text, "well");
            return;
        }
        assert_eq!(status, 409, "{text}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("the credit was never redeemed");
}

#[tokio::test]
async fn what_no_route_names_is_passed_or_refused() {
    for (unmatched, path, status) in [
        (Unmatched::PassThrough, "/other", 200),
        (Unmatched::PassThrough, "/missing", 404),
        (Unmatched::Refuse, "/other", 404),
        // axum would not serve these; another service might.
        (Unmatched::PassThrough, "/PAID", 404),
        (Unmatched::PassThrough, "/paid;x", 404),
        (Unmatched::PassThrough, "/%70aid", 402),
        (Unmatched::PassThrough, "/paid%2f", 400),
    ] {
        assert_eq!(ask(&app(unmatched), path, None).await.0, status, "{unmatched:?} {path}");
    }
}

/// A delivery that goes on is renewed before anybody else may begin it; one that is dropped is a credit.
#[tokio::test]
async fn a_lease_is_renewed_while_the_call_lasts() {
    let (rail, clock) = (Arc::new(FakeRail::new()), harness::fixed_clock());
    let store = Arc::new(MemoryClaims::new());
    let gate = harness::builder(&rail, Arc::clone(&store) as _, &clock).lease_ms(50).build().unwrap();
    let ask = |credential: Option<String>| {
        let mut request = Request::get("/paid/x");
        if let Some(credential) = credential {
            request = request.header("authorization", credential);
        }
        gate.check(request.body(Body::empty()).unwrap())
    };
    let Decision::Answer(unpaid) = ask(None).await else { panic!("nobody has paid") };
    let challenge = challenge(&unpaid.map(drop));
    let Decision::Serve(_, permit) = ask(Some(harness::answer(&challenge, "0x1"))).await else {
        panic!("it was paid")
    };
    let id = ClaimId(challenge.id);
    let state = || async { store.get(&id).await.unwrap().unwrap().state };
    for _ in 0..3 {
        clock.advance(50);
        let renewed = clock.now().plus_ms(50);
        let is_renewed =
            |state| matches!(state, ClaimState::Delivering { lease, .. } if lease.until == renewed);
        while !is_renewed(state().await) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
    drop(permit);
    gate.idle().await;
    assert_eq!(state().await.name(), "credit");
    clock.advance(1_000);
    tokio::time::sleep(std::time::Duration::from_millis(120)).await;
    assert_eq!(state().await.name(), "credit", "nothing renews what has ended");
}

/// A credit is redeemed in the name of whoever was verified, whatever the credential says the second time.
#[tokio::test]
async fn the_payer_is_the_one_that_was_verified() {
    let (rail, clock) = (Arc::new(FakeRail::new()), harness::fixed_clock());
    let gate = harness::builder(&rail, Arc::new(MemoryClaims::new()), &clock).build().unwrap();
    let ask = |credential: &str| {
        let request = Request::get("/paid/x").header("authorization", credential);
        gate.check(request.body(Body::empty()).unwrap())
    };
    let Decision::Answer(unpaid) = ask("Bearer x").await else { panic!("nobody has paid") };
    let challenge = challenge(&unpaid.map(drop));
    for source in
        ["did:pkh:eip155:1337:0x00000000000000000000000000000000000000aa", "did:pkh:eip155:1:0xvictim"]
    {
        let payload = serde_json::value::to_raw_value(&serde_json::json!({ "tx": "0x1" })).unwrap();
        let proof = PaymentProof { payload, source: Some(source.to_owned()) };
        let Decision::Serve(request, permit) = ask(&challenge.answer(&proof).unwrap()).await else {
            panic!("it was paid")
        };
        let by = request.extensions().get::<PaidBy>().unwrap();
        assert_eq!(
            by.payer.as_deref(),
            Some("did:pkh:eip155:1337:0x00000000000000000000000000000000000000aa")
        );
        permit.failed().await;
    }
}

/// A gate whose one paid route asks for `base` on this rail.
fn selling(
    rail: &Arc<FakeRail>,
    base: u128,
    store: &Arc<MemoryClaims>,
    clock: &harness::FakeClock,
) -> GateBuilder {
    let (clock, binder) = (clock.clone(), Binder::new(Secret::new(vec![1; 32]).unwrap(), None));
    Gate::builder(harness::REALM, binder, Arc::clone(store) as _, Arc::new(move || clock.now()))
        .route(Route::priced([Method::GET], "/paid", [harness::offer(rail, base)]))
}

async fn check(gate: &Gate, credential: &str) -> Decision<Body> {
    let request = Request::get("/paid").header("authorization", credential);
    gate.check(request.body(Body::empty()).unwrap()).await
}

async fn buy(gate: &Gate, tx: &str) -> String {
    let Decision::Answer(unpaid) = check(gate, "Bearer x").await else { panic!("nobody has paid") };
    harness::answer(&challenge(&unpaid.map(drop)), tx)
}

/// A credit is good after the price has changed, after the rail has, and after the method has; what was paid for it is said, and
/// never what the route asks for now.
#[tokio::test]
async fn a_credit_outlives_its_terms() {
    let (clock, store) = (harness::fixed_clock(), Arc::new(MemoryClaims::new()));
    let old = Arc::new(FakeRail::new());
    let gate = selling(&old, 10, &store, &clock).build().unwrap();
    let credential = buy(&gate, "0x1").await;
    let raised = selling(&old, 999, &store, &clock).build().unwrap();
    let moved = selling(&Arc::new(FakeRail::named("fake", "fake:2")), 10, &store, &clock);
    let replaced = selling(&Arc::new(FakeRail::named("other", "other:1")), 10, &store, &clock);
    let moved = moved.retired_rail(Arc::clone(&old) as _).build().unwrap();
    let replaced = replaced.retired_rail(Arc::clone(&old) as _).build().unwrap();
    for (name, gate) in [
        ("paid", &gate),
        ("the same terms", &gate),
        ("another price", &raised),
        ("another rail, the same request", &moved),
        ("another method", &replaced),
    ] {
        let Decision::Serve(request, permit) = check(gate, &credential).await else { panic!("{name}") };
        let by = request.extensions().get::<PaidBy>().unwrap();
        assert_eq!(by.amount.as_ref().unwrap().amount().base(), 10, "{name}");
        assert!(by.payer.is_some() && permit.is_paid(), "{name}");
        permit.failed().await;
    }
    // Nothing new is bought under terms that are gone.
    let unused = buy(&gate, "0x2").await;
    for gate in [&raised, &replaced] {
        let Decision::Answer(refused) = check(gate, &unused).await else { panic!("terms are gone") };
        assert_eq!(
            (refused.status().as_u16(), challenge(&refused.map(drop)).realm.as_str()),
            (402, harness::REALM)
        );
    }
    assert_eq!(old.settlements(), 1);
}

/// As many payments are checked at once as the gate takes; one more is told to come again, and is not asked to pay again.
#[tokio::test]
async fn payments_are_checked_so_many_at_once() {
    let (clock, store) = (harness::fixed_clock(), Arc::new(MemoryClaims::new()));
    let rail = Arc::new(FakeRail::new());
    let gate = selling(&rail, 10, &store, &clock).max_verifications(1).build().unwrap();
    let (first, second) = (buy(&gate, "0x1").await, buy(&gate, "0x2").await);
    rail.verify.lock().unwrap().push_back(Act::Wait(std::time::Duration::from_millis(400)));
    let slow = tokio::spawn({
        let gate = gate.clone();
        async move { check(&gate, &first).await }
    });
    while rail.verified.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let Decision::Answer(busy) = check(&gate, &second).await else { panic!("the place is taken") };
    assert_eq!((busy.status().as_u16(), busy.headers()["retry-after"].as_bytes()), (503, &b"1"[..]));
    assert!(!busy.headers().contains_key("www-authenticate"));
    let body = busy.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&body).contains("gate_busy"), "{body:?}");
    assert!(matches!(slow.await.unwrap(), Decision::Serve(..)));
    // Settled, and served for as long as it takes: that needs no place.
    assert!(matches!(check(&gate, &second).await, Decision::Serve(..)));
    for (given, fits) in [(0, false), (1 << 20, true), ((1 << 20) + 1, false)] {
        let built = selling(&rail, 10, &store, &clock).max_verifications(given).build();
        assert_eq!(
            built.map(drop).map_err(|error| error.code()),
            if fits { Ok(()) } else { Err("setting_out_of_range") }
        );
    }
}

/// A service of one's own behind the layer: whoever leaves before the answer has bought one execution, and its answer.
#[tokio::test]
async fn a_paid_handler_outlives_its_client() {
    let (clock, store) = (harness::fixed_clock(), Arc::new(MemoryClaims::new()));
    let gate = selling(&Arc::new(FakeRail::new()), 10, &store, &clock).build().unwrap();
    let (begun, go_on) = (Arc::new(AtomicUsize::new(0)), Arc::new(tokio::sync::Notify::new()));
    let (seen, wait) = (Arc::clone(&begun), Arc::clone(&go_on));
    let handler = move || async move {
        seen.fetch_add(1, Ordering::SeqCst);
        wait.notified().await;
        "done"
    };
    let app = Router::new().route("/paid", get(handler)).layer(GateLayer::new(gate.clone()));
    let credential = buy(&gate, "0x1").await;
    let request = || Request::get("/paid").header("authorization", &credential).body(Body::empty()).unwrap();
    let leaving = tokio::spawn(app.clone().oneshot(request()));
    while begun.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    leaving.abort();
    assert!(leaving.await.unwrap_err().is_cancelled());
    for _ in 0..10 {
        assert_eq!(app.clone().oneshot(request()).await.unwrap().status(), 409);
    }
    go_on.notify_one();
    gate.idle().await;
    // What it was served is kept for it, and is given away once.
    let kept = app.clone().oneshot(request()).await.unwrap();
    assert_eq!((kept.status(), kept.headers().contains_key("payment-receipt")), (StatusCode::OK, true));
    assert_eq!(kept.into_body().collect().await.unwrap().to_bytes(), "done");
    gate.idle().await;
    assert_eq!(app.clone().oneshot(request()).await.unwrap().status(), 403);
    assert_eq!(begun.load(Ordering::SeqCst), 1);
}
