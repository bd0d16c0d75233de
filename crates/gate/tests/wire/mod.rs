//! Bytes on sockets: a gateway in front of an upstream that writes down every byte it gets and serves whatever it is asked,
//! and clients that send exactly what they are given, in HTTP/1.1 and in HTTP/2.
#![allow(clippy::unwrap_used, dead_code, reason = "tests; each test program uses a part")]

pub mod certificate;
pub mod h2;
pub mod recorder;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use farthing_gate::GateBuilder;
use farthing_gate::proxy::{Proxy, ProxyOptions};
use farthing_gate::server::{ServerOptions, serve};
use farthing_protocol::Challenge;
use farthing_store::MemoryClaims;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::rail::FakeRail;
use crate::harness::{self, FakeClock};
use recorder::Recorder;

/// What the upstream serves, to anybody.
pub const CONTENT: &str = "the-paid-content";

pub struct Gateway {
    pub address: SocketAddr,
    pub upstream: Recorder,
    pub rail: Arc<FakeRail>,
    pub clock: FakeClock,
}

impl Gateway {
    pub async fn new() -> Self {
        Self::with(|options| options).await
    }

    pub async fn with(configure: impl FnOnce(ProxyOptions) -> ProxyOptions) -> Self {
        Self::gated(configure, |gate| gate).await
    }

    pub async fn gated(
        configure: impl FnOnce(ProxyOptions) -> ProxyOptions,
        gate: impl FnOnce(GateBuilder) -> GateBuilder,
    ) -> Self {
        let (rail, clock) = (Arc::new(FakeRail::new()), harness::fixed_clock());
        let upstream = Recorder::start().await;
        let gate = gate(harness::builder(&rail, Arc::new(MemoryClaims::new()), &clock)).build().unwrap();
        let mut options = ProxyOptions::new(format!("http://{}", upstream.address).parse().unwrap());
        (options.head_timeout_ms, options.idle_timeout_ms) = (1_000, 1_000);
        let proxy = Proxy::new(configure(options)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limits = ServerOptions { header_timeout_ms: 200, idle_timeout_ms: 200, ..Default::default() };
        tokio::spawn(serve(listener, gate, proxy, limits, std::future::pending()));
        Self { address, upstream, rail, clock }
    }

    /// Sends these bytes, ends the sending side, and reads until the gateway closes.
    pub async fn raw(&self, bytes: &[u8]) -> Vec<Reply> {
        replies(&self.raw_bytes(bytes).await, bytes.starts_with(b"HEAD "))
    }

    /// The same, as it came.
    pub async fn raw_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        send_last(TcpStream::connect(self.address).await.unwrap(), bytes).await
    }

    /// A credential for this call.
    pub async fn buy(&self, method: &str, path: &str, tx: &str) -> String {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        let reply = self.raw(request.as_bytes()).await.remove(0);
        assert_eq!(reply.status, 402, "{reply:?}");
        harness::answer(&reply.challenges()[0], tx)
    }
}

/// Sends the last bytes of a connection, and reads until the gateway closes.
pub async fn send_last(mut stream: TcpStream, bytes: &[u8]) -> Vec<u8> {
    // The gateway may close while we are still sending.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let _ = tokio::time::timeout(Duration::from_secs(20), read).await.expect("the gateway closes");
    answer
}

/// One request on a connection that stays, and its answer, which has a length.
pub async fn exchange(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut answer, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut part).await.unwrap();
        assert!(read > 0, "the connection stays");
        answer.extend_from_slice(&part[..read]);
        let found = replies(&answer, false);
        let length =
            |reply: &Reply| reply.all("content-length").first().and_then(|n| n.parse::<usize>().ok());
        if found.first().is_some_and(|reply| length(reply) == Some(reply.body.len())) {
            return String::from_utf8_lossy(&answer).into_owned();
        }
    }
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Reply {
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
    }

    pub fn has(&self, name: &str) -> bool {
        !self.all(name).is_empty()
    }

    pub fn challenges(&self) -> Vec<Challenge> {
        let values = self.all("www-authenticate").into_iter().map(str::as_bytes);
        Challenge::parse_all(values).into_iter().filter_map(Result::ok).collect()
    }

    pub fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        body["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// The answers on a connection, one after the other, where the first may be one to a HEAD. Interim ones are left out.
pub fn replies(bytes: &[u8], head_first: bool) -> Vec<Reply> {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    let mut found = Vec::new();
    while let Some((head, rest)) = text.split_once("\r\n\r\n") {
        let mut lines = head.split("\r\n");
        let first = lines.next().unwrap();
        let status = first.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        if status == 100 {
            text = rest.to_owned();
            continue;
        }
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let length = length.and_then(|(_, length)| length.parse::<usize>().ok()).unwrap_or(rest.len());
        let bodiless = head_first && found.is_empty();
        let end = if bodiless { 0 } else { length.min(rest.len()) };
        let (body, rest) = (rest[..end].to_owned(), rest[end..].to_owned());
        found.push(Reply { status, headers, body });
        text = rest;
    }
    found
}
