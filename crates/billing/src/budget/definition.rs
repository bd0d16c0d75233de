//! [`Budget`]: what a node of the tree may spend, and the ledger accounts that stand for it. It counts nothing itself.

use std::collections::BTreeSet;

use farthing_ledger::AccountId;
use farthing_money::Amount;
use serde::{Deserialize, Serialize};

use super::BudgetRejection;
use crate::id::{BudgetId, CounterpartyId, account};
use crate::{Chart, Period, Window};

/// The deepest tree: levels under a wallet.
pub const MAX_DEPTH: usize = 16;
/// The most rate limits of one budget.
pub const MAX_RATES: usize = 8;
/// The highest limit: 2^96 base units. It stands for "no limit" too, so that a budget without one is counted like any other.
pub const NO_LIMIT: Amount = Amount::from_base(1 << 96);

/// Where a tree of budgets hangs: a wallet's money of one asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Root {
    /// The account with the wallet's paid money.
    pub wallet: AccountId,
    /// The assets.
    pub chart: Chart,
}

/// Whose money a budget spends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Funding {
    /// The parent's, with or without a limit of its own: children together may be promised more than there is, and the
    /// first who spends has it.
    Shared {
        /// The most that it may spend in all.
        total: Option<Amount>,
    },
    /// Its own: the amount leaves the parent when the budget is created, and nobody else can spend it.
    Carved {
        /// How much.
        amount: Amount,
    },
}

/// With whom a rate limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everybody together.
    Everybody,
    /// Each counterparty by itself.
    EachCounterparty,
}

/// The most that may be spent in one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// The period.
    pub period: Period,
    /// Everybody together, or each counterparty.
    pub scope: Scope,
    /// The most.
    pub most: Amount,
}

/// Who may be paid.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Counterparties {
    /// Anybody.
    Anybody,
    /// These and nobody else.
    Only(BTreeSet<CounterpartyId>),
}

impl Counterparties {
    /// Whether `who` may be paid.
    #[must_use]
    pub fn allows(&self, who: CounterpartyId) -> bool {
        match self {
            Self::Anybody => true,
            Self::Only(some) => some.contains(&who),
        }
    }

    /// Whether everybody whom it allows is allowed by `other` too.
    #[must_use]
    pub fn within(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Anybody) => true,
            (Self::Anybody, Self::Only(_)) => false,
            (Self::Only(mine), Self::Only(theirs)) => mine.is_subset(theirs),
        }
    }
}

/// What may grow under a budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Children {
    /// The most children that are open at one time.
    pub most: u32,
    /// The most levels under it. 0: it has no children.
    pub levels: u8,
}

/// Whether a budget takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum BudgetState {
    /// It may spend.
    Open,
    /// It may not, for good.
    Closed,
}

/// A spending limit in a tree.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Its name.
    pub id: BudgetId,
    /// Under which budget; `None` right under the wallet. It never moves.
    pub parent: Option<BudgetId>,
    /// Whose money it spends.
    pub funding: Funding,
    /// The most that one call may cost.
    pub per_call: Option<Amount>,
    /// The most a period.
    pub rates: Vec<Rate>,
    /// Who may be paid.
    pub counterparties: Counterparties,
    /// What may grow under it.
    pub children: Children,
    /// Whether it takes part.
    pub state: BudgetState,
}

impl Budget {
    /// A budget that shares its parent's money and limits nothing: change what should be otherwise.
    #[must_use]
    pub const fn shared(id: BudgetId, parent: Option<BudgetId>) -> Self {
        Self {
            id,
            parent,
            funding: Funding::Shared { total: None },
            per_call: None,
            rates: Vec::new(),
            counterparties: Counterparties::Anybody,
            children: Children { most: 0, levels: 0 },
            state: BudgetState::Open,
        }
    }

    /// What it may spend in all; [`NO_LIMIT`] when nothing is said.
    #[must_use]
    pub const fn total(&self) -> Amount {
        match self.funding {
            Funding::Carved { amount } | Funding::Shared { total: Some(amount) } => amount,
            Funding::Shared { total: None } => NO_LIMIT,
        }
    }

    /// Whether it has money of its own.
    #[must_use]
    pub const fn is_carved(&self) -> bool {
        matches!(self.funding, Funding::Carved { .. })
    }

    /// The rules about numbers, in the order of the table in [`super`].
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check_numbers(&self) -> Result<(), BudgetRejection> {
        let budget = self.id;
        let of_funding = match self.funding {
            Funding::Carved { amount } | Funding::Shared { total: Some(amount) } => Some(amount),
            Funding::Shared { total: None } => None,
        };
        let limits =
            || of_funding.iter().chain(&self.per_call).chain(self.rates.iter().map(|rate| &rate.most));
        if limits().any(|limit| limit.is_zero()) {
            return Err(BudgetRejection::LimitZero { budget });
        }
        // A limit of NO_LIMIT itself would look as if there were none.
        if limits().any(|limit| *limit >= NO_LIMIT) {
            return Err(BudgetRejection::LimitTooLarge { budget });
        }
        if self.rates.len() > MAX_RATES {
            return Err(BudgetRejection::TooManyRates { budget });
        }
        let distinct: BTreeSet<_> = self.rates.iter().map(|rate| (rate.period, rate.scope)).collect();
        if distinct.len() < self.rates.len() {
            return Err(BudgetRejection::RateTwice { budget });
        }
        Ok(())
    }
}

impl Root {
    /// The account from which allowances come and to which used ones go.
    #[must_use]
    pub fn allowances(&self) -> AccountId {
        account("allowances", &[self.wallet.as_u128()])
    }

    /// The account from which seats come.
    #[must_use]
    pub fn seats(&self) -> AccountId {
        account("seats", &[self.wallet.as_u128()])
    }
}

impl BudgetId {
    /// The account that counts all that the budget may still spend, its shared children included.
    #[must_use]
    pub fn total_account(self) -> AccountId {
        account("budget total", &[self.as_u128()])
    }

    /// The account that shows what was carved out of the budget and is not back.
    #[must_use]
    pub fn carved_account(self) -> AccountId {
        account("budget carved", &[self.as_u128()])
    }

    /// The account that counts how many more children it may have.
    #[must_use]
    pub fn seats_account(self) -> AccountId {
        account("budget seats", &[self.as_u128()])
    }

    /// The account with the money of a carved budget.
    #[must_use]
    pub fn envelope(self) -> AccountId {
        account("budget envelope", &[self.as_u128()])
    }

    /// The account that counts what may still be spent in `window`, with one counterparty or with everybody.
    #[must_use]
    pub fn window_account(self, window: Window, with: Option<CounterpartyId>) -> AccountId {
        let (known, who) = with.map_or((0, 0), |who| (1, who.as_u128()));
        let start = u128::from(window.start.unix_ms());
        account("budget window", &[self.as_u128(), window.period.number(), start, known, who])
    }
}
