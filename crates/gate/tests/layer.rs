//! The gate as a layer around an axum router, without sockets.
#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::Extension;
use axum::routing::get;
use farthing_gate::{Gate, GateLayer, PaidBy, Route, Unmatched};
use farthing_protocol::{Binder, Challenge, CredentialHeader, Secret};
use farthing_store::MemoryClaims;
use harness::rail::FakeRail;
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
        format!("{} {} {}", by.payer.unwrap(), by.reference, by.amount.amount().base())
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
