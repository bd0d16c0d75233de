#![allow(clippy::unwrap_used, reason = "tests")]

use farthing_ledger::{AccountId, AssetId};
use proptest::prelude::*;

use super::*;
use crate::Chart;
use crate::budget::{Budget, Root};

const CHART: Chart =
    Chart { money: AssetId::from_u32(1), allowance: AssetId::from_u32(2), seats: AssetId::from_u32(3) };

fn at(ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(ms)
}

/// Budget `n` of a chain 4 > 3 > 2 > 1.
fn path(n: u128) -> Path {
    let id = BudgetId::from_u128;
    let budgets = (1..=n).rev().map(|n| Budget::shared(id(n), (n > 1).then(|| id(n - 1)))).collect();
    Path::new(Root { wallet: AccountId::from_u128(1), chart: CHART }, budgets).unwrap()
}

fn who(n: u128) -> CounterpartyId {
    CounterpartyId::from_u128(n)
}

fn allows(budget: u128) -> Attenuation {
    Attenuation {
        budget: BudgetId::from_u128(budget),
        expires: at(100),
        actions: [Action::Spend, Action::CreateChildren].into(),
        per_call: None,
        counterparties: Counterparties::Anybody,
    }
}

fn chain(allows: Vec<Attenuation>) -> Chain {
    let many = u128::try_from(allows.len()).unwrap();
    let ids = (1..=many).rev();
    let make = |(n, allows): (u128, Attenuation)| Delegation {
        id: DelegationId::from_u128(n),
        parent: (n > 1).then(|| DelegationId::from_u128(n - 1)),
        allows,
        state: DelegationState::Live,
    };
    Chain::new(ids.zip(allows).map(make).collect()).unwrap()
}

fn spend(amount: u128) -> Wish {
    Wish::Spend { amount: Amount::from_base(amount), counterparty: who(1) }
}

#[test]
fn wishes_are_refused_in_one_order() {
    let mut broken = chain(vec![allows(2), allows(2)]).0;
    let presented = &mut broken[0];
    presented.state = DelegationState::Revoked;
    presented.allows = Attenuation {
        budget: BudgetId::from_u128(3),
        expires: at(50),
        actions: [Action::CreateChildren].into(),
        per_call: Some(Amount::from_base(4)),
        counterparties: Counterparties::Only([who(2)].into()),
    };
    type Row = (&'static str, fn(&mut Delegation));
    let rows: &[Row] = &[
        ("delegation_revoked", |d| d.state = DelegationState::Live),
        ("delegation_expired", |d| d.allows.expires = at(51)),
        ("delegation_outside_budget", |d| d.allows.budget = BudgetId::from_u128(2)),
        ("delegation_action_denied", |d| d.allows.actions = [Action::Spend].into()),
        ("delegation_counterparty_denied", |d| d.allows.counterparties = Counterparties::Anybody),
        ("delegation_per_call_exceeded", |d| d.allows.per_call = Some(Amount::from_base(5))),
        ("allowed", |_| {}),
    ];
    // The rule is broken by the token that is presented, then by the one from which it was made.
    let healthy = allows(2);
    for above in [false, true] {
        let mut broken = broken.clone();
        for (expected, mend) in rows {
            let mut links = broken.clone();
            if above {
                links[1] = Delegation { parent: None, id: links[1].id, ..links[0].clone() };
                links[0].allows = healthy.clone();
                links[0].state = DelegationState::Live;
            }
            let got = Chain::new(links).unwrap().authorise(&path(2), &spend(5), at(50));
            assert_eq!(got.map_or_else(|r| r.code(), |()| "allowed"), *expected, "above: {above}");
            mend(&mut broken[0]);
        }
    }
}

#[test]
fn a_chain_has_to_follow() {
    let links = chain(vec![allows(1), allows(1), allows(1)]).0;
    for broken in [vec![], vec![links[0].clone()], vec![links[0].clone(), links[2].clone()]] {
        assert_eq!(Chain::new(broken).unwrap_err(), DelegationRejection::ChainBroken);
    }
}

#[test]
fn what_is_broader_is_refused_when_it_is_made() {
    let from = Attenuation {
        per_call: Some(Amount::from_base(10)),
        counterparties: Counterparties::Only([who(1), who(2)].into()),
        ..allows(1)
    };
    let made = |allows: Attenuation, target: u128| {
        let narrowed =
            chain(vec![from.clone()]).narrow((DelegationId::from_u128(9), allows), &path(target), at(1));
        narrowed.map_or_else(|r| r.code(), |_| "made")
    };
    let same = Attenuation { budget: BudgetId::from_u128(2), ..from.clone() };
    assert_eq!(made(same.clone(), 2), "made");
    assert_eq!(made(same.clone(), 3), "delegation_broader", "it is for another budget");
    assert_eq!(made(Attenuation { expires: at(101), ..same.clone() }, 2), "delegation_broader");
    assert_eq!(made(Attenuation { per_call: None, ..same.clone() }, 2), "delegation_broader");
    let anybody = Attenuation { counterparties: Counterparties::Anybody, ..same.clone() };
    assert_eq!(made(anybody, 2), "delegation_broader");
    let spender = Attenuation { actions: [Action::Spend].into(), ..from.clone() };
    let narrowed = chain(vec![spender]).narrow((DelegationId::from_u128(9), same), &path(2), at(1));
    assert_eq!(narrowed.unwrap_err().code(), "delegation_action_denied", "only who may create may delegate");
}

fn attenuation() -> impl Strategy<Value = Attenuation> {
    let actions =
        proptest::collection::btree_set(prop_oneof![Just(Action::Spend), Just(Action::CreateChildren)], 0..3);
    let some = proptest::collection::btree_set((1..4_u128).prop_map(who), 0..4);
    let counterparties = prop_oneof![Just(Counterparties::Anybody), some.prop_map(Counterparties::Only)];
    (1..5_u128, 1..9_u64, actions, proptest::option::of(1..9_u128), counterparties).prop_map(
        |(budget, expires, actions, per_call, counterparties)| Attenuation {
            budget: BudgetId::from_u128(budget),
            expires: at(expires),
            actions,
            per_call: per_call.map(Amount::from_base),
            counterparties,
        },
    )
}

proptest! {
    /// Whatever is put in front of a chain, it allows nothing that the chain did not allow.
    #[test]
    fn a_longer_chain_never_allows_more(
        links in proptest::collection::vec(attenuation(), 2..5),
        target in 0..5_u128,
        cost in 1..9_u128,
        now in 0..9_u64,
        create in any::<bool>(),
    ) {
        let wish = if create { Wish::CreateChild } else { spend(cost) };
        let long = chain(links.clone()).authorise(&path(target), &wish, at(now));
        let short = chain(links[1..].to_vec()).authorise(&path(target), &wish, at(now));
        prop_assert!(long.is_err() || short.is_ok());
        // And it allows what every link allows by itself: nothing else is looked at.
        let each = links.iter().all(|l| chain(vec![l.clone()]).authorise(&path(target), &wish, at(now)).is_ok());
        prop_assert_eq!(long.is_ok(), each);
    }
}
