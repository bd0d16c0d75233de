//! Connections that do nothing are closed, and those that do something are not.
#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use farthing_gate::proxy::{Proxy, ProxyOptions};
use farthing_gate::server::{ServerOptions, serve};
use farthing_store::MemoryClaims;
use futures_util::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const LIMIT_MS: u64 = 400;
/// Several times the limits.
const LONG: Duration = Duration::from_millis(1_600);
const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const BIG: usize = 16 << 20;

struct Server {
    address: SocketAddr,
    /// Answers that the upstream is sending.
    sending: Arc<AtomicUsize>,
}

/// Counts an answer until it is dropped.
struct Sending(Arc<AtomicUsize>);

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// `/slow` answers late, `/drip` a little at a time, `/big` much at once.
async fn upstream(sending: Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let sending = Arc::clone(&sending);
            tokio::spawn(async move {
                let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                    let sending = Arc::clone(&sending);
                    async move {
                        sending.fetch_add(1, Ordering::SeqCst);
                        let (count, size, pause) = match request.uri().path() {
                            "/big" => (BIG / 65_536, 65_536, Duration::ZERO),
                            "/drip" => (32, 10, LONG / 32),
                            _ => (1, 10, LONG),
                        };
                        let parts = stream::unfold((0, Sending(sending)), move |(n, sending)| async move {
                            tokio::time::sleep(pause).await;
                            let part = Ok::<_, Infallible>(Frame::data(Bytes::from(vec![b'x'; size])));
                            (n < count).then_some((part, (n + 1, sending)))
                        });
                        if request.uri().path() == "/slow" {
                            tokio::time::sleep(LONG).await;
                        }
                        Ok::<_, Infallible>(Response::new(StreamBody::new(Box::pin(parts))))
                    }
                });
                let connection = hyper::server::conn::http1::Builder::new();
                let _ = connection.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

async fn server() -> Server {
    let sending = Arc::new(AtomicUsize::new(0));
    let rail = Arc::new(harness::rail::FakeRail::new());
    let clock = harness::fixed_clock();
    let gate = harness::builder(&rail, Arc::new(MemoryClaims::new()), &clock).build().unwrap();
    let upstream = upstream(Arc::clone(&sending)).await;
    let proxy = Proxy::new(ProxyOptions::new(format!("http://{upstream}").parse().unwrap())).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let options = ServerOptions {
        header_timeout_ms: LIMIT_MS,
        idle_timeout_ms: LIMIT_MS,
        stall_timeout_ms: LIMIT_MS,
        ..ServerOptions::default()
    };
    tokio::spawn(serve(listener, gate, proxy, options, std::future::pending()));
    Server { address, sending }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends a request and reads the whole answer.
    async fn get(&self, path: &str) -> String {
        let mut stream = self.connect().await;
        let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn nothing_is_sent(&self) {
        while self.sending.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Fails a test that would wait for ever.
async fn in_the_end<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.unwrap_or_else(|_| panic!("never: {what}"))
}

async fn closed(mut stream: TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said).await;
    said
}

#[tokio::test]
async fn silent_connections_are_closed() {
    let server = server().await;
    let mut silent = Vec::new();
    for n in 0..200 {
        let mut stream = server.connect().await;
        if n % 2 == 1 {
            stream.write_all(&PREFACE.as_bytes()[..12]).await.unwrap();
        }
        silent.push(stream);
        if n % 50 == 0 {
            assert!(server.get("/healthz").await.starts_with("HTTP/1.1 200 "));
        }
    }
    for stream in silent {
        in_the_end("a silent connection is closed", closed(stream)).await;
    }
    let settings = "\0\0\0\x04\0\0\0\0\0";
    for (what, sent) in [
        ("one byte", "G"),
        ("one byte of a preface", "P"),
        ("half a head", "GET /healthz HTTP/1.1\r\nHos"),
        ("a preface", PREFACE),
        ("HTTP/2 without a request", &format!("{PREFACE}{settings}")),
        ("half a frame", &format!("{PREFACE}{settings}\0\0\x10\x01")),
        ("one request, and no other", "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n"),
        ("one request, and half of another", "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\nGET"),
    ] {
        let mut stream = server.connect().await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        let said = in_the_end(what, closed(stream)).await;
        assert_eq!(said.starts_with(b"HTTP/1.1 200 "), what.starts_with("one request"), "{what}");
    }
    assert!(server.get("/healthz").await.starts_with("HTTP/1.1 200 "));
}

/// A byte now and then is not a request.
#[tokio::test]
async fn dripping_connections_are_closed() {
    let server = server().await;
    for sent in [PREFACE.repeat(9), format!("GET /{} HTTP/1.1", "x".repeat(9_000))] {
        let (mut reader, mut writer) = server.connect().await.into_split();
        let dripped = Arc::new(AtomicUsize::new(0));
        let (total, count) = (sent.len(), Arc::clone(&dripped));
        let dripping = tokio::spawn(async move {
            for byte in sent.bytes() {
                if writer.write_all(&[byte]).await.is_err() {
                    return;
                }
                count.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(LIMIT_MS / 8)).await;
            }
        });
        let mut said = Vec::new();
        let _ = in_the_end("a dripping connection is closed", reader.read_to_end(&mut said)).await;
        let dripped = dripped.load(Ordering::SeqCst);
        assert!(dripped < total, "closed by the server, not at the end of all {total} bytes");
        dripping.abort();
    }
}

#[tokio::test]
async fn idle_http2_is_closed_and_busy_http2_is_not() {
    let server = server().await;
    let stream = TokioIo::new(server.connect().await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    let connection = tokio::spawn(connection);
    for path in ["/healthz", "/slow", "/drip"] {
        let request = Request::get(format!("http://h{path}")).body(Empty::<Bytes>::new()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert!(!response.into_body().collect().await.unwrap().to_bytes().is_empty(), "{path}");
    }
    let _ = in_the_end("an idle connection is closed", connection).await;
}

#[tokio::test]
async fn slow_upstreams_and_slow_readers_are_not_cut() {
    let server = server().await;
    for path in ["/slow", "/drip"] {
        let answer = server.get(path).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("0\r\n\r\n"), "{path}: {answer}");
    }
    let mut stream = server.connect().await;
    stream.write_all(b"GET /big HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.unwrap();
    let (mut read, mut part) = (0, vec![0; 128 * 1024]);
    loop {
        // As slowly as to take several times the limits.
        tokio::time::sleep(LONG / 128).await;
        match stream.read(&mut part).await.unwrap() {
            0 => break,
            bytes => read += bytes,
        }
    }
    assert!(read > BIG, "{read} of {BIG} bytes");
}

#[tokio::test]
async fn readers_that_stall_are_closed() {
    let server = server().await;
    let mut stalled = server.connect().await;
    stalled.write_all(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    let mut byte = [0];
    stalled.read_exact(&mut byte).await.unwrap();
    in_the_end("HTTP/1.1", server.nothing_is_sent()).await;
    let stream = TokioIo::new(server.connect().await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    let connection = tokio::spawn(connection);
    // It answers pings and takes what comes, but never makes room for more of the body.
    let request = Request::get("http://h/big").body(Empty::<Bytes>::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    in_the_end("HTTP/2", server.nothing_is_sent()).await;
    let _ = in_the_end("its connection is closed", connection).await;
    assert!(response.into_body().collect().await.is_err());
    assert!(server.get("/healthz").await.starts_with("HTTP/1.1 200 "));
}

/// Whoever uploads much and is asked to pay learns the price, and not that the connection broke.
#[tokio::test]
async fn an_answer_comes_before_a_long_body_was_read() {
    const UPLOAD: usize = 12 << 20;
    let server = server().await;
    for round in 0..10 {
        let stream = server.connect().await;
        let (mut read, mut write) = stream.into_split();
        let upload = tokio::spawn(async move {
            let head = format!(
                "POST /paid/x HTTP/1.1\r\nHost: h\r\nContent-Length: {UPLOAD}\r\nConnection: close\r\n\r\n"
            );
            write.write_all(head.as_bytes()).await?;
            // A client that looks at nothing before it has sent everything.
            write.write_all(&vec![b'x'; UPLOAD]).await
        });
        let sent = in_the_end("the upload", upload).await.unwrap();
        assert!(sent.is_ok(), "round {round}: {sent:?}");
        let mut answer = Vec::new();
        in_the_end("the answer", read.read_to_end(&mut answer)).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with("HTTP/1.1 402 "), "round {round}: {answer:.200}");
    }
}
