//! Routes that settle after the service has answered: whoever is not served has not paid.
#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use farthing_gate::{AnswerOptions, Decision, GateLayer};
use farthing_protocol::Challenge;
use farthing_store::MemoryClaims;
use harness::rail::{Act, FakeRail};
use harness::{Answer, Rig};
use http::Request;
use tower::ServiceExt;

fn auth(credential: &str) -> [(&str, &str); 1] {
    [("Authorization", credential)]
}

#[tokio::test]
async fn a_call_is_settled_when_it_was_served() {
    for path in ["/after/x", "/after/stream", "/after/302"] {
        let rig = Rig::new().await;
        rig.upstream.bad_calls.store(usize::from(path == "/after/302"), Ordering::SeqCst);
        let (credential, id) = rig.buy_with_body("GET", path, "0x1", "").await;
        let paid = rig.send("GET", path, &auth(&credential)).await;
        assert_eq!(
            (paid.status, paid.whole),
            (if path == "/after/302" { 302 } else { 200 }, true),
            "{paid:?}"
        );
        assert_eq!(paid.one("payment-receipt").is_some(), paid.status == 200, "C14");
        assert_eq!(paid.one("cache-control"), Some("private, max-age=60"));
        rig.reaches(&id, "delivered").await;
        let again = rig.send("GET", path, &auth(&credential)).await;
        assert_eq!((again.status, rig.rail.settlements(), rig.upstream.calls()), (403, 1, 1), "{again:?}");
    }
}

/// Nothing is settled while the service works, and another copy waits.
#[tokio::test]
async fn the_money_waits_for_the_service() {
    let rig = Rig::gated(|gate| gate).await;
    rig.rail.settle.lock().unwrap().push_back(Act::Wait(Duration::from_millis(1)));
    let (credential, id) = rig.buy_with_body("GET", "/after/slow", "0x1", "").await;
    let stream = rig.open("GET", "/after/slow", &auth(&credential), "").await;
    rig.reaches(&id, "reserved").await;
    assert_eq!(rig.rail.settlements(), 0);
    let copy = rig.send("GET", "/after/slow", &auth(&credential)).await;
    assert_eq!((copy.status, copy.code().as_str()), (409, "payment_in_progress"), "{copy:?}");
    // Whoever leaves has bought the call all the same, and its answer.
    drop(stream);
    rig.gate.idle().await;
    let kept = rig.send("GET", "/after/slow", &auth(&credential)).await;
    assert_eq!((kept.status, kept.body.as_str()), (200, "content"), "{kept:?}");
    assert_eq!((rig.rail.settlements(), rig.upstream.calls()), (1, 1));
}

/// Whatever the service does but serve, nothing is charged, and the same credential comes again.
#[tokio::test]
async fn failures_charge_nothing() {
    for (what, status) in [
        ("500", 500),
        ("404", 404),
        ("402", 502),
        ("reset", 502),
        ("silent", 504),
        ("half", 502),
        ("short", 502),
        ("stalls", 502),
    ] {
        let rig = Rig::new().await;
        let path = format!("/after/{what}");
        rig.upstream.bad_calls.store(1, Ordering::SeqCst);
        let (credential, id) = rig.buy_with_body("GET", &path, "0x1", "").await;
        let failed = rig.send("GET", &path, &auth(&credential)).await;
        assert_eq!((failed.status, failed.whole), (status, true), "{what}: {failed:?}");
        assert!(failed.one("payment-receipt").is_none() && failed.challenges().is_empty(), "{what}");
        assert!(!failed.body.contains("first half"), "{what}");
        assert_eq!((rig.claim(&id).await.state.name(), rig.rail.settlements()), ("failed", 0), "{what}");
        let served = rig.send("GET", &path, &auth(&credential)).await;
        assert_eq!((served.status, served.body.as_str()), (200, "content"), "{what}: {served:?}");
        rig.reaches(&id, "delivered").await;
        assert_eq!((rig.rail.settlements(), rig.upstream.calls()), (1, 2), "{what}");
    }
}

/// What the service answered is not let out for a payment that is not settled.
#[tokio::test]
async fn an_answer_is_withheld_until_it_is_paid() {
    for (act, status, code, state) in
        [(Act::Reject, 402, "fake_rejected", "failed"), (Act::Shrug, 503, "outcome_unknown", "settling")]
    {
        let rig = Rig::new().await;
        rig.rail.settle.lock().unwrap().push_back(act);
        let (credential, id) = rig.buy_with_body("GET", "/after/x", "0x1", "").await;
        let refused = rig.send("GET", "/after/x", &auth(&credential)).await;
        assert_eq!((refused.status, refused.code().as_str()), (status, code), "{refused:?}");
        assert_eq!(refused.challenges().len(), usize::from(status == 402));
        assert!(!refused.body.contains("content\n") && refused.one("x-kept").is_none(), "{refused:?}");
        rig.reaches(&id, state).await;
        if state == "settling" {
            // Known in the end: the answer that was bought is served, and the service is not called for it again.
            let recovered = rig.gate.recover().await.unwrap();
            assert_eq!((recovered.settled, rig.claim(&id).await.answered), (1, true));
            let kept = rig.send("GET", "/after/x", &auth(&credential)).await;
            assert_eq!((kept.status, kept.body.as_str()), (200, "content"), "{kept:?}");
            assert_eq!((rig.rail.settlements(), rig.upstream.calls()), (1, 1));
        }
    }
}

/// Money that has moved, and money that cannot wait, is settled first.
#[tokio::test]
async fn what_cannot_wait_is_settled_first() {
    for (act, settled) in [(Act::Moved, 1), (Act::Within(60_000), 1), (Act::Within(130_000), 0)] {
        let rig = Rig::new().await;
        let shown = format!("{act:?}");
        rig.rail.verify.lock().unwrap().push_back(act);
        rig.upstream.bad_calls.store(1, Ordering::SeqCst);
        let (credential, id) = rig.buy_with_body("GET", "/after/500", "0x1", "").await;
        assert_eq!(rig.send("GET", "/after/500", &auth(&credential)).await.status, 500, "{shown}");
        rig.reaches(&id, if settled == 1 { "credit" } else { "failed" }).await;
        assert_eq!(rig.rail.settlements(), settled, "{shown}");
    }
}

/// Streams and slow bodies are settled when they have begun, and let out.
#[tokio::test]
async fn streams_are_settled_when_they_begin() {
    let options = AnswerOptions { hold_ms: 30, ..AnswerOptions::default() };
    for (path, text) in [("/after/events", "data: 1"), ("/after/gated", "first half ")] {
        let rig = Rig::gated(|gate| gate.answers(AnswerOptions { finish_ms: 50, ..options })).await;
        let (credential, id) = rig.buy_with_body("GET", path, "0x1", "").await;
        rig.leave_after(path, &auth(&credential), text).await;
        assert_eq!(rig.rail.settlements(), 1, "{path}");
        rig.reaches(&id, "credit").await;
    }
    // Events are not waited for at all.
    let rig = Rig::gated(|gate| gate.answers(AnswerOptions { hold_ms: 3_600_000, ..options })).await;
    let credential = rig.buy("GET", "/after/events", "0x1").await;
    rig.leave_after("/after/events", &auth(&credential), "data: 1").await;
}

/// A holder whose lease somebody else has taken asks for no money and lets nothing out.
#[tokio::test]
async fn a_lost_reservation_takes_nothing() {
    let rig = Rig::gated(|gate| gate.lease_ms(60_000)).await;
    let other = rig.beside().await;
    let (credential, id) = rig.buy_with_body("GET", "/after/held", "0x1", "").await;
    let held = rig.open("GET", "/after/held", &auth(&credential), "").await;
    rig.reaches(&id, "reserved").await;
    rig.clock.advance(60_000);
    other.upstream.go_on.notify_one();
    let taken = other.send("GET", "/after/held", &auth(&credential)).await;
    assert_eq!(taken.status, 200, "{taken:?}");
    rig.upstream.go_on.notify_one();
    let lost: Answer = harness::read("GET", held).await;
    assert_eq!((lost.status, lost.code().as_str()), (409, "payment_in_progress"), "{lost:?}");
    assert_eq!((rig.rail.settlements(), other.rail.settlements()), (0, 1));
    other.reaches(&id, "delivered").await;
}

/// A handler that panics has not served, and is not paid.
#[tokio::test]
async fn a_panic_charges_nothing() {
    let (rail, clock, store) =
        (Arc::new(FakeRail::new()), harness::fixed_clock(), Arc::new(MemoryClaims::new()));
    let gate = harness::builder(&rail, Arc::clone(&store) as _, &clock).build().unwrap();
    let panics = Arc::new(AtomicUsize::new(1));
    let handler = move || async move {
        let again = panics.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok();
        assert!(!again, "the handler panics once");
        "well"
    };
    let app = Router::new().route("/after/x", get(handler)).layer(GateLayer::new(gate.clone()));
    let unpaid = gate.check(Request::get("/after/x").body(Body::empty()).unwrap()).await;
    let Decision::Answer(unpaid) = unpaid else { panic!("nobody has paid") };
    let values = unpaid.headers().get_all("www-authenticate").iter().map(http::HeaderValue::as_bytes);
    let credential = harness::answer(&Challenge::parse_all(values).remove(0).unwrap(), "0x1");
    let ask = || {
        let request = Request::get("/after/x").header("authorization", &credential);
        app.clone().oneshot(request.body(Body::empty()).unwrap())
    };
    let first = tokio::spawn(ask());
    assert!(first.await.unwrap_err().is_panic());
    gate.idle().await;
    assert_eq!(rail.settlements(), 0);
    assert_eq!((ask().await.unwrap().status().as_u16(), rail.settlements()), (200, 1));
}
