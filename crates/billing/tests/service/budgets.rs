//! Trees of budgets: what they let through, what closing gives back, and who spent it.

use farthing_billing::budget::{Children, Funding, Rate, Scope};
use farthing_billing::service::Authority::Owner;
use farthing_billing::service::budget::{BudgetChange, BudgetView, NewBudget, Under};
use farthing_billing::service::hold::{Hold, NewCapture, NewHold, NewRefund, NewVoid};
use farthing_billing::service::{PageQuery, ServiceError};
use farthing_billing::{BudgetId, Period};

use crate::world::{DAY, HOUR, World, base};

pub fn shared(total: Option<u128>) -> Funding {
    Funding::Shared { total: total.map(base) }
}

pub fn under(world: &World, parent: Option<BudgetId>) -> NewBudget {
    NewBudget {
        customer: parent.is_none().then_some(world.customer),
        asset: parent.is_none().then(|| "USD".to_owned()),
        parent,
        children: Children { most: 10, levels: if parent.is_none() { 3 } else { 2 } },
        ..NewBudget::default()
    }
}

pub async fn make(world: &World, new: &NewBudget) -> BudgetView {
    world.billing.create_budget(&world.cx(), &Owner, new).await.unwrap()
}

async fn spend(world: &World, budget: BudgetId, amount: u128) -> Result<Hold, ServiceError> {
    let new = NewHold {
        budget: Some(budget),
        amount: base(amount),
        counterparty: Some("api.example".to_owned()),
        subject: Some("task 47".to_owned()),
        ..NewHold::default()
    };
    world.billing.place_hold(&world.cx(), &Owner, &new).await
}

async fn shown(world: &World, id: BudgetId) -> (u128, u128, u128, Option<u128>) {
    let view = world.billing.budget(&world.cx(), &Owner, id).await.unwrap();
    let BudgetView { spent, held, carved, available, .. } = view;
    (spent.base(), held.base(), carved.base(), available.map(farthing_money::Amount::base))
}

#[tokio::test]
async fn a_call_counts_on_every_budget_above_it_or_on_none() {
    let world = World::new().await;
    world.credit(10_000).await;
    let day = Rate { period: Period::Day, scope: Scope::Everybody, most: base(2_000) };
    let agent =
        make(&world, &NewBudget { funding: shared(Some(6_000)), rates: vec![day], ..under(&world, None) })
            .await;
    let agent = agent.budget.id;
    let carved = Funding::Carved { amount: base(1_500) };
    let task =
        make(&world, &NewBudget { funding: carved, per_call: Some(base(500)), ..under(&world, Some(agent)) })
            .await;
    let task = task.budget.id;
    let sub = NewBudget {
        funding: shared(Some(400)),
        children: Children { most: 0, levels: 0 },
        ..under(&world, Some(task))
    };
    let sub = make(&world, &sub).await.budget.id;
    assert_eq!(world.balances().await, (8_500, 0, 8_500));
    assert_eq!(shown(&world, agent).await, (0, 0, 1_500, Some(4_500)));

    let hold = spend(&world, sub, 300).await.unwrap();
    assert_eq!(shown(&world, sub).await, (0, 300, 0, Some(100)));
    assert_eq!(shown(&world, task).await, (0, 300, 0, Some(1_200)));
    // What was carved out counts on no total above, but on limits a period.
    assert_eq!(shown(&world, agent).await, (0, 0, 1_500, Some(4_500)));
    let view = world.billing.budget(&world.cx(), &Owner, agent).await.unwrap();
    assert_eq!(view.limits[0].available.unwrap().base(), 1_700);

    let capture = NewCapture { amount: Some(base(120)), ..NewCapture::default() };
    world.billing.capture_hold(&world.cx(), &Owner, hold.id, &capture).await.unwrap();
    assert_eq!(shown(&world, sub).await, (120, 0, 0, Some(280)));
    assert_eq!(shown(&world, task).await, (120, 0, 0, Some(1_380)));

    // amount, from whom -> code
    for (budget, amount, code) in [
        (sub, 281, "budget_total_exceeded"),
        (sub, 501, "budget_per_call_exceeded"),
        (task, 0, "spend_zero"),
        (agent, 1_881, "budget_period_exceeded"),
        (agent, 4_501, "budget_total_exceeded"),
    ] {
        let refused = spend(&world, budget, amount).await.unwrap_err();
        assert_eq!(refused.code(), code, "{amount}");
    }
    assert_eq!(world.balances().await, (8_500, 0, 8_500));
    // The next day has a limit of its own.
    world.pass(DAY);
    spend(&world, agent, 1_881).await.unwrap();
}

#[tokio::test]
async fn closing_gives_back_what_was_carved_out_and_late_refunds_too() {
    let world = World::new().await;
    world.credit(1_000).await;
    let agent =
        make(&world, &NewBudget { funding: shared(Some(900)), ..under(&world, None) }).await.budget.id;
    let carved = NewBudget { funding: Funding::Carved { amount: base(500) }, ..under(&world, Some(agent)) };
    let task = make(&world, &carved).await.budget.id;
    let hold = spend(&world, task, 200).await.unwrap();
    let close = async |id| world.billing.close_budget(&world.cx(), &Owner, id).await;
    assert_eq!(close(task).await.unwrap_err().code(), "budget_has_holds");
    assert_eq!(close(agent).await.unwrap_err().code(), "budget_has_children");
    world.billing.capture_hold(&world.cx(), &Owner, hold.id, &NewCapture::default()).await.unwrap();
    close(task).await.unwrap();
    assert_eq!(world.balances().await, (800, 0, 800));
    // Its share of the agent's total came back but for what was spent.
    assert_eq!(shown(&world, agent).await, (0, 0, 200, Some(700)));
    assert_eq!(close(task).await.unwrap_err().code(), "budget_closed");
    assert_eq!(spend(&world, task, 1).await.unwrap_err().code(), "budget_closed");

    world.billing.refund_hold(&world.cx(), hold.id, &NewRefund::default()).await.unwrap();
    assert_eq!(world.balances().await, (800, 0, 800));
    world.billing.reclaim_budget(&world.cx(), &Owner, task).await.unwrap();
    assert_eq!(world.balances().await, (1_000, 0, 1_000));
    assert_eq!(shown(&world, agent).await, (0, 0, 0, Some(900)));
    close(agent).await.unwrap();
}

#[tokio::test]
async fn limits_are_changed_at_once_and_not_under_what_is_used() {
    let world = World::new().await;
    world.credit(10_000).await;
    let hour = |most| Rate { period: Period::Hour, scope: Scope::Everybody, most: base(most) };
    let new = NewBudget { funding: shared(Some(1_000)), rates: vec![hour(500)], ..under(&world, None) };
    let id = make(&world, &new).await.budget.id;
    spend(&world, id, 400).await.unwrap();
    let amend =
        async |change: BudgetChange| world.billing.amend_budget(&world.cx(), &Owner, id, &change).await;
    let total =
        |total: Option<u128>| BudgetChange { total: Some(total.map(base)), ..BudgetChange::default() };
    let rates = |most| BudgetChange { rates: Some(vec![hour(most)]), ..BudgetChange::default() };
    assert_eq!(amend(total(Some(399))).await.unwrap_err().code(), "budget_total_exceeded");
    assert_eq!(amend(rates(399)).await.unwrap_err().code(), "budget_period_exceeded");
    assert_eq!(amend(rates(0)).await.unwrap_err().code(), "budget_limit_zero");
    amend(BudgetChange { total: Some(Some(base(450))), ..rates(600) }).await.unwrap();
    assert_eq!(shown(&world, id).await, (0, 400, 0, Some(50)));
    assert_eq!(spend(&world, id, 51).await.unwrap_err().code(), "budget_total_exceeded");
    amend(total(None)).await.unwrap();
    assert_eq!(shown(&world, id).await.3, None);
    spend(&world, id, 200).await.unwrap();
    assert_eq!(spend(&world, id, 1).await.unwrap_err().code(), "budget_period_exceeded");
    world.pass(HOUR);
    spend(&world, id, 600).await.unwrap();
    let per_call = BudgetChange { per_call: Some(Some(base(5))), ..BudgetChange::default() };
    assert_eq!(amend(per_call).await.unwrap().budget.per_call, Some(base(5)));
    assert_eq!(spend(&world, id, 6).await.unwrap_err().code(), "budget_per_call_exceeded");
}

#[tokio::test]
async fn who_spent_it_is_answered_for_a_budget_and_all_below_it() {
    let world = World::new().await;
    world.credit(10_000).await;
    let agent =
        make(&world, &NewBudget { name: Some("agent".into()), ..under(&world, None) }).await.budget.id;
    let task =
        make(&world, &NewBudget { name: Some("task".into()), ..under(&world, Some(agent)) }).await.budget.id;
    for (budget, amount) in [(agent, 100), (task, 20), (task, 30)] {
        let hold = spend(&world, budget, amount).await.unwrap();
        world.billing.capture_hold(&world.cx(), &Owner, hold.id, &NewCapture::default()).await.unwrap();
        let back = NewRefund { amount: Some(base(5)), ..NewRefund::default() };
        world.billing.refund_hold(&world.cx(), hold.id, &back).await.unwrap();
    }
    let open = spend(&world, task, 7).await.unwrap();
    world.billing.void_hold(&world.cx(), &Owner, open.id, &NewVoid::default()).await.unwrap();
    let spending = world.billing.budget_spending(&world.cx(), &Owner, agent).await.unwrap();
    assert_eq!(spending.spent.base(), 135);
    let rows: Vec<_> = spending
        .rows
        .iter()
        .map(|row| (row.budget_name.as_deref(), row.subject_name.as_deref(), row.spent.base(), row.holds))
        .collect();
    assert_eq!(rows, [(Some("agent"), Some("task 47"), 95, 1), (Some("task"), Some("task 47"), 40, 2)]);
    // The totals of the tree say the same.
    assert_eq!(shown(&world, agent).await.0, 135);

    let tree = world.billing.budget_tree(&world.cx(), &Owner, agent).await.unwrap();
    assert_eq!(tree.open_children.iter().map(|child| child.budget.budget.id).collect::<Vec<_>>(), [task]);
    let wallet = Under::Wallet(world.customer, "USD".to_owned());
    let roots =
        world.billing.list_budgets(&world.cx(), &Owner, &wallet, &PageQuery::default()).await.unwrap();
    assert_eq!(roots.data.iter().map(|root| root.budget.id).collect::<Vec<_>>(), [agent]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn agents_at_once_never_spend_more_than_any_limit_above_them() {
    let world = std::sync::Arc::new(World::new().await);
    world.credit(1_000).await;
    let day = Rate { period: Period::Day, scope: Scope::EachCounterparty, most: base(70) };
    let root = NewBudget { funding: shared(Some(100)), rates: vec![day], ..under(&world, None) };
    let root = make(&world, &root).await.budget.id;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let child = make(&world, &NewBudget { funding: shared(Some(40)), ..under(&world, Some(root)) })
            .await
            .budget
            .id;
        for _ in 0..50 {
            let world = std::sync::Arc::clone(&world);
            tasks.spawn(async move { spend(&world, child, 1).await.map_err(|error| error.code()) });
        }
    }
    let results = tasks.join_all().await;
    // All pay one counterparty: its 70 of the day are the least.
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 70);
    assert_eq!(world.balances().await, (930, 70, 1_000));
}
