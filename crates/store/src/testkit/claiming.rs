//! Who gets a claim, and what is kept of it.

use super::*;

/// C21, CH1: one id, one set of money, one claim.
pub(super) async fn claims_once(store: &impl ClaimStore) {
    expect_claim(store, new_claim("a", &["k1", "k2"]), 1, "new").await;
    expect_claim(store, new_claim("a", &["k1", "k2"]), 2, "existing settling").await;
    // The same set in another order, and with a repetition.
    expect_claim(store, new_claim("a", &["k2", "k1", "k2"]), 2, "existing settling").await;
    expect_claim(store, new_claim("a", &["k1"]), 2, "taken a").await;
    expect_claim(store, new_claim("a", &["k1", "k2", "k3"]), 2, "taken a").await;
    expect_claim(store, new_claim("b", &["k2"]), 2, "taken k2").await;
    // None of its keys stays behind from a claim that was refused.
    expect_claim(store, new_claim("c", &["k3", "k1"]), 2, "taken k1").await;
    expect_claim(store, new_claim("d", &["k3"]), 2, "new").await;
    expect_state(store, "b", "none").await;
    expect_state(store, "c", "none").await;
}

pub(super) async fn keeps_what_it_was_given(store: &impl ClaimStore) {
    let mut new = same_request(serve_first(new_claim("a", &["k2", "k1"]), 90), "request", 9);
    new.reservation = Some(reservation("fees", u128::MAX, u128::MAX, 1_000));
    expect_claim(store, new.clone(), 7, "new").await;
    let mut bare = new_claim("b", &["k3"]);
    (bare.payer, bare.paid, bare.bound) = (None, None, None);
    expect_claim(store, bare.clone(), 8, "new").await;
    let reserved = ClaimState::Reserved { lease: lease(at(90)) };
    for (expected, state, changed) in [(&new, reserved, 7), (&bare, ClaimState::Settling, 8)] {
        let claim = claim_of(store, &expected.id.0).await;
        assert_eq!(format!("{:?}", claim.new), format!("{expected:?}"));
        assert_eq!((claim.state, claim.changed), (state, at(changed)));
        assert_eq!((claim.new.plan.data, claim.new.first), (expected.plan.data.clone(), expected.first));
        assert_eq!((claim.deliveries, claim.answered), (0, false));
    }
    expect_step(store, "b", settle_and_begin("0xabc", 99), 9, "ok").await;
    let claim = claim_of(store, "b").await;
    let expected = ClaimState::Delivering { settled: settled("0xabc"), lease: lease(at(99)) };
    assert_eq!((claim.state, claim.changed), (expected, at(9)));
    // A reason may be anything that somebody else's service said.
    expect_claim(store, new_claim("c", &["k4"]), 10, "new").await;
    expect_step(store, "c", failed("zero \0, ü and \"quotes\""), 11, "ok").await;
    let claim = claim_of(store, "c").await;
    assert_eq!(claim.state, ClaimState::Failed { why: "zero \0, ü and \"quotes\"".into() });
}

pub(super) async fn frees_what_failed(store: &impl ClaimStore) {
    expect_claim(store, new_claim("a", &["k1", "k2"]), 1, "new").await;
    expect_step(store, "a", failed("reverted"), 2, "ok").await;
    expect_state(store, "a", "failed").await;
    // Its keys are free for another credential, and not for itself any more.
    expect_claim(store, new_claim("b", &["k1"]), 3, "new").await;
    expect_claim(store, new_claim("a", &["k1", "k2"]), 3, "taken k1").await;
    expect_state(store, "a", "failed").await;
    // Claimed anew, with other keys too.
    let mut again = new_claim("a", &["k2", "k9"]);
    again.scope = "GET /other".into();
    expect_claim(store, again, 4, "new").await;
    let claim = store.get(&ClaimId("a".into())).await.expect("it answers").expect("it is there");
    assert_eq!((claim.new.scope.as_str(), claim.new.keys.len(), claim.changed), ("GET /other", 2, at(4)));
    expect_claim(store, new_claim("c", &["k9"]), 5, "taken k9").await;
}

/// What was reserved by a process that went away is claimed anew by the same credential, and by no other.
pub(super) async fn claims_abandoned_ones_anew(store: &impl ClaimStore) {
    let first = same_request(serve_first(new_claim("a", &["k1", "k2"]), 50), "request", 1);
    expect_claim(store, first.clone(), 1, "new").await;
    expect_claim(store, first.clone(), 49, "existing reserved").await;
    // Until it fails, everything that it has is its own, run out or not.
    expect_claim(store, new_claim("b", &["k2"]), 60, "taken k2").await;
    expect_claim(store, new_claim("a", &["k1"]), 60, "taken a").await;
    let other = same_request(new_claim("b", &["k3"]), "request", 1);
    expect_claim(store, other.clone(), 60, "same request as a").await;
    let mut again = same_request(serve_first(new_claim("a", &["k2", "k1"]), 90), "another", 2);
    again.first = First::Serve(lease_of(OTHER, at(90)));
    expect_claim(store, again.clone(), 50, "new").await;
    let claim = claim_of(store, "a").await;
    assert_eq!(
        (claim.state, claim.changed),
        (ClaimState::Reserved { lease: lease_of(OTHER, at(90)) }, at(50))
    );
    assert_eq!(claim.new.idempotency, again.idempotency);
    // Whoever held it before holds it no more, and its request's name is free.
    expect_step(store, "a", begin_settlement(), 55, "reserved").await;
    expect_step(store, "a", failed_by(HOLDER, "no"), 55, "reserved").await;
    expect_claim(store, other, 60, "new").await;
    // The other way round: settled first this time.
    expect_claim(store, new_claim("a", &["k1", "k2"]), 90, "new").await;
    expect_state(store, "a", "settling").await;
    expect_claim(store, new_claim("a", &["k1", "k2"]), 900, "existing settling").await;
    expect_claim(store, new_claim("c", &["k1"]), 900, "taken k1").await;
}

/// C23: one live claim under one idempotency key, whoever asks.
pub(super) async fn knows_a_request_by_its_key(store: &impl ClaimStore) {
    let with =
        |id: &str, key: &str, request: u8| same_request(new_claim(id, &[&format!("key {id}")]), key, request);
    expect_claim(store, with("a", "one", 1), 1, "new").await;
    // The same credential is the same claim, whatever it says of its request.
    expect_claim(store, with("a", "one", 1), 2, "existing settling").await;
    expect_claim(store, with("a", "two", 1), 2, "existing settling").await;
    // Another credential is not claimed: nothing of it is kept. Which request it was is for the caller to compare.
    expect_claim(store, with("b", "one", 1), 2, "same request as a").await;
    expect_claim(store, with("c", "one", 2), 2, "same request as a").await;
    expect_state(store, "b", "none").await;
    expect_claim(store, with("d", "two", 1), 3, "new").await;
    let mut reserved = with("b", "three", 1);
    reserved.reservation = Some(reservation("fees", 5, 4, 100));
    expect_claim(store, reserved, 3, "over fees").await;
    expect_claim(store, with("b", "three", 1), 3, "new").await;
    // Money that is taken is told before a request that is known.
    let mut taken = with("e", "one", 1);
    taken.keys = vec![ClaimKey("key b".into())];
    expect_claim(store, taken, 3, "taken key b").await;
    // A failed claim's name is free; a delivered one's is not until it is forgotten.
    expect_step(store, "a", failed("no"), 4, "ok").await;
    expect_claim(store, with("f", "one", 2), 5, "new").await;
    expect_claim(store, with("a", "one", 1), 5, "same request as f").await;
    expect_claim(store, with("a", "four", 1), 5, "new").await;
    expect_step(store, "f", settle_and_begin("r", 50), 6, "ok").await;
    expect_step(store, "f", delivered(), 7, "ok").await;
    expect_claim(store, with("g", "one", 2), 8, "same request as f").await;
    assert_eq!(store.prune(at(5_001), 10).await, Ok(1));
    expect_claim(store, with("g", "one", 2), 9, "new").await;
    // Two that fail under one key, one after the other, are in nobody's way.
    for id in ["h", "i", "j"] {
        expect_claim(store, with(id, "five", 1), 10, "new").await;
        expect_step(store, id, failed("no"), 10, "ok").await;
    }
}
