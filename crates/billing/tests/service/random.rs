//! Random calls of several tasks at once, and what holds afterwards whatever was asked: the books add up, the records say what the
//! ledger says, and every call told again answers what it answered and changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use farthing_billing::budget::{Children, Funding, Rate, Scope};
use farthing_billing::service::Authority::Owner;
use farthing_billing::service::budget::NewBudget;
use farthing_billing::service::grant::{GrantPurpose, NewGrant};
use farthing_billing::service::hold::{
    DrawKind, Hold, HoldFilter, HoldState, NewCapture, NewHold, NewRefund, NewVoid,
};
use farthing_billing::service::wallet::{Adjust, Chargeback, Credit, Direction, Overdraft};
use farthing_billing::service::{Cx, HoldId, PageQuery, ServiceError};
use farthing_billing::{BudgetId, GrantId, Period, Reason};
use farthing_ledger::testkit::model::Dice;
use farthing_ledger::{AccountId, HoldState as LegState, Known, Net};

use crate::world::{HOUR, World, base};

/// A call that can be told again.
#[derive(Debug, Clone)]
enum Call {
    Place(NewHold),
    Capture(HoldId, NewCapture),
    Void(HoldId),
    Refund(HoldId, NewRefund),
    Credit(Credit),
    Adjust(Adjust),
    Chargeback(Chargeback),
    Grant(NewGrant),
}

async fn tell(world: &World, cx: &Cx, call: &Call) -> Result<String, ServiceError> {
    let (b, wallet) = (&world.billing, (world.customer, "USD"));
    let json = |answer: Result<serde_json::Value, serde_json::Error>| answer.unwrap().to_string();
    Ok(json(match call {
        Call::Place(new) => serde_json::to_value(b.place_hold(cx, &Owner, new).await?),
        Call::Capture(id, capture) => serde_json::to_value(b.capture_hold(cx, &Owner, *id, capture).await?),
        Call::Void(id) => serde_json::to_value(b.void_hold(cx, &Owner, *id, &NewVoid::default()).await?),
        Call::Refund(id, refund) => serde_json::to_value(b.refund_hold(cx, *id, refund).await?),
        Call::Credit(credit) => serde_json::to_value(b.credit(cx, wallet, credit).await?),
        Call::Adjust(adjust) => serde_json::to_value(b.adjust(cx, wallet, adjust).await?),
        Call::Chargeback(chargeback) => serde_json::to_value(b.chargeback(cx, wallet, chargeback).await?),
        Call::Grant(new) => serde_json::to_value(b.create_grant(cx, wallet, new).await?),
    }))
}

struct Told {
    key: String,
    call: Call,
    answer: String,
}

fn choose(world: &World, dice: &mut Dice, budgets: &[BudgetId], holds: &[HoldId]) -> Call {
    let hold = |dice: &mut Dice| holds[usize::try_from(dice.below(holds.len() as u64)).unwrap()];
    let amount = base(u128::from(1 + dice.below(40)));
    match dice.below(if holds.is_empty() { 60 } else { 100 }) {
        0..45 => {
            let at = usize::try_from(dice.below(budgets.len() as u64 + 1)).unwrap();
            Call::Place(NewHold {
                customer: Some(world.customer),
                asset: Some("USD".to_owned()),
                budget: budgets.get(at).copied(),
                amount,
                counterparty: Some(format!("vendor {}", dice.below(3))),
                subject: dice.percent(70).then(|| format!("task {}", dice.below(4))),
                expires_ms: dice.percent(50).then(|| world.now() + 1 + dice.below(HOUR)),
                ..NewHold::default()
            })
        }
        45..52 => Call::Credit(Credit { amount, reference: None, reason: None }),
        52..55 => Call::Grant(NewGrant {
            purpose: if dice.percent(50) { GrantPurpose::Promotional } else { GrantPurpose::Paid },
            amount,
            priority: u8::try_from(dice.below(4)).unwrap() * 50,
            expires_ms: dice.percent(70).then(|| world.now() + 1 + dice.below(HOUR)),
            reason: None,
        }),
        55..58 => {
            let direction = if dice.percent(50) { Direction::Credit } else { Direction::Debit };
            Call::Adjust(Adjust { direction, amount, reason: "because".into(), reference: None })
        }
        58..60 => Call::Chargeback(Chargeback { amount, reference: "dispute".into(), reason: None }),
        60..80 => {
            let amount = dice.percent(60).then_some(amount);
            Call::Capture(hold(dice), NewCapture { amount, last: dice.percent(50), reference: None })
        }
        80..90 => Call::Void(hold(dice)),
        _ => {
            let amount = dice.percent(70).then_some(amount);
            Call::Refund(hold(dice), NewRefund { amount, ..NewRefund::default() })
        }
    }
}

async fn worker(world: Arc<World>, seed: u64, budgets: Vec<BudgetId>) -> Vec<Told> {
    let mut dice = Dice::new(seed);
    let (mut told, mut holds) = (Vec::new(), Vec::new());
    for n in 0..120 {
        world.pass(dice.below(60_000));
        if dice.percent(5) {
            world.billing.expire_due(&world.cx(), 20).await.unwrap();
            world.billing.sweep_expired(&world.cx(), 20).await.unwrap();
            continue;
        }
        if dice.percent(3) {
            let limit = base(u128::from(dice.below(3) * 20));
            let _ =
                world.billing.set_overdraft(&world.cx(), (world.customer, "USD"), Overdraft { limit }).await;
            continue;
        }
        let call = choose(&world, &mut dice, &budgets, &holds);
        let key = format!("{seed}/{n}");
        match tell(&world, &world.keyed(&key), &call).await {
            Ok(answer) => {
                if let Call::Place(_) = call {
                    holds.push(serde_json::from_str::<Hold>(&answer).unwrap().id);
                }
                told.push(Told { key, call, answer });
            }
            Err(error) => expected(&error, &call),
        }
        if dice.percent(10) {
            let wallet = world.wallet().await;
            assert!(wallet.grants.iter().all(|grant| grant.part.held <= grant.part.settled));
        }
    }
    told
}

/// What random calls may be refused for. Anything else is a defect.
fn expected(error: &ServiceError, call: &Call) {
    let codes = [
        "insufficient_funds",
        "budget_total_exceeded",
        "budget_period_exceeded",
        "budget_counterparty_exceeded",
        "wrong_state",
        "exceeds_spend",
        "refund_exceeds_spent",
        "invalid_field",
        "grants_too_many",
        "contention",
        // Another task moved the clock.
        "expiry_not_in_future",
    ];
    assert!(codes.contains(&error.code()), "{} for {call:?}: {error}", error.code());
}

async fn tree(world: &World) -> Vec<BudgetId> {
    let make = async |new: NewBudget| {
        world.billing.create_budget(&world.cx(), &Owner, &new).await.unwrap().budget.id
    };
    let children = Children { most: 5, levels: 2 };
    let rate = |period, scope, most| Rate { period, scope, most: base(most) };
    let top = NewBudget {
        customer: Some(world.customer),
        asset: Some("USD".into()),
        funding: Funding::Shared { total: Some(base(1_500)) },
        rates: vec![
            rate(Period::Hour, Scope::Everybody, 300),
            rate(Period::Day, Scope::EachCounterparty, 400),
        ],
        children,
        ..NewBudget::default()
    };
    let top = make(top).await;
    let shared = NewBudget {
        parent: Some(top),
        funding: Funding::Shared { total: Some(base(600)) },
        children: Children { most: 5, levels: 1 },
        ..NewBudget::default()
    };
    let shared = make(shared).await;
    let carved = NewBudget {
        parent: Some(top),
        funding: Funding::Carved { amount: base(400) },
        rates: vec![rate(Period::Total, Scope::Everybody, 390)],
        children: Children { most: 5, levels: 1 },
        ..NewBudget::default()
    };
    let carved = make(carved).await;
    let below = |parent| NewBudget { parent: Some(parent), ..NewBudget::default() };
    vec![top, shared, carved, make(below(shared)).await, make(below(carved)).await]
}

async fn all_holds(world: &World) -> Vec<Hold> {
    let (mut all, mut page) = (Vec::new(), PageQuery { limit: 100, ..PageQuery::default() });
    loop {
        let filter = HoldFilter::default();
        let found = world.billing.list_holds(&world.cx(), &Owner, &filter, &page).await.unwrap();
        all.extend(found.data);
        match found.next {
            Some(next) => page.after = Some(next),
            None => return all,
        }
    }
}

/// The record of every hold says what its legs say.
async fn holds_agree(world: &World, holds: &[Hold]) {
    for hold in holds {
        let mut legs: Vec<farthing_ledger::Hold> = Vec::new();
        for n in 0..=u8::MAX {
            match world.billing.store().known(hold.id.group().leg(n)).await.unwrap() {
                Some(Known::Hold(leg)) => legs.push(leg),
                None => break,
                Some(other) => panic!("{other:?} is a leg of {:?}", hold.id),
            }
        }
        let (money, limits): (Vec<&farthing_ledger::Hold>, Vec<&farthing_ledger::Hold>) =
            legs.iter().partition(|leg| leg.new.transfer.code == Reason::Spend.code());
        assert_eq!(money.len(), hold.draws.len());
        for (leg, draw) in money.iter().zip(&hold.draws) {
            assert_eq!((leg.new.transfer.amount, leg.left), (draw.amount, draw.held), "{hold:?}");
            let state = match hold.state {
                HoldState::Voided => LegState::Voided,
                HoldState::Expired => LegState::Expired,
                HoldState::Open | HoldState::Captured => LegState::Posted,
            };
            // A part that was used up by an earlier capture was posted, however the rest ended.
            let open = !draw.held.is_zero();
            assert!(if open {
                leg.state == LegState::Open
            } else {
                leg.state == state || leg.state == LegState::Posted
            });
        }
        assert!(limits.iter().all(|leg| leg.left == hold.held), "{hold:?}");
        let sum = |part: fn(&farthing_billing::service::hold::HoldDraw) -> farthing_money::Amount| {
            hold.draws.iter().map(|draw| part(draw).base()).sum::<u128>()
        };
        assert_eq!(sum(|draw| draw.amount), hold.amount.base());
        assert_eq!(sum(|draw| draw.held), hold.held.base());
        assert_eq!(sum(|draw| draw.captured), hold.captured.base());
        assert_eq!(sum(|draw| draw.refunded), hold.refunded.base());
        assert!(hold.refunded <= hold.captured && hold.released().is_ok());
        assert_eq!(hold.state == HoldState::Open, !hold.held.is_zero());
    }
}

/// Every account of the asset is one of the wallet's, the budgets' or the edge's, and together they are nothing.
async fn books_add_up(world: &World, budgets: &[BudgetId]) {
    let asset = world.billing.asset(&world.cx(), "USD").await.unwrap();
    let names = asset.wallet(world.customer);
    let mut ids: Vec<AccountId> = asset.outside().all().into();
    ids.extend([names.account(), names.overdraft_account(), names.debt_account()]);
    let (mut page, mut grants): (_, Vec<GrantId>) = (PageQuery::default(), Vec::new());
    loop {
        let found = world.billing.list_grants(&world.cx(), (world.customer, "USD"), &page).await.unwrap();
        grants.extend(found.data.iter().map(|grant| grant.id));
        match found.next {
            Some(next) => page.after = Some(next),
            None => break,
        }
    }
    let of_grant = |id: &GrantId| {
        farthing_billing::grant::Grant::new(
            *id,
            farthing_billing::grant::Purpose::Paid,
            farthing_ledger::Timestamp::EPOCH,
        )
        .account
    };
    ids.extend(grants.iter().map(of_grant));
    ids.extend(budgets.iter().map(|budget| budget.envelope()));
    let (mut sum, mut pending) = (0_i128, 0_i128);
    let number = |amount: farthing_money::Amount| i128::try_from(amount.base()).unwrap();
    for account in world.billing.store().accounts(&ids).await.unwrap().into_iter().flatten() {
        sum += number(account.totals.credits.posted) - number(account.totals.debits.posted);
        pending += number(account.totals.credits.pending) - number(account.totals.debits.pending);
    }
    assert_eq!((sum, pending), (0, 0));
    world.billing.store().verify().await.unwrap().unwrap();
}

/// What the wallet and the budgets show is what the holds say.
async fn balances_follow(world: &World, budgets: &[BudgetId], holds: &[Hold]) {
    let wallet = world.wallet().await;
    let of_wallet = |hold: &&Hold| hold.draws.iter().all(|draw| draw.kind != DrawKind::Budget);
    let held: u128 = holds.iter().filter(of_wallet).map(|hold| hold.held.base()).sum();
    assert_eq!(wallet.held.base(), held);
    // top, shared, carved, below shared, below carved: whose spends count on whose total.
    let counts = [vec![0, 1, 3], vec![1, 3], vec![2, 4], vec![3], vec![4]];
    for (at, mine) in counts.iter().enumerate() {
        let view = world.billing.budget(&world.cx(), &Owner, budgets[at]).await.unwrap();
        let counted = |hold: &&Hold| mine.iter().any(|n| hold.budget == Some(budgets[*n]));
        let held: u128 = holds.iter().filter(counted).map(|hold| hold.held.base()).sum();
        let spent: u128 =
            holds.iter().filter(counted).map(|hold| hold.captured.base() - hold.refunded.base()).sum();
        assert_eq!((view.held.base(), view.spent.base()), (held, spent), "budget {at}");
    }
    let spending = world.billing.budget_spending(&world.cx(), &Owner, budgets[0]).await.unwrap();
    let mut expected: BTreeMap<(BudgetId, Option<String>), (u128, u64)> = BTreeMap::new();
    for hold in holds.iter().filter(|hold| !hold.captured.is_zero()) {
        let Some(budget) = hold.budget else { continue };
        let row = expected.entry((budget, hold.subject.clone())).or_default();
        *row = (row.0 + hold.captured.base() - hold.refunded.base(), row.1 + 1);
    }
    let rows: BTreeMap<_, _> = spending
        .rows
        .into_iter()
        .map(|row| ((row.budget.unwrap(), row.subject_name), (row.spent.base(), row.holds)))
        .collect();
    assert_eq!(rows, expected);
}

/// The history of the wallet adds up to its balances.
async fn history_adds_up(world: &World) {
    let (mut settled, mut held) = (0_i128, 0_i128);
    let signed = |net: Net| match net {
        Net::Plus(amount) => i128::try_from(amount.base()).unwrap(),
        Net::Minus(amount) => -i128::try_from(amount.base()).unwrap(),
    };
    let mut page = PageQuery { limit: 50, ..PageQuery::default() };
    loop {
        let found = world.billing.transactions(&world.cx(), (world.customer, "USD"), &page).await.unwrap();
        for one in &found.data {
            settled += signed(one.settled);
            held += signed(one.held);
        }
        match found.next {
            Some(next) => page.after = Some(next),
            None => break,
        }
    }
    let wallet = world.wallet().await;
    assert_eq!((settled, held), (signed(wallet.settled), i128::try_from(wallet.held.base()).unwrap()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn whatever_is_asked_at_once_the_books_add_up_and_calls_can_be_told_again() {
    for round in 0..4_u64 {
        let world = Arc::new(World::new().await);
        world.credit(2_000).await;
        let budgets = tree(&world).await;
        let mut tasks = tokio::task::JoinSet::new();
        for task in 0..4 {
            tasks.spawn(worker(Arc::clone(&world), round * 10 + task + 1, budgets.clone()));
        }
        let told: Vec<Told> = tasks.join_all().await.into_iter().flatten().collect();
        assert!(told.len() > 100, "round {round}: only {} calls succeeded", told.len());
        let holds = all_holds(&world).await;
        holds_agree(&world, &holds).await;
        books_add_up(&world, &budgets).await;
        balances_follow(&world, &budgets, &holds).await;
        history_adds_up(&world).await;

        let before = (world.billing.store().head().await.unwrap(), world.wallet().await.version);
        for Told { key, call, answer } in &told {
            assert_eq!(tell(&world, &world.keyed(key), call).await.unwrap(), *answer, "{call:?}");
        }
        let after = (world.billing.store().head().await.unwrap(), world.wallet().await.version);
        assert_eq!(before, after);

        world.pass(2 * HOUR);
        while world.billing.expire_due(&world.cx(), 50).await.unwrap() > 0 {}
        let open = all_holds(&world).await.into_iter().filter(|hold| hold.state == HoldState::Open);
        for hold in open {
            assert_eq!(hold.expires_ms, None, "it should have been ended");
            world.billing.void_hold(&world.cx(), &Owner, hold.id, &NewVoid::default()).await.unwrap();
        }
        world.pass(120_000);
        while world.billing.sweep_expired(&world.cx(), 50).await.unwrap() > 0 {}
        let holds = all_holds(&world).await;
        holds_agree(&world, &holds).await;
        books_add_up(&world, &budgets).await;
        balances_follow(&world, &budgets, &holds).await;
        assert_eq!(world.wallet().await.held.base(), 0);
        assert!(
            world
                .wallet()
                .await
                .grants
                .iter()
                .all(|grant| grant.expires_ms.is_none_or(|at| at > world.now()))
        );
    }
}
