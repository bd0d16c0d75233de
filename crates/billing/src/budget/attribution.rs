//! [`Attribution`]: who spent it, read from the journal alone. It keeps no totals: the accounts of the budgets are those.

use farthing_ledger::journal::{Entry, Event};
use farthing_ledger::{Account, NewHold};
use farthing_money::Amount;

use super::definition::Budget;
use crate::Reason;
use crate::id::{BudgetId, GroupId, SubjectId};

/// Money that left for a call, and who sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attribution {
    /// The spend: its hold and every post of it.
    pub spend: GroupId,
    /// The budget that spent; its ancestors by [`super::Path::ids`]. `None`: the wallet itself, without a budget.
    pub by: Option<BudgetId>,
    /// The unit of work.
    pub subject: SubjectId,
    /// How much left for good.
    pub amount: Amount,
}

/// What was set aside for a call, when the entry says so: keep it until [`posted`] asks for it, or ask the ledger.
#[must_use]
pub fn held(entry: &Entry) -> Option<NewHold> {
    match entry.event {
        Event::Held(hold) if hold.transfer.code == Reason::Spend.code() => Some(hold),
        _ => None,
    }
}

/// Who spent what `entry` moved, when it posts `hold` ([`Entry::hold`] names it). One entry for each grant that it was drawn
/// from: their sum is what the call cost.
#[must_use]
pub fn posted(entry: &Entry, hold: &NewHold) -> Option<Attribution> {
    let Event::Posted(posted) = entry.event else { return None };
    let of = &hold.transfer;
    if posted.post.hold != of.id || of.code != Reason::Spend.code() {
        return None;
    }
    let by = of.tag.reference;
    Some(Attribution {
        spend: GroupId::of(of.id),
        by: (by != 0).then(|| BudgetId::from_u128(by)),
        subject: SubjectId::from_u128(of.tag.subject),
        amount: posted.settlement.posted,
    })
}

/// What a budget and all below it spent, hold, carved out and may still spend. It follows from two accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BudgetBalances {
    /// Paid for good, less what was given back; without what carved children spent, which is theirs.
    pub spent: Amount,
    /// In flight.
    pub held: Amount,
    /// Given to carved children and not back.
    pub carved: Amount,
    /// What may still be spent. For a budget without a limit this is a large number: see [`Budget::total`].
    pub available: Amount,
}

impl BudgetBalances {
    /// The balances of `budget` from its accounts ([`BudgetId::total_account`], [`BudgetId::carved_account`]). `None` when
    /// they are not its accounts, or its definition changed since.
    #[must_use]
    pub fn of(budget: &Budget, total: &Account, carved: &Account) -> Option<Self> {
        if total.id != budget.id.total_account() || carved.id != budget.id.carved_account() {
            return None;
        }
        let (total, carved) = (total.balances(), carved.balances().settled.or_zero());
        let left = total.settled.or_zero().checked_add(carved).ok()?;
        let spent = budget.total().checked_sub(left).ok()?;
        Some(Self { spent, held: total.held, carved, available: total.available.or_zero() })
    }
}
