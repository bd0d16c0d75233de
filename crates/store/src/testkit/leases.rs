//! Leases: whose a claim is while it is served, and when it is nobody's.

use super::*;

/// A server that was away for longer than its lease finds that another one serves, and changes nothing.
pub(super) async fn a_lease_is_its_holders(store: &impl ClaimStore) {
    let mine = |until| lease_of(HOLDER, at(until));
    let others = |until| lease_of(OTHER, at(until));
    expect_claim(store, new_claim("a", &["k"]), 1, "new").await;
    expect_step(store, "a", settle_and_begin("r", 50), 2, "ok").await;
    expect_step(store, "a", ClaimStep::BeginDelivery(others(90)), 49, "delivering").await;
    // Renewed late, but before anybody took it.
    expect_step(store, "a", ClaimStep::Renew(mine(60)), 55, "ok").await;
    expect_step(store, "a", ClaimStep::BeginDelivery(others(90)), 59, "delivering").await;
    expect_step(store, "a", ClaimStep::BeginDelivery(others(90)), 60, "ok").await;
    let state = claim_of(store, "a").await.state;
    let refund =
        ClaimStep::Undelivered { holder: HOLDER, answer: Some(answer("late")), amends: Amends::Refund };
    for step in [
        ClaimStep::Renew(mine(200)),
        delivered(),
        undelivered(),
        refund,
        begin(99),
        settle_and_begin("r", 50),
    ] {
        expect_step(store, "a", step, 61, "delivering").await;
    }
    assert_eq!(claim_of(store, "a").await.state, state);
    assert_eq!(store.answer(&ClaimId("a".into())).await, Ok(None));
    // Renewals that overtake each other leave the later end.
    expect_step(store, "a", ClaimStep::Renew(others(120)), 62, "ok").await;
    expect_step(store, "a", ClaimStep::Renew(others(110)), 63, "ok").await;
    expect_step(store, "a", ClaimStep::BeginDelivery(mine(200)), 115, "delivering").await;
    expect_step(store, "a", ClaimStep::Delivered { holder: OTHER, answer: None }, 500, "ok").await;
    // A delivery whose holder has gone is a credit again: not before its lease has run out, and not once another has taken it.
    let interrupted = |holder| ClaimStep::Interrupted { holder };
    expect_claim(store, new_claim("gone", &["k3"]), 1, "new").await;
    expect_step(store, "gone", settle_and_begin("r", 50), 2, "ok").await;
    expect_step(store, "gone", interrupted(HOLDER), 49, "delivering").await;
    expect_step(store, "gone", interrupted(OTHER), 50, "delivering").await;
    expect_step(store, "gone", ClaimStep::Renew(mine(60)), 51, "ok").await;
    expect_step(store, "gone", interrupted(HOLDER), 59, "delivering").await;
    expect_step(store, "gone", ClaimStep::BeginDelivery(others(90)), 60, "ok").await;
    expect_step(store, "gone", interrupted(HOLDER), 91, "delivering").await;
    expect_step(store, "gone", interrupted(OTHER), 90, "ok").await;
    expect_step(store, "gone", interrupted(OTHER), 91, "ok").await;
    expect_state(store, "gone", "credit").await;
    expect_step(store, "gone", ClaimStep::Delivered { holder: OTHER, answer: None }, 92, "credit").await;
    expect_step(store, "gone", ClaimStep::BeginDelivery(mine(200)), 93, "ok").await;
    assert_eq!(claim_of(store, "gone").await.deliveries, 3);
    // A reservation likewise, and its settlement is not begun on a lease that has run out.
    expect_claim(store, serve_first(new_claim("b", &["k2"]), 50), 1, "new").await;
    expect_step(store, "b", begin_settlement(), 50, "reserved").await;
    expect_step(store, "b", ClaimStep::Renew(mine(80)), 55, "ok").await;
    expect_claim(store, serve_first(new_claim("b", &["k2"]), 99), 79, "existing reserved").await;
    expect_step(store, "b", begin_settlement(), 79, "ok").await;
    // From there on nobody holds it: what became of the money decides.
    expect_step(store, "b", failed_by(HOLDER, "no"), 79, "settling").await;
    expect_step(store, "b", ClaimStep::Renew(mine(90)), 79, "settling").await;
    expect_step(store, "b", settle_for_later("r"), 200, "ok").await;
}

/// Leases that nobody can hold are given back: all of them, or those that have run out where others may be alive.
pub(super) async fn releases_leases(store: &impl ClaimStore, sharing: Sharing) {
    for (id, step) in [
        ("credit", settle_for_later("r")),
        ("running", settle_and_begin("r", 1_000)),
        ("over", settle_and_begin("r", 3)),
        ("settled", failed("no")),
    ] {
        expect_claim(store, new_claim(id, &[id]), 1, "new").await;
        expect_step(store, id, step, 2, "ok").await;
    }
    for (id, until) in [("serving", 1_000), ("left", 3)] {
        let mut new = same_request(serve_first(new_claim(id, &[id]), until), id, 1);
        new.reservation = Some(reservation(id, 1, 1, 10_000));
        expect_claim(store, new, 1, "new").await;
    }
    let (first, running, serving) = match sharing {
        Sharing::Alone => (4, "credit", "failed"),
        Sharing::Shared => (2, "delivering", "reserved"),
    };
    assert_eq!(store.release_leases(at(3)).await, Ok(first));
    for (id, state) in [
        ("credit", "credit"),
        ("running", running),
        ("over", "credit"),
        ("settled", "failed"),
        ("serving", serving),
        ("left", "failed"),
    ] {
        expect_state(store, id, state).await;
    }
    assert_eq!(claim_of(store, "over").await.changed, at(3));
    assert_eq!(store.release_leases(at(4)).await, Ok(0));
    assert_eq!(store.release_leases(at(1_000)).await, Ok(4 - first));
    // Everything that those held which failed is free again.
    for id in ["serving", "left"] {
        let mut next = same_request(new_claim(&format!("{id} next"), &[id]), id, 1);
        next.reservation = Some(reservation(id, 1, 1, 10_000));
        expect_claim(store, next, 1_001, "new").await;
    }
    // What was given back is nobody's: its holder's words come too late.
    for step in [delivered(), undelivered(), settle_and_begin("r", 1_000)] {
        expect_step(store, "running", step, 1_002, "credit").await;
    }
}
