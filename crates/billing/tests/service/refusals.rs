//! Bad input, what is another tenant's, the wrong asset, amounts that do not fit, and duplicates with a difference: each has its
//! stable code, and nothing changes.

use std::future::Future;
use std::pin::Pin;

use farthing_billing::budget::{Funding, Rate, Scope};
use farthing_billing::service::Authority::Owner;
use farthing_billing::service::budget::{BudgetChange, NewBudget};
use farthing_billing::service::customer::{CustomerChange, CustomerState, NewCustomer};
use farthing_billing::service::grant::{GrantPurpose, NewGrant};
use farthing_billing::service::hold::{NewCapture, NewHold, NewRefund, NewVoid};
use farthing_billing::service::key::{NewApiKey, Scope as KeyScope};
use farthing_billing::service::token::NewToken;
use farthing_billing::service::wallet::{Credit, Overdraft};
use farthing_billing::service::{Cx, HoldId, Secret, ServiceError};
use farthing_billing::{BudgetId, CustomerId, Period};
use farthing_money::{Amount, Asset, AssetKind};

use crate::budgets::{make, under};
use crate::world::{World, base};

type Answer<'a> = Pin<Box<dyn Future<Output = Result<(), ServiceError>> + 'a>>;

fn of(customer: CustomerId, amount: Amount) -> NewHold {
    NewHold { customer: Some(customer), asset: Some("USD".to_owned()), amount, ..NewHold::default() }
}

fn credit(amount: Amount) -> Credit {
    Credit { amount, reference: None, reason: None }
}

#[tokio::test]
async fn every_refusal_has_its_code_and_changes_nothing() {
    let world = World::new().await;
    world.credit(1_000).await;
    let b = &world.billing;
    let usd = (world.customer, "USD");
    let budget = make(&world, &under(&world, None)).await.budget.id;
    let hold = b.place_hold(&world.cx(), &Owner, &of(world.customer, base(100))).await.unwrap().id;
    let tokens = Asset::new("TOKENS", 0, AssetKind::Custom).unwrap();
    b.create_asset(&world.cx(), &tokens).await.unwrap();
    let archived = world.new_customer("archived").await;
    let archive = CustomerChange { state: Some(CustomerState::Archived), ..CustomerChange::default() };
    b.update_customer(&world.cx(), archived, &archive).await.unwrap();
    let foreign = Cx { tenant: world.new_tenant("two").await, ..world.cx() };
    let f = || Cx { tenant: foreign.tenant, ..world.cx() };
    let (nobody, none) = (CustomerId::from_u128(77), BudgetId::from_u128(77));
    let long = "x".repeat(501);
    let carve = |amount| NewBudget { funding: Funding::Carved { amount }, ..under(&world, Some(budget)) };
    let rate = |most| Rate { period: Period::Day, scope: Scope::Everybody, most: base(most) };

    macro_rules! rows {
        ($($what:literal $code:literal $call:expr;)*) => {
            vec![$(($what, $code, Box::pin(async { $call.await.map(|_| ()) }) as Answer<'_>)),*]
        };
    }
    // A hold that somebody named, and the same name for another.
    let named = NewHold { id: Some(HoldId::from_u128(0xabc00)), ..of(world.customer, base(1)) };
    b.place_hold(&world.cx(), &Owner, &named).await.unwrap();
    let renamed = NewHold { amount: base(2), ..named.clone() };
    let bad_name = NewHold { id: Some(HoldId::from_u128(0xabc01)), ..named.clone() };
    let past = NewHold { expires_ms: Some(world.now()), ..of(world.customer, base(1)) };
    let no_wallet = NewHold { amount: base(1), ..NewHold::default() };
    let wrong_asset = NewHold {
        budget: Some(budget),
        ..NewHold { asset: Some("TOKENS".into()), ..of(world.customer, base(1)) }
    };
    let other_customer = NewHold { budget: Some(budget), ..of(archived, base(1)) };
    let no_budget = NewHold { budget: Some(none), amount: base(1), ..NewHold::default() };
    let of_budget = NewHold { budget: Some(budget), amount: base(1), ..NewHold::default() };
    let told = NewHold { description: Some(long.clone()), ..of(world.customer, base(1)) };
    let part = |amount, last| NewCapture { amount: Some(base(amount)), last, reference: None };
    let grant = |amount, expires_ms| NewGrant {
        purpose: GrantPurpose::Paid,
        amount,
        priority: 1,
        expires_ms,
        reason: None,
    };
    let new_key = NewApiKey { name: String::new(), scopes: [KeyScope::Read].into(), expires_ms: None };
    let no_scope = NewApiKey { name: "k".into(), scopes: [].into(), expires_ms: None };
    let token = NewToken {
        budget,
        name: None,
        actions: [].into(),
        expires_ms: u64::MAX,
        per_call: None,
        counterparties: None,
    };
    let foreign_token =
        NewToken { actions: [farthing_billing::budget::delegation::Action::Spend].into(), ..token.clone() };
    let secret = Secret::from_bytes([1; 32]);
    let same_name = NewCustomer { external_id: "first".into(), ..NewCustomer::default() };
    let metadata = CustomerChange {
        metadata: Some([("k".to_owned(), long.clone())].into()),
        ..CustomerChange::default()
    };
    let orphan = NewBudget { customer: None, ..under(&world, None) };
    let lost = under(&world, Some(none));
    let two_rates = NewBudget { rates: vec![rate(1), rate(2)], ..under(&world, None) };
    let too_large = NewBudget { per_call: Some(Amount::MAX), ..under(&world, None) };
    let deep = NewBudget {
        children: farthing_billing::budget::Children { most: 1, levels: 3 },
        ..under(&world, Some(budget))
    };
    let foreign_budget = NewBudget { parent: Some(budget), ..NewBudget::default() };
    let refund = NewRefund { amount: Some(base(1)), ..NewRefund::default() };
    let reason = NewVoid { reason: Some(long.clone()) };
    let rows = rows! {
        "a customer of nobody" "not_found" b.place_hold(&world.cx(), &Owner, &of(nobody, base(1)));
        "an asset of nobody" "not_found" b.credit(&world.cx(), (world.customer, "EUR"), &credit(base(1)));
        "nothing" "spend_zero" b.place_hold(&world.cx(), &Owner, &of(world.customer, base(0)));
        "more than there is" "insufficient_funds" b.place_hold(&world.cx(), &Owner, &of(world.customer, base(900)));
        "more than can be" "debits_overflow" b.place_hold(&world.cx(), &Owner, &of(world.customer, Amount::MAX));
        "another wish by the name" "already_exists" b.place_hold(&world.cx(), &Owner, &renamed);
        "a name that ends otherwise" "invalid_field" b.place_hold(&world.cx(), &Owner, &bad_name);
        "an expiry that has come" "expiry_not_in_future" b.place_hold(&world.cx(), &Owner, &past);
        "no wallet" "invalid_field" b.place_hold(&world.cx(), &Owner, &no_wallet);
        "the wrong asset" "asset_mismatch" b.place_hold(&world.cx(), &Owner, &wrong_asset);
        "another customer" "invalid_field" b.place_hold(&world.cx(), &Owner, &other_customer);
        "a budget of nobody" "not_found" b.place_hold(&world.cx(), &Owner, &no_budget);
        "a text that is too long" "invalid_field" b.place_hold(&world.cx(), &Owner, &told);
        "an archived customer" "wrong_state" b.place_hold(&world.cx(), &Owner, &of(archived, base(1)));
        "a hold of nobody" "not_found" b.capture_hold(&world.cx(), &Owner, HoldId::from_u128(0x100), &part(1, true));
        "more than is held" "exceeds_spend" b.capture_hold(&world.cx(), &Owner, hold, &part(101, true));
        "nothing, and more to come" "invalid_field" b.capture_hold(&world.cx(), &Owner, hold, &part(0, false));
        "a refund of what was not paid" "refund_exceeds_spent" b.refund_hold(&world.cx(), hold, &refund);
        "a long reason" "invalid_field" b.void_hold(&world.cx(), &Owner, hold, &reason);
        "a credit of nothing" "invalid_field" b.credit(&world.cx(), usd, &credit(base(0)));
        "a credit that does not fit" "invalid_field" b.credit(&world.cx(), usd, &credit(Amount::MAX));
        "a line that does not fit" "invalid_field" b.set_overdraft(&world.cx(), (world.customer, "USD"), Overdraft { limit: Amount::MAX });
        "a grant of nothing" "invalid_field" b.create_grant(&world.cx(), usd, &grant(base(0), None));
        "a grant of the past" "invalid_field" b.create_grant(&world.cx(), usd, &grant(base(1), Some(world.now())));
        "a key without a name" "invalid_field" b.create_key(&world.cx(), &new_key, &secret);
        "a key without a scope" "invalid_field" b.create_key(&world.cx(), &no_scope, &secret);
        "a token for nothing" "invalid_field" b.create_token(&world.cx(), &Owner, &token, &secret);
        "an external id twice" "already_exists" b.create_customer(&world.cx(), &same_name);
        "metadata too long" "invalid_field" b.update_customer(&world.cx(), world.customer, &metadata);
        "a budget of no wallet" "invalid_field" b.create_budget(&world.cx(), &Owner, &orphan);
        "a parent of nobody" "not_found" b.create_budget(&world.cx(), &Owner, &lost);
        "two limits for one day" "budget_limit_twice" b.create_budget(&world.cx(), &Owner, &two_rates);
        "a limit too large" "budget_limit_too_large" b.create_budget(&world.cx(), &Owner, &too_large);
        "too deep" "budget_levels_exceeded" b.create_budget(&world.cx(), &Owner, &deep);
        "carved of more than there is" "insufficient_funds" b.create_budget(&world.cx(), &Owner, &carve(base(900)));
        "a carved limit of nothing" "budget_limit_zero" b.create_budget(&world.cx(), &Owner, &carve(base(0)));
        "an open budget reclaimed" "budget_not_applicable" b.reclaim_budget(&world.cx(), &Owner, budget);
        "foreign customer" "not_found" b.customer(&f(), world.customer);
        "foreign customer changed" "not_found" b.update_customer(&f(), world.customer, &CustomerChange::default());
        "foreign wallet" "not_found" b.wallet(&f(), world.customer, "USD");
        "foreign wallet credited" "not_found" b.credit(&f(), usd, &credit(base(1)));
        "foreign history" "not_found" b.transactions(&f(), usd, &farthing_billing::service::PageQuery::default());
        "foreign wallet held" "not_found" b.place_hold(&f(), &Owner, &of(world.customer, base(1)));
        "foreign hold" "not_found" b.hold(&f(), &Owner, hold);
        "foreign hold captured" "not_found" b.capture_hold(&f(), &Owner, hold, &part(1, true));
        "foreign hold voided" "not_found" b.void_hold(&f(), &Owner, hold, &NewVoid::default());
        "foreign hold refunded" "not_found" b.refund_hold(&f(), hold, &refund);
        "foreign budget" "not_found" b.budget(&f(), &Owner, budget);
        "foreign budget spent" "not_found" b.place_hold(&f(), &Owner, &of_budget);
        "foreign budget changed" "not_found" b.amend_budget(&f(), &Owner, budget, &BudgetChange::default());
        "foreign budget closed" "not_found" b.close_budget(&f(), &Owner, budget);
        "foreign parent" "not_found" b.create_budget(&f(), &Owner, &foreign_budget);
        "foreign token" "not_found" b.create_token(&f(), &Owner, &foreign_token, &secret);
    };
    for (what, code, call) in rows {
        let before = (b.store().head().await.unwrap(), b.store().changed(Default::default()).await.unwrap());
        let error = call.await.expect_err(what);
        assert_eq!(error.code(), code, "{what}: {error}");
        let after = (b.store().head().await.unwrap(), b.store().changed(Default::default()).await.unwrap());
        // An archived customer's wallet is opened before it is refused; nothing else changes anything.
        if what != "an archived customer" {
            assert_eq!(before, after, "{what}");
        }
    }
    // A name of another tenant's hold is taken in the ledger, and nothing of it is told.
    let theirs = NewCustomer { external_id: "x".into(), ..NewCustomer::default() };
    let theirs = b.create_customer(&f(), &theirs).await.unwrap();
    b.credit(&f(), (theirs.id, "USD"), &credit(base(10))).await.unwrap();
    let taken = NewHold { customer: Some(theirs.id), ..named };
    assert_eq!(b.place_hold(&f(), &Owner, &taken).await.unwrap_err().code(), "already_exists");
}

#[tokio::test]
async fn a_key_that_was_used_for_another_call_is_refused() {
    let world = World::new().await;
    world.credit(1_000).await;
    world.billing.place_hold(&world.keyed("k"), &Owner, &of(world.customer, base(1))).await.unwrap();
    let mut other = world.keyed("k");
    if let Some(idempotency) = &mut other.idempotency {
        idempotency.fingerprint = "of another call".to_owned();
    }
    let refused = world.billing.place_hold(&other, &Owner, &of(world.customer, base(2))).await.unwrap_err();
    assert_eq!(refused.code(), "idempotency_key_reused");
    assert_eq!(world.balances().await, (999, 1, 1_000));
}
