//! What every store of claims has to pass: a conformance suite that reads as the contract does, and [`Probe`], which shows
//! everything that can be observed of a store, so that two can be compared step by step.
//!
//! It panics where a store breaks the contract. It is no benchmark, and knows no store. [`postgres`] starts a server for tests.

use std::fmt::Write as _;
use std::future::Future;
use std::sync::Arc;

use farthing_money::{Amount, Asset, AssetKind, Money};
use farthing_protocol::UnixMs;
use farthing_protocol::ports::{
    AdvanceError, Amends, Claim, ClaimId, ClaimKey, ClaimOutcome, ClaimState, ClaimStep, ClaimStore,
    Delivery, First, IdempotencyKey, Lease, LeaseHolder, Listed, NewClaim, Page, Reservation,
    ReservationFate, Settled, SettlementPlan, StoredAnswer,
};

use crate::Limits;

mod answers;
mod at_once;
mod budgets;
mod claiming;
mod leases;
mod limits;
mod lists;
mod make;
#[cfg(unix)]
pub mod postgres;
mod probe;
mod steps;

pub use make::{
    HOLDER, OTHER, answer, begin_refund, begin_settlement, delivered, failed, failed_and_spent, failed_by,
    lease, lease_of, new_claim, refunded, reservation, same_request, serve_first, settled, undelivered,
};
pub use probe::{Operation, Probe};

use make::{at, begin, settle_and_begin, settle_for_later};

/// Who may have the store open beside us: what that means for [`ClaimStore::release_leases`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Nobody: one process owns it.
    Alone,
    /// Other processes.
    Shared,
}

/// Runs the whole suite, each part on a new and empty store from `make`.
///
/// # Panics
/// Where the store breaks the contract.
pub async fn claim_store_suite<S, F>(sharing: Sharing, make: impl Fn() -> F)
where
    S: ClaimStore + 'static,
    F: Future<Output = S>,
{
    claiming::claims_once(&make().await).await;
    claiming::keeps_what_it_was_given(&make().await).await;
    claiming::frees_what_failed(&make().await).await;
    claiming::claims_abandoned_ones_anew(&make().await).await;
    claiming::knows_a_request_by_its_key(&make().await).await;
    steps::takes_every_step_that_leads_somewhere(&make().await).await;
    steps::counts_deliveries(&make().await).await;
    budgets::keeps_budgets(&make().await).await;
    budgets::keeps_what_failures_spent(&make().await).await;
    budgets::gives_back_what_abandoned_ones_reserved(&make().await).await;
    leases::a_lease_is_its_holders(&make().await).await;
    leases::releases_leases(&make().await, sharing).await;
    answers::keeps_answers(&make().await).await;
    lists::lists_by_kind(&make().await).await;
    lists::pages_without_gaps(&make().await).await;
    lists::prunes_final_claims(&make().await).await;
    limits::refuses_what_is_too_large(&make().await).await;
    at_once::gives_one_of_many_at_once(Arc::new(make().await)).await;
    at_once::gives_a_request_to_one(Arc::new(make().await)).await;
    at_once::keeps_budgets_at_once(Arc::new(make().await)).await;
    assert!(make().await.epoch().await.is_ok(), "it names its history");
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

/// The claim with this id, which is there.
async fn claim_of(store: &impl ClaimStore, id: &str) -> Claim {
    store.get(&ClaimId(id.to_owned())).await.expect("the store answers").expect("it was claimed")
}

fn show_outcome(outcome: &ClaimOutcome) -> String {
    match outcome {
        ClaimOutcome::New => "new".into(),
        ClaimOutcome::Existing(claim) => format!("existing {}", claim.state.name()),
        ClaimOutcome::SameRequest(claim) => format!("same request as {}", claim.new.id),
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
