//! What was charged for events is given back: to where it came from, and out of the margin.

use farthing_ledger::record::{Expect, RecordChange, RecordKey, Table, Work};

use super::*;
use crate::service::customer::NewCustomer;
use crate::service::hold::{NewCapture, NewHold, NewRefund};
use crate::service::report::{ReportQuery, SeriesQuery};
use crate::service::usage::sale::NewSale;
use crate::service::wallet::Chargeback;
use crate::service::{Authority, Idempotency};

const DAY: u64 = 86_400_000;

fn back(amount: u128) -> NewRefund {
    NewRefund { amount: Some(Amount::from_base(amount)), ..NewRefund::default() }
}

/// Events, revenue, refunded, cost and margin of the only row.
async fn figures(shop: &Shop, by: By, over: Over, day: u64) -> Option<(u64, u128, u128, u128, String)> {
    let query = ReportQuery { by, asset: "USD".to_owned(), over, at_ms: Some(day * DAY) };
    let rows = shop.billing.report(&shop.at(0), &query, &all()).await.unwrap().rows.data;
    assert!(rows.len() < 2, "{by:?} {over:?} {day}");
    let shown = rows.first()?.figures.clone();
    let margin = serde_json::to_value(shown.margin).unwrap().as_str().unwrap().to_owned();
    Some((shown.events, shown.revenue.base(), shown.refunded.base(), shown.cost.base(), margin))
}

fn row(
    events: u64,
    [revenue, refunded, cost]: [u128; 3],
    margin: &str,
) -> Option<(u64, u128, u128, u128, String)> {
    Some((events, revenue, refunded, cost, margin.to_owned()))
}

#[tokio::test]
async fn a_refund_counts_on_its_day_and_the_figures_of_the_days_before_stay() {
    let shop = Shop::open().await;
    let (customer, product) = (shop.customer("c", 100).await, shop.product(EVENT, THREE).await.id);
    let subject = Some("task 47".to_owned());
    let new = NewUsage { quantity: 10, subject, costs: costs(&[("v", 12)]), ..usage("e", customer, product) };
    let id = shop.billing.record_usage(&shop.at(5), &new).await.unwrap().usage.id;
    let done = shop.billing.refund_usage(&shop.at(40 * DAY), id, &back(10)).await.unwrap();
    assert_eq!((done.amount.base(), done.usage.refunded.base()), (10, 10));
    assert_eq!(serde_json::to_value(done.usage.margin).unwrap(), "8");
    assert_eq!(shop.billing.usage(&shop.at(9), id).await.unwrap(), done.usage);
    assert_eq!(shop.spendable(customer).await, 80);
    for by in [By::Subject, By::Customer, By::Product, By::Vendor] {
        for (over, day, expected) in [
            (Over::Day, 0, row(1, [30, 0, 12], "18")),
            (Over::Month, 0, row(1, [30, 0, 12], "18")),
            (Over::Day, 40, row(0, [0, 10, 0], "-10")),
            (Over::Month, 40, row(0, [0, 10, 0], "-10")),
            (Over::All, 0, row(1, [30, 10, 12], "8")),
            (Over::Day, 41, None),
        ] {
            assert_eq!(figures(&shop, by, over, day).await, expected, "{by:?} {over:?} {day}");
        }
    }
    let page = shop.billing.list_subjects(&shop.at(9), customer, &all()).await.unwrap();
    assert_eq!(page.data[0].totals[0].figures.refunded.base(), 10);
    // The same event told again is the event as it is, and nothing is charged.
    let again = shop.billing.record_usage(&shop.at(41 * DAY), &new).await.unwrap();
    assert_eq!((again.status, again.usage), (RecordedAs::Exists, done.usage));
    let all_of_it = shop.billing.refund_usage(&shop.at(40 * DAY), id, &NewRefund::default()).await.unwrap();
    assert_eq!((all_of_it.amount.base(), all_of_it.usage.refunded.base()), (20, 30));
    assert_eq!(figures(&shop, By::Vendor, Over::All, 0).await, row(1, [30, 30, 12], "-12"));
    let query = SeriesQuery {
        by: By::Customer,
        id: customer.text(),
        asset: "USD".to_owned(),
        over: Over::Day,
        from_ms: 0,
        to_ms: 40 * DAY,
    };
    let series = shop.billing.report_series(&shop.at(0), &query).await.unwrap();
    assert_eq!((series.total.refunded.base(), series.total.margin_millionths), (30, None));
    for (refund, code) in [
        (NewRefund::default(), "invalid_field"),
        (back(1), "refund_exceeds_spent"),
        (back(0), "invalid_field"),
    ] {
        let error = shop.billing.refund_usage(&shop.at(41 * DAY), id, &refund).await.unwrap_err();
        assert_eq!(error.code(), code, "{refund:?}");
    }
    let foreign = shop.billing.refund_usage(&shop.foreign(41 * DAY), id, &back(1)).await;
    assert_eq!(foreign.unwrap_err().code(), "not_found");
    shop.billing.store().verify().await.unwrap().unwrap();
}

#[tokio::test]
async fn a_refund_happens_once_under_its_key_and_is_told() {
    let shop = Shop::open().await;
    let (customer, product) = (shop.customer("c", 100).await, shop.product(EVENT, THREE).await.id);
    let new = NewUsage { quantity: 10, ..usage("e", customer, product) };
    let id = shop.billing.record_usage(&shop.at(5), &new).await.unwrap().usage.id;
    let idempotency = Some(Idempotency { key: "k".to_owned(), fingerprint: "f".to_owned() });
    let refund =
        NewRefund { reference: Some("case 7".into()), reason: Some("it was late".into()), ..back(4) };
    let mut answers = Vec::new();
    for now in [6, 7] {
        let cx = Cx { idempotency: idempotency.clone(), ..shop.at(now) };
        answers.push(shop.billing.refund_usage(&cx, id, &refund).await.unwrap());
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(shop.spendable(customer).await, 74);
    let events = shop.billing.list::<Event>(&shop.at(0), "", &all()).await.unwrap().docs().data;
    let told: Vec<_> = events.iter().filter(|event| event.kind == EventKind::UsageRefunded).collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].data, serde_json::to_value(&answers[0]).unwrap());
    assert_eq!((&told[0].data["amount"], &told[0].data["reference"]), (&"4".into(), &"case 7".into()));
}

#[tokio::test]
async fn what_grants_and_credit_paid_goes_back_to_them_the_last_drawn_first() {
    let shop = Shop::open().await;
    let (customer, product) = (shop.customer("c", 5).await, shop.product(EVENT, THREE).await.id);
    let grant = serde_json::from_str(r#"{"amount":"4","purpose":"promotional","expires_ms":1000}"#).unwrap();
    let grant = shop.billing.create_grant(&shop.at(1), (customer, "USD"), &grant).await.unwrap();
    let limit = Overdraft { limit: Amount::from_base(10) };
    shop.billing.set_overdraft(&shop.at(1), (customer, "USD"), limit).await.unwrap();
    let new = NewUsage { quantity: 4, ..usage("e", customer, product) };
    let id = shop.billing.record_usage(&shop.at(5), &new).await.unwrap().usage.id;
    // Of the gift, of the paid money, and of the credit that is used.
    let has = async |now| {
        let wallet = shop.billing.wallet(&shop.at(now), customer, "USD").await.unwrap();
        let gift = wallet.grants.first().map_or(0, |grant| grant.part.available.base());
        (gift, wallet.paid.available.base(), wallet.overdraft_used.base())
    };
    assert_eq!(has(6).await, (0, 0, 3));
    for (amount, expected) in [(2, (0, 0, 1)), (2, (0, 1, 0)), (5, (1, 5, 0))] {
        shop.billing.refund_usage(&shop.at(7), id, &back(amount)).await.unwrap();
        assert_eq!(has(8).await, expected);
    }
    // The gift runs out, and what comes back to it then is nobody's.
    shop.billing.sweep_expired(&shop.at(2_000), 10).await.unwrap();
    shop.billing.refund_usage(&shop.at(3_000), id, &NewRefund::default()).await.unwrap();
    assert_eq!(has(3_001).await, (0, 5, 0));
    let gone = shop.billing.grant(&shop.at(3_001), (customer, "USD"), grant.id).await.unwrap();
    assert_eq!(gone.expired_amount.base(), 4);
    let outside = shop.billing.asset(&shop.at(6), "USD").await.unwrap().outside();
    assert_eq!(shop.settled(outside.revenue).await, 0);
    shop.billing.store().verify().await.unwrap().unwrap();
}

#[tokio::test]
async fn what_a_sale_brought_goes_back_to_the_outside() {
    let shop = Shop::open().await;
    let new = NewCustomer { external_id: "payer".to_owned(), ..NewCustomer::default() };
    let customer = shop.billing.create_customer(&shop.at(0), &new).await.unwrap().id;
    let product = shop.product(EVENT, THREE).await.id;
    let sale = NewSale { usage: usage("claim", customer, product), paid: Amount::from_base(20) };
    let id = shop.billing.record_sale(&shop.at(5), &sale).await.unwrap().usage.id;
    let outside = shop.billing.asset(&shop.at(6), "USD").await.unwrap().outside();
    let bank = shop.settled(outside.bank).await;
    shop.billing.refund_usage(&shop.at(7), id, &back(15)).await.unwrap();
    assert_eq!((shop.settled(outside.revenue).await, shop.settled(outside.bank).await), (5, bank - 15));
    assert_eq!(figures(&shop, By::Product, Over::All, 0).await, row(1, [20, 15, 0], "5"));
    let again = shop.billing.record_sale(&shop.at(8), &sale).await.unwrap();
    assert_eq!((again.status, again.usage.refunded.base()), (RecordedAs::Exists, 15));
}

async fn held(shop: &Shop, customer: CustomerId, amount: u128) -> HoldId {
    let (customer, asset, amount) = (Some(customer), Some("USD".to_owned()), Amount::from_base(amount));
    let new = NewHold { customer, asset, amount, subject: Some("task".to_owned()), ..NewHold::default() };
    shop.billing.place_hold(&shop.at(1), &Authority::Owner, &new).await.unwrap().id
}

#[tokio::test]
async fn a_refund_of_a_hold_is_one_of_its_events_the_latest_first() {
    let shop = Shop::open().await;
    let (customer, product) = (shop.customer("c", 100).await, shop.product(EVENT, THREE).await.id);
    let hold = held(&shop, customer, 60).await;
    let event = async |id: &str, quantity| {
        let new = NewUsage { quantity, hold: Some(hold), rest: Rest::Keep, ..usage(id, customer, product) };
        shop.billing.record_usage(&shop.at(5), &new).await.unwrap().usage.id
    };
    // 5 for nothing that is an event, then 6 and 9 for two events.
    let part = NewCapture { amount: Some(Amount::from_base(5)), last: false, reference: None };
    shop.billing.capture_hold(&shop.at(5), &Authority::Owner, hold, &part).await.unwrap();
    let (one, two) = (event("one", 2).await, event("two", 3).await);
    let refunded = async || {
        let hold = shop.billing.hold(&shop.at(6), &Authority::Owner, hold).await.unwrap().refunded.base();
        let one = shop.billing.usage(&shop.at(6), one).await.unwrap().refunded.base();
        let two = shop.billing.usage(&shop.at(6), two).await.unwrap().refunded.base();
        let counted = figures(&shop, By::Customer, Over::All, 0).await.unwrap().2;
        assert_eq!(counted, one + two);
        (hold, one, two)
    };
    let of_hold = async |amount| shop.billing.refund_hold(&shop.at(7), hold, &back(amount)).await;
    of_hold(4).await.unwrap();
    assert_eq!(refunded().await, (4, 0, 4));
    // One that is named.
    shop.billing.refund_usage(&shop.at(7), one, &back(1)).await.unwrap();
    assert_eq!(refunded().await, (5, 1, 4));
    of_hold(7).await.unwrap();
    assert_eq!(refunded().await, (12, 3, 9));
    assert_eq!(
        shop.billing.refund_usage(&shop.at(7), two, &back(1)).await.unwrap_err().code(),
        "refund_exceeds_spent"
    );
    // All that is left: of the first event, and what was captured for none.
    of_hold(8).await.unwrap();
    assert_eq!(refunded().await, (20, 6, 9));
    assert_eq!(of_hold(1).await.unwrap_err().code(), "refund_exceeds_spent");
    assert_eq!(figures(&shop, By::Product, Over::All, 0).await, row(2, [15, 15, 0], "0"));
    assert_eq!(shop.spendable(customer).await, 60);
    shop.billing.store().verify().await.unwrap().unwrap();
}

#[tokio::test]
async fn a_refund_goes_over_a_bounded_number_of_events() {
    let shop = Shop::open().await;
    let (customer, product) = (shop.customer("c", 1_000).await, shop.product(EVENT, THREE).await.id);
    let hold = held(&shop, customer, 330).await;
    for n in 0..110 {
        let rest = if n == 109 { Rest::Release } else { Rest::Keep };
        let new = NewUsage { hold: Some(hold), rest, ..usage(&n.to_string(), customer, product) };
        shop.billing.record_usage(&shop.at(5), &new).await.unwrap();
    }
    let refund = async |refund: NewRefund| shop.billing.refund_hold(&shop.at(7), hold, &refund).await;
    assert_eq!(refund(NewRefund::default()).await.unwrap_err().code(), "invalid_field");
    assert_eq!(refund(back(301)).await.unwrap_err().code(), "invalid_field");
    refund(back(300)).await.unwrap();
    refund(NewRefund::default()).await.unwrap();
    assert_eq!(figures(&shop, By::Customer, Over::All, 0).await, row(110, [330, 330, 0], "0"));
}

/// Documents of a time when nothing was given back of events: no such field, no list of a hold's events, shorter counters.
#[tokio::test]
async fn what_was_kept_before_is_given_back_too() {
    let shop = Shop::open().await;
    let (customer, product) = (shop.customer("c", 100).await, shop.product(EVENT, THREE).await.id);
    let hold = held(&shop, customer, 60).await;
    let new = NewUsage { quantity: 2, hold: Some(hold), ..usage("e", customer, product) };
    let id = shop.billing.record_usage(&shop.at(5), &new).await.unwrap().usage.id;
    let at =
        |table, key: String| RecordKey { table: Table::new(table), key: format!("{}/{key}", shop.tenant) };
    let usage = at("usage", id.text());
    let stored = shop.billing.store().records(std::slice::from_ref(&usage)).await.unwrap().remove(0).unwrap();
    let body = stored.body.replace(r#""refunded":"0","#, "");
    assert_ne!(body, stored.body);
    let list = at("usage_by_hold", format!("{hold}/{id}"));
    let records = vec![
        RecordChange::Put { at: usage, expect: Expect::Present, body },
        RecordChange::Delete { at: list, expect: Expect::Present },
    ];
    shop.billing.store().commit(Work { records, ..Work::default() }).await.unwrap();
    assert_eq!(figures(&shop, By::Customer, Over::All, 0).await, row(1, [6, 0, 0], "6"));
    shop.billing.refund_hold(&shop.at(7), hold, &back(2)).await.unwrap();
    shop.billing.refund_usage(&shop.at(8), id, &back(1)).await.unwrap();
    assert_eq!(figures(&shop, By::Customer, Over::All, 0).await, row(1, [6, 3, 0], "3"));
    assert_eq!(shop.billing.usage(&shop.at(9), id).await.unwrap().refunded.base(), 3);
}

#[tokio::test]
async fn what_a_funding_source_took_back_is_the_customers_and_no_part_of_the_margin() {
    let shop = Shop::open().await;
    let (customer, product) = (shop.customer("c", 100).await, shop.product(EVENT, THREE).await.id);
    shop.billing.record_usage(&shop.at(5), &usage("e", customer, product)).await.unwrap();
    let chargeback =
        Chargeback { amount: Amount::from_base(40), reference: "dispute".to_owned(), reason: None };
    shop.billing.chargeback(&shop.at(2 * DAY), (customer, "USD"), &chargeback).await.unwrap();
    for (by, over, day, expected) in [
        (By::Customer, Over::Day, 2, Some((40, "0"))),
        (By::Customer, Over::Day, 0, Some((0, "3"))),
        (By::Customer, Over::All, 0, Some((40, "3"))),
        (By::Product, Over::All, 0, Some((0, "3"))),
        (By::Product, Over::Day, 2, None),
    ] {
        let query = ReportQuery { by, asset: "USD".to_owned(), over, at_ms: Some(day * DAY) };
        let rows = shop.billing.report(&shop.at(0), &query, &all()).await.unwrap().rows.data;
        let shown = rows.first().map(|row| {
            let margin = serde_json::to_value(row.figures.margin).unwrap();
            (row.figures.charged_back.base(), margin)
        });
        assert_eq!(shown, expected.map(|(amount, margin)| (amount, margin.into())), "{by:?} {over:?} {day}");
    }
}
