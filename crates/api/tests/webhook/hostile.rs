//! Endpoints that want us to connect where we must not, that never end, and that send us elsewhere.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use farthing_api::webhook::{Load, Lookup, Network, Reach, Sender};
use farthing_billing::service::webhook::{Attempt, DeliveryState, MAX_RESPONSE};
use http::StatusCode;

use crate::receiver::{Receiver, status};
use crate::world::{Bench, loopback, sender};

/// What becomes of the first attempt of one event.
async fn attempt(bench: &Bench, url: &str, sender: Sender) -> Attempt {
    let endpoint = bench.endpoint(url).await;
    bench.tell("cus_a", 1).await;
    let running = bench.dispatch_with(sender, Load::default());
    let delivery = bench.until(&endpoint, DeliveryState::Pending, 1).await.remove(0);
    let attempt = bench.attempts(&delivery, 1).await.remove(0);
    running.stop().await;
    attempt
}

fn error(attempt: &Attempt) -> &str {
    assert_eq!(attempt.status, None);
    attempt.error.as_deref().unwrap().split(':').next().unwrap()
}

/// Answers for every name: each answer once, the last one for ever.
struct Names {
    answers: Mutex<Vec<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Names {
    fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |addresses: &&[&str]| addresses.iter().map(|one| one.parse().unwrap()).collect();
        Arc::new(Self {
            answers: Mutex::new(answers.iter().rev().map(parse).collect()),
            asked: AtomicUsize::new(0),
        })
    }
}

#[async_trait]
impl Lookup for Names {
    async fn lookup(&self, _: &str) -> std::io::Result<Vec<IpAddr>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().unwrap();
        Ok(if answers.len() > 1 { answers.pop().unwrap() } else { answers[0].clone() })
    }
}

fn named(reach: Reach, names: &Arc<Names>) -> Sender {
    Sender::with_lookup(reach, Duration::from_secs(2), Arc::clone(names) as Arc<dyn Lookup>).unwrap()
}

#[tokio::test]
async fn the_inside_is_not_connected_to_by_address_or_by_name() {
    let receiver = Receiver::start(|_| status(200)).await;
    let by_name = receiver.url.replace("127.0.0.1", "inside.example");
    let strict = Reach { plain_http: true, ..Reach::default() };
    for url in [&receiver.url, &receiver.url.replace("127.0.0.1", "[::ffff:127.0.0.1]")] {
        let refused = attempt(&Bench::new(), url, sender(strict.clone())).await;
        assert_eq!(error(&refused), "webhook_address_refused", "{url}");
    }
    for answer in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "100.64.0.1"] {
        let names = Names::new(&[&[answer]]);
        let refused = attempt(&Bench::new(), &by_name, named(strict.clone(), &names)).await;
        assert_eq!(error(&refused), "webhook_address_refused", "{answer}");
    }
    assert!(receiver.received().is_empty());
}

#[tokio::test]
async fn it_connects_to_the_address_that_was_checked_and_asks_only_once() {
    let receiver = Receiver::start(|_| status(200)).await;
    let url = receiver.url.replace("127.0.0.1", "rebinding.example");
    // Whoever asked twice would check the first answer, and connect to the second.
    let names = Names::new(&[&["127.0.0.1"], &["127.0.0.9"]]);
    let only = Reach { allowed: vec![Network::parse("127.0.0.1").unwrap()], plain_http: true };
    let bench = Bench::new();
    let endpoint = bench.endpoint(&url).await;
    bench.tell("cus_a", 1).await;
    let running = bench.dispatch_with(named(only.clone(), &names), Load::default());
    bench.until(&endpoint, DeliveryState::Delivered, 1).await;
    running.stop().await;
    assert_eq!(names.asked.load(Ordering::SeqCst), 1);
    assert_eq!(receiver.received().len(), 1);
    // Of several addresses, only those are tried that may be.
    let names = Names::new(&[&["127.0.0.9", "10.0.0.1", "127.0.0.1"]]);
    let bench = Bench::new();
    let endpoint = bench.endpoint(&url).await;
    bench.tell("cus_a", 1).await;
    let running = bench.dispatch_with(named(only, &names), Load::default());
    bench.until(&endpoint, DeliveryState::Delivered, 1).await;
    running.stop().await;
}

#[tokio::test]
async fn plain_http_is_refused_unless_it_is_allowed() {
    let receiver = Receiver::start(|_| status(200)).await;
    let reach = Reach { plain_http: false, ..loopback() };
    let refused = attempt(&Bench::new(), &receiver.url, sender(reach)).await;
    assert_eq!(error(&refused), "webhook_address_refused");
    assert!(receiver.received().is_empty());
}

#[tokio::test]
async fn a_redirect_is_an_answer_that_is_no_success() {
    let elsewhere = Receiver::start(|_| status(200)).await;
    for code in [301, 302, 303, 307, 308] {
        let to = elsewhere.url.clone();
        let receiver = Receiver::start(move |_| {
            (StatusCode::from_u16(code).unwrap(), [("location", to.clone())]).into_response()
        })
        .await;
        let answered = attempt(&Bench::new(), &receiver.url, sender(loopback())).await;
        assert_eq!(answered.status, Some(code));
    }
    assert!(elsewhere.received().is_empty());
}

#[tokio::test]
async fn an_answer_that_does_not_come_or_does_not_end_costs_little() {
    // Accepts, and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let short = Sender::new(loopback(), Duration::from_millis(300)).unwrap();
    assert_eq!(error(&attempt(&Bench::new(), &url, short).await), "webhook_timeout");
    // Says it is well, and goes on for ever.
    let endless = Receiver::start(|_| {
        let chunks =
            futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 900])));
        Response::builder().status(500).body(Body::from_stream(chunks)).unwrap()
    })
    .await;
    let answered = attempt(&Bench::new(), &endless.url, sender(loopback())).await;
    assert_eq!((answered.status, answered.response.len()), (Some(500), MAX_RESPONSE));
    // Says what no record can keep.
    let odd = Receiver::start(|_| (StatusCode::BAD_REQUEST, &b"\0\xff\xfe"[..]).into_response()).await;
    let answered = attempt(&Bench::new(), &odd.url, sender(loopback())).await;
    assert_eq!((answered.status, answered.response.as_str()), (Some(400), "\u{fffd}\u{fffd}\u{fffd}"));
    // Is not there.
    drop(silent);
    assert_eq!(error(&attempt(&Bench::new(), &url, sender(loopback())).await), "webhook_unreachable");
}
