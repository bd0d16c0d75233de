//! Lists of budgets: what is right under a wallet or a budget, and all of a tree.

use std::collections::BTreeMap;

use farthing_ledger::record::Order;
use serde::{Deserialize, Serialize};

use super::create::{Child, list_of};
use super::{Budget, BudgetView};
use crate::budget::BudgetState;
use crate::budget::delegation::Wish;
use crate::id::{BudgetId, CustomerId};
use crate::service::document::{record_key, stored};
use crate::service::names::Named as _;
use crate::service::{Authority, Billing, Cx, Page, PageQuery, ServiceError};

/// The most budgets of one tree that are shown at once.
pub(super) const MAX_TREE: usize = 500;

/// What budgets hang under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Under {
    /// A wallet: a customer, and the code of an asset.
    Wallet(CustomerId, String),
    /// A budget.
    Budget(BudgetId),
}

/// A budget with all below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BudgetTree {
    /// The budget.
    #[serde(flatten)]
    pub budget: BudgetView,
    /// Those right under it that are open, the oldest first. At most 500 budgets of a tree are shown; the nearest first.
    pub open_children: Vec<BudgetTree>,
}

impl Billing {
    /// What hangs right under a wallet or a budget, the newest first unless the page says otherwise.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Delegation`], and the store's.
    pub async fn list_budgets(
        &self,
        cx: &Cx,
        by: &Authority,
        under: &Under,
        page: &PageQuery,
    ) -> Result<Page<BudgetView>, ServiceError> {
        let list = match under {
            Under::Wallet(customer, asset) => {
                by.owner()?;
                self.customer_doc(cx, *customer).await?;
                list_of(None, (*customer, asset))
            }
            Under::Budget(id) => {
                let on = self.load_budget(cx, *id).await?;
                by.check(&on.path, &Wish::Read, cx.now)?;
                list_of(Some(*id), (on.wallet.customer.id, on.wallet.asset.code()))
            }
        };
        let (budgets, next) = self.children(cx, &list, page).await?;
        let mut data = Vec::with_capacity(budgets.len());
        for budget in budgets {
            data.push(self.view_budget(cx, budget).await?);
        }
        Ok(Page { data, next })
    }

    /// A budget with all open ones below it.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Delegation`], and the store's.
    pub async fn budget_tree(
        &self,
        cx: &Cx,
        by: &Authority,
        id: BudgetId,
    ) -> Result<BudgetTree, ServiceError> {
        let root = self.budget(cx, by, id).await?;
        let mut below: BTreeMap<BudgetId, Vec<BudgetView>> = BTreeMap::new();
        for budget in self.below(cx, &root.budget, Some(BudgetState::Open)).await? {
            let parent = budget.parent.unwrap_or(id);
            below.entry(parent).or_default().push(self.view_budget(cx, budget).await?);
        }
        Ok(grow(root, &mut below))
    }

    /// All budgets below one, level by level, at most [`MAX_TREE`]: those in a state and below such, or all.
    pub(super) async fn below(
        &self,
        cx: &Cx,
        root: &Budget,
        state: Option<BudgetState>,
    ) -> Result<Vec<Budget>, ServiceError> {
        let (mut found, mut at): (Vec<Budget>, usize) = (Vec::new(), 0);
        let mut parent = root.id;
        loop {
            let list = list_of(Some(parent), (root.customer, &root.asset));
            let mut page = PageQuery { after: None, limit: MAX_TREE, order: Order::Ascending };
            loop {
                let (children, next) = self.children(cx, &list, &page).await?;
                found.extend(
                    children.into_iter().filter(|child| state.is_none_or(|state| child.state == state)),
                );
                page.after = next;
                if page.after.is_none() || found.len() >= MAX_TREE {
                    break;
                }
            }
            match found.get(at) {
                Some(next) if found.len() < MAX_TREE => parent = next.id,
                _ => break,
            }
            at += 1;
        }
        found.truncate(MAX_TREE);
        Ok(found)
    }

    /// The budgets of one list. The cursor is the budget's name.
    pub(super) async fn children(
        &self,
        cx: &Cx,
        list: &str,
        page: &PageQuery,
    ) -> Result<(Vec<Budget>, Option<String>), ServiceError> {
        let after = page.after.as_ref().map(|after| format!("{list}{after}"));
        let query = PageQuery { after, limit: page.limit.min(MAX_TREE), order: page.order };
        let found = self.list::<Child>(cx, list, &query).await?;
        let ids = found.data.iter().filter_map(|child| child.key.rsplit('/').next());
        let keys: Vec<_> = ids.map(|id| record_key::<Budget>(cx.tenant, id)).collect();
        let mut budgets = Vec::with_capacity(keys.len());
        for record in self.store().records(&keys).await?.into_iter().flatten() {
            budgets.push(stored::<Budget>(cx.tenant, &record)?.doc);
        }
        let next = found.next.and_then(|next| next.rsplit('/').next().map(str::to_owned));
        debug_assert!(budgets.iter().all(|budget| budget.id.text().len() == 36), "a list names budgets");
        Ok((budgets, next))
    }
}

fn grow(budget: BudgetView, below: &mut BTreeMap<BudgetId, Vec<BudgetView>>) -> BudgetTree {
    let children = below.remove(&budget.budget.id).unwrap_or_default();
    let open_children = children.into_iter().map(|child| grow(child, below)).collect();
    BudgetTree { budget, open_children }
}
