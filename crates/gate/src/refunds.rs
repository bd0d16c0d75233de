//! Giving money back: from a payment whose call was not served to a transfer to its payer.
//!
//! Planning moves nothing, and the step to `Refunding` decides whose plan is carried out: whoever comes second, or after the
//! payer has come for its call again, learns it there. Only a plan that is durable is sent, and what became of it is asked of
//! the chain as often as it takes. A refund that is known not to have happened is planned anew, later.

use std::sync::Arc;
use std::time::Duration;

use farthing_money::Money;
use farthing_protocol::ports::{
    Claim, ClaimId, ClaimState, ClaimStep, RefundError, RefundRequest, Refunder, Resolution, SettleError,
    Settled, SettlementPlan,
};

use crate::gate::Inner;
use crate::observe::GateEvent;
use crate::recover::{AbortOnDrop, Fate};

impl Inner {
    /// Begins to give this payment back.
    pub(crate) async fn refund(&self, claim: &Claim, patience: Duration) -> Fate {
        let (id, rail) = (&claim.new.id, claim.new.plan.rail.as_str());
        let Some(refunder) = self.refunders.get(rail) else {
            tracing::error!(claim = %id, rail, "money is to be given back, and no refunder is configured for its rail");
            return Fate::Pending;
        };
        let Some(settled) = claim.state.settled() else { return Fate::Closed };
        let (Some(payer), Some(paid)) = (&claim.new.payer, &claim.new.paid) else {
            tracing::warn!(claim = %id, "a payment is not given back, because who paid or how much is not known");
            return self.close(id, ClaimStep::KeepCredit, Fate::Closed).await;
        };
        let owed =
            Owed { id: id.clone(), payer: payer.clone(), paid: paid.clone(), settled: settled.clone() };
        let plan = match tokio::time::timeout(patience, plan(refunder, owed, self)).await {
            Ok(Ok(plan)) => plan,
            Ok(Err(RefundError::Impossible { code, why })) => {
                tracing::warn!(claim = %id, code, %why, "a payment cannot be given back, and stays a credit");
                return self.close(id, ClaimStep::KeepCredit, Fate::Closed).await;
            }
            Ok(Err(error)) => {
                tracing::warn!(claim = %id, rail, %error, "a payment cannot be given back now");
                return Fate::Pending;
            }
            Err(_) => {
                tracing::warn!(claim = %id, rail, "a refund was not prepared in time");
                return Fate::Pending;
            }
        };
        let begun = ClaimStep::BeginRefund { plan: plan.clone() };
        match self.close(id, begun, Fate::Refunded).await {
            Fate::Refunded => {}
            other => return other,
        }
        let sent = tokio::time::timeout(patience, send(refunder, plan, self)).await;
        match sent {
            Ok(Ok(refund)) => self.given_back(claim, refund).await,
            Ok(Err(SettleError::Rejected(problem) | SettleError::Reverted(problem))) => {
                tracing::warn!(claim = %id, rail, code = problem.code, "a refund was refused; it is tried again later");
                self.not_given_back(id).await
            }
            Ok(Err(error)) => {
                tracing::warn!(claim = %id, rail, %error, "the outcome of a refund is not known");
                Fate::Pending
            }
            Err(_) => {
                tracing::warn!(claim = %id, rail, "the outcome of a refund is not known: the rail took too long");
                Fate::Pending
            }
        }
    }

    /// Asks what became of a refund.
    pub(crate) async fn refunded(&self, claim: &Claim, patience: Duration) -> Fate {
        let (id, rail) = (&claim.new.id, claim.new.plan.rail.as_str());
        let ClaimState::Refunding { plan, .. } = &claim.state else { return Fate::Closed };
        let Some(refunder) = self.refunders.get(rail) else {
            tracing::error!(claim = %id, rail, "a refund is open, and no refunder is configured for its rail");
            return Fate::Pending;
        };
        let (refunder, plan, now) = (Arc::clone(refunder), plan.clone(), self.clock.now());
        let task = tokio::spawn(async move { refunder.resolve(&plan, now).await });
        let _abort = AbortOnDrop(task.abort_handle());
        match tokio::time::timeout(patience, task).await {
            Ok(Ok(Ok(Resolution::Settled(refund)))) => self.given_back(claim, refund).await,
            Ok(Ok(Ok(Resolution::Failed { why, .. }))) => {
                tracing::warn!(claim = %id, rail, %why, "a refund has failed; it is tried again later");
                self.not_given_back(id).await
            }
            Ok(Ok(Ok(Resolution::Pending))) => Fate::Pending,
            Ok(Ok(Err(error))) => {
                tracing::warn!(claim = %id, rail, %error, "a rail did not say what became of a refund");
                Fate::Pending
            }
            Ok(Err(_)) | Err(_) => {
                tracing::warn!(claim = %id, rail, "a rail panicked or took too long over a refund");
                Fate::Pending
            }
        }
    }

    async fn given_back(&self, claim: &Claim, refund: Settled) -> Fate {
        let fate = self.close(&claim.new.id, ClaimStep::Refunded { refund }, Fate::Refunded).await;
        if fate == Fate::Refunded {
            let (route, rail, money) = (&*claim.new.scope, &*claim.new.plan.rail, claim.new.paid.as_ref());
            self.observer.observe(GateEvent::Refunded { route, rail, money });
        }
        fate
    }

    async fn not_given_back(&self, id: &ClaimId) -> Fate {
        match self.close(id, ClaimStep::RefundFailed, Fate::Pending).await {
            Fate::Closed => Fate::Closed,
            _ => Fate::Pending,
        }
    }
}

/// What is to be given back.
struct Owed {
    id: ClaimId,
    payer: String,
    paid: Money,
    settled: Settled,
}

/// Plans in a task of its own, so that a rail that panics over one refund does not end the others.
async fn plan(
    refunder: &Arc<dyn Refunder>,
    owed: Owed,
    inner: &Inner,
) -> Result<SettlementPlan, RefundError> {
    let (refunder, now) = (Arc::clone(refunder), inner.clock.now());
    let task = tokio::spawn(async move {
        let Owed { id, payer, paid, settled } = &owed;
        refunder.plan(RefundRequest { claim: id, payer, paid, settled, now }).await
    });
    let _abort = AbortOnDrop(task.abort_handle());
    let panicked =
        |_| RefundError::Unavailable { code: "refund_panicked", why: "the rail panicked".to_owned() };
    task.await.map_err(panicked)?
}

/// Sends in a task of its own, so that a rail that panics over one refund does not end the others.
async fn send(
    refunder: &Arc<dyn Refunder>,
    plan: SettlementPlan,
    inner: &Inner,
) -> Result<Settled, SettleError> {
    let (refunder, now) = (Arc::clone(refunder), inner.clock.now());
    let task = tokio::spawn(async move { refunder.send(&plan, now).await });
    let _abort = AbortOnDrop(task.abort_handle());
    task.await.unwrap_or_else(|_| Err(SettleError::Unknown { detail: "the rail panicked".to_owned() }))
}
