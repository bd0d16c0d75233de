//! TLS as others speak it: reqwest over HTTP/1.1 and HTTP/2, clients that expect another host, that never finish a handshake, or
//! that do not speak TLS at all; new certificates without a pause; the end of a server over each of them.
#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use farthing_gate::Gate;
use farthing_gate::proxy::{Proxy, ProxyOptions};
use farthing_gate::server::{Front, ServerOptions, Switch, Tls, serve_switch};
use farthing_store::MemoryClaims;
use harness::rail::FakeRail;
use harness::upstream::Upstream;
use reqwest::{Certificate, Client, ClientBuilder, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use wire::certificate::{Authority, Pair};

const NAME: &str = "gate.example";

struct Server {
    address: SocketAddr,
    authority: Authority,
    gate: Gate,
    proxy: Proxy,
    switch: Switch,
    upstream: Upstream,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

fn options() -> ServerOptions {
    ServerOptions { handshake_timeout_ms: 300, ..ServerOptions::default() }
}

impl Server {
    async fn start() -> Self {
        let (rail, clock) = (Arc::new(FakeRail::new()), harness::fixed_clock());
        let upstream = Upstream::start().await;
        let gate = harness::builder(&rail, Arc::new(MemoryClaims::new()), &clock).build().unwrap();
        let proxy =
            Proxy::new(ProxyOptions::new(format!("http://{}", upstream.address).parse().unwrap())).unwrap();
        let authority = Authority::new();
        let front = Front::new(gate.clone(), proxy.clone(), options()).tls(tls(&authority.sign(NAME)));
        let switch = Switch::new(front);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = switch.clone();
        let running = tokio::spawn(async move {
            serve_switch(listener, served, async { drop(stopped.await) }).await.unwrap();
        });
        Self { address, authority, gate, proxy, switch, upstream, stop: Some(stop), running }
    }

    /// A client that trusts the authority and finds this name here.
    fn client(&self, adjust: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Client {
        let authority = Certificate::from_pem(self.authority.pem().as_bytes()).unwrap();
        let builder = Client::builder()
            .tls_certs_only([authority])
            .resolve(NAME, self.address)
            .resolve("other.example", self.address)
            .no_proxy();
        adjust(builder).build().unwrap()
    }

    fn url(&self, name: &str, path: &str) -> String {
        format!("https://{name}:{}{path}", self.address.port())
    }

    async fn end(mut self) {
        drop(self.stop.take());
        (&mut self.running).await.unwrap();
    }
}

fn tls(pair: &Pair) -> Tls {
    Tls::from_pem(pair.chain.as_bytes(), pair.key.as_bytes()).unwrap()
}

/// Fails a test that would wait for ever.
async fn in_the_end<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.unwrap_or_else(|_| panic!("never: {what}"))
}

#[tokio::test]
async fn both_versions_of_http_are_served() {
    let server = Server::start().await;
    for (http1, version) in [(true, Version::HTTP_11), (false, Version::HTTP_2)] {
        let client = server.client(|builder| if http1 { builder.http1_only() } else { builder });
        let free = client.get(server.url(NAME, "/free")).send().await.unwrap();
        assert_eq!((free.status().as_u16(), free.version()), (200, version));
        assert_eq!(free.text().await.unwrap(), "content");
        assert_eq!(server.upstream.last().headers["x-forwarded-proto"], "https");
        let unpaid = client.get(server.url(NAME, "/paid/x")).send().await.unwrap();
        assert_eq!((unpaid.status().as_u16(), unpaid.version()), (402, version));
        let challenge = unpaid.headers()["www-authenticate"].as_bytes();
        let challenge = farthing_protocol::Challenge::parse_all([challenge]).remove(0).unwrap();
        let credential = harness::answer(&challenge, &format!("{version:?}"));
        let paid = client.get(server.url(NAME, "/paid/x")).header("authorization", credential);
        let paid = paid.send().await.unwrap();
        assert_eq!((paid.status().as_u16(), paid.headers().contains_key("payment-receipt")), (200, true));
        let big = client.post(server.url(NAME, "/free")).body("x".repeat(300_000)).send().await.unwrap();
        assert_eq!((big.status().as_u16(), server.upstream.last().body.len()), (200, 300_000));
    }
}

#[tokio::test]
async fn old_versions_of_tls_and_other_names_are_refused() {
    let server = Server::start().await;
    let client = server.client(|builder| builder);
    let wrong = client.get(server.url("other.example", "/free")).send().await.unwrap_err();
    assert!(wrong.is_connect(), "{wrong:?}");
    let stranger = Client::builder().resolve(NAME, server.address).no_proxy().build().unwrap();
    assert!(stranger.get(server.url(NAME, "/free")).send().await.is_err(), "an authority that nobody knows");
    // A greeting that knows nothing above TLS 1.1: version 3.2, one cipher suite, no extensions.
    let mut hello = vec![0x16, 3, 1, 0, 45, 1, 0, 0, 41, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x13, 1, 0]);
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(&hello).await.unwrap();
    let mut said = Vec::new();
    let _ = in_the_end("an alert", stream.read_to_end(&mut said)).await;
    assert!(said.len() >= 7 && said[0] == 0x15 && said[5] == 2, "a fatal alert: {said:?}");
    assert_eq!(server.upstream.calls(), 0);
    assert_eq!(client.get(server.url(NAME, "/free")).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_given_up() {
    let server = Server::start().await;
    let client = server.client(|builder| builder);
    let mut waiting = Vec::new();
    for sent in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        for _ in 0..20 {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            stream.write_all(sent).await.unwrap();
            waiting.push(stream);
        }
    }
    assert_eq!(
        client.get(server.url(NAME, "/free")).send().await.unwrap().status(),
        200,
        "others are served"
    );
    for mut stream in waiting {
        let mut said = Vec::new();
        let _ = in_the_end("it is closed", stream.read_to_end(&mut said)).await;
    }
}

#[tokio::test]
async fn plaintext_is_told_to_use_tls_and_is_not_served() {
    let server = Server::start().await;
    for said in ["GET /free HTTP/1.1\r\nHost: h\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\0\0\0\0", "x"]
    {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        in_the_end("an answer", stream.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("\"tls_required\""), "{answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{answer}");
    }
    assert_eq!(server.upstream.calls(), 0);
}

/// Connections that are there go on with what they greeted with; new ones get the new certificate.
#[tokio::test]
async fn certificates_are_exchanged_without_a_pause() {
    let server = Server::start().await;
    let before = server.client(|builder| builder);
    assert_eq!(before.get(server.url(NAME, "/free")).send().await.unwrap().status(), 200);
    let renewed = Front::new(server.gate.clone(), server.proxy.clone(), options());
    server.switch.replace(renewed.tls(tls(&server.authority.sign("other.example"))));
    assert_eq!(before.get(server.url(NAME, "/free")).send().await.unwrap().status(), 200, "it is kept");
    let after = server.client(|builder| builder);
    assert!(after.get(server.url(NAME, "/free")).send().await.is_err(), "the old name is gone");
    assert_eq!(after.get(server.url("other.example", "/free")).send().await.unwrap().status(), 200);
}

/// A call that has begun is served to its end; the connection ends after it, and no new one is taken.
#[tokio::test]
async fn a_server_that_stops_serves_what_has_begun() {
    for http1 in [true, false] {
        let server = Server::start().await;
        let client = server.client(|builder| if http1 { builder.http1_only() } else { builder });
        let unpaid = client.get(server.url(NAME, "/paid/slow")).send().await.unwrap();
        let challenge = unpaid.headers()["www-authenticate"].as_bytes();
        let challenge = farthing_protocol::Challenge::parse_all([challenge]).remove(0).unwrap();
        let calls = server.upstream.calls();
        let call = client
            .get(server.url(NAME, "/paid/slow"))
            .header("authorization", harness::answer(&challenge, "0x1"))
            .send();
        let call = tokio::spawn(call);
        while server.upstream.calls() == calls {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Handshakes that are not finished do not hold it up.
        let idle = TcpStream::connect(server.address).await.unwrap();
        let url = server.url(NAME, "/free");
        let ending = tokio::spawn(server.end());
        let served = in_the_end("the call is served", call).await.unwrap().unwrap();
        assert_eq!((served.status().as_u16(), served.headers().contains_key("payment-receipt")), (200, true));
        assert_eq!(served.text().await.unwrap(), "content");
        in_the_end("the server ends", ending).await.unwrap();
        assert!(client.get(url).send().await.is_err(), "nobody listens");
        drop(idle);
    }
}
