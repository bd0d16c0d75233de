//! ADR 0008, from the side of a payer who wants its answer and its money: whoever left an answer is never given money back, and
//! nobody makes the service look as if it had failed.
#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use farthing_gate::{AnswerOptions, Decision, Gate, Route};
use farthing_protocol::Challenge;
use farthing_protocol::ports::{ClaimId, ClaimStore};
use harness::rail::FakeRail;
use harness::refund::FakeRefunder;
use harness::{REFUND, Rig, offer};
use http::Method;
use http_body_util::{BodyExt, Empty};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn auth(credential: &str) -> [(&str, &str); 1] {
    [("Authorization", credential)]
}

const OPTIONS: AnswerOptions =
    AnswerOptions { max_bytes: 1024, budget_bytes: 4096, redeliveries: 2, finish_ms: 10_000, hold_ms: 50 };

async fn shop() -> Rig {
    let rail = Arc::new(FakeRail::new());
    let route = Route::priced([Method::GET, Method::POST], "/refund/{what}", [offer(&rail, 10)]);
    Rig::gated(|gate| {
        gate.route(route.serving(REFUND)).refunder(Arc::new(FakeRefunder::default())).answers(OPTIONS)
    })
    .await
}

async fn at_rest(rig: &Rig, id: &ClaimId) -> String {
    rig.gate.idle().await;
    rig.claim(id).await.state.name().to_owned()
}

/// The answer was read, and left before its end. Leaving again, before it comes once more, makes no refund of it.
#[tokio::test]
async fn an_answer_that_was_left_is_never_given_back() {
    for (path, read) in [("/refund/gated", "first half "), ("/refund/big", "bbb")] {
        let rig = shop().await;
        let (credential, id) = rig.buy_with_body("GET", path, "0x1", "").await;
        rig.leave_after(path, &auth(&credential), read).await;
        rig.upstream.go_on.notify_one();
        rig.reaches(&id, "credit").await;
        // The client goes while its payment is looked up: nobody takes what the gate has decided.
        let request = http::Request::get(path).header("authorization", &credential);
        let request = request.body(Empty::<bytes::Bytes>::new()).unwrap();
        {
            use futures_util::FutureExt;
            assert!(rig.gate.check(request).now_or_never().is_none());
        }
        for _ in 0..1_000 {
            if rig.claim(&id).await.deliveries > 1 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        assert_eq!(
            (at_rest(&rig, &id).await.as_str(), rig.claim(&id).await.deliveries),
            ("credit", 2),
            "{path}"
        );
    }
}

/// An upstream that answers before it has the whole request: it streams on until its client goes.
async fn eager() -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, calls) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&calls);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                let _ = stream.read(&mut buffer).await;
                let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nfirst half \r\n";
                let _ = stream.write_all(head.as_bytes()).await;
                while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {}
            });
        }
    });
    (address, calls)
}

/// The client breaks its own request off when it has read most of the answer.
#[tokio::test]
async fn a_request_that_its_client_breaks_off_is_no_failure_of_the_service() {
    for half_close in [false, true] {
        let (upstream, calls) = eager().await;
        let rail = Arc::new(FakeRail::new());
        let route = Route::priced([Method::POST], "/refund/{what}", [offer(&rail, 10)]).serving(REFUND);
        let rig = Rig::serving(
            Arc::new(farthing_store::MemoryClaims::new()),
            |mut options| {
                options.upstream = format!("http://{upstream}").parse().unwrap();
                (options.head_timeout_ms, options.idle_timeout_ms) = (5_000, 5_000);
                options
            },
            |gate| gate.route(route).refunder(Arc::new(FakeRefunder::default())).answers(OPTIONS),
            farthing_gate::server::ServerOptions::default(),
        )
        .await;
        let (credential, id) = rig.buy_with_body("POST", "/refund/x", "0x1", "").await;
        for (cut, state) in [(1, "credit"), (2, "credit"), (3, "delivered")] {
            let mut stream = TcpStream::connect(rig.address).await.unwrap();
            let head = format!(
                "POST /refund/x HTTP/1.1\r\nHost: public.example\r\nAuthorization: {credential}\r\n\
                 Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            let (mut read, mut buffer) = (Vec::new(), [0; 1024]);
            while !String::from_utf8_lossy(&read).contains("first half") {
                let count = stream.read(&mut buffer).await.unwrap();
                assert_ne!(count, 0, "{:?}", String::from_utf8_lossy(&read));
                read.extend_from_slice(&buffer[..count]);
            }
            if half_close {
                stream.shutdown().await.unwrap();
                let _ = stream.read_to_end(&mut read).await;
            }
            drop(stream);
            assert_eq!(at_rest(&rig, &id).await, state, "half close {half_close}, cut {cut}");
            assert_eq!(calls.load(Ordering::SeqCst), cut);
        }
    }
}

/// An answer of two parts, which breaks after the first.
fn breaking() -> impl http_body::Body<Data = bytes::Bytes, Error = std::io::Error> + Send + Unpin {
    let first = Ok(http_body::Frame::data(bytes::Bytes::from_static(b"almost all of it")));
    let breaks = Err(std::io::Error::other("the service gave up"));
    http_body_util::StreamBody::new(futures_util::stream::iter([first, breaks]))
}

/// Whoever lets the service wait until it gives up has done so itself.
#[tokio::test]
async fn a_reader_that_stalls_is_given_nothing_back() {
    for (pause_s, state) in [(0, "refund_due"), (6, "credit")] {
        let (rail, clock) = (Arc::new(FakeRail::new()), harness::fixed_clock());
        let store = Arc::new(farthing_store::MemoryClaims::new());
        let route = Route::priced([Method::GET], "/refund/x", [offer(&rail, 10)]).serving(REFUND);
        let gate = harness::builder(&rail, Arc::clone(&store) as _, &clock)
            .route(route)
            .refunder(Arc::new(FakeRefunder::default()))
            .build()
            .unwrap();
        let (credential, id) = bought(&gate, "/refund/x").await;
        let Decision::Serve(_, permit) = ask(&gate, "/refund/x", &credential).await else {
            panic!("it was paid")
        };
        let mut body = permit.finish(http::Response::new(breaking())).await.into_body();
        assert!(body.frame().await.unwrap().is_ok());
        tokio::time::sleep(std::time::Duration::from_secs(pause_s)).await;
        assert!(body.frame().await.unwrap().is_err());
        gate.idle().await;
        assert_eq!(store.get(&id).await.unwrap().unwrap().state.name(), state, "after {pause_s} s");
    }
}

async fn ask(gate: &Gate, path: &str, credential: &str) -> Decision<Empty<bytes::Bytes>> {
    let request = http::Request::get(path).header("authorization", credential);
    gate.check(request.header("idempotency-key", "k").body(Empty::new()).unwrap()).await
}

async fn bought(gate: &Gate, path: &str) -> (String, ClaimId) {
    let Decision::Answer(unpaid) = ask(gate, path, "Bearer x").await else { panic!("nobody has paid") };
    let values = unpaid.headers().get_all("www-authenticate").iter().map(http::HeaderValue::as_bytes);
    let challenge = Challenge::parse_all(values).remove(0).unwrap();
    (harness::answer(&challenge, "0x1"), ClaimId(challenge.id))
}

/// One payment does not fill the memory with its answer, however often that is asked for and not read.
#[tokio::test]
async fn answers_that_go_out_again_have_a_budget() {
    let (rail, clock) = (Arc::new(FakeRail::new()), harness::fixed_clock());
    let store = Arc::new(farthing_store::MemoryClaims::new());
    let gate = harness::builder(&rail, Arc::clone(&store) as _, &clock).answers(OPTIONS).build().unwrap();
    let (credential, _) = bought(&gate, "/paid/x").await;
    let Decision::Serve(_, permit) = ask(&gate, "/paid/x", &credential).await else { panic!("it was paid") };
    let body = http_body_util::Full::new(bytes::Bytes::from(vec![b'x'; 1024]));
    let whole = permit.finish(http::Response::new(body)).await.into_body().collect().await;
    assert_eq!(whole.unwrap().to_bytes().len(), 1024);
    gate.idle().await;
    let mut held = Vec::new();
    for _ in 0..20 {
        let Decision::Answer(again) = ask(&gate, "/paid/x", &credential).await else {
            panic!("it was served")
        };
        held.push(again);
    }
    let with = |status| held.iter().filter(|answer| answer.status().as_u16() == status).count();
    assert_eq!((with(200), with(503)), (4, 16), "4096 bytes are the most");
    held.clear();
    let Decision::Answer(again) = ask(&gate, "/paid/x", &credential).await else { panic!("it was served") };
    assert_eq!((again.status().as_u16(), rail.settlements()), (200, 1));
}
