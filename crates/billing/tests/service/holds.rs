//! Placing, capturing, voiding, refunding and expiring holds.

use farthing_billing::service::Authority::Owner;
use farthing_billing::service::HoldId;
use farthing_billing::service::grant::{GrantPurpose, NewGrant};
use farthing_billing::service::hold::{Hold, HoldFilter, HoldState, NewCapture, NewHold, NewRefund, NewVoid};
use farthing_billing::service::{Named as _, PageQuery, ServiceError};
use farthing_ledger::record::{Committed, Expect, RecordChange, RecordKey, Table, Work};

use crate::world::{HOUR, World, base};

fn wish(world: &World, amount: u128) -> NewHold {
    NewHold {
        customer: Some(world.customer),
        asset: Some("USD".to_owned()),
        amount: base(amount),
        subject: Some("task 47".to_owned()),
        counterparty: Some("api.example".to_owned()),
        ..NewHold::default()
    }
}

async fn place(world: &World, amount: u128) -> Result<Hold, ServiceError> {
    world.billing.place_hold(&world.cx(), &Owner, &wish(world, amount)).await
}

fn part(amount: u128, last: bool) -> NewCapture {
    NewCapture { amount: Some(base(amount)), last, reference: Some(format!("receipt of {amount}")) }
}

#[tokio::test]
async fn a_hold_sets_aside_and_a_capture_pays_a_part_of_it() {
    let world = World::new().await;
    world.credit(1_000).await;
    let hold = place(&world, 300).await.unwrap();
    assert_eq!(world.balances().await, (700, 300, 1_000));
    let first = world.billing.capture_hold(&world.cx(), &Owner, hold.id, &part(50, false)).await.unwrap();
    assert_eq!((first.state, first.captured.base(), first.held.base()), (HoldState::Open, 50, 250));
    assert_eq!(world.balances().await, (700, 250, 950));
    let last = world.billing.capture_hold(&world.cx(), &Owner, hold.id, &part(70, true)).await.unwrap();
    assert_eq!((last.state, last.captured.base(), last.held.base()), (HoldState::Captured, 120, 0));
    assert_eq!(last.receipts.len(), 2);
    assert_eq!(world.balances().await, (880, 0, 880));
    let again = world.billing.capture_hold(&world.cx(), &Owner, hold.id, &part(1, true)).await.unwrap_err();
    assert_eq!(again.code(), "wrong_state");
    assert_eq!(world.balances().await, (880, 0, 880));
}

#[tokio::test]
async fn a_void_gives_all_back_and_a_refund_gives_back_what_was_paid_once() {
    let world = World::new().await;
    world.credit(1_000).await;
    let hold = place(&world, 300).await.unwrap();
    let voided = world.billing.void_hold(&world.cx(), &Owner, hold.id, &NewVoid::default()).await.unwrap();
    assert_eq!((voided.state, voided.released().unwrap().base()), (HoldState::Voided, 300));
    assert_eq!(world.balances().await, (1_000, 0, 1_000));

    let hold = place(&world, 300).await.unwrap();
    world.billing.capture_hold(&world.cx(), &Owner, hold.id, &NewCapture::default()).await.unwrap();
    let back = |amount: Option<u128>| NewRefund { amount: amount.map(base), ..NewRefund::default() };
    let refund = async |amount| world.billing.refund_hold(&world.cx(), hold.id, &back(amount)).await;
    assert_eq!(refund(Some(100)).await.unwrap().refunded.base(), 100);
    assert_eq!(world.balances().await, (800, 0, 800));
    assert_eq!(refund(Some(201)).await.unwrap_err().code(), "refund_exceeds_spent");
    assert_eq!(refund(None).await.unwrap().refunded.base(), 300);
    assert_eq!(world.balances().await, (1_000, 0, 1_000));
    assert_eq!(refund(None).await.unwrap_err().code(), "invalid_field");
}

#[tokio::test]
async fn a_hold_that_ran_out_pays_nothing_and_is_ended_by_the_worker() {
    let world = World::new().await;
    world.credit(1_000).await;
    let new = NewHold { expires_ms: Some(world.now() + HOUR), ..wish(&world, 300) };
    let hold = world.billing.place_hold(&world.cx(), &Owner, &new).await.unwrap();
    assert_eq!(world.billing.expire_due(&world.cx(), 10).await.unwrap(), 0);
    world.pass(HOUR);
    let late = world.billing.capture_hold(&world.cx(), &Owner, hold.id, &part(1, true)).await.unwrap_err();
    assert_eq!(late.code(), "wrong_state");
    assert_eq!(world.billing.expire_due(&world.cx(), 10).await.unwrap(), 1);
    let ended = world.billing.hold(&world.cx(), &Owner, hold.id).await.unwrap();
    assert_eq!((ended.state, ended.held.base()), (HoldState::Expired, 0));
    assert_eq!(world.balances().await, (1_000, 0, 1_000));
    assert_eq!(world.billing.expire_due(&world.cx(), 10).await.unwrap(), 0);
}

#[tokio::test]
async fn a_hold_that_cannot_be_read_holds_up_no_other() {
    let world = World::new().await;
    world.credit(1_000).await;
    let mut holds = Vec::new();
    for amount in [100, 20, 3] {
        let new = NewHold { expires_ms: Some(world.now() + HOUR), ..wish(&world, amount) };
        holds.push(world.billing.place_hold(&world.cx(), &Owner, &new).await.unwrap().id);
    }
    let at = RecordKey { table: Table::new("hold"), key: format!("{}/{}", world.tenant, holds[0].text()) };
    let damage = RecordChange::Put { at, expect: Expect::Present, body: "{}".to_owned() };
    let work = Work { records: vec![damage], ..Work::default() };
    assert!(matches!(world.billing.store().commit(work).await.unwrap(), Committed::Applied { .. }));
    world.pass(HOUR);
    let error = world.billing.expire_due(&world.cx(), 10).await.unwrap_err();
    assert_eq!(error.code(), "record_unreadable");
    for id in &holds[1..] {
        let ended = world.billing.hold(&world.cx(), &Owner, *id).await.unwrap();
        assert_eq!(ended.state, HoldState::Expired);
    }
    assert_eq!(world.balances().await, (900, 100, 1_000), "what cannot be read stays aside");
}

#[tokio::test]
async fn the_same_name_is_the_same_hold_and_the_same_key_the_same_call() {
    let world = World::new().await;
    world.credit(1_000).await;
    let id = Some(HoldId::from_u128(0x1234_5600));
    let new = NewHold { id, ..wish(&world, 300) };
    let first = world.billing.place_hold(&world.cx(), &Owner, &new).await.unwrap();
    let again = world.billing.place_hold(&world.cx(), &Owner, &new).await.unwrap();
    assert_eq!(first, again);
    let other = NewHold { amount: base(301), ..new };
    let refused = world.billing.place_hold(&world.cx(), &Owner, &other).await.unwrap_err();
    assert_eq!(refused.code(), "already_exists");
    assert_eq!(world.balances().await, (700, 300, 1_000));

    let told = world.billing.place_hold(&world.keyed("k"), &Owner, &wish(&world, 10)).await.unwrap();
    assert_eq!(world.billing.place_hold(&world.keyed("k"), &Owner, &wish(&world, 10)).await.unwrap(), told);
    let capture = part(4, false);
    let paid = world.billing.capture_hold(&world.keyed("c"), &Owner, told.id, &capture).await.unwrap();
    assert_eq!(world.billing.capture_hold(&world.keyed("c"), &Owner, told.id, &capture).await.unwrap(), paid);
    assert_eq!(world.balances().await, (690, 306, 996));
}

#[tokio::test]
async fn holds_are_listed_by_customer_by_unit_of_work_and_by_state() {
    let world = World::new().await;
    world.credit(1_000).await;
    let mut ids = Vec::new();
    for n in 0..5 {
        world.pass(1);
        let subject = Some(format!("task {}", n % 2));
        let new = NewHold { subject, ..wish(&world, 10) };
        ids.push(world.billing.place_hold(&world.cx(), &Owner, &new).await.unwrap().id);
    }
    world.billing.void_hold(&world.cx(), &Owner, ids[4], &NewVoid::default()).await.unwrap();
    let customer = Some(world.customer);
    let rows = [
        (HoldFilter::default(), vec![4, 3, 2, 1, 0]),
        (HoldFilter { customer, ..HoldFilter::default() }, vec![4, 3, 2, 1, 0]),
        (HoldFilter { customer, subject: Some("task 0".into()), ..HoldFilter::default() }, vec![4, 2, 0]),
        (HoldFilter { customer, state: Some(HoldState::Open), ..HoldFilter::default() }, vec![3, 2, 1, 0]),
        (HoldFilter { customer, state: Some(HoldState::Voided), ..HoldFilter::default() }, vec![4]),
    ];
    for (filter, expected) in rows {
        let (mut seen, mut page) = (Vec::new(), PageQuery { limit: 2, ..PageQuery::default() });
        loop {
            let found = world.billing.list_holds(&world.cx(), &Owner, &filter, &page).await.unwrap();
            seen.extend(found.data.iter().map(|hold| ids.iter().position(|id| *id == hold.id).unwrap()));
            match found.next {
                Some(next) => page.after = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, expected, "{filter:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_thousand_at_once_as_many_hold_as_the_wallet_can_pay() {
    let world = std::sync::Arc::new(World::new().await);
    world.credit(400).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..1_000 {
        let world = std::sync::Arc::clone(&world);
        tasks.spawn(async move { place(&world, 1).await.map_err(|error| error.code()) });
    }
    let results = tasks.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 400);
    let refused =
        results.iter().filter(|result| result.as_ref().is_err_and(|code| *code == "insufficient_funds"));
    assert_eq!(refused.count(), 600);
    assert_eq!(world.balances().await, (0, 400, 400));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_key_told_many_times_at_once_is_one_hold_and_one_capture() {
    let world = std::sync::Arc::new(World::new().await);
    world.credit(1_000).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..24 {
        let world = std::sync::Arc::clone(&world);
        tasks.spawn(async move {
            let hold =
                world.billing.place_hold(&world.keyed("place"), &Owner, &wish(&world, 10)).await.unwrap();
            let paid =
                world.billing.capture_hold(&world.keyed("pay"), &Owner, hold.id, &part(4, false)).await;
            (hold, paid.unwrap())
        });
    }
    let told = tasks.join_all().await;
    assert!(told.iter().all(|one| *one == told[0]), "{told:?}");
    assert_eq!(world.balances().await, (990, 6, 996));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_wallet_of_many_grants_is_drawn_to_its_last_unit_by_calls_at_once() {
    let world = std::sync::Arc::new(World::new().await);
    world.credit(37).await;
    for priority in 0..9 {
        let new = NewGrant {
            purpose: GrantPurpose::Promotional,
            amount: base(7),
            priority,
            expires_ms: None,
            reason: None,
        };
        world.billing.create_grant(&world.cx(), (world.customer, "USD"), &new).await.unwrap();
    }
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let world = std::sync::Arc::clone(&world);
        tasks.spawn(async move {
            loop {
                match place(&world, 2).await.map_err(|error| error.code()) {
                    Err("contention") => {}
                    other => return other,
                }
            }
        });
    }
    let results = tasks.join_all().await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 50);
    assert!(results.iter().all(|result| !matches!(result, Err(code) if *code != "insufficient_funds")));
    assert_eq!(world.balances().await, (0, 100, 100));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_capture_a_void_and_the_expiry_at_once_one_happens() {
    for _ in 0..20 {
        let world = std::sync::Arc::new(World::new().await);
        world.credit(100).await;
        let new = NewHold { expires_ms: Some(world.now() + HOUR), ..wish(&world, 60) };
        let hold = world.billing.place_hold(&world.cx(), &Owner, &new).await.unwrap().id;
        let calls = (world.cx(), world.cx());
        world.pass(HOUR);
        let (b, after) = (world.billing.clone(), world.cx());
        let (one, two, three) = (b.clone(), b.clone(), (b.clone(), after.clone()));
        let captured = tokio::spawn(async move {
            one.capture_hold(&calls.0, &Owner, hold, &NewCapture::default()).await.is_ok()
        });
        let voided =
            tokio::spawn(
                async move { two.void_hold(&calls.1, &Owner, hold, &NewVoid::default()).await.is_ok() },
            );
        let expired = tokio::spawn(async move { three.0.expire_due(&three.1, 10).await.map(drop) });
        let (captured, voided) = (captured.await.unwrap(), voided.await.unwrap());
        expired.await.unwrap().unwrap();
        let hold = b.hold(&after, &Owner, hold).await.unwrap();
        let ends = (captured, voided, hold.state == HoldState::Expired);
        assert!(
            matches!(ends, (true, false, false) | (false, true, false) | (false, false, true)),
            "{ends:?}"
        );
        let left = if captured { 40 } else { 100 };
        assert_eq!(world.balances().await, (left, 0, left));
    }
}
