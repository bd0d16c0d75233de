//! Events, endpoints and outcomes in a store in memory, with several dispatchers that come late, die and repeat themselves.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;

use farthing_ledger::Timestamp;
use farthing_ledger::record::{Committed, Order, Work};
use farthing_ledger::testkit::MemoryStore;
use farthing_money::Id;
use serde_json::json;

use super::super::event::EventKind;
use super::super::{Billing, Cx, Draft, Fate, PageQuery, TenantId};
use super::{
    Answer, Attempt, Change, DeliveryState, Endpoint, EndpointState, LONGEST_MS, Letter, MAX_ENDPOINTS,
    NewEndpoint, Outcome, Secret,
};

const TENANT: TenantId = TenantId::from_u128(7);

fn billing() -> Billing {
    Billing::new(Arc::new(MemoryStore::new()))
}

fn at(now_ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(now_ms)
}

fn cx(now_ms: u64, n: u128) -> Cx {
    // The position of a change takes the last ten bits of an event's id.
    Cx { tenant: TENANT, now: at(now_ms), id: Id::from_parts(now_ms, n << 10), idempotency: None }
}

async fn endpoint(billing: &Billing, kinds: &[EventKind], n: u128) -> Endpoint {
    endpoint_for(billing, &cx(0, n), kinds).await
}

async fn endpoint_for(billing: &Billing, cx: &Cx, kinds: &[EventKind]) -> Endpoint {
    let new = NewEndpoint {
        url: "https://example.com/hook".to_owned(),
        kinds: kinds.to_vec(),
        description: String::new(),
        secret: Secret::from_bytes([1; 32]),
    };
    billing.create_webhook(cx, &new).await.unwrap()
}

/// Something happens to a customer.
async fn tell(billing: &Billing, cx: &Cx, customer: &str) {
    let mut draft = Draft::new();
    draft.tell(cx, EventKind::HoldPlaced, &json!({ "customer": customer, "id": "hold_1" })).unwrap();
    assert!(matches!(billing.commit(cx, draft, &()).await.unwrap(), Fate::Applied { .. }));
}

async fn fan_out(billing: &Billing, now_ms: u64) -> usize {
    let mut deliveries = 0;
    loop {
        let done = billing.fan_out(at(now_ms)).await.unwrap();
        deliveries += done.deliveries;
        if !done.more {
            return deliveries;
        }
    }
}

/// The letters that are due, one a lane.
async fn due(billing: &Billing, now_ms: u64) -> Vec<Letter> {
    let mut letters = Vec::new();
    for pending in billing.pending_webhooks().await.unwrap() {
        for lane in billing.webhook_lanes(pending.tenant, &pending.endpoint, 100).await.unwrap() {
            if lane.due_ms <= now_ms {
                letters.extend(billing.next_webhook(at(now_ms), &lane.id).await.unwrap());
            }
        }
    }
    letters
}

fn outcome(letter: &Letter, now_ms: u64, answer: Answer) -> Outcome {
    let status = match answer {
        Answer::Taken => 200,
        Answer::Failed { .. } => 500,
        Answer::Gone => 410,
    };
    let attempt =
        Attempt { at_ms: now_ms, duration_ms: 1, status: Some(status), error: None, response: String::new() };
    Outcome { lane: letter.lane.clone(), event: letter.event.id.clone(), attempt, answer, jitter: 128 }
}

async fn settle(billing: &Billing, letter: &Letter, now_ms: u64, answer: Answer) {
    let id = Id::from_parts(now_ms, 0xbeef << 10);
    billing.settle_webhook(at(now_ms), id, &outcome(letter, now_ms, answer)).await.unwrap();
}

const FAILED: Answer = Answer::Failed { retry_after_ms: None };

#[tokio::test]
async fn an_event_goes_to_every_endpoint_that_wants_it_and_only_once() {
    let billing = billing();
    let all = endpoint(&billing, &[], 1).await;
    let holds = endpoint(&billing, &[EventKind::HoldPlaced], 2).await;
    endpoint(&billing, &[EventKind::BudgetClosed], 3).await;
    tell(&billing, &cx(10, 10), "cus_a").await;
    assert_eq!(fan_out(&billing, 20).await, 2);
    assert_eq!(fan_out(&billing, 21).await, 0, "the outbox is empty");
    let letters = due(&billing, 30).await;
    let told: Vec<&str> = letters.iter().map(|letter| letter.endpoint.id.as_str()).collect();
    assert_eq!(told, [all.id.as_str(), holds.id.as_str()]);
    for letter in &letters {
        settle(&billing, letter, 31, Answer::Taken).await;
    }
    assert!(due(&billing, u64::MAX >> 8).await.is_empty());
    assert!(billing.pending_webhooks().await.unwrap().is_empty());
    let (delivery, attempts) =
        billing.webhook_delivery(&cx(40, 40), &all.id, &letters[0].event.id).await.unwrap();
    assert_eq!((delivery.state, delivery.attempts, attempts.len()), (DeliveryState::Delivered, 1, 1));
}

#[tokio::test]
async fn a_tenant_without_endpoints_is_told_nothing_and_is_in_nobodys_way() {
    let billing = billing();
    endpoint(&billing, &[], 1).await;
    let other = |n: u128| Cx { tenant: TenantId::from_u128(8), ..cx(10, n) };
    for n in 10..13 {
        tell(&billing, &other(n), "cus_of_another").await;
        tell(&billing, &cx(10, n + 10), &format!("cus_{n}")).await;
    }
    let done = billing.fan_out(at(20)).await.unwrap();
    assert_eq!((done.events, done.deliveries, done.unreadable), (6, 3, 0));
    let mut told: Vec<String> = due(&billing, 30).await.into_iter().map(|letter| letter.lane.key).collect();
    told.sort();
    assert_eq!(told, ["cus_10", "cus_11", "cus_12"]);
    assert_eq!(fan_out(&billing, 21).await, 0, "the outbox is empty");
    endpoint_for(&billing, &other(30), &[]).await;
    assert_eq!(fan_out(&billing, 22).await, 0, "nobody is told of what was before");
}

#[tokio::test]
async fn what_is_committed_late_is_told_late_and_not_forgotten() {
    let billing = billing();
    endpoint(&billing, &[], 1).await;
    // Both ids were taken; the second commits first, and is fanned out before the first commits.
    let (slow, quick) = (cx(10, 10), cx(11, 11));
    tell(&billing, &quick, "cus_a").await;
    assert_eq!(fan_out(&billing, 12).await, 1);
    tell(&billing, &slow, "cus_a").await;
    assert_eq!(fan_out(&billing, 13).await, 1);
    let mut order = Vec::new();
    while let Some(letter) = due(&billing, 20).await.pop() {
        order.push(letter.event.created_ms);
        settle(&billing, &letter, 20, Answer::Taken).await;
    }
    assert_eq!(order, [11, 10], "the order of commits");
}

#[tokio::test]
async fn a_failing_delivery_holds_up_its_own_customer_only() {
    let billing = billing();
    endpoint(&billing, &[], 1).await;
    for (n, customer) in ["cus_a", "cus_a", "cus_b", "cus_a", "cus_b"].iter().enumerate() {
        let n = u64::try_from(n).unwrap();
        tell(&billing, &cx(10 + n, u128::from(10 + n)), customer).await;
    }
    fan_out(&billing, 20).await;
    let mut told = BTreeMap::<String, Vec<u64>>::new();
    for now in 30..40 {
        for letter in due(&billing, now).await {
            if letter.lane.key == "cus_a" {
                settle(&billing, &letter, now, FAILED).await;
            } else {
                told.entry(letter.lane.key.clone()).or_default().push(letter.event.created_ms);
                settle(&billing, &letter, now, Answer::Taken).await;
            }
        }
    }
    assert_eq!(told["cus_b"], [12, 14]);
    // Five seconds later, with the jitter in the middle, the first of the other is tried again, and then the rest in order.
    assert!(due(&billing, 5_000).await.is_empty());
    let mut order = Vec::new();
    while let Some(letter) = due(&billing, 5_040).await.pop() {
        order.push(letter.event.created_ms);
        settle(&billing, &letter, 5_040, Answer::Taken).await;
    }
    assert_eq!(order, [10, 11, 13]);
}

#[tokio::test]
async fn after_three_days_it_is_a_dead_letter_that_can_be_replayed() {
    let billing = billing();
    let endpoint = endpoint(&billing, &[], 1).await;
    tell(&billing, &cx(0, 10), "cus_a").await;
    fan_out(&billing, 0).await;
    let (mut now, mut tried) = (0, 0);
    let mut event = String::new();
    while let Some(pending) = billing.pending_webhooks().await.unwrap().pop() {
        now = pending.due_ms;
        let letter = due(&billing, now).await.pop().unwrap();
        settle(&billing, &letter, now, FAILED).await;
        event = letter.event.id;
        tried += 1;
    }
    assert_eq!((now, tried), (LONGEST_MS, 16));
    let page = PageQuery { order: Order::Ascending, ..PageQuery::default() };
    let later = cx(now + 1, 20);
    let dead = billing.webhook_dead_letters(&later, &endpoint.id, &page).await.unwrap().data;
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].reason.as_deref(), Some("attempts_exhausted"));
    assert_eq!(billing.replay_dead_letters(&later, &endpoint.id).await.unwrap(), 1);
    assert_eq!(billing.replay_dead_letters(&later, &endpoint.id).await.unwrap(), 0);
    let letter = due(&billing, now + 1).await.pop().unwrap();
    assert_eq!(letter.event.id, event, "the same name again");
    settle(&billing, &letter, now + 2, Answer::Taken).await;
    assert!(billing.webhook_dead_letters(&later, &endpoint.id, &page).await.unwrap().data.is_empty());
    let (_, attempts) = billing.webhook_delivery(&later, &endpoint.id, &event).await.unwrap();
    assert_eq!(attempts.len(), 17, "every attempt is in the log");
}

#[tokio::test]
async fn gone_disables_the_endpoint_and_what_waited_becomes_dead_letters() {
    let billing = billing();
    let hook = endpoint(&billing, &[EventKind::HoldPlaced], 1).await;
    let other = endpoint(&billing, &[EventKind::WebhookDisabled], 2).await;
    for n in 0..3 {
        tell(&billing, &cx(10 + n, 10 + u128::from(n)), "cus_a").await;
    }
    fan_out(&billing, 20).await;
    let letter = due(&billing, 20).await.pop().unwrap();
    settle(&billing, &letter, 20, Answer::Gone).await;
    let now = cx(30, 30);
    assert_eq!(billing.webhook(&now, &hook.id).await.unwrap().doc.state, EndpointState::Gone);
    assert!(due(&billing, 30).await.is_empty(), "they are buried");
    tell(&billing, &cx(31, 31), "cus_a").await;
    assert_eq!(fan_out(&billing, 32).await, 1, "only that the endpoint is gone, for the other one");
    let told = due(&billing, 33).await.pop().unwrap();
    assert_eq!((told.endpoint.id, told.event.kind), (other.id, EventKind::WebhookDisabled));
    let page = PageQuery { order: Order::Ascending, ..PageQuery::default() };
    let dead = billing.webhook_dead_letters(&now, &hook.id, &page).await.unwrap().data;
    assert_eq!(dead.len(), 3);
    // Nothing is queued for it until it is enabled.
    assert_eq!(billing.replay_dead_letters(&now, &hook.id).await.unwrap_err().code(), "wrong_state");
    let enable = Change { enabled: Some(true), ..Change::default() };
    billing.change_webhook(&now, &hook.id, &enable).await.unwrap();
    assert_eq!(billing.replay_dead_letters(&now, &hook.id).await.unwrap(), 3);
    assert_eq!(due(&billing, 40).await.len(), 2, "the first of its lane, and the other endpoint's");
}

#[tokio::test]
async fn what_was_to_be_told_to_an_endpoint_that_is_deleted_is_forgotten() {
    let billing = billing();
    let hook = endpoint(&billing, &[], 1).await;
    tell(&billing, &cx(10, 10), "cus_a").await;
    fan_out(&billing, 20).await;
    billing.delete_webhook(&cx(21, 21), &hook.id).await.unwrap();
    assert!(due(&billing, 22).await.is_empty());
    assert!(billing.pending_webhooks().await.unwrap().is_empty());
    assert_eq!(billing.webhook(&cx(23, 23), &hook.id).await.unwrap_err().code(), "not_found");
}

#[tokio::test]
async fn a_rotated_secret_signs_beside_the_new_one_until_its_time_is_up() {
    let billing = billing();
    let hook = endpoint(&billing, &[], 1).await;
    let (old, new) = (Secret::from_bytes([1; 32]), Secret::from_bytes([2; 32]));
    let hook = billing.rotate_webhook_secret(&cx(100, 2), &hook.id, &new, 50).await.unwrap();
    assert_eq!(hook.signing(149).collect::<Vec<_>>(), [&new, &old]);
    assert_eq!(hook.signing(150).collect::<Vec<_>>(), [&new]);
    let newest = Secret::from_bytes([3; 32]);
    let hook = billing.rotate_webhook_secret(&cx(120, 3), &hook.id, &newest, 0).await.unwrap();
    assert_eq!(hook.signing(120).collect::<Vec<_>>(), [&newest], "a leaked secret is gone at once");
}

#[tokio::test]
async fn an_endpoint_that_breaks_a_rule_is_not_made() {
    let billing = billing();
    for url in ["ftp://example.com", "https://exa mple.com", "https://example.com/\u{7}", "example.com"] {
        let new = NewEndpoint {
            url: url.to_owned(),
            kinds: Vec::new(),
            description: String::new(),
            secret: Secret::from_bytes([1; 32]),
        };
        let refused = billing.create_webhook(&cx(0, 1), &new).await.unwrap_err();
        assert_eq!(refused.code(), "invalid_field", "{url}");
    }
    for n in 0..MAX_ENDPOINTS {
        endpoint(&billing, &[], u128::try_from(n).unwrap()).await;
    }
    let new = NewEndpoint {
        url: "https://example.com".to_owned(),
        kinds: Vec::new(),
        description: String::new(),
        secret: Secret::from_bytes([1; 32]),
    };
    assert_eq!(billing.create_webhook(&cx(1, 99), &new).await.unwrap_err().code(), "invalid_field");
}

#[tokio::test]
async fn one_holds_the_lease_until_it_lets_go_or_dies() {
    let billing = billing();
    let hold = |by, now, until| {
        let billing = billing.clone();
        async move { billing.hold_webhook_lease(by, at(now), at(until)).await.unwrap() }
    };
    assert!(hold("a", 0, 10).await);
    assert!(!hold("b", 5, 15).await);
    assert!(hold("a", 5, 15).await);
    assert!(!hold("b", 14, 24).await);
    assert!(hold("b", 15, 25).await, "a is late");
    assert!(!hold("a", 16, 26).await);
    assert!(hold("b", 16, 16).await, "it lets go");
    assert!(hold("a", 16, 26).await);
}

#[tokio::test]
async fn whoever_is_about_to_end_an_empty_lane_notices_that_something_joined_it() {
    let billing = billing();
    endpoint(&billing, &[], 1).await;
    tell(&billing, &cx(10, 10), "cus_a").await;
    fan_out(&billing, 20).await;
    let letter = due(&billing, 20).await.pop().unwrap();
    let taken = outcome(&letter, 21, Answer::Taken);
    let Draft { records, .. } = billing.settlement(&cx(21, 21), &taken).await.unwrap().unwrap();
    tell(&billing, &cx(22, 22), "cus_a").await;
    fan_out(&billing, 23).await;
    let work = Work { now: at(24), steps: Vec::new(), records };
    assert!(matches!(billing.store().commit(work).await.unwrap(), Committed::Conflict { .. }));
    billing.settle_webhook(at(25), Id::from_parts(25, 0), &taken).await.unwrap();
    assert_eq!(due(&billing, 26).await.pop().unwrap().event.created_ms, 22);
}

#[tokio::test]
async fn a_fan_out_that_was_interrupted_is_as_if_it_had_not_begun() {
    let billing = billing();
    endpoint(&billing, &[], 1).await;
    tell(&billing, &cx(10, 10), "cus_a").await;
    // Two read the same outbox; the second to commit finds that the first has.
    let (one, two) = tokio::join!(billing.fan_out(at(20)), billing.fan_out(at(20)));
    assert_eq!(one.unwrap().deliveries + two.unwrap().deliveries, 1);
    assert_eq!(due(&billing, 20).await.len(), 1);
}

/// Four dispatchers that know nothing of each other, all the time, while 400 events happen: each is told to each endpoint at least
/// once, and first told in the order of its customer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dispatchers_that_race_lose_nothing_and_keep_the_order() {
    const EVENTS: u64 = 400;
    let billing = billing();
    let hook = endpoint(&billing, &[], 1).await;
    let told = Arc::new(tokio::sync::Mutex::new(BTreeMap::<String, Vec<u64>>::new()));
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let dispatchers: Vec<_> = (0..4)
        .map(|n| {
            let (billing, told, done) = (billing.clone(), Arc::clone(&told), Arc::clone(&done));
            tokio::spawn(async move {
                let mut now = 1_000;
                loop {
                    let finished = done.load(std::sync::atomic::Ordering::SeqCst);
                    now += 7_000;
                    // Contention is an answer here: the others were quicker.
                    billing.fan_out(at(now)).await.ok();
                    let letters = due(&billing, now).await;
                    if finished && letters.is_empty() && billing.pending_webhooks().await.unwrap().is_empty()
                    {
                        return;
                    }
                    for (place, letter) in letters.iter().enumerate() {
                        // Some answers fail, and some dispatchers die before they have written down what was answered.
                        let fate = (letter.event.created_ms + u64::from(letter.delivery.attempts) + n) % 5;
                        if fate == 0 {
                            settle(&billing, letter, now, FAILED).await;
                            continue;
                        }
                        told.lock()
                            .await
                            .entry(letter.lane.key.clone())
                            .or_default()
                            .push(letter.event.created_ms);
                        if fate == 1 && place % 2 == 0 && !finished {
                            continue;
                        }
                        settle(&billing, letter, now, Answer::Taken).await;
                    }
                }
            })
        })
        .collect();
    for n in 0..EVENTS {
        tell(
            &billing,
            &cx(10 + n, 10 + u128::from(n)),
            ["cus_a", "cus_b", "cus_c"][usize::try_from(n % 3).unwrap()],
        )
        .await;
        if n % 16 == 0 {
            tokio::task::yield_now().await;
        }
    }
    done.store(true, std::sync::atomic::Ordering::SeqCst);
    for dispatcher in dispatchers {
        dispatcher.await.unwrap();
    }
    let told = told.lock().await;
    let mut all = 0;
    for (customer, events) in told.iter() {
        let mut first: Vec<u64> = Vec::new();
        events.iter().for_each(|event| {
            if !first.contains(event) {
                first.push(*event);
            }
        });
        assert!(first.is_sorted(), "{customer} was told out of order");
        all += first.len();
    }
    assert_eq!(all, usize::try_from(EVENTS).unwrap());
    let mut page = PageQuery { order: Order::Ascending, ..PageQuery::default() };
    let mut delivered = 0;
    loop {
        let listed = billing.webhook_deliveries(&cx(0, 0), &hook.id, &page).await.unwrap();
        delivered += listed.data.iter().filter(|d| d.state == DeliveryState::Delivered).count();
        page.after = listed.next;
        if page.after.is_none() {
            break;
        }
    }
    assert_eq!(delivered, all);
}
