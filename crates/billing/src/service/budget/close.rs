//! Closing budgets, and giving what a carved one has left back to where it came from, in the same commit.

use farthing_ledger::Step;

use super::amend::blamed;
use super::{Budget, BudgetView};
use crate::budget::delegation::Wish;
use crate::budget::{BudgetRejection, BudgetState, Plan};
use crate::id::{BudgetId, GroupId, group};
use crate::service::event::EventKind;
use crate::service::names::Named as _;
use crate::service::wallet::Part;
use crate::service::{ATTEMPTS, Authority, Billing, Cx, Draft, Fate, ServiceError};

impl Billing {
    /// Closes a budget for good: nothing is spent from it any more. Nothing may be in flight and no child open. What was carved
    /// out and is left goes back. Told again, it answers with the balances of then.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Delegation`]; [`ServiceError::Budget`] when it is closed, has children or has
    /// something in flight; and the store's.
    pub async fn close_budget(
        &self,
        cx: &Cx,
        by: &Authority,
        id: BudgetId,
    ) -> Result<BudgetView, ServiceError> {
        self.wind_up(cx, by, id, BudgetState::Open).await
    }

    /// Gives back what came to a carved budget after it was closed: refunds of what it had spent.
    ///
    /// # Errors
    /// As [`Billing::close_budget`]; [`ServiceError::Budget`] when it is open, or not carved.
    pub async fn reclaim_budget(
        &self,
        cx: &Cx,
        by: &Authority,
        id: BudgetId,
    ) -> Result<BudgetView, ServiceError> {
        self.wind_up(cx, by, id, BudgetState::Closed).await
    }

    async fn wind_up(
        &self,
        cx: &Cx,
        by: &Authority,
        id: BudgetId,
        expects: BudgetState,
    ) -> Result<BudgetView, ServiceError> {
        for _ in 0..ATTEMPTS {
            if let Some(done) = self.replay::<Budget>(cx).await? {
                return self.view_budget(cx, done).await;
            }
            let on = self.load_budget(cx, id).await?;
            by.check(&on.path, &Wish::CreateChild, cx.now)?;
            let not_found = || ServiceError::NotFound { what: "budget", id: id.text() };
            let was = on.leaf().ok_or_else(not_found)?;
            match (was.doc.state, expects) {
                (BudgetState::Closed, BudgetState::Open) => {
                    return Err(BudgetRejection::Closed { budget: id }.into());
                }
                (BudgetState::Open, BudgetState::Closed) => {
                    return Err(BudgetRejection::NotApplicable { budget: id }.into());
                }
                _ => {}
            }
            let mut plans: Vec<Plan> = Vec::new();
            if expects == BudgetState::Open {
                plans.push(on.path.close(GroupId::from(cx.id))?);
            }
            if was.doc.rules().is_carved() || expects == BudgetState::Closed {
                let envelope = self.store().accounts(&[id.envelope()]).await?;
                let left = envelope.iter().flatten().map(Part::of).next().unwrap_or_default();
                plans.push(on.path.reclaim(group("reclaim", &[cx.id.as_u128()]), left.available)?);
            }
            let budget =
                Budget { state: BudgetState::Closed, updated_ms: cx.now.unix_ms(), ..was.doc.clone() };
            let commands = plans.iter().flat_map(|plan| plan.steps.iter().map(|step| step.command.clone()));
            let mut draft = Draft::new();
            draft.steps(Step::group(commands)).replace(cx, was, &budget)?;
            if expects == BudgetState::Open {
                draft.tell(cx, EventKind::BudgetClosed, &budget)?;
            }
            match self.commit(cx, draft, &budget).await? {
                Fate::Applied { .. } => return self.view_budget(cx, budget).await,
                Fate::Refused { outcomes } => match blamed(&plans, &outcomes) {
                    // The envelope has less than was read, because somebody spent from it: read again, and be told of the hold.
                    ServiceError::Budget(BudgetRejection::InsufficientFunds { .. }) => {}
                    error => return Err(error),
                },
                Fate::Again => {}
            }
        }
        Err(ServiceError::Contention)
    }
}
