//! Random events, told in random order, again and at the same time: what the wallets paid is what the counters and the ledger
//! say, and each event is there once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use farthing_ledger::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::id::CounterpartyId;
use crate::pricing::{Measure, Price};
use crate::service::product::PriceForm;
use crate::service::report::{ReportQuery, SeriesQuery};
use crate::usage::rollup::Tally;

const DAY: u64 = 86_400_000;
/// When events are told: late ones occurred up to 40 days before, in two months.
const NOW: u64 = 45 * DAY;
const PRICES: [(TiersOver, &str); 4] = [
    (EVENT, THREE),
    (MONTH, TIERS),
    (MONTH, r#"{"model":{"type":"package","size":7,"price":"20"}}"#),
    (EVENT, r#"{"model":{"type":"mark_up","millionths":333333,"fixed":"1"}}"#),
];
const VENDORS: [&str; 3] = ["a.example", "b.example", "c.example"];
/// Less than all of it costs, so that some is refused.
const MONEY: u128 = 300;

/// Customer, subject, product, quantity, costs by vendor, days ago, and how often it is told.
type Drawn = (usize, Option<u8>, usize, u64, BTreeMap<usize, u128>, u64, usize);

fn drawn() -> impl Strategy<Value = Vec<Drawn>> {
    let costs = proptest::collection::btree_map(0..3_usize, 0..20_u128, 0..3);
    let one =
        (0..2_usize, proptest::option::of(0..3_u8), 0..4_usize, 0..15_u64, costs, 0..42_u64, 1..4_usize);
    proptest::collection::vec(one, 1..24)
}

struct World {
    shop: Arc<Shop>,
    customers: Vec<CustomerId>,
    products: Vec<ProductId>,
}

impl World {
    async fn open() -> Self {
        let shop = Shop::open().await;
        let (mut customers, mut products) = (Vec::new(), Vec::new());
        // The second has a part of it as a gift and a part as credit.
        customers.push(shop.customer("one", MONEY).await);
        let two = shop.customer("two", MONEY - 80).await;
        let gift = serde_json::from_str(r#"{"amount":"50","purpose":"promotional"}"#).unwrap();
        shop.billing.create_grant(&shop.at(1), (two, "USD"), &gift).await.unwrap();
        let credit = Overdraft { limit: Amount::from_base(30) };
        shop.billing.set_overdraft(&shop.at(1), (two, "USD"), credit).await.unwrap();
        customers.push(two);
        for (tiers_over, price) in PRICES {
            products.push(shop.product_late(tiers_over, price, 40 * DAY).await.id);
        }
        Self { shop: Arc::new(shop), customers, products }
    }

    /// Tells every event as often as it was drawn, all at the same time, and says what was answered.
    async fn tell(&self, drawn: &[Drawn], seed: u64) -> Vec<(usize, Result<Recorded, &'static str>)> {
        let mut calls: Vec<(usize, NewUsage)> = Vec::new();
        for (at, (customer, subject, product, quantity, costs_of, ago, times)) in drawn.iter().enumerate() {
            let took: Vec<_> = costs_of.iter().map(|(vendor, amount)| (VENDORS[*vendor], *amount)).collect();
            let new = NewUsage {
                subject: subject.map(|n| format!("task {n}")),
                quantity: *quantity,
                costs: costs(&took),
                occurred_ms: Some(NOW - ago * DAY),
                ..usage(&format!("event {at}"), self.customers[*customer], self.products[*product])
            };
            calls.extend(std::iter::repeat_n((at, new), *times));
        }
        // Any order will do, as long as the seed says which.
        calls.sort_by_cached_key(|(at, new)| {
            (*at as u64 + 1).wrapping_mul(seed | 1).rotate_left((new.quantity % 63) as u32)
        });
        let tell = |(at, new): (usize, NewUsage)| {
            let shop = self.shop.clone();
            tokio::spawn(async move {
                let told = shop.billing.record_usage(&shop.at(NOW), &new).await;
                (at, told.map_err(|error| error.code()))
            })
        };
        let calls: Vec<_> = calls.into_iter().map(tell).collect();
        let mut answers = Vec::new();
        for call in calls {
            answers.push(call.await.unwrap());
        }
        answers
    }

    async fn counted(&self, by: By, over: Over, at: u64) -> Tally {
        let query = ReportQuery { by, asset: "USD".to_owned(), over, at_ms: Some(at) };
        let rows = self.shop.billing.report(&self.shop.at(NOW), &query, &all()).await.unwrap().rows.data;
        rows.iter().fold(Tally::default(), |sum, row| {
            let figures = &row.figures;
            let row = Tally {
                events: figures.events,
                quantity: figures.quantity,
                revenue: figures.revenue,
                cost: figures.cost,
                ..Tally::default()
            };
            sum.checked_add(row).unwrap()
        })
    }
}

fn sum<'a>(usage: impl IntoIterator<Item = &'a UsageDoc>) -> Tally {
    usage.into_iter().fold(Tally::default(), |sum, usage| {
        let quantity = u128::from(usage.quantity);
        let one = Tally { events: 1, quantity, revenue: usage.price, cost: usage.cost, ..Tally::default() };
        sum.checked_add(one).unwrap()
    })
}

async fn check(drawn: Vec<Drawn>, seed: u64) {
    let world = World::open().await;
    let answers = world.tell(&drawn, seed).await;
    let shop = &world.shop;
    let kept = shop.billing.list_usage(&shop.at(NOW), &all()).await.unwrap().data;
    each_is_there_once(&answers, &kept, &drawn);
    assert_eq!(told(shop).await.len(), kept.len());
    let left = [shop.spendable(world.customers[0]).await, shop.spendable(world.customers[1]).await];
    none_was_refused_that_could_be_paid(&answers, &drawn, left);
    // Wallets, ledger and counters.
    let whole = sum(&kept);
    let mut left = 0;
    for customer in &world.customers {
        let mine = shop.spendable(*customer).await;
        let paid = sum(kept.iter().filter(|u| u.customer == *customer)).revenue.base();
        assert_eq!(mine, MONEY - paid);
        left += mine;
    }
    let asset = shop.billing.asset(&shop.at(NOW), "USD").await.unwrap();
    let outside = asset.outside();
    assert_eq!(shop.settled(outside.revenue).await, whole.revenue.base());
    assert_eq!(2 * MONEY - left, whole.revenue.base());
    assert_eq!(shop.settled(outside.cost).await, whole.cost.base());
    for name in VENDORS {
        let payable = CounterpartyId::named(name).payable(asset.chart().money);
        let took = kept.iter().flat_map(|u| &u.costs).filter(|cost| cost.vendor == name);
        assert_eq!(shop.settled(payable).await, took.map(|cost| cost.amount.base()).sum());
    }
    for (by, counted) in [
        (By::Customer, whole),
        (By::Product, whole),
        (By::Subject, sum(kept.iter().filter(|u| u.subject.is_some()))),
    ] {
        assert_eq!(world.counted(by, Over::All, 0).await, counted, "{by:?}");
        let months = [15 * DAY, 40 * DAY];
        let mut by_month = Tally::default();
        for month in months {
            by_month = by_month.checked_add(world.counted(by, Over::Month, month).await).unwrap();
        }
        assert_eq!(by_month, counted, "{by:?}");
        for day in 0..46 {
            let on = kept.iter().filter(|u| u.occurred_ms / DAY == day);
            let on = sum(on.filter(|u| by != By::Subject || u.subject.is_some()));
            assert_eq!(world.counted(by, Over::Day, day * DAY).await, on, "{by:?} day {day}");
        }
    }
    let with_vendors = sum(kept.iter().filter(|u| !u.costs.is_empty()));
    let vendors = world.counted(By::Vendor, Over::All, 0).await;
    assert_eq!((vendors.revenue, vendors.cost), (with_vendors.revenue, with_vendors.cost));
    parts_add_up(&world, &kept);
    series_add_up(&world, &kept).await;
    shop.billing.store().verify().await.unwrap().unwrap();
}

/// Of every event that was ever accepted there is one, and what was answered is what is kept.
fn each_is_there_once(
    answers: &[(usize, Result<Recorded, &'static str>)],
    kept: &[UsageDoc],
    drawn: &[Drawn],
) {
    let names: BTreeSet<&str> = kept.iter().map(|u| &*u.event_id).collect();
    assert_eq!(names.len(), kept.len());
    for (at, drawn) in drawn.iter().enumerate() {
        let name = format!("event {at}");
        let mine: Vec<_> = answers.iter().filter(|(of, _)| *of == at).map(|(_, answer)| answer).collect();
        let new = mine.iter().filter(|a| matches!(a, Ok(r) if r.status == RecordedAs::Recorded)).count();
        let stored = kept.iter().find(|u| u.event_id == name);
        assert_eq!(new, usize::from(stored.is_some()), "{name}");
        for answer in mine {
            match answer {
                Ok(recorded) => assert_eq!(Some(&recorded.usage), stored),
                Err(code) => {
                    let late = drawn.5 > 40;
                    assert_eq!(*code, if late { "usage_too_late" } else { "insufficient_funds" });
                }
            }
        }
    }
}

/// Whoever was refused for want of money could not pay: what is left in the end is no more than what there was then. Where tiers
/// count over a month the price then is not known any more.
fn none_was_refused_that_could_be_paid(
    answers: &[(usize, Result<Recorded, &'static str>)],
    drawn: &[Drawn],
    left: [u128; 2],
) {
    for (at, answer) in answers {
        let (customer, _, product, quantity, costs, ..) = &drawn[*at];
        let (tiers_over, form) = PRICES[*product];
        if answer != &Err("insufficient_funds") || tiers_over == MONTH {
            continue;
        }
        let price = Price::try_from(&serde_json::from_str::<PriceForm>(form).unwrap()).unwrap();
        let cost = Amount::from_base(costs.values().sum());
        let price = price.of(Measure { quantity: *quantity, cost }).unwrap().base();
        assert!(price > left[*customer], "{price} was refused and {} is left", left[*customer]);
    }
}

/// What a customer pays in a month for a product whose tiers count over it is the price of the whole.
fn parts_add_up(world: &World, kept: &[UsageDoc]) {
    for (product, (tiers_over, form)) in world.products.iter().zip(PRICES) {
        let price = Price::try_from(&serde_json::from_str::<PriceForm>(form).unwrap()).unwrap();
        for (customer, month) in world.customers.iter().flat_map(|c| [(c, 0), (c, 1)]) {
            let mine = kept.iter().filter(|u| u.customer == *customer && u.product == *product);
            let mine = sum(mine.filter(|u| u64::from(u.occurred_ms >= 31 * DAY) == month));
            if tiers_over == MONTH {
                let quantity = u64::try_from(mine.quantity).unwrap();
                let whole = price.of(Measure { quantity, cost: Amount::ZERO }).unwrap();
                assert_eq!(mine.revenue, whole);
            }
        }
    }
}

async fn series_add_up(world: &World, kept: &[UsageDoc]) {
    for product in &world.products {
        let query = SeriesQuery {
            by: By::Product,
            id: product.text(),
            asset: "USD".to_owned(),
            over: Over::Day,
            from_ms: 0,
            to_ms: NOW,
        };
        let series = world.shop.billing.report_series(&world.shop.at(NOW), &query).await.unwrap();
        let mine = sum(kept.iter().filter(|u| u.product == *product));
        assert_eq!(
            (series.windows.len(), series.total.revenue, series.total.cost),
            (46, mine.revenue, mine.cost)
        );
        let window = Timestamp::from_unix_ms(series.windows[45].start_ms);
        assert_eq!(window.unix_ms(), NOW);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn wallets_counters_and_ledger_agree_and_each_event_is_there_once(drawn in drawn(), seed in any::<u64>()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
        runtime.block_on(check(drawn, seed));
    }
}
