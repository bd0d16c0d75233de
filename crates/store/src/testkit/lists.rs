//! Lists, page by page, and what is forgotten.

use super::*;

async fn list(store: &impl ClaimStore, listed: Listed, page: Page) -> Vec<Claim> {
    store.list(listed, page).await.expect("the store answers")
}

/// Each kind lists its own, oldest change first, then by id as bytes are ordered.
pub(super) async fn lists_by_kind(store: &impl ClaimStore) {
    let refund = ClaimStep::Undelivered { holder: HOLDER, answer: None, amends: Amends::Refund };
    let delivered = ClaimStep::Delivered { holder: HOLDER, answer: None };
    let kinds: [(Listed, Vec<ClaimStep>); 5] = [
        (Listed::Settling, vec![]),
        (Listed::Credit, vec![settle_for_later("r")]),
        (Listed::RefundDue, vec![settle_and_begin("r", 50), refund.clone()]),
        (Listed::Delivered, vec![settle_and_begin("r", 50), delivered]),
        (Listed::Refunding, vec![settle_and_begin("r", 50), refund, begin_refund("p")]),
    ];
    for (kind, steps) in &kinds {
        for (name, now) in [("c", 30), ("a", 10), ("b", 20), ("B", 20), ("ä", 20), ("b2", 20)] {
            let id = format!("{name} {kind:?}");
            expect_claim(store, new_claim(&id, &[&id]), now, "new").await;
            for step in steps {
                expect_step(store, &id, step.clone(), now, "ok").await;
            }
        }
    }
    for (name, now, until) in [("c", 30, 40), ("a", 10, 45), ("b", 20, 41), ("B", 20, 90)] {
        let id = format!("{name} Abandoned");
        expect_claim(store, serve_first(new_claim(&id, &[&id]), until), now, "new").await;
    }
    for (kind, _) in &kinds {
        for (before, limit, expected) in [
            (9, 10, vec![]),
            (10, 10, vec!["a"]),
            (29, 10, vec!["a", "B", "b", "b2", "ä"]),
            (u64::MAX, 10, vec!["a", "B", "b", "b2", "ä", "c"]),
            (u64::MAX, 2, vec!["a", "B"]),
            (u64::MAX, 0, vec![]),
        ] {
            let found = list(store, *kind, Page { before: at(before), after: None, limit }).await;
            let ids: Vec<_> = found.iter().map(|claim| claim.new.id.0.clone()).collect();
            let expected: Vec<_> = expected.iter().map(|name| format!("{name} {kind:?}")).collect();
            assert_eq!(ids, expected, "{kind:?} before {before}, at most {limit}");
            assert!(found.iter().all(|claim| claim.state.name() != "reserved"));
        }
    }
    for (name, now, until) in [("c", 30, 40), ("a", 10, 45), ("b", 20, 41), ("B", 20, 90)] {
        let id = format!("{name} Interrupted");
        expect_claim(store, new_claim(&id, &[&id]), now, "new").await;
        expect_step(store, &id, settle_and_begin("r", until), now, "ok").await;
    }
    // Of what is reserved or delivered, when the lease ran out decides; the order is the same.
    for kind in [Listed::Abandoned, Listed::Interrupted] {
        for (before, expected) in [(39, vec![]), (41, vec!["b", "c"]), (45, vec!["a", "b", "c"])] {
            let found = list(store, kind, Page { before: at(before), after: None, limit: 10 }).await;
            let ids: Vec<_> = found.iter().map(|claim| claim.new.id.0.clone()).collect();
            let expected: Vec<_> = expected.iter().map(|name| format!("{name} {kind:?}")).collect();
            assert_eq!(ids, expected, "{kind:?} before {before}");
        }
    }
}

/// Page after page, every claim that was there all the time comes once, whatever comes and goes between them.
pub(super) async fn pages_without_gaps(store: &impl ClaimStore) {
    for n in 0..20 {
        let id = format!("{:02}", (n * 7) % 20);
        expect_claim(store, new_claim(&id, &[&id]), 10 + n / 3, "new").await;
        expect_step(store, &id, settle_for_later("r"), 10 + n / 3, "ok").await;
    }
    let whole = list(store, Listed::Credit, Page { before: at(1_000), after: None, limit: 100 }).await;
    assert_eq!(whole.len(), 20);
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page =
            list(store, Listed::Credit, Page { before: at(1_000), after: after.clone(), limit: 3 }).await;
        let Some(last) = page.last() else { break };
        after = Some((last.changed, last.new.id.clone()));
        seen.extend(page.iter().map(|claim| claim.new.id.0.clone()));
        // One that was listed goes; one that was not goes further back, and one comes that is older than the page.
        match seen.len() {
            3 => expect_step(store, &seen[0], begin(2_000), 500, "ok").await,
            6 => {
                let later = &whole[10].new.id.0;
                expect_step(store, later, begin(2_000), 600, "ok").await;
                expect_step(store, later, undelivered(), 601, "ok").await;
            }
            9 => {
                expect_claim(store, new_claim("early", &["early"]), 1, "new").await;
                expect_step(store, "early", settle_for_later("r"), 1, "ok").await;
            }
            _ => {}
        }
    }
    let mut expected: Vec<_> = whole.iter().map(|claim| claim.new.id.0.clone()).collect();
    let moved = expected.remove(10);
    expected.push(moved);
    assert_eq!(seen, expected);
    let page = Page { before: at(10), after: Some((at(u64::MAX), ClaimId("x".into()))), limit: 10 };
    assert_eq!(list(store, Listed::Credit, page).await.len(), 0);
}

pub(super) async fn prunes_final_claims(store: &impl ClaimStore) {
    let refund = ClaimStep::Undelivered { holder: HOLDER, answer: None, amends: Amends::Refund };
    let mut reserved = serve_first(new_claim("reserved", &["reserved"]), 2);
    reserved.expires = at(10);
    expect_claim(store, reserved, 1, "new").await;
    for (id, expires, steps) in [
        ("settling", 10, vec![]),
        ("credit", 10, vec![settle_for_later("r")]),
        ("delivering", 10, vec![settle_and_begin("r", 50)]),
        ("delivered", 10, vec![settle_and_begin("r", 50), delivered()]),
        ("delivered late", 20, vec![settle_and_begin("r", 50), delivered()]),
        ("failed", 11, vec![failed("no")]),
        ("refund due", 10, vec![settle_and_begin("r", 50), refund.clone()]),
        ("refunding", 10, vec![settle_and_begin("r", 50), refund.clone(), begin_refund("p")]),
        ("refunded", 12, vec![settle_and_begin("r", 50), refund.clone(), begin_refund("p"), refunded("b")]),
    ] {
        let mut new = new_claim(id, &[id]);
        new.expires = at(expires);
        expect_claim(store, new, 1, "new").await;
        for step in steps {
            expect_step(store, id, step, 2, "ok").await;
        }
    }
    assert_eq!(store.prune(at(10), 10).await, Ok(0));
    assert_eq!(store.prune(at(20), 1).await, Ok(1), "the oldest first");
    expect_state(store, "delivered", "none").await;
    expect_state(store, "failed", "failed").await;
    assert_eq!(store.prune(at(20), 1).await, Ok(1));
    expect_state(store, "failed", "none").await;
    expect_state(store, "refunded", "refunded").await;
    assert_eq!(store.prune(at(20), 10).await, Ok(1));
    for (id, state) in [
        ("failed", "none"),
        ("delivered late", "delivered"),
        ("credit", "credit"),
        ("settling", "settling"),
        ("delivering", "delivering"),
        ("reserved", "reserved"),
        ("refund due", "refund_due"),
        ("refunding", "refunding"),
        ("refunded", "none"),
    ] {
        expect_state(store, id, state).await;
    }
    // What is forgotten holds nothing any more.
    expect_claim(store, new_claim("anew", &["delivered", "failed", "refunded"]), 30, "new").await;
}
