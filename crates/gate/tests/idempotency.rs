//! C23: the same key and a valid credential get the same answer, without another execution and without another payment.
#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use farthing_gate::AnswerOptions;
use harness::rail::Act;
use harness::{Answer, Rig};

fn keyed<'a>(credential: &'a str, key: &'a str) -> [(&'a str, &'a str); 2] {
    [("Authorization", credential), ("Idempotency-Key", key)]
}

fn replayed(answer: &Answer) -> bool {
    answer.one("idempotent-replayed") == Some("true")
}

async fn rig() -> Rig {
    let options =
        AnswerOptions { max_bytes: 1024, budget_bytes: 4096, hold_ms: 50, ..AnswerOptions::default() };
    Rig::gated(|gate| gate.answers(options)).await
}

#[tokio::test]
async fn the_same_request_gets_the_same_answer() {
    for path in ["/paid/x?q=1", "/after/x?q=1"] {
        let rig = rig().await;
        let (credential, id) = rig.buy_with_body("POST", path, "0x1", "the body").await;
        let first = rig.send_body("POST", path, &keyed(&credential, "k"), "the body").await;
        assert_eq!((first.status, replayed(&first)), (200, false), "{path}: {first:?}");
        assert_eq!(rig.upstream.last().headers["idempotency-key"], "k");
        rig.reaches(&id, "delivered").await;
        // With its credential, and with another one of the same payer's.
        let other = rig.buy("POST", path, "0x2").await;
        for credential in [&credential, &other, &credential] {
            let again = rig.send_body("POST", path, &keyed(credential, "k"), "the body").await;
            assert_eq!((again.status, again.body.as_str()), (200, "content"), "{path}: {again:?}");
            assert!(replayed(&again));
            for name in ["payment-receipt", "cache-control", "x-kept"] {
                assert_eq!(again.one(name), first.one(name), "{name}");
            }
            assert_eq!(again.one("payment-credit"), None);
        }
        for (credential, key, body, path, status, code) in [
            (&credential, Some("k"), "another", path, 422, "idempotency_key_reused"),
            (&other, Some("k"), "another", path, 422, "idempotency_key_reused"),
            (&credential, Some("k"), "the body", &path.replace("q=1", "q=2"), 422, "idempotency_key_reused"),
            (&credential, Some("l"), "the body", path, 403, "credential_replayed"),
            (&credential, None, "the body", path, 403, "credential_replayed"),
        ] {
            let mut headers = keyed(credential, key.unwrap_or_default()).to_vec();
            headers.truncate(1 + usize::from(key.is_some()));
            let refused = rig.send_body("POST", path, &headers, body).await;
            assert_eq!((refused.status, refused.code().as_str()), (status, code), "{refused:?}");
            assert!(refused.challenges().is_empty() && refused.one("payment-receipt").is_none());
        }
        assert_eq!((rig.rail.settlements(), rig.upstream.calls()), (1, 1), "{path}");
        // What was not taken is as good as before.
        let spent = rig.send_body("POST", path, &keyed(&other, "another-key"), "another").await;
        assert_eq!((spent.status, rig.rail.settlements(), rig.upstream.calls()), (200, 2, 2), "{spent:?}");
    }
}

#[tokio::test]
async fn keys_are_checked_before_anything_is_looked_at() {
    let rig = rig().await;
    let credential = rig.buy("POST", "/paid/x", "0x1").await;
    let long = "k".repeat(256);
    for keys in [vec![""], vec!["a b"], vec![&long], vec!["a", "a"]] {
        let mut headers = vec![("Authorization", credential.as_str())];
        headers.extend(keys.iter().map(|key| ("Idempotency-Key", *key)));
        let refused = rig.send("POST", "/paid/x", &headers).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (400, "idempotency_key_invalid"),
            "{refused:?}"
        );
    }
    let refused = rig.send_body("POST", "/paid/x", &keyed(&credential, "k"), &"x".repeat(65)).await;
    assert_eq!((refused.status, refused.code().as_str()), (413, "idempotent_body_too_large"), "{refused:?}");
    assert_eq!((rig.rail.verified.load(Ordering::SeqCst), rig.upstream.calls()), (0, 0));
    let served = rig.send_body("POST", "/paid/x", &[("Authorization", &credential)], &"x".repeat(65)).await;
    assert_eq!(served.status, 200);
}

/// An answer that is too large to keep is not given twice, and neither is its call.
#[tokio::test]
async fn what_is_not_kept_is_not_served_again() {
    let rig = rig().await;
    let (credential, id) = rig.buy_with_body("GET", "/paid/big", "0x1", "").await;
    let first = rig.send("GET", "/paid/big", &keyed(&credential, "k")).await;
    assert_eq!((first.status, first.whole), (200, true));
    rig.reaches(&id, "delivered").await;
    let other = rig.buy("GET", "/paid/big", "0x2").await;
    for credential in [&credential, &other] {
        let refused = rig.send("GET", "/paid/big", &keyed(credential, "k")).await;
        assert_eq!((refused.status, refused.code().as_str()), (410, "answer_not_kept"), "{refused:?}");
    }
    assert_eq!((rig.rail.settlements(), rig.upstream.calls()), (1, 1));
}

/// A payer that lost its credential pays once: the first payment's credit serves the second credential.
#[tokio::test]
async fn another_credential_redeems_the_credit() {
    let rig = rig().await;
    rig.upstream.bad_calls.store(1, Ordering::SeqCst);
    let (first, id) = rig.buy_with_body("GET", "/paid/500", "0x1", "").await;
    assert_eq!(rig.send("GET", "/paid/500", &keyed(&first, "k")).await.status, 500);
    rig.reaches(&id, "credit").await;
    let second = rig.buy("GET", "/paid/500", "0x2").await;
    let served = rig.send("GET", "/paid/500", &keyed(&second, "k")).await;
    assert_eq!((served.status, served.body.as_str()), (200, "content"), "{served:?}");
    rig.reaches(&id, "delivered").await;
    assert_eq!((rig.rail.settlements(), rig.upstream.calls()), (1, 2));
}

/// Money that has moved by itself is kept, and its payer is told.
#[tokio::test]
async fn a_second_push_is_kept_as_a_credit() {
    let rig = rig().await;
    let (first, first_id) = rig.buy_with_body("GET", "/paid/x", "0x1", "").await;
    assert_eq!(rig.send("GET", "/paid/x", &keyed(&first, "k")).await.status, 200);
    rig.reaches(&first_id, "delivered").await;
    let (second, id) = rig.buy_with_body("GET", "/paid/x", "0x22", "").await;
    rig.rail.verify.lock().unwrap().push_back(Act::Moved);
    let served = rig.send("GET", "/paid/x", &keyed(&second, "k")).await;
    assert_eq!((served.status, replayed(&served)), (200, true), "{served:?}");
    assert_eq!(served.one("payment-credit"), Some(id.0.as_str()));
    assert_eq!(
        served
            .one("payment-receipt")
            .map(|receipt| farthing_protocol::Receipt::parse(receipt).unwrap().reference)
            .unwrap(),
        "ref-3"
    );
    rig.reaches(&id, "credit").await;
    assert_eq!((rig.rail.settlements(), rig.upstream.calls()), (2, 1));
    // The key names the first call, so that it does not spend the credit; the credential alone does.
    let refused = rig.send("GET", "/paid/x", &keyed(&second, "k")).await;
    assert_eq!((refused.status, refused.code().as_str()), (422, "idempotency_key_mismatch"), "{refused:?}");
    let redeemed = rig.send("GET", "/paid/x", &[("Authorization", &second)]).await;
    assert_eq!((redeemed.status, rig.rail.settlements(), rig.upstream.calls()), (200, 2, 2), "{redeemed:?}");
}

/// Where nobody knows who pays, a key is the challenge's own.
#[tokio::test]
async fn nobodys_keys_do_not_meet() {
    let rig = rig().await;
    rig.rail.verify.lock().unwrap().extend([Act::Anonymous, Act::Anonymous]);
    for (tx, calls) in [("0x1", 1), ("0x2", 2)] {
        let (credential, id) = rig.buy_with_body("GET", "/paid/x", tx, "").await;
        assert_eq!(rig.send("GET", "/paid/x", &keyed(&credential, "k")).await.status, 200);
        rig.reaches(&id, "delivered").await;
        let again = rig.send("GET", "/paid/x", &keyed(&credential, "k")).await;
        assert_eq!((again.status, replayed(&again), rig.upstream.calls()), (200, true, calls), "{again:?}");
    }
}

/// 64 credentials for one request at once: one settlement, one execution.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_64_payments_for_one_request_one_is_taken() {
    for path in ["/paid/slow", "/after/slow"] {
        let rig = Arc::new(rig().await);
        let mut credentials = Vec::new();
        for n in 0..64 {
            credentials.push(rig.buy("GET", path, &format!("0x{n}")).await);
        }
        let copies: Vec<_> = credentials
            .into_iter()
            .map(|credential| {
                let rig = Arc::clone(&rig);
                tokio::spawn(async move { rig.send("GET", path, &keyed(&credential, "k")).await })
            })
            .collect();
        let mut served = 0;
        for copy in copies {
            let answer = copy.await.unwrap();
            assert!(matches!(answer.status, 200 | 409), "{answer:?}");
            served += usize::from(answer.status == 200);
        }
        assert!(served >= 1);
        assert_eq!((rig.rail.settlements(), rig.upstream.calls()), (1, 1), "{path}");
    }
}
