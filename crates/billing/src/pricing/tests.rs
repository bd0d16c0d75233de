#![allow(clippy::unwrap_used, reason = "tests")]

use farthing_ledger::Timestamp;
use proptest::prelude::*;

use super::*;

fn amount(base: u128) -> Amount {
    Amount::from_base(base)
}

fn per(n: u64) -> NonZeroU64 {
    NonZeroU64::new(n).unwrap()
}

fn units(quantity: u64) -> Measure {
    Measure { quantity, cost: Amount::ZERO }
}

/// Up to, unit, flat.
type Row = (Option<u64>, u128, u128);

fn tiers(of: u64, all: &[Row]) -> Result<Tiers, PriceError> {
    let tier = |(up_to, unit, flat): &Row| Tier { up_to: *up_to, unit: amount(*unit), flat: amount(*flat) };
    Tiers::new(per(of), all.iter().map(tier).collect())
}

#[test]
fn models_cost_what_the_table_says() {
    let three = || tiers(1, &[(Some(10), 5, 0), (Some(20), 3, 7), (None, 1, 0)]).unwrap();
    let per_unit = |unit, of| Model::PerUnit { unit: amount(unit), per: per(of) };
    type Case = (Model, Rounding, &'static [(u64, u128)]);
    let cases: &[Case] = &[
        (per_unit(3, 1), Rounding::Up, &[(0, 0), (1, 3), (7, 21)]),
        (per_unit(3, 1_000), Rounding::Up, &[(1, 1), (333, 1), (334, 2)]),
        (per_unit(3, 1_000), Rounding::Down, &[(1, 0), (333, 0), (334, 1)]),
        (per_unit(1, 2), Rounding::HalfEven, &[(1, 0), (3, 2), (5, 2)]),
        (Model::Graduated(three()), Rounding::Up, &[(0, 0), (1, 5), (10, 50), (11, 60), (20, 87), (21, 88)]),
        (Model::Volume(three()), Rounding::Up, &[(0, 0), (1, 5), (10, 50), (11, 40), (20, 67), (21, 21)]),
        (
            Model::Package { size: per(10), price: amount(4) },
            Rounding::Up,
            &[(0, 0), (1, 4), (10, 4), (11, 8)],
        ),
    ];
    for (model, rounding, rows) in cases {
        let price = Price::new(model.clone(), *rounding);
        for (quantity, expected) in *rows {
            assert_eq!(price.of(units(*quantity)), Ok(amount(*expected)), "{model:?} {quantity}");
        }
    }
    assert_eq!(Price::new(Model::Volume(three()), Rounding::Up).drops(), Ok(vec![10, 20]));
    assert_eq!(Price::new(Model::Graduated(three()), Rounding::Up).drops(), Ok(vec![]));
}

#[test]
fn mark_ups_follow_the_cost_and_bounds_hold() {
    let mark_up = Price::new(Model::MarkUp { millionths: 200_000, fixed: amount(1) }, Rounding::Up);
    let cost = |quantity, base| Measure { quantity, cost: amount(base) };
    assert_eq!(mark_up.of(cost(0, 0)), Ok(amount(0)));
    assert_eq!(mark_up.of(cost(0, 101)), Ok(amount(123)), "101 + 20.2 rounded up + 1");
    let bounded = mark_up.bounded(amount(5), amount(100)).unwrap();
    for (base, expected) in [(0, 5), (1, 5), (10, 13), (1_000, 100)] {
        assert_eq!(bounded.of(cost(1, base)), Ok(amount(expected)), "{base}");
    }
    assert_eq!(bounded.of(cost(0, 0)), Ok(amount(0)), "nothing costs nothing");
    assert_eq!(bounded.of(Measure { quantity: 1, cost: Amount::MAX }).unwrap_err().code(), "amount_overflow");
    assert_eq!(bounded.bounded(amount(2), amount(1)).unwrap_err().code(), "price_minimum_over_maximum");
}

#[test]
fn tiers_are_refused_by_code() {
    let many = vec![(None, 1, 0); Tiers::MOST + 1];
    let cases: &[(&[Row], &str)] = &[
        (&[], "price_tier_count"),
        (&many, "price_tier_count"),
        (&[(Some(0), 1, 0), (None, 1, 0)], "price_tier_order"),
        (&[(Some(5), 1, 0), (Some(5), 1, 0), (None, 1, 0)], "price_tier_order"),
        (&[(None, 1, 0), (None, 1, 0)], "price_tier_end"),
        (&[(Some(5), 1, 0)], "price_tier_end"),
    ];
    for (all, code) in cases {
        assert_eq!(tiers(1, all).unwrap_err().code(), *code, "{all:?}");
    }
}

#[test]
fn versions_count_from_their_instant_and_never_before_they_were_published() {
    let at = Timestamp::from_unix_ms;
    let price = |unit| Price::new(Model::PerUnit { unit: amount(unit), per: per(1) }, Rounding::Up);
    let mut product = Product::new();
    let late = Lateness { grace_ms: 100, skew_ms: 10 };
    assert_eq!(product.version(at(50), at(50), late).unwrap_err().code(), "price_missing");
    assert_eq!(product.publish(price(1), at(9), at(10)).unwrap_err().code(), "price_in_the_past");
    assert_eq!(product.publish(price(1), at(100), at(10)).unwrap().number, 1);
    assert_eq!(product.publish(price(2), at(100), at(10)).unwrap_err().code(), "price_out_of_order");
    assert_eq!(product.publish(price(2), at(200), at(10)).unwrap().number, 2);
    // occurred, told -> version or code
    let cases = [
        (99, 99, Err("price_missing")),
        (100, 100, Ok(1)),
        (199, 299, Ok(1)),
        (199, 300, Err("usage_too_late")),
        (200, 300, Ok(2)),
        (210, 200, Ok(2)),
        (211, 200, Err("usage_in_the_future")),
    ];
    for (occurred, told, expected) in cases {
        let got = product.version(at(occurred), at(told), late).map(|v| v.number).map_err(|e| e.code());
        assert_eq!(got, expected, "{occurred} told at {told}");
    }
    // What is published later changes nothing for what occurred before.
    product.publish(price(3), at(250), at(250)).unwrap();
    assert_eq!(product.version(at(249), at(250), late).unwrap().number, 2);
}

#[test]
fn a_simulation_says_what_would_change() {
    let price = |unit| Price::new(Model::PerUnit { unit: amount(unit), per: per(1) }, Rounding::Up);
    let flat = price(2).bounded(amount(5), amount(9)).unwrap();
    let usage = [(1, 6), (3, 1), (4, 0), (10, 0)].map(|(q, c)| Measure { quantity: q, cost: amount(c) });
    let expected =
        Simulation { events: 4, before: amount(36), after: amount(28), dearer: 1, cheaper: 1, under_cost: 1 };
    assert_eq!(simulate(&price(2), &flat, usage), Ok(expected));
}

fn any_tiers() -> impl Strategy<Value = Tiers> {
    let tier = (1..12_u64, 0..9_u128, 0..4_u128);
    (1..7_u64, proptest::collection::vec(tier, 1..6)).prop_map(|(of, all)| {
        let (mut end, last) = (0, all.len() - 1);
        let all: Vec<_> = all
            .iter()
            .enumerate()
            .map(|(at, (wide, unit, flat))| {
                end += wide;
                ((at < last).then_some(end), *unit, *flat)
            })
            .collect();
        tiers(of, &all).unwrap()
    })
}

fn rounding() -> impl Strategy<Value = Rounding> {
    prop_oneof![Just(Rounding::Up), Just(Rounding::Down), Just(Rounding::HalfEven)]
}

fn growing() -> impl Strategy<Value = Model> {
    prop_oneof![
        (0..9_u128, 1..9_u64).prop_map(|(unit, of)| Model::PerUnit { unit: amount(unit), per: per(of) }),
        any_tiers().prop_map(Model::Graduated),
        (0..9_u128, 1..9_u64)
            .prop_map(|(price, size)| Model::Package { size: per(size), price: amount(price) }),
    ]
}

proptest! {
    /// Unit by unit: each one looks for its own tier.
    #[test]
    fn graduated_tiers_add_up_unit_by_unit(tiers in any_tiers(), quantity in 0..70_u64, rounding in rounding()) {
        let (mut units_sum, mut flat) = (0_u128, 0_u128);
        let mut seen = std::collections::BTreeSet::new();
        for unit in 1..=quantity {
            let at = tiers.tiers.iter().position(|t| t.up_to.is_none_or(|end| unit <= end)).unwrap();
            units_sum += tiers.tiers[at].unit.base();
            if seen.insert(at) {
                flat += tiers.tiers[at].flat.base();
            }
        }
        let naive = amount(units_sum).checked_div(u128::from(tiers.per.get()), rounding).unwrap().base() + flat;
        let price = Price::new(Model::Graduated(tiers), rounding);
        prop_assert_eq!(price.of(units(quantity)).unwrap().base(), naive);
    }

    /// More never costs less, and a step of one unit never costs more than the dearest unit, fees and rounding: no gap.
    #[test]
    fn prices_grow_without_gap(model in growing(), quantity in 0..70_u64, rounding in rounding(), low in 0..9_u128, more in 0..200_u128) {
        let price = Price::new(model, rounding).bounded(amount(low), amount(low + more)).unwrap();
        let (here, next) = (price.of(units(quantity)).unwrap(), price.of(units(quantity + 1)).unwrap());
        prop_assert!(here <= next, "{here} > {next}");
        let step = next.base() - here.base();
        let most = match price.model() {
            Model::PerUnit { unit, .. } => unit.base(),
            Model::Graduated(tiers) => tiers.tiers.iter().map(|t| t.unit.base() + t.flat.base()).max().unwrap(),
            Model::Package { price, .. } => price.base(),
            Model::Volume(_) | Model::MarkUp { .. } => 0,
        };
        prop_assert!(step <= (most + 1).max(low), "{quantity}: a step of {step}");
    }

    /// However a period's usage is cut into events, it costs the same.
    #[test]
    fn parts_of_a_period_add_up_to_the_whole(model in growing(), parts in proptest::collection::vec(0..20_u64, 0..9), rounding in rounding()) {
        let price = Price::new(model, rounding);
        let (mut before, mut sum) = (0, 0);
        for part in &parts {
            sum += price.after(before, units(*part)).unwrap().base();
            before += part;
        }
        prop_assert_eq!(sum, price.of(units(before)).unwrap().base());
    }

    #[test]
    fn mark_ups_never_sell_under_cost(cost in 0..1_000_000_u128, millionths in 0..3_000_000_u32, fixed in 0..5_u128, rounding in rounding()) {
        let price = Price::new(Model::MarkUp { millionths, fixed: amount(fixed) }, rounding);
        let of = |base| price.of(Measure { quantity: 1, cost: amount(base) }).unwrap();
        prop_assert!(of(cost) >= amount(cost));
        prop_assert!(of(cost) <= of(cost + 1));
    }
}
