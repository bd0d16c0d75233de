#![allow(clippy::unwrap_used, reason = "tests")]

//! Trees of budgets on the ledger's own engine, and a model that keeps a list of spends and adds it up each time.

mod model;
mod order;

use farthing_ledger::journal::Entry;
use farthing_ledger::{
    AccountId, AssetId, Command, Decision, Engine, Expiry, Hold, Known, Limit, NewAccount, NewAsset, Outcome,
    Remainder, Step, Tag, Timestamp, Transfer,
};
use farthing_money::{Amount, Asset, AssetKind};

use super::*;
use crate::id::{BudgetId, CounterpartyId, GroupId, SubjectId};
use crate::{Chart, Period, Reason};

const CHART: Chart =
    Chart { money: AssetId::from_u32(1), allowance: AssetId::from_u32(2), seats: AssetId::from_u32(3) };
const BANK: AccountId = AccountId::from_u128(1);
const WALLET: AccountId = AccountId::from_u128(2);
const VENDOR: AccountId = AccountId::from_u128(3);
const GIFT: AccountId = AccountId::from_u128(4);
const ROOT: Root = Root { wallet: WALLET, chart: CHART };
const NOON: u64 = 1_709_208_000_000;

fn amount(base: u128) -> Amount {
    Amount::from_base(base)
}

fn id(n: u128) -> BudgetId {
    BudgetId::from_u128(n)
}

fn group(n: u128) -> GroupId {
    GroupId::from_u128(n << 8)
}

/// A ledger with one wallet.
struct World {
    engine: Engine,
    entries: Vec<Entry>,
    now: u64,
    groups: u128,
}

impl World {
    fn with(money: u128) -> Self {
        let mut world = Self {
            engine: Engine::new(1, 0, Timestamp::EPOCH),
            entries: Vec::new(),
            now: NOON,
            groups: 1_000,
        };
        let usd = Asset::new("USD", 2, AssetKind::Fiat).unwrap();
        let open = |id, limit| Command::OpenAccount(NewAccount { id, asset: CHART.money, limit });
        let mut steps = vec![Command::DefineAsset(NewAsset { id: CHART.money, asset: usd.clone() })];
        steps.extend(CHART.define(&usd).unwrap());
        steps.extend([open(BANK, Limit::None), open(VENDOR, Limit::None)]);
        steps.extend([WALLET, GIFT].map(|id| open(id, Limit::DebitsMustNotExceedCredits)));
        let mut steps: Vec<Step> = steps.into_iter().map(Step::single).collect();
        steps.extend(ROOT.open());
        world.apply(&steps);
        world.fund(WALLET, money);
        world
    }

    fn fund(&mut self, account: AccountId, money: u128) {
        let transfer = Transfer {
            id: self.group().leg(0),
            debit: BANK,
            credit: account,
            asset: CHART.money,
            amount: amount(money),
            code: Reason::Deposit.code(),
            tag: Tag::default(),
        };
        if money > 0 {
            assert_eq!(self.apply(&[Step::single(Command::Transfer(transfer))]), [Outcome::Applied]);
        }
    }

    fn group(&mut self) -> GroupId {
        self.groups += 1;
        group(self.groups)
    }

    fn apply(&mut self, steps: &[Step]) -> Vec<Outcome> {
        let mut decision = Decision::default();
        self.engine.decide(Timestamp::from_unix_ms(self.now), steps, &mut decision);
        self.engine.commit();
        self.entries.extend(decision.entries);
        decision.outcomes
    }

    fn run(&mut self, plan: Result<Plan, BudgetRejection>) -> Result<(), BudgetRejection> {
        let plan = plan?;
        let outcomes = self.apply(&plan.batch());
        plan.read(&outcomes)
    }

    fn code(&mut self, plan: Result<Plan, BudgetRejection>) -> &'static str {
        self.run(plan).map_or_else(|rejection| rejection.code(), |()| "applied")
    }

    fn create(&mut self, parent: &Path, budget: &Budget) -> Path {
        let group = self.group();
        assert_eq!(self.code(parent.create(group, budget)), "applied", "{budget:?}");
        let budgets = std::iter::once(budget).chain(parent.budgets()).cloned().collect();
        Path::new(ROOT, budgets).unwrap()
    }

    fn wish(&mut self, base: u128) -> Spend {
        Spend {
            group: self.group(),
            to: VENDOR,
            amount: amount(base),
            counterparty: CounterpartyId::from_u128(1),
            subject: SubjectId::from_u128(47),
            now: Timestamp::from_unix_ms(self.now),
            expiry: Expiry::At(Timestamp::from_unix_ms(self.now + 60_000)),
        }
    }

    fn spend(&mut self, path: &Path, base: u128) -> &'static str {
        let wish = self.wish(base);
        self.code(path.spend(&wish))
    }

    fn placed(&self, spend: GroupId) -> Placed {
        Placed::read(&self.legs(spend)).unwrap()
    }

    fn legs(&self, spend: GroupId) -> Vec<Hold> {
        let hold = |n| match self.engine.known(spend.leg(n)) {
            Some(Known::Hold(hold)) => Some(*hold),
            _ => None,
        };
        (0..=u8::MAX).map_while(hold).collect()
    }

    fn available(&self, account: AccountId) -> u128 {
        self.engine.account(account).map_or(0, |a| a.balances().available.or_zero().base())
    }

    fn balances(&self, budget: &Budget) -> (u128, u128, u128, u128) {
        let account = |id| self.engine.account(id).unwrap();
        let BudgetBalances { spent, held, carved, available } = BudgetBalances::of(
            budget,
            account(budget.id.total_account()),
            account(budget.id.carved_account()),
        )
        .unwrap();
        (spent.base(), held.base(), carved.base(), available.base())
    }
}

fn shared(n: u128, parent: Option<u128>, total: Option<u128>) -> Budget {
    Budget {
        funding: Funding::Shared { total: total.map(amount) },
        children: Children { most: 8, levels: 8 - u8::try_from(n % 8).unwrap() },
        ..Budget::shared(id(n), parent.map(id))
    }
}

fn carved(n: u128, parent: Option<u128>, base: u128) -> Budget {
    Budget { funding: Funding::Carved { amount: amount(base) }, ..shared(n, parent, None) }
}

fn capture(group: GroupId, base: u128, remainder: Remainder) -> Capture {
    Capture { group, amount: amount(base), remainder, receipt: 0xcafe }
}

#[test]
fn a_spend_counts_on_every_ancestor_and_says_who_spent() {
    let mut world = World::with(1_000);
    let agent = shared(1, None, Some(500));
    let task = shared(2, Some(1), Some(300));
    let above = world.create(&Path::wallet(ROOT), &agent);
    let path = world.create(&above, &task);
    let wish = world.wish(120);
    assert_eq!(world.code(path.spend(&wish)), "applied");
    assert_eq!(world.balances(&task), (0, 120, 0, 180));
    assert_eq!(world.balances(&agent), (0, 120, 0, 380));
    assert_eq!(world.available(WALLET), 880);

    let placed = world.placed(wish.group);
    assert_eq!((placed.by(), placed.left()), (Some(id(2)), amount(120)));
    let steps = placed.capture(&capture(group(7), 100, Remainder::Release)).unwrap();
    assert!(world.apply(&steps).iter().all(|outcome| *outcome == Outcome::Applied));
    assert!(world.apply(&steps).iter().all(|outcome| *outcome == Outcome::Exists), "a retry tells the same");
    assert_eq!(world.balances(&task), (100, 0, 0, 200));
    assert_eq!(world.balances(&agent), (100, 0, 0, 400));
    assert_eq!(world.available(WALLET), 900);

    let holds: Vec<_> = world.entries.iter().filter_map(held).collect();
    let spent: Vec<_> = world.entries.iter().filter_map(|entry| posted(entry, &holds[0])).collect();
    let who = Attribution {
        spend: wish.group,
        by: Some(id(2)),
        subject: SubjectId::from_u128(47),
        amount: amount(100),
    };
    assert_eq!((holds.len(), spent), (1, vec![who]));
    assert_eq!(path.ids(), [id(2), id(1)]);

    let refund = Refund { group: group(8), from: VENDOR, amount: amount(30), reference: 1 };
    assert_eq!(world.code(path.refund(&refund)), "applied");
    assert_eq!(world.balances(&task), (70, 0, 0, 230));
    assert_eq!((world.balances(&agent).0, world.available(WALLET)), (70, 930));
}

#[test]
fn carved_money_is_nobody_elses_and_comes_back() {
    let mut world = World::with(100);
    let agent = shared(1, None, Some(80));
    let own = carved(2, Some(1), 60);
    let above = world.create(&Path::wallet(ROOT), &agent);
    let path = world.create(&above, &own);
    assert_eq!(world.balances(&agent), (0, 0, 60, 20));
    assert_eq!((world.available(WALLET), world.available(id(2).envelope())), (40, 60));
    // The parent may spend 20 more, the wallet 40; the child's 60 are there whatever they do.
    assert_eq!(world.spend(&above, 21), "budget_total_exceeded");
    assert_eq!(world.spend(&above, 20), "applied");
    assert_eq!(world.spend(&Path::wallet(ROOT), 21), "insufficient_funds");
    assert_eq!(world.spend(&Path::wallet(ROOT), 20), "applied");
    let wish = world.wish(60);
    assert_eq!(world.code(path.spend(&wish)), "applied");
    assert_eq!(world.spend(&path, 1), "budget_total_exceeded");
    assert_eq!(world.code(path.close(group(20))), "budget_has_holds");
    assert_eq!(world.code(above.close(group(21))), "budget_has_children");
    let steps = world.placed(wish.group).capture(&capture(group(22), 45, Remainder::Release)).unwrap();
    world.apply(&steps);
    // What it has left goes back, to the money and to the total that gave it up.
    assert_eq!(world.code(path.close(group(23))), "applied");
    assert_eq!(world.spend(&path, 1), "budget_closed", "the ledger refuses what a stale definition allows");
    assert_eq!(world.code(path.reclaim(group(24), amount(16))), "insufficient_funds");
    assert_eq!(world.code(path.reclaim(group(24), amount(15))), "applied");
    assert_eq!((world.available(WALLET), world.balances(&agent)), (15, (0, 20, 45, 15)));
    let late = Refund { group: group(25), from: VENDOR, amount: amount(5), reference: 0 };
    let closed = Budget { state: BudgetState::Closed, ..own };
    let path = Path::new(ROOT, vec![closed, agent.clone()]).unwrap();
    assert_eq!(world.code(path.refund(&late)), "applied", "a late refund finds the envelope");
    assert_eq!(world.code(path.reclaim(group(26), amount(5))), "applied");
    assert_eq!((world.available(WALLET), world.balances(&agent).2), (20, 40));
}

#[test]
fn money_is_drawn_from_grants_and_captured_in_their_order() {
    let mut world = World::with(100);
    world.fund(GIFT, 30);
    let budget = shared(1, None, Some(90));
    let path = world.create(&Path::wallet(ROOT), &budget);
    let draws = |gift, paid| {
        [Draw { account: GIFT, amount: amount(gift) }, Draw { account: WALLET, amount: amount(paid) }]
    };
    let wish = world.wish(50);
    assert_eq!(world.code(path.spend_drawn(&wish, &draws(30, 19))), "spend_draw_mismatch");
    assert_eq!(world.code(path.spend_drawn(&wish, &draws(30, 20))), "applied");
    let first = world.placed(wish.group).capture(&capture(group(7), 10, Remainder::Keep)).unwrap();
    world.apply(&first);
    assert_eq!(
        (world.available(GIFT), world.available(WALLET), world.placed(wish.group).left()),
        (0, 80, amount(40))
    );
    let over = world.placed(wish.group).capture(&capture(group(8), 41, Remainder::Release));
    assert_eq!(over.unwrap_err().code(), "exceeds_spend");
    let last = world.placed(wish.group).capture(&capture(group(8), 25, Remainder::Release)).unwrap();
    assert!(world.apply(&last).iter().all(|outcome| *outcome == Outcome::Applied));
    // 35 in all: the gift's 30 first, then 5 of what was paid.
    assert_eq!(
        (world.available(GIFT), world.available(WALLET), world.balances(&budget)),
        (0, 95, (35, 0, 0, 55))
    );
    assert!(Placed::read(&world.legs(wish.group)).is_err(), "it is finished");
    let voided = world.wish(40);
    world.code(path.spend(&voided));
    let steps = world.placed(voided.group).void(group(9), 0);
    assert!(world.apply(&steps).iter().all(|outcome| *outcome == Outcome::Applied));
    assert_eq!((world.available(WALLET), world.balances(&budget)), (95, (35, 0, 0, 55)));
}

#[test]
fn windows_follow_the_calendar_and_counterparties_stand_apart() {
    let mut world = World::with(10_000);
    let rates = vec![
        Rate { period: Period::Hour, scope: Scope::Everybody, most: amount(50) },
        Rate { period: Period::Day, scope: Scope::EachCounterparty, most: amount(60) },
    ];
    let budget = Budget { rates, ..shared(1, None, None) };
    let path = world.create(&Path::wallet(ROOT), &budget);
    assert_eq!(world.spend(&path, 50), "applied");
    assert_eq!(world.spend(&path, 1), "budget_period_exceeded");
    world.now += 3_600_000 - 1;
    assert_eq!(world.spend(&path, 1), "budget_period_exceeded", "the last millisecond of the hour");
    world.now += 1;
    assert_eq!(world.spend(&path, 11), "budget_counterparty_exceeded");
    assert_eq!(world.spend(&path, 10), "applied");
    let mut other = world.wish(40);
    other.counterparty = CounterpartyId::from_u128(2);
    assert_eq!(world.code(path.spend(&other)), "applied");
    world.now += 24 * 3_600_000;
    assert_eq!(world.spend(&path, 50), "applied", "a new day");
    // Raised for the hour that runs; the definition decides about the next.
    let change = RateChange {
        group: group(30),
        from: budget.rates[0],
        most: amount(70),
        counterparty: None,
        now: Timestamp::from_unix_ms(world.now),
    };
    assert_eq!(world.code(path.amend_rate(&change)), "applied");
    let mut other = world.wish(20);
    other.counterparty = CounterpartyId::from_u128(2);
    assert_eq!(world.code(path.spend(&other)), "applied");
    assert_eq!(world.spend(&path, 1), "budget_period_exceeded");
    let lower = RateChange {
        group: group(31),
        from: Rate { most: amount(70), ..budget.rates[0] },
        most: amount(69),
        ..change
    };
    let raised = Budget { rates: vec![lower.from], ..budget };
    let path = Path::new(ROOT, vec![raised]).unwrap();
    assert_eq!(world.code(path.amend_rate(&lower)), "budget_period_exceeded", "it is spent already");
}

/// Every process plans from what it knew before any of them asked.
#[test]
fn a_thousand_plans_of_one_moment_take_exactly_what_is_there() {
    let cases: [(u128, Option<u128>, usize); 3] =
        [(400, None, 400), (10_000, Some(400), 400), (7, Some(3), 3)];
    for (money, total, succeed) in cases {
        let mut world = World::with(money);
        let path = world.create(&Path::wallet(ROOT), &shared(1, None, total));
        let plans: Vec<Plan> = (0..1_000).map(|_| path.spend(&world.wish(1)).unwrap()).collect();
        let placed = plans.iter().filter(|plan| plan.read(&world.apply(&plan.batch())).is_ok()).count();
        assert_eq!(placed, succeed, "{money} {total:?}");
    }
}

#[test]
fn children_created_at_the_same_moment_take_exactly_the_seats() {
    let mut world = World::with(100);
    let parent = Budget { children: Children { most: 3, levels: 1 }, ..shared(1, None, None) };
    let path = world.create(&Path::wallet(ROOT), &parent);
    let child = |n| Budget::shared(id(n), Some(id(1)));
    let codes: Vec<_> = (10..15).map(|n| world.code(path.create(group(n), &child(n)))).collect();
    assert_eq!(codes[..3], ["applied"; 3]);
    assert_eq!(codes[3..], ["budget_children_exceeded"; 2]);
    assert_eq!(world.code(path.create(group(10), &child(10))), "applied", "the same again");
    let below = Path::new(ROOT, vec![child(11), parent]).unwrap();
    assert_eq!(world.code(below.close(group(40))), "applied");
    assert_eq!(world.code(path.create(group(41), &child(20))), "applied", "the seat came back");
}
