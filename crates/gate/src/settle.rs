//! Asking a rail to settle, and telling whoever observes how that went: in one place for both orders of settlement.

use farthing_money::Money;
use farthing_protocol::ports::{SettleError, Settled, SettlementPlan, Verifier};
use tokio::time::Instant;
use tracing::Instrument;
use tracing::field::Empty;

use crate::gate::Inner;
use crate::observe::{GateEvent, SPANS};

/// What is settled.
pub(crate) struct Settling<'a> {
    pub(crate) route: &'a str,
    pub(crate) verifier: &'a dyn Verifier,
    pub(crate) plan: &'a SettlementPlan,
    pub(crate) money: Option<&'a Money>,
}

impl Inner {
    pub(crate) async fn settle(&self, what: Settling<'_>) -> Result<Settled, SettleError> {
        let Settling { route, verifier, plan, money } = what;
        let (rail, begun) = (verifier.rail(), Instant::now());
        let span = tracing::info_span!(target: SPANS, "settle", rail, code = Empty);
        let settlement = verifier.settle(plan, self.clock.now()).instrument(span.clone()).await;
        span.record("code", settlement.as_ref().err().map(settle_code));
        drop(span);
        let took = begun.elapsed();
        self.observer.observe(match &settlement {
            Ok(_) => GateEvent::Settled { route, rail, money, took },
            Err(SettleError::Unknown { .. }) => GateEvent::OutcomeUnknown { route, rail, took },
            Err(error) => GateEvent::SettleFailed { route, rail, code: settle_code(error), took },
        });
        if let Err(SettleError::Unknown { detail }) = &settlement {
            tracing::warn!(rail, %detail, "the outcome of a settlement is not known");
        }
        settlement
    }
}

/// The code of a payment that was not settled.
fn settle_code(error: &SettleError) -> &'static str {
    match error {
        SettleError::Rejected(problem) | SettleError::Reverted(problem) => problem.code,
        _ => "outcome_unknown",
    }
}
