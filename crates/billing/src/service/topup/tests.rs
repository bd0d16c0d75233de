#![allow(clippy::unwrap_used, reason = "tests")]

//! Drivers that come late, die between any two steps and repeat themselves, over a source that loses questions and answers.

use std::collections::BTreeMap;

use farthing_money::Amount;

use super::run::{Ask, Next, RuleName};
use super::*;
use crate::service::testing::{Scene, amount};
use crate::service::wallet::{Adjust, Direction};

const HOUR: u64 = 3_600_000;

fn card() -> Source {
    Source::Card { customer: "cus_1".to_owned(), payment_method: "pm_1".to_owned() }
}

fn new_rule(size: Size, cap: u128) -> NewTopUpRule {
    let back_off = BackOff { first_ms: HOUR, longest_ms: 6 * HOUR, most: 4 };
    NewTopUpRule { threshold: amount(5_000_000), size, cap_per_day: amount(cap), back_off, source: card() }
}

async fn scene(size: Size, cap: u128) -> (Scene, RuleName) {
    let scene = Scene::new().await;
    let of = (scene.customer, "USD");
    scene.billing.put_topup_rule(&scene.cx(), of, &new_rule(size, cap)).await.unwrap();
    let rule = RuleName { tenant: scene.tenant, customer: scene.customer, asset: "USD".to_owned() };
    (scene, rule)
}

async fn next(scene: &Scene, rule: &RuleName) -> Next {
    scene.billing.topup_next(&scene.cx(), rule).await.unwrap()
}

async fn told(scene: &Scene, ask: &Ask, outcome: Outcome) -> Next {
    scene.billing.topup_told(&scene.cx(), (&ask.rule, &ask.attempt.id), &outcome).await.unwrap()
}

fn charged() -> Outcome {
    Outcome::Charged { reference: "pi_1".to_owned() }
}

fn declined(class: Decline) -> Outcome {
    Outcome::Declined { class, code: "insufficient_funds".to_owned(), message: String::new() }
}

fn ask(next: Next) -> Ask {
    match next {
        Next::Charge(ask) | Next::Lookup(ask) => *ask,
        other => panic!("{other:?}"),
    }
}

async fn attempts(scene: &Scene) -> Vec<Attempt> {
    scene.billing.list_topups(&scene.cx(), (scene.customer, "USD"), &PageQuery::default()).await.unwrap().data
}

#[tokio::test]
async fn a_charge_is_a_credit_and_is_told() {
    let (scene, rule) = scene(Size::Target(amount(20_000_000)), 100_000_000).await;
    let first = ask(next(&scene, &rule).await);
    assert_eq!((first.attempt.amount, &first.attempt.source), (amount(20_000_000), &card()));
    assert!(matches!(next(&scene, &rule).await, Next::At(_)), "one attempt at a time");
    assert_eq!(told(&scene, &first, charged()).await, Next::Nothing);
    assert_eq!(told(&scene, &first, charged()).await, Next::Nothing, "old news");
    assert_eq!(scene.available("USD").await, 20_000_000);
    assert_eq!(next(&scene, &rule).await, Next::Nothing);
    let attempt = attempts(&scene).await.remove(0);
    assert_eq!((attempt.state, attempt.reference.as_deref()), (AttemptState::Succeeded, Some("pi_1")));
    assert_eq!(scene.events("topup").await, ["topup.succeeded"]);
    let rule = scene.billing.topup_rule(&scene.cx(), (scene.customer, "USD")).await.unwrap();
    assert_eq!((rule.state, rule.attempt), (RuleState::Active, None));
}

#[tokio::test]
async fn declines_back_off_pause_and_are_resumed_by_a_person() {
    let (scene, rule) = scene(Size::Steps(amount(10_000_000)), 100_000_000).await;
    let of = (scene.customer, "USD");
    let soft = ask(next(&scene, &rule).await);
    let Next::At(until) = told(&scene, &soft, declined(Decline::Soft)).await else { panic!("it backs off") };
    assert_eq!(next(&scene, &rule).await, Next::At(until));
    scene.pass(HOUR);
    let hard = ask(next(&scene, &rule).await);
    assert_eq!(told(&scene, &hard, declined(Decline::Hard)).await, Next::Nothing);
    scene.pass(100 * HOUR);
    assert_eq!(next(&scene, &rule).await, Next::Nothing);
    let view = scene.billing.topup_rule(&scene.cx(), of).await.unwrap();
    assert_eq!(view.state, RuleState::Paused);
    assert_eq!(view.paused_because.unwrap().class, kept::DeclineClass::Hard);
    assert_eq!(scene.events("topup").await, ["topup.declined", "topup.declined", "topup.paused"]);
    let view = scene.billing.resume_topup_rule(&scene.cx(), of).await.unwrap();
    assert_eq!((view.state, view.paused_because), (RuleState::Active, None));
    assert!(matches!(next(&scene, &rule).await, Next::Charge(_)));
}

#[tokio::test]
async fn a_person_pauses_and_what_is_under_way_ends() {
    let (scene, rule) = scene(Size::Steps(amount(10_000_000)), 100_000_000).await;
    let of = (scene.customer, "USD");
    let first = ask(next(&scene, &rule).await);
    let error = scene.billing.delete_topup_rule(&scene.cx(), of).await.unwrap_err();
    assert_eq!(error.code(), "wrong_state");
    let view = scene.billing.pause_topup_rule(&scene.cx(), of).await.unwrap();
    assert_eq!(view.state, RuleState::Charging);
    told(&scene, &first, charged()).await;
    assert_eq!(scene.available("USD").await, 10_000_000);
    let adjust = Adjust {
        direction: Direction::Debit,
        amount: amount(9_000_000),
        reason: "r".into(),
        reference: None,
    };
    scene.billing.adjust(&scene.cx(), of, &adjust).await.unwrap();
    assert_eq!(next(&scene, &rule).await, Next::Nothing, "paused");
    scene.billing.delete_topup_rule(&scene.cx(), of).await.unwrap();
    assert_eq!(scene.billing.topup_rule(&scene.cx(), of).await.unwrap_err().code(), "not_found");
    assert_eq!(attempts(&scene).await.len(), 1, "attempts stay");
}

#[tokio::test]
async fn the_cap_is_told_once_and_raised_by_a_new_rule() {
    let (scene, rule) = scene(Size::Steps(amount(2_000_000)), 2_000_000).await;
    let first = ask(next(&scene, &rule).await);
    told(&scene, &first, charged()).await;
    assert_eq!(next(&scene, &rule).await, Next::Nothing);
    assert_eq!(next(&scene, &rule).await, Next::Nothing);
    assert_eq!(scene.events("topup").await, ["topup.succeeded", "topup.cap_reached"]);
    let more = new_rule(Size::Steps(amount(2_000_000)), 4_000_000);
    scene.billing.put_topup_rule(&scene.cx(), (scene.customer, "USD"), &more).await.unwrap();
    assert_eq!(ask(next(&scene, &rule).await).attempt.amount, amount(2_000_000), "what was attempted stays");
}

#[tokio::test]
async fn rules_that_no_source_can_pay_are_refused() {
    let scene = Scene::new().await;
    let size = Size::Steps(amount(1_000_000));
    let put = async |asset: &str, source: Source, size: Size| {
        let new = NewTopUpRule { source, size, ..new_rule(size, 10_000_000) };
        let put = scene.billing.put_topup_rule(&scene.cx(), (scene.customer, asset), &new).await;
        put.map_or_else(|error| error.code().to_owned(), |_| "ok".to_owned())
    };
    let cases = [
        ("USD", card(), size, "ok"),
        ("USDC", Source::Chain, size, "ok"),
        ("USD", Source::Chain, size, "invalid_field"),
        ("USDC", card(), size, "invalid_field"),
        ("UNITS", card(), size, "invalid_field"),
        ("EUR", card(), size, "not_found"),
        // Half a cent.
        ("USD", card(), Size::Steps(amount(1_005_000)), "topup_bad_unit"),
        ("USD", Source::Card { customer: String::new(), payment_method: "pm".into() }, size, "invalid_field"),
    ];
    for (asset, source, size, expected) in cases {
        assert_eq!(put(asset, source.clone(), size).await, expected, "{asset} {source:?} {size:?}");
    }
    let (rules, next) = scene.billing.topup_rules(None, 10).await.unwrap();
    assert_eq!((rules.len(), next), (2, None));
    assert_eq!(rules[0].asset, "USD");
}

/// A small generator: the seed is the test's name of a run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// A source that decides once a name, and loses questions and answers.
#[derive(Default)]
struct Lossy {
    made: BTreeMap<String, (Amount, Option<Decline>)>,
}

impl Lossy {
    fn charge(&mut self, ask: &Ask, dice: &mut Dice) -> Outcome {
        if dice.roll(5) == 0 {
            return Outcome::Unknown { why: "the question was lost".to_owned() };
        }
        let fate = match dice.roll(10) {
            0 => Some(Decline::Hard),
            1 | 2 => Some(Decline::Soft),
            _ => None,
        };
        let (amount, fate) = *self.made.entry(ask.attempt.id.clone()).or_insert((ask.attempt.amount, fate));
        assert_eq!(amount, ask.attempt.amount, "one name, two amounts");
        if dice.roll(5) == 0 {
            return Outcome::Unknown { why: "the answer was lost".to_owned() };
        }
        fate.map_or_else(charged, declined)
    }

    fn lookup(&self, ask: &Ask, dice: &mut Dice) -> Outcome {
        if dice.roll(4) == 0 {
            return Outcome::Unknown { why: "the answer was lost".to_owned() };
        }
        match self.made.get(&ask.attempt.id) {
            Some((_, fate)) => fate.map_or_else(charged, declined),
            None => Outcome::NotFound,
        }
    }
}

/// One driver does what is to be done, and may end before and after every step.
async fn drive(scene: &Scene, rule: &RuleName, source: &mut Lossy, dice: &mut Dice) {
    let mut next = next(scene, rule).await;
    for _ in 0..4 {
        if dice.roll(6) == 0 {
            return;
        }
        let (ask, outcome) = match next {
            Next::Nothing | Next::At(_) => return,
            Next::Charge(ask) => {
                let outcome = source.charge(&ask, dice);
                // A second process that is told the same by mistake: harmless, because of the name.
                if dice.roll(8) == 0 {
                    source.charge(&ask, dice);
                }
                (ask, outcome)
            }
            Next::Lookup(ask) => {
                let outcome = source.lookup(&ask, dice);
                (ask, outcome)
            }
        };
        if dice.roll(6) == 0 {
            return;
        }
        next = told(scene, &ask, outcome).await;
    }
}

#[tokio::test]
async fn whatever_is_lost_every_charge_is_one_credit_and_the_cap_holds() {
    const CAP: u128 = 60_000_000;
    for seed in 1..=60_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let size =
            if seed % 2 == 0 { Size::Target(amount(20_000_000)) } else { Size::Steps(amount(10_000_000)) };
        let (scene, rule) = scene(size, CAP).await;
        let of = (scene.customer, "USD");
        let (mut source, mut spent) = (Lossy::default(), 0);
        for _ in 0..120 {
            match dice.roll(8) {
                0 => {
                    let amount = amount(u128::from(dice.roll(6_000_000)) + 1);
                    let reason = "spent".to_owned();
                    let adjust = Adjust { direction: Direction::Debit, amount, reason, reference: None };
                    let fits = scene.billing.adjust(&scene.cx(), of, &adjust).await.is_ok();
                    spent += if fits { amount.base() } else { 0 };
                }
                1 => scene.pass(dice.roll(4 * HOUR)),
                2 => {
                    scene.billing.resume_topup_rule(&scene.cx(), of).await.unwrap();
                }
                _ => drive(&scene, &rule, &mut source, &mut dice).await,
            }
        }
        // From here on everything works.
        for _ in 0..50 {
            scene.pass(2 * HOUR);
            let (outcome, ask) = match next(&scene, &rule).await {
                Next::Lookup(ask) => (source.lookup(&ask, &mut Dice(0)), ask),
                Next::Charge(ask) => {
                    source.made.entry(ask.attempt.id.clone()).or_insert((ask.attempt.amount, None));
                    (charged(), ask)
                }
                Next::Nothing | Next::At(_) => continue,
            };
            // `Dice(0)` always loses: the world is asked itself.
            let outcome = match (&outcome, source.made.get(&ask.attempt.id)) {
                (Outcome::Unknown { .. }, Some((_, fate))) => fate.map_or_else(charged, declined),
                (Outcome::Unknown { .. }, None) => Outcome::NotFound,
                _ => outcome,
            };
            told(&scene, &ask, outcome).await;
        }
        let taken: Vec<_> = source.made.iter().filter(|(_, (_, fate))| fate.is_none()).collect();
        let sum: u128 = taken.iter().map(|(_, (amount, _))| amount.base()).sum();
        assert_eq!(scene.available("USD").await, i128::try_from(sum - spent).unwrap(), "seed {seed}");
        let page = PageQuery { limit: 900, ..PageQuery::default() };
        let all = scene.billing.list_topups(&scene.cx(), of, &page).await.unwrap().data;
        let succeeded = all.iter().filter(|attempt| attempt.state == AttemptState::Succeeded).count();
        assert_eq!(succeeded, taken.len(), "seed {seed}: every charge is an attempt that succeeded");
        let mut days: BTreeMap<u64, u128> = BTreeMap::new();
        for attempt in all.iter().filter(|attempt| attempt.state == AttemptState::Succeeded) {
            *days.entry(attempt.created_ms / 86_400_000).or_default() += attempt.amount.base();
        }
        assert!(days.values().all(|sum| *sum <= CAP), "seed {seed}: over the cap: {days:?}");
    }
}
