//! C30: how often one address may ask for challenges and send payments. On sockets; the clock stands still until it is told
//! otherwise.
#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;
mod wire;

use std::sync::Arc;

use farthing_gate::proxy::ForwardedTrust;
use farthing_gate::{PrivateAddresses, Rate, RateLimiter, RateLimits};
use wire::{CONTENT, Gateway, Reply};

const BURST: u32 = 5;

/// A token a second, and a burst; loopback counts like any address.
fn limits(forwarded: ForwardedTrust) -> RateLimits {
    let rate = Rate { per_second: 1, burst: BURST };
    RateLimits { challenges: rate, verifications: rate, forwarded, private: PrivateAddresses::Counted }
}

async fn gateway(forwarded: ForwardedTrust) -> Gateway {
    let limiter = Arc::new(RateLimiter::new(&limits(forwarded)));
    Gateway::gated(|options| options, |gate| gate.rate_limiter(limiter)).await
}

/// A call of this path with these header lines.
async fn call(gateway: &Gateway, path: &str, headers: &str) -> Reply {
    let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{headers}\r\n");
    gateway.raw(request.as_bytes()).await.remove(0)
}

fn is_refused(reply: &Reply, code: &str) {
    assert_eq!((reply.status, reply.code().as_str()), (429, code), "{reply:?}");
    assert_eq!(reply.all("retry-after"), ["1"]);
    assert_eq!(reply.all("content-type"), ["application/problem+json"]);
    assert_eq!(reply.all("cache-control"), ["no-store"]);
    assert!(!reply.has("www-authenticate"), "nobody pays for it: {reply:?}");
}

#[tokio::test]
async fn challenges_are_limited() {
    let gateway = gateway(ForwardedTrust::Replace).await;
    for _ in 0..BURST {
        assert_eq!(call(&gateway, "/paid/x", "").await.status, 402);
    }
    // Whatever it is asked for, and wherever it says that it is from.
    for (path, headers) in [
        ("/paid/x", ""),
        ("/paid/y?a=b", ""),
        ("/paid/x", "X-Forwarded-For: 203.0.113.9\r\n"),
        ("/paid/x", "Forwarded: for=203.0.113.9\r\n"),
        ("/paid/x", "Accept-Payment: fake\r\n"),
    ] {
        is_refused(&call(&gateway, path, headers).await, "too_many_challenges");
    }
    let fields: [wire::h2::Field<'_>; 4] =
        [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"h"), (b":path", b"/paid/x")];
    assert_eq!(wire::h2::request(gateway.address, &fields, None).await.status, 429);
    // What is free is not limited, and neither is what is refused anyway.
    assert_eq!(call(&gateway, "/free", "").await.body, CONTENT);
    assert_eq!(call(&gateway, "/PAID/x", "").await.status, 404);
    gateway.clock.advance(1_000);
    assert_eq!(call(&gateway, "/paid/x", "").await.status, 402);
    is_refused(&call(&gateway, "/paid/x", "").await, "too_many_challenges");
}

#[tokio::test]
async fn verifications_are_limited_and_nothing_is_done_with_the_payment() {
    let gateway = gateway(ForwardedTrust::Replace).await;
    let credential = gateway.buy("GET", "/paid/x", "0x1").await;
    for junk in ["Payment e30", "Payment !", "Payment e30, Payment e30", "Payment e30", "payment x"] {
        let reply = call(&gateway, "/paid/x", &format!("Authorization: {junk}\r\n")).await;
        assert!(matches!(reply.status, 400 | 402), "{junk}: {reply:?}");
    }
    let header = format!("Authorization: {credential}\r\n");
    is_refused(&call(&gateway, "/paid/x", &header).await, "too_many_verifications");
    is_refused(&call(&gateway, "/paid/x", "Payment-Authorization: x\r\n").await, "too_many_verifications");
    assert_eq!((gateway.rail.settlements(), gateway.upstream.requests().len()), (0, 0));
    // The other bucket is full.
    assert_eq!(call(&gateway, "/paid/x", "").await.status, 402);
    gateway.clock.advance(1_000);
    let served = call(&gateway, "/paid/x", &header).await;
    assert_eq!((served.status, served.body.as_str()), (200, CONTENT), "the same credential: {served:?}");
}

/// Where a proxy in front is trusted, its last word counts, and nothing before it.
#[tokio::test]
async fn clients_behind_a_trusted_proxy_are_told_apart() {
    let gateway = gateway(ForwardedTrust::Append).await;
    let from = |hops: &str| format!("X-Forwarded-For: {hops}\r\n");
    for n in 0..BURST {
        let forged = format!("198.51.100.{n}, 203.0.113.7");
        assert_eq!(call(&gateway, "/paid/x", &from(&forged)).await.status, 402);
    }
    is_refused(&call(&gateway, "/paid/x", &from("198.51.100.99, 203.0.113.7")).await, "too_many_challenges");
    is_refused(
        &call(&gateway, "/paid/x", "Forwarded: for=1.2.3.4, for=203.0.113.7\r\n").await,
        "too_many_challenges",
    );
    for other in ["203.0.113.8", "203.0.113.7, 203.0.113.8", "[2001:db8::1]:4711"] {
        assert_eq!(call(&gateway, "/paid/x", &from(other)).await.status, 402, "{other}");
    }
    // One network of IPv6 is one client.
    for n in 0..BURST {
        call(&gateway, "/paid/x", &from(&format!("2001:db8:7:7::{n}"))).await;
    }
    is_refused(&call(&gateway, "/paid/x", &from("2001:db8:7:7:1:2:3:4")).await, "too_many_challenges");
}

/// Ten that flood take nothing from one that pays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_takes_nothing_from_others() {
    let gateway = Arc::new(gateway(ForwardedTrust::Append).await);
    let flood = |n: usize| {
        let gateway = Arc::clone(&gateway);
        tokio::spawn(async move {
            let (mut limited, mut asked) = (0, 0);
            for _ in 0..50 {
                let headers = format!("X-Forwarded-For: 203.0.113.{n}\r\n");
                let status = call(&gateway, "/paid/x", &headers).await.status;
                limited += usize::from(status == 429);
                asked += usize::from(status == 402);
            }
            (limited, asked)
        })
    };
    let floods: Vec<_> = (0..10).map(flood).collect();
    for n in 0..50 {
        let headers = format!("X-Forwarded-For: 198.51.100.{n}\r\n");
        let unpaid = call(&gateway, "/paid/x", &headers).await;
        assert_eq!(unpaid.status, 402, "{unpaid:?}");
        let credential = harness::answer(&unpaid.challenges()[0], &format!("0x{n}"));
        let headers = format!("{headers}Authorization: {credential}\r\n");
        let served = call(&gateway, "/paid/x", &headers).await;
        assert_eq!((served.status, served.body.as_str()), (200, CONTENT), "{served:?}");
    }
    for flood in floods {
        let burst = usize::try_from(BURST).unwrap();
        assert_eq!(flood.await.unwrap(), (50 - burst, burst), "each has its own burst and no more");
    }
}
