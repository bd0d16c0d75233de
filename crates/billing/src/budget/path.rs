//! [`Path`]: a budget and all its ancestors, up to the wallet. Everything that is asked of a budget is asked of its path.

use farthing_ledger::AccountId;

use super::BudgetRejection;
use super::definition::{Budget, BudgetState, MAX_DEPTH, Root};
use crate::id::BudgetId;

/// A budget and its ancestors, the budget first. An empty path is the wallet itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    root: Root,
    budgets: Vec<Budget>,
}

impl Path {
    /// The wallet, without any budget.
    #[must_use]
    pub const fn wallet(root: Root) -> Self {
        Self { root, budgets: Vec::new() }
    }

    /// `budgets` from the one that is asked up to one right under the wallet.
    ///
    /// # Errors
    /// [`BudgetRejection::TreeTooDeep`], [`BudgetRejection::PathBroken`] unless each is followed by its parent.
    pub fn new(root: Root, budgets: Vec<Budget>) -> Result<Self, BudgetRejection> {
        if budgets.len() > MAX_DEPTH {
            return Err(BudgetRejection::TreeTooDeep { most: MAX_DEPTH });
        }
        for (at, budget) in budgets.iter().enumerate() {
            if budget.parent != budgets.get(at + 1).map(|parent| parent.id) {
                return Err(BudgetRejection::PathBroken { budget: budget.id });
            }
        }
        Ok(Self { root, budgets })
    }

    /// The wallet.
    #[must_use]
    pub const fn root(&self) -> &Root {
        &self.root
    }

    /// The budget that is asked, then its parent, and so on.
    #[must_use]
    pub fn budgets(&self) -> &[Budget] {
        &self.budgets
    }

    /// The budget that is asked; `None` for the wallet itself.
    #[must_use]
    pub fn leaf(&self) -> Option<&Budget> {
        self.budgets.first()
    }

    /// The names on the path, the budget that is asked first: who spent it, and for whom.
    #[must_use]
    pub fn ids(&self) -> Vec<BudgetId> {
        self.budgets.iter().map(|budget| budget.id).collect()
    }

    /// Whether `id` is the budget that is asked, or one above it.
    #[must_use]
    pub fn passes(&self, id: BudgetId) -> bool {
        self.budgets.iter().any(|budget| budget.id == id)
    }

    /// The path of the parent.
    #[must_use]
    pub fn parent(&self) -> Self {
        Self { root: self.root, budgets: self.budgets.iter().skip(1).cloned().collect() }
    }

    /// The part of the path that pays: up to and including the first carved budget, whose money it is.
    #[must_use]
    pub fn paying(&self) -> &[Budget] {
        let carved = self.budgets.iter().position(Budget::is_carved);
        self.budgets.split_at(carved.map_or(self.budgets.len(), |at| at + 1)).0
    }

    /// The carved budget whose money is spent; `None` when it is the wallet's.
    #[must_use]
    pub fn payer(&self) -> Option<BudgetId> {
        self.budgets.iter().find(|budget| budget.is_carved()).map(|budget| budget.id)
    }

    /// The account whose money is spent.
    #[must_use]
    pub fn money(&self) -> AccountId {
        self.payer().map_or(self.root.wallet, BudgetId::envelope)
    }

    pub(super) fn check_open(&self) -> Result<(), BudgetRejection> {
        match self.budgets.iter().find(|budget| budget.state == BudgetState::Closed) {
            Some(closed) => Err(BudgetRejection::Closed { budget: closed.id }),
            None => Ok(()),
        }
    }
}
