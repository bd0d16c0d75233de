//! The whole table of states and steps: what leads on, what is accepted again, and what does not.

use super::*;

/// How to get into each state, from a claim that is served first (at 1, with a lease until 50) or settled first.
fn paths() -> Vec<(&'static str, Vec<ClaimStep>)> {
    let refund = ClaimStep::Undelivered { holder: HOLDER, answer: None, amends: Amends::Refund };
    let due = vec![settle_and_begin("r", 50), refund];
    let refunding = [due.clone(), vec![begin_refund("p1")]].concat();
    vec![
        ("reserved", vec![]),
        ("begun", vec![begin_settlement()]),
        ("settling", vec![]),
        ("credit", vec![settle_for_later("r")]),
        ("delivering", vec![settle_and_begin("r", 50)]),
        ("delivered", vec![settle_and_begin("r", 50), delivered()]),
        ("refund_due", due),
        ("refunding", refunding.clone()),
        ("refunded", [refunding, vec![refunded("back")]].concat()),
        ("failed", vec![failed("no")]),
    ]
}

/// A step, when it is taken, from which states it leads to which; `again` where it is accepted and changes nothing. From
/// every other state it is refused.
type Row = (ClaimStep, u64, Vec<(&'static str, &'static str)>);

const AGAIN: &str = "again";

fn payment_rows() -> Vec<Row> {
    let begin_with = |answer| ClaimStep::BeginSettlement { holder: HOLDER, answer };
    let begin_by_other = ClaimStep::BeginSettlement { holder: OTHER, answer: None };
    let from_settling = |to| vec![("settling", to), ("begun", to)];
    let and = |mut rows: Vec<(&'static str, &'static str)>, more| {
        rows.push(more);
        rows
    };
    vec![
        (begin_settlement(), 40, vec![("reserved", "settling"), ("begun", AGAIN)]),
        // From 50 on the lease has run out.
        (begin_settlement(), 50, vec![("begun", AGAIN)]),
        (begin_by_other, 40, vec![]),
        (begin_with(Some(answer("it"))), 40, vec![("reserved", "settling")]),
        (settle_for_later("r"), 40, and(from_settling("credit"), ("credit", AGAIN))),
        (settle_for_later("other"), 40, from_settling("credit")),
        (settle_and_begin("r", 50), 40, and(from_settling("delivering"), ("delivering", AGAIN))),
        (settle_and_begin("r", 51), 40, from_settling("delivering")),
        (failed("no"), 40, and(from_settling("failed"), ("failed", AGAIN))),
        (failed("no"), 50, and(and(from_settling("failed"), ("failed", AGAIN)), ("reserved", "failed"))),
        (failed("other"), 40, from_settling("failed")),
        (failed_by(HOLDER, "no"), 40, vec![("reserved", "failed"), ("failed", AGAIN)]),
        (failed_by(HOLDER, "other"), 60, vec![("reserved", "failed")]),
        (failed_by(OTHER, "other"), 60, vec![]),
    ]
}

fn delivery_rows() -> Vec<Row> {
    let renew = |holder, until| ClaimStep::Renew(lease_of(holder, at(until)));
    let leased = |to: Option<&'static str>| {
        vec![("reserved", to.unwrap_or("reserved")), ("delivering", to.unwrap_or("delivering"))]
    };
    let by_other = |amends| ClaimStep::Undelivered { holder: OTHER, answer: None, amends };
    let refund = |answer| ClaimStep::Undelivered { holder: HOLDER, answer, amends: Amends::Refund };
    let waiting = vec![("credit", "delivering"), ("refund_due", "delivering")];
    vec![
        (begin(90), 40, waiting.clone()),
        (begin(91), 50, [waiting, vec![("delivering", "delivering")]].concat()),
        (renew(HOLDER, 90), 40, leased(None)),
        (renew(HOLDER, 90), 60, leased(None)),
        (renew(HOLDER, 50), 40, leased(Some(AGAIN))),
        (renew(HOLDER, 49), 40, leased(Some(AGAIN))),
        (renew(OTHER, 90), 40, vec![]),
        (renew(OTHER, 90), 60, vec![]),
        (ClaimStep::Interrupted { holder: HOLDER }, 49, vec![]),
        (ClaimStep::Interrupted { holder: HOLDER }, 50, vec![("delivering", "credit")]),
        (ClaimStep::Interrupted { holder: OTHER }, 60, vec![]),
        (delivered(), 40, vec![("delivering", "delivered"), ("delivered", AGAIN)]),
        (delivered(), 60, vec![("delivering", "delivered"), ("delivered", AGAIN)]),
        (
            ClaimStep::Delivered { holder: HOLDER, answer: Some(answer("it")) },
            40,
            vec![("delivering", "delivered")],
        ),
        (ClaimStep::Delivered { holder: OTHER, answer: None }, 60, vec![]),
        (undelivered(), 40, vec![("delivering", "credit")]),
        (undelivered(), 60, vec![("delivering", "credit")]),
        (refund(None), 40, vec![("delivering", "refund_due"), ("refund_due", AGAIN)]),
        (refund(Some(answer("it"))), 40, vec![("delivering", "refund_due")]),
        (by_other(Amends::Credit), 60, vec![]),
        (by_other(Amends::Refund), 60, vec![]),
    ]
}

fn refund_rows() -> Vec<Row> {
    vec![
        (begin_refund("p1"), 40, vec![("refund_due", "refunding"), ("refunding", AGAIN)]),
        (begin_refund("p2"), 40, vec![("refund_due", "refunding")]),
        (refunded("back"), 40, vec![("refunding", "refunded"), ("refunded", AGAIN)]),
        (refunded("other"), 40, vec![("refunding", "refunded")]),
        (ClaimStep::RefundFailed, 40, vec![("refunding", "refund_due")]),
        (ClaimStep::KeepCredit, 40, vec![("refund_due", "credit")]),
    ]
}

pub(super) async fn takes_every_step_that_leads_somewhere(store: &impl ClaimStore) {
    let rows = [payment_rows(), delivery_rows(), refund_rows()].concat();
    for (number, (step, now, leads)) in rows.into_iter().enumerate() {
        for (from, path) in paths() {
            let id = format!("{number} {from}");
            let mut new = new_claim(&id, &[&format!("key {id}")]);
            if ["reserved", "begun"].contains(&from) {
                new = serve_first(new, 50);
            }
            expect_claim(store, new, 1, "new").await;
            for before in path {
                expect_step(store, &id, before, 2, "ok").await;
            }
            let before = claim_of(store, &id).await;
            let to = leads.iter().find(|(state, _)| *state == from).map(|(_, to)| *to);
            let expected = if to.is_some() { "ok" } else { before.state.name() };
            expect_step(store, &id, step.clone(), now, expected).await;
            let after = claim_of(store, &id).await;
            if to.is_none_or(|to| to == AGAIN) {
                // A step that was refused, or taken before, leaves no trace.
                assert_eq!(format!("{after:?}"), format!("{before:?}"), "{step:?} of {id}");
                continue;
            }
            assert_eq!((Some(after.state.name()), after.changed), (to, at(now)), "{step:?} of {id}");
            // Again, later: the answer was lost on its way.
            expect_step(store, &id, step.clone(), now + 1_000, "ok").await;
            assert_eq!(format!("{:?}", claim_of(store, &id).await), format!("{after:?}"), "{step:?} of {id}");
        }
    }
    expect_step(store, "nobody", delivered(), 1, "unknown").await;
}

/// How often a delivery has begun, told once each.
pub(super) async fn counts_deliveries(store: &impl ClaimStore) {
    let count = async |expected: u32| assert_eq!(claim_of(store, "a").await.deliveries, expected);
    expect_claim(store, new_claim("a", &["k"]), 1, "new").await;
    count(0).await;
    for _ in 0..2 {
        expect_step(store, "a", settle_and_begin("r", 50), 2, "ok").await;
        count(1).await;
    }
    expect_step(store, "a", ClaimStep::Renew(lease(at(60))), 3, "ok").await;
    expect_step(store, "a", begin(90), 60, "ok").await;
    count(2).await;
    expect_step(store, "a", undelivered(), 61, "ok").await;
    expect_step(store, "a", begin(100), 62, "ok").await;
    expect_step(store, "a", begin(100), 63, "ok").await;
    count(3).await;
    expect_step(store, "a", delivered(), 64, "ok").await;
    count(3).await;
}
