//! Making budgets: under a wallet by its owner, under a budget by the owner or by whoever holds a token that may.

use farthing_ledger::record::Table;
use farthing_money::Amount;
use serde::{Deserialize, Serialize};

use super::{Budget, BudgetView, LoadedBudget, RateBalance, check_counterparties};
use crate::budget::delegation::Wish;
use crate::budget::{BudgetState, Children, Funding, Rate, Scope};
use crate::id::{BudgetId, CustomerId, GroupId};
use crate::service::event::EventKind;
use crate::service::names::{self, Named as _};
use crate::service::wallet::wallet_key;
use crate::service::{
    ATTEMPTS, Authority, Billing, Cx, Document, Draft, Fate, Metadata, ServiceError, input, refused,
};

/// A budget to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewBudget {
    /// Whose wallet; may be left out when a parent is given.
    #[serde(default, with = "names::maybe")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::service::schema::IdText<CustomerId>>"))]
    pub customer: Option<CustomerId>,
    /// The code of the asset; may be left out when a parent is given.
    #[serde(default)]
    pub asset: Option<String>,
    /// The budget above it; left out right under the wallet.
    #[serde(default, with = "names::maybe")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::service::schema::IdText<BudgetId>>"))]
    pub parent: Option<BudgetId>,
    /// A name for people.
    #[serde(default)]
    pub name: Option<String>,
    /// Whose money it spends; left out, its parent's without a limit.
    #[serde(default = "shared")]
    pub funding: Funding,
    /// The most that one call may cost.
    #[serde(default)]
    pub per_call: Option<Amount>,
    /// The most a period.
    #[serde(default)]
    pub rates: Vec<Rate>,
    /// Who may be paid; left out for anybody.
    #[serde(default)]
    pub counterparties: Option<Vec<String>>,
    /// What may grow under it; left out for nothing.
    #[serde(default = "none")]
    pub children: Children,
    /// What the tenant keeps with it.
    #[serde(default)]
    pub metadata: Metadata,
}

const fn shared() -> Funding {
    Funding::Shared { total: None }
}

const fn none() -> Children {
    Children { most: 0, levels: 0 }
}

impl Default for NewBudget {
    fn default() -> Self {
        Self {
            customer: None,
            asset: None,
            parent: None,
            name: None,
            funding: shared(),
            per_call: None,
            rates: Vec::new(),
            counterparties: None,
            children: none(),
            metadata: Metadata::new(),
        }
    }
}

/// That a budget is right under another, or under a wallet. The keys say all.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Child {}

impl Document for Child {
    const TABLE: Table = Table::new("budget_child");
    const NAME: &'static str = "child of a budget";
}

/// The list of what is right under a budget, or under a wallet.
pub(super) fn list_of(parent: Option<BudgetId>, (customer, asset): (CustomerId, &str)) -> String {
    match parent {
        Some(parent) => format!("{}/", parent.text()),
        None => format!("{}/", wallet_key(customer, asset)),
    }
}

impl Billing {
    /// Makes a budget.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`], [`ServiceError::NotFound`], [`ServiceError::WrongState`] for a closed wallet or an archived
    /// customer; [`ServiceError::Delegation`] for what the token does not allow; [`ServiceError::Budget`] for what the budgets
    /// above, or the wallet's money, do not; and the store's.
    pub async fn create_budget(
        &self,
        cx: &Cx,
        by: &Authority,
        new: &NewBudget,
    ) -> Result<BudgetView, ServiceError> {
        input::maybe("name", new.name.as_ref(), 200)?;
        input::metadata(&new.metadata)?;
        check_counterparties(new.counterparties.as_ref())?;
        for _ in 0..ATTEMPTS {
            if let Some(done) = self.replay(cx).await? {
                return Ok(done);
            }
            let above = self.above(cx, new).await?;
            by.check(&above.path, &Wish::CreateChild, cx.now)?;
            above.wallet.active()?;
            let budget = above.child(cx, new);
            let plan = above.path.create(GroupId::from(cx.id), &budget.rules())?;
            let mut draft = Draft::new();
            draft.steps(plan.steps.iter().cloned()).create(cx, &budget.id.text(), &budget)?;
            let list = list_of(budget.parent, (budget.customer, &budget.asset));
            draft.create(cx, &format!("{list}{}", budget.id.text()), &Child {})?;
            draft.tell(cx, EventKind::BudgetCreated, &budget)?;
            let view = fresh(budget);
            match self.commit(cx, draft, &view).await? {
                Fate::Applied { .. } => return Ok(view),
                Fate::Refused { outcomes } => {
                    plan.read(&outcomes)?;
                    return Err(refused(&outcomes));
                }
                Fate::Again => {}
            }
        }
        Err(ServiceError::Contention)
    }

    async fn above(&self, cx: &Cx, new: &NewBudget) -> Result<LoadedBudget, ServiceError> {
        let why = "a customer and an asset, or a parent";
        match (new.parent, new.customer, &new.asset) {
            (Some(parent), customer, asset) => {
                let above = self.load_budget(cx, parent).await?;
                if customer.is_some_and(|customer| customer != above.wallet.customer.id) {
                    return Err(ServiceError::invalid("customer", "the customer of the parent, or left out"));
                }
                if let Some(left) = asset.as_ref().filter(|asset| *asset != above.wallet.asset.code()) {
                    let right = above.wallet.asset.code().to_owned();
                    return Err(
                        farthing_money::MoneyError::AssetMismatch { left: left.clone(), right }.into()
                    );
                }
                Ok(above)
            }
            (None, Some(customer), Some(asset)) => {
                Ok(LoadedBudget::wallet(self.ensure_wallet(cx, customer, asset).await?))
            }
            (None, None, _) => Err(ServiceError::invalid("customer", why)),
            (None, _, None) => Err(ServiceError::invalid("asset", why)),
        }
    }
}

impl LoadedBudget {
    fn child(&self, cx: &Cx, new: &NewBudget) -> Budget {
        let NewBudget { name, funding, per_call, rates, counterparties, children, metadata, .. } =
            new.clone();
        Budget {
            id: BudgetId::from(cx.id),
            customer: self.wallet.customer.id,
            asset: self.wallet.asset.code().to_owned(),
            parent: new.parent,
            ancestors: self.path.ids(),
            name,
            funding,
            per_call,
            rates,
            counterparties,
            children,
            state: BudgetState::Open,
            metadata,
            created_ms: cx.now.unix_ms(),
            updated_ms: cx.now.unix_ms(),
        }
    }
}

/// A budget of which nothing was spent.
fn fresh(budget: Budget) -> BudgetView {
    let available = match budget.funding {
        Funding::Shared { total } => total,
        Funding::Carved { amount } => Some(amount),
    };
    let limit = |rate: &Rate| RateBalance {
        rate: *rate,
        available: (rate.scope == Scope::Everybody).then_some(rate.most),
    };
    let limits = budget.rates.iter().map(limit).collect();
    BudgetView { budget, spent: Amount::ZERO, held: Amount::ZERO, carved: Amount::ZERO, available, limits }
}
