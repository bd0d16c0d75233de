//! Random events, paid from wallets and from holds, and random refunds of events and of holds, from two processes at the same time: the
//! counters are what a scan of all that was told adds up to.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::Period;
use crate::service::Authority;
use crate::service::hold::{NewHold, NewRefund};
use crate::service::report::ReportQuery;

const DAY: u64 = 86_400_000;
const MONEY: u128 = 100_000;
const VENDORS: [&str; 3] = ["a.example", "b.example", "c.example"];

#[derive(Debug, Clone)]
enum Drawn {
    /// Customer, subject, quantity, costs by vendor, and whether it is paid from the customer's hold.
    Use(usize, Option<u8>, u64, BTreeMap<usize, u128>, bool),
    /// The event that was recorded so long ago, and how much.
    Refund(usize, Option<u128>),
    /// A customer's hold, and how much.
    RefundHold(usize, Option<u128>),
}

fn drawn() -> impl Strategy<Value = Vec<Vec<Drawn>>> {
    let costs = proptest::collection::btree_map(0..3_usize, 0..20_u128, 0..3);
    let used = (0..2_usize, proptest::option::of(0..2_u8), 0..30_u64, costs, any::<bool>()).prop_map(
        |(customer, subject, quantity, costs, held)| Drawn::Use(customer, subject, quantity, costs, held),
    );
    let amount = || proptest::option::weighted(0.7, 1..40_u128);
    let one = prop_oneof![
        3 => used,
        3 => (0..12_usize, amount()).prop_map(|(at, amount)| Drawn::Refund(at, amount)),
        1 => (0..2_usize, amount()).prop_map(|(customer, amount)| Drawn::RefundHold(customer, amount)),
    ];
    // Each day's calls are told at the same time.
    proptest::collection::vec(proptest::collection::vec(one, 1..10), 1..6)
}

struct World {
    shop: Arc<Shop>,
    customers: [CustomerId; 2],
    holds: [HoldId; 2],
    product: ProductId,
}

impl World {
    async fn open() -> Self {
        let shop = Shop::open().await;
        let customers = [shop.customer("one", MONEY).await, shop.customer("two", MONEY).await];
        let product = shop.product_late(EVENT, THREE, DAY).await.id;
        let hold = async |customer| {
            let (customer, asset) = (Some(customer), Some("USD".to_owned()));
            let new = NewHold { customer, asset, amount: Amount::from_base(MONEY / 2), ..NewHold::default() };
            shop.billing.place_hold(&shop.at(1), &Authority::Owner, &new).await.unwrap().id
        };
        let holds = [hold(customers[0]).await, hold(customers[1]).await];
        Self { shop: Arc::new(shop), customers, holds, product }
    }

    /// A day's calls, alternately of two processes, all at the same time.
    async fn day(&self, day: usize, calls: &[Drawn], events: &[UsageId]) {
        let processes = [self.shop.billing.clone(), self.shop.process()];
        let now = u64::try_from(day).unwrap() * 9 * DAY;
        let mut running = Vec::new();
        for ((at, call), billing) in calls.iter().enumerate().zip(processes.iter().cycle().cloned()) {
            let cx = self.shop.at(now);
            let refund = |amount: Option<u128>| NewRefund {
                amount: amount.map(Amount::from_base),
                ..NewRefund::default()
            };
            running.push(match call.clone() {
                Drawn::Use(customer, subject, quantity, took, held) => {
                    let took: Vec<_> =
                        took.iter().map(|(vendor, amount)| (VENDORS[*vendor], *amount)).collect();
                    let new = NewUsage {
                        subject: subject.map(|n| format!("task {n}")),
                        quantity,
                        costs: costs(&took),
                        hold: held.then(|| self.holds[customer]),
                        rest: Rest::Keep,
                        ..usage(&format!("{day}/{at}"), self.customers[customer], self.product)
                    };
                    tokio::spawn(async move { billing.record_usage(&cx, &new).await.map(drop) })
                }
                Drawn::Refund(back, amount) => {
                    let Some(id) = events.iter().rev().nth(back).copied() else { continue };
                    let refund = refund(amount);
                    tokio::spawn(async move { billing.refund_usage(&cx, id, &refund).await.map(drop) })
                }
                Drawn::RefundHold(customer, amount) => {
                    let (hold, refund) = (self.holds[customer], refund(amount));
                    tokio::spawn(async move { billing.refund_hold(&cx, hold, &refund).await.map(drop) })
                }
            });
        }
        for call in running {
            if let Err(error) = call.await.unwrap() {
                assert!(matches!(error.code(), "refund_exceeds_spent" | "invalid_field"), "{error}");
            }
        }
    }

    async fn kept(&self) -> Vec<UsageDoc> {
        self.shop.billing.list_usage(&self.shop.at(0), &all()).await.unwrap().data
    }

    /// Refunds as they were told: when, how much, and of what.
    async fn refunds(&self) -> Vec<(u64, UsageRefund)> {
        let events = self.shop.billing.list::<Event>(&self.shop.at(0), "", &all()).await.unwrap();
        assert_eq!(events.next, None);
        let told = events.docs().data.into_iter().filter(|event| event.kind == EventKind::UsageRefunded);
        told.map(|event| (event.created_ms, serde_json::from_value(event.data).unwrap())).collect()
    }

    /// Events, revenue, refunded and cost of each thing in a window.
    async fn counted(&self, by: By, over: Over, at: u64) -> BTreeMap<String, [u128; 4]> {
        let query = ReportQuery { by, asset: "USD".to_owned(), over, at_ms: Some(at) };
        let rows = self.shop.billing.report(&self.shop.at(0), &query, &all()).await.unwrap().rows.data;
        let numbers = |row: crate::service::report::ReportRow| {
            let figures = row.figures;
            let amounts = [figures.revenue, figures.refunded, figures.cost].map(Amount::base);
            (row.id, [u128::from(figures.events), amounts[0], amounts[1], amounts[2]])
        };
        rows.into_iter().map(numbers).filter(|(_, numbers)| *numbers != [0; 4]).collect()
    }

    /// What a scan of everything says of a window, but for vendors.
    fn scanned(
        by: By,
        inside: &dyn Fn(u64) -> bool,
        (kept, refunds): (&[UsageDoc], &[(u64, UsageRefund)]),
    ) -> BTreeMap<String, [u128; 4]> {
        let name = |usage: &UsageDoc| match by {
            By::Subject => usage.subject.map(|subject| subject.text()),
            By::Customer => Some(usage.customer.text()),
            _ => Some(usage.product.text()),
        };
        let mut sums: BTreeMap<String, [u128; 4]> = BTreeMap::new();
        let mut add = |usage: &UsageDoc, numbers: [u128; 4]| {
            let Some(name) = name(usage) else { return };
            let sum = sums.entry(name).or_default();
            sum.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number);
        };
        for usage in kept.iter().filter(|usage| inside(usage.occurred_ms)) {
            add(usage, [1, usage.price.base(), 0, usage.cost.base()]);
        }
        for (_, refund) in refunds.iter().filter(|(at, _)| inside(*at)) {
            add(&refund.usage, [0, 0, refund.amount.base(), 0]);
        }
        sums.into_iter().filter(|(_, numbers)| *numbers != [0; 4]).collect()
    }

    async fn check(&self, days: usize) {
        let (kept, refunds) = (self.kept().await, self.refunds().await);
        for usage in &kept {
            let mine = refunds.iter().filter(|(_, refund)| refund.usage.id == usage.id);
            let given: u128 = mine.map(|(_, refund)| refund.amount.base()).sum();
            assert_eq!(usage.refunded.base(), given);
            assert!(usage.refunded <= usage.price);
        }
        let with_vendors: Vec<UsageDoc> =
            kept.iter().filter(|usage| !usage.costs.is_empty()).cloned().collect();
        let of_them: Vec<_> =
            refunds.iter().filter(|(_, back)| !back.usage.costs.is_empty()).cloned().collect();
        for (over, period) in
            [(Over::Day, Period::Day), (Over::Month, Period::Month), (Over::All, Period::Total)]
        {
            for day in 0..u64::try_from(days).unwrap() {
                let window = period.window(farthing_ledger::Timestamp::from_unix_ms(day * 9 * DAY));
                let inside = |at: u64| window.contains(farthing_ledger::Timestamp::from_unix_ms(at));
                for by in [By::Subject, By::Customer, By::Product] {
                    let scanned = Self::scanned(by, &inside, (&kept, &refunds));
                    assert_eq!(self.counted(by, over, day * 9 * DAY).await, scanned, "{by:?} {over:?} {day}");
                }
                // Vendors divide what is given back: their parts add up.
                let whole = Self::scanned(By::Product, &inside, (&with_vendors, &of_them));
                let whole = whole.values().next().map_or([0; 3], |sum| [sum[1], sum[2], sum[3]]);
                let vendors = self.counted(By::Vendor, over, day * 9 * DAY).await;
                let sum = |n: usize| vendors.values().map(|numbers| numbers[n]).sum::<u128>();
                assert_eq!([sum(1), sum(2), sum(3)], whole, "vendors {over:?} {day}");
            }
        }
        for (customer, hold) in self.customers.iter().zip(self.holds) {
            let mine = kept.iter().filter(|usage| usage.customer == *customer);
            let net: u128 = mine.map(|usage| usage.price.base() - usage.refunded.base()).sum();
            let held = self.shop.billing.hold(&self.shop.at(0), &Authority::Owner, hold).await.unwrap();
            assert_eq!(self.shop.spendable(*customer).await + held.held.base() + net, MONEY);
            let of_hold = kept.iter().filter(|usage| usage.hold == Some(hold));
            let [captured, refunded] = [held.captured, held.refunded].map(Amount::base);
            let both = of_hold.fold((0, 0), |(a, b), u| (a + u.price.base(), b + u.refunded.base()));
            assert_eq!((captured, refunded), both);
        }
        let outside = self.shop.billing.asset(&self.shop.at(0), "USD").await.unwrap().outside();
        let net: u128 = kept.iter().map(|usage| usage.price.base() - usage.refunded.base()).sum();
        assert_eq!(self.shop.settled(outside.revenue).await, net);
        self.shop.billing.store().verify().await.unwrap().unwrap();
    }
}

async fn check(days: Vec<Vec<Drawn>>) {
    let world = World::open().await;
    for (day, calls) in days.iter().enumerate() {
        let events: Vec<UsageId> = world.kept().await.iter().map(|usage| usage.id).collect();
        world.day(day, calls, &events).await;
    }
    world.check(days.len()).await;
    // All of the rest: then every vendor has given back what it had of the revenue.
    for usage in world.kept().await.iter().filter(|usage| usage.refunded < usage.price) {
        world.shop.billing.refund_usage(&world.shop.at(0), usage.id, &NewRefund::default()).await.unwrap();
    }
    world.check(days.len()).await;
    for (vendor, [_, revenue, refunded, _]) in world.counted(By::Vendor, Over::All, 0).await {
        assert_eq!(revenue, refunded, "{vendor}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn counters_are_what_a_scan_of_events_and_refunds_adds_up_to(days in drawn()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
        runtime.block_on(check(days));
    }
}
