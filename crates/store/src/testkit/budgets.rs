//! TC7: what settlements may spend within a sliding window.

use super::*;

/// TC7: what settlements may spend within a sliding window.
pub(super) async fn keeps_budgets(store: &impl ClaimStore) {
    let with = |id: &str, budget: &str, amount: u128, limit: u128| {
        let mut new = new_claim(id, &[&format!("key {id}")]);
        new.reservation = Some(reservation(budget, amount, limit, 100));
        new
    };
    expect_claim(store, with("a", "fees", 60, 100), 1_000, "new").await;
    expect_claim(store, with("b", "fees", 41, 100), 1_010, "over fees").await;
    expect_state(store, "b", "none").await;
    // Its key was not kept.
    expect_claim(store, new_claim("b2", &["key b"]), 1_010, "new").await;
    expect_claim(store, with("c", "fees", 40, 100), 1_020, "new").await;
    expect_claim(store, with("d", "fees", 1, 100), 1_030, "over fees").await;
    expect_claim(store, with("e", "other", 100, 100), 1_030, "new").await;
    // A failure gives its part back, a success does not.
    expect_step(store, "c", failed("reverted"), 1_040, "ok").await;
    expect_claim(store, with("f", "fees", 40, 100), 1_050, "new").await;
    expect_step(store, "a", settle_for_later("r"), 1_060, "ok").await;
    expect_claim(store, with("g", "fees", 1, 100), 1_099, "over fees").await;
    // The window slides: what was reserved at 1000 is outside it at 1100.
    expect_claim(store, with("g", "fees", 60, 100), 1_100, "new").await;
    expect_claim(store, with("h", "fees", 1, 100), 1_149, "over fees").await;
    expect_claim(store, with("h", "fees", 40, 100), 1_150, "new").await;
    // A limit that was lowered, sums past 128 bits, a single one above its limit.
    expect_claim(store, with("i", "fees", 1, 50), 1_151, "over fees").await;
    expect_claim(store, with("i", "fees", u128::MAX, u128::MAX), 1_151, "over fees").await;
    expect_claim(store, with("j", "fresh", 2, 1), 1_151, "over fresh").await;
    // A claim that exists is found before its budget is asked.
    expect_claim(store, with("h", "fees", 40, 100), 1_152, "existing settling").await;
    // Forgetting a claim gives nothing back.
    expect_step(store, "h", settle_and_begin("r", 2_000), 1_153, "ok").await;
    expect_step(store, "h", delivered(), 1_154, "ok").await;
    let mut long = with("k", "long", 10, 10);
    long.expires = at(1_155);
    long.reservation = Some(reservation("long", 10, 10, 1_000_000));
    expect_claim(store, long.clone(), 1_154, "new").await;
    expect_step(store, "k", settle_and_begin("r", 2_000), 1_154, "ok").await;
    expect_step(store, "k", delivered(), 1_154, "ok").await;
    assert_eq!(store.prune(at(1_156), 10).await, Ok(1));
    let mut next = with("l", "long", 1, 10);
    next.reservation = Some(reservation("long", 1, 10, 1_000_000));
    expect_claim(store, next, 1_160, "over long").await;
}

/// TC7: fees of a transaction that reverted are spent, and fees of one that was never sent are not.
pub(super) async fn keeps_what_failures_spent(store: &impl ClaimStore) {
    let with = |id: &str, key: &str, amount: u128| {
        let mut new = new_claim(id, &[key]);
        new.reservation = Some(reservation("fees", amount, 100, 100));
        new
    };
    for (step, fits) in [(failed("no"), 100), (failed_and_spent("no"), 40)] {
        let now = if fits == 100 { 1_000 } else { 2_000 };
        let id = format!("fits {fits}");
        expect_claim(store, with(&id, "k", 60), now, "new").await;
        // Said again, with the other word on the reservation too, it changes nothing.
        for again in [step.clone(), step, failed("no"), failed_and_spent("no")] {
            expect_step(store, &id, again, now + 1, "ok").await;
        }
        expect_step(store, &id, failed_and_spent("other"), now + 1, "failed").await;
        // The key is free either way.
        expect_claim(store, with(&format!("{id} over"), "k", fits + 1), now + 2, "over fees").await;
        expect_claim(store, with(&format!("{id} next"), "k", fits), now + 2, "new").await;
        expect_step(store, &format!("{id} next"), failed("no"), now + 3, "ok").await;
    }
    // Claimed anew at the instant of the first attempt: each attempt is counted by itself.
    for (place, (step, left)) in
        [(failed_and_spent("a"), 80), (failed("b"), 80), (failed_and_spent("c"), 60)].into_iter().enumerate()
    {
        expect_claim(store, with("again", "k2", 20), 3_000, "new").await;
        expect_step(store, "again", step, 3_000, "ok").await;
        expect_claim(store, with("probe", "k3", left + 1), 3_000, "over fees").await;
        expect_claim(store, with("probe", "k3", left), 3_000, "new").await;
        expect_step(store, "probe", failed("no"), 3_000, "ok").await;
        // Forgetting the claim gives nothing back, and what has left the window is forgotten.
        let forgotten = if place == 2 { 1 + 4 + 1 } else { 0 };
        assert_eq!(store.prune(at(if place == 2 { 5_001 } else { 3_000 }), 100).await, Ok(forgotten));
    }
    expect_claim(store, with("late", "k4", 100), 3_100, "new").await;
}

/// What was reserved for a claim that nobody serves any more is the budget's again, once.
pub(super) async fn gives_back_what_abandoned_ones_reserved(store: &impl ClaimStore) {
    let with = |id: &str, amount: u128| {
        let mut new = new_claim(id, &[&format!("key {id}")]);
        new.reservation = Some(reservation("fees", amount, 100, 1_000));
        new
    };
    expect_claim(store, serve_first(with("a", 60), 50), 1, "new").await;
    expect_claim(store, with("b", 41), 2, "over fees").await;
    // Claimed anew it counts once; where it does not fit, it stays as it was.
    expect_claim(store, serve_first(with("a", 101), 90), 50, "over fees").await;
    let claim = claim_of(store, "a").await;
    assert_eq!((claim.state, claim.changed), (ClaimState::Reserved { lease: lease(at(50)) }, at(1)));
    expect_claim(store, with("b", 41), 51, "over fees").await;
    expect_claim(store, serve_first(with("a", 100), 90), 52, "new").await;
    expect_claim(store, with("b", 1), 53, "over fees").await;
    expect_claim(store, serve_first(new_claim("a", &["key a"]), 190), 90, "new").await;
    expect_claim(store, with("b", 100), 91, "new").await;
    expect_step(store, "b", failed("no"), 92, "ok").await;
    // Failed by whoever holds it, or by anybody once it has run out.
    for (step, now) in [(failed_by(HOLDER, "no"), 180), (failed("no"), 190)] {
        let id = format!("c{now}");
        expect_claim(store, serve_first(with(&id, 100), 190), 100, "new").await;
        expect_claim(store, with("d", 1), 101, "over fees").await;
        expect_step(store, &id, step, now, "ok").await;
        expect_claim(store, with("d", 100), now, "new").await;
        expect_step(store, "d", failed("no"), now, "ok").await;
    }
    // Of a budget that another claim shares, only its own part.
    expect_claim(store, serve_first(with("e", 30), 300), 200, "new").await;
    expect_claim(store, with("f", 30), 200, "new").await;
    expect_claim(store, serve_first(with("e", 70), 400), 300, "new").await;
    expect_claim(store, with("g", 1), 301, "over fees").await;
    expect_step(store, "e", failed_by(HOLDER, "no"), 302, "ok").await;
    expect_claim(store, with("g", 71), 303, "over fees").await;
    expect_claim(store, with("g", 70), 303, "new").await;
}
