//! What is too large is refused before anything is written.

use super::*;

pub(super) async fn refuses_what_is_too_large(store: &impl ClaimStore) {
    let long = "x".repeat(Limits::NAME_BYTES + 1);
    let change = |edit: &dyn Fn(&mut NewClaim)| {
        let mut new = new_claim("a", &["k"]);
        edit(&mut new);
        new
    };
    for new in [
        change(&|new| new.id.0.clone_from(&long)),
        change(&|new| new.id.0.clear()),
        change(&|new| new.keys.clear()),
        change(&|new| new.keys = vec![ClaimKey(long.clone())]),
        change(&|new| new.keys = (0..=Limits::KEYS).map(|n| ClaimKey(n.to_string())).collect()),
        change(&|new| new.scope.clone_from(&long)),
        change(&|new| new.payer = Some(long.clone())),
        change(&|new| new.plan.data = "x".repeat(Limits::PLAN_BYTES).into()),
        change(&|new| new.reservation = Some(reservation(&long, 1, 1, 1))),
        change(&|new| new.expires = at(u64::MAX)),
        change(&|new| *new = same_request(new.clone(), &long, 1)),
        change(&|new| *new = same_request(new.clone(), "", 1)),
        change(&|new| *new = serve_first(new.clone(), u64::MAX)),
        change(&|new| new.id.0.push('\0')),
        change(&|new| new.payer = Some("zero \0".into())),
    ] {
        let shown = format!("{:.80?}", new);
        let error = store.claim(new, at(1)).await.expect_err(&shown);
        assert!(error.detail.contains("nothing was written"), "{error}");
        assert!(!error.detail.contains("xxxx"), "an error does not repeat what was too large");
    }
    expect_claim(store, new_claim("a", &["k"]), 1, "new").await;
    let (mut too_long, mut too_many) = (answer(""), answer(""));
    too_long.body = vec![0; Limits::ANSWER_BYTES + 1];
    too_many.headers = vec![("x".into(), vec![b'x'; 1024]); Limits::ANSWER_HEADERS_BYTES / 1024];
    let mut heavy = settled("r");
    heavy.reference = "x".repeat(Limits::SETTLED_BYTES);
    for step in [
        ClaimStep::Settled { settled: heavy, delivery: Delivery::Later },
        failed(&"x".repeat(Limits::WHY_BYTES + 1)),
        settle_and_begin("r", u64::MAX),
        ClaimStep::Renew(lease(at(u64::MAX))),
        begin_refund(&"x".repeat(Limits::PLAN_BYTES)),
        ClaimStep::Delivered { holder: HOLDER, answer: Some(too_long) },
        ClaimStep::BeginSettlement { holder: HOLDER, answer: Some(too_many) },
    ] {
        let result = store.advance(&ClaimId("a".into()), step, at(2)).await;
        assert!(matches!(result, Err(AdvanceError::Store(_))), "{result:?}");
    }
    expect_state(store, "a", "settling").await;
}
