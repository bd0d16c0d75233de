//! [`Account`]: where money of one asset is. It knows neither who owns it nor what it is for: billing does.

use farthing_money::Amount;
use serde::Serialize;

use crate::{AccountId, AssetId, Balances, Net, Totals};

/// What an account must never do. Checked with what open holds keep aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Nothing: the outside world, revenue, clearing.
    None,
    /// Spend more than it received: a customer's wallet.
    DebitsMustNotExceedCredits,
    /// Give back more than it took: money lent, a line of credit.
    CreditsMustNotExceedDebits,
}

/// A wish to open an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NewAccount {
    /// Its name.
    pub id: AccountId,
    /// What it holds, and nothing else.
    pub asset: AssetId,
    /// What it must never do.
    pub limit: Limit,
}

/// Whether an account takes part in new transfers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountState {
    /// It does.
    Open,
    /// It does not, for good. What it holds stays on the books.
    Closed,
}

/// An account with its running totals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Account {
    /// Its name.
    pub id: AccountId,
    /// What it holds.
    pub asset: AssetId,
    /// What it must never do.
    pub limit: Limit,
    /// Whether it takes part in new transfers.
    pub state: AccountState,
    /// What moved and what is set aside.
    pub totals: Totals,
}

impl Account {
    /// A new account, open and empty.
    #[must_use]
    pub fn open(new: NewAccount) -> Self {
        let NewAccount { id, asset, limit } = new;
        Self { id, asset, limit, state: AccountState::Open, totals: Totals::default() }
    }

    /// Settled, held and available.
    ///
    /// An account whose credits must not exceed its debits counts from the debit side, every other from the credit side,
    /// so that `available` is what may still move whatever the limit.
    #[must_use]
    pub fn balances(&self) -> Balances {
        let Totals { debits, credits } = self.totals;
        let (income, outgo) = match self.limit {
            Limit::CreditsMustNotExceedDebits => (debits, credits),
            Limit::None | Limit::DebitsMustNotExceedCredits => (credits, debits),
        };
        let committed = outgo.total().unwrap_or(Amount::MAX);
        Balances {
            settled: Net::of(income.posted, outgo.posted),
            held: outgo.pending,
            available: Net::of(income.posted, committed),
        }
    }

    /// What moved for good on both sides, and whether holds are open on either.
    #[must_use]
    pub fn has_pending(&self) -> bool {
        !(self.totals.debits.pending.is_zero() && self.totals.credits.pending.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use farthing_money::Amount;

    use super::{Account, Limit, NewAccount};
    use crate::{AccountId, AssetId, Net, Sums, Totals};

    #[test]
    fn balances_count_from_the_side_that_the_limit_guards() {
        let sums =
            |posted, pending| Sums { posted: Amount::from_base(posted), pending: Amount::from_base(pending) };
        let (plus, minus) = (|n| Net::Plus(Amount::from_base(n)), |n| Net::Minus(Amount::from_base(n)));
        // limit, debits, credits -> settled, held, available
        let cases = [
            (Limit::DebitsMustNotExceedCredits, (30, 20), (100, 7), plus(70), 20, plus(50)),
            (Limit::None, (30, 20), (10, 7), minus(20), 20, minus(40)),
            (Limit::CreditsMustNotExceedDebits, (100, 7), (30, 20), plus(70), 20, plus(50)),
        ];
        for (limit, debits, credits, settled, held, available) in cases {
            let new = NewAccount { id: AccountId::from_u128(1), asset: AssetId::from_u32(1), limit };
            let mut account = Account::open(new);
            account.totals = Totals { debits: sums(debits.0, debits.1), credits: sums(credits.0, credits.1) };
            let got = account.balances();
            assert_eq!(
                (got.settled, got.held.base(), got.available),
                (settled, held, available),
                "{limit:?}"
            );
        }
    }
}
