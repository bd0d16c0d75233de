//! What every request goes through: addresses, methods, bodies, limits, and the document.

use std::time::Duration;

use farthing_api::Settings;
use serde_json::json;

use crate::harness::Server;

#[tokio::test]
async fn what_is_not_there_or_not_readable_is_a_problem() {
    let server = Server::start().await;
    let key = &server.admin().await;
    for (line, status, code) in [
        ("GET /", 404, "unknown_route"),
        ("GET /v1/nothing", 404, "unknown_route"),
        ("GET /v1/customers/", 404, "unknown_route"),
        ("DELETE /v1/customers", 405, "method_not_allowed"),
        ("OPTIONS /v1/customers", 405, "method_not_allowed"),
        ("GET /v1/customers/cus_1", 404, "not_found"),
        ("GET /v1/customers/cus_0000000000000000000000000000000A", 404, "not_found"),
        ("GET /v1/customers/cus_0000000000000000000000000000000a", 404, "not_found"),
        ("GET /v1/customers?limit=0", 400, "invalid_query"),
        ("GET /v1/customers?limit=ten", 400, "invalid_query"),
        ("GET /v1/customers?after=%F0", 422, "invalid_query"),
        ("GET /v1/customers?unknown=1", 400, "invalid_query"),
        ("GET /v1/customers?external_id=%00", 400, "invalid_query"),
        ("GET /v1/customers?format=xml", 400, "invalid_query"),
    ] {
        let answer = server.ask(key, line).send().await;
        assert_eq!(answer.refusal(), (status, code), "{line}: {}", answer.text);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{line}");
        assert_eq!(answer.body["request_id"].as_str(), answer.header("x-request-id"), "{line}");
    }
    let answer = server.ask(key, "DELETE /v1/customers").send().await;
    assert_eq!(answer.header("allow"), Some("POST, GET, HEAD"));
}

#[tokio::test]
async fn a_body_is_json_of_the_right_shape_and_size() {
    let server = Server::start_with(Settings { max_body: 2_000, ..Settings::default() }).await;
    let key = &server.admin().await;
    let long = json!({ "external_id": "x".repeat(3_000) }).to_string();
    for (content_type, body, status, code) in [
        ("text/plain", "{}", 415, "unsupported_media_type"),
        ("application/json", "", 400, "invalid_json"),
        ("application/json", "{", 400, "invalid_json"),
        ("application/json", "{\"external_id\":\"a\"", 400, "invalid_json"),
        ("application/json", "[]", 400, "invalid_body"),
        ("application/json", "{\"external_id\":1}", 400, "invalid_body"),
        ("application/json", "{\"external_id\":\"a\",\"no\":1}", 400, "invalid_body"),
        ("application/json", "{\"external_id\":\"\"}", 422, "customer_bad_external_id"),
        ("application/json", "{\"external_id\":\"a\",\"name\":\"\"}", 422, "invalid_field"),
        ("application/json", &long, 413, "body_too_large"),
    ] {
        let ask = server.ask(key, "POST /v1/customers").header("content-type", content_type);
        let mut ask = ask;
        ask.request = ask.request.body(body.to_owned());
        let answer = ask.send().await;
        assert_eq!(answer.refusal(), (status, code), "{body}: {}", answer.text);
    }
    // Without a length said beforehand the limit is the same.
    let chunks = futures_util::stream::iter((0..30).map(|_| Ok::<_, std::io::Error>(vec![b' '; 100])));
    let mut ask = server.ask(key, "POST /v1/customers").header("content-type", "application/json");
    ask.request = ask.request.body(reqwest::Body::wrap_stream(chunks));
    assert_eq!(ask.send().await.refusal(), (413, "body_too_large"));
}

#[tokio::test]
async fn one_key_has_so_many_requests_a_second() {
    let server = Server::start_with(Settings { rate: 1, burst: 3, ..Settings::default() }).await;
    let (one, two) = (&server.admin().await, &server.admin().await);
    for _ in 0..3 {
        server.get(one, "/v1/customers").await.ok();
    }
    let answer = server.get(one, "/v1/customers").await;
    assert_eq!(answer.refusal(), (429, "rate_limited"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    server.get(two, "/v1/customers").await.ok();
    server.advance(1_000);
    server.get(one, "/v1/customers").await.ok();
}

#[tokio::test]
async fn so_many_requests_are_worked_on_at_once_and_each_has_its_time() {
    let settings = Settings { max_requests: 1, timeout: Duration::from_millis(300), ..Settings::default() };
    let server = Server::start_with(settings).await;
    let key = &server.admin().await;
    // A body that never ends keeps the only place until its time is over.
    let never = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
    let mut slow = server.ask(key, "POST /v1/customers").header("content-type", "application/json");
    slow.request = slow.request.body(reqwest::Body::wrap_stream(never));
    let quick = async {
        loop {
            let answer = server.get(key, "/v1/health").await;
            if answer.status != 200 {
                return answer;
            }
        }
    };
    let (slow, quick) = tokio::join!(slow.send(), quick);
    assert_eq!(slow.refusal(), (503, "request_timeout"));
    assert_eq!(quick.refusal(), (503, "overloaded"));
    server.get(key, "/v1/health").await.ok();
}

#[tokio::test]
async fn the_document_is_the_table() {
    let server = Server::start().await;
    let operations = farthing_api::v1::operations();
    let paths = server.document["paths"].as_object().unwrap();
    let documented: usize = paths.values().map(|methods| methods.as_object().unwrap().len()).sum();
    assert_eq!(documented, operations.len());
    assert_eq!(server.document["openapi"], "3.1.0");
    // Nothing is referred to that is not there, and every name of a path is a parameter.
    let text = server.document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(server.document.pointer(reference).is_some(), "{reference}");
    }
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().unwrap() {
            let named = |place: &str| -> Vec<&str> {
                let all = operation["parameters"].as_array().unwrap().iter();
                all.filter(|p| p["in"] == place).map(|p| p["name"].as_str().unwrap()).collect()
            };
            let mut in_path: Vec<&str> =
                path.split('{').skip(1).map(|rest| rest.split('}').next().unwrap()).collect();
            let mut said = named("path");
            in_path.sort_unstable();
            said.sort_unstable();
            assert_eq!(said, in_path, "{method} {path}");
        }
    }
}
