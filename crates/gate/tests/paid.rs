//! The paid call over real sockets: what a request gets, what the rail and the upstream are asked, what is kept.
#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use farthing_gate::AnswerOptions;
use farthing_protocol::Receipt;
use farthing_protocol::ports::{ClaimStep, ClaimStore, Delivery, Lease, LeaseHolder};
use farthing_store::{MemoryClaims, SqliteClaims};
use harness::rail::Act;
use harness::{Answer, Rig, answer};
use tokio::io::AsyncReadExt;

fn auth(credential: &str) -> [(&str, &str); 1] {
    [("Authorization", credential)]
}

/// C1, C22, C28: a 402 says what to pay, and costs the store, the rail and the upstream nothing.
#[tokio::test]
async fn an_unpaid_request_changes_nothing() {
    let rig = Rig::new().await;
    for (method, body) in [("GET", ""), ("HEAD", ""), ("POST", "some body")] {
        let unpaid = rig.send_body(method, "/paid/x", &[], body).await;
        assert_eq!((unpaid.status, unpaid.challenges().len()), (402, 1), "{unpaid:?}");
        assert_eq!(unpaid.one("content-type"), Some("application/problem+json"));
        assert_eq!(unpaid.one("cache-control"), Some("no-store"));
        assert_eq!(unpaid.one("payment-receipt"), None);
        let challenge = unpaid.challenges().remove(0);
        assert_eq!((challenge.realm.as_str(), challenge.method.as_str()), (harness::REALM, "fake"));
        if method != "HEAD" {
            assert_eq!(unpaid.code(), "payment_required");
            assert!(unpaid.body.contains(&challenge.id), "{unpaid:?}");
        }
    }
    let calls = (rig.store.calls.load(Ordering::SeqCst), rig.rail.verified.load(Ordering::SeqCst));
    assert_eq!((calls, rig.upstream.calls()), ((0, 0), 0));
}

#[tokio::test]
async fn challenges_are_never_alike() {
    let rig = Rig::new().await;
    let mut ids: Vec<String> = Vec::new();
    for _ in 0..50 {
        ids.push(rig.send("GET", "/paid/x", &[]).await.challenges().remove(0).id);
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 50);
}

/// C14, C15, C19, C28: once, with a receipt, and without anything of the payment reaching the upstream or the answer.
#[tokio::test]
async fn a_paid_request_is_served_once() {
    for header in ["Authorization", "authorization", "Payment-Authorization"] {
        let rig = Rig::new().await;
        let (credential, id) = rig.buy_with_body("GET", "/paid/x?q=1", "0x1", "").await;
        let headers = [(header, credential.as_str()), ("Payment-Session", "s"), ("Accept-Payment", "fake")];
        let paid = rig.send("GET", "/paid/x?q=1", &headers).await;
        assert_eq!((paid.status, paid.body.as_str(), paid.whole), (200, "content", true), "{paid:?}");
        let receipts = paid.all("payment-receipt");
        assert_eq!(receipts.len(), 1, "{paid:?}");
        assert_eq!(Receipt::parse(receipts[0]).unwrap().reference, "ref-3");
        assert_eq!(paid.all("cache-control"), ["private, max-age=60"]);
        assert_eq!(paid.all("www-authenticate"), ["Basic realm=\"up\""]);
        assert_eq!((paid.one("x-kept"), paid.one("x-hop"), paid.one("alt-svc")), (Some("yes"), None, None));
        let seen = rig.upstream.last();
        assert_eq!(seen.target, "/paid/x?q=1");
        for name in ["authorization", "payment-authorization", "payment-session", "accept-payment"] {
            assert!(!seen.headers.contains_key(name), "{name}: {seen:?}");
        }
        rig.reaches(&id, "delivered").await;
        // A replay is no reason to pay again: no challenge.
        let replay = rig.send("GET", "/paid/x?q=1", &auth(&credential)).await;
        assert_eq!((replay.status, replay.code().as_str()), (403, "credential_replayed"));
        assert!(replay.challenges().is_empty() && replay.one("payment-receipt").is_none());
        assert_eq!((rig.rail.settlements(), rig.upstream.calls()), (1, 1));
    }
}

/// The same money on another challenge is refused (C21).
#[tokio::test]
async fn money_is_used_once() {
    let rig = Rig::new().await;
    let (first, id) = rig.buy_with_body("GET", "/paid/x", "0x1", "").await;
    let second = rig.buy("GET", "/paid/x", "0x1").await;
    assert_eq!(rig.send("GET", "/paid/x", &auth(&first)).await.status, 200);
    rig.reaches(&id, "delivered").await;
    let refused = rig.send("GET", "/paid/x", &auth(&second)).await;
    assert_eq!((refused.status, refused.challenges().len()), (403, 0));
    assert_eq!((rig.rail.settlements(), rig.upstream.calls()), (1, 1));
}

/// C2, C6, C15: what is refused, with which code, and that nothing was settled or forwarded.
#[tokio::test]
async fn bad_credentials_are_told_what_is_wrong() {
    let rig = Rig::new().await;
    let good = rig.buy("GET", "/paid/x", "0x1").await;
    let other_route = rig.buy("GET", "/paid/x/other", "0x1").await;
    let mut altered = rig.send("GET", "/paid/x", &[]).await.challenges().remove(0);
    altered.expires = Some("2099-01-01T00:00:00.000Z".into());
    let altered = answer(&altered, "0x1");
    let unreadable = {
        let challenge = rig.send("GET", "/paid/x", &[]).await.challenges().remove(0);
        let payload = serde_json::value::to_raw_value(&serde_json::json!({ "no": "tx" })).unwrap();
        challenge.answer(&farthing_protocol::PaymentProof { payload, source: None }).unwrap()
    };
    let merged = format!("{good}, {good}");
    for (headers, status, code) in [
        (vec![("Authorization", "Payment ???")], 402, "bad_base64"),
        (vec![("Authorization", "Payment e30")], 402, "missing_parameter"),
        (vec![("Authorization", "payment")], 402, "not_payment_scheme"),
        (vec![("Authorization", "Bearer abc")], 402, "payment_required"),
        (vec![("Authorization", other_route.as_str())], 402, "challenge_for_another_route"),
        (vec![("Authorization", altered.as_str())], 402, "challenge_not_ours"),
        (vec![("Authorization", unreadable.as_str())], 402, "bad_payload"),
        (
            vec![("Authorization", good.as_str()), ("Authorization", good.as_str())],
            400,
            "several_credentials",
        ),
        (
            vec![("Authorization", good.as_str()), ("Payment-Authorization", good.as_str())],
            400,
            "several_credentials",
        ),
        (vec![("Authorization", merged.as_str())], 400, "several_credentials"),
    ] {
        let answer = rig.send("GET", "/paid/x", &headers).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{answer:?}");
        assert_eq!(answer.challenges().len(), usize::from(status == 402), "{answer:?}");
        assert_eq!(answer.one("cache-control"), Some("no-store"));
        assert!(answer.one("payment-receipt").is_none());
    }
    rig.clock.advance(300_000);
    let late = rig.send("GET", "/paid/x", &auth(&good)).await;
    assert_eq!((late.status, late.code().as_str()), (402, "challenge_expired"));
    assert_eq!((rig.rail.settlements(), rig.upstream.calls()), (0, 0));
}

/// What the rail says becomes an answer, and the claim what it should be.
#[tokio::test]
async fn the_rails_word_decides() {
    let none = "none";
    // What verify does, what settle does, status, code, challenges, state of the claim, settlements.
    for (verify, settle, status, code, challenges, state, settlements) in [
        (Some(Act::Reject), None, 402, "fake_rejected", 1, none, 0),
        (Some(Act::Replayed), None, 403, "credential_replayed", 0, none, 0),
        (Some(Act::Shrug), None, 503, "rail_unavailable", 0, none, 0),
        (Some(Act::OverBudget), None, 503, "sponsorship_exhausted", 0, none, 0),
        (Some(Act::Panic), None, 503, "payment_interrupted", 0, none, 0),
        (None, Some(Act::Reject), 402, "fake_rejected", 1, "failed", 1),
        (None, Some(Act::Shrug), 503, "outcome_unknown", 0, "settling", 1),
        (None, Some(Act::Panic), 503, "payment_interrupted", 0, "settling", 1),
    ] {
        let rig = Rig::new().await;
        let shown = format!("{verify:?} {settle:?}");
        rig.rail.verify.lock().unwrap().extend(verify);
        rig.rail.settle.lock().unwrap().extend(settle);
        let (credential, id) = rig.buy_with_body("GET", "/paid/x", "0x1", "").await;
        let answer = rig.send("GET", "/paid/x", &auth(&credential)).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{shown}: {answer:?}");
        assert_eq!((answer.challenges().len(), rig.rail.settlements()), (challenges, settlements), "{shown}");
        assert_eq!(answer.one("retry-after").is_some(), status == 503, "{shown}");
        rig.reaches(&id, state).await;
        assert_eq!(rig.upstream.calls(), 0, "{shown}");
        // Sent again, the same credential is settled if it was not, and never twice.
        let again = rig.send("GET", "/paid/x", &auth(&credential)).await;
        let (expected, total) = if state == "settling" { (409, 1) } else { (200, settlements + 1) };
        assert_eq!((again.status, rig.rail.settlements()), (expected, total), "{shown}: {again:?}");
    }
}

/// The payer never pays for nothing: whatever the upstream does, the call ends delivered or as a credit.
#[tokio::test]
async fn upstream_failures_leave_a_credit() {
    for (what, status, whole) in [
        ("500", 500, true),
        ("404", 404, true),
        ("402", 502, true),
        ("reset", 502, true),
        ("silent", 504, true),
        ("half", 200, false),
        ("short", 200, false),
        ("stalls", 200, false),
    ] {
        let rig = Rig::new().await;
        let path = format!("/paid/{what}");
        rig.upstream.bad_calls.store(1, Ordering::SeqCst);
        let (credential, id) = rig.buy_with_body("GET", &path, "0x1", "").await;
        let failed = rig.send("GET", &path, &auth(&credential)).await;
        assert_eq!((failed.status, failed.whole), (status, whole), "{what}: {failed:?}");
        assert_eq!(failed.one("payment-receipt").is_some(), status == 200, "{what}: C14");
        // When the answer is there, the credit is.
        let state = rig.store.inner.get(&id).await.unwrap().unwrap().state;
        assert_eq!(state.name(), "credit", "{what}");
        let served = rig.send("GET", &path, &auth(&credential)).await;
        assert_eq!((served.status, served.body.as_str()), (200, "content"), "{what}: {served:?}");
        assert!(served.one("payment-receipt").is_some());
        rig.reaches(&id, "delivered").await;
        assert_eq!((rig.rail.settlements(), rig.upstream.calls()), (1, 2), "{what}");
    }
}

/// A redirect is what was bought: delivered once, without a receipt (C14), and nothing for a shared cache (C28).
#[tokio::test]
async fn a_paid_redirect_is_delivered_once() {
    for status in [302, 303] {
        let rig = Rig::new().await;
        let path = format!("/paid/{status}");
        rig.upstream.bad_calls.store(usize::MAX, Ordering::SeqCst);
        let (credential, id) = rig.buy_with_body("GET", &path, "0x1", "").await;
        let paid = rig.send("GET", &path, &auth(&credential)).await;
        assert_eq!((paid.status, paid.one("location")), (status, Some("/there")), "{paid:?}");
        assert_eq!(paid.one("payment-receipt"), None);
        assert_eq!(paid.all("cache-control"), ["private, max-age=60"]);
        rig.reaches(&id, "delivered").await;
        let again = rig.send("GET", &path, &auth(&credential)).await;
        assert_eq!((again.status, again.code().as_str()), (403, "credential_replayed"));
        assert_eq!((rig.rail.settlements(), rig.upstream.calls()), (1, 1));
    }
}

#[tokio::test]
async fn an_upstream_that_is_gone_is_a_credit() {
    let rig = Rig::with(Arc::new(MemoryClaims::new()), |mut options| {
        options.upstream = "http://127.0.0.1:1".parse().unwrap();
        options
    })
    .await;
    let (credential, id) = rig.buy_with_body("GET", "/paid/x", "0x1", "").await;
    let failed = rig.send("GET", "/paid/x", &auth(&credential)).await;
    assert_eq!((failed.status, failed.code().as_str()), (502, "upstream_unreachable"));
    rig.reaches(&id, "credit").await;
}

/// C24 and issue 2: 64 copies at once, one settlement, one delivery, one upstream call.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_64_copies_one_is_served() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..4 {
        let store: Arc<dyn ClaimStore> = match round % 2 {
            0 => Arc::new(MemoryClaims::new()),
            _ => Arc::new(SqliteClaims::open(dir.path().join(format!("{round}.db"))).unwrap()),
        };
        let rig = Arc::new(Rig::with(store, |options| options).await);
        rig.rail.settle.lock().unwrap().push_back(Act::Wait(Duration::from_millis(20)));
        let path = if round < 2 { "/paid/slow" } else { "/paid/stream" };
        let (credential, id) = rig.buy_with_body("GET", path, "0x1", "").await;
        let copies: Vec<_> = (0..64)
            .map(|_| {
                let (rig, credential) = (Arc::clone(&rig), credential.clone());
                tokio::spawn(async move { rig.send("GET", path, &auth(&credential)).await })
            })
            .collect();
        let mut answers: Vec<Answer> = Vec::new();
        for copy in copies {
            answers.push(copy.await.unwrap());
        }
        let served = answers.iter().filter(|answer| answer.status == 200).count();
        let others = answers.iter().filter(|answer| matches!(answer.status, 403 | 409)).count();
        assert_eq!((served, others), (1, 63), "{answers:?}");
        assert!(answers.iter().all(|answer| answer.challenges().is_empty()), "nobody is asked to pay again");
        assert!(answers.iter().filter(|a| a.status == 409).all(|a| a.one("retry-after") == Some("1")));
        assert_eq!((rig.rail.settlements(), rig.upstream.calls()), (1, 1));
        rig.reaches(&id, "delivered").await;
    }
}

/// A client that leaves before its call has begun has a call to come.
#[tokio::test]
async fn a_client_that_leaves_while_settling_keeps_its_credit() {
    let rig = Rig::new().await;
    rig.rail.settle.lock().unwrap().push_back(Act::Wait(Duration::from_millis(80)));
    let (credential, id) = rig.buy_with_body("GET", "/paid/x", "0x1", "").await;
    let stream = rig.open("GET", "/paid/x", &auth(&credential), "").await;
    rig.reaches(&id, "settling").await;
    drop(stream);
    rig.reaches(&id, "credit").await;
    assert_eq!(rig.upstream.calls(), 0);
    let served = rig.send("GET", "/paid/x", &auth(&credential)).await;
    assert_eq!((served.status, rig.rail.settlements()), (200, 1), "{served:?}");
}

/// Issue 2: one payment buys one execution, however often its payer hangs up on the answer.
#[tokio::test]
async fn hanging_up_buys_no_second_execution() {
    let rig = Rig::new().await;
    let (credential, id) = rig.buy_with_body("GET", "/paid/slow", "0x1", "").await;
    for attempt in 0..10 {
        let stream = rig.open("GET", "/paid/slow", &auth(&credential), "").await;
        while rig.upstream.calls() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(stream);
        let copy = rig.send("GET", "/paid/slow", &auth(&credential)).await;
        // Once there is an answer it is kept, and whoever reads it to its end has it.
        assert!(matches!(copy.status, 200 | 403 | 409), "attempt {attempt}: {copy:?}");
    }
    rig.gate.idle().await;
    let after = rig.send("GET", "/paid/slow", &auth(&credential)).await;
    assert!(matches!(after.status, 200 | 403), "{after:?}");
    rig.reaches(&id, "delivered").await;
    assert_eq!((rig.rail.settlements(), rig.upstream.calls()), (1, 1));
}

/// A call that fails when its client has left is no delivery.
#[tokio::test]
async fn what_nobody_waits_for_may_fail() {
    for what in ["slow", "silent"] {
        let rig = Rig::new().await;
        let path = format!("/paid/{what}");
        rig.upstream.bad_calls.store(1, Ordering::SeqCst);
        let (credential, id) = rig.buy_with_body("GET", &path, "0x1", "").await;
        let stream = rig.open("GET", &path, &auth(&credential), "").await;
        while rig.upstream.calls() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(stream);
        rig.reaches(&id, "credit").await;
        let served = rig.send("GET", &path, &auth(&credential)).await;
        assert_eq!((served.status, served.body.as_str()), (200, "content"), "{what}: {served:?}");
        assert_eq!((rig.rail.settlements(), rig.upstream.calls()), (1, 2), "{what}");
    }
}

/// C15, C19: a credential among others is found, and the others alone are passed on.
#[tokio::test]
async fn a_merged_authorization_is_taken_apart() {
    let rig = Rig::new().await;
    for (tx, before, after) in
        [("0x1", "Bearer x, ", ""), ("0x2", "", " ,Bearer x"), ("0x3", "Basic y,", ", Bearer x")]
    {
        let credential = rig.buy("GET", "/paid/x", tx).await;
        let merged = format!("{before}{credential}{after}");
        let others = if before.starts_with("Basic") { "Basic y, Bearer x" } else { "Bearer x" };
        for path in ["/free", "/paid/x"] {
            let answer = rig.send("GET", path, &auth(&merged)).await;
            assert_eq!(answer.status, 200, "{path}: {answer:?}");
            assert_eq!(rig.upstream.last().headers["authorization"], others, "{path}");
        }
    }
}

/// A challenge whose answers keep failing is not looked at any more; what the rail could not look at does not count.
#[tokio::test]
async fn a_challenge_is_not_guessed_at_for_ever() {
    let rig = Rig::new().await;
    let credential = rig.buy("GET", "/paid/x", "0x1").await;
    for (act, status, code, asked) in [
        (Act::Shrug, 503, "rail_unavailable", 12),
        (Act::Reject, 402, "fake_rejected", 20),
        (Act::Reject, 402, "challenge_exhausted", 20),
    ] {
        let rounds = if code == "fake_rejected" { 8 } else { 12 };
        rig.rail.verify.lock().unwrap().clear();
        rig.rail.verify.lock().unwrap().extend(std::iter::repeat_n(act, rounds));
        for round in 0..rounds {
            let answer = rig.send("GET", "/paid/x", &auth(&credential)).await;
            assert_eq!((answer.status, answer.code().as_str()), (status, code), "round {round}: {answer:?}");
            assert_eq!(answer.challenges().len(), usize::from(status == 402));
        }
        assert_eq!(rig.rail.verified.load(Ordering::SeqCst), asked, "{code}");
    }
    rig.rail.verify.lock().unwrap().clear();
    let fresh = rig.buy("GET", "/paid/x", "0x1").await;
    assert_eq!(rig.send("GET", "/paid/x", &auth(&fresh)).await.status, 200);
}

/// A lease is renewed for as long as the delivery lasts, and another copy is refused whatever the clock says.
#[tokio::test]
async fn a_long_delivery_is_not_doubled() {
    let answers = AnswerOptions { finish_ms: 20, ..AnswerOptions::default() };
    let rig = Rig::gated(|gate| gate.answers(answers)).await;
    rig.upstream.bad_calls.store(1, Ordering::SeqCst);
    let (credential, id) = rig.buy_with_body("GET", "/paid/stalls", "0x1", "").await;
    let stream = rig.open("GET", "/paid/stalls", &auth(&credential), "").await;
    rig.reaches(&id, "delivering").await;
    rig.clock.advance(3_600_000);
    let copy = rig.send("GET", "/paid/stalls", &auth(&credential)).await;
    assert_eq!((copy.status, rig.upstream.calls()), (409, 1), "{copy:?}");
    drop(stream);
    // The rest does not come; the call is still to come.
    rig.reaches(&id, "credit").await;
}

/// C9: a payment that is bound to a body serves that body only.
#[tokio::test]
async fn a_bound_payment_serves_its_body() {
    let rig = Rig::new().await;
    let (credential, id) = rig.buy_with_body("POST", "/bound", "0x1", "the body").await;
    for (body, status, code) in [
        ("another", 402, "digest_mismatch"),
        ("", 402, "digest_mismatch"),
        (&"x".repeat(65), 400, "body_too_large"),
    ] {
        let refused = rig.send_body("POST", "/bound", &auth(&credential), body).await;
        assert_eq!((refused.status, refused.code().as_str()), (status, code), "{refused:?}");
    }
    let unpaid = rig.send_body("POST", "/bound", &[], &"x".repeat(65)).await;
    assert_eq!((unpaid.status, unpaid.code().as_str()), (400, "body_too_large"));
    assert_eq!((rig.rail.settlements(), rig.upstream.calls()), (0, 0));
    let served = rig.send_body("POST", "/bound", &auth(&credential), "the body").await;
    assert_eq!((served.status, rig.upstream.last().body.as_str()), (200, "the body"), "{served:?}");
    rig.reaches(&id, "delivered").await;
}

/// A store that does not answer: nothing is settled, and nothing is free.
#[tokio::test]
async fn a_broken_store_settles_nothing() {
    let rig = Rig::new().await;
    let credential = rig.buy("GET", "/paid/x", "0x1").await;
    rig.store.broken.store(true, Ordering::SeqCst);
    let refused = rig.send("GET", "/paid/x", &auth(&credential)).await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "store_unavailable"));
    assert_eq!(rig.send("GET", "/healthz", &[]).await.status, 503);
    assert_eq!((rig.rail.settlements(), rig.upstream.calls()), (0, 0));
    rig.store.broken.store(false, Ordering::SeqCst);
    assert_eq!(rig.send("GET", "/paid/x", &auth(&credential)).await.status, 200);
    // What the store said is good for a second.
    let mut health = rig.send("GET", "/healthz", &[]).await;
    for _ in 0..100 {
        if health.status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        health = rig.send("GET", "/healthz", &[]).await;
    }
    assert_eq!((health.status, health.body.contains("fake:1")), (200, true));
}

/// A graceful stop lets a paid call end, and records it before it returns.
#[tokio::test]
async fn a_graceful_stop_ends_what_was_begun() {
    let rig = Rig::new().await;
    let (credential, id) = rig.buy_with_body("GET", "/paid/slow", "0x1", "").await;
    let mut stream = rig.open("GET", "/paid/slow", &auth(&credential), "").await;
    rig.reaches(&id, "delivering").await;
    let store = Arc::clone(&rig.store);
    rig.stop().await;
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200") && text.ends_with("content"), "{text}");
    assert_eq!(store.inner.get(&id).await.unwrap().unwrap().state.name(), "delivered");
}

/// What a crash leaves behind is brought in order before serving.
#[tokio::test]
async fn recovery_charges_nobody_twice_and_grants_nothing() {
    for (found, act, settled, failed, pending, status) in [
        ("settling", None, 1, 0, 0, 200),
        ("settling", Some(Act::Fail), 0, 1, 0, 200),
        ("settling", Some(Act::Shrug), 0, 0, 1, 409),
        ("settling", Some(Act::Reject), 0, 0, 1, 409),
        ("settling", Some(Act::Panic), 0, 0, 1, 409),
        ("delivering", None, 0, 0, 0, 200),
    ] {
        let rig = Rig::new().await;
        let shown = format!("{found} {act:?}");
        rig.rail.settle.lock().unwrap().push_back(Act::Shrug);
        let (credential, id) = rig.buy_with_body("GET", "/paid/x", "0x1", "").await;
        assert_eq!(rig.send("GET", "/paid/x", &auth(&credential)).await.status, 503);
        if found == "delivering" {
            let step = ClaimStep::Settled {
                settled: farthing_store::testkit::settled("ref"),
                delivery: Delivery::Begin(Lease {
                    holder: LeaseHolder(99),
                    until: rig.clock.now().plus_ms(9_999),
                }),
            };
            rig.store.inner.advance(&id, step, rig.clock.now()).await.unwrap();
        }
        rig.rail.resolve.lock().unwrap().extend(act);
        let recovered = rig.gate.recover().await.unwrap();
        let released = usize::from(found == "delivering");
        assert_eq!(
            (recovered.released, recovered.settled, recovered.failed, recovered.pending),
            (released, settled, failed, pending),
            "{shown}"
        );
        let answer = rig.send("GET", "/paid/x", &auth(&credential)).await;
        assert_eq!(answer.status, status, "{shown}: {answer:?}");
        // Settled again only where it is known not to have happened.
        assert_eq!(rig.rail.settlements(), 1 + failed, "{shown}");
    }
}

/// The background resolver does the same beside the server, and turns the unknown into a credit.
#[tokio::test]
async fn the_resolver_resolves_in_the_end() {
    let rig = Rig::new().await;
    rig.rail.settle.lock().unwrap().push_back(Act::Shrug);
    rig.rail.resolve.lock().unwrap().extend([Act::Shrug, Act::Reject, Act::Panic]);
    let (credential, id) = rig.buy_with_body("GET", "/paid/x", "0x1", "").await;
    assert_eq!(rig.send("GET", "/paid/x", &auth(&credential)).await.status, 503);
    let options = farthing_gate::ResolverOptions {
        older_than_ms: 1_000,
        min_wait_ms: 5,
        max_wait_ms: 20,
        ..farthing_gate::ResolverOptions::default()
    };
    let gate = rig.gate.clone();
    let resolver = tokio::spawn(async move { gate.resolver(options).await });
    tokio::time::sleep(Duration::from_millis(40)).await;
    assert_eq!(rig.rail.resolved.load(Ordering::SeqCst), 0, "a settlement is given its time");
    rig.clock.advance(1_000);
    rig.reaches(&id, "credit").await;
    resolver.abort();
    assert_eq!(rig.send("GET", "/paid/x", &auth(&credential)).await.status, 200);
    assert_eq!((rig.rail.settlements(), rig.rail.resolved.load(Ordering::SeqCst)), (1, 4));
}
