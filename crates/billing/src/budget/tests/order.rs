//! Each row breaks every rule from its own on; mending it brings up the next.

use super::*;

type Row<T> = (&'static str, fn(&mut T));

#[test]
fn spends_are_refused_in_the_order_of_the_table() {
    struct Broken {
        spend: Spend,
        agent: Budget,
        task: Budget,
        money: u128,
    }
    let rows: &[Row<Broken>] = &[
        ("budget_path_broken", |b| b.task.parent = Some(id(1))),
        ("budget_closed", |b| b.agent.state = BudgetState::Open),
        ("spend_zero", |b| b.spend.amount = amount(50)),
        ("budget_counterparty_not_allowed", |b| b.agent.counterparties = Counterparties::Anybody),
        ("budget_per_call_exceeded", |b| b.agent.per_call = None),
        ("expiry_not_in_future", |b| b.spend.expiry = Expiry::Never),
        ("budget_total_exceeded", |b| b.task.funding = Funding::Shared { total: None }),
        ("budget_period_exceeded", |b| b.task.rates[0].most = amount(50)),
        ("budget_counterparty_exceeded", |b| b.task.rates.truncate(1)),
        ("budget_total_exceeded", |b| b.agent.funding = Funding::Shared { total: None }),
        ("insufficient_funds", |b| b.money = 50),
        ("applied", |_| {}),
    ];
    let rate = |scope| Rate { period: Period::Day, scope, most: amount(3) };
    let nobody = Counterparties::Only([CounterpartyId::from_u128(9)].into());
    let mut broken = Broken {
        spend: World::with(0).wish(0),
        agent: Budget { counterparties: nobody, per_call: Some(amount(2)), ..shared(1, None, Some(4)) },
        task: Budget {
            rates: vec![rate(Scope::Everybody), rate(Scope::EachCounterparty)],
            ..shared(2, None, Some(5))
        },
        money: 2,
    };
    broken.spend.expiry = Expiry::At(Timestamp::EPOCH);
    broken.spend.group = group(5);
    broken.agent.state = BudgetState::Closed;
    for (expected, mend) in rows {
        let mut world = World::with(broken.money);
        // Created as they are meant, asked as they are broken.
        let open = Budget { state: BudgetState::Open, ..broken.agent.clone() };
        let above = world.create(&Path::wallet(ROOT), &open);
        world.create(&above, &Budget { parent: Some(id(1)), ..broken.task.clone() });
        let before = world.available(WALLET);
        let plan = Path::new(ROOT, vec![broken.task.clone(), broken.agent.clone()])
            .and_then(|path| path.spend(&broken.spend));
        assert_eq!(world.code(plan), *expected);
        assert_eq!(world.available(WALLET) == before, *expected != "applied", "{expected}");
        mend(&mut broken);
    }
}

#[test]
fn budgets_are_refused_in_the_order_of_the_table() {
    struct Broken {
        parent: Budget,
        new: Budget,
        money: u128,
    }
    let rows: &[Row<Broken>] = &[
        ("budget_closed", |b| b.parent.state = BudgetState::Open),
        ("budget_id_reserved", |b| b.new.id = id(2)),
        ("budget_wrong_parent", |b| b.new.parent = Some(id(1))),
        ("budget_levels_exceeded", |b| b.new.children.levels = 0),
        ("budget_limit_zero", |b| b.new.per_call = Some(NO_LIMIT)),
        ("budget_limit_too_large", |b| b.new.per_call = None),
        ("budget_too_many_limits", |b| b.new.rates.truncate(2)),
        ("budget_limit_twice", |b| b.new.rates.truncate(1)),
        ("budget_children_exceeded", |b| b.parent.children.most = 1),
        ("budget_total_exceeded", |b| b.parent.funding = Funding::Shared { total: Some(amount(9)) }),
        ("insufficient_funds", |b| b.money = 9),
        ("applied", |_| {}),
    ];
    let rate = Rate { period: Period::Day, scope: Scope::Everybody, most: amount(3) };
    let mut broken = Broken {
        parent: Budget {
            children: Children { most: 0, levels: 1 },
            state: BudgetState::Closed,
            ..shared(1, None, Some(4))
        },
        new: Budget {
            id: id(0),
            per_call: Some(Amount::ZERO),
            rates: vec![rate; MAX_RATES + 1],
            children: Children { most: 0, levels: 1 },
            ..carved(0, None, 9)
        },
        money: 2,
    };
    for (expected, mend) in rows {
        let mut world = World::with(broken.money);
        let open = Budget { state: BudgetState::Open, ..broken.parent.clone() };
        world.create(&Path::wallet(ROOT), &open);
        let path = Path::new(ROOT, vec![broken.parent.clone()]).unwrap();
        assert_eq!(world.code(path.create(group(9), &broken.new)), *expected);
        assert_eq!(world.available(WALLET) == broken.money, *expected != "applied", "{expected}");
        mend(&mut broken);
    }
}

#[test]
fn a_tree_ends_somewhere() {
    let chain = |depth: usize| -> Vec<Budget> {
        let levels = u128::try_from(depth).unwrap();
        let budget = |n: u128| Budget {
            children: Children { most: 1, levels: u8::try_from(40 - n).unwrap() },
            ..Budget::shared(id(n), (n > 1).then(|| id(n - 1)))
        };
        (1..=levels).rev().map(budget).collect()
    };
    let path = Path::new(ROOT, chain(MAX_DEPTH)).unwrap();
    let deepest = Budget::shared(id(99), Some(id(16)));
    assert_eq!(path.create(group(1), &deepest).unwrap_err().code(), "budget_tree_too_deep");
    assert_eq!(Path::new(ROOT, chain(MAX_DEPTH + 1)).unwrap_err().code(), "budget_tree_too_deep");
}

/// The deepest path with the most limits and the most draws still has room in one group.
#[test]
fn the_largest_spend_fits_a_group() {
    let rate = |n: usize| Rate {
        period: [Period::Hour, Period::Day, Period::Month, Period::Total][n / 2],
        scope: [Scope::Everybody, Scope::EachCounterparty][n % 2],
        most: amount(1_000),
    };
    let budget = |n: u128| Budget {
        rates: (0..MAX_RATES).map(rate).collect(),
        children: Children { most: 1, levels: u8::try_from(40 - n).unwrap() },
        ..Budget::shared(id(n), (n > 1).then(|| id(n - 1)))
    };
    let mut world = World::with(0);
    let mut path = Path::wallet(ROOT);
    for n in 1..=16 {
        path = world.create(&path, &budget(n));
    }
    let mut draws = Vec::new();
    for n in 0..MAX_DRAWS {
        let account = AccountId::from_u128(1_000 + u128::try_from(n).unwrap());
        let open = NewAccount { id: account, asset: CHART.money, limit: Limit::DebitsMustNotExceedCredits };
        world.apply(&[Step::single(Command::OpenAccount(open))]);
        world.fund(account, 1);
        draws.push(Draw { account, amount: amount(1) });
    }
    let wish = world.wish(64);
    assert_eq!(world.code(path.spend_drawn(&wish, &draws)), "applied");
    assert_eq!(world.legs(wish.group).len(), 16 * 9 + MAX_DRAWS);
    let steps = world.placed(wish.group).capture(&capture(group(5), 64, Remainder::Release)).unwrap();
    assert!(world.apply(&steps).iter().all(|outcome| *outcome == Outcome::Applied));
}
