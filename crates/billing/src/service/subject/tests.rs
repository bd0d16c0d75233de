#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;

use farthing_ledger::record::Order;
use farthing_money::Amount;
use proptest::prelude::*;

use super::*;
use crate::id::ProductId;
use crate::service::hold::NewRefund;
use crate::service::product::TiersOver;
use crate::service::shop::{Shop, costs, usage};
use crate::service::usage::NewUsage;

const THREE: &str = r#"{"model":{"type":"per_unit","unit":"3"}}"#;

fn all() -> PageQuery {
    PageQuery { order: Order::Ascending, limit: 900, after: None }
}

async fn shop() -> (Shop, CustomerId, ProductId) {
    let shop = Shop::open().await;
    let (customer, product) =
        (shop.customer("c", 1_000_000).await, shop.product(TiersOver::Event, THREE).await.id);
    (shop, customer, product)
}

fn named(name: &str, parent: Option<&str>) -> NewSubject {
    NewSubject { name: name.to_owned(), parent: parent.map(str::to_owned) }
}

/// Events, revenue, refunded and cost.
fn numbers(figures: &Figures) -> [u128; 4] {
    let amounts = [figures.revenue, figures.refunded, figures.cost].map(Amount::base);
    [u128::from(figures.events), amounts[0], amounts[1], amounts[2]]
}

#[tokio::test]
async fn a_subject_shows_its_own_and_all_that_is_beneath_it() {
    let (shop, customer, product) = shop().await;
    let create = async |new: NewSubject| shop.billing.create_subject(&shop.at(1), customer, &new).await;
    create(named("research", None)).await.unwrap();
    let event = |id: &str, subject: &str, parent: Option<&str>, quantity, took| NewUsage {
        subject: Some(subject.to_owned()),
        subject_parent: parent.map(str::to_owned),
        quantity,
        costs: costs(&[("v.example", took)]),
        ..usage(id, customer, product)
    };
    let mut ids = Vec::new();
    for new in [
        event("a", "research", None, 1, 1),
        event("b", "task 47", Some("research"), 10, 5),
        event("c", "call 9", Some("task 47"), 100, 50),
        // What was said once need not be said again.
        event("d", "call 9", None, 100, 50),
        event("e", "another", Some("research"), 2, 0),
        event("f", "alone", None, 7, 7),
    ] {
        ids.push(shop.billing.record_usage(&shop.at(5), &new).await.unwrap().usage.id);
    }
    let back = NewRefund { amount: Some(Amount::from_base(60)), ..NewRefund::default() };
    shop.billing.refund_usage(&shop.at(6), ids[2], &back).await.unwrap();
    for (name, own, rolled_up, above, beneath) in [
        ("research", [1, 3, 0, 1], [5, 639, 60, 106], vec![], vec!["task 47", "another"]),
        ("task 47", [1, 30, 0, 5], [3, 630, 60, 105], vec!["research"], vec!["call 9"]),
        ("call 9", [2, 600, 60, 100], [2, 600, 60, 100], vec!["task 47", "research"], vec![]),
        ("another", [1, 6, 0, 0], [1, 6, 0, 0], vec!["research"], vec![]),
        ("alone", [1, 21, 0, 7], [1, 21, 0, 7], vec![], vec![]),
    ] {
        let id = SubjectId::named(customer, name);
        let subject = shop.billing.subject(&shop.at(7), id).await.unwrap();
        let [total] = subject.totals.as_slice() else { panic!("{name}") };
        assert_eq!((numbers(&total.figures), numbers(&total.rolled_up)), (own, rolled_up), "{name}");
        let named: Vec<_> = above.iter().map(|name| SubjectId::named(customer, name)).collect();
        assert_eq!(subject.subject.ancestors, named, "{name}");
        let under = shop.billing.list_subjects_under(&shop.at(7), id, &all()).await.unwrap().data;
        let mut under: Vec<_> = under.into_iter().map(|one| one.subject.name).collect();
        under.sort_by_key(|name| beneath.iter().position(|other| other == name));
        assert_eq!(under, beneath, "{name}");
    }
    // One that nothing was used for itself.
    create(named("empty", None)).await.unwrap();
    create(named("full", Some("empty"))).await.unwrap();
    shop.billing.record_usage(&shop.at(8), &event("g", "full", None, 1, 0)).await.unwrap();
    let empty = shop.billing.subject(&shop.at(9), SubjectId::named(customer, "empty")).await.unwrap();
    assert_eq!(numbers(&empty.totals[0].figures), [0; 4]);
    assert_eq!(numbers(&empty.totals[0].rolled_up), [1, 3, 0, 0]);
    let margin = &empty.totals[0].rolled_up.margin_millionths;
    assert_eq!(*margin, Some(1_000_000));
    assert_eq!(shop.billing.list_subjects(&shop.at(9), customer, &all()).await.unwrap().data.len(), 7);
}

#[tokio::test]
async fn a_parent_is_there_before_its_child_and_stays_its_parent() {
    let (shop, customer, product) = shop().await;
    let other = shop.customer("d", 100).await;
    let create = async |customer, name: &str, parent: Option<&str>| {
        let made = shop.billing.create_subject(&shop.at(1), customer, &named(name, parent)).await;
        made.map(|made| made.subject.ancestors.len()).map_err(|error| error.code())
    };
    assert_eq!(create(customer, "a", None).await, Ok(0));
    assert_eq!(create(customer, "a", None).await, Ok(0), "it is there");
    assert_eq!(create(customer, "b", Some("a")).await, Ok(1));
    assert_eq!(create(customer, "b", Some("a")).await, Ok(1));
    for (name, parent, code) in [
        ("b", None, "already_exists"),
        ("b", Some("c"), "already_exists"),
        ("a", Some("b"), "already_exists"),
        ("a", Some("a"), "already_exists"),
        ("c", Some("c"), "not_found"),
        ("c", Some("nobody"), "not_found"),
        ("", None, "invalid_field"),
        ("c", Some(""), "invalid_field"),
    ] {
        assert_eq!(create(customer, name, parent).await, Err(code), "{name:?} under {parent:?}");
    }
    // Names are a customer's own.
    assert_eq!(create(other, "c", Some("a")).await, Err("not_found"));
    assert_eq!(create(other, "b", None).await, Ok(0));
    let foreign = shop.billing.create_subject(&shop.foreign(1), customer, &named("a", None)).await;
    assert_eq!(foreign.unwrap_err().code(), "not_found");
    // With all above it, at most eight.
    let mut above = "b".to_owned();
    for deep in 2..8 {
        let name = format!("deep {deep}");
        assert_eq!(create(customer, &name, Some(&above)).await, Ok(deep));
        above = name;
    }
    assert_eq!(create(customer, "too deep", Some(&above)).await, Err("invalid_field"));
    let event = |id: &str, subject: Option<&str>, parent: Option<&str>| NewUsage {
        subject: subject.map(str::to_owned),
        subject_parent: parent.map(str::to_owned),
        ..usage(id, customer, product)
    };
    let record = async |new: NewUsage| {
        shop.billing.record_usage(&shop.at(5), &new).await.map(drop).map_err(|error| error.code())
    };
    assert_eq!(record(event("1", Some("b"), Some("a"))).await, Ok(()));
    for new in [event("2", Some("b"), Some("deep 2")), event("1", Some("b"), Some("deep 2"))] {
        assert_eq!(record(new).await, Err("already_exists"));
    }
    assert_eq!(record(event("1", Some("b"), Some("a"))).await, Ok(()), "told again");
    assert_eq!(record(event("2", Some("too deep"), Some(&above))).await, Err("invalid_field"));
    assert_eq!(record(event("2", None, Some("a"))).await, Err("invalid_field"));
    assert_eq!(record(event("2", Some("c"), Some("nobody"))).await, Err("not_found"));
    let rolled_up = shop.billing.subject(&shop.at(6), SubjectId::named(customer, "a")).await.unwrap();
    assert_eq!(numbers(&rolled_up.totals[0].rolled_up), [1, 3, 0, 0]);
}

#[tokio::test]
async fn of_those_who_race_for_a_subject_one_says_what_it_is_a_part_of() {
    for round in 0..20 {
        let (shop, customer, product) = shop().await;
        let shop = Arc::new(shop);
        for parent in ["a", "b"] {
            shop.billing.create_subject(&shop.at(1), customer, &named(parent, None)).await.unwrap();
        }
        let calls: Vec<_> = (0..12)
            .map(|n| {
                let (shop, billing) = (shop.clone(), shop.process());
                let parent = if (n + round) % 2 == 0 { "a" } else { "b" };
                let new = NewUsage {
                    subject: Some("c".to_owned()),
                    subject_parent: Some(parent.to_owned()),
                    ..usage(&n.to_string(), customer, product)
                };
                tokio::spawn(async move { billing.record_usage(&shop.at(5), &new).await.map(|_| parent) })
            })
            .collect();
        let (mut won, mut refused) = (Vec::new(), 0);
        for call in calls {
            match call.await.unwrap() {
                Ok(parent) => won.push(parent),
                Err(error) => {
                    assert_eq!(error.code(), "already_exists");
                    refused += 1;
                }
            }
        }
        assert!(won.len() == 6 && refused == 6 && won.iter().all(|parent| parent == &won[0]), "{won:?}");
        let parent = shop.billing.subject(&shop.at(6), SubjectId::named(customer, won[0])).await.unwrap();
        assert_eq!(numbers(&parent.totals[0].rolled_up), [6, 18, 0, 0]);
    }
}

/// Parents of the subjects 1, 2, …, each among those before; then events and refunds, of subjects by number.
type Drawn = (Vec<usize>, Vec<(usize, u64, u128, Option<u128>)>);

fn drawn() -> impl Strategy<Value = Drawn> {
    let parents = proptest::collection::vec(any::<prop::sample::Index>(), 0..7);
    let parents = parents.prop_map(|all| (1..).zip(all).map(|(at, index)| index.index(at)).collect());
    let event = (0..8_usize, 0..30_u64, 0..9_u128, proptest::option::of(1..60_u128));
    (parents, proptest::collection::vec(event, 1..24))
}

async fn check((parents, events): Drawn) {
    let (shop, customer, product) = shop().await;
    let shop = Arc::new(shop);
    let name = |n: usize| format!("subject {n}");
    shop.billing.create_subject(&shop.at(1), customer, &named(&name(0), None)).await.unwrap();
    for (n, parent) in (1..).zip(&parents) {
        let new = named(&name(n), Some(&name(*parent)));
        shop.billing.create_subject(&shop.at(1), customer, &new).await.unwrap();
    }
    let mut calls = Vec::new();
    for (at, (subject, quantity, cost, back)) in events.iter().copied().enumerate() {
        let new = NewUsage {
            subject: Some(name(subject % (parents.len() + 1))),
            quantity,
            costs: costs(&[("v.example", cost)]),
            ..usage(&at.to_string(), customer, product)
        };
        let (shop, billing) = (shop.clone(), if at % 2 == 0 { shop.process() } else { shop.billing.clone() });
        calls.push(tokio::spawn(async move {
            let id = billing.record_usage(&shop.at(5), &new).await.unwrap().usage.id;
            let Some(back) = back else { return };
            let refund = NewRefund { amount: Some(Amount::from_base(back)), ..NewRefund::default() };
            if let Err(error) = billing.refund_usage(&shop.at(6), id, &refund).await {
                assert_eq!(error.code(), "refund_exceeds_spent");
            }
        }));
    }
    for call in calls {
        call.await.unwrap();
    }
    let kept = shop.billing.list_usage(&shop.at(7), &all()).await.unwrap().data;
    let mut sums: BTreeMap<usize, ([u128; 4], [u128; 4])> = BTreeMap::new();
    for usage in kept {
        let one = [1, usage.price.base(), usage.refunded.base(), usage.cost.base()];
        let add = |sum: &mut [u128; 4]| sum.iter_mut().zip(one).for_each(|(sum, number)| *sum += number);
        let of = |n: &usize| Some(SubjectId::named(customer, &name(*n))) == usage.subject;
        let mut at = (0..=parents.len()).find(of).unwrap();
        add(&mut sums.entry(at).or_default().0);
        loop {
            add(&mut sums.entry(at).or_default().1);
            let Some(above) = at.checked_sub(1) else { break };
            at = parents[above];
        }
    }
    for n in 0..=parents.len() {
        let subject = shop.billing.subject(&shop.at(8), SubjectId::named(customer, &name(n))).await.unwrap();
        let shown = subject.totals.first();
        let shown = shown.map(|total| (numbers(&total.figures), numbers(&total.rolled_up)));
        assert_eq!(shown, sums.get(&n).copied(), "subject {n}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_trees_total_is_that_of_all_events_in_it(drawn in drawn()) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
        runtime.block_on(check(drawn));
    }
}
