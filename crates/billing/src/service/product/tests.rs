#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::service::Idempotency;
use crate::service::shop::Shop;

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
