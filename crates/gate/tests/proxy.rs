//! The proxy and the server as HTTP: uploads, connections, HTTP/2.
#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use farthing_store::MemoryClaims;
use harness::Rig;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn rig() -> Rig {
    Rig::with(Arc::new(MemoryClaims::new()), |mut options| {
        options.max_request_body_bytes = 16;
        options
    })
    .await
}

/// Sends these bytes, waits for the whole answer, and gives its first line and its body's code.
async fn raw(rig: &Rig, bytes: &str) -> String {
    let mut stream = TcpStream::connect(rig.address).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn uploads_are_streamed_within_limits() {
    let rig = rig().await;
    let head = "POST /free HTTP/1.1\r\nHost: h\r\nConnection: close\r\n";
    for (rest, status, code) in [
        ("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "200", ""),
        ("Content-Length: 5\r\n\r\nhello", "200", ""),
        ("Content-Length: 17\r\n\r\nseventeen letters", "413", "body_too_large"),
        ("Transfer-Encoding: chunked\r\n\r\n11\r\nseventeen letters\r\n0\r\n\r\n", "413", "body_too_large"),
        // The rest never comes.
        ("Content-Length: 9\r\n\r\nhello", "408", "body_idle"),
    ] {
        let answer = raw(&rig, &format!("{head}{rest}")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{rest}: {answer}");
        assert!(answer.contains(code), "{rest}: {answer}");
        if status == "200" {
            assert_eq!(rig.upstream.last().body, "hello");
        }
    }
}

/// Two lengths that disagree, or a length and chunks: one reading only, or none (request smuggling).
#[tokio::test]
async fn smuggling_shapes_are_read_once() {
    let rig = rig().await;
    for head in [
        "Content-Length: 3\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Content-Length: +5\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
    ] {
        let smuggled = "GET /paid/x HTTP/1.1\r\nHost: h\r\n\r\n";
        raw(
            &rig,
            &format!("POST /free HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{head}\r\n0\r\n\r\n{smuggled}"),
        )
        .await;
        let seen = rig.upstream.seen.lock().unwrap().clone();
        assert!(seen.iter().all(|seen| seen.target == "/free"), "{head}: {seen:?}");
        assert!(seen.iter().all(|seen| !seen.body.contains("GET")), "{head}: {seen:?}");
    }
}

#[tokio::test]
async fn connections_to_the_upstream_are_kept() {
    let rig = rig().await;
    for _ in 0..10 {
        assert_eq!(rig.send("GET", "/free", &[]).await.status, 200);
    }
    let connections = rig.upstream.connections.load(Ordering::SeqCst);
    assert!(connections < 10, "{connections} connections for 10 calls");
}

/// The same answers over HTTP/2, where the target names the host.
#[tokio::test]
async fn http2_is_served_alike() {
    let rig = rig().await;
    let stream = TokioIo::new(TcpStream::connect(rig.address).await.unwrap());
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(connection);
    for (path, status) in [("/free", 200), ("/paid/x", 402), ("//paid/%78", 402), ("/PAID/x", 404)] {
        let request = Request::get(format!("http://h2.example{path}")).body(Empty::<Bytes>::new()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        response.into_body().collect().await.unwrap();
    }
    assert_eq!(rig.upstream.last().headers["x-forwarded-host"], "h2.example");
    assert_eq!(rig.upstream.last().headers["x-forwarded-for"], "127.0.0.1");
    let (credential, _) = rig.buy_with_body("GET", "/paid/x", "0x1", "").await;
    let request = Request::get("http://h2.example/paid/x").header("authorization", credential);
    let response = sender.send_request(request.body(Empty::new()).unwrap()).await.unwrap();
    assert_eq!((response.status().as_u16(), response.headers().contains_key("payment-receipt")), (200, true));
}
