//! ADR 0008: what a client that hangs up has and has not: bytes that were bought may be repeated, executions may not.
#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;

use std::sync::Arc;

use farthing_gate::{AnswerOptions, Decision, Gate};
use farthing_protocol::{Challenge, Receipt};
use farthing_store::MemoryClaims;
use harness::Rig;
use harness::rail::FakeRail;
use harness::upstream::BIG;
use http::Request;
use http_body_util::{BodyExt, Empty};

fn auth(credential: &str) -> [(&str, &str); 1] {
    [("Authorization", credential)]
}

const OPTIONS: AnswerOptions =
    AnswerOptions { max_bytes: 1024, budget_bytes: 4096, redeliveries: 2, finish_ms: 10_000, hold_ms: 50 };

async fn rig(options: AnswerOptions) -> Rig {
    Rig::gated(|gate| gate.answers(options)).await
}

/// The rest of the answer comes, is kept, and is what the same credential gets; the service is not called again.
#[tokio::test]
async fn an_answer_that_was_left_is_kept() {
    for path in ["/paid/gated?q=1", "/after/gated?q=1"] {
        let rig = rig(OPTIONS).await;
        let (credential, id) = rig.buy_with_body("GET", path, "0x1", "").await;
        rig.leave_after(path, &auth(&credential), "first half ").await;
        let copy = rig.send("GET", path, &auth(&credential)).await;
        assert_eq!((copy.status, copy.code().as_str()), (409, "payment_in_progress"), "{path}: {copy:?}");
        rig.upstream.go_on.notify_one();
        rig.reaches(&id, "credit").await;
        assert!(rig.claim(&id).await.answered, "{path}");
        // It answers one request, and no other.
        for (method, other) in [("GET", path.replace("q=1", "q=2")), ("HEAD", path.to_owned())] {
            let refused = rig.send(method, &other, &auth(&credential)).await;
            assert_eq!(refused.status, 422, "{method} {other}: {refused:?}");
        }
        let kept = rig.send("GET", path, &auth(&credential)).await;
        assert_eq!((kept.status, kept.body.as_str()), (200, "first half second half"), "{path}: {kept:?}");
        assert_eq!(Receipt::parse(kept.one("payment-receipt").unwrap()).unwrap().reference, "ref-3");
        assert_eq!(
            (kept.one("x-kept"), kept.one("cache-control")),
            (Some("yes"), Some("private, max-age=60"))
        );
        assert_eq!((kept.one("x-hop"), kept.one("idempotent-replayed")), (None, None));
        rig.reaches(&id, "delivered").await;
        assert_eq!(rig.send("GET", path, &auth(&credential)).await.status, 403);
        assert_eq!((rig.rail.settlements(), rig.upstream.calls()), (1, 1), "{path}");
    }
}

/// What is too large to keep is delivered again so often, and then counts as delivered.
#[tokio::test]
async fn hanging_up_on_a_large_answer_is_bounded() {
    for path in ["/paid/big", "/after/big"] {
        let rig = rig(OPTIONS).await;
        let (credential, id) = rig.buy_with_body("GET", path, "0x1", "").await;
        for (cut, state) in [(1, "credit"), (2, "credit"), (3, "delivered")] {
            rig.leave_after(path, &auth(&credential), "bbb").await;
            rig.reaches(&id, state).await;
            let claim = rig.claim(&id).await;
            assert_eq!((claim.deliveries, claim.answered), (cut, false), "{path}");
        }
        assert_eq!(rig.send("GET", path, &auth(&credential)).await.status, 403);
        assert_eq!((rig.rail.settlements(), rig.upstream.calls()), (1, 3), "{path}");
    }
}

/// A payer that lost its connection once gets all of a large answer.
#[tokio::test]
async fn a_large_answer_is_delivered_in_the_end() {
    let rig = rig(OPTIONS).await;
    let (credential, id) = rig.buy_with_body("GET", "/paid/big", "0x1", "").await;
    rig.leave_after("/paid/big", &auth(&credential), "bbb").await;
    rig.reaches(&id, "credit").await;
    let whole = rig.send("GET", "/paid/big", &auth(&credential)).await;
    assert_eq!((whole.status, whole.body.len(), whole.whole), (200, BIG, true));
    rig.reaches(&id, "delivered").await;
}

/// An answer whose rest does not come in time, or for which there is no room, is not kept.
#[tokio::test]
async fn copies_are_bounded_in_time_and_room() {
    for options in [
        AnswerOptions { finish_ms: 20, ..OPTIONS },
        AnswerOptions { max_bytes: 12, budget_bytes: 12, ..OPTIONS },
        AnswerOptions { max_bytes: 0, budget_bytes: 0, ..OPTIONS },
    ] {
        let rig = rig(AnswerOptions { redeliveries: 1, ..options }).await;
        let (credential, id) = rig.buy_with_body("GET", "/paid/gated", "0x1", "").await;
        for state in ["credit", "delivered"] {
            rig.leave_after("/paid/gated", &auth(&credential), "first half ").await;
            if options.finish_ms > 20 {
                rig.upstream.go_on.notify_one();
            }
            rig.reaches(&id, state).await;
            assert!(!rig.claim(&id).await.answered, "{options:?}");
        }
        assert_eq!(rig.upstream.calls(), 2);
    }
}

/// A body that breaks when nobody reads it any more is no answer.
#[tokio::test]
async fn an_answer_that_breaks_unread_is_a_credit() {
    let rig = rig(OPTIONS).await;
    rig.upstream.bad_calls.store(1, std::sync::atomic::Ordering::SeqCst);
    let (credential, id) = rig.buy_with_body("GET", "/paid/short", "0x1", "").await;
    rig.leave_after("/paid/short", &auth(&credential), "first half").await;
    rig.reaches(&id, "credit").await;
    assert!(!rig.claim(&id).await.answered);
    let served = rig.send("GET", "/paid/short", &auth(&credential)).await;
    assert_eq!((served.status, served.body.as_str(), rig.upstream.calls()), (200, "content", 2));
}

/// An answer to HEAD has been handed over with its head.
#[tokio::test]
async fn a_head_is_delivered_with_its_head() {
    for path in ["/paid/x", "/after/x", "/paid/big"] {
        let rig = rig(OPTIONS).await;
        let (credential, id) = rig.buy_with_body("HEAD", path, "0x1", "").await;
        let head = rig.send("HEAD", path, &auth(&credential)).await;
        assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}: {head:?}");
        assert!(head.one("payment-receipt").is_some());
        rig.reaches(&id, "delivered").await;
    }
}

async fn check(gate: &Gate, credential: &str) -> Decision<Empty<bytes::Bytes>> {
    let request = Request::get("/paid/x").header("authorization", credential);
    gate.check(request.body(Empty::new()).unwrap()).await
}

/// What is kept may be left as often as its payer likes: it costs nobody anything.
#[tokio::test]
async fn a_kept_answer_is_kept_until_it_was_read() {
    let (rail, clock, store) =
        (Arc::new(FakeRail::new()), harness::fixed_clock(), Arc::new(MemoryClaims::new()));
    let gate = harness::builder(&rail, Arc::clone(&store) as _, &clock).answers(OPTIONS).build().unwrap();
    let Decision::Answer(unpaid) = check(&gate, "Bearer x").await else { panic!("nobody has paid") };
    let values = unpaid.headers().get_all("www-authenticate").iter().map(http::HeaderValue::as_bytes);
    let challenge = Challenge::parse_all(values).remove(0).unwrap();
    let credential = harness::answer(&challenge, "0x1");
    let Decision::Serve(_, permit) = check(&gate, &credential).await else { panic!("it was paid") };
    let body = http_body_util::Full::new(bytes::Bytes::from_static(b"bought"));
    drop(permit.finish(http::Response::new(body)).await);
    for round in 0..10 {
        gate.idle().await;
        let Decision::Kept(kept) = check(&gate, &credential).await else { panic!("round {round}") };
        assert!(kept.headers().contains_key("payment-receipt"));
        if round == 9 {
            assert_eq!(kept.into_body().collect().await.unwrap().to_bytes(), "bought");
        }
    }
    gate.idle().await;
    let Decision::Answer(replayed) = check(&gate, &credential).await else { panic!("it was delivered") };
    assert_eq!((replayed.status().as_u16(), rail.settlements()), (403, 1));
}
