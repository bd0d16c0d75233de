//! Bodies that a payment is bound to: given up when they take too long, and never more of them kept than there is room for.
#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;

use std::sync::Arc;
use std::time::Duration;

use farthing_gate::BoundBodyLimits;
use farthing_gate::server::ServerOptions;
use farthing_store::MemoryClaims;
use harness::Rig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn rig(limits: BoundBodyLimits) -> Rig {
    let store = Arc::new(MemoryClaims::new());
    Rig::serving(store, |proxy| proxy, |gate| gate.bound_bodies(limits), ServerOptions::default()).await
}

const LIMITS: BoundBodyLimits =
    BoundBodyLimits { max_bytes: 64, idle_timeout_ms: 60_000, timeout_ms: 60_000, budget_bytes: 64 };

async fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// Announces ten bytes and sends five.
async fn half_sent(rig: &Rig, credential: Option<&str>) -> TcpStream {
    let mut headers = vec![("Content-Length", "10")];
    headers.extend(credential.map(|credential| ("Authorization", credential)));
    let mut stream = rig.open("POST", "/bound", &headers, "").await;
    stream.write_all(b"hello").await.unwrap();
    stream
}

/// Paid for or not; and the payment is still good for the whole body.
#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    for (idle_timeout_ms, timeout_ms) in [(50, 60_000), (60_000, 50)] {
        let rig = rig(BoundBodyLimits { idle_timeout_ms, timeout_ms, ..LIMITS }).await;
        let unpaid = rest(half_sent(&rig, None).await).await;
        assert!(unpaid.starts_with("HTTP/1.1 408 ") && unpaid.contains("body_timeout"), "{unpaid}");
        let (credential, _) = rig.buy_with_body("POST", "/bound", "0x1", "helloworld").await;
        let paid = rest(half_sent(&rig, Some(&credential)).await).await;
        assert!(paid.starts_with("HTTP/1.1 408 ") && paid.contains("body_timeout"), "{paid}");
        assert_eq!((rig.rail.settlements(), rig.upstream.calls()), (0, 0));
        let served = rig.send_body("POST", "/bound", &[("Authorization", &credential)], "helloworld").await;
        assert_eq!((served.status, rig.upstream.last().body.as_str()), (200, "helloworld"), "{served:?}");
    }
}

/// One client that sends slowly takes up no more than its bytes; beyond the budget the others are told to come again.
#[tokio::test]
async fn kept_bodies_have_a_budget() {
    let rig = rig(LIMITS).await;
    let long = "x".repeat(60);
    let (credential, _) = rig.buy_with_body("POST", "/bound", "0x1", &long).await;
    let auth = [("Authorization", credential.as_str())];
    let (first, _) = rig.buy_with_body("POST", "/bound", "0x2", "helloworld").await;
    let mut held = half_sent(&rig, Some(&first)).await;
    // Whether the five bytes have been read yet is not to be seen from here.
    let refused = loop {
        let answer = rig.send_body("POST", "/bound", &auth, &"y".repeat(60)).await;
        if answer.status != 402 {
            break answer;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!((refused.status, refused.code().as_str()), (503, "gate_busy"), "{refused:?}");
    assert_eq!(refused.one("retry-after"), Some("1"));
    let unpaid = rig.send_body("POST", "/bound", &[], &long).await;
    assert_eq!(unpaid.status, 402, "a body that is only digested is not kept: {unpaid:?}");
    assert_eq!(rig.rail.settlements(), 0);
    held.write_all(b"world").await.unwrap();
    assert!(rest(held).await.starts_with("HTTP/1.1 200 "));
    let served = rig.send_body("POST", "/bound", &auth, &long).await;
    assert_eq!(served.status, 200, "{served:?}");
}
