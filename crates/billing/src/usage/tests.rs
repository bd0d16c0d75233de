#![allow(clippy::unwrap_used, reason = "tests")]

use std::num::NonZeroU64;

use farthing_ledger::{Decision, Engine, Limit, NewAccount, NewAsset, Outcome};
use farthing_money::{Asset, AssetKind, Rounding};
use proptest::prelude::*;

use super::rollup::{Counter, GivenBack, Of, Rollup, Tally};
use super::*;
use crate::Period;
use crate::pricing::{Model, Price};

const USD: AssetId = AssetId::from_u32(1);
const WALLET: AccountId = AccountId::from_u128(1);
const BOOKS: Books = Books { asset: USD, revenue: AccountId::from_u128(2), cost: AccountId::from_u128(3) };
const LATE: Lateness = Lateness { grace_ms: u64::MAX, skew_ms: 0 };

fn amount(base: u128) -> Amount {
    Amount::from_base(base)
}

fn vendor(n: u128) -> CounterpartyId {
    CounterpartyId::from_u128(n)
}

fn event(n: u128, quantity: u64, costs: &[(u128, u128)]) -> UsageEvent {
    UsageEvent {
        id: GroupId::from_u128(n << 8),
        customer: CustomerId::from_u128(1),
        subject: SubjectId::from_u128(47),
        product: ProductId::from_u128(1),
        event_type: "search".to_owned(),
        dimensions: BTreeMap::new(),
        quantity,
        costs: costs
            .iter()
            .map(|(v, base)| VendorCost { vendor: vendor(*v), amount: amount(*base) })
            .collect(),
        occurred_at: Timestamp::from_unix_ms(1_000),
    }
}

fn product(unit: u128) -> Product {
    let mut product = Product::new();
    let model = Model::PerUnit { unit: amount(unit), per: NonZeroU64::MIN };
    product.publish(Price::new(model, Rounding::Up), Timestamp::EPOCH, Timestamp::EPOCH).unwrap();
    product
}

fn rated(event: UsageEvent) -> Rated {
    event.rate(&product(3), Timestamp::from_unix_ms(2_000), LATE).unwrap()
}

fn world() -> Engine {
    let mut engine = Engine::new(1, 0, Timestamp::EPOCH);
    let asset = Asset::new("USD", 2, AssetKind::Fiat).unwrap();
    let open = |id, limit| Command::OpenAccount(NewAccount { id, asset: USD, limit });
    let bank = AccountId::from_u128(9);
    let deposit = Transfer {
        id: farthing_ledger::TransferId::from_u128(1),
        debit: bank,
        credit: WALLET,
        asset: USD,
        amount: amount(100),
        code: 1,
        tag: Tag::default(),
    };
    let mut commands = vec![Command::DefineAsset(NewAsset { id: USD, asset })];
    let free = [bank, BOOKS.revenue, BOOKS.cost, vendor(5).payable(USD), vendor(6).payable(USD)];
    commands.extend(free.map(|id| open(id, Limit::None)));
    commands.push(open(WALLET, Limit::DebitsMustNotExceedCredits));
    commands.push(Command::Transfer(deposit));
    let codes = apply(&mut engine, &commands.into_iter().map(Step::single).collect::<Vec<_>>());
    assert!(codes.iter().all(|code| *code == "applied"));
    engine
}

fn apply(engine: &mut Engine, steps: &[Step]) -> Vec<&'static str> {
    let mut decision = Decision::default();
    engine.decide(Timestamp::from_unix_ms(5_000), steps, &mut decision);
    engine.commit();
    decision.outcomes.iter().map(Outcome::code).collect()
}

fn settled(engine: &Engine, account: AccountId) -> u128 {
    engine.account(account).unwrap().balances().settled.or_zero().base()
}

#[test]
fn an_event_is_charged_and_costed_once_and_together() {
    let mut engine = world();
    let rated = rated(event(1, 20, &[(5, 30), (6, 0)]));
    assert_eq!((rated.price, rated.cost, rated.version), (amount(60), amount(30), 1));
    let draws = [Draw { account: WALLET, amount: amount(60) }];
    let steps = rated.charge(&BOOKS, &draws).unwrap();
    assert_eq!(apply(&mut engine, &steps), ["applied"; 2]);
    assert_eq!(apply(&mut engine, &steps), ["exists"; 2]);
    let (revenue, vendors) = (settled(&engine, BOOKS.revenue), settled(&engine, vendor(5).payable(USD)));
    assert_eq!((settled(&engine, WALLET), revenue, vendors), (40, 60, 30));
    // A second one that the wallet cannot pay books no cost either.
    let second = Rated { event: event(2, 20, &[(5, 30)]), ..rated.clone() };
    let codes = apply(&mut engine, &second.charge(&BOOKS, &draws).unwrap());
    assert_eq!(codes, ["exceeds_credits", "linked_group_failed"]);
    assert_eq!(settled(&engine, vendor(5).payable(USD)), 30);
    assert_eq!(rated.charge(&BOOKS, &[]).unwrap_err().code(), "usage_draw_mismatch");
}

#[test]
fn a_call_with_a_hold_is_captured_and_costed_together() {
    use crate::budget::{Capture, Path, Placed, Root, Spend};
    let mut engine = world();
    let chart = crate::Chart { money: USD, allowance: AssetId::from_u32(2), seats: AssetId::from_u32(3) };
    let spend = Spend {
        group: GroupId::from_u128(70 << 8),
        to: BOOKS.revenue,
        amount: amount(80),
        counterparty: vendor(5),
        subject: SubjectId::from_u128(47),
        now: Timestamp::from_unix_ms(1_000),
        expiry: farthing_ledger::Expiry::Never,
    };
    let plan = Path::wallet(Root { wallet: WALLET, chart }).spend(&spend).unwrap();
    assert_eq!(apply(&mut engine, &plan.batch()), ["applied"]);
    let Some(farthing_ledger::Known::Hold(hold)) = engine.known(spend.group.leg(0)).copied() else {
        panic!()
    };
    let rated = rated(event(1, 20, &[(5, 30)]));
    let capture = Capture {
        group: GroupId::from_u128(71 << 8),
        amount: rated.price,
        remainder: farthing_ledger::Remainder::Release,
        receipt: 1,
    };
    let steps = rated.capture(&BOOKS, Placed::read(&[hold]).unwrap().capture(&capture).unwrap());
    // Captured alone, without its cost, it could be told as whole: the group is linked through.
    assert_eq!(steps.iter().filter(|step| step.link == farthing_ledger::Link::End).count(), 1);
    assert_eq!(apply(&mut engine, &steps), ["applied"; 2]);
    let (revenue, vendors) = (settled(&engine, BOOKS.revenue), settled(&engine, vendor(5).payable(USD)));
    assert_eq!((settled(&engine, WALLET), revenue, vendors), (40, 60, 30));
}

#[test]
fn tiers_can_count_over_a_period() {
    use crate::pricing::{Tier, Tiers};
    let tier = |up_to, unit| Tier { up_to, unit: amount(unit), flat: Amount::ZERO };
    let tiers = Tiers::new(NonZeroU64::MIN, vec![tier(Some(10), 5), tier(None, 1)]).unwrap();
    let mut product = Product::new();
    let price = Price::new(Model::Graduated(tiers), Rounding::Up);
    product.publish(price, Timestamp::EPOCH, Timestamp::EPOCH).unwrap();
    for (before, expected) in [(0, 20), (8, 12), (10, 4)] {
        let rated = event(1, 4, &[]).rate_after(before, &product, Timestamp::from_unix_ms(2_000), LATE);
        assert_eq!(rated.unwrap().price, amount(expected), "after {before}");
    }
}

#[test]
fn events_are_refused_in_one_order() {
    type Row = (&'static str, fn(&mut UsageEvent));
    let rows: &[Row] = &[
        ("usage_bad_type", |e| e.event_type = "search".to_owned()),
        ("usage_bad_dimensions", |e| e.dimensions.clear()),
        ("usage_bad_costs", |e| e.costs.truncate(1)),
        ("usage_in_the_future", |e| e.occurred_at = Timestamp::EPOCH),
        ("usage_too_late", |e| e.occurred_at = Timestamp::from_unix_ms(1_500)),
        ("amount_overflow", |e| e.quantity = 1),
        ("rated", |_| {}),
    ];
    let mut broken = event(1, 2, &[(5, 1), (5, 1)]);
    broken.event_type.clear();
    broken.dimensions.insert(String::new(), String::new());
    broken.occurred_at = Timestamp::from_unix_ms(3_000);
    let (dear, late) = (product(u128::MAX), Lateness { grace_ms: 1_000, skew_ms: 0 });
    for (expected, mend) in rows {
        let got = broken.clone().rate(&dear, Timestamp::from_unix_ms(2_000), late);
        assert_eq!(got.map_or_else(|e| e.code(), |_| "rated"), *expected);
        mend(&mut broken);
    }
}

/// Quantity, costs, subject, customer, day.
type Drawn = (u64, BTreeMap<u128, u128>, u128, u128, u64);

fn events() -> impl Strategy<Value = Vec<UsageEvent>> {
    let costs = proptest::collection::btree_map(1..4_u128, 0..50_u128, 0..4);
    let one = (0..40_u64, costs, 0..3_u128, 0..3_u128, 0..90_u64);
    proptest::collection::vec(one, 0..20).prop_map(|all| {
        let make = |(n, (quantity, costs, subject, customer, day)): (u128, Drawn)| {
            let costs: Vec<_> = costs.into_iter().collect();
            UsageEvent {
                subject: SubjectId::from_u128(subject),
                customer: CustomerId::from_u128(customer),
                occurred_at: Timestamp::from_unix_ms(day * 86_400_000),
                ..event(n, quantity, &costs)
            }
        };
        (1..).zip(all).map(make).collect()
    })
}

proptest! {
    /// Counters show what a scan of all events adds up to, and vendors' parts add up to the whole.
    #[test]
    fn counters_equal_a_scan(events in events()) {
        let all: Vec<Rated> = events.into_iter()
            .map(|e| e.rate(&product(3), Timestamp::from_unix_ms(u64::MAX / 2), LATE).unwrap())
            .collect();
        let mut rollup = Rollup::new();
        for rated in &all {
            rollup.count(rated, USD).unwrap();
        }
        for period in [Period::Day, Period::Month, Period::Total] {
            for day in [0_u64, 15, 31, 60, 89] {
                let window = period.window(Timestamp::from_unix_ms(day * 86_400_000));
                let inside = || all.iter().filter(|r| window.contains(r.event.occurred_at));
                let scan = |keep: &dyn Fn(&UsageEvent) -> bool| inside().filter(|r| keep(&r.event)).fold(Tally::default(), |sum, r| Tally {
                    events: sum.events + 1,
                    quantity: sum.quantity + u128::from(r.event.quantity),
                    revenue: amount(sum.revenue.base() + r.price.base()),
                    cost: amount(sum.cost.base() + r.cost.base()),
                    ..Tally::default()
                });
                let shown = |of| rollup.tally(&Counter { of, asset: USD, window });
                for n in 0..3 {
                    let (subject, customer) = (SubjectId::from_u128(n), CustomerId::from_u128(n));
                    prop_assert_eq!(shown(Of::Subject(subject)), scan(&|e| e.subject == subject));
                    prop_assert_eq!(shown(Of::Customer(customer)), scan(&|e| e.customer == customer));
                }
                prop_assert_eq!(shown(Of::Product(ProductId::from_u128(1))), scan(&|_| true));
                let vendors: Vec<Tally> = (1..4).map(|n| shown(Of::Vendor(vendor(n)))).collect();
                let with_vendors = scan(&|e| !e.costs.is_empty());
                prop_assert_eq!(vendors.iter().map(|t| t.revenue.base()).sum::<u128>(), with_vendors.revenue.base());
                prop_assert_eq!(vendors.iter().map(|t| t.cost.base()).sum::<u128>(), with_vendors.cost.base());
            }
        }
    }

    /// What is given back in parts, however long the numbers, takes from each vendor no more than its part of the revenue, never gives
    /// it anything, and in the end takes all of it.
    #[test]
    fn what_is_given_back_is_divided_as_the_revenue_is(
        costs in proptest::collection::vec(0..1_u128 << 60, 0..6),
        price in prop_oneof![0..50_u128, 1..1_u128 << 66],
        cuts in proptest::collection::vec(any::<u32>(), 0..8),
    ) {
        let costs: Vec<(u128, u128)> = (1..).zip(costs).collect();
        let event = event(1, 1, &costs);
        let cost = amount(costs.iter().map(|(_, cost)| cost).sum());
        let rated = Rated { event, version: 1, price: amount(price), cost };
        let mut rollup = Rollup::new();
        rollup.count(&rated, USD).unwrap();
        let counter = |of| Counter { of, asset: USD, window: Period::Total.window(Timestamp::EPOCH) };
        let mut ends: Vec<u128> = cuts.iter().map(|cut| price / (u128::from(u32::MAX) + 1) * u128::from(*cut)).collect();
        ends.push(price);
        ends.sort_unstable();
        let mut before = 0;
        for end in ends {
            let back = GivenBack { before: amount(before), amount: amount(end - before), at: Timestamp::EPOCH };
            rollup.count_back(&rated, USD, &back).unwrap();
            before = end;
            let vendors: Vec<Tally> = costs.iter().map(|(n, _)| rollup.tally(&counter(Of::Vendor(vendor(*n))))).collect();
            prop_assert!(vendors.iter().all(|tally| tally.refunded <= tally.revenue));
            let refunded: u128 = vendors.iter().map(|tally| tally.refunded.base()).sum();
            prop_assert_eq!(refunded, if costs.is_empty() { 0 } else { end });
            prop_assert_eq!(rollup.tally(&counter(Of::Product(ProductId::from_u128(1)))).refunded, amount(end));
        }
        for (n, _) in &costs {
            let tally = rollup.tally(&counter(Of::Vendor(vendor(*n))));
            prop_assert_eq!(tally.refunded, tally.revenue);
        }
        let more = GivenBack { before: amount(before), amount: amount(1), at: Timestamp::EPOCH };
        prop_assert!(rollup.count_back(&rated, USD, &more).is_err());
    }
}
