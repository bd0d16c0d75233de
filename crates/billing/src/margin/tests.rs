#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

fn amount(base: u128) -> Amount {
    Amount::from_base(base)
}

const OF: Quoted = Quoted { vendor: CounterpartyId::from_u128(1), offer: OfferId::from_u128(2) };

#[test]
fn changes_and_thin_margins_are_told_before_the_call() {
    let policy =
        |on_change, on_floor| MarginPolicy { floor: Floor { millionths: 200_000 }, on_change, on_floor };
    // policy, then cost, price -> alerts, may call
    let (tell, block) = (OnAlert::Tell, OnAlert::Block);
    type Row = (u128, Option<u128>, &'static str, bool);
    let cases: &[(MarginPolicy, &[Row])] = &[
        (
            policy(tell, tell),
            &[(8, Some(10), "", true), (9, Some(10), "change floor", true), (9, None, "", true)],
        ),
        (
            policy(tell, block),
            &[(9, Some(10), "floor", false), (9, Some(10), "floor", false), (8, Some(10), "change", true)],
        ),
        (
            policy(block, tell),
            &[
                (5, None, "", true),
                (6, None, "change", false),
                (6, None, "", false),
                (5, None, "change", true),
            ],
        ),
    ];
    for (policy, rows) in cases {
        let mut book = PriceBook::new();
        for (at, (cost, price, alerts, may_call)) in (1..).zip(*rows) {
            let question = Question {
                of: OF,
                cost: amount(*cost),
                price: price.map(amount),
                now: Timestamp::from_unix_ms(at),
            };
            let verdict = book.quote(&question, policy);
            let told: Vec<&str> = verdict
                .alerts
                .iter()
                .map(|alert| match alert {
                    Alert::PriceChanged { .. } => "change",
                    Alert::MarginUnderFloor { .. } => "floor",
                })
                .collect();
            assert_eq!((&*told.join(" "), verdict.may_call), (*alerts, *may_call), "{policy:?} row {at}");
        }
    }
}

#[test]
fn an_accepted_price_is_called_at_again() {
    let policy =
        MarginPolicy { floor: Floor { millionths: 0 }, on_change: OnAlert::Block, on_floor: OnAlert::Block };
    let mut book = PriceBook::new();
    let ask = |book: &mut PriceBook, cost, now| {
        let now = Timestamp::from_unix_ms(now);
        book.quote(&Question { of: OF, cost: amount(cost), price: None, now }, &policy).may_call
    };
    assert!(ask(&mut book, 5, 1));
    assert!(!ask(&mut book, 7, 2));
    book.accept(OF, amount(7));
    assert!(ask(&mut book, 7, 3));
    assert!(!ask(&mut book, 5, 4), "a lower price is a change too");
    let quote =
        Quote { amount: amount(5), since: Timestamp::from_unix_ms(4), seen: Timestamp::from_unix_ms(4) };
    assert_eq!(book.latest(&OF), Some(&quote));
}

proptest! {
    /// Compared by cross-multiplication where that fits.
    #[test]
    fn a_floor_is_exact(price in 0..100_000_000_000_u128, cost in 0..100_000_000_000_u128, millionths in 0..=1_000_000_u32) {
        let margin = Margin { price: amount(price), cost: amount(cost) };
        let naive = cost * 1_000_000 > price * u128::from(1_000_000 - millionths);
        prop_assert_eq!(margin.is_under(Floor { millionths }), naive);
        if price > 0 {
            prop_assert_eq!(margin.millionths().unwrap() < i64::from(millionths), naive);
        }
    }

    /// A book that was written down and read again says what the book would have said.
    #[test]
    fn a_restored_book_is_the_book(costs in proptest::collection::vec(0..3_u128, 0..12), block in any::<bool>(), accept in 0..14_usize) {
        let on_change = if block { OnAlert::Block } else { OnAlert::Tell };
        let policy = MarginPolicy { floor: Floor { millionths: 0 }, on_change, on_floor: OnAlert::Tell };
        let (mut whole, mut stored) = (PriceBook::new(), PriceBook::new());
        for (at, cost) in costs.into_iter().enumerate() {
            let question = Question { of: OF, cost: amount(cost), price: None, now: Timestamp::from_unix_ms(at as u64) };
            if at == accept {
                whole.accept(OF, amount(cost));
                stored.accept(OF, amount(cost));
            }
            prop_assert_eq!(whole.quote(&question, &policy), stored.quote(&question, &policy));
            stored = PriceBook::restore(OF, *stored.latest(&OF).unwrap(), stored.accepted(&OF).unwrap());
            prop_assert_eq!(&whole, &stored);
        }
    }
}

#[test]
fn margins_of_the_largest_amounts_do_not_overflow() {
    let margin = Margin { price: Amount::MAX, cost: Amount::MAX };
    assert!(!margin.is_under(Floor { millionths: 0 }));
    assert!(margin.is_under(Floor { millionths: 1 }));
    assert_eq!(Margin { price: amount(1), cost: amount(3) }.net(), Net::Minus(amount(2)));
}

#[test]
fn a_margin_in_millionths_is_rounded_down() {
    for (price, cost, millionths) in [
        (0, 0, None),
        (0, 5, None),
        (3, 1, Some(666_666)),
        (3, 4, Some(-333_334)),
        (10, 10, Some(0)),
        (1, u128::MAX, Some(-i64::MAX)),
        (u128::MAX, 0, Some(1_000_000)),
        (u128::MAX, u128::MAX, Some(0)),
    ] {
        assert_eq!(
            Margin { price: amount(price), cost: amount(cost) }.millionths(),
            millionths,
            "{price} {cost}"
        );
    }
}
