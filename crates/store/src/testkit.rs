//! What every store of claims has to pass: a conformance suite that reads as the contract does, and [`Probe`], which shows
//! everything that can be observed of a store, so that two can be compared step by step.
//!
//! It panics where a store breaks the contract. It is no benchmark, and knows no store.

use std::fmt::Write as _;
use std::future::Future;
use std::sync::Arc;

use farthing_money::Amount;
use farthing_protocol::UnixMs;
use farthing_protocol::ports::{
    AdvanceError, ClaimId, ClaimKey, ClaimOutcome, ClaimState, ClaimStep, ClaimStore, Delivery, NewClaim,
    Reservation, ReservationFate, Settled, SettlementPlan,
};

use crate::Limits;

/// A claim with this id and these keys, and plain other parts.
#[must_use]
pub fn new_claim(id: &str, keys: &[&str]) -> NewClaim {
    NewClaim {
        id: ClaimId(id.to_owned()),
        keys: keys.iter().map(|key| ClaimKey((*key).to_owned())).collect(),
        scope: "GET /paid".into(),
        payer: Some("did:pkh:eip155:1337:0x00000000000000000000000000000000000000aa".into()),
        plan: SettlementPlan {
            rail: "test:1".into(),
            data: serde_json::json!({ "raw": "0x76ff", "deep": { "n": 1, "none": null } }),
        },
        reservation: None,
        expires: UnixMs::from_ms(5_000),
    }
}

/// What was settled, with this reference.
#[must_use]
pub fn settled(reference: &str) -> Settled {
    let mut extra = serde_json::Map::new();
    extra.insert("chainId".into(), 1337.into());
    Settled {
        reference: reference.to_owned(),
        at: UnixMs::from_ms(1_700_000_000_123),
        external_id: Some("order \"7\" ü".into()),
        extra,
    }
}

/// `amount` of a budget of `limit` in a window of `window_ms`.
#[must_use]
pub fn reservation(budget: &str, amount: u128, limit: u128, window_ms: u64) -> Reservation {
    Reservation {
        budget: budget.to_owned(),
        amount: Amount::from_base(amount),
        limit: Amount::from_base(limit),
        window_ms,
    }
}

const fn at(ms: u64) -> UnixMs {
    UnixMs::from_ms(ms)
}

fn settle_and_begin(reference: &str, lease_until: u64) -> ClaimStep {
    let delivery = Delivery::Begin { lease_until: at(lease_until) };
    ClaimStep::Settled { settled: settled(reference), delivery }
}

fn settle_for_later(reference: &str) -> ClaimStep {
    ClaimStep::Settled { settled: settled(reference), delivery: Delivery::Later }
}

/// A failure that gives its reservation back.
#[must_use]
pub fn failed(why: &str) -> ClaimStep {
    ClaimStep::Failed { why: why.to_owned(), reservation: ReservationFate::Released }
}

/// A failure that spent its reservation all the same.
#[must_use]
pub fn failed_and_spent(why: &str) -> ClaimStep {
    ClaimStep::Failed { why: why.to_owned(), reservation: ReservationFate::Spent }
}

fn begin(lease_until: u64) -> ClaimStep {
    ClaimStep::BeginDelivery { lease_until: at(lease_until) }
}

/// Runs the whole suite, each part on a new and empty store from `make`.
///
/// # Panics
/// Where the store breaks the contract.
pub async fn claim_store_suite<S, F>(make: impl Fn() -> F)
where
    S: ClaimStore + 'static,
    F: Future<Output = S>,
{
    claims_once(&make().await).await;
    keeps_what_it_was_given(&make().await).await;
    takes_every_step_that_leads_somewhere(&make().await).await;
    frees_what_failed(&make().await).await;
    keeps_budgets(&make().await).await;
    keeps_what_failures_spent(&make().await).await;
    lists_unresolved(&make().await).await;
    releases_leases(&make().await).await;
    prunes_final_claims(&make().await).await;
    refuses_what_is_too_large(&make().await).await;
    gives_one_of_many_at_once(Arc::new(make().await)).await;
}

/// Claims and expects that outcome, by its name: `new`, `existing`, `taken <what>`, `over <budget>`.
async fn expect_claim(store: &impl ClaimStore, new: NewClaim, now: u64, expected: &str) {
    let shown = show_outcome(&store.claim(new.clone(), at(now)).await.expect("the store answers"));
    assert_eq!(shown, expected, "claim {new:?} at {now}");
}

/// Takes a step and expects `ok`, `unknown`, or the name of the state that it does not start from.
async fn expect_step(store: &impl ClaimStore, id: &str, step: ClaimStep, now: u64, expected: &str) {
    let shown = show_step(&store.advance(&ClaimId(id.to_owned()), step.clone(), at(now)).await);
    assert_eq!(shown, expected, "{step:?} of {id} at {now}");
}

/// Expects this state, by name; `none` when there is no such claim.
async fn expect_state(store: &impl ClaimStore, id: &str, expected: &str) {
    let claim = store.get(&ClaimId(id.to_owned())).await.expect("the store answers");
    assert_eq!(claim.as_ref().map_or("none", |claim| claim.state.name()), expected, "state of {id}");
}

fn show_outcome(outcome: &ClaimOutcome) -> String {
    match outcome {
        ClaimOutcome::New => "new".into(),
        ClaimOutcome::Existing(claim) => format!("existing {}", claim.state.name()),
        ClaimOutcome::Taken { what } => format!("taken {what}"),
        ClaimOutcome::OverBudget { budget } => format!("over {budget}"),
    }
}

fn show_step(result: &Result<(), AdvanceError>) -> String {
    match result {
        Ok(()) => "ok".into(),
        Err(AdvanceError::Unknown { .. }) => "unknown".into(),
        Err(AdvanceError::WrongState { state }) => (*state).to_owned(),
        Err(other) => format!("error: {other}"),
    }
}

/// C21, CH1: one id, one set of money, one claim.
async fn claims_once(store: &impl ClaimStore) {
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

async fn keeps_what_it_was_given(store: &impl ClaimStore) {
    let mut new = new_claim("a", &["k2", "k1"]);
    new.reservation = Some(reservation("fees", u128::MAX, u128::MAX, 1_000));
    expect_claim(store, new.clone(), 7, "new").await;
    let mut bare = new_claim("b", &["k3"]);
    bare.payer = None;
    expect_claim(store, bare.clone(), 8, "new").await;
    for (expected, changed) in [(&new, 7), (&bare, 8)] {
        let claim = store.get(&expected.id).await.expect("the store answers").expect("it was claimed");
        assert_eq!(format!("{:?}", claim.new), format!("{expected:?}"));
        assert_eq!((claim.state, claim.changed), (ClaimState::Settling, at(changed)));
    }
    expect_step(store, "a", settle_and_begin("0xabc", 99), 9, "ok").await;
    let claim = store.get(&new.id).await.expect("the store answers").expect("it was claimed");
    let expected = ClaimState::Delivering { settled: settled("0xabc"), lease_until: at(99) };
    assert_eq!((claim.state, claim.changed), (expected, at(9)));
}

/// The whole table of states and steps: what leads on, what is accepted again, and what does not.
async fn takes_every_step_that_leads_somewhere(store: &impl ClaimStore) {
    let paths: [(&str, Vec<ClaimStep>); 5] = [
        ("settling", vec![]),
        ("credit", vec![settle_for_later("r")]),
        ("delivering", vec![settle_and_begin("r", 50)]),
        ("delivered", vec![settle_and_begin("r", 50), ClaimStep::Delivered]),
        ("failed", vec![failed("no")]),
    ];
    let same = "same";
    // Step, and what becomes of each of the five states above: a state, or `same` when the step is refused.
    let table: [(ClaimStep, [&str; 5]); 10] = [
        (settle_for_later("r"), ["credit", "credit", same, same, same]),
        (settle_for_later("other"), ["credit", same, same, same, same]),
        (settle_and_begin("r", 50), ["delivering", same, "delivering", same, same]),
        (settle_and_begin("r", 51), ["delivering", same, same, same, same]),
        (failed("no"), ["failed", same, same, same, "failed"]),
        (failed("other"), ["failed", same, same, same, same]),
        // At 40 the lease is running.
        (begin(90), [same, "delivering", same, same, same]),
        (ClaimStep::Delivered, [same, same, "delivered", "delivered", same]),
        (ClaimStep::Undelivered, [same, same, "credit", same, same]),
        // At 50 it has run out; see below.
        (begin(91), [same, "delivering", "delivering", same, same]),
    ];
    for (row, (step, results)) in table.into_iter().enumerate() {
        for ((from, path), expected) in paths.iter().zip(results) {
            let id = format!("{row} {from}");
            expect_claim(store, new_claim(&id, &[&format!("key {id}")]), 1, "new").await;
            for before in path {
                expect_step(store, &id, before.clone(), 2, "ok").await;
            }
            let now = if step == begin(91) { 50 } else { 40 };
            let answer = if expected == same { *from } else { "ok" };
            expect_step(store, &id, step.clone(), now, answer).await;
            expect_state(store, &id, if expected == same { from } else { expected }).await;
            // A step that was refused or taken before leaves no trace.
            let claim = store.get(&ClaimId(id.clone())).await.expect("it answers").expect("it is there");
            let moved =
                expected != same && expected != *from || step == begin(91) && expected == "delivering";
            assert_eq!(claim.changed == at(now), moved, "{step:?} of {id}");
        }
    }
    expect_step(store, "nobody", ClaimStep::Delivered, 1, "unknown").await;
}

async fn frees_what_failed(store: &impl ClaimStore) {
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

/// TC7: what settlements may spend within a sliding window.
async fn keeps_budgets(store: &impl ClaimStore) {
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
    expect_step(store, "h", ClaimStep::Delivered, 1_154, "ok").await;
    let mut long = with("k", "long", 10, 10);
    long.expires = at(1_155);
    long.reservation = Some(reservation("long", 10, 10, 1_000_000));
    expect_claim(store, long.clone(), 1_154, "new").await;
    expect_step(store, "k", settle_and_begin("r", 2_000), 1_154, "ok").await;
    expect_step(store, "k", ClaimStep::Delivered, 1_154, "ok").await;
    assert_eq!(store.prune(at(1_156), 10).await, Ok(1));
    let mut next = with("l", "long", 1, 10);
    next.reservation = Some(reservation("long", 1, 10, 1_000_000));
    expect_claim(store, next, 1_160, "over long").await;
}

/// TC7: fees of a transaction that reverted are spent, and fees of one that was never sent are not.
async fn keeps_what_failures_spent(store: &impl ClaimStore) {
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

async fn lists_unresolved(store: &impl ClaimStore) {
    for (id, now) in [("c", 30), ("a", 10), ("b", 20), ("b2", 20), ("gone", 5)] {
        expect_claim(store, new_claim(id, &[id]), now, "new").await;
    }
    expect_step(store, "gone", settle_for_later("r"), 6, "ok").await;
    for (before, limit, expected) in [
        (9, 10, vec![]),
        (10, 10, vec!["a"]),
        (29, 10, vec!["a", "b", "b2"]),
        (u64::MAX, 10, vec!["a", "b", "b2", "c"]),
        (u64::MAX, 2, vec!["a", "b"]),
        (u64::MAX, 0, vec![]),
    ] {
        let found = store.unresolved(at(before), limit).await.expect("the store answers");
        let ids: Vec<&str> = found.iter().map(|claim| claim.new.id.0.as_str()).collect();
        assert_eq!(ids, expected, "unresolved before {before}, at most {limit}");
    }
}

async fn releases_leases(store: &impl ClaimStore) {
    for (id, step) in [
        ("credit", settle_for_later("r")),
        ("leased", settle_and_begin("r", 1_000_000)),
        ("no", failed("no")),
    ] {
        expect_claim(store, new_claim(id, &[id]), 1, "new").await;
        expect_step(store, id, step, 2, "ok").await;
    }
    assert_eq!(store.release_leases(at(3)).await, Ok(1));
    assert_eq!(store.release_leases(at(4)).await, Ok(0));
    expect_state(store, "leased", "credit").await;
    expect_state(store, "no", "failed").await;
    let claim = store.get(&ClaimId("leased".into())).await.expect("it answers").expect("it is there");
    assert_eq!(claim.changed, at(3));
}

async fn prunes_final_claims(store: &impl ClaimStore) {
    for (id, expires, steps) in [
        ("settling", 10, vec![]),
        ("credit", 10, vec![settle_for_later("r")]),
        ("delivering", 10, vec![settle_and_begin("r", 50)]),
        ("delivered", 10, vec![settle_and_begin("r", 50), ClaimStep::Delivered]),
        ("delivered late", 20, vec![settle_and_begin("r", 50), ClaimStep::Delivered]),
        ("failed", 11, vec![failed("no")]),
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
    assert_eq!(store.prune(at(20), 10).await, Ok(1));
    for (id, state) in [
        ("failed", "none"),
        ("delivered late", "delivered"),
        ("credit", "credit"),
        ("settling", "settling"),
        ("delivering", "delivering"),
    ] {
        expect_state(store, id, state).await;
    }
    // What is forgotten holds nothing any more.
    expect_claim(store, new_claim("anew", &["delivered", "failed"]), 30, "new").await;
}

async fn refuses_what_is_too_large(store: &impl ClaimStore) {
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
    ] {
        let shown = format!("{:.80?}", new);
        let error = store.claim(new, at(1)).await.expect_err(&shown);
        assert!(error.detail.contains("nothing was written"), "{error}");
        assert!(!error.detail.contains("xxxx"), "an error does not repeat what was too large");
    }
    expect_claim(store, new_claim("a", &["k"]), 1, "new").await;
    let mut heavy = settled("r");
    heavy.reference = "x".repeat(Limits::SETTLED_BYTES);
    for step in [
        ClaimStep::Settled { settled: heavy, delivery: Delivery::Later },
        failed(&"x".repeat(Limits::WHY_BYTES + 1)),
        settle_and_begin("r", u64::MAX),
    ] {
        let result = store.advance(&ClaimId("a".into()), step, at(2)).await;
        assert!(matches!(result, Err(AdvanceError::Store(_))), "{result:?}");
    }
    expect_state(store, "a", "settling").await;
}

/// C24: of 64 copies at once, one claims, one begins each delivery, and one ends it.
async fn gives_one_of_many_at_once<S: ClaimStore + 'static>(store: Arc<S>) {
    let copies = 64;
    for round in 0..8 {
        let id = format!("c{round}");
        let claims = (0..copies).map(|_| {
            let (store, new) = (Arc::clone(&store), new_claim(&id, &[&format!("k{round}")]));
            tokio::spawn(async move { show_outcome(&store.claim(new, at(1)).await.expect("it answers")) })
        });
        assert_eq!(count(claims, "new").await, 1, "claims of round {round}");
        expect_step(&*store, &id, settle_for_later("r"), 2, "ok").await;
        let begins = (0..copies).map(|copy| {
            let (store, id) = (Arc::clone(&store), ClaimId(id.clone()));
            tokio::spawn(async move { show_step(&store.advance(&id, begin(100 + copy), at(3)).await) })
        });
        assert_eq!(count(begins, "ok").await, 1, "deliveries of round {round}");
        let ends = (0..copies).map(|_| {
            let (store, id) = (Arc::clone(&store), ClaimId(id.clone()));
            tokio::spawn(async move { show_step(&store.advance(&id, ClaimStep::Undelivered, at(4)).await) })
        });
        assert_eq!(count(ends, "ok").await, 1, "ends of round {round}");
    }
}

async fn count(tasks: impl Iterator<Item = tokio::task::JoinHandle<String>>, wanted: &str) -> usize {
    let tasks: Vec<_> = tasks.collect();
    let mut found = 0;
    for task in tasks {
        found += usize::from(task.await.expect("the task ends") == wanted);
    }
    found
}

/// One operation on a store: what a property test draws at random.
#[derive(Debug, Clone)]
pub enum Operation {
    /// Claim.
    Claim(Box<NewClaim>),
    /// Take a step.
    Advance(ClaimId, ClaimStep),
    /// Give every lease back.
    Release,
    /// Forget final claims.
    Prune {
        /// Of challenges that expired before this instant.
        expired_before: UnixMs,
        /// At most so many.
        limit: usize,
    },
}

/// Does things to a store and shows everything that can be observed of it.
#[derive(Debug)]
pub struct Probe<'a, S>(pub &'a S);

impl<S: ClaimStore> Probe<'_, S> {
    /// Does it, and shows the answer.
    pub async fn run(&self, operation: Operation, now: UnixMs) -> String {
        match operation {
            Operation::Claim(new) => match self.0.claim(*new, now).await {
                Ok(ClaimOutcome::Existing(claim)) => format!("existing {claim:?}"),
                Ok(outcome) => show_outcome(&outcome),
                Err(error) => format!("error: {error}"),
            },
            Operation::Advance(id, step) => show_step(&self.0.advance(&id, step, now).await),
            Operation::Release => format!("{:?}", self.0.release_leases(now).await),
            Operation::Prune { expired_before, limit } => {
                format!("{:?}", self.0.prune(expired_before, limit).await)
            }
        }
    }

    /// Every claim with one of these ids, and the list of the unresolved.
    ///
    /// # Panics
    /// When the store does not answer.
    pub async fn look(&self, ids: &[&str]) -> String {
        let mut shown = String::new();
        for id in ids {
            let claim = self.0.get(&ClaimId((*id).to_owned())).await.expect("the store answers");
            writeln!(shown, "{claim:?}").expect("a string takes everything");
        }
        let unresolved = self.0.unresolved(at(u64::MAX), 100).await.expect("the store answers");
        for claim in unresolved {
            writeln!(shown, "unresolved {}", claim.new.id).expect("a string takes everything");
        }
        shown
    }
}
