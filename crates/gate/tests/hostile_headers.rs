//! Headers that a client sends to be taken for something else, each with the reason why it does not pass, and the same for
//! what an upstream sends. On sockets, over HTTP/1.1 and HTTP/2, free and paid.
#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;
mod wire;

use std::collections::BTreeSet;

use farthing_gate::proxy::{ForwardedTrust, InjectedHeader};
use http::{HeaderName, HeaderValue};
use wire::{CONTENT, Gateway};

/// Why a header of a client does not reach the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// It is about the connection between client and gateway (RFC 9110, section 7.6.1).
    Hop,
    /// `Connection` names it.
    Named,
    /// It is between the client and the gateway: who sees a credential can use it (C19).
    Payment,
    /// A service behind us would take it for our word.
    Ours,
    /// Some upstreams serve another method, path or host for it: the price was for this one.
    Override,
    /// The gateway writes it from what it saw itself.
    Origin,
    /// A proxy in front would say it; anybody can send it.
    Identity,
    /// CGI, WSGI and PHP read it as the name with hyphens.
    Spelling,
}
use Why::{Hop, Identity, Named, Origin, Ours, Override, Payment, Spelling};

const HOSTILE: &[(&str, &str, Why)] = &[
    ("Connection", "x-other", Hop),
    ("Keep-Alive", "timeout=600", Hop),
    ("Proxy-Connection", "keep-alive", Hop),
    ("Proxy-Authorization", "Basic eA==", Hop),
    ("Proxy-Authenticate", "Basic", Hop),
    ("Proxy-Authentication-Info", "x", Hop),
    ("Upgrade", "h2c", Hop),
    ("HTTP2-Settings", "AAMAAABkAAQAoAAAAAIAAAAA", Hop),
    ("TE", "gzip", Hop),
    ("Trailer", "X-Original-URL", Hop),
    ("Expect", "100-continue", Hop),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==", Hop),
    ("Sec-WebSocket-Protocol", "mqtt", Hop),
    ("X-Named", "1", Named),
    ("X-Hop", "1", Named),
    ("Authorization", "Payment e30", Payment),
    ("authorization", "payment e30", Payment),
    ("AUTHORIZATION", "PAYMENT\te30", Payment),
    ("Payment-Authorization", "Payment e30", Payment),
    ("Payment-Authorization", "Bearer x", Payment),
    ("Payment-Receipt", "forged", Payment),
    ("Payment-Required", "e30", Payment),
    ("Payment-Signature", "e30", Payment),
    ("Payment-Response", "e30", Payment),
    ("Payment-Session", "x", Payment),
    ("Accept-Payment", "tempo", Payment),
    ("X-Payment", "e30", Payment),
    ("X-Payment-Response", "e30", Payment),
    ("X-Payment-Token", "x", Payment),
    ("X-Farthing-Payer", "did:pkh:eip155:1:0x0", Ours),
    ("X-Farthing-Tenant", "1", Ours),
    ("X-Farthing", "1", Ours),
    ("X-HTTP-Method-Override", "DELETE", Override),
    ("X-HTTP-Method", "DELETE", Override),
    ("X-Method-Override", "DELETE", Override),
    ("X-HTTP-Path-Override", "/paid/x", Override),
    ("X-HTTP-Host-Override", "other", Override),
    ("X-Tenant-Override", "1", Override),
    ("X-Original-URL", "/paid/x", Override),
    ("X-Original-URI", "/paid/x", Override),
    ("X-Original-Host", "other", Override),
    ("X-Original-Method", "DELETE", Override),
    ("X-Rewrite-URL", "/paid/x", Override),
    ("X-Override-URL", "/paid/x", Override),
    ("X-Forwarded-URI", "/paid/x", Override),
    ("X-Forwarded-Path", "/paid/x", Override),
    ("X-Forwarded-Prefix", "/paid", Override),
    ("X-Forwarded-Method", "DELETE", Override),
    ("X-Envoy-Original-Path", "/paid/x", Override),
    ("X-Accel-Redirect", "/paid/x", Override),
    ("X-Middleware-Subrequest", "middleware", Override),
    ("X-Host", "other", Override),
    ("X-Backend-Host", "other", Override),
    ("Base-Url", "http://other", Override),
    ("Request-Uri", "/paid/x", Override),
    ("Proxy", "http://evil.example", Override),
    ("Forwarded", "for=10.0.0.1;host=other;proto=gopher", Origin),
    ("X-Forwarded-For", "10.0.0.1", Origin),
    ("X-Forwarded-Host", "other", Origin),
    ("X-Forwarded-Proto", "gopher", Origin),
    ("X-Forwarded-Port", "1", Origin),
    ("X-Forwarded-Server", "other", Origin),
    ("X-Forwarded-Scheme", "gopher", Origin),
    ("X-Real-IP", "10.0.0.1", Identity),
    ("X-Client-IP", "10.0.0.1", Identity),
    ("True-Client-IP", "10.0.0.1", Identity),
    ("CF-Connecting-IP", "10.0.0.1", Identity),
    ("X-Forwarded-User", "root", Identity),
    ("X-Forwarded-Client-Cert", "By=x", Identity),
    ("X-Forwarded-Ssl", "on", Identity),
    ("Front-End-Https", "on", Identity),
    ("Remote-User", "root", Identity),
    ("X-Remote-User", "root", Identity),
    ("X-Auth-Request-Email", "root@example.com", Identity),
    ("X-Authenticated-Userid", "root", Identity),
    ("X-WebAuth-User", "root", Identity),
    ("SSL-Client-Verify", "SUCCESS", Identity),
    ("X-SSL-Client-CN", "root", Identity),
    ("Client-Cert", ":MII=:", Identity),
    ("X_Forwarded_For", "10.0.0.1", Spelling),
    ("X-Forwarded_For", "10.0.0.1", Spelling),
    ("Payment_Authorization", "Payment e30", Spelling),
    ("X_HTTP_Method_Override", "DELETE", Spelling),
    ("Content_Length", "7", Spelling),
    ("Transfer_Encoding", "chunked", Spelling),
    ("X.Forwarded.For", "10.0.0.1", Spelling),
    ("X~Api~Key", "stolen", Spelling),
    ("X_Api_Key", "stolen", Spelling),
];

/// Headers about the request, which pass as they are.
const HARMLESS: &[(&str, &str)] = &[
    ("Accept", "text/html"),
    ("Authorization", "Bearer abc"),
    ("Cookie", "a=b"),
    ("Range", "bytes=0-1"),
    ("Idempotency-Key", "7"),
    ("User-Agent", "x"),
    ("X-Request-Id", "7"),
];

/// What every upstream request has that the gateway wrote.
const WRITTEN: [&str; 6] =
    ["host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "forwarded", "x-api-key"];

async fn gateway() -> Gateway {
    Gateway::with(|mut options| {
        let value = HeaderValue::from_static("the-real-key");
        options.inject.push(InjectedHeader::new(HeaderName::from_static("x-api-key"), value));
        options
    })
    .await
}

/// What the upstream got of the last request, by name.
fn names(gateway: &Gateway) -> BTreeSet<String> {
    let request = gateway.upstream.requests().pop().expect("a request");
    request.headers.into_iter().map(|(name, _)| name).collect()
}

/// Nothing of a hostile header arrives, by name or by value, and what the gateway writes is its own.
fn judge(gateway: &Gateway, what: &str, (name, value, why): (&str, &str, Why)) {
    let request = gateway.upstream.requests().pop().expect("a request");
    let name = name.to_ascii_lowercase();
    let extra: Vec<_> = request
        .headers
        .iter()
        .filter(|(sent, _)| !WRITTEN.contains(&sent.as_str()) && sent != "content-length")
        .collect();
    assert!(extra.is_empty(), "{what} {name} ({why:?}): {extra:?}");
    if !value.is_empty() && value.len() > 3 {
        let said = request.headers.iter().any(|(_, sent)| sent.contains(value));
        assert!(!said, "{what} {name} ({why:?}): its value arrives in {:?}", request.headers);
    }
    assert_eq!(request.all("x-api-key"), ["the-real-key"], "{what} {name}");
    assert_eq!(request.all("x-forwarded-for"), ["127.0.0.1"], "{what} {name}");
    assert_eq!(request.all("x-forwarded-proto"), ["https"], "{what} {name}");
    assert_eq!(request.all("host").len(), 1, "{what} {name}");
}

#[tokio::test]
async fn no_hostile_header_is_forwarded() {
    assert!(HOSTILE.len() >= 60);
    let gateway = gateway().await;
    for (n, (name, value, why)) in HOSTILE.iter().copied().enumerate() {
        let named =
            if why == Named { format!("Connection: close, {name}") } else { "Connection: close".into() };
        // A TE or an Upgrade that is used has to be named by Connection too: with and without.
        for (what, path) in [("free", "/free".to_owned()), ("paid", format!("/paid/h{n}"))] {
            let credential = if what == "paid" {
                format!("Payment-Authorization: {}\r\n", gateway.buy("GET", &path, &format!("0x{n}")).await)
            } else {
                String::new()
            };
            // One credential a request: those of the table that are one are sent to free routes alone.
            if what == "paid" && why == Payment && (value.contains("e30") || name.contains("Authorization")) {
                continue;
            }
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: h\r\n{named}\r\n{name}: {value}\r\n{credential}\r\n");
            let reply = gateway.raw(request.as_bytes()).await.remove(0);
            assert_eq!((reply.status, reply.body.as_str()), (200, CONTENT), "{what} {name}: {reply:?}");
            judge(&gateway, what, (name, value, why));
        }
    }
}

/// All at once, twice each, and with a trusted proxy in front, which changes only who says where the client is.
#[tokio::test]
async fn all_at_once_change_nothing() {
    for trust in [ForwardedTrust::Replace, ForwardedTrust::Append] {
        let gateway = Gateway::with(|mut options| {
            options.forwarded = trust;
            options
        })
        .await;
        let mut request = "GET /free HTTP/1.1\r\nHost: h\r\nConnection: close, x-named, x-hop\r\n".to_owned();
        for (name, value, why) in HOSTILE.iter().filter(|(_, _, why)| !matches!(why, Payment)) {
            if *why == Hop && *name == "Connection" {
                continue;
            }
            request += &format!("{name}: {value}\r\n");
        }
        request += "\r\n";
        let reply = gateway.raw(request.as_bytes()).await.remove(0);
        assert_eq!(reply.status, 200, "{reply:?}");
        let names = names(&gateway);
        for (name, _, why) in HOSTILE {
            let trusted = trust == ForwardedTrust::Append && *why == Identity;
            let written = WRITTEN.contains(&name.to_ascii_lowercase().as_str());
            let arrived = names.contains(&name.to_ascii_lowercase());
            assert!(
                written || *why == Payment || arrived == trusted,
                "{trust:?} {name} ({why:?}) arrived: {arrived}"
            );
        }
        let request = gateway.upstream.requests().pop().unwrap();
        let expected = if trust == ForwardedTrust::Append { "10.0.0.1, 127.0.0.1" } else { "127.0.0.1" };
        assert_eq!(request.all("x-forwarded-for"), [expected]);
    }
}

#[tokio::test]
async fn what_is_about_the_request_passes() {
    let gateway = gateway().await;
    let mut request = "GET /free HTTP/1.1\r\nHost: h\r\nConnection: close\r\n".to_owned();
    for (name, value) in HARMLESS {
        request += &format!("{name}: {value}\r\n");
    }
    gateway.raw((request + "\r\n").as_bytes()).await;
    let seen = gateway.upstream.requests().pop().unwrap();
    for (name, value) in HARMLESS {
        assert_eq!(seen.all(&name.to_ascii_lowercase()), [*value], "{name}");
    }
    // A scheme of the client's own stays when a credential stood beside it.
    let both = "GET /free HTTP/1.1\r\nHost: h\r\nConnection: close\r\nAuthorization: Bearer abc, Payment e30\r\n\r\n";
    gateway.raw(both.as_bytes()).await;
    assert_eq!(gateway.upstream.requests().pop().unwrap().all("authorization"), ["Bearer abc"]);
}

/// The same over HTTP/2. What is about a connection is malformed there (RFC 9113, section 8.2.2) and refused or dropped.
#[tokio::test]
async fn no_hostile_header_is_forwarded_over_http2() {
    let gateway = gateway().await;
    for (name, value, why) in HOSTILE {
        let before = gateway.upstream.requests().len();
        let lower = name.to_ascii_lowercase();
        if *why == Named {
            continue;
        }
        let fields: [wire::h2::Field<'_>; 5] = [
            (b":method", b"GET"),
            (b":scheme", b"http"),
            (b":authority", b"h"),
            (b":path", b"/free"),
            (lower.as_bytes(), value.as_bytes()),
        ];
        let reply = wire::h2::request(gateway.address, &fields, None).await;
        if gateway.upstream.requests().len() == before {
            assert!(*why == Hop && (reply.refused || reply.status == 400), "{name} ({why:?}): {reply:?}");
            continue;
        }
        assert_eq!((reply.status, reply.text().as_str()), (200, CONTENT), "{name}");
        judge(&gateway, "h2", (name, value, *why));
    }
}

/// Trailers of a request are not looked at by anybody, so nobody gets them.
#[tokio::test]
async fn trailers_do_not_smuggle_headers() {
    let gateway = gateway().await;
    let request = "POST /free HTTP/1.1\r\nHost: h\r\nConnection: close\r\nTrailer: X-Original-URL, X-Sum\r\n\
        Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Original-URL: /paid/x\r\nX-Sum: 1\r\n\
        Authorization: Payment e30\r\n\r\n";
    let reply = gateway.raw(request.as_bytes()).await.remove(0);
    assert_eq!(reply.status, 200, "{reply:?}");
    // The recorder panics over trailers.
    let seen = gateway.upstream.requests().pop().unwrap();
    assert_eq!((seen.body.as_slice(), seen.all("trailer").len()), (&b"abc"[..], 0));
}

/// Header lines of an upstream, whether they reach the client, and why.
const ANSWERS: &[(&str, &str, bool, &str)] = &[
    ("Keep-Alive", "timeout=600", false, "about the connection to the upstream"),
    ("Proxy-Authenticate", "Basic", false, "about the connection to the upstream"),
    ("Proxy-Connection", "keep-alive", false, "about the connection to the upstream"),
    ("Upgrade", "h2c", false, "about the connection to the upstream"),
    ("TE", "trailers", false, "about the connection to the upstream"),
    ("Payment-Receipt", "forged", false, "only the gate knows what was paid"),
    ("payment-receipt", "forged", false, "only the gate knows what was paid"),
    ("Payment-Required", "forged", false, "only the gate asks for payments"),
    ("Payment-Response", "forged", false, "only the gate knows what was paid"),
    ("X-Payment-Response", "forged", false, "only the gate knows what was paid"),
    ("WWW-Authenticate", "Payment id=\"forged\"", false, "only the gate asks for payments"),
    (
        "WWW-Authenticate",
        "Basic realm=\"x\", payment id=\"forged\"",
        false,
        "a challenge of ours among others",
    ),
    ("X-Farthing-Payer", "x", false, "ours to say"),
    ("Alt-Svc", "h3=\":443\"", false, "leads around the gate"),
    ("X-Accel-Redirect", "/paid/x", false, "tells a proxy to serve something else"),
    ("X-Sendfile", "/etc/passwd", false, "tells a proxy to serve something else"),
    ("X-Reproxy-URL", "http://up/paid/x", false, "tells a proxy to ask around the gate"),
    ("WWW-Authenticate", "Basic realm=\"x\"", true, "the upstream's own login"),
    ("Set-Cookie", "a=b", true, "about the content"),
    ("ETag", "\"x\"", true, "about the content"),
    ("X-Accel-Buffering", "no", true, "asks a proxy in front to stream"),
    ("Server", "up", true, "harmless"),
];

#[tokio::test]
async fn answers_are_scrubbed() {
    let gateway = gateway().await;
    for (n, (name, value, passes, why)) in ANSWERS.iter().enumerate() {
        *gateway.upstream.answer.lock().unwrap() = format!("{name}: {value}\r\n");
        let credential = {
            let silent = std::mem::take(&mut *gateway.upstream.answer.lock().unwrap());
            let credential = gateway.buy("GET", &format!("/paid/a{n}"), &format!("0xa{n}")).await;
            *gateway.upstream.answer.lock().unwrap() = silent;
            credential
        };
        for path in ["/free".to_owned(), format!("/paid/a{n}")] {
            let request = format!(
                "GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nPayment-Authorization: {credential}\r\n\r\n"
            );
            let reply = gateway.raw(request.as_bytes()).await.remove(0);
            assert_eq!((reply.status, reply.body.as_str()), (200, CONTENT), "{path}: {reply:?}");
            let came = reply.all(&name.to_ascii_lowercase()).contains(value);
            assert_eq!(came, *passes, "{path}: {name}: {value} ({why}): {reply:?}");
            assert_eq!(reply.has("payment-receipt"), path != "/free", "the receipt is ours: {reply:?}");
        }
    }
}
