//! Live streams of balances.

use std::time::Duration;

use farthing_api::Settings;
use serde_json::{Value, json};

use crate::harness::Server;

/// A stream that is being read.
struct Reading {
    answer: reqwest::Response,
    text: String,
}

impl Reading {
    async fn open(server: &Server, key: &str, path: &str, last: Option<&str>) -> Self {
        let mut ask = server.ask(key, &format!("GET {path}"));
        if let Some(last) = last {
            ask = ask.header("last-event-id", last);
        }
        let answer = ask.request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { answer, text: String::new() }
    }

    /// The next event: its id and its data. Comments are passed over.
    async fn next(&mut self) -> (String, Value) {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let field =
                    |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
                if let Some(data) = field("data:") {
                    assert_eq!(field("event:"), Some("balances"));
                    return (field("id:").unwrap().to_owned(), serde_json::from_str(data).unwrap());
                }
                continue;
            }
            let chunk = self.answer.chunk().await.unwrap().expect("the stream goes on");
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

async fn credit(server: &Server, key: &str, customer: &str, amount: &str) {
    let path = format!("/v1/customers/{customer}/wallets/USD/credits");
    server.post(key, &path, json!({ "amount": amount })).await.ok();
}

#[tokio::test]
async fn a_stream_begins_with_what_is_and_tells_each_change() {
    let server = Server::start().await;
    let key = &server.admin().await;
    let (one, other) = (server.funded(key, "one", "100").await, server.funded(key, "other", "100").await);
    let path = &format!("/v1/customers/{one}/wallets/USD/stream");
    let mut reading = Reading::open(&server, key, path, None).await;
    assert_eq!(reading.next().await.1["available"], "100");
    // What happens to others is not told.
    credit(&server, key, &other, "5").await;
    let hold = json!({ "customer": one, "asset": "USD", "amount": "30" });
    let hold = server.post(key, "/v1/holds", hold).await.ok();
    let (_, held) = reading.next().await;
    assert_eq!((&held["held"], &held["available"]), (&json!("30"), &json!("70")));
    let capture = format!("/v1/holds/{}/capture", hold["id"].as_str().unwrap());
    server.post(key, &capture, json!({ "amount": "10" })).await.ok();
    assert_eq!(reading.next().await.1["available"], "90");
    // A grant has an account that was not there when the stream began.
    let grant = json!({ "purpose": "promotional", "amount": "7" });
    server.post(key, &format!("/v1/customers/{one}/wallets/USD/grants"), grant).await.ok();
    let (id, granted) = reading.next().await;
    assert_eq!(granted["available"], "97");
    assert_eq!(granted["customer"], one.as_str());
    drop(reading);

    // Back with the id of the last event: nothing has happened, and nothing is told until it does.
    let mut reading = Reading::open(&server, key, path, Some(&id)).await;
    credit(&server, key, &one, "3").await;
    assert_eq!(reading.next().await.1["available"], "100");
    drop(reading);
    // Something has happened meanwhile: it is told at once.
    let mut reading = Reading::open(&server, key, path, Some(&id)).await;
    let (later, now) = reading.next().await;
    assert_eq!(now["available"], "100");
    assert!(later.parse::<u64>().unwrap() > id.parse::<u64>().unwrap());
}

#[tokio::test]
async fn a_stream_ends_with_its_key_and_streams_are_so_many() {
    let settings = Settings { max_streams: 1, heartbeat: Duration::from_millis(20), ..Settings::default() };
    let server = Server::start_with(settings).await;
    let key = &server.admin().await;
    let customer = server.funded(key, "one", "100").await;
    let path = &format!("/v1/customers/{customer}/wallets/USD/stream");
    let made = server.post(key, "/v1/api_keys", json!({ "name": "n", "scopes": ["read"] })).await.ok();
    let (id, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let mut reading = Reading::open(&server, secret, path, None).await;
    reading.next().await;
    assert_eq!(server.get(key, path).await.refusal(), (503, "too_many_streams"));
    server.post(key, &format!("/v1/api_keys/{id}/revoke"), json!({})).await.ok();
    while reading.answer.chunk().await.unwrap().is_some() {}
    let nowhere = format!("/v1/customers/{customer}/wallets/NONE/stream");
    assert_eq!(server.get(key, &nowhere).await.refusal(), (404, "not_found"));
}
