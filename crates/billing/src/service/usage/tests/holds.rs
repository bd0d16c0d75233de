//! Usage that is paid from a hold.

use super::*;
use crate::service::Authority;
use crate::service::hold::NewHold;

async fn held(shop: &Shop, customer: CustomerId, amount: u128) -> HoldId {
    let new = NewHold {
        customer: Some(customer),
        asset: Some("USD".to_owned()),
        amount: Amount::from_base(amount),
        expires_ms: Some(900),
        ..NewHold::default()
    };
    shop.billing.place_hold(&shop.at(1), &Authority::Owner, &new).await.unwrap().id
}

#[tokio::test]
async fn an_event_is_paid_from_the_hold_that_was_placed_for_it() {
    let shop = Shop::open().await;
    let (customer, product) = (shop.customer("c", 100).await, shop.product(EVENT, THREE).await.id);
    let hold = held(&shop, customer, 50).await;
    let event = |id: &str, quantity, rest| NewUsage {
        quantity,
        hold: Some(hold),
        rest,
        costs: costs(&[("v.example", 2)]),
        ..usage(id, customer, product)
    };
    let record =
        async |new: NewUsage| shop.billing.record_usage(&shop.at(500), &new).await.map_err(|e| e.code());
    let balances = async || {
        let wallet = shop.billing.wallet(&shop.at(600), customer, "USD").await.unwrap();
        let farthing_ledger::Net::Plus(settled) = wallet.settled else { panic!("below zero") };
        (settled.base(), wallet.held.base(), wallet.spendable.base())
    };
    assert_eq!(balances().await, (100, 50, 50));
    let first = record(event("a", 4, Rest::Keep)).await.unwrap();
    assert_eq!(balances().await, (88, 38, 50));
    assert_eq!(record(event("a", 4, Rest::Keep)).await.unwrap().status, RecordedAs::Exists);
    assert_eq!(record(event("free", 0, Rest::Keep)).await.unwrap().usage.price.base(), 0);
    assert_eq!(record(event("b", 13, Rest::Keep)).await.unwrap_err(), "exceeds_spend");
    assert_eq!(balances().await, (88, 38, 50));
    record(event("c", 2, Rest::Release)).await.unwrap();
    assert_eq!(balances().await, (82, 0, 82));
    assert_eq!(record(event("d", 1, Rest::Release)).await.unwrap_err(), "wrong_state");
    // The hold says by which events it was paid from.
    let kept = shop.billing.hold(&shop.at(600), &Authority::Owner, hold).await.unwrap();
    assert_eq!((kept.captured.base(), kept.receipts.len()), (18, 2));
    assert_eq!(kept.receipts[0].reference, Some(first.usage.id.text()));
    let outside = shop.billing.asset(&shop.at(6), "USD").await.unwrap().outside();
    assert_eq!((shop.settled(outside.revenue).await, shop.settled(outside.cost).await), (18, 6));
    shop.billing.store().verify().await.unwrap().unwrap();
}

#[tokio::test]
async fn a_hold_that_is_not_the_events_is_refused() {
    let shop = Shop::open().await;
    let (customer, product) = (shop.customer("c", 100).await, shop.product(EVENT, THREE).await.id);
    let other = shop.customer("d", 100).await;
    let (mine, others) = (held(&shop, customer, 9).await, held(&shop, other, 9).await);
    let event = |hold| NewUsage { hold: Some(hold), ..usage("e", customer, product) };
    for (now, hold, code) in [
        (500, others, "invalid_field"),
        (500, HoldId::from_u128(0x100), "not_found"),
        (900, mine, "wrong_state"),
        (1_500, mine, "wrong_state"),
    ] {
        let error = shop.billing.record_usage(&shop.at(now), &event(hold)).await.unwrap_err();
        assert_eq!(error.code(), code, "{now} {hold}");
    }
    assert!(told(&shop).await.is_empty());
    assert_eq!(shop.billing.hold(&shop.at(600), &Authority::Owner, mine).await.unwrap().held.base(), 9);
    // What an archived customer has in flight is settled.
    let change = CustomerChange { state: Some(CustomerState::Archived), ..CustomerChange::default() };
    shop.billing.update_customer(&shop.at(1), customer, &change).await.unwrap();
    shop.billing.record_usage(&shop.at(500), &event(mine)).await.unwrap();
}

#[tokio::test]
async fn events_that_race_for_one_hold_pay_no_more_than_it_has() {
    let shop = std::sync::Arc::new(Shop::open().await);
    let (customer, product) = (shop.customer("c", 100).await, shop.product(EVENT, THREE).await.id);
    let hold = held(&shop, customer, 60).await;
    let calls: Vec<_> = (0..40)
        .map(|n| {
            let shop = shop.clone();
            let new =
                NewUsage { hold: Some(hold), rest: Rest::Keep, ..usage(&n.to_string(), customer, product) };
            tokio::spawn(
                async move { shop.billing.record_usage(&shop.at(500), &new).await.map_err(|e| e.code()) },
            )
        })
        .collect();
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap().map(|r| r.usage.price.base()));
    }
    answers.sort();
    assert_eq!(answers, [vec![Ok(3); 20], vec![Err("wrong_state"); 20]].concat());
    assert_eq!(shop.spendable(customer).await, 40);
}
