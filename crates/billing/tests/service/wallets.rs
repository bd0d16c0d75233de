//! Balances, grants and the order in which they are drawn, and what comes in and goes out other than by spending.

use farthing_billing::grant::{Purpose, Unused};
use farthing_billing::service::Authority::Owner;
use farthing_billing::service::grant::{Grant, GrantPurpose, GrantState, NewEntitlement, NewGrant};
use farthing_billing::service::hold::{DrawKind, Hold, NewCapture, NewHold, NewRefund};
use farthing_billing::service::wallet::{
    Adjust, Chargeback, Direction, Overdraft, TransactionKind, WalletState,
};
use farthing_billing::service::{Named as _, PageQuery, ServiceError};
use farthing_ledger::{Net, Timestamp};

use crate::world::{DAY, HOUR, World, base};

async fn grant(world: &World, amount: u128, priority: u8, expires_in: Option<u64>) -> Grant {
    let new = NewGrant {
        purpose: GrantPurpose::Promotional,
        amount: base(amount),
        priority,
        expires_ms: expires_in.map(|ms| world.now() + ms),
        reason: Some("welcome".to_owned()),
    };
    world.billing.create_grant(&world.cx(), (world.customer, "USD"), &new).await.unwrap()
}

async fn hold(world: &World, amount: u128) -> Result<Hold, ServiceError> {
    let new = NewHold {
        customer: Some(world.customer),
        asset: Some("USD".to_owned()),
        amount: base(amount),
        ..NewHold::default()
    };
    world.billing.place_hold(&world.cx(), &Owner, &new).await
}

#[tokio::test]
async fn grants_are_drawn_in_their_order_and_refunds_go_back_the_other_way() {
    let world = World::new().await;
    world.credit(100).await;
    let late = grant(&world, 30, 50, None).await;
    let soon = grant(&world, 20, 50, Some(HOUR)).await;
    world
        .billing
        .set_overdraft(&world.cx(), (world.customer, "USD"), Overdraft { limit: base(40) })
        .await
        .unwrap();
    assert_eq!(world.balances().await, (190, 0, 150));

    let placed = hold(&world, 160).await.unwrap();
    let drawn: Vec<_> = placed.draws.iter().map(|draw| (draw.kind, draw.grant, draw.amount.base())).collect();
    let grant_of = |grant: &Grant| (DrawKind::Grant, Some(grant.id));
    let expected = [
        (grant_of(&soon).0, grant_of(&soon).1, 20),
        (grant_of(&late).0, grant_of(&late).1, 30),
        (DrawKind::Paid, None, 100),
        (DrawKind::Overdraft, None, 10),
    ];
    assert_eq!(drawn, expected);
    assert_eq!(world.balances().await, (30, 160, 150));
    world.billing.capture_hold(&world.cx(), &Owner, placed.id, &NewCapture::default()).await.unwrap();
    let wallet = world.wallet().await;
    assert_eq!((wallet.settled, wallet.overdraft_used.base()), (Net::Minus(base(10)), 10));

    // The line of credit first, then the paid money, then gifts, of which one has run out meanwhile and is gone.
    world.pass(HOUR);
    assert_eq!(world.billing.sweep_expired(&world.cx(), 10).await.unwrap(), 1);
    let back = NewRefund { amount: Some(base(115)), ..NewRefund::default() };
    let refunded = world.billing.refund_hold(&world.cx(), placed.id, &back).await.unwrap();
    let parts: Vec<_> = refunded.draws.iter().map(|draw| draw.refunded.base()).collect();
    assert_eq!(parts, [0, 5, 100, 10]);
    world.billing.refund_hold(&world.cx(), placed.id, &NewRefund::default()).await.unwrap();
    // 20 of the 160 went to the grant that ran out, and on from there.
    assert_eq!(world.balances().await, (170, 0, 130));
    let gone = world.billing.grant(&world.cx(), (world.customer, "USD"), soon.id).await.unwrap();
    assert_eq!((gone.state, gone.expired_amount.base()), (GrantState::Expired, 20));
}

#[tokio::test]
async fn a_grant_that_ran_out_is_swept_once_nothing_of_it_is_in_flight() {
    let world = World::new().await;
    let given = grant(&world, 100, 50, Some(HOUR)).await;
    let placed = hold(&world, 30).await.unwrap();
    world.pass(HOUR);
    assert_eq!(hold(&world, 1).await.unwrap_err().code(), "insufficient_funds");
    assert_eq!(world.billing.sweep_expired(&world.cx(), 10).await.unwrap(), 1);
    let wallet = world.wallet().await;
    assert_eq!((wallet.grants.len(), wallet.settled, wallet.held.base()), (1, Net::Plus(base(30)), 30));
    // Not looked at again before a minute has passed.
    assert_eq!(world.billing.sweep_expired(&world.cx(), 10).await.unwrap(), 0);
    let part = NewCapture { amount: Some(base(10)), ..NewCapture::default() };
    world.billing.capture_hold(&world.cx(), &Owner, placed.id, &part).await.unwrap();
    world.pass(60_000);
    assert_eq!(world.billing.sweep_expired(&world.cx(), 10).await.unwrap(), 1);
    let wallet = world.wallet().await;
    assert_eq!((wallet.grants.len(), wallet.settled), (0, Net::Plus(base(0))));
    let gone = world.billing.grant(&world.cx(), (world.customer, "USD"), given.id).await.unwrap();
    assert_eq!((gone.state, gone.expired_amount.base()), (GrantState::Expired, 90));
    assert_eq!(world.billing.sweep_expired(&world.cx(), 10).await.unwrap(), 0);
}

#[tokio::test]
async fn entitlements_come_once_a_month_and_replace_or_roll_over() {
    let world = World::new().await;
    let give = async |amount, unused| {
        let new = NewEntitlement { amount: base(amount), priority: 10, unused };
        world.billing.create_entitlement(&world.cx(), (world.customer, "USD"), &new).await.unwrap()
    };
    give(100, Unused::Replace).await;
    let rolls = give(10, Unused::RollOver { months: 1 }).await;
    assert_eq!(world.balances().await.0, 110);
    assert_eq!(world.balances().await.0, 110);
    assert!(world.wallet().await.grants.iter().all(|grant| grant.purpose == Purpose::Entitlement));
    // The month after: this month's 100 and 10, and the 10 of the month before. Nobody has swept.
    world.pass(32 * DAY);
    hold(&world, 115).await.unwrap();
    assert_eq!(world.balances().await.0, 5);
    world.billing.sweep_expired(&world.cx(), 10).await.unwrap();
    world.pass(31 * DAY);
    assert_eq!(world.balances().await.0, 115);
    world.billing.end_entitlement(&world.cx(), (world.customer, "USD"), rolls.id).await.unwrap();
    let again = world.billing.end_entitlement(&world.cx(), (world.customer, "USD"), rolls.id).await;
    assert_eq!(again.unwrap_err().code(), "not_found");
    world.pass(31 * DAY);
    // The 100 of this month, and the 10 that came last and stay a month.
    assert_eq!(world.balances().await.0, 110);
}

#[tokio::test]
async fn a_chargeback_is_owed_whole_and_paid_by_what_is_there_and_by_what_comes() {
    let world = World::new().await;
    world.credit(100).await;
    let placed = hold(&world, 60).await.unwrap();
    let chargeback = Chargeback { amount: base(150), reference: "dispute 1".to_owned(), reason: None };
    world.billing.chargeback(&world.cx(), (world.customer, "USD"), &chargeback).await.unwrap();
    let wallet = world.wallet().await;
    assert_eq!((wallet.settled, wallet.debt.base(), wallet.spendable.base()), (Net::Minus(base(50)), 110, 0));
    world.billing.capture_hold(&world.cx(), &Owner, placed.id, &NewCapture::default()).await.unwrap();
    world.credit(130).await;
    let wallet = world.wallet().await;
    assert_eq!((wallet.settled, wallet.debt.base(), wallet.spendable.base()), (Net::Plus(base(20)), 0, 20));
}

#[tokio::test]
async fn a_line_of_credit_is_paid_back_by_the_next_money_and_not_lowered_while_in_use() {
    let world = World::new().await;
    let wallet = (world.customer, "USD");
    let line = async |limit| {
        world.billing.set_overdraft(&world.cx(), wallet, Overdraft { limit: base(limit) }).await
    };
    line(100).await.unwrap();
    let placed = hold(&world, 70).await.unwrap();
    world.billing.capture_hold(&world.cx(), &Owner, placed.id, &NewCapture::default()).await.unwrap();
    let refused = line(69).await.unwrap_err();
    assert_eq!(refused.code(), "wrong_state");
    line(80).await.unwrap();
    world.credit(50).await;
    let now = world.wallet().await;
    assert_eq!((now.overdraft_used.base(), now.paid.settled.base(), now.spendable.base()), (20, 0, 60));
    world.credit(50).await;
    line(0).await.unwrap();
    assert_eq!(world.balances().await, (30, 0, 30));
}

#[tokio::test]
async fn corrections_need_a_reason_and_what_they_take_away() {
    let world = World::new().await;
    let adjust = async |direction, amount, reason: &str| {
        let adjust = Adjust { direction, amount: base(amount), reason: reason.to_owned(), reference: None };
        world
            .billing
            .adjust(&world.cx(), (world.customer, "USD"), &adjust)
            .await
            .map_err(|error| error.code())
    };
    adjust(Direction::Credit, 100, "goodwill").await.unwrap();
    adjust(Direction::Debit, 30, "a mistake").await.unwrap();
    assert_eq!(adjust(Direction::Debit, 71, "too much").await.unwrap_err(), "insufficient_funds");
    assert_eq!(adjust(Direction::Credit, 0, "nothing").await.unwrap_err(), "invalid_field");
    assert_eq!(adjust(Direction::Credit, 1, "").await.unwrap_err(), "invalid_field");
    assert_eq!(world.balances().await, (70, 0, 70));
}

#[tokio::test]
async fn what_happened_is_told_in_words_and_adds_up_to_the_balance() {
    let world = World::new().await;
    world.credit(100).await;
    grant(&world, 20, 50, None).await;
    let new = NewHold {
        customer: Some(world.customer),
        asset: Some("USD".to_owned()),
        amount: base(50),
        subject: Some("task 47".to_owned()),
        description: Some("a search".to_owned()),
        ..NewHold::default()
    };
    let placed = world.billing.place_hold(&world.cx(), &Owner, &new).await.unwrap();
    let capture = NewCapture { amount: Some(base(40)), reference: Some("0xabc".to_owned()), last: true };
    world.billing.capture_hold(&world.cx(), &Owner, placed.id, &capture).await.unwrap();
    let back = NewRefund { amount: Some(base(5)), ..NewRefund::default() };
    world.billing.refund_hold(&world.cx(), placed.id, &back).await.unwrap();

    let (mut all, mut page) = (Vec::new(), PageQuery { limit: 2, ..PageQuery::default() });
    loop {
        let found = world.billing.transactions(&world.cx(), (world.customer, "USD"), &page).await.unwrap();
        all.extend(found.data);
        match found.next {
            Some(next) => page.after = Some(next),
            None => break,
        }
    }
    let kinds: Vec<_> =
        all.iter().rev().map(|one| (one.kind, one.amount.base(), one.grant.is_some())).collect();
    let expected = [
        (TransactionKind::Deposit, 100, false),
        (TransactionKind::Grant, 20, true),
        (TransactionKind::HoldPlaced, 20, true),
        (TransactionKind::HoldPlaced, 30, false),
        (TransactionKind::Spend, 20, true),
        (TransactionKind::Spend, 20, false),
        (TransactionKind::Refund, 5, false),
    ];
    assert_eq!(kinds, expected);
    let signed = |net: Net| match net {
        Net::Plus(amount) => i128::try_from(amount.base()).unwrap(),
        Net::Minus(amount) => -i128::try_from(amount.base()).unwrap(),
    };
    assert_eq!(all.iter().map(|one| signed(one.settled)).sum::<i128>(), 85);
    assert_eq!(all.iter().map(|one| signed(one.held)).sum::<i128>(), 0);
    let spend = all.iter().find(|one| one.kind == TransactionKind::Spend).unwrap();
    assert_eq!(spend.subject.as_deref(), Some("task 47"));
    assert_eq!(spend.reference.as_deref(), Some("0xabc"));
    assert_eq!(spend.hold, Some(placed.id));
}

#[tokio::test]
async fn a_balance_of_the_past_is_what_it_was() {
    let world = World::new().await;
    let mut then = Vec::new();
    let grant_id = {
        world.credit(100).await;
        then.push((world.now(), world.balances().await));
        world.pass(HOUR);
        let given = grant(&world, 20, 50, Some(2 * HOUR)).await;
        hold(&world, 50).await.unwrap();
        world
            .billing
            .set_overdraft(&world.cx(), (world.customer, "USD"), Overdraft { limit: base(7) })
            .await
            .unwrap();
        then.push((world.now(), world.balances().await));
        given.id
    };
    world.pass(3 * HOUR);
    world
        .billing
        .set_overdraft(&world.cx(), (world.customer, "USD"), Overdraft { limit: base(0) })
        .await
        .unwrap();
    world.billing.sweep_expired(&world.cx(), 10).await.unwrap();
    for (at, expected) in then {
        let at = Timestamp::from_unix_ms(at);
        let was = world.billing.wallet_at(&world.cx(), (world.customer, "USD"), at).await.unwrap();
        let got = (was.spendable.base(), was.held.base(), was.settled.or_zero().base());
        assert_eq!(got, expected, "{at}");
    }
    let before = Timestamp::from_unix_ms(crate::world::NOW - 1);
    let none = world.billing.wallet_at(&world.cx(), (world.customer, "USD"), before).await;
    assert_eq!(none.unwrap_err().code(), "not_found");
    assert!(grant_id.text().starts_with("grant_"));
}

#[tokio::test]
async fn a_closed_wallet_promises_nothing_and_keeps_what_it_has() {
    let world = World::new().await;
    world.credit(100).await;
    let placed = hold(&world, 40).await.unwrap();
    let state =
        async |state| world.billing.set_wallet_state(&world.cx(), (world.customer, "USD"), state).await;
    assert_eq!(state(WalletState::Closed).await.unwrap().state, WalletState::Closed);
    assert_eq!(hold(&world, 1).await.unwrap_err().code(), "wrong_state");
    world.billing.capture_hold(&world.cx(), &Owner, placed.id, &NewCapture::default()).await.unwrap();
    world.credit(10).await;
    assert_eq!(world.balances().await, (70, 0, 70));
    state(WalletState::Open).await.unwrap();
    hold(&world, 70).await.unwrap();
}

#[tokio::test]
async fn a_later_reading_never_has_a_lower_version() {
    let world = World::new().await;
    let mut last = 0;
    for _ in 0..3 {
        world.credit(1).await;
        let version = world.wallet().await.version;
        assert!(version > last, "{version} after {last}");
        last = version;
    }
}
