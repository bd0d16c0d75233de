//! Random trees and spends against a list that is added up each time.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A spend as the model remembers it: by whom, to whom, when, and what of it counts.
#[derive(Debug, Clone)]
struct Spent {
    path: Vec<BudgetId>,
    counterparty: u128,
    at: u64,
    counts: u128,
    group: GroupId,
}

#[derive(Debug, Default)]
struct Model {
    budgets: BTreeMap<BudgetId, Budget>,
    spent: Vec<Spent>,
    money: u128,
}

impl Model {
    fn path(&self, of: Option<BudgetId>) -> Vec<Budget> {
        let mut path = Vec::new();
        let mut at = of;
        while let Some(budget) = at.map(|id| self.budgets[&id].clone()) {
            at = budget.parent;
            path.push(budget);
        }
        path
    }

    /// The budgets whose totals pay for a spend by the first of `path`.
    fn payers(path: &[Budget]) -> Vec<BudgetId> {
        let mut payers = Vec::new();
        for budget in path {
            payers.push(budget.id);
            if matches!(budget.funding, Funding::Carved { .. }) {
                break;
            }
        }
        payers
    }

    fn carved(of: &Budget) -> Option<u128> {
        if let Funding::Carved { amount } = of.funding { Some(amount.base()) } else { None }
    }

    /// What left the total of `budget`: spends that it pays for, and carvings that it paid for.
    fn used(&self, budget: BudgetId) -> u128 {
        let pays = |path: &[Budget]| Self::payers(path).contains(&budget);
        let spent = self.spent.iter().filter(|s| pays(&self.path(s.path.first().copied()))).map(|s| s.counts);
        let carved = self.budgets.values().filter(|b| pays(&self.path(b.parent))).filter_map(Self::carved);
        spent.sum::<u128>() + carved.sum::<u128>()
    }

    /// The money of the wallet, or of a carved budget, that is left.
    fn left(&self, whose: Option<BudgetId>) -> u128 {
        let owner = |path: &[Budget]| path.iter().find(|b| Self::carved(b).is_some()).map(|b| b.id);
        let had = whose.map_or(self.money, |id| Self::carved(&self.budgets[&id]).unwrap());
        let spent = self.spent.iter().filter(|s| owner(&self.path(s.path.first().copied())) == whose);
        let carved = self.budgets.values().filter(|b| owner(&self.path(b.parent)) == whose);
        had - spent.map(|s| s.counts).sum::<u128>() - carved.filter_map(Self::carved).sum::<u128>()
    }

    fn judge(&self, by: Option<BudgetId>, cost: u128, counterparty: u128, now: u64) -> &'static str {
        let path = self.path(by);
        if path.iter().any(|b| b.per_call.is_some_and(|most| cost > most.base())) {
            return "budget_per_call_exceeded";
        }
        let payers = Self::payers(&path);
        for budget in &path {
            let total = match budget.funding {
                Funding::Carved { amount } => Some(amount),
                Funding::Shared { total } => total,
            };
            if payers.contains(&budget.id) && total.is_some_and(|t| self.used(budget.id) + cost > t.base()) {
                return "budget_total_exceeded";
            }
            for rate in &budget.rates {
                let day = 86_400_000;
                let same_time = |at: u64| rate.period != Period::Day || at / day == now / day;
                let each = rate.scope == Scope::EachCounterparty;
                let counted = self.spent.iter().filter(|s| {
                    s.path.contains(&budget.id)
                        && same_time(s.at)
                        && (!each || s.counterparty == counterparty)
                });
                if counted.map(|s| s.counts).sum::<u128>() + cost > rate.most.base() {
                    return if each { "budget_counterparty_exceeded" } else { "budget_period_exceeded" };
                }
            }
        }
        let owner = path.iter().find(|b| Self::carved(b).is_some()).map(|b| b.id);
        if cost > self.left(owner) { "insufficient_funds" } else { "applied" }
    }
}

#[derive(Debug, Clone)]
enum Op {
    Create {
        under: usize,
        funding: Option<u128>,
        is_carved: bool,
        rate: Option<(bool, bool, u128)>,
        per_call: Option<u128>,
    },
    Spend {
        by: usize,
        cost: u128,
        to: u128,
    },
    Capture {
        which: usize,
        part: u128,
        keep: bool,
    },
    Void {
        which: usize,
    },
    Wait {
        hours: u64,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let rate = proptest::option::of((any::<bool>(), any::<bool>(), 1..80_u128));
    let create = (0..8_usize, proptest::option::of(1..120_u128), any::<bool>(), rate)
        .prop_flat_map(|parts| (Just(parts), proptest::option::of(20..60_u128)))
        .prop_map(|((under, funding, is_carved, rate), per_call)| Op::Create {
            under,
            funding,
            is_carved,
            rate,
            per_call,
        });
    prop_oneof![
        2 => create,
        6 => (0..9_usize, 1..50_u128, 1..3_u128).prop_map(|(by, cost, to)| Op::Spend { by, cost, to }),
        3 => (0..20_usize, 0..60_u128, any::<bool>()).prop_map(|(which, part, keep)| Op::Capture { which, part, keep }),
        1 => (0..20_usize).prop_map(|which| Op::Void { which }),
        1 => (1..14_u64).prop_map(|hours| Op::Wait { hours }),
    ]
}

/// The nth budget, counting the wallet as the last.
fn pick(model: &Model, n: usize) -> Option<BudgetId> {
    let ids: Vec<_> = model.budgets.keys().copied().collect();
    ids.get(n % (ids.len() + 1)).copied()
}

fn create(world: &mut World, model: &mut Model, op: &Op) {
    let Op::Create { under, funding, is_carved, rate, per_call } = op else { return };
    let parent = pick(model, *under);
    let path = model.path(parent);
    let n = u128::try_from(model.budgets.len()).unwrap() + 1;
    let levels = path.first().map_or(6, |p| p.children.levels.saturating_sub(1));
    let funding = match (funding, is_carved) {
        (Some(base), true) => Funding::Carved { amount: amount(*base) },
        (total, _) => Funding::Shared { total: total.map(amount) },
    };
    let budget = Budget {
        funding,
        per_call: per_call.map(amount),
        rates: Vec::from_iter(rate.map(|(day, each, most)| Rate {
            period: if day { Period::Day } else { Period::Total },
            scope: if each { Scope::EachCounterparty } else { Scope::Everybody },
            most: amount(most),
        })),
        children: Children { most: 3, levels },
        ..Budget::shared(id(n), parent)
    };
    let children = model.budgets.values().filter(|b| parent.is_some() && b.parent == parent).count();
    let short = Model::carved(&budget).is_some_and(|carve| {
        let over = |payer: &BudgetId| {
            self_total(&model.budgets[payer]).is_some_and(|t| model.used(*payer) + carve > t)
        };
        Model::payers(&path).iter().any(over)
    });
    let owner = path.iter().find(|b| Model::carved(b).is_some()).map(|b| b.id);
    let expected = if path.first().is_some_and(|p| p.children.levels == 0) {
        "budget_levels_exceeded"
    } else if children == 3 {
        "budget_children_exceeded"
    } else if short {
        "budget_total_exceeded"
    } else if Model::carved(&budget).is_some_and(|carve| carve > model.left(owner)) {
        "insufficient_funds"
    } else {
        "applied"
    };
    let group = world.group();
    let got = world.code(Path::new(ROOT, path).unwrap().create(group, &budget));
    assert_eq!(got, expected, "{budget:?}");
    if got == "applied" {
        model.budgets.insert(budget.id, budget);
    }
}

fn self_total(budget: &Budget) -> Option<u128> {
    match budget.funding {
        Funding::Carved { amount } => Some(amount.base()),
        Funding::Shared { total } => total.map(Amount::base),
    }
}

fn step(world: &mut World, model: &mut Model, op: &Op) {
    let open = |model: &Model, which: usize| {
        let open: Vec<usize> = (0..model.spent.len())
            .filter(|n| Placed::read(&world.legs(model.spent[*n].group)).is_ok())
            .collect();
        open.get(which % open.len().max(1)).copied()
    };
    match *op {
        Op::Create { .. } => create(world, model, op),
        Op::Spend { by, cost, to } => {
            let by = pick(model, by);
            let budgets = model.path(by);
            let path: Vec<BudgetId> = budgets.iter().map(|b| b.id).collect();
            let mut wish = world.wish(cost);
            wish.counterparty = CounterpartyId::from_u128(to);
            wish.expiry = Expiry::Never;
            let expected = model.judge(by, cost, to, world.now);
            let got = world.code(Path::new(ROOT, budgets).unwrap().spend(&wish));
            assert_eq!(got, expected, "{op:?} by {by:?}");
            if got == "applied" {
                let (group, at) = (wish.group, world.now);
                model.spent.push(Spent { path, counterparty: to, at, counts: cost, group });
            }
        }
        Op::Capture { which, part, keep } => {
            let Some(n) = open(model, which) else { return };
            let placed = world.placed(model.spent[n].group);
            let left = placed.left().base();
            let part = part.min(left);
            let remainder = if keep { Remainder::Keep } else { Remainder::Release };
            let group = world.group();
            let steps = placed.capture(&capture(group, part, remainder)).unwrap();
            assert!(world.apply(&steps).iter().all(|outcome| *outcome == Outcome::Applied));
            model.spent[n].counts -= if keep { 0 } else { left - part };
        }
        Op::Void { which } => {
            let Some(n) = open(model, which) else { return };
            let placed = world.placed(model.spent[n].group);
            let group = world.group();
            let steps = placed.void(group, 0);
            assert!(world.apply(&steps).iter().all(|outcome| *outcome == Outcome::Applied));
            model.spent[n].counts -= placed.left().base();
        }
        Op::Wait { hours } => world.now += hours * 3_600_000,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn trees_do_what_a_list_of_spends_says(money in 0..400_u128, ops in proptest::collection::vec(op(), 1..80)) {
        let mut world = World::with(money);
        let mut model = Model { money, ..Model::default() };
        for op in &ops {
            step(&mut world, &mut model, op);
        }
        // Every balance is what the list adds up to.
        prop_assert_eq!(world.available(WALLET), model.left(None));
        for budget in model.budgets.values() {
            let available = world.available(budget.id.total_account());
            prop_assert_eq!(available, budget.total().base() - model.used(budget.id), "{:?}", budget);
            let (spent, held, carved, _) = world.balances(budget);
            let below = model.budgets.values().filter(|b| Model::payers(&model.path(b.parent)).contains(&budget.id));
            prop_assert_eq!(carved, below.filter_map(Model::carved).sum::<u128>());
            prop_assert_eq!(spent + held + carved, model.used(budget.id));
            if Model::carved(budget).is_some() {
                prop_assert_eq!(world.available(budget.id.envelope()), model.left(Some(budget.id)));
            }
        }
    }
}
