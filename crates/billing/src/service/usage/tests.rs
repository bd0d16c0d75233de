#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::service::product::TiersOver;
use crate::service::shop::{Shop, usage};

const EVENT: TiersOver = TiersOver::Event;

fn costs(costs: &[(&str, u128)]) -> Vec<CostForm> {
    let form = |(vendor, amount): &(&str, u128)| CostForm {
        vendor: (*vendor).to_owned(),
        amount: Amount::from_base(*amount),
    };
    costs.iter().map(form).collect()
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
