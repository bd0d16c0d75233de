//! A seller on real sockets: a scripted rail, a counting store, an upstream that misbehaves on demand, and a client that
//! sends exactly the bytes it is given.
#![allow(clippy::unwrap_used, dead_code, reason = "tests; each test program uses a part")]

pub mod rail;
pub mod refund;
pub mod store;
pub mod upstream;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use farthing_gate::proxy::{Proxy, ProxyOptions};
use farthing_gate::server::{ServerOptions, serve};
use farthing_gate::{BindBody, Gate, GateBuilder, Route, RouteOffer, ServiceTerms};
use farthing_money::{Amount, Money};
use farthing_protocol::flow::gate::SettleOrder;
use farthing_protocol::ports::{Amends, Claim, ClaimId, ClaimStore, Price};
use farthing_protocol::{Binder, Challenge, PaymentProof, Secret, UnixMs};
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use rail::FakeRail;
use store::CountingStore;
use upstream::Upstream;

pub const REALM: &str = "api.example.com";

/// Settled when the service has answered.
pub const AFTER: ServiceTerms = ServiceTerms { settle: SettleOrder::After, on_failure: Amends::Credit };

/// Given back when the service fails.
pub const REFUND: ServiceTerms = ServiceTerms { settle: SettleOrder::Before, on_failure: Amends::Refund };

/// A clock that stands still until it is told otherwise.
#[derive(Clone)]
pub struct FakeClock(pub Arc<AtomicU64>);

impl FakeClock {
    pub fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }

    pub fn now(&self) -> UnixMs {
        UnixMs::from_ms(self.0.load(Ordering::SeqCst))
    }
}

pub struct Rig {
    pub address: std::net::SocketAddr,
    pub gate: Gate,
    pub rail: Arc<FakeRail>,
    pub store: Arc<CountingStore>,
    pub upstream: Upstream,
    pub clock: FakeClock,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    server: tokio::task::JoinHandle<()>,
}

pub fn price(base: u128, rail: &FakeRail) -> Price {
    let asset = farthing_protocol::ports::Verifier::asset(rail).clone();
    Price { money: Money::new(Amount::from_base(base), asset), description: None, external_id: None }
}

pub fn offer(rail: &Arc<FakeRail>, base: u128) -> RouteOffer {
    RouteOffer { verifier: Arc::clone(rail) as _, price: price(base, rail) }
}

/// A gate over this rail and store; free and paid routes for every misbehaviour of the upstream.
pub fn builder(rail: &Arc<FakeRail>, store: Arc<dyn ClaimStore>, clock: &FakeClock) -> GateBuilder {
    let clock = clock.clone();
    let secret = Secret::new(vec![7; 32]).unwrap();
    let mut bound = Route::priced([Method::POST], "/bound", [offer(rail, 5)]);
    if let farthing_gate::Access::Priced { bind_body, .. } = &mut bound.access {
        *bind_body = BindBody::Yes;
    }
    Gate::builder(REALM, Binder::new(secret, None), store, Arc::new(move || clock.now()))
        .boot_nonce(boot())
        .route(Route::free([], "/{*rest}"))
        .route(Route::priced([Method::GET, Method::POST], "/paid/{what}", [offer(rail, 10)]))
        .route(Route::priced([Method::GET], "/paid/{what}/other", [offer(rail, 10)]))
        .route(Route::priced([Method::GET, Method::POST], "/after/{what}", [offer(rail, 10)]).serving(AFTER))
        .route(bound)
        .max_bound_body_bytes(64)
}

/// Every gate is a process of its own.
fn boot() -> u64 {
    static BOOTS: AtomicU64 = AtomicU64::new(0xb007);
    BOOTS.fetch_add(1, Ordering::SeqCst)
}

pub fn fixed_clock() -> FakeClock {
    FakeClock(Arc::new(AtomicU64::new(1_800_000_000_000)))
}

impl Rig {
    pub async fn new() -> Self {
        Self::with(Arc::new(farthing_store::MemoryClaims::new()), |options| options).await
    }

    pub async fn with(
        inner: Arc<dyn ClaimStore>,
        configure: impl FnOnce(ProxyOptions) -> ProxyOptions,
    ) -> Self {
        Self::serving(inner, configure, |gate| gate, ServerOptions::default()).await
    }

    pub async fn serving(
        inner: Arc<dyn ClaimStore>,
        configure: impl FnOnce(ProxyOptions) -> ProxyOptions,
        gate: impl FnOnce(GateBuilder) -> GateBuilder,
        limits: ServerOptions,
    ) -> Self {
        Self::at(fixed_clock(), inner, configure, gate, limits).await
    }

    /// Another process over a store, at the same time.
    pub async fn beside(&self) -> Self {
        self.beside_with(|gate| gate).await
    }

    /// The same, with a gate that is configured like this.
    pub async fn beside_with(&self, gate: impl FnOnce(GateBuilder) -> GateBuilder) -> Self {
        let store = Arc::clone(&self.store.inner);
        Self::at(self.clock.clone(), store, |options| options, gate, ServerOptions::default()).await
    }

    async fn at(
        clock: FakeClock,
        inner: Arc<dyn ClaimStore>,
        configure: impl FnOnce(ProxyOptions) -> ProxyOptions,
        gate: impl FnOnce(GateBuilder) -> GateBuilder,
        limits: ServerOptions,
    ) -> Self {
        let (rail, store) = (Arc::new(FakeRail::new()), Arc::new(CountingStore::new(inner)));
        let upstream = Upstream::start().await;
        let gate = gate(builder(&rail, Arc::clone(&store) as _, &clock)).build().unwrap();
        let mut options = ProxyOptions::new(format!("http://{}", upstream.address).parse().unwrap());
        (options.head_timeout_ms, options.idle_timeout_ms) = (600, 150);
        let proxy = Proxy::new(configure(options)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = gate.clone();
        let server = tokio::spawn(async move {
            let stopped = async { drop(stopped.await) };
            serve(listener, serving, proxy, limits, stopped).await.unwrap();
        });
        Self { address, gate, rail, store, upstream, clock, stop: Some(stop), server }
    }

    /// A rig whose gate is configured like this.
    pub async fn gated(gate: impl FnOnce(GateBuilder) -> GateBuilder) -> Self {
        let patient = |mut options: ProxyOptions| {
            (options.head_timeout_ms, options.idle_timeout_ms) = (5_000, 5_000);
            options
        };
        let store = Arc::new(farthing_store::MemoryClaims::new());
        Self::serving(store, patient, gate, ServerOptions::default()).await
    }

    /// Sends a request with these headers and an empty body, and reads the whole answer.
    pub async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send_body(method, path, headers, "").await
    }

    pub async fn send_body(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        read(method, self.open(method, path, headers, body).await).await
    }

    /// Sends a request and leaves the answer to be read.
    pub async fn open(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: public.example\r\nConnection: close\r\n");
        for (name, value) in headers {
            text += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            text += &format!("Content-Length: {}\r\n", body.len());
        }
        text += "\r\n";
        stream.write_all(text.as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        stream
    }

    /// A credential for this path: asks for the challenge, and answers it with the payment `tx`.
    pub async fn buy(&self, method: &str, path: &str, tx: &str) -> String {
        self.buy_with_body(method, path, tx, "").await.0
    }

    pub async fn buy_with_body(&self, method: &str, path: &str, tx: &str, body: &str) -> (String, ClaimId) {
        let unpaid = self.send_body(method, path, &[], body).await;
        assert_eq!(unpaid.status, 402, "{unpaid:?}");
        let challenge = unpaid.challenges().remove(0);
        (answer(&challenge, tx), ClaimId(challenge.id))
    }

    /// The claim with this id.
    pub async fn claim(&self, id: &ClaimId) -> Claim {
        self.store.inner.get(id).await.unwrap().unwrap()
    }

    /// Waits until the claim that this credential is for is in this state.
    pub async fn reaches(&self, id: &ClaimId, state: &str) {
        let mut seen = String::new();
        for _ in 0..1_000 {
            let claim = self.store.inner.get(id).await.unwrap();
            seen = claim.map_or("none", |claim| claim.state.name()).to_owned();
            if seen == state {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the claim is {seen}, not {state}");
    }

    /// Sends a request, reads until this text has come, and leaves.
    pub async fn leave_after(&self, path: &str, headers: &[(&str, &str)], text: &str) {
        let mut stream = self.open("GET", path, headers, "").await;
        let (mut read, mut buffer) = (Vec::new(), [0; 1024]);
        while !String::from_utf8_lossy(&read).contains(text) {
            let count = stream.read(&mut buffer).await.unwrap();
            assert_ne!(count, 0, "{:?}", String::from_utf8_lossy(&read));
            read.extend_from_slice(&buffer[..count]);
        }
    }

    pub async fn stop(mut self) {
        drop(self.stop.take());
        (&mut self.server).await.unwrap();
    }
}

/// The whole answer on this connection.
pub async fn read(method: &str, mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    // A connection that is reset has said what it said.
    let _ = stream.read_to_end(&mut bytes).await;
    Answer::parse(method, &bytes)
}

/// The credential that answers `challenge` with the payment `tx`.
pub fn answer(challenge: &Challenge, tx: &str) -> String {
    let payload = serde_json::value::to_raw_value(&serde_json::json!({ "tx": tx })).unwrap();
    let source = Some("did:pkh:eip155:1337:0x00000000000000000000000000000000000000aa".into());
    challenge.answer(&PaymentProof { payload, source }).unwrap()
}

/// An answer as it came over the socket.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// Whether the body came to its proper end.
    pub whole: bool,
}

impl Answer {
    fn parse(method: &str, bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            return Self { status: 0, headers: Vec::new(), body: text, whole: false };
        };
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let of = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let whole = match (method, of("content-length"), of("transfer-encoding")) {
            ("HEAD", ..) => body.is_empty(),
            (_, Some(length), _) => length.parse() == Ok(body.len()),
            (_, None, Some(_)) => body.ends_with("0\r\n\r\n"),
            _ => true,
        };
        Self { status, body: body.to_owned(), whole, headers }
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
    }

    pub fn one(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    pub fn challenges(&self) -> Vec<Challenge> {
        let values = self.all("www-authenticate").into_iter().map(str::as_bytes);
        Challenge::parse_all(values).into_iter().map(Result::unwrap).collect()
    }

    pub fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_default();
        body["code"].as_str().unwrap_or_default().to_owned()
    }
}
