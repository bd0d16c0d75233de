#![allow(clippy::unwrap_used, reason = "tests")]

mod holds;
mod property;
mod refunded;
mod refunds;

use farthing_ledger::record::Order;

use super::*;
use crate::service::customer::{CustomerChange, CustomerState};
use crate::service::event::{Event, EventKind};
use crate::service::product::{NewPrice, PriceVersion, TiersOver};
use crate::service::shop::{Shop, costs, usage};
use crate::service::wallet::Overdraft;
use crate::service::{Cx, PageQuery, Stored};

const EVENT: TiersOver = TiersOver::Event;
const MONTH: TiersOver = TiersOver::Month;
const THREE: &str = r#"{"model":{"type":"per_unit","unit":"3"}}"#;
/// 10 units at 5, those after at 1.
const TIERS: &str = r#"{"model":{"type":"graduated","tiers":[{"up_to":10,"unit":"5"},{"unit":"1"}]}}"#;

fn all() -> PageQuery {
    PageQuery { order: Order::Ascending, limit: 900, after: None }
}

/// The outbox's events of usage.
async fn told(shop: &Shop) -> Vec<Event> {
    let all = shop.billing.list::<Event>(&shop.at(0), "", &all()).await.unwrap().docs().data;
    all.into_iter().filter(|event| event.kind == EventKind::UsageRecorded).collect()
}

/// Every model through the service: quantity and cost, what it is priced at, and what is left of 10.00.
#[tokio::test]
async fn every_model_prices_charges_and_costs() {
    type Row = (u64, u128, u128);
    let cases: &[(&str, &[Row])] = &[
        (r#"{"model":{"type":"per_unit","unit":"3"}}"#, &[(0, 0, 0), (7, 9, 21)]),
        (
            r#"{"model":{"type":"per_unit","unit":"3","per":1000},"minimum":"2","maximum":"9"}"#,
            &[(1, 0, 2), (9_000, 0, 9)],
        ),
        (r#"{"model":{"type":"per_unit","unit":"1","per":3},"rounding":"down"}"#, &[(5, 0, 1)]),
        (
            r#"{"model":{"type":"per_unit","unit":"1","per":2},"rounding":"half_even"}"#,
            &[(5, 0, 2), (7, 0, 4)],
        ),
        (
            r#"{"model":{"type":"graduated","tiers":[{"up_to":10,"unit":"5","flat":"1"},{"unit":"1"}]}}"#,
            &[(10, 0, 51), (12, 3, 53)],
        ),
        (
            r#"{"model":{"type":"volume","tiers":[{"up_to":10,"unit":"5"},{"unit":"1","flat":"4"}]}}"#,
            &[(10, 0, 50), (11, 0, 15)],
        ),
        (r#"{"model":{"type":"package","size":100,"price":"250"}}"#, &[(1, 0, 250), (101, 0, 500)]),
        (
            r#"{"model":{"type":"mark_up","millionths":200000,"fixed":"1"}}"#,
            &[(0, 11, 15), (9, 0, 1), (9, 100, 121)],
        ),
    ];
    for (price, rows) in cases {
        for (quantity, cost, expected) in *rows {
            let shop = Shop::open().await;
            let (customer, product) = (shop.customer("c", 1_000).await, shop.product(EVENT, price).await.id);
            let costs = if *cost == 0 { Vec::new() } else { costs(&[("v.example", *cost)]) };
            let new = NewUsage { quantity: *quantity, costs, ..usage("e", customer, product) };
            let got = shop.billing.record_usage(&shop.at(5), &new).await.unwrap();
            assert_eq!(
                (got.status, got.usage.price.base()),
                (RecordedAs::Recorded, *expected),
                "{price} {quantity}"
            );
            assert_eq!((got.usage.cost.base(), got.usage.version), (*cost, 1));
            assert_eq!(shop.spendable(customer).await, 1_000 - expected);
            let outside = shop.billing.asset(&shop.at(6), "USD").await.unwrap().outside();
            let vendor = crate::id::CounterpartyId::named("v.example");
            let payable = vendor.payable(shop.billing.asset(&shop.at(6), "USD").await.unwrap().chart().money);
            let moved = [outside.revenue, outside.cost, payable];
            let mut settled = Vec::new();
            for account in moved {
                settled.push(shop.settled(account).await);
            }
            assert_eq!(settled, [*expected, *cost, *cost], "{price} {quantity}");
        }
    }
}

#[tokio::test]
async fn an_event_happens_once_under_the_callers_id() {
    let shop = Shop::open().await;
    let (customer, product) = (shop.customer("c", 100).await, shop.product(EVENT, THREE).await.id);
    let new = NewUsage {
        subject: Some("task 47".to_owned()),
        dimensions: [("model".to_owned(), "x".to_owned())].into(),
        costs: costs(&[("v.example", 2)]),
        ..usage("any text, ev\u{e9}n this: /#?", customer, product)
    };
    let first = shop.billing.record_usage(&shop.at(5), &new).await.unwrap();
    assert_eq!(first.status, RecordedAs::Recorded);
    // Later, by somebody who says nothing of when it occurred, or says it right.
    for occurred_ms in [None, Some(5)] {
        let again = NewUsage { occurred_ms, ..new.clone() };
        let again = shop.billing.record_usage(&shop.at(900_000), &again).await.unwrap();
        assert_eq!((again.status, &again.usage), (RecordedAs::Exists, &first.usage));
    }
    type Spoil = fn(&mut NewUsage);
    let other: &[Spoil] = &[
        |e| e.subject = None,
        |e| e.event_type = "fetch".to_owned(),
        |e| e.dimensions.clear(),
        |e| e.quantity = 2,
        |e| e.costs.clear(),
        |e| e.costs[0].amount = Amount::from_base(3),
        |e| e.occurred_ms = Some(6),
    ];
    for (at, spoil) in other.iter().enumerate() {
        let mut other = new.clone();
        spoil(&mut other);
        let error = shop.billing.record_usage(&shop.at(6), &other).await.unwrap_err();
        assert_eq!(error.code(), "already_exists", "{at}");
    }
    assert_eq!(shop.spendable(customer).await, 97);
    let kept = shop.billing.list_usage(&shop.at(9), &all()).await.unwrap().data;
    assert_eq!(kept, std::slice::from_ref(&first.usage));
    assert_eq!(shop.billing.usage(&shop.at(9), first.usage.id).await.unwrap(), first.usage);
    let told = told(&shop).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].data, serde_json::to_value(&first.usage).unwrap());
}

#[tokio::test]
async fn an_event_is_shown_in_plain_json() {
    let shop = Shop::open().await;
    let (customer, product) = (shop.customer("c", 100).await, shop.product(EVENT, THREE).await.id);
    let json = format!(
        r#"{{"event_id":"e","customer":"{}","subject":"task 47","product":"{}","event_type":"search","quantity":2,"costs":[{{"vendor":"v.example","amount":"7"}}]}}"#,
        customer.text(),
        product.text(),
    );
    let new: NewUsage = serde_json::from_str(&json).unwrap();
    let got = shop.billing.record_usage(&shop.at(5), &new).await.unwrap();
    let shown = serde_json::to_string(&got).unwrap();
    let subject = SubjectId::named(customer, "task 47").text();
    let expected = format!(
        r#"{{"status":"recorded","id":"{}","event_id":"e","customer":"{}","subject":"{subject}","product":"{}","version":1,"event_type":"search","quantity":2,"asset":"USD","price":"6","cost":"7","refunded":"0","margin":"-1","costs":[{{"vendor":"v.example","amount":"7"}}],"occurred_ms":5,"recorded_ms":5}}"#,
        got.usage.id.text(),
        customer.text(),
        product.text(),
    );
    assert_eq!(shown, expected);
    assert_eq!(serde_json::from_str::<Recorded>(&shown).unwrap(), got);
    // As it was kept before anything was given back of events.
    let before = shown.replace(r#""refunded":"0","#, "");
    assert_eq!(serde_json::from_str::<Recorded>(&before).unwrap(), got);
    serde_json::from_str::<NewUsage>(&json.replace("event_type", "event_typ")).unwrap_err();
}

#[tokio::test]
async fn what_is_no_usage_is_refused_and_leaves_nothing() {
    let shop = Shop::open().await;
    let (customer, product) = (shop.customer("c", 10).await, shop.product(EVENT, THREE).await.id);
    let unpriced = {
        let new = crate::service::product::NewProduct {
            price: None,
            ..serde_json::from_str(r#"{"name":"n","asset":"USD"}"#).unwrap()
        };
        shop.billing.create_product(&shop.at(0), &new).await.unwrap().id
    };
    let archived = shop.customer("gone", 10).await;
    let change = CustomerChange { state: Some(CustomerState::Archived), ..CustomerChange::default() };
    shop.billing.update_customer(&shop.at(1), archived, &change).await.unwrap();
    let good = usage("e", customer, product);
    let twice = costs(&[("v", 1), ("v", 1)]);
    let many = (0..33).map(|n| (n.to_string(), String::new())).collect();
    let rows = [
        ("invalid_field", NewUsage { event_id: String::new(), ..good.clone() }),
        ("invalid_field", NewUsage { event_id: "x".repeat(257), ..good.clone() }),
        ("invalid_field", NewUsage { subject: Some(String::new()), ..good.clone() }),
        ("invalid_field", NewUsage { costs: costs(&[("", 1)]), ..good.clone() }),
        ("not_found", NewUsage { product: ProductId::from_u128(1), ..good.clone() }),
        ("not_found", NewUsage { customer: CustomerId::from_u128(1), ..good.clone() }),
        ("wrong_state", NewUsage { customer: archived, ..good.clone() }),
        ("usage_bad_type", NewUsage { event_type: String::new(), ..good.clone() }),
        ("usage_bad_dimensions", NewUsage { dimensions: many, ..good.clone() }),
        ("usage_bad_costs", NewUsage { costs: twice, ..good.clone() }),
        ("usage_too_late", NewUsage { occurred_ms: Some(3_999), ..good.clone() }),
        ("usage_in_the_future", NewUsage { occurred_ms: Some(5_011), ..good.clone() }),
        ("price_missing", NewUsage { product: unpriced, ..good.clone() }),
        ("insufficient_funds", NewUsage { quantity: 4, ..good.clone() }),
        ("amount_overflow", NewUsage { costs: costs(&[("a", u128::MAX), ("b", 1)]), ..good.clone() }),
    ];
    for (code, new) in rows {
        let error = shop.billing.record_usage(&shop.at(5_000), &new).await.unwrap_err();
        assert_eq!(error.code(), code, "{new:?}");
    }
    // The other tenant's customers and products are nobody's.
    for new in [good.clone(), NewUsage { customer: CustomerId::from_u128(2), ..good.clone() }] {
        let error = shop.billing.record_usage(&shop.foreign(5_000), &new).await.unwrap_err();
        assert_eq!(error.code(), "not_found");
    }
    assert!(shop.billing.list_usage(&shop.at(6_000), &all()).await.unwrap().data.is_empty());
    assert!(told(&shop).await.is_empty());
    assert_eq!(shop.spendable(customer).await, 10);
    // The id is free: what was refused may be told again when it can be paid.
    for (now, occurred_ms) in [(5_000, Some(4_000)), (5_000, Some(5_010))] {
        let new = NewUsage { occurred_ms, event_id: format!("e{occurred_ms:?}"), ..good.clone() };
        shop.billing.record_usage(&shop.at(now), &new).await.unwrap();
    }
}

#[tokio::test]
async fn usage_told_late_is_priced_by_the_version_of_its_time() {
    let shop = Shop::open().await;
    let (customer, product) = (shop.customer("c", 100).await, shop.product(EVENT, THREE).await.id);
    let price = serde_json::from_str(r#"{"model":{"type":"per_unit","unit":"7"}}"#).unwrap();
    let new = NewPrice { price, from_ms: Some(2_000) };
    shop.billing.publish_price(&shop.at(1_500), product, &new).await.unwrap();
    // told at, occurred at -> version, price
    for (now, occurred, version, price) in
        [(1_999, 1_999, 1, 3), (2_000, 2_000, 2, 7), (2_900, 1_999, 1, 3), (1_995, 2_001, 2, 7)]
    {
        let new = NewUsage {
            occurred_ms: Some(occurred),
            ..usage(&format!("{now}/{occurred}"), customer, product)
        };
        let got = shop.billing.record_usage(&shop.at(now), &new).await.unwrap().usage;
        assert_eq!((got.version, got.price.base()), (version, price), "told {now}, occurred {occurred}");
    }
}

#[tokio::test]
async fn grants_are_drawn_in_their_order_and_credit_last() {
    let shop = Shop::open().await;
    let (customer, product) = (shop.customer("c", 5).await, shop.product(EVENT, THREE).await.id);
    let grant = serde_json::from_str(r#"{"amount":"4","purpose":"promotional"}"#).unwrap();
    shop.billing.create_grant(&shop.at(1), (customer, "USD"), &grant).await.unwrap();
    let event = async |id: &str, quantity| {
        let new = NewUsage { quantity, ..usage(id, customer, product) };
        shop.billing
            .record_usage(&shop.at(5), &new)
            .await
            .map(|got| got.usage.price.base())
            .map_err(|e| e.code())
    };
    let paid =
        async || shop.billing.wallet(&shop.at(6), customer, "USD").await.unwrap().paid.available.base();
    assert_eq!((event("a", 1).await, paid().await), (Ok(3), 5));
    assert_eq!((event("b", 1).await, paid().await), (Ok(3), 3));
    assert_eq!((event("c", 2).await, paid().await), (Err("insufficient_funds"), 3));
    shop.billing
        .set_overdraft(&shop.at(7), (customer, "USD"), Overdraft { limit: Amount::from_base(10) })
        .await
        .unwrap();
    assert_eq!((event("c", 2).await, paid().await), (Ok(6), 0));
    assert_eq!(shop.billing.wallet(&shop.at(8), customer, "USD").await.unwrap().overdraft_used.base(), 3);
    assert_eq!(event("d", 3).await, Err("insufficient_funds"));
}

#[tokio::test]
async fn parts_of_a_month_add_up_to_the_whole_however_they_race() {
    for whole in [7, 64] {
        let shop = std::sync::Arc::new(Shop::open().await);
        let price = r#"{"model":{"type":"graduated","per":3,"tiers":[{"up_to":10,"unit":"5"},{"up_to":40,"unit":"2","flat":"1"},{"unit":"1"}]}}"#;
        let product = shop.product(MONTH, price).await.id;
        let (one, two) = (shop.customer("one", 10_000).await, shop.customer("two", 10_000).await);
        let processes = [shop.billing.clone(), shop.process(), shop.process()];
        let calls: Vec<_> = (0..whole)
            .flat_map(|n| [(n, one), (n, two)])
            .zip(processes.iter().cycle().cloned())
            .map(|((n, customer), billing)| {
                let shop = shop.clone();
                let new = NewUsage { quantity: n % 3, ..usage(&format!("{n}{customer}"), customer, product) };
                tokio::spawn(async move {
                    loop {
                        match billing.record_usage(&shop.at(5), &new).await {
                            Ok(recorded) => break recorded.usage,
                            Err(error) => assert_eq!(error.code(), "contention"),
                        }
                    }
                })
            })
            .collect();
        let mut usage = Vec::new();
        for call in calls {
            usage.push(call.await.unwrap());
        }
        let price = serde_json::from_str::<crate::service::product::PriceForm>(price).unwrap();
        let price = crate::pricing::Price::try_from(&price).unwrap();
        for customer in [one, two] {
            let mut mine: Vec<&UsageDoc> = usage.iter().filter(|u| u.customer == customer).collect();
            let (units, sum) = mine.iter().fold((0, 0), |(q, p), u| (q + u.quantity, p + u.price.base()));
            let measure = crate::pricing::Measure { quantity: units, cost: Amount::ZERO };
            assert_eq!(sum, price.of(measure).unwrap().base());
            assert_eq!(shop.spendable(customer).await, 10_000 - sum);
            // Each stands on the units of those before.
            mine.sort_by_key(|u| (u.units_before, u.quantity));
            mine.iter().fold(0, |before, u| {
                assert_eq!(u.units_before, Some(before));
                before + u.quantity
            });
        }
    }
}

#[tokio::test]
async fn tiers_begin_anew_with_the_month_in_which_usage_occurred() {
    let shop = Shop::open().await;
    let day = 86_400_000;
    let product = shop.product_late(MONTH, TIERS, 40 * day).await.id;
    let customer = shop.customer("c", 1_000).await;
    // occurred (days since 1 January 1970), units -> price: told in this order, on 15 February
    for (at, (occurred, quantity, price)) in
        [(10, 8, 40), (40, 8, 40), (20, 4, 12), (41, 4, 12), (30, 1, 1), (31, 1, 1)].into_iter().enumerate()
    {
        let occurred_ms = Some(occurred * day);
        let new = NewUsage { quantity, occurred_ms, ..usage(&at.to_string(), customer, product) };
        let got = shop.billing.record_usage(&shop.at(45 * day), &new).await.unwrap().usage;
        assert_eq!(got.price.base(), price, "{occurred}");
    }
}

#[tokio::test]
async fn each_event_of_a_batch_has_its_own_answer() {
    let shop = Shop::open().await;
    let (customer, product) = (shop.customer("c", 10).await, shop.product(EVENT, THREE).await.id);
    let event = |id: &str, quantity| NewUsage { quantity, ..usage(id, customer, product) };
    let events = [event("a", 1), event("b", 4), event("", 1), event("a", 1), event("a", 2), event("c", 2)];
    let told = shop.billing.record_usages(&shop.at(5), &events).await.unwrap();
    let answers: Vec<_> = told
        .iter()
        .map(|told| match told {
            Ok(recorded) if recorded.status == RecordedAs::Recorded => "recorded",
            Ok(_) => "exists",
            Err(error) => error.code(),
        })
        .collect();
    assert_eq!(
        answers,
        ["recorded", "insufficient_funds", "invalid_field", "exists", "already_exists", "recorded"]
    );
    assert_eq!(shop.spendable(customer).await, 1);
    // Told again as a whole.
    let again = shop.billing.record_usages(&shop.at(6), &events).await.unwrap();
    assert_eq!(again[0].as_ref().unwrap().usage, told[0].as_ref().unwrap().usage);
    assert_eq!(shop.spendable(customer).await, 1);
    for events in [vec![], vec![event("x", 0); MAX_BATCH + 1]] {
        assert_eq!(
            shop.billing.record_usages(&shop.at(7), &events).await.unwrap_err().code(),
            "invalid_field"
        );
    }
}

#[tokio::test]
async fn an_idempotency_key_answers_what_it_answered() {
    let shop = Shop::open().await;
    let (customer, product) = (shop.customer("c", 10).await, shop.product(EVENT, THREE).await.id);
    let keyed = || Cx {
        idempotency: Some(crate::service::Idempotency { key: "k".to_owned(), fingerprint: "f".to_owned() }),
        ..shop.at(5)
    };
    let new = usage("e", customer, product);
    let first = shop.billing.record_usage(&keyed(), &new).await.unwrap();
    assert_eq!(shop.billing.record_usage(&keyed(), &new).await.unwrap(), first);
    assert_eq!(shop.spendable(customer).await, 7);
}

#[tokio::test]
async fn subjects_roll_up_with_the_calls_beneath() {
    let shop = Shop::open().await;
    let product = shop.product(EVENT, THREE).await.id;
    let (one, two) = (shop.customer("one", 100).await, shop.customer("two", 100).await);
    let event = async |id: &str, (customer, subject): (CustomerId, &str), (occurred, quantity)| {
        let new = NewUsage {
            subject: Some(subject.to_owned()),
            quantity,
            occurred_ms: Some(occurred),
            costs: costs(&[("v.example", 2)]),
            ..usage(id, customer, product)
        };
        shop.billing.record_usage(&shop.at(500), &new).await.unwrap().usage
    };
    let b = event("b", (one, "task 47"), (300, 2)).await;
    let a = event("a", (one, "task 47"), (100, 1)).await;
    event("c", (one, "task 48"), (200, 1)).await;
    event("d", (two, "task 47"), (200, 9)).await;
    shop.billing.record_usage(&shop.at(500), &usage("none", one, product)).await.unwrap();
    let id = a.subject.unwrap();
    let subject = shop.billing.subject(&shop.at(600), id).await.unwrap();
    assert_eq!((subject.subject.name.as_str(), subject.subject.customer), ("task 47", one));
    let shown = serde_json::to_string(&subject.totals).unwrap();
    let figures = r#""quantity":"3","revenue":"9","refunded":"0","cost":"4","margin":"5","margin_millionths":555555,"charged_back":"0""#;
    let rolled_up = format!(r#""rolled_up":{{"events":2,{figures}}}"#);
    assert_eq!(shown, format!(r#"[{{"asset":"USD","events":2,{figures},{rolled_up}}}]"#));
    // Beneath it, by the time at which they occurred, in pages.
    let first = PageQuery { limit: 1, ..all() };
    let page = shop.billing.list_subject_usage(&shop.at(600), id, &first).await.unwrap();
    assert_eq!(page.data, [a]);
    let rest = PageQuery { after: page.next, ..first };
    let page = shop.billing.list_subject_usage(&shop.at(600), id, &rest).await.unwrap();
    assert_eq!((page.data, page.next), (vec![b], None));
    let names = async |customer| {
        let page = shop.billing.list_subjects(&shop.at(600), customer, &all()).await.unwrap();
        page.data
            .into_iter()
            .map(|s| (s.subject.name, s.totals[0].figures.revenue.base()))
            .collect::<Vec<_>>()
    };
    let mut ones = names(one).await;
    ones.sort();
    assert_eq!(ones, [("task 47".to_owned(), 9), ("task 48".to_owned(), 3)]);
    assert_eq!(names(two).await, [("task 47".to_owned(), 27)]);
    let page = shop.billing.list_customer_usage(&shop.at(600), one, &all()).await.unwrap();
    assert_eq!(page.data.iter().map(|u| &*u.event_id).collect::<Vec<_>>(), ["a", "c", "b", "none"]);
    for code in [
        shop.billing.subject(&shop.foreign(600), id).await.map(drop).unwrap_err().code(),
        shop.billing.list_subject_usage(&shop.foreign(600), id, &all()).await.map(drop).unwrap_err().code(),
        shop.billing.list_customer_usage(&shop.foreign(600), one, &all()).await.map(drop).unwrap_err().code(),
        shop.billing
            .usage(&shop.foreign(600), subject_usage(&shop, id).await)
            .await
            .map(drop)
            .unwrap_err()
            .code(),
    ] {
        assert_eq!(code, "not_found");
    }
    assert!(shop.billing.list_subjects(&shop.foreign(600), one, &all()).await.unwrap().data.is_empty());
}

async fn subject_usage(shop: &Shop, id: SubjectId) -> UsageId {
    shop.billing.list_subject_usage(&shop.at(600), id, &all()).await.unwrap().data[0].id
}

/// Publishing a price and telling usage of the same instant: whatever is committed after the price is priced by it.
#[tokio::test]
async fn no_event_is_priced_by_a_version_that_was_replaced_before_it() {
    let shop = std::sync::Arc::new(Shop::open().await);
    let (customer, product) = (shop.customer("c", 1_000).await, shop.product(EVENT, THREE).await.id);
    for round in 0..50 {
        let now = 2_000 + round;
        let calls: Vec<_> = (0..4)
            .map(|n| {
                let shop = shop.clone();
                let new = usage(&format!("{round}/{n}"), customer, product);
                tokio::spawn(async move { shop.billing.record_usage(&shop.at(now), &new).await.map(drop) })
            })
            .collect();
        let price = serde_json::from_str(r#"{"model":{"type":"per_unit","unit":"1"}}"#).unwrap();
        let new = NewPrice { price, from_ms: None };
        // Now early, now late among their steps.
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        shop.billing.publish_price(&shop.at(now), product, &new).await.unwrap();
        for call in calls {
            call.await.unwrap().unwrap();
        }
    }
    let prices = shop.billing.list::<PriceVersion>(&shop.at(0), "", &all()).await.unwrap().data;
    let events = shop.billing.list::<UsageDoc>(&shop.at(0), "", &all()).await.unwrap().data;
    for event in &events {
        let from = |price: &&Stored<PriceVersion>| price.doc.from_ms <= event.doc.occurred_ms;
        let counted = prices.iter().filter(|price| price.revision < event.revision).filter(from);
        assert_eq!(counted.map(|price| price.doc.number).max(), Some(event.doc.version));
    }
    assert_eq!((events.len(), prices.len()), (200, 51));
}
