#![allow(clippy::unwrap_used, reason = "tests")]

//! Rules as tables, and a world in which anything may be lost, late or told twice, and the process may end at any step.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

const HOUR: u64 = 3_600_000;
const BACK_OFF: BackOff = BackOff { first_ms: HOUR, longest_ms: 6 * HOUR, most: 4 };

fn amount(base: u128) -> Amount {
    Amount::from_base(base)
}

fn at(ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(ms)
}

fn group(n: u128) -> GroupId {
    GroupId::from_u128(n << 8)
}

fn rule(threshold: u128, size: Size, cap: u128) -> TopUpRule {
    TopUpRule::new(amount(threshold), size, amount(cap), BACK_OFF).unwrap()
}

fn net(available: i128) -> Net {
    let base = amount(available.unsigned_abs());
    if available < 0 { Net::Minus(base) } else { Net::Plus(base) }
}

fn look(available: i128, n: u128) -> Event {
    Event::Balance { available: net(available), as_of: 1, new: group(n) }
}

#[test]
fn one_attempt_closes_the_gap_within_the_cap() {
    let (steps, target) = (|n| Size::Steps(amount(n)), |n| Size::Target(amount(n)));
    // threshold, size, cap, available -> what is charged
    let cases = [
        (100, steps(50), 1_000, 100, 0),
        (100, steps(50), 1_000, 99, 50),
        (100, steps(50), 1_000, 49, 100),
        (100, steps(50), 1_000, -1, 150),
        (100, steps(50), 120, -1, 100),
        (100, target(300), 1_000, 100, 0),
        (100, target(300), 1_000, 99, 201),
        (100, target(300), 1_000, -50, 350),
        (100, target(300), 200, 99, 200),
    ];
    for (threshold, size, cap, available, expected) in cases {
        let mut topup = TopUp::new(rule(threshold, size, cap));
        let actions = topup.handle(look(available, 1), at(0));
        let charged = match actions[..] {
            [] => 0,
            [Action::Charge(attempt)] => attempt.amount.base(),
            _ => panic!("{actions:?}"),
        };
        assert_eq!(charged, expected, "{threshold} {size:?} {cap} {available}");
    }
}

#[test]
fn a_source_is_charged_whole_units() {
    // size, cap, available -> what is charged of a source that takes tens
    let cases = [
        (Size::Target(amount(300)), 1_000, 94, 210),
        (Size::Target(amount(300)), 1_000, 90, 210),
        (Size::Target(amount(300)), 200, 95, 200),
        (Size::Steps(amount(50)), 1_000, 49, 100),
    ];
    for (size, cap, available, expected) in cases {
        let rule = rule(100, size, cap).in_units_of(amount(10)).unwrap();
        let actions = TopUp::new(rule).handle(look(available, 1), at(0));
        assert!(matches!(actions[..], [Action::Charge(it)] if it.amount.base() == expected), "{actions:?}");
    }
    for (size, cap, unit) in [
        (Size::Target(amount(305)), 1_000, 10),
        (Size::Steps(amount(55)), 1_000, 10),
        (Size::Steps(amount(50)), 105, 10),
        (Size::Steps(amount(50)), 100, 0),
    ] {
        let error = rule(100, size, cap).in_units_of(amount(unit)).unwrap_err();
        assert_eq!(error.code(), "topup_bad_unit", "{size:?} {cap} {unit}");
    }
}

#[test]
fn what_is_written_is_read_and_checked() {
    let rule = rule(100, Size::Target(amount(300)), 1_000).in_units_of(amount(10)).unwrap();
    let mut topup = TopUp::new(rule);
    let mut states = vec![topup];
    for event in [
        look(0, 1),
        Event::Declined(group(1), Decline::Soft),
        look(0, 2),
        Event::Charged(group(2)),
        Event::Credited { id: group(2), as_of: 9 },
        look(0, 3),
        Event::Declined(group(3), Decline::Hard),
    ] {
        let _ = topup.handle(event, at(7 * HOUR));
        states.push(topup);
    }
    for topup in states {
        let json = serde_json::to_string(&topup).unwrap();
        assert_eq!(serde_json::from_str::<TopUp>(&json).unwrap(), topup, "{json}");
    }
    let json = serde_json::to_string(&TopUp::new(rule)).unwrap();
    for (from, to) in [("\"1000\"", "\"0\""), ("\"10\"", "\"7\""), ("idle", "busy")] {
        assert!(json.contains(from), "{json}");
        assert!(serde_json::from_str::<TopUp>(&json.replace(from, to)).is_err(), "{from} {to}");
    }
}

#[test]
fn rules_are_refused_in_one_order() {
    let none = BackOff { first_ms: 0, ..BACK_OFF };
    let cases = [
        (Size::Steps(amount(0)), 0, none, "topup_bad_size"),
        (Size::Target(amount(99)), 0, none, "topup_bad_size"),
        (Size::Steps(amount(50)), 49, none, "topup_bad_cap"),
        (Size::Target(amount(100)), 0, none, "topup_bad_cap"),
        (Size::Steps(amount(50)), 50, none, "topup_bad_back_off"),
        (Size::Steps(amount(50)), 50, BackOff { most: 0, ..BACK_OFF }, "topup_bad_back_off"),
        (Size::Steps(amount(50)), 50, BACK_OFF, "a rule"),
    ];
    for (size, cap, back_off, expected) in cases {
        let got = TopUpRule::new(amount(100), size, amount(cap), back_off);
        assert_eq!(got.map_or_else(|e| e.code(), |_| "a rule"), expected, "{size:?} {cap}");
    }
}

#[test]
fn declines_back_off_longer_each_time_and_then_pause() {
    let mut topup = TopUp::new(rule(100, Size::Steps(amount(100)), 1_000));
    let (mut now, mut waits) = (0, Vec::new());
    for n in 1..=4 {
        assert_eq!(topup.handle(look(0, n), at(now)).len(), 1, "attempt {n}");
        let told = topup.handle(Event::Declined(group(n), Decline::Soft), at(now));
        if let State::BackingOff { until } = topup.state() {
            assert!(told.is_empty() && topup.handle(look(0, 99), at(until.unix_ms() - 1)).is_empty());
            waits.push((until.unix_ms() - now) / HOUR);
            now = until.unix_ms();
        } else {
            assert_eq!(told, [Action::Tell(Notice::Paused(Decline::Soft))]);
        }
    }
    assert_eq!((waits, topup.state()), (vec![1, 2, 4], State::Paused));
    assert!(topup.handle(look(0, 5), at(now)).is_empty());
    assert!(topup.handle(Event::Resumed, at(now)).is_empty());
    assert_eq!(topup.handle(look(0, 5), at(now)).len(), 1, "declined attempts do not count under the cap");
    let told = topup.handle(Event::Declined(group(5), Decline::Hard), at(now));
    assert_eq!((told, topup.state()), (vec![Action::Tell(Notice::Paused(Decline::Hard))], State::Paused));
}

#[test]
fn the_cap_is_told_once_a_day_and_ends_with_it() {
    let mut topup = TopUp::new(rule(100, Size::Steps(amount(100)), 100));
    let charge = |topup: &mut TopUp, n, now| {
        let started = topup.handle(look(0, n), at(now));
        let _ = topup.handle(Event::Charged(group(n)), at(now));
        let _ = topup.handle(Event::Credited { id: group(n), as_of: 1 }, at(now));
        started
    };
    assert_eq!(charge(&mut topup, 1, 0).len(), 1);
    assert_eq!(topup.handle(look(0, 2), at(1)), [Action::Tell(Notice::CapReached)]);
    assert!(topup.handle(look(0, 2), at(24 * HOUR - 1)).is_empty());
    assert!(matches!(charge(&mut topup, 2, 24 * HOUR)[..], [Action::Charge(_)]));
    assert_eq!(topup.handle(look(0, 3), at(24 * HOUR)), [Action::Tell(Notice::CapReached)]);
}

#[test]
fn a_balance_from_before_the_credit_starts_nothing() {
    let mut topup = TopUp::new(rule(100, Size::Steps(amount(100)), 1_000));
    let _ = topup.handle(look(0, 1), at(0));
    let _ = topup.handle(Event::Charged(group(1)), at(0));
    let _ = topup.handle(Event::Credited { id: group(1), as_of: 7 }, at(0));
    let read = |as_of| Event::Balance { available: net(0), as_of, new: group(2) };
    assert!(topup.handle(read(6), at(0)).is_empty());
    assert_eq!(topup.handle(read(7), at(0)).len(), 1);
}

/// What the source made of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Charged,
    Declined(Decline),
}

#[derive(Debug)]
struct World {
    row: TopUp,
    actions: Vec<Action>,
    balance: i128,
    seq: u64,
    now: u64,
    ids: u128,
    source: BTreeMap<GroupId, (Amount, Fate)>,
    credits: BTreeMap<GroupId, Amount>,
    on_the_way: Vec<Attempt>,
    began: BTreeMap<GroupId, (u64, Amount)>,
    old: Vec<Event>,
    paused_with: Option<BTreeSet<GroupId>>,
}

#[derive(Debug, Clone, Copy)]
enum Op {
    Spend(i128),
    Look,
    Act(Luck),
    Crash,
    /// The process ends after it decided and before the row is written.
    LookAndCrash,
    Again(usize),
    Arrive(usize, Luck),
    Wait(u64),
    Resume,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Luck {
    Fine,
    AnswerLost,
    RequestLost,
    RequestLate,
    Soft,
    Hard,
    /// Done, and the process ends before anything is written about it.
    DoneAndCrash,
}

const CAP: u128 = 500;
const THRESHOLD: i128 = 100;

impl World {
    fn new(size: Size) -> Self {
        Self {
            row: TopUp::new(rule(THRESHOLD.unsigned_abs(), size, CAP)),
            actions: Vec::new(),
            balance: 150,
            seq: 1,
            now: 1_700_000_000_000,
            ids: 0,
            source: BTreeMap::new(),
            credits: BTreeMap::new(),
            on_the_way: Vec::new(),
            began: BTreeMap::new(),
            old: Vec::new(),
            paused_with: None,
        }
    }

    fn event(&mut self, event: Event) {
        self.old.push(event);
        let actions = self.row.handle(event, at(self.now));
        if let (State::Charging(attempt), true) = (self.row.state(), matches!(event, Event::Balance { .. })) {
            self.began.entry(attempt.id).or_insert((self.now / (24 * HOUR), attempt.amount));
        }
        self.actions.extend(actions);
    }

    fn read(&mut self) -> Event {
        self.ids += 1;
        Event::Balance { available: net(self.balance), as_of: self.seq, new: group(self.ids) }
    }

    fn crash(&mut self) {
        self.actions.clear();
        self.event(Event::Recovered);
    }

    /// The source decides once a name.
    fn ask(&mut self, attempt: Attempt, luck: Luck) -> Fate {
        let fate = match luck {
            Luck::Soft => Fate::Declined(Decline::Soft),
            Luck::Hard => Fate::Declined(Decline::Hard),
            _ => Fate::Charged,
        };
        let (amount, fate) = *self.source.entry(attempt.id).or_insert((attempt.amount, fate));
        assert_eq!(amount, attempt.amount, "one name, two amounts");
        fate
    }

    fn answer(&mut self, id: GroupId, fate: Fate) {
        self.event(match fate {
            Fate::Charged => Event::Charged(id),
            Fate::Declined(decline) => Event::Declined(id, decline),
        });
    }

    fn act(&mut self, luck: Luck) {
        if self.actions.is_empty() {
            return;
        }
        match (self.actions.remove(0), luck) {
            (Action::Charge(attempt), Luck::RequestLost) => self.event(Event::Unknown(attempt.id)),
            (Action::Charge(attempt), Luck::RequestLate) => {
                self.on_the_way.push(attempt);
                self.event(Event::Unknown(attempt.id));
            }
            (Action::Charge(attempt), Luck::AnswerLost) => {
                self.ask(attempt, luck);
                self.event(Event::Unknown(attempt.id));
            }
            (Action::Charge(attempt), Luck::DoneAndCrash) => {
                self.ask(attempt, luck);
                self.crash();
            }
            (Action::Charge(attempt), _) => {
                let fate = self.ask(attempt, luck);
                self.answer(attempt.id, fate);
            }
            (Action::Reconcile(attempt), Luck::AnswerLost | Luck::RequestLost | Luck::RequestLate) => {
                self.event(Event::Unknown(attempt.id));
            }
            (Action::Reconcile(_), Luck::DoneAndCrash) => self.crash(),
            (Action::Reconcile(attempt), _) => match self.source.get(&attempt.id).copied() {
                Some((_, fate)) => self.answer(attempt.id, fate),
                None => self.event(Event::NotFound(attempt.id)),
            },
            (Action::Credit(_), Luck::RequestLost | Luck::RequestLate) => self.crash(),
            (Action::Credit(attempt), luck) => {
                // The ledger: the same name again changes nothing.
                if self.credits.insert(attempt.id, attempt.amount).is_none() {
                    self.balance += i128::try_from(attempt.amount.base()).unwrap();
                    self.seq += 1;
                }
                if matches!(luck, Luck::AnswerLost | Luck::DoneAndCrash) {
                    self.crash();
                } else {
                    self.event(Event::Credited { id: attempt.id, as_of: self.seq });
                }
            }
            (Action::Tell(_), _) => {}
        }
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::Spend(base) => {
                self.balance -= base;
                self.seq += 1;
            }
            Op::Look => {
                let event = self.read();
                self.event(event);
            }
            Op::Act(luck) => self.act(luck),
            Op::Crash => self.crash(),
            Op::LookAndCrash => {
                let (event, mut lost) = (self.read(), self.row);
                self.old.push(event);
                let _ = lost.handle(event, at(self.now));
                self.crash();
            }
            Op::Again(n) => {
                if let Some(event) = self.old.get(n % self.old.len().max(1)).copied()
                    && event != Event::Resumed
                {
                    // An attempt's name is used once, also by a balance that is told twice.
                    let used = matches!(event, Event::Balance { new, .. } if self.began.contains_key(&new));
                    if !used {
                        self.event(event);
                    }
                }
            }
            Op::Arrive(n, luck) => {
                if !self.on_the_way.is_empty() {
                    let attempt = self.on_the_way.remove(n % self.on_the_way.len());
                    self.ask(attempt, luck);
                }
            }
            Op::Wait(hours) => self.now += hours * HOUR,
            Op::Resume => self.event(Event::Resumed),
        }
        self.audit();
    }

    fn audit(&mut self) {
        let current = match self.row.state() {
            State::Charging(attempt) | State::Crediting(attempt) => Some(attempt.id),
            _ => None,
        };
        for (id, (amount, fate)) in &self.source {
            let open = *fate == Fate::Charged && !self.credits.contains_key(id);
            assert!(!open || current == Some(*id), "charged, not credited, and forgotten: {id:?}");
            assert!(self.credits.get(id).is_none_or(|credit| credit == amount && *fate == Fate::Charged));
        }
        assert!(self.credits.keys().all(|id| self.source.contains_key(id)), "credited and never charged");
        for attempt in self.on_the_way.iter().filter(|attempt| current != Some(attempt.id)) {
            assert!(self.source.contains_key(&attempt.id), "given up while it may still be charged");
        }
        let mut days: BTreeMap<u64, u128> = BTreeMap::new();
        for (id, (day, amount)) in &self.began {
            if self.source.get(id).is_some_and(|(_, fate)| *fate == Fate::Charged) {
                *days.entry(*day).or_default() += amount.base();
            }
        }
        assert!(days.values().all(|sum| *sum <= CAP), "over the cap: {days:?}");
        let asked: BTreeSet<GroupId> = self.source.keys().copied().collect();
        if let Some(before) = &self.paused_with {
            assert!(self.row.state() != State::Paused || *before == asked, "charged while paused");
        }
        self.paused_with = (self.row.state() == State::Paused).then_some(asked);
    }

    /// From here on everything works.
    fn finish(&mut self) {
        self.crash();
        for _ in 0..20 {
            while !self.actions.is_empty() {
                self.step(Op::Act(Luck::Fine));
            }
            self.step(Op::Look);
        }
        let day = self.now / (24 * HOUR);
        let attempted =
            self.began.values().filter(|(began, _)| *began == day).map(|(_, a)| a.base()).sum::<u128>();
        let excused =
            matches!(self.row.state(), State::Paused | State::BackingOff { .. }) || attempted + 100 > CAP;
        assert!(self.balance >= THRESHOLD || excused, "{self:?}");
        assert!(!matches!(self.row.state(), State::Charging(_) | State::Crediting(_)), "{self:?}");
        let charged = self.source.iter().filter(|(_, (_, fate))| *fate == Fate::Charged);
        assert!(charged.map(|(id, _)| id).eq(self.credits.keys()), "every charge is a credit");
    }
}

fn op() -> impl Strategy<Value = Op> {
    let luck = || {
        prop_oneof![
            4 => Just(Luck::Fine),
            1 => Just(Luck::AnswerLost),
            1 => Just(Luck::RequestLost),
            1 => Just(Luck::RequestLate),
            1 => Just(Luck::Soft),
            1 => Just(Luck::Hard),
            1 => Just(Luck::DoneAndCrash),
        ]
    };
    prop_oneof![
        3 => (0..120_i128).prop_map(Op::Spend),
        3 => Just(Op::Look),
        6 => luck().prop_map(Op::Act),
        1 => Just(Op::Crash),
        1 => Just(Op::LookAndCrash),
        2 => any::<usize>().prop_map(Op::Again),
        1 => (any::<usize>(), luck()).prop_map(|(n, luck)| Op::Arrive(n, luck)),
        1 => (1..20_u64).prop_map(Op::Wait),
        1 => Just(Op::Resume),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_024, ..ProptestConfig::default() })]

    #[test]
    fn crashes_and_lost_answers_never_charge_twice_nor_lose_a_charge(
        ops in proptest::collection::vec(op(), 1..120),
        target in any::<bool>(),
    ) {
        let mut world = World::new(if target { Size::Target(amount(200)) } else { Size::Steps(amount(60)) });
        for op in ops {
            world.step(op);
        }
        world.finish();
    }
}
