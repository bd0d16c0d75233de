//! Changing a budget's limits. A total, and a limit a period with everybody, counts at once: its account is raised or lowered in the
//! commit that changes the definition, and nothing is lowered under what is spent or in flight. A limit a period with each
//! counterparty counts from the next period on for those who were paid in the one that runs.

use farthing_ledger::{Outcome, Step};
use farthing_money::Amount;
use serde::{Deserialize, Deserializer, Serialize};

use super::{Budget, BudgetView, LoadedBudget, check_counterparties};
use crate::budget::delegation::Wish;
use crate::budget::{BudgetRejection, Funding, Plan, Rate, RateChange, Scope};
use crate::id::{BudgetId, GroupId, group};
use crate::service::event::EventKind;
use crate::service::names::Named as _;
use crate::service::{
    ATTEMPTS, Authority, Billing, Cx, Draft, Fate, Metadata, ServiceError, Stored, input, refused,
};

/// What is to be changed of a budget. What is left out stays; null takes a limit away.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BudgetChange {
    /// A name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The most that it may spend in all. Not for a carved budget.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub total: Option<Option<Amount>>,
    /// The most that one call may cost.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub per_call: Option<Option<Amount>>,
    /// All its limits a period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rates: Option<Vec<Rate>>,
    /// Who may be paid.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    pub counterparties: Option<Option<Vec<String>>>,
    /// What the tenant keeps with it, all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
}

/// Tells null from what is left out.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

impl Billing {
    /// Changes a budget. A token can change only budgets below its own. Told again, it answers with the balances of then.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Invalid`], [`ServiceError::Delegation`]; [`ServiceError::Budget`] for a closed
    /// budget, a limit under what is spent or in flight, and limits that break a rule; and the store's.
    pub async fn amend_budget(
        &self,
        cx: &Cx,
        by: &Authority,
        id: BudgetId,
        change: &BudgetChange,
    ) -> Result<BudgetView, ServiceError> {
        input::maybe("name", change.name.as_ref(), 200)?;
        change.metadata.as_ref().map_or(Ok(()), input::metadata)?;
        check_counterparties(change.counterparties.as_ref().and_then(Option::as_ref))?;
        for _ in 0..ATTEMPTS {
            if let Some(done) = self.replay::<Budget>(cx).await? {
                return self.view_budget(cx, done).await;
            }
            let on = self.load_budget(cx, id).await?;
            by.check(&on.path.parent(), &Wish::CreateChild, cx.now)?;
            let not_found = || ServiceError::NotFound { what: "budget", id: id.text() };
            let was = on.leaf().ok_or_else(not_found)?;
            if let Some(budget) = self.try_amend(cx, (&on, was), change).await? {
                return self.view_budget(cx, budget).await;
            }
        }
        Err(ServiceError::Contention)
    }

    async fn try_amend(
        &self,
        cx: &Cx,
        (on, was): (&LoadedBudget, &Stored<Budget>),
        change: &BudgetChange,
    ) -> Result<Option<Budget>, ServiceError> {
        let plans = on.amend(cx, &was.doc, change)?;
        let budget = amended(cx, &was.doc, change);
        budget.rules().check_numbers()?;
        for plan in plans.iter().filter(|plan| !plan.prepare.is_empty()) {
            // A batch of its own: whoever opened the window before was first.
            self.store().transact(cx.now, plan.prepare.clone()).await?;
        }
        let commands = plans.iter().flat_map(|plan| plan.steps.iter().map(|step| step.command.clone()));
        let mut draft = Draft::new();
        draft.steps(Step::group(commands)).replace(cx, was, &budget)?;
        draft.tell(cx, EventKind::BudgetUpdated, &budget)?;
        match self.commit(cx, draft, &budget).await? {
            Fate::Applied { .. } => Ok(Some(budget)),
            Fate::Again => Ok(None),
            Fate::Refused { outcomes } => Err(blamed(&plans, &outcomes)),
        }
    }
}

impl LoadedBudget {
    /// What makes the accounts follow the change.
    fn amend(&self, cx: &Cx, was: &Budget, change: &BudgetChange) -> Result<Vec<Plan>, ServiceError> {
        let mut plans = Vec::new();
        match change.total {
            Some(total) => plans.push(self.path.amend_total(GroupId::from(cx.id), total)?),
            // The pure half says that a closed budget is not changed.
            None if was.state == crate::budget::BudgetState::Closed => {
                return Err(BudgetRejection::Closed { budget: was.id }.into());
            }
            None => {}
        }
        for (n, rate) in (0_u128..).zip(change.rates.iter().flatten()) {
            let same = |old: &&Rate| (old.period, old.scope) == (rate.period, rate.scope);
            let Some(from) = was.rates.iter().find(same) else { continue };
            if from.most == rate.most || from.scope == Scope::EachCounterparty {
                continue;
            }
            plans.push(self.path.amend_rate(&RateChange {
                group: group("amend rate", &[cx.id.as_u128(), n]),
                from: *from,
                most: rate.most,
                counterparty: None,
                now: cx.now,
            })?);
        }
        Ok(plans)
    }
}

fn amended(cx: &Cx, was: &Budget, change: &BudgetChange) -> Budget {
    let BudgetChange { name, total, per_call, rates, counterparties, metadata } = change.clone();
    Budget {
        name: name.or_else(|| was.name.clone()),
        funding: total.map_or(was.funding, |total| Funding::Shared { total }),
        per_call: per_call.unwrap_or(was.per_call),
        rates: rates.unwrap_or_else(|| was.rates.clone()),
        counterparties: counterparties.unwrap_or_else(|| was.counterparties.clone()),
        metadata: metadata.unwrap_or_else(|| was.metadata.clone()),
        updated_ms: cx.now.unix_ms(),
        ..was.clone()
    }
}

/// Which of several plans in one group the ledger refused, and why.
pub(super) fn blamed(plans: &[Plan], outcomes: &[Outcome]) -> ServiceError {
    let mut rest = outcomes;
    for plan in plans {
        let (mine, others) = rest.split_at(plan.steps.len().min(rest.len()));
        if let Err(rejection) = plan.read(mine) {
            return rejection.into();
        }
        rest = others;
    }
    refused(outcomes)
}
