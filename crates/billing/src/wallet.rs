//! [`Wallet`]: a customer's accounts, one an asset, and what comes in and goes back outside of spending.
//!
//! Under an account of a wallet stand ledger accounts: the paid money, each [`Grant`], a line of credit when policy gives one,
//! and what the customer owes. Money that comes in and money that a funding source takes back are booked whole and at once,
//! with content that does not depend on any balance, so that a retry is the same transfer. A chargeback therefore goes to what
//! is owed, and never fails for want of money; [`Wallet::repay`] then moves what is there. Say both in one batch.

use farthing_ledger::{
    Account, AccountId, AssetId, Command, Limit, Net, NewAccount, Step, Tag, Timestamp, Transfer,
};
use farthing_money::{Amount, MoneyError};

use crate::grant::{Grant, Purpose};
pub use crate::grant::{draw, refund_draws};
use crate::id::{CustomerId, GrantId, GroupId, account};
use crate::{Chart, Reason};

/// Somebody who has a wallet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Customer {
    /// Its name here.
    pub id: CustomerId,
    external_id: String,
}

/// A name by which the operator knows a customer is not usable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an external id has 1 to 128 printable characters")]
#[non_exhaustive]
pub struct BadExternalId;

impl BadExternalId {
    /// The stable code, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        "customer_bad_external_id"
    }
}

impl Customer {
    /// A customer whom the operator knows as `external_id`.
    ///
    /// # Errors
    /// [`BadExternalId`] unless it has 1 to 128 characters and none is a control character.
    pub fn new(id: CustomerId, external_id: &str) -> Result<Self, BadExternalId> {
        let fits = (1..=128).contains(&external_id.chars().count());
        if !fits || external_id.chars().any(char::is_control) {
            return Err(BadExternalId);
        }
        Ok(Self { id, external_id: external_id.to_owned() })
    }

    /// The name by which the operator knows the customer.
    #[must_use]
    pub fn external_id(&self) -> &str {
        &self.external_id
    }
}

/// A customer's account of one asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wallet {
    /// Whose.
    pub customer: CustomerId,
    /// Of what.
    pub chart: Chart,
}

/// A movement between a wallet and an account outside of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Move {
    /// Its name.
    pub group: GroupId,
    /// The account on the other side.
    pub other: AccountId,
    /// How much.
    pub amount: Amount,
    /// What it refers to outside; zero for none.
    pub reference: u128,
}

/// Which way an operator corrects a balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Adjustment {
    /// The customer gets more.
    Credit,
    /// The customer gets less: from the paid money, and refused when there is not so much.
    Debit,
}

impl Wallet {
    /// The ledger account with the paid money: what is drawn as [`Wallet::paid`] and the root of budgets.
    #[must_use]
    pub fn account(&self) -> AccountId {
        account("wallet", &self.parts())
    }

    /// The ledger account with what is left of the line of credit.
    #[must_use]
    pub fn overdraft_account(&self) -> AccountId {
        account("wallet overdraft", &self.parts())
    }

    /// The ledger account with what the customer owes.
    #[must_use]
    pub fn debt_account(&self) -> AccountId {
        account("wallet debt", &self.parts())
    }

    /// The paid money, as it is drawn.
    #[must_use]
    pub fn paid(&self) -> Grant {
        self.as_grant(self.account(), Purpose::Paid)
    }

    /// The line of credit, as it is drawn.
    #[must_use]
    pub fn overdraft(&self) -> Grant {
        self.as_grant(self.overdraft_account(), Purpose::Overdraft)
    }

    /// Opens the wallet's three accounts. It may be said again.
    #[must_use]
    pub fn open(&self) -> [Step; 3] {
        let asset = self.chart.money;
        let open = |id, limit| Step::single(Command::OpenAccount(NewAccount { id, asset, limit }));
        [
            open(self.account(), Limit::DebitsMustNotExceedCredits),
            open(self.overdraft_account(), Limit::DebitsMustNotExceedCredits),
            open(self.debt_account(), Limit::CreditsMustNotExceedDebits),
        ]
    }

    /// Money came in.
    #[must_use]
    pub fn deposit(&self, from: &Move) -> Step {
        self.step((from.other, self.account()), from, Reason::Deposit)
    }

    /// A funding source took money back. The customer owes it, until [`Wallet::repay`].
    #[must_use]
    pub fn chargeback(&self, to: &Move) -> Step {
        self.step((self.debt_account(), to.other), to, Reason::Chargeback)
    }

    /// An operator corrects a balance.
    #[must_use]
    pub fn adjust(&self, adjustment: Adjustment, by: &Move) -> Step {
        let sides = match adjustment {
            Adjustment::Credit => (by.other, self.account()),
            Adjustment::Debit => (self.account(), by.other),
        };
        self.step(sides, by, Reason::Adjustment)
    }

    /// Changes the line of credit from `before` to `after`; `other` is where credit comes from. The ledger refuses to take
    /// away what is in use. `None`: nothing changes.
    #[must_use]
    pub fn amend_overdraft(&self, by: &Move, before: Amount) -> Option<Step> {
        let after = by.amount;
        let (sides, amount) = match after.checked_sub(before) {
            Ok(more) => ((by.other, self.overdraft_account()), more),
            Err(_) => ((self.overdraft_account(), by.other), before.checked_sub(after).ok()?),
        };
        let by = Move { amount, ..*by };
        (!amount.is_zero()).then(|| self.step(sides, &by, Reason::Overdraft))
    }

    /// Pays from the paid money what is owed, then what of the line of credit is in use. One linked group; empty when there
    /// is nothing to pay or nothing to pay with. The ledger refuses it whole when less is there, or less is owed.
    #[must_use]
    pub fn repay(&self, group: GroupId, state: &Owing) -> Vec<Step> {
        let debt = state.debt.min(state.available);
        let rest = state.available.checked_sub(debt).unwrap_or(Amount::ZERO);
        let legs = [(self.debt_account(), debt), (self.overdraft_account(), state.overdraft_used.min(rest))];
        let legs = legs.into_iter().filter(|(_, amount)| !amount.is_zero());
        Step::group((0..=u8::MAX).zip(legs).map(|(at, (credit, amount))| {
            let leg = Move { group, other: credit, amount, reference: 0 };
            let transfer = self.transfer((self.account(), credit), &leg, Reason::Repayment);
            Command::Transfer(Transfer { id: group.leg(at), ..transfer })
        }))
    }

    fn parts(&self) -> [u128; 2] {
        [self.customer.as_u128(), u128::from(self.chart.money.as_u32())]
    }

    fn as_grant(&self, account: AccountId, purpose: Purpose) -> Grant {
        let id = GrantId::from_u128(account.as_u128());
        Grant { account, ..Grant::new(id, purpose, Timestamp::EPOCH) }
    }

    fn step(&self, sides: (AccountId, AccountId), by: &Move, reason: Reason) -> Step {
        Step::single(Command::Transfer(self.transfer(sides, by, reason)))
    }

    const fn transfer(&self, (debit, credit): (AccountId, AccountId), by: &Move, reason: Reason) -> Transfer {
        let Move { group, other: _, amount, reference } = *by;
        let tag = Tag { subject: 0, reference };
        let asset: AssetId = self.chart.money;
        // The first leg's id is the group's own.
        let id = farthing_ledger::TransferId::from_u128(group.as_u128());
        Transfer { id, debit, credit, asset, amount, code: reason.code(), tag }
    }
}

/// What a wallet owes and can pay with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owing {
    /// What is available of the paid money.
    pub available: Amount,
    /// What was taken back by funding sources and is not paid.
    pub debt: Amount,
    /// What of the line of credit was spent.
    pub overdraft_used: Amount,
}

/// A wallet's ledger accounts, as last read.
#[derive(Debug, Clone, Copy)]
pub struct Accounts<'a> {
    /// The paid money.
    pub paid: &'a Account,
    /// The line of credit.
    pub overdraft: &'a Account,
    /// The line of credit that policy gives.
    pub overdraft_limit: Amount,
    /// What is owed.
    pub debt: &'a Account,
    /// Grants, with their accounts, those that have run out too.
    pub grants: &'a [(Grant, &'a Account)],
}

/// The balances of a wallet's account. What was carved out for budgets is theirs and not among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct WalletBalances {
    /// What has moved for good, less what is owed and what of the line of credit is used.
    pub settled: Net,
    /// What is set aside.
    pub held: Amount,
    /// `settled - held`. What grants that ran out still have counts until it is swept.
    pub available: Net,
    /// What a spend can draw now: grants that run, the paid money, and the rest of the line of credit.
    pub spendable: Amount,
    /// What is owed to be paid from the next money.
    pub owing: Owing,
}

impl WalletBalances {
    /// The balances at `now`.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] past 128 bits.
    pub fn of(accounts: &Accounts<'_>, now: Timestamp) -> Result<Self, MoneyError> {
        let Accounts { paid, overdraft, overdraft_limit, debt, grants } = *accounts;
        let mine = || [paid, overdraft].into_iter().chain(grants.iter().map(|(_, account)| *account));
        let has = Amount::sum(mine().map(|account| account.balances().settled.or_zero()))?;
        let held = Amount::sum(mine().map(|account| account.balances().held))?;
        let debt = debt.balances().settled.or_zero();
        let minus = overdraft_limit.checked_add(debt)?;
        let live = grants.iter().filter(|(grant, _)| grant.is_live(now)).map(|(_, account)| *account);
        let drawn = [paid, overdraft].into_iter().chain(live);
        let available = |account: &Account| account.balances().available.or_zero();
        let overdraft_used =
            overdraft_limit.checked_sub(overdraft.balances().settled.or_zero()).unwrap_or(Amount::ZERO);
        Ok(Self {
            settled: Net::of(has, minus),
            held,
            available: Net::of(has, minus.checked_add(held)?),
            spendable: Amount::sum(drawn.map(available))?,
            owing: Owing { available: available(paid), debt, overdraft_used },
        })
    }
}

#[cfg(test)]
mod tests;
