#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::service::Idempotency;
use crate::service::shop::{Shop, costs, usage};
use crate::service::usage::NewUsage;

fn new_product(price: Option<&str>) -> NewProduct {
    NewProduct {
        name: "Search".to_owned(),
        asset: "USD".to_owned(),
        tiers_over: TiersOver::Event,
        grace_ms: 1_000,
        skew_ms: 10,
        price: price.map(form),
    }
}

fn form(json: &str) -> PriceForm {
    serde_json::from_str(json).unwrap()
}

fn per_unit(unit: u32) -> PriceForm {
    form(&format!(r#"{{"model":{{"type":"per_unit","unit":"{unit}"}}}}"#))
}

#[tokio::test]
async fn a_product_keeps_every_price_that_it_ever_had() {
    let shop = Shop::open().await;
    let billing = &shop.billing;
    let product = billing.create_product(&shop.at(1_000), &new_product(None)).await.unwrap();
    assert_eq!(product.versions, 0);
    // from, now -> number, or the code
    let rows = [
        (Some(2_000), 1_000, Ok(1)),
        (Some(2_000), 1_500, Err("price_out_of_order")),
        (Some(1_400), 1_500, Err("price_in_the_past")),
        (None, 1_600, Err("price_out_of_order")),
        (None, 2_500, Ok(2)),
        (Some(9_000), 2_500, Ok(3)),
    ];
    for (at, (from_ms, now, expected)) in (0..).zip(rows) {
        let new = NewPrice { price: per_unit(at), from_ms };
        let got = billing.publish_price(&shop.at(now), product.id, &new).await;
        assert_eq!(got.map(|v| v.number).map_err(|e| e.code()), expected, "row {at}");
    }
    assert_eq!(billing.product(&shop.at(9_999), product.id).await.unwrap().versions, 3);
    let page = billing.list_prices(&shop.at(9_999), product.id, &PageQuery::default()).await.unwrap();
    let shown: Vec<_> = page.data.iter().map(|v| (v.number, v.from_ms, v.price.clone())).collect();
    assert_eq!(shown, [(3, 9_000, per_unit(5)), (2, 2_500, per_unit(4)), (1, 2_000, per_unit(0))]);
    // What counts at an instant.
    for (at, number) in
        [(1_999, None), (2_000, Some(1)), (2_499, Some(1)), (2_500, Some(2)), (u64::MAX, Some(3))]
    {
        let at = Timestamp::from_unix_ms(at);
        let counted = billing.price_at(&shop.at(1), product.id, at).await.unwrap();
        assert_eq!(counted.map(|v| v.number), number, "{at}");
    }
}

#[tokio::test]
async fn what_is_no_product_or_price_is_refused_by_name() {
    let shop = Shop::open().await;
    let billing = &shop.billing;
    type Row = (fn(&mut NewProduct), &'static str);
    let rows: &[Row] = &[
        (|p| p.name.clear(), "name"),
        (|p| p.name = "a\nb".to_owned(), "name"),
        (|p| p.grace_ms = MAX_GRACE_MS + 1, "grace_ms"),
        (|p| p.skew_ms = MAX_SKEW_MS + 1, "skew_ms"),
    ];
    for (spoil, field) in rows {
        let mut new = new_product(None);
        spoil(&mut new);
        let error = billing.create_product(&shop.at(1), &new).await.unwrap_err();
        assert!(matches!(error, ServiceError::Invalid { field: f, .. } if f == *field), "{error}");
    }
    let no_tiers = new_product(Some(r#"{"model":{"type":"volume","tiers":[]}}"#));
    let error = billing.create_product(&shop.at(1), &no_tiers).await.unwrap_err();
    assert_eq!(error.code(), "price_tier_count");
    assert!(billing.list_products(&shop.at(1), &PageQuery::default()).await.unwrap().data.is_empty());
}

#[tokio::test]
async fn a_price_that_falls_says_where() {
    let shop = Shop::open().await;
    let billing = &shop.billing;
    let price = r#"{"model":{"type":"volume","tiers":[{"up_to":10,"unit":"5"},{"unit":"1"}]}}"#;
    let product = billing.create_product(&shop.at(5), &new_product(Some(price))).await.unwrap();
    let page = billing.list_prices(&shop.at(9), product.id, &PageQuery::default()).await.unwrap();
    assert_eq!((page.data[0].number, page.data[0].from_ms, &*page.data[0].drops), (1, 5, &[10][..]));
}

#[tokio::test]
async fn products_are_made_once_a_key_and_belong_to_their_tenant() {
    let shop = Shop::open().await;
    let billing = &shop.billing;
    let keyed = |n| Cx {
        idempotency: Some(Idempotency { key: "k".to_owned(), fingerprint: "create".to_owned() }),
        ..shop.at(n)
    };
    let first = billing.create_product(&keyed(1), &new_product(None)).await.unwrap();
    assert_eq!(billing.create_product(&keyed(2), &new_product(None)).await.unwrap(), first);
    let page = billing.list_products(&shop.at(1), &PageQuery::default()).await.unwrap();
    assert_eq!(page.data, std::slice::from_ref(&first));
    let foreign = shop.foreign(1);
    assert!(billing.list_products(&foreign, &PageQuery::default()).await.unwrap().data.is_empty());
    let new = NewPrice { price: per_unit(1), from_ms: None };
    let codes = [
        billing.product(&foreign, first.id).await.map(drop).unwrap_err().code(),
        billing.list_prices(&foreign, first.id, &PageQuery::default()).await.map(drop).unwrap_err().code(),
        billing.publish_price(&foreign, first.id, &new).await.map(drop).unwrap_err().code(),
        billing
            .create_product(&shop.at(1), &NewProduct { asset: "EUR".to_owned(), ..new_product(None) })
            .await
            .map(drop)
            .unwrap_err()
            .code(),
    ];
    assert_eq!(codes, ["not_found"; 4]);
}

#[tokio::test]
async fn a_price_is_tried_on_past_usage_before_it_counts() {
    let shop = Shop::open().await;
    let three = r#"{"model":{"type":"per_unit","unit":"3"}}"#;
    let product = shop.product(TiersOver::Event, three).await.id;
    let customer = shop.customer("c", 1_000).await;
    for (at, quantity, cost) in [(10, 1, 0), (20, 5, 9), (20, 10, 31), (30, 100, 0)] {
        let new = NewUsage {
            quantity,
            occurred_ms: Some(at),
            costs: costs(&[("v", cost)]),
            ..usage(&quantity.to_string(), customer, product)
        };
        shop.billing.record_usage(&shop.at(500), &new).await.unwrap();
    }
    let now = NewPrice { price: per_unit(2), from_ms: None };
    shop.billing.publish_price(&shop.at(600), product, &now).await.unwrap();
    let volume = r#"{"model":{"type":"volume","tiers":[{"up_to":5,"unit":"4"},{"unit":"1"}]}}"#;
    let simulate = async |from_ms, to_ms| {
        let query = SimulationQuery { price: form(volume), from_ms, to_ms };
        shop.billing.simulate_price(&shop.at(700), product, &query).await.unwrap()
    };
    let got = simulate(10, 30).await;
    let shown = serde_json::to_string(&got).unwrap();
    let expected = r#"{"events":3,"charged":"48","before":"32","after":"34","dearer":2,"cheaper":1,"under_cost":1,"drops":[5],"complete":true}"#;
    assert_eq!(shown, expected);
    for (from, to, events) in [(0, 10, 0), (11, 20, 0), (20, 21, 2), (30, 31, 1), (0, u64::MAX, 4)] {
        assert_eq!(simulate(from, to).await.events, events, "{from}..{to}");
    }
    let query = SimulationQuery { price: form(volume), from_ms: 0, to_ms: 99 };
    let error = shop.billing.simulate_price(&shop.foreign(700), product, &query).await.unwrap_err();
    assert_eq!(error.code(), "not_found");
}

#[tokio::test]
async fn a_simulation_keeps_the_place_of_an_event_in_its_month() {
    let shop = Shop::open().await;
    let tiers = r#"{"model":{"type":"graduated","tiers":[{"up_to":10,"unit":"5"},{"unit":"1"}]}}"#;
    let product = shop.product(TiersOver::Month, tiers).await.id;
    let customer = shop.customer("c", 1_000).await;
    for at in [10, 20, 30] {
        let new =
            NewUsage { quantity: 6, occurred_ms: Some(at), ..usage(&at.to_string(), customer, product) };
        shop.billing.record_usage(&shop.at(500), &new).await.unwrap();
    }
    let query = SimulationQuery { price: form(tiers), from_ms: 20, to_ms: 40 };
    let got = shop.billing.simulate_price(&shop.at(700), product, &query).await.unwrap();
    // The second of the month is 4 units at 5 and 2 at 1, the third 6 at 1: by themselves they would be 60.
    assert_eq!((got.charged.base(), got.before.base(), got.after.base()), (28, 28, 28));
}
