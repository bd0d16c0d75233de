#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::service::product::TiersOver;
use crate::service::shop::{Shop, costs, usage};
use crate::service::usage::NewUsage;

const DAY: u64 = 86_400_000;
const NOW: u64 = 40 * DAY;

/// Two customers, a product at 3 a unit, events on days 10, 10, 32 and 33 with vendors.
async fn shop() -> (Shop, [CustomerId; 2], ProductId) {
    let shop = Shop::open().await;
    let product =
        shop.product_late(TiersOver::Event, r#"{"model":{"type":"per_unit","unit":"3"}}"#, 40 * DAY).await.id;
    let customers = [shop.customer("one", 1_000).await, shop.customer("two", 1_000).await];
    type Row<'a> = (usize, u64, u64, &'a [(&'a str, u128)]);
    let rows: &[Row<'_>] = &[
        (0, 10, 10, &[("a.example", 5), ("b.example", 10)]),
        (1, 10, 2, &[("a.example", 12)]),
        (0, 32, 1, &[]),
        (0, 33, 20, &[("b.example", 1)]),
    ];
    for (at, (customer, day, quantity, took)) in rows.iter().enumerate() {
        let new = NewUsage {
            quantity: *quantity,
            costs: costs(took),
            occurred_ms: Some(day * DAY),
            ..usage(&at.to_string(), customers[*customer], product)
        };
        shop.billing.record_usage(&shop.at(NOW), &new).await.unwrap();
    }
    (shop, customers, product)
}

fn query(by: By, over: Over, at: Option<u64>) -> ReportQuery {
    ReportQuery { by, asset: "USD".to_owned(), over, at_ms: at.map(|day| day * DAY) }
}

/// Name, events, quantity, revenue, cost, margin in millionths.
fn shown(rows: &[ReportRow]) -> Vec<(String, u64, u128, u128, u128, Option<i64>)> {
    let row = |r: &ReportRow| {
        let (name, f) = (r.name.clone().unwrap(), &r.figures);
        (name, f.events, f.quantity, f.revenue.base(), f.cost.base(), f.margin_millionths)
    };
    let mut rows: Vec<_> = rows.iter().map(row).collect();
    rows.sort();
    rows
}

#[tokio::test]
async fn a_window_shows_every_thing_in_it() {
    let (shop, ..) = shop().await;
    type Row = (&'static str, u64, u128, u128, u128, Option<i64>);
    let cases: &[(By, Over, Option<u64>, &[Row])] = &[
        (
            By::Customer,
            Over::All,
            None,
            &[("one", 3, 31, 93, 16, Some(827_956)), ("two", 1, 2, 6, 12, Some(-1_000_000))],
        ),
        (
            By::Customer,
            Over::Month,
            Some(0),
            &[("one", 1, 10, 30, 15, Some(500_000)), ("two", 1, 2, 6, 12, Some(-1_000_000))],
        ),
        // Now: the second month.
        (By::Customer, Over::Month, None, &[("one", 2, 21, 63, 1, Some(984_126))]),
        (By::Product, Over::Day, Some(10), &[("Search", 2, 12, 36, 27, Some(250_000))]),
        (By::Product, Over::Day, Some(11), &[]),
        // Of 30, a third is a's and two thirds b's, as of the cost.
        (
            By::Vendor,
            Over::Day,
            Some(10),
            &[("a.example", 2, 12, 16, 17, Some(-62_500)), ("b.example", 1, 10, 20, 10, Some(500_000))],
        ),
        (
            By::Vendor,
            Over::All,
            None,
            &[("a.example", 2, 12, 16, 17, Some(-62_500)), ("b.example", 2, 30, 80, 11, Some(862_500))],
        ),
        (By::Subject, Over::All, None, &[]),
    ];
    for (by, over, at, rows) in cases {
        let report =
            shop.billing.report(&shop.at(NOW), &query(*by, *over, *at), &PageQuery::default()).await.unwrap();
        let rows: Vec<_> = rows.iter().map(|r| (r.0.to_owned(), r.1, r.2, r.3, r.4, r.5)).collect();
        assert_eq!(shown(&report.rows.data), rows, "{by:?} {over:?} {at:?}");
        let foreign =
            shop.billing.report(&shop.foreign(NOW), &query(*by, *over, *at), &PageQuery::default()).await;
        assert!(foreign.unwrap().rows.data.is_empty());
    }
    // In pages.
    let one = PageQuery { limit: 1, ..PageQuery::default() };
    let by = query(By::Customer, Over::All, None);
    let first = shop.billing.report(&shop.at(NOW), &by, &one).await.unwrap().rows;
    let rest = PageQuery { after: first.next.clone(), ..one };
    let second = shop.billing.report(&shop.at(NOW), &by, &rest).await.unwrap().rows;
    let both: Vec<_> = first.data.into_iter().chain(second.data).collect();
    assert_eq!((shown(&both).len(), second.next), (2, None));
}

#[tokio::test]
async fn the_top_ones_come_first_and_lead_back_to_what_they_are() {
    let (shop, [one, two], _) = shop().await;
    for (by, first) in [
        (TopBy::Revenue, one),
        (TopBy::Cost, one),
        (TopBy::Margin, one),
        (TopBy::Events, one),
        (TopBy::Loss, two),
    ] {
        let top = shop
            .billing
            .report_top(&shop.at(NOW), &query(By::Customer, Over::All, None), (by, 1))
            .await
            .unwrap();
        assert_eq!((top.rows.len(), &*top.rows[0].id), (1, &*first.text()), "{by:?}");
        assert_eq!(
            (top.scanned, top.complete, top.total.revenue.base(), top.total.cost.base()),
            (2, true, 99, 28)
        );
    }
    for top in [0, MAX_TOP + 1] {
        let error = shop
            .billing
            .report_top(&shop.at(NOW), &query(By::Vendor, Over::All, None), (TopBy::Cost, top))
            .await;
        assert_eq!(error.unwrap_err().code(), "invalid_field");
    }
    let euro = ReportQuery { asset: "EUR".to_owned(), ..query(By::Vendor, Over::All, None) };
    assert_eq!(
        shop.billing.report(&shop.at(NOW), &euro, &PageQuery::default()).await.unwrap_err().code(),
        "not_found"
    );
}

#[tokio::test]
async fn a_series_has_every_window_also_the_empty_ones() {
    let (shop, [one, _], product) = shop().await;
    let series = |by, id: &str, over, from: u64, to: u64| SeriesQuery {
        by,
        id: id.to_owned(),
        asset: "USD".to_owned(),
        over,
        from_ms: from * DAY,
        to_ms: to * DAY,
    };
    for (query, expected, total) in [
        (series(By::Customer, &one.text(), Over::Day, 32, 34), vec![(32, 3), (33, 60), (34, 0)], 63),
        (series(By::Product, &product.text(), Over::Month, 5, 40), vec![(0, 36), (31, 63)], 99),
        (series(By::Vendor, "b.example", Over::All, 0, 40), vec![(0, 80)], 80),
    ] {
        let got = shop.billing.report_series(&shop.at(NOW), &query).await.unwrap();
        let windows: Vec<_> =
            got.windows.iter().map(|w| (w.start_ms / DAY, w.figures.revenue.base())).collect();
        assert_eq!((windows, got.total.revenue.base()), (expected, total));
        let foreign = shop.billing.report_series(&shop.foreign(NOW), &query).await.unwrap();
        assert_eq!(foreign.total.revenue.base(), 0);
    }
    for (query, code) in [
        (series(By::Customer, &one.text(), Over::Day, 0, 400), "invalid_field"),
        (series(By::Customer, &one.text(), Over::Day, 2, 1), "invalid_field"),
        (series(By::Customer, "cus_1", Over::Day, 1, 2), "not_found"),
        (series(By::Vendor, "", Over::Day, 1, 2), "invalid_field"),
    ] {
        assert_eq!(shop.billing.report_series(&shop.at(NOW), &query).await.unwrap_err().code(), code);
    }
}
