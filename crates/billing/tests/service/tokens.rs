//! Tokens: what an agent may do with one, and what not.

use std::collections::BTreeSet;

use farthing_billing::BudgetId;
use farthing_billing::budget::delegation::Action;
use farthing_billing::service::budget::NewBudget;
use farthing_billing::service::hold::{HoldFilter, NewCapture, NewHold};
use farthing_billing::service::token::{self, NewToken};
use farthing_billing::service::{Authority, PageQuery, Secret, ServiceError};

use crate::budgets::{make, shared, under};
use crate::world::{HOUR, World, base};

fn new(world: &World, budget: BudgetId, actions: &[Action]) -> NewToken {
    NewToken {
        budget,
        name: None,
        actions: actions.iter().copied().collect::<BTreeSet<_>>(),
        expires_ms: world.now() + HOUR,
        per_call: Some(base(50)),
        counterparties: None,
    }
}

async fn give(world: &World, by: &Authority, new: &NewToken, byte: u8) -> Result<String, ServiceError> {
    let secret = Secret::from_bytes([byte; 32]);
    world.billing.create_token(&world.cx(), by, new, &secret).await?;
    Ok(secret.present(token::PREFIX))
}

async fn present(world: &World, token: &str) -> Authority {
    world.billing.present_token(token).await.unwrap().into()
}

fn call(budget: BudgetId, amount: u128) -> NewHold {
    NewHold { budget: Some(budget), amount: base(amount), ..NewHold::default() }
}

#[tokio::test]
async fn a_token_spends_its_budget_and_those_below_and_no_other() {
    let world = World::new().await;
    world.credit(1_000).await;
    let agent = make(&world, &under(&world, None)).await.budget.id;
    let other = make(&world, &under(&world, None)).await.budget.id;
    let task =
        make(&world, &NewBudget { funding: shared(Some(100)), ..under(&world, Some(agent)) }).await.budget.id;
    let token = give(&world, &Authority::Owner, &new(&world, agent, &[Action::Spend]), 1).await.unwrap();
    let by = present(&world, &token).await;
    let place = async |new: &NewHold| world.billing.place_hold(&world.cx(), &by, new).await;
    let hold = place(&call(task, 50)).await.unwrap();
    assert_eq!(hold.token, by.token());
    world.billing.capture_hold(&world.cx(), &by, hold.id, &NewCapture::default()).await.unwrap();

    let of_wallet = NewHold {
        customer: Some(world.customer),
        asset: Some("USD".to_owned()),
        amount: base(1),
        ..NewHold::default()
    };
    for (new, code) in [
        (call(task, 51), "delegation_per_call_exceeded"),
        (call(other, 1), "delegation_outside_budget"),
        (of_wallet.clone(), "delegation_outside_budget"),
    ] {
        assert_eq!(place(&new).await.unwrap_err().code(), code);
    }
    let create = world.billing.create_budget(&world.cx(), &by, &under(&world, Some(agent))).await;
    assert_eq!(create.unwrap_err().code(), "delegation_action_denied");
    // What others hold is not its to see or to pay.
    let foreign = world.billing.place_hold(&world.cx(), &Authority::Owner, &call(other, 1)).await.unwrap();
    let owners = world.billing.place_hold(&world.cx(), &Authority::Owner, &of_wallet).await.unwrap();
    for (id, code) in [(foreign.id, "delegation_outside_budget"), (owners.id, "token_denied")] {
        assert_eq!(world.billing.hold(&world.cx(), &by, id).await.unwrap_err().code(), code);
        let capture = world.billing.capture_hold(&world.cx(), &by, id, &NewCapture::default()).await;
        assert_eq!(capture.unwrap_err().code(), code);
    }
    let list = async |filter: HoldFilter| {
        world.billing.list_holds(&world.cx(), &by, &filter, &PageQuery::default()).await
    };
    assert_eq!(list(HoldFilter { budget: Some(task), ..HoldFilter::default() }).await.unwrap().data.len(), 1);
    assert_eq!(list(HoldFilter::default()).await.unwrap_err().code(), "invalid_field");
    let of_other = HoldFilter { budget: Some(other), ..HoldFilter::default() };
    assert_eq!(list(of_other).await.unwrap_err().code(), "delegation_outside_budget");
}

#[tokio::test]
async fn an_agent_makes_budgets_and_tokens_for_agents_and_revoking_its_own_ends_all() {
    let world = World::new().await;
    world.credit(1_000).await;
    let agent = make(&world, &under(&world, None)).await.budget.id;
    let both = [Action::Spend, Action::CreateChildren];
    let parent = give(&world, &Authority::Owner, &new(&world, agent, &both), 1).await.unwrap();
    let by = present(&world, &parent).await;
    let task = NewBudget { funding: shared(Some(100)), ..under(&world, Some(agent)) };
    let task = world.billing.create_budget(&world.cx(), &by, &task).await.unwrap().budget.id;
    let broader = NewToken { per_call: None, ..new(&world, task, &[Action::Spend]) };
    assert_eq!(give(&world, &by, &broader, 2).await.unwrap_err().code(), "delegation_broader");
    let child = give(&world, &by, &new(&world, task, &[Action::Spend]), 3).await.unwrap();
    let child = present(&world, &child).await;
    let place = async |by: &Authority| world.billing.place_hold(&world.cx(), by, &call(task, 10)).await;
    place(&child).await.unwrap();
    // A child revokes neither its parent nor what is beside it.
    let refused = world.billing.revoke_token(&world.cx(), &child, by.token().unwrap()).await.unwrap_err();
    assert_eq!(refused.code(), "token_denied");
    world.billing.revoke_token(&world.cx(), &Authority::Owner, by.token().unwrap()).await.unwrap();
    let Authority::Token(token) = &child else { panic!("a token") };
    // It is presented again, as by the next call.
    let again =
        world.billing.present_token(&Secret::from_bytes([3; 32]).present(token::PREFIX)).await.unwrap();
    assert_eq!(again.id, token.id);
    assert_eq!(place(&again.into()).await.unwrap_err().code(), "delegation_revoked");

    let listed =
        world.billing.list_tokens(&world.cx(), &Authority::Owner, task, &PageQuery::default()).await.unwrap();
    assert_eq!(listed.data.iter().map(|token| token.id).collect::<Vec<_>>(), [child.token().unwrap()]);
    for unknown in
        [Secret::from_bytes([9; 32]).present(token::PREFIX), parent.replacen("ft", "fk", 1), String::new()]
    {
        assert_eq!(world.billing.present_token(&unknown).await.unwrap_err().code(), "token_unknown");
    }
}

#[tokio::test]
async fn a_token_runs_out() {
    let world = World::new().await;
    world.credit(1_000).await;
    let agent = make(&world, &under(&world, None)).await.budget.id;
    let token = give(&world, &Authority::Owner, &new(&world, agent, &[Action::Spend]), 1).await.unwrap();
    let by = present(&world, &token).await;
    world.pass(HOUR);
    let refused = world.billing.place_hold(&world.cx(), &by, &call(agent, 1)).await.unwrap_err();
    assert_eq!(refused.code(), "delegation_expired");
    assert_eq!(world.billing.budget(&world.cx(), &by, agent).await.unwrap_err().code(), "delegation_expired");
}
