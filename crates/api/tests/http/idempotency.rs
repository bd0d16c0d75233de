//! Requests that are sent again.

use serde_json::json;

use crate::harness::Server;

#[tokio::test]
async fn the_same_key_and_content_answer_the_same_and_do_nothing() {
    let server = Server::start().await;
    let key = &server.admin().await;
    let customer = server.funded(key, "acme", "100").await;
    let path = format!("/v1/customers/{customer}/wallets/USD");
    let credit = |amount: &str| {
        let line = format!("POST {path}/credits");
        server
            .ask(key, &line)
            .header("idempotency-key", "k 1".replace(' ', "-").as_str())
            .json(&json!({ "amount": amount }))
    };
    let first = credit("7").send().await;
    server.advance(60_000);
    let again = credit("7").send().await;
    assert_eq!((first.status, &first.text), (again.status, &again.text));
    assert_eq!(first.header("idempotency-replayed"), None);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(credit("8").send().await.refusal(), (422, "idempotency_key_reused"));
    // The same body to another address is another call.
    let other = server
        .ask(key, &format!("POST {path}/grants"))
        .header("idempotency-key", "k-1")
        .json(&json!({ "purpose": "promotional", "amount": "7" }));
    assert_eq!(other.send().await.refusal(), (422, "idempotency_key_reused"));
    assert_eq!(server.get(key, &path).await.ok()["available"], "107");
    // What was refused was not done, and is judged anew.
    let debit = || {
        server
            .ask(key, &format!("POST {path}/adjustments"))
            .header("idempotency-key", "k-2")
            .json(&json!({ "direction": "debit", "amount": "110", "reason": "r" }))
    };
    assert_eq!(debit().send().await.status, 409);
    server.post(key, &format!("{path}/credits"), json!({ "amount": "10" })).await.ok();
    assert_eq!(debit().send().await.status, 201);
    // Another tenant's key of the same name is its own.
    let other = &server.admin().await;
    let theirs = server.funded(other, "acme", "1").await;
    let line = format!("POST /v1/customers/{theirs}/wallets/USD/credits");
    let theirs = server
        .ask(other, &line)
        .header("idempotency-key", "k-1")
        .json(&json!({ "amount": "7" }))
        .send()
        .await;
    assert_eq!((theirs.status, theirs.header("idempotency-replayed")), (201, None));
}

#[tokio::test]
async fn many_at_once_are_one() {
    let server = Server::start().await;
    let key = &server.admin().await;
    let customer = server.funded(key, "acme", "100").await;
    let path = format!("/v1/customers/{customer}/wallets/USD");
    let line = &format!("POST {path}/credits");
    let asks = (0..20).map(|_| {
        server.ask(key, line).header("idempotency-key", "once").json(&json!({ "amount": "1" })).send()
    });
    let answers = futures_util::future::join_all(asks).await;
    assert!(answers.iter().all(|answer| answer.status == 201 && answer.text == answers[0].text));
    let fresh = answers.iter().filter(|answer| answer.header("idempotency-replayed").is_none());
    assert_eq!(fresh.count(), 1);
    assert_eq!(server.get(key, &path).await.ok()["available"], "101");
}

#[tokio::test]
async fn a_key_is_printable_and_short_and_one() {
    let server = Server::start().await;
    let key = &server.admin().await;
    for bad in ["", "a b", "é", &"k".repeat(201)] {
        let ask = server.ask(key, "POST /v1/customers").header("idempotency-key", bad);
        let answer = ask.json(&json!({ "external_id": "a" })).send().await;
        assert_eq!(answer.refusal(), (400, "invalid_idempotency_key"), "{bad:?}");
    }
    let ask =
        server.ask(key, "POST /v1/customers").header("idempotency-key", "a").header("idempotency-key", "b");
    let answer = ask.json(&json!({ "external_id": "a" })).send().await;
    assert_eq!(answer.refusal(), (400, "invalid_idempotency_key"));
}

#[tokio::test]
async fn a_secret_is_shown_once() {
    let server = Server::start().await;
    let key = &server.admin().await;
    let ask = || {
        let new = json!({ "name": "n", "scopes": ["read"] });
        server.ask(key, "POST /v1/api_keys").header("idempotency-key", "k").json(&new).send()
    };
    let (first, again) = (ask().await, ask().await);
    assert!(first.body["secret"].is_string());
    assert!(again.body["secret"].is_null());
    assert_eq!(first.body["id"], again.body["id"]);
}
