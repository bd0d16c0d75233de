#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

fn at(ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(ms)
}

fn amount(base: u128) -> Amount {
    Amount::from_base(base)
}

fn grant(n: u128, purpose: Purpose) -> Grant {
    Grant::new(GrantId::from_u128(n), purpose, at(10))
}

#[test]
fn grants_are_drawn_in_the_documented_order() {
    // Each differs from the one after it by one rule.
    let in_order = [
        Grant { priority: 1, ..grant(9, Purpose::Paid) },
        Grant { expires: Some(at(50)), ..grant(8, Purpose::Paid) },
        Grant { expires: Some(at(60)), ..grant(7, Purpose::Entitlement) },
        Grant { granted_at: at(11), ..grant(6, Purpose::Entitlement) },
        Grant { granted_at: at(11), ..grant(5, Purpose::Promotional) },
        grant(4, Purpose::Paid),
        Grant { granted_at: at(12), ..grant(2, Purpose::Paid) },
        Grant { granted_at: at(12), ..grant(3, Purpose::Paid) },
        Grant { priority: 0, expires: Some(at(20)), ..grant(1, Purpose::Overdraft) },
    ];
    for shift in 0..in_order.len() {
        let mut given: Vec<Available> =
            in_order.iter().map(|grant| Available { grant: *grant, amount: amount(1) }).collect();
        given.rotate_left(shift);
        let drawn: Vec<_> =
            draw(&given, amount(9), at(10)).unwrap().iter().map(|draw| draw.account).collect();
        assert_eq!(drawn, in_order.map(|grant| grant.account));
    }
}

#[test]
fn what_has_run_out_is_not_drawn_and_its_rest_is_swept() {
    let gift = Grant { expires: Some(at(50)), ..grant(1, Purpose::Promotional) };
    let given = [Available { grant: gift, amount: amount(5) }];
    assert!(draw(&given, amount(5), at(49)).is_ok());
    let short = GrantError::InsufficientFunds { available: amount(0), required: amount(5) };
    assert_eq!(draw(&given, amount(5), at(50)), Err(short));
    let (asset, to) = (AssetId::from_u32(1), AccountId::from_u128(9));
    let sweep = |now, base| {
        gift.sweep(
            asset,
            to,
            &Sweep { group: GroupId::from_u128(1 << 8), available: amount(base), now: at(now) },
        )
    };
    assert!(sweep(49, 5).is_none() && sweep(50, 0).is_none() && sweep(50, 5).is_some());
}

#[test]
fn a_spend_draws_on_a_bounded_number_of_grants() {
    let many = u128::try_from(MAX_DRAWS).unwrap() + 1;
    let given: Vec<Available> =
        (1..=many).map(|n| Available { grant: grant(n, Purpose::Promotional), amount: amount(1) }).collect();
    assert_eq!(draw(&given, amount(many), at(10)).unwrap_err().code(), "grants_too_many");
    assert!(draw(&given, amount(many - 1), at(10)).is_ok());
}

#[test]
fn entitlements_replace_or_roll_over_by_the_calendar() {
    // 31 January 2024, noon; February has 29 days.
    let (january, february, march, april) =
        (1_706_702_400_000, 1_706_745_600_000, 1_709_251_200_000, 1_711_929_600_000);
    let of = |unused| Entitlement { id: GrantId::from_u128(1), amount: amount(10), priority: 1, unused };
    let replace = of(Unused::Replace);
    assert_eq!(replace.grant(at(january)).expires, Some(at(february)));
    assert_eq!(replace.grant(at(february)), replace.grant(at(march - 1)), "one a month");
    assert_ne!(replace.grant(at(february)).id, replace.grant(at(march)).id);
    assert_ne!(replace.grant(at(february)).account, replace.grant(at(march)).account);
    let roll = of(Unused::RollOver { months: 2 });
    assert_eq!(roll.grant(at(january)).expires, Some(at(april)));
}

fn grants() -> impl Strategy<Value = Vec<Available>> {
    let purpose = prop_oneof![
        Just(Purpose::Entitlement),
        Just(Purpose::Promotional),
        Just(Purpose::Paid),
        Just(Purpose::Overdraft)
    ];
    let one = (purpose, 0..3_u8, proptest::option::of(1..5_u64), 0..3_u64, 0..20_u128);
    proptest::collection::vec(one, 0..12).prop_map(|all| {
        (1..)
            .zip(all)
            .map(|(n, (purpose, priority, expires, granted_at, has))| {
                let grant = grant(n, purpose);
                let (expires, granted_at) = (expires.map(at), at(granted_at));
                Available { grant: Grant { priority, expires, granted_at, ..grant }, amount: amount(has) }
            })
            .collect()
    })
}

proptest! {
    /// One base unit after the other, each from the best grant that still has one.
    #[test]
    fn drawing_equals_drawing_one_unit_at_a_time(given in grants(), wish in 1..60_u128, now in 0..5_u64) {
        let mut left = given.clone();
        let mut naive: std::collections::BTreeMap<AccountId, u128> = std::collections::BTreeMap::new();
        let mut missing = false;
        for _ in 0..wish {
            let live = left.iter_mut().filter(|a| !a.amount.is_zero() && a.grant.expires.is_none_or(|e| at(now) < e));
            let best = live.min_by(|a, b| {
                let (a, b) = (a.grant, b.grant);
                let never = at(u64::MAX);
                (a.purpose == Purpose::Overdraft).cmp(&(b.purpose == Purpose::Overdraft))
                    .then(a.priority.cmp(&b.priority))
                    .then(a.expires.unwrap_or(never).cmp(&b.expires.unwrap_or(never)))
                    .then(a.purpose.cmp(&b.purpose))
                    .then(a.granted_at.cmp(&b.granted_at))
                    .then(a.id.cmp(&b.id))
            });
            let Some(best) = best else { missing = true; break };
            best.amount = amount(best.amount.base() - 1);
            *naive.entry(best.grant.account).or_default() += 1;
        }
        let got = draw(&given, amount(wish), at(now));
        prop_assert_eq!(got.is_err(), missing);
        if let Ok(draws) = got {
            let drawn: std::collections::BTreeMap<_, _> = draws.iter().map(|d| (d.account, d.amount.base())).collect();
            prop_assert_eq!(&drawn, &naive);
            // Refunds in parts bring everything back, and no more than that.
            let mut taken: Vec<Taken> = given.iter()
                .map(|a| Taken { grant: a.grant, spent: amount(*drawn.get(&a.grant.account).unwrap_or(&0)), refunded: Amount::ZERO })
                .collect();
            for part in [wish / 2, wish - wish / 2] {
                for back in refund_draws(&taken, amount(part)).unwrap() {
                    let it = taken.iter_mut().find(|t| t.grant.account == back.account).unwrap();
                    it.refunded = it.refunded.checked_add(back.amount).unwrap();
                }
            }
            prop_assert!(taken.iter().all(|t| t.spent == t.refunded));
            prop_assert_eq!(refund_draws(&taken, amount(1)).unwrap_err().code(), "refund_exceeds_spent");
        }
    }
}
