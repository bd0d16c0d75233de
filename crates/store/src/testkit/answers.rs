//! Answers of the service: kept with their claim, replaced by a later one, forgotten with it.

use super::*;

pub(super) async fn keeps_answers(store: &impl ClaimStore) {
    let kept = async |id: &str, expected: Option<&str>| {
        let found = store.answer(&ClaimId(id.to_owned())).await.expect("the store answers");
        assert_eq!(found, expected.map(|body| *answer(body)), "answer of {id}");
        let claim = store.get(&ClaimId(id.to_owned())).await.expect("the store answers");
        assert_eq!(claim.is_some_and(|claim| claim.answered), expected.is_some(), "mark of {id}");
    };
    let left = |body: Option<&str>, amends| {
        let answer = body.map(answer);
        ClaimStep::Undelivered { holder: HOLDER, answer, amends }
    };
    kept("nobody", None).await;
    // Served first: answered before it is settled, and served from what was kept.
    expect_claim(store, serve_first(new_claim("a", &["a"]), 50), 1, "new").await;
    kept("a", None).await;
    let begin_with = ClaimStep::BeginSettlement { holder: HOLDER, answer: Some(answer("one")) };
    expect_step(store, "a", begin_with.clone(), 2, "ok").await;
    kept("a", Some("one")).await;
    expect_step(store, "a", begin_with, 3, "ok").await;
    expect_step(store, "a", settle_and_begin("r", 50), 4, "ok").await;
    // None does not take away what there is; another one takes its place.
    expect_step(store, "a", left(None, Amends::Credit), 5, "ok").await;
    kept("a", Some("one")).await;
    expect_step(store, "a", begin(60), 6, "ok").await;
    expect_step(store, "a", left(Some("two"), Amends::Refund), 7, "ok").await;
    kept("a", Some("two")).await;
    expect_step(store, "a", begin(70), 8, "ok").await;
    // A step that is refused keeps nothing.
    let others = ClaimStep::Delivered { holder: OTHER, answer: Some(answer("theirs")) };
    expect_step(store, "a", others, 9, "delivering").await;
    kept("a", Some("two")).await;
    let whole = ClaimStep::Delivered { holder: HOLDER, answer: Some(answer("three")) };
    expect_step(store, "a", whole, 9, "ok").await;
    kept("a", Some("three")).await;
    assert_eq!(store.prune(at(5_001), 10).await, Ok(1));
    kept("a", None).await;
    // What was answered and then not paid is nobody's.
    let mut new = serve_first(new_claim("b", &["b"]), 50);
    for again in [failed("no"), failed_and_spent("no")] {
        expect_claim(store, new.clone(), 10, "new").await;
        let begin_with = ClaimStep::BeginSettlement { holder: HOLDER, answer: Some(answer("free")) };
        expect_step(store, "b", begin_with, 11, "ok").await;
        expect_step(store, "b", again, 12, "ok").await;
        kept("b", None).await;
    }
    new.first = First::Settle;
    expect_claim(store, new, 13, "new").await;
    kept("b", None).await;
    // A large one, and an empty one.
    expect_step(store, "b", settle_and_begin("r", 50), 14, "ok").await;
    let mut large = answer("");
    large.body = vec![0xa5; 2 << 20];
    let step = ClaimStep::Undelivered { holder: HOLDER, answer: Some(large.clone()), amends: Amends::Credit };
    expect_step(store, "b", step, 15, "ok").await;
    assert_eq!(store.answer(&ClaimId("b".into())).await, Ok(Some(*large)));
    expect_step(store, "b", begin(60), 16, "ok").await;
    let empty = StoredAnswer { status: 204, headers: vec![], body: vec![] };
    let step = ClaimStep::Delivered { holder: HOLDER, answer: Some(Box::new(empty.clone())) };
    expect_step(store, "b", step, 17, "ok").await;
    assert_eq!(store.answer(&ClaimId("b".into())).await, Ok(Some(empty)));
}
