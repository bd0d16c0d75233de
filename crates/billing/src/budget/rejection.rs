//! Why a budget refuses: one stable code a rule, in the order in which the rules are checked. The table is in [`super`].

use farthing_ledger::Rejection;
use farthing_money::Amount;

use crate::Period;
use crate::id::BudgetId;

/// Why something about a budget was refused. The variants stand in the order in which they are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BudgetRejection {
    /// The budgets given do not lead from the one that is asked to the wallet.
    #[error("budget {budget} does not follow its parent: load the path again")]
    PathBroken {
        /// Where the path breaks.
        budget: BudgetId,
    },
    /// What is asked cannot be asked of this budget, such as reclaiming from one that is not carved.
    #[error("this cannot be asked of budget {budget}")]
    NotApplicable {
        /// Which; all zeros for the wallet itself.
        budget: BudgetId,
    },
    /// A budget on the path is closed.
    #[error("budget {budget} is closed")]
    Closed {
        /// Which.
        budget: BudgetId,
    },
    /// The id is all zeros or all ones.
    #[error("the budget's id is reserved")]
    IdReserved,
    /// The new budget names another parent than the one under which it is created.
    #[error("the new budget names another parent")]
    WrongParent,
    /// The tree would be too deep, or promises more levels than its parent has left.
    #[error("budget {budget} has no room for so many levels under it")]
    TooDeep {
        /// The parent that has no room.
        budget: BudgetId,
    },
    /// More levels than any tree may have.
    #[error("a tree of budgets has at most {most} levels")]
    TreeTooDeep {
        /// The most.
        most: usize,
    },
    /// A limit of nothing.
    #[error("a limit of budget {budget} is zero: leave it out, or close the budget")]
    LimitZero {
        /// Of which budget.
        budget: BudgetId,
    },
    /// A limit of 2^96 base units or more.
    #[error("a limit of budget {budget} is too large")]
    LimitTooLarge {
        /// Of which budget.
        budget: BudgetId,
    },
    /// More rate limits than a budget may have.
    #[error("budget {budget} has too many limits a period")]
    TooManyRates {
        /// Which.
        budget: BudgetId,
    },
    /// Two limits for the same period and scope.
    #[error("budget {budget} limits the same period twice")]
    RateTwice {
        /// Which.
        budget: BudgetId,
    },
    /// A spend of nothing.
    #[error("nothing would be spent")]
    SpendZero,
    /// What is drawn from grants is not what is spent, or the path has money of its own.
    #[error("what is drawn does not make up what is spent")]
    DrawMismatch,
    /// The counterparty may not be paid.
    #[error("budget {budget} does not allow this counterparty")]
    CounterpartyNotAllowed {
        /// Which budget forbids it.
        budget: BudgetId,
    },
    /// One call would cost too much.
    #[error("the call costs {required} base units; budget {budget} allows {most} a call")]
    ExceedsPerCall {
        /// Which budget.
        budget: BudgetId,
        /// The most.
        most: Amount,
        /// What it costs.
        required: Amount,
    },
    /// More children than the budget may have.
    #[error("budget {budget} has as many open children as it may have")]
    ExceedsChildren {
        /// Which budget.
        budget: BudgetId,
    },
    /// Children are open.
    #[error("budget {budget} has open children: close them first")]
    HasChildren {
        /// Which budget.
        budget: BudgetId,
    },
    /// Holds are open.
    #[error("budget {budget} has money in flight: wait, or void the holds")]
    HasHolds {
        /// Which budget.
        budget: BudgetId,
    },
    /// The budget has not so much left.
    #[error("budget {budget} has {available} base units left, not {required}")]
    ExceedsTotal {
        /// Which budget.
        budget: BudgetId,
        /// What it has left.
        available: Amount,
        /// What is asked.
        required: Amount,
    },
    /// The budget has not so much left in this period.
    #[error("budget {budget} has {available} base units left in this {period:?}, not {required}")]
    ExceedsPeriod {
        /// Which budget.
        budget: BudgetId,
        /// Hour, day, month or total.
        period: Period,
        /// What it has left.
        available: Amount,
        /// What is asked.
        required: Amount,
    },
    /// The budget has not so much left for this counterparty in this period.
    #[error("budget {budget} has {available} base units left for this counterparty, not {required}")]
    ExceedsCounterparty {
        /// Which budget.
        budget: BudgetId,
        /// Hour, day, month or total.
        period: Period,
        /// What it has left.
        available: Amount,
        /// What is asked.
        required: Amount,
    },
    /// The wallet, or the carved budget whose money is spent, has not so much.
    #[error("there are {available} base units to spend, not {required}")]
    InsufficientFunds {
        /// What there is.
        available: Amount,
        /// What is asked.
        required: Amount,
    },
    /// Another rule of the ledger.
    #[error("the ledger refuses it")]
    Ledger(#[source] Rejection),
}

impl BudgetRejection {
    /// The stable code, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::PathBroken { .. } => "budget_path_broken",
            Self::NotApplicable { .. } => "budget_not_applicable",
            Self::Closed { .. } => "budget_closed",
            Self::IdReserved => "budget_id_reserved",
            Self::WrongParent => "budget_wrong_parent",
            Self::TooDeep { .. } => "budget_levels_exceeded",
            Self::TreeTooDeep { .. } => "budget_tree_too_deep",
            Self::LimitZero { .. } => "budget_limit_zero",
            Self::LimitTooLarge { .. } => "budget_limit_too_large",
            Self::TooManyRates { .. } => "budget_too_many_limits",
            Self::RateTwice { .. } => "budget_limit_twice",
            Self::SpendZero => "spend_zero",
            Self::DrawMismatch => "spend_draw_mismatch",
            Self::CounterpartyNotAllowed { .. } => "budget_counterparty_not_allowed",
            Self::ExceedsPerCall { .. } => "budget_per_call_exceeded",
            Self::ExceedsChildren { .. } => "budget_children_exceeded",
            Self::HasChildren { .. } => "budget_has_children",
            Self::HasHolds { .. } => "budget_has_holds",
            Self::ExceedsTotal { .. } => "budget_total_exceeded",
            Self::ExceedsPeriod { .. } => "budget_period_exceeded",
            Self::ExceedsCounterparty { .. } => "budget_counterparty_exceeded",
            Self::InsufficientFunds { .. } => "insufficient_funds",
            Self::Ledger(rejection) => rejection.code(),
        }
    }
}
