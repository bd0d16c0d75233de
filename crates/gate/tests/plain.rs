//! Unpaid requests that are answered before hyper sees the connection, beside the same requests through hyper: a connection is with
//! hyper once something else was asked on it. The answers are the same to the byte, but for ids and the time: the first
//! takes it from the gate's clock and hyper from the system's.
#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;
mod wire;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use farthing_gate::observe::{GateEvent, Observer};
use farthing_gate::{PrivateAddresses, Rate, RateLimiter, RateLimits};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::{CONTENT, Gateway, exchange, replies, send_last};

/// The gates' clocks stand here.
const FIXED: &str = "date: Fri, 15 Jan 2027 08:00:00 GMT";

/// What an observer is told, but how long it took.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Observer for Heard {
    fn observe(&self, event: GateEvent<'_>) {
        let told = match event {
            GateEvent::Entered { what } | GateEvent::Left { what } if what.name() == "connections" => return,
            GateEvent::Upstream { route, answer, .. } => format!("upstream {route:?} {answer:?}"),
            GateEvent::Ended(end) => {
                format!("ended {} {:?} {} {:?}", end.method, end.route, end.status, end.code)
            }
            other => format!("{other:?}"),
        };
        self.0.lock().unwrap().push(told);
    }
}

/// A gateway, and what its observer is told.
struct World {
    gateway: Gateway,
    heard: Arc<Heard>,
}

impl World {
    async fn new(rate: Rate) -> Self {
        let heard = Arc::new(Heard::default());
        let limits =
            RateLimits { challenges: rate, private: PrivateAddresses::Counted, ..Default::default() };
        let limiter = Arc::new(RateLimiter::new(&limits));
        let observer = Arc::clone(&heard);
        let gateway =
            Gateway::gated(|options| options, |gate| gate.rate_limiter(limiter).observer(observer)).await;
        // The store's epoch is known once somebody was asked to pay.
        let reply = gateway.raw(b"POST /paid/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
        assert_eq!(reply[0].status, 402);
        Self { gateway, heard }
    }

    /// The answer to the last request on a connection of its own.
    async fn ask(&self, request: &str) -> String {
        text(&self.gateway.raw_bytes(request.as_bytes()).await)
    }

    /// The same, on a connection on which something was asked before that hyper answers.
    async fn ask_hyper(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        exchange(&mut stream, "GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").await;
        text(&send_last(stream, request.as_bytes()).await)
    }

    async fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.gateway.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    fn heard(&self) -> Vec<String> {
        self.heard.0.lock().unwrap().clone()
    }
}

/// Without its time, and without what is of one store alone: both as long as they were.
fn plain(answer: &str) -> String {
    let mut text = answer.to_owned();
    for (before, after) in
        [("\r\ndate: ", "\r\n"), ("id=\"", "\""), ("opaque=\"", "\""), ("challengeId\":\"", "\"")]
    {
        let mut from = 0;
        while let Some(at) = text[from..].find(before) {
            let begin = from + at + before.len();
            from = begin + text[begin..].find(after).unwrap();
            text.replace_range(begin..from, &"-".repeat(from - begin));
        }
    }
    text
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn was_plain(answer: &str) -> bool {
    answer.contains(FIXED)
}

/// Asks two gateways the same, the second through hyper, and gives back whether the first took the short way.
async fn same(first: &World, second: &World, request: &str) -> bool {
    let (one, other) = (first.ask(request).await, second.ask_hyper(request).await);
    assert_eq!(plain(&one), plain(&other), "{request:?}");
    assert!(!was_plain(&other), "it went through hyper: {request:?}");
    was_plain(&one)
}

const UNLIMITED: Rate = Rate::UNLIMITED;

#[tokio::test]
async fn both_ways_answer_alike() {
    let (short, hyper) = (World::new(UNLIMITED).await, World::new(UNLIMITED).await);
    for (line, headers, is_plain) in [
        ("GET /paid/x HTTP/1.1", "", true),
        ("GET /paid/x?a=/../b HTTP/1.1", "User-Agent: curl/8\r\nAccept: */*\r\n", true),
        ("GET /paid/x HTTP/1.1", "Idempotency-Key: a\r\nRange: bytes=0-1\r\nIf-None-Match: *\r\n", true),
        (
            "GET /paid/x HTTP/1.1",
            "X-Forwarded-For: 203.0.113.9\r\ntraceparent: 00-1-1-00\r\nCookie: a\r\n",
            true,
        ),
        ("GET /after/x HTTP/1.1", "", true),
        // Somebody who speaks of payments, or wants something that is not asked for in a head alone.
        ("GET /paid/x HTTP/1.1", "Authorization: Payment e30\r\n", false),
        ("GET /paid/x HTTP/1.1", "Authorization: Bearer x\r\n", false),
        ("GET /paid/x HTTP/1.1", "Payment-Authorization: x\r\n", false),
        ("GET /paid/x HTTP/1.1", "Accept-Payment: fake/charge\r\n", false),
        ("HEAD /paid/x HTTP/1.1", "", false),
        ("POST /paid/x HTTP/1.1", "Content-Length: 0\r\n", false),
        ("GET /paid/x HTTP/1.1", "Content-Length: 0\r\n", false),
        ("GET /paid/x HTTP/1.1", "Upgrade: websocket\r\n", false),
        // What has no price, no place, or another spelling.
        ("GET /free HTTP/1.1", "", false),
        ("GET /healthz HTTP/1.1", "", false),
        ("GET /nothing/../paid/x HTTP/1.1", "", false),
        ("GET //paid/x HTTP/1.1", "", false),
        ("GET /PAID/x HTTP/1.1", "", false),
        ("GET /paid%2fx HTTP/1.1", "", false),
        ("GET http://h/paid/x HTTP/1.1", "", false),
        ("DELETE /paid/x HTTP/1.1", "", false),
        ("TRACE /paid/x HTTP/1.1", "", false),
        // Refused whatever it costs.
        ("GET /paid/x HTTP/1.1", "Host: other\r\n", false),
        ("GET /paid/x HTTP/1.1", "Transfer-Encoding: gzip\r\n", false),
        ("GET /paid/x HTTP/1.0", "", false),
        ("GET /paid/x HTTP/3.0", "", false),
        ("GET /paid/x", "", false),
        ("GET /paid/x HTTP/1.1", "X A: b\r\n", false),
    ] {
        let request = format!("{line}\r\nHost: h\r\nConnection: close\r\n{headers}\r\n");
        assert_eq!(same(&short, &hyper, &request).await, is_plain, "{request:?}");
    }
    for request in [
        "GET /paid/x HTTP/1.1\r\nConnection: close\r\n\r\n",
        "GET /paid/x HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n",
        "GET /paid/x HTTP/1.1\r\nHost: h/x\r\nConnection: close\r\n\r\n",
        "GET /paid/x HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n",
    ] {
        assert!(!same(&short, &hyper, request).await, "{request:?}");
    }
    assert_eq!(short.heard(), hyper.heard(), "an observer is told the same");
    assert_eq!(short.gateway.upstream.requests().len(), hyper.gateway.upstream.requests().len());
}

#[tokio::test]
async fn limits_are_kept_alike() {
    let rate = Rate { per_second: 1, burst: 4 };
    let (short, hyper) = (World::new(rate).await, World::new(rate).await);
    for n in 0..6 {
        let request = "GET /paid/x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
        assert!(same(&short, &hyper, request).await, "{n}");
    }
    let limited = short.heard().iter().filter(|told| told.contains("RateLimited")).count();
    assert_eq!((limited, short.heard()), (3, hyper.heard()));
}

/// Parts of requests, in an order that nobody thought of.
fn request() -> impl Strategy<Value = String> {
    let method = prop_oneof![8 => Just("GET"), 1 => Just("HEAD"), 1 => Just("POST"), 1 => Just("get")];
    let target = prop_oneof![
        Just("/paid/x"),
        Just("/paid/x/other"),
        Just("/paid/%78"),
        Just("/paid/x/"),
        Just("/paid"),
        Just("/free"),
        Just("/paid/x?%"),
        Just("/paid/x#y"),
        Just("/paid/x;y"),
        Just("/bound"),
        Just("*"),
        Just("http://h/paid/x"),
    ];
    let version = prop_oneof![12 => Just("HTTP/1.1"), 1 => Just("HTTP/1.0"), 1 => Just("HTTP/1.2")];
    let header = prop_oneof![
        Just("Host: h"),
        Just("Host: i"),
        Just("Host:h:80"),
        Just("Content-Length: 0"),
        Just("Accept: */*"),
        Just("Connection: keep-alive"),
        Just("Connection: close"),
        Just("connection: Close "),
        Just("X: \u{1}"),
        Just("Transfer-Encoding: identity"),
        Just("Expect: x"),
        Just("TE: trailers"),
        Just("Accept-Payment: a/b"),
        Just("X-\u{e9}: a"),
        Just("X: \u{e9}"),
        Just(" folded"),
        Just("no colon"),
        Just(": nothing"),
        Just("X:"),
    ];
    (method, target, version, prop::collection::vec(header, 0..4)).prop_map(
        |(method, target, version, lines)| {
            let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            format!("{method} {target} {version}\r\nHost: h\r\n{lines}Connection: close\r\n\r\n")
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_request_is_answered_alike(requests in prop::collection::vec(request(), 1..4)) {
        tokio::runtime::Runtime::new().unwrap().block_on(async {
            let (short, hyper) = (World::new(UNLIMITED).await, World::new(UNLIMITED).await);
            for request in &requests {
                same(&short, &hyper, request).await;
            }
            assert_eq!(short.heard(), hyper.heard());
        });
    }
}

const UNPAID: &str = "GET /paid/x HTTP/1.1\r\nHost: h\r\n\r\n";

/// A connection goes from the one way to the other with its first request that is anything else, and stays there.
#[tokio::test]
async fn a_connection_that_begins_unpaid_pays_and_goes_on() {
    let world = World::new(UNLIMITED).await;
    let mut stream = world.connect().await;
    for _ in 0..3 {
        let answer = exchange(&mut stream, UNPAID).await;
        assert!(answer.starts_with("HTTP/1.1 402 ") && was_plain(&answer), "{answer}");
    }
    let answer = exchange(&mut stream, UNPAID).await;
    let challenge = replies(answer.as_bytes(), false)[0].challenges().remove(0);
    let credential = harness::answer(&challenge, "0x1");
    let paid = format!("GET /paid/x HTTP/1.1\r\nHost: h\r\nAuthorization: {credential}\r\n\r\n");
    let served = exchange(&mut stream, &paid).await;
    assert!(served.starts_with("HTTP/1.1 200 ") && served.ends_with(CONTENT), "{served}");
    let again = exchange(&mut stream, UNPAID).await;
    assert!(again.starts_with("HTTP/1.1 402 ") && !was_plain(&again), "{again}");
    assert!(exchange(&mut stream, "GET /free HTTP/1.1\r\nHost: h\r\n\r\n").await.ends_with(CONTENT));
}

/// Wherever a request is cut, and however many come at once, each is answered once and in its turn.
#[tokio::test]
async fn pieces_and_heaps_of_requests_are_answered_in_turn() {
    let world = World::new(UNLIMITED).await;
    let last = "GET /paid/y HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    for cut in (1..UNPAID.len()).step_by(5) {
        let mut stream = world.connect().await;
        assert!(was_plain(&exchange(&mut stream, UNPAID).await), "the first is whole");
        let (one, two) = UNPAID.split_at(cut);
        stream.write_all(one.as_bytes()).await.unwrap();
        // Long enough to be read by itself, mostly; it is answered in any case.
        tokio::time::sleep(Duration::from_millis(20)).await;
        let answer = text(&send_last(stream, format!("{two}{UNPAID}{last}").as_bytes()).await);
        let replies = replies(answer.as_bytes(), false);
        assert_eq!(
            replies.iter().map(|reply| reply.status).collect::<Vec<_>>(),
            [402; 3],
            "cut at {cut}: {answer}"
        );
    }
    let heap = [UNPAID.repeat(20), last.to_owned()].concat();
    let answer = world.ask(&heap).await;
    assert_eq!(replies(answer.as_bytes(), false).len(), 21);
}

/// What a client leaves behind: half a request, none at all, an answer that it never reads.
#[tokio::test]
async fn clients_that_leave_take_nothing_with_them() {
    let world = World::new(UNLIMITED).await;
    for sent in ["", "GET /pa", UNPAID] {
        let mut stream = world.connect().await;
        stream.write_all(sent.as_bytes()).await.unwrap();
        drop(stream);
    }
    // One that has nothing more to say is still answered.
    let mut stream = world.connect().await;
    stream.write_all(UNPAID.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 402 ") && was_plain(&answer), "{answer}");
    // One that was answered and says nothing is closed like any other, after 200 ms here.
    let mut stream = world.connect().await;
    exchange(&mut stream, UNPAID).await;
    let ended = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut [0; 1])).await;
    assert_eq!(ended.expect("it is closed").unwrap(), 0);
}

/// A server that stops closes connections on which nothing is asked, and waits for none of them.
#[tokio::test]
async fn a_server_that_stops_does_not_wait_for_them() {
    let rig = harness::Rig::new().await;
    let mut streams = Vec::new();
    for asked in [false, true, true] {
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        if asked {
            assert!(exchange(&mut stream, UNPAID).await.starts_with("HTTP/1.1 402 "));
        }
        streams.push(stream);
    }
    // Its own patience is longer.
    tokio::time::timeout(Duration::from_secs(20), rig.stop()).await.expect("it stops");
    for mut stream in streams {
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
    }
}
