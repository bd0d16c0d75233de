//! Methods and headers with a meaning of their own, unpaid and paid: HEAD, OPTIONS, Range, conditions, Upgrade, Expect, TRACE,
//! CONNECT. And connections to the upstream: kept, and given up without a call being made twice.
#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;
mod wire;

use farthing_gate::Route;
use http::Method;
use wire::recorder::{After, Request};
use wire::{CONTENT, Gateway, Reply};

async fn call(gateway: &Gateway, method: &str, path: &str, headers: &str) -> Reply {
    let request = format!("{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{headers}\r\n");
    gateway.raw(request.as_bytes()).await.remove(0)
}

/// A call that is paid for, with these header lines.
async fn paid(gateway: &Gateway, method: &str, path: &str, headers: &str) -> Reply {
    let credential = gateway.buy(method, path, &format!("{method} {path} {headers}")).await;
    call(gateway, method, path, &format!("Authorization: {credential}\r\n{headers}")).await
}

fn last(gateway: &Gateway) -> Request {
    gateway.upstream.requests().pop().expect("a request")
}

/// Nothing that can be said with an unpaid request makes the upstream say anything.
#[tokio::test]
async fn nothing_leaks_unpaid() {
    let gateway = Gateway::new().await;
    for (method, headers, status) in [
        ("HEAD", "", 402),
        ("HEAD", "Range: bytes=0-0\r\n", 402),
        ("GET", "Range: bytes=0-0\r\n", 402),
        ("GET", "Range: bytes=0-\r\nIf-Range: \"x\"\r\n", 402),
        ("GET", "If-None-Match: *\r\n", 402),
        ("GET", "If-None-Match: \"x\"\r\n", 402),
        ("GET", "If-Modified-Since: Sat, 29 Oct 1994 19:43:31 GMT\r\n", 402),
        ("GET", "If-Match: \"x\"\r\n", 402),
        ("GET", "If-Unmodified-Since: Sat, 29 Oct 1994 19:43:31 GMT\r\n", 402),
        ("GET", "Cache-Control: only-if-cached\r\n", 402),
        ("GET", "Upgrade: h2c\r\nHTTP2-Settings: AAMA\r\n", 402),
        ("GET", "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n", 501),
        ("GET", "Expect: 100-continue\r\nContent-Length: 5\r\n", 402),
        ("GET", "Max-Forwards: 0\r\n", 402),
        ("OPTIONS", "", 405),
        ("OPTIONS", "Origin: http://o\r\nAccess-Control-Request-Method: GET\r\n", 405),
        ("TRACE", "Max-Forwards: 0\r\n", 405),
        ("CONNECT", "", 405),
        ("PUT", "If-None-Match: *\r\n", 405),
    ] {
        let reply = call(&gateway, method, "/paid/x", headers).await;
        assert_eq!(reply.status, status, "{method} {headers}: {reply:?}");
        assert!(!reply.body.contains(CONTENT) && !reply.has("etag"), "{method} {headers}: {reply:?}");
        if method == "HEAD" {
            assert!(reply.body.is_empty() && reply.challenges().len() == 1, "{reply:?}");
        }
        // Nobody is asked for a body that is not taken.
        let bytes = format!("{method} /paid/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{headers}\r\n");
        let raw = gateway.raw_bytes(bytes.as_bytes()).await;
        assert!(!raw.starts_with(b"HTTP/1.1 1"), "{method} {headers}");
    }
    assert_eq!(gateway.upstream.requests().len(), 0);
}

/// A preflight carries no credential. It is answered by the upstream where a free route for it is written, and by nobody else.
#[tokio::test]
async fn preflights_are_free_where_it_is_said() {
    let preflight = Route::free([Method::OPTIONS], "/paid/{what}");
    let gateway = Gateway::gated(|options| options, |gate| gate.route(preflight)).await;
    let headers = "Origin: http://o\r\nAccess-Control-Request-Method: GET\r\n";
    assert_eq!(call(&gateway, "OPTIONS", "/paid/x", headers).await.status, 200);
    assert_eq!(last(&gateway).all("access-control-request-method"), ["GET"]);
    assert_eq!(call(&gateway, "GET", "/paid/x", headers).await.status, 402, "what it asks about is not free");
    // Another spelling of it is no other method.
    assert_eq!(call(&gateway, "options", "/paid/x", headers).await.status, 405);
}

#[tokio::test]
async fn what_was_bought_comes() {
    let gateway = Gateway::new().await;
    // What a read is conditional on, or a part of, and whether the upstream gets it.
    let cases = [
        ("GET", "if-none-match", "\"x\"", false),
        ("GET", "if-modified-since", "Sat, 29 Oct 1994 19:43:31 GMT", false),
        ("GET", "if-match", "\"x\"", true),
        ("GET", "if-unmodified-since", "Sat, 29 Oct 1994 19:43:31 GMT", true),
        ("GET", "range", "bytes=0-1", true),
        ("GET", "if-range", "\"x\"", true),
        ("POST", "if-none-match", "*", true),
        ("POST", "if-match", "\"x\"", true),
    ];
    for (n, (method, name, value, passes)) in cases.into_iter().enumerate() {
        let headers = format!("{name}: {value}\r\n");
        let reply = paid(&gateway, method, &format!("/paid/{n}"), &headers).await;
        assert_eq!((reply.status, reply.body.as_str()), (200, CONTENT), "{method} {name}: {reply:?}");
        assert_eq!(!last(&gateway).all(name).is_empty(), passes, "paid {method} {name}");
        call(&gateway, method, "/free", &headers).await;
        assert_eq!(last(&gateway).all(name), [value], "free {method} {name}");
    }
    let head = paid(&gateway, "HEAD", "/paid/head", "").await;
    assert_eq!((head.status, head.body.as_str(), head.has("payment-receipt")), (200, "", true), "{head:?}");
    assert_eq!(last(&gateway).method, "HEAD");
}

/// A part is a delivery when a part was asked for; "you have it already" is none when that was not asked.
#[tokio::test]
async fn a_part_is_a_delivery_and_not_modified_is_none() {
    let gateway = Gateway::new().await;
    *gateway.upstream.answer.lock().unwrap() = "Content-Range: bytes 0-15/99\r\n".to_owned();
    *gateway.upstream.status.lock().unwrap() = "206 Partial Content";
    let part = paid(&gateway, "GET", "/paid/part", "Range: bytes=0-15\r\n").await;
    assert_eq!((part.status, part.has("payment-receipt")), (206, true), "{part:?}");
    gateway.upstream.answer.lock().unwrap().clear();

    *gateway.upstream.status.lock().unwrap() = "304 Not Modified";
    let credential = gateway.buy("GET", "/paid/x", "0x304").await;
    let headers = format!("Authorization: {credential}\r\nIf-None-Match: \"x\"\r\n");
    let refused = call(&gateway, "GET", "/paid/x", &headers).await;
    assert_eq!((refused.status, refused.code().as_str()), (502, "upstream_unusable"), "{refused:?}");
    assert!(!refused.has("payment-receipt"));
    *gateway.upstream.status.lock().unwrap() = "200 OK";
    let served = call(&gateway, "GET", "/paid/x", &headers).await;
    assert_eq!((served.status, served.body.as_str()), (200, CONTENT), "it was a credit: {served:?}");
    assert_eq!(gateway.rail.settlements(), 2);
    // What is free may be had already.
    *gateway.upstream.status.lock().unwrap() = "304 Not Modified";
    assert_eq!(call(&gateway, "GET", "/free", "If-None-Match: \"x\"\r\n").await.status, 304);
}

#[tokio::test]
async fn a_body_is_asked_for_once_it_is_taken() {
    let gateway = Gateway::new().await;
    let credential = gateway.buy("POST", "/paid/x", "0x1").await;
    let bytes = format!(
        "POST /paid/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAuthorization: {credential}\r\n\
         Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello"
    );
    let raw = gateway.raw_bytes(bytes.as_bytes()).await;
    assert!(raw.starts_with(b"HTTP/1.1 100 Continue\r\n\r\n"), "{}", String::from_utf8_lossy(&raw));
    assert_eq!((last(&gateway).body.as_slice(), last(&gateway).all("expect").len()), (&b"hello"[..], 0));
}

/// One connection serves one call after the other, free and paid.
#[tokio::test]
async fn connections_to_the_upstream_are_kept() {
    let gateway = Gateway::new().await;
    for n in 0..20 {
        assert_eq!(call(&gateway, "GET", "/free", "").await.status, 200);
        assert_eq!(paid(&gateway, "POST", &format!("/paid/{n}"), "").await.status, 200);
    }
    assert_eq!((gateway.upstream.connections(), gateway.upstream.requests().len()), (1, 40));
}

/// The upstream closes each connection after its answer without saying so. A call that finds it closed never reached the
/// upstream, and goes out again on a new one, whatever its method: none fails, and none is made twice.
#[tokio::test]
async fn a_connection_that_died_loses_no_call() {
    let gateway = Gateway::new().await;
    gateway.upstream.then(After::Close);
    for n in 0..50 {
        let body = format!("body {n}");
        let headers = format!("Content-Length: {}\r\n\r\n{body}", body.len());
        let request = format!("POST /free/{n} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{headers}");
        let reply = gateway.raw(request.as_bytes()).await.remove(0);
        assert_eq!((reply.status, reply.body.as_str()), (200, CONTENT), "call {n}: {reply:?}");
        gateway.upstream.all_closed().await;
    }
    let targets: Vec<String> =
        gateway.upstream.requests().into_iter().map(|request| request.target).collect();
    let expected: Vec<String> = (0..50).map(|n| format!("/free/{n}")).collect();
    assert_eq!(targets, expected, "each once");
    assert_eq!(gateway.upstream.connections(), 50, "each died");
}

/// A call that the upstream took and died over is not made again: it may have been carried out. Paid, it is a credit.
#[tokio::test]
async fn a_call_that_arrived_is_not_made_twice() {
    let gateway = Gateway::new().await;
    for method in ["GET", "POST"] {
        // A connection that is kept, and dies over its second call.
        gateway.upstream.then(After::Keep);
        assert_eq!(call(&gateway, "GET", "/free", "").await.status, 200);
        let path = format!("/paid/{method}");
        let credential = gateway.buy(method, &path, &path).await;
        gateway.upstream.then(After::Hang);
        let headers = format!("Authorization: {credential}\r\n");
        let failed = call(&gateway, method, &path, &headers).await;
        assert_eq!((failed.status, failed.code().as_str()), (502, "upstream_failed"), "{failed:?}");
        gateway.upstream.then(After::Keep);
        let served = call(&gateway, method, &path, &headers).await;
        assert_eq!((served.status, served.body.as_str()), (200, CONTENT), "{served:?}");
        let made = gateway.upstream.requests().into_iter().filter(|request| request.target == path).count();
        assert_eq!(made, 2, "once by each request of the client");
    }
    assert_eq!(gateway.rail.settlements(), 2);
}
