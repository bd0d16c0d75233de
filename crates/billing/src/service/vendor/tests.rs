#![allow(clippy::unwrap_used, reason = "tests")]

use farthing_ledger::record::Order;
use farthing_money::Amount;

use super::*;
use crate::service::event::{Event, EventKind};
use crate::service::product::TiersOver;
use crate::service::shop::{Shop, usage};
use crate::service::usage::NewUsage;

fn quote(amount: u128, price: Option<u128>) -> NewQuote {
    NewQuote {
        vendor: "search.example".to_owned(),
        offer: "GET /search".to_owned(),
        asset: "USD".to_owned(),
        amount: Amount::from_base(amount),
        price: price.map(Amount::from_base),
        sold: None,
    }
}

fn policy(floor_millionths: u32, on_change: OnAlertForm, on_floor: OnAlertForm) -> PolicyForm {
    PolicyForm { floor_millionths, on_change, on_floor }
}

/// The outbox, the oldest first, without what was there before the vendors.
async fn told(shop: &Shop) -> Vec<Event> {
    let page = PageQuery { order: Order::Ascending, limit: 900, after: None };
    let all = shop.billing.list::<Event>(&shop.at(0), "", &page).await.unwrap().docs().data;
    let about = |e: &Event| matches!(e.kind, EventKind::VendorPriceChanged | EventKind::MarginUnderFloor);
    all.into_iter().filter(about).collect()
}

const TELL: OnAlertForm = OnAlertForm::Tell;
const BLOCK: OnAlertForm = OnAlertForm::Block;

#[tokio::test]
async fn alerts_are_told_before_the_call_is_authorised() {
    // policy; then cost, price -> alerts, may call
    type Row = (u128, Option<u128>, &'static str, bool);
    let cases: &[(PolicyForm, &[Row])] = &[
        (
            policy(200_000, TELL, TELL),
            &[(8, Some(10), "", true), (9, Some(10), "change floor", true), (9, None, "", true)],
        ),
        (
            policy(200_000, TELL, BLOCK),
            &[(9, Some(10), "floor", false), (9, Some(10), "floor", false), (8, Some(10), "change", true)],
        ),
        (
            policy(0, BLOCK, TELL),
            &[
                (5, None, "", true),
                (6, None, "change", false),
                (6, None, "", false),
                (5, None, "change", true),
            ],
        ),
    ];
    for (policy, rows) in cases {
        let shop = Shop::open().await;
        shop.billing.set_vendor_policy(&shop.at(1), None, *policy).await.unwrap();
        let mut so_far = 0;
        for (at, (cost, price, alerts, may_call)) in (2..).zip(*rows) {
            let verdict = shop.billing.quote(&shop.at(at), &quote(*cost, *price)).await.unwrap();
            // The answer is given when the outbox has it: whoever authorises by the answer is later than the alert.
            let told = told(&shop).await;
            let kinds: Vec<&str> = told[so_far..]
                .iter()
                .map(|event| match event.kind {
                    EventKind::VendorPriceChanged => "change",
                    _ => "floor",
                })
                .collect();
            assert_eq!((&*kinds.join(" "), verdict.may_call), (*alerts, *may_call), "{policy:?} row {at}");
            assert_eq!(verdict.alerts.len(), kinds.len());
            assert!(told[so_far..].iter().all(|event| event.data["may_call"] == *may_call));
            so_far = told.len();
        }
    }
}

#[tokio::test]
async fn what_is_told_says_what_and_by_how_much() {
    let shop = Shop::open().await;
    shop.billing
        .set_vendor_policy(&shop.at(1), Some("search.example"), policy(200_000, TELL, BLOCK))
        .await
        .unwrap();
    shop.billing.quote(&shop.at(2), &quote(8, Some(10))).await.unwrap();
    shop.billing.quote(&shop.at(3), &quote(12, Some(10))).await.unwrap();
    let told: Vec<serde_json::Value> = told(&shop).await.into_iter().map(|event| event.data).collect();
    let of = r#""asset":"USD","may_call":false,"offer":"GET /search","vendor":"search.example""#;
    let alerts = [
        r#"{"after":"12","before":"8","type":"price_changed"}"#,
        r#"{"cost":"12","floor_millionths":200000,"margin":"-2","price":"10","type":"margin_under_floor"}"#,
    ];
    // As JSON, whose order of names is nobody's affair.
    let read = |text: String| serde_json::from_str::<serde_json::Value>(&text).unwrap();
    let expected = alerts.map(|alert| read(format!(r#"{{"alert":{alert},{of}}}"#)));
    assert_eq!(told, expected);
}

#[tokio::test]
async fn a_price_waits_until_it_is_accepted_and_its_history_is_kept() {
    let shop = Shop::open().await;
    let of = ("search.example", "GET /search", "USD");
    shop.billing.set_vendor_policy(&shop.at(1), Some(of.0), policy(0, BLOCK, TELL)).await.unwrap();
    let ask = async |at, amount| shop.billing.quote(&shop.at(at), &quote(amount, None)).await.unwrap();
    assert!(ask(10, 5).await.may_call);
    assert!(!ask(20, 7).await.may_call);
    assert!(!ask(30, 7).await.may_call);
    let accepted = shop.billing.accept_quote(&shop.at(40), of, Amount::from_base(7)).await.unwrap();
    assert_eq!((accepted.amount.base(), accepted.accepted.base(), accepted.changes), (7, 7, 1));
    let verdict = ask(50, 7).await;
    assert!(verdict.may_call);
    assert_eq!((verdict.quote.since_ms, verdict.quote.seen_ms), (20, 50));
    assert!(!ask(60, 6).await.may_call);
    let all = PageQuery { order: Order::Ascending, ..PageQuery::default() };
    let one = Some(("GET /search", "USD"));
    for offer in [one, None] {
        let page = shop.billing.list_quote_changes(&shop.at(70), (of.0, offer), &all).await.unwrap();
        let history: Vec<_> =
            page.data.iter().map(|c| (c.before.map(Amount::base), c.after.base(), c.at_ms)).collect();
        assert_eq!(history, [(None, 5, 10), (Some(5), 7, 20), (Some(7), 6, 60)]);
    }
    let quotes = shop.billing.list_quotes(&shop.at(70), Some(of.0), &all).await.unwrap().data;
    assert_eq!(
        (quotes.len(), quotes[0].amount.base(), quotes[0].accepted.base(), quotes[0].changes),
        (1, 6, 7, 2)
    );
    let vendors = shop.billing.list_vendors(&shop.at(70), &all).await.unwrap().data;
    assert_eq!(vendors, [VendorDoc { name: of.0.to_owned(), created_ms: 1 }]);
    // Another asset, another offer, another tenant: nothing is known of it.
    let unknown = (of.0, of.1, "TOKENS");
    let error = shop.billing.accept_quote(&shop.at(80), unknown, Amount::ZERO).await.unwrap_err();
    assert_eq!(error.code(), "not_found");
    let error = shop.billing.accept_quote(&shop.foreign(80), of, Amount::ZERO).await.unwrap_err();
    assert_eq!(error.code(), "not_found");
    assert!(shop.billing.list_quotes(&shop.foreign(80), None, &all).await.unwrap().data.is_empty());
    assert!(shop.billing.list_vendors(&shop.foreign(80), &all).await.unwrap().data.is_empty());
    assert_eq!(
        shop.billing.vendor_policy(&shop.foreign(80), Some(of.0)).await.unwrap(),
        PolicyDoc::default()
    );
}

#[tokio::test]
async fn the_same_price_again_writes_nothing_for_a_minute() {
    let shop = Shop::open().await;
    shop.billing.quote(&shop.at(0), &quote(5, None)).await.unwrap();
    let writes = async |at| {
        let before = shop.billing.store().changed(Default::default()).await.unwrap();
        let seen = shop.billing.quote(&shop.at(at), &quote(5, None)).await.unwrap().quote.seen_ms;
        assert_eq!(seen, at);
        shop.billing.store().changed(Default::default()).await.unwrap() != before
    };
    assert!(!writes(1).await);
    assert!(!writes(quote::FRESH_MS - 1).await);
    assert!(writes(quote::FRESH_MS).await);
    assert!(!writes(quote::FRESH_MS + 5).await);
}

#[tokio::test]
async fn a_change_is_told_once_however_many_see_it() {
    let shop = std::sync::Arc::new(Shop::open().await);
    shop.billing.set_vendor_policy(&shop.at(1), None, policy(0, BLOCK, TELL)).await.unwrap();
    shop.billing.quote(&shop.at(2), &quote(5, None)).await.unwrap();
    let calls: Vec<_> = (0..32)
        .map(|_| {
            let shop = shop.clone();
            tokio::spawn(async move { shop.billing.quote(&shop.at(3), &quote(9, None)).await.unwrap() })
        })
        .collect();
    let mut alerts = 0;
    for call in calls {
        let verdict = call.await.unwrap();
        assert!(!verdict.may_call);
        alerts += verdict.alerts.len();
    }
    assert_eq!((alerts, told(&shop).await.len()), (1, 1));
}

#[tokio::test]
async fn what_is_no_quote_or_rule_is_refused_by_name() {
    let shop = Shop::open().await;
    type Row = (fn(&mut NewQuote), &'static str);
    let rows: &[Row] = &[
        (|q| q.vendor.clear(), "vendor"),
        (|q| q.offer = "a\nb".to_owned(), "offer"),
        (|q| q.asset = "x".repeat(300), "asset"),
    ];
    for (spoil, field) in rows {
        let mut new = quote(1, None);
        spoil(&mut new);
        let error = shop.billing.quote(&shop.at(1), &new).await.unwrap_err();
        assert!(matches!(error, ServiceError::Invalid { field: f, .. } if f == *field), "{error}");
    }
    let error =
        shop.billing.set_vendor_policy(&shop.at(1), None, policy(1_000_001, TELL, TELL)).await.unwrap_err();
    assert_eq!(error.code(), "invalid_field");
}

#[tokio::test]
async fn a_margin_is_that_of_the_product_as_which_the_call_will_be_sold() {
    let shop = Shop::open().await;
    let tiers = r#"{"model":{"type":"graduated","tiers":[{"up_to":10,"unit":"5"},{"unit":"1"}]}}"#;
    let product = shop.product(TiersOver::Month, tiers).await.id;
    let customer = shop.customer("c", 1_000).await;
    shop.billing.set_vendor_policy(&shop.at(1), None, policy(0, TELL, BLOCK)).await.unwrap();
    let ask = async |new: NewQuote| shop.billing.quote(&shop.at(5), &new).await;
    let sold = |quantity, customer| Some(SoldAs { product, quantity, customer });
    let quoted = |amount, sold| NewQuote { sold, ..quote(amount, None) };
    // 2 units are 10 by themselves, and 2 once 10 of the month are used.
    assert!(ask(quoted(10, sold(2, Some(customer)))).await.unwrap().may_call);
    assert!(!ask(quoted(11, sold(2, Some(customer)))).await.unwrap().may_call);
    let new = NewUsage { quantity: 10, ..usage("e", customer, product) };
    shop.billing.record_usage(&shop.at(5), &new).await.unwrap();
    for (amount, customer, may_call) in
        [(10, None, true), (3, Some(customer), false), (2, Some(customer), true)]
    {
        assert_eq!(ask(quoted(amount, sold(2, customer))).await.unwrap().may_call, may_call, "{amount}");
    }
    for (new, code) in [
        (NewQuote { price: Some(Amount::ZERO), ..quoted(1, sold(1, None)) }, "invalid_field"),
        (NewQuote { asset: "TOKENS".to_owned(), ..quoted(1, sold(1, None)) }, "invalid_field"),
        (
            quoted(
                1,
                Some(SoldAs { product: crate::id::ProductId::from_u128(1), quantity: 1, customer: None }),
            ),
            "not_found",
        ),
    ] {
        assert_eq!(ask(new).await.unwrap_err().code(), code);
    }
}
