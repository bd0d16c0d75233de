//! What is told, in which order, and again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::response::IntoResponse;
use farthing_billing::service::webhook::{DeliveryState, EndpointState};
use http::StatusCode;

use crate::receiver::{Receiver, status};
use crate::world::{Bench, loopback};

#[tokio::test]
async fn an_event_is_posted_with_its_name_its_time_and_a_body_that_says_what_happened() {
    let (bench, receiver) = (Bench::new(), Receiver::start(|_| status(204)).await);
    let endpoint = bench.endpoint(&receiver.url).await;
    bench.tell("cus_a", 1).await;
    let running = bench.dispatch(loopback());
    let delivered = bench.until(&endpoint, DeliveryState::Delivered, 1).await;
    running.stop().await;
    let received = receiver.received();
    assert_eq!(received.len(), 1);
    let (told, json) = (&received[0], received[0].json());
    assert_eq!(told.header("webhook-id"), delivered[0].event);
    assert_eq!(told.header("content-type"), "application/json");
    assert_eq!(json["id"], delivered[0].event.as_str());
    assert_eq!(json["type"], "hold.placed");
    assert_eq!(json["data"]["customer"], "cus_a");
    let time = json["timestamp"].as_str().unwrap();
    assert!(time.len() == 24 && time.ends_with('Z'), "{time} is RFC 3339 with milliseconds");
    let attempts = bench.attempts(&delivered[0], 1).await;
    assert_eq!((attempts[0].status, attempts[0].error.as_deref()), (Some(204), None));
}

#[tokio::test]
async fn events_of_one_customer_come_in_their_order_and_a_failing_one_holds_up_no_other_customer() {
    let failing = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&failing);
    let receiver = Receiver::start(move |told| {
        let fails = told.json()["data"]["customer"] == "cus_a" && switch.load(Ordering::SeqCst);
        if fails { (StatusCode::INTERNAL_SERVER_ERROR, "no, thanks").into_response() } else { status(200) }
    })
    .await;
    let bench = Bench::new();
    let endpoint = bench.endpoint(&receiver.url).await;
    for n in 0..60 {
        bench.tell(["cus_a", "cus_b", "cus_c"][usize::try_from(n % 3).unwrap()], n).await;
    }
    let running = bench.dispatch(loopback());
    bench.until(&endpoint, DeliveryState::Delivered, 40).await;
    let expected = |first: u64| (0..20_u64).map(|n| first + 3 * n).collect::<Vec<u64>>();
    assert_eq!((receiver.told("cus_b"), receiver.told("cus_c")), (expected(1), expected(2)));
    assert_eq!(receiver.told("cus_a"), [0], "the first is tried, the others wait for it");
    failing.store(false, Ordering::SeqCst);
    bench.pass(6_000).await;
    let delivered = bench.until(&endpoint, DeliveryState::Delivered, 61).await;
    running.stop().await;
    let mut told = receiver.told("cus_a");
    assert_eq!(told.remove(0), 0, "it was tried twice");
    assert_eq!(told, expected(0));
    let first = delivered.iter().find(|one| one.attempts == 2).unwrap();
    let attempts = bench.attempts(first, 2).await;
    assert_eq!((attempts[0].status, attempts[0].response.as_str()), (Some(500), "no, thanks"));
    let names: Vec<_> = receiver
        .received()
        .iter()
        .filter(|one| one.n() == 0 && one.json()["data"]["customer"] == "cus_a")
        .map(|one| (one.header("webhook-id").to_owned(), one.body.clone()))
        .collect();
    assert_eq!(names.len(), 2);
    assert_eq!(names[0], names[1], "the same name and the same bytes");
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_told_nothing_more() {
    let (bench, receiver) = (Bench::new(), Receiver::start(|_| status(410)).await);
    let endpoint = bench.endpoint(&receiver.url).await;
    for n in 0..5 {
        bench.tell("cus_a", n).await;
    }
    let running = bench.dispatch(loopback());
    bench.until(&endpoint, DeliveryState::Dead, 5).await;
    running.stop().await;
    assert_eq!(receiver.received().len(), 1);
    assert_eq!(
        bench.billing.webhook(&bench.cx(), &endpoint.id).await.unwrap().doc.state,
        EndpointState::Gone
    );
}

#[tokio::test]
async fn an_endpoint_that_asks_for_time_gets_it() {
    let busy = Arc::new(AtomicBool::new(true));
    let switch = Arc::clone(&busy);
    let receiver = Receiver::start(move |_| {
        if switch.swap(false, Ordering::SeqCst) {
            (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "3600")]).into_response()
        } else {
            status(200)
        }
    })
    .await;
    let bench = Bench::new();
    let endpoint = bench.endpoint(&receiver.url).await;
    bench.tell("cus_a", 1).await;
    let running = bench.dispatch(loopback());
    let waiting = bench.until(&endpoint, DeliveryState::Pending, 1).await;
    let attempt = &bench.attempts(&waiting[0], 1).await[0];
    let (delivery, _) =
        bench.billing.webhook_delivery(&bench.cx(), &endpoint.id, &waiting[0].event).await.unwrap();
    assert!(delivery.next_ms.unwrap() >= attempt.at_ms + 3_600_000);
    bench.pass(1_800_000).await;
    bench.until(&endpoint, DeliveryState::Delivered, 1).await;
    assert_eq!(receiver.told("cus_a").len(), 1, "half an hour is not enough");
    bench.pass(1_801_000).await;
    bench.until(&endpoint, DeliveryState::Delivered, 3).await;
    running.stop().await;
    assert_eq!(receiver.told("cus_a").len(), 2);
}
