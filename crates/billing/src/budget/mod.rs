//! Budgets: a tree of spending limits under a wallet, in which every limit that others could race for is a ledger account.
//!
//! # What becomes of a spend
//!
//! [`Path::spend`] gives one linked group of holds: one on the total of every budget whose money it would be, one on every
//! limit a period or a counterparty of every ancestor, and one, or one a grant, on the money. The ledger takes all of them
//! or none. A capture posts all of them ([`Placed::capture`]), a void voids all, and they run out in the same instant.
//! Limits are counted in an asset of their own ([`crate::Chart`]), so that the books of money are not inflated.
//!
//! # Shared and carved
//!
//! A *shared* budget spends its parent's money: its limit is one more account on the way, and limits of siblings may add up
//! to more than the parent has. A *carved* budget is given its amount when it is created: the money moves from its parent
//! to its envelope, and the totals of the budgets that would have paid for it give up as much, in the same group. From
//! then on its spends draw on its envelope and on no total above it, so nobody can take its money away and it can take
//! nobody else's. Limits a period and a counterparty apply all the way up in both cases: they bound how fast money leaves.
//! Only paid money can be carved out: a grant that runs out cannot be promised to somebody.
//!
//! # Which limit is enforced where
//!
//! | limit | by | why that is sound when several processes ask at once |
//! |---|---|---|
//! | money of wallet and envelope | ledger account | it cannot be overdrawn |
//! | total of every paying ancestor | ledger account | as money |
//! | hour, day, month, with everybody or one counterparty | ledger account a window | as money; opening and filling a window has one name, so it happens once |
//! | open children | ledger account of seats | as money; closing needs all seats back |
//! | nothing is spent from a closed budget | closed ledger account | the close needs that no hold is open, and no hold comes after it |
//! | cost of one call | check before | it compares one call with a constant: no other call can change the answer |
//! | allowed counterparties | check before | as above |
//! | depth | check before | a budget never moves, so the levels above it never change |
//! | a delegation | check before | revoking or expiring it takes effect for what is asked afterwards, as if the call had come earlier |
//!
//! What a check compares is read before the group is placed. A definition that is changed in between counts for calls
//! planned afterwards: the order is the same as if the call had come just before the change. To lower a limit with effect on
//! everybody at once, lower the account ([`Path::amend_total`], [`Path::amend_rate`]) or close the budget.
//!
//! A spend counts in the window in which it was placed, also when it is captured in the next one. A window keeps the
//! limit with which it was opened. Refunds give back money and totals, not windows.
//!
//! # Rejections, in the order in which they are checked
//!
//! | # | code | rule | by |
//! |---|---|---|---|
//! | 1 | `budget_tree_too_deep`, `budget_path_broken` | the budgets lead to the wallet | check |
//! | | `budget_not_applicable` | what is asked can be asked of this budget | check |
//! | 2 | `budget_closed` | every budget on the path is open | check, ledger |
//! | 3 | `budget_id_reserved` | a new id is neither all zeros nor all ones | check |
//! | 4 | `budget_wrong_parent` | a new budget names the parent under which it is created | check |
//! | 5 | `budget_levels_exceeded` | its parent has levels left | check |
//! | 6 | `budget_tree_too_deep` | so has the tree | check |
//! | 7 | `budget_limit_zero` | a limit is more than nothing | check |
//! | 8 | `budget_limit_too_large` | and less than 2^96 | check |
//! | 9 | `budget_too_many_limits` | a budget has at most 8 limits a period | check |
//! | 10 | `budget_limit_twice` | and one for each period and scope | check |
//! | 11 | `spend_draw_mismatch` | draws make up the amount | check |
//! | 12 | `spend_zero` | something is spent | check |
//! | 13 | `budget_counterparty_not_allowed` | every ancestor allows the counterparty | check |
//! | 14 | `budget_per_call_exceeded` | every ancestor allows the cost of the call | check |
//! | 15 | `budget_children_exceeded`, `budget_has_children`, `budget_has_holds` | create and close | ledger |
//! | 16 | `budget_total_exceeded`, `budget_period_exceeded`, `budget_counterparty_exceeded` | budget by budget upwards; in a budget its total, then its other limits as they stand | ledger |
//! | 17 | `insufficient_funds` | the money is there | ledger |
//!
//! Money comes last, so that an agent learns its own limits before anything about the wallet. Before 15, the ledger answers
//! its own codes for retries (`exists_with_different_…`) and for an expiry that is not in the future.

mod attribution;
mod change;
mod definition;
pub mod delegation;
mod path;
mod placed;
mod plan;
mod rejection;
mod spend;

pub use attribution::{Attribution, BudgetBalances, held, posted};
pub use change::{RateChange, Refund};
pub use definition::{
    Budget, BudgetState, Children, Counterparties, Funding, MAX_DEPTH, MAX_RATES, NO_LIMIT, Rate, Root, Scope,
};
pub use path::Path;
pub use placed::{Capture, Placed, PlacedError};
pub use plan::Plan;
pub use rejection::BudgetRejection;
pub use spend::{Draw, MAX_DRAWS, Spend};

#[cfg(test)]
mod tests;
