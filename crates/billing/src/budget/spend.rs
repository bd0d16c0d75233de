//! Placing a hold on the wallet and every ancestor: one linked group, the budget's own limits first, the money last.

use farthing_ledger::{AccountId, Command, Expiry, NewHold, Step, Tag, Timestamp};
use farthing_money::Amount;

use super::BudgetRejection;
use super::definition::{Budget, Rate, Scope};
use super::path::Path;
use super::plan::{Blame, Leg, Legs, Plan, open_guarded};
use crate::id::{CounterpartyId, GroupId, SubjectId, group};
use crate::{Reason, Window};

/// The most accounts from which one spend draws its money.
pub const MAX_DRAWS: usize = 64;

/// A wish to set money aside for a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spend {
    /// The name of the hold: the same name is the same spend.
    pub group: GroupId,
    /// The account that is paid.
    pub to: AccountId,
    /// The most that the call may cost.
    pub amount: Amount,
    /// Who is paid, as limits tell them apart.
    pub counterparty: CounterpartyId,
    /// The unit of work.
    pub subject: SubjectId,
    /// When: it decides in which hour, day and month it counts. A retry gives the same instant.
    pub now: Timestamp,
    /// Until when the hold stands.
    pub expiry: Expiry,
}

/// How much of the money comes from which account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Draw {
    /// The account of a grant.
    pub account: AccountId,
    /// How much.
    pub amount: Amount,
}

impl Path {
    /// The commands that set aside `spend.amount` on the account whose money it is and on every limit of the path.
    ///
    /// # Errors
    /// The first rule of the table in [`super`] that can be judged without the ledger.
    pub fn spend(&self, spend: &Spend) -> Result<Plan, BudgetRejection> {
        self.plan_spend(spend, &[Draw { account: self.money(), amount: spend.amount }])
    }

    /// As [`Path::spend`], with the money drawn from several grants of the wallet ([`crate::wallet::draw`]).
    ///
    /// # Errors
    /// As [`Path::spend`]; [`BudgetRejection::DrawMismatch`] when the draws do not make up the amount, there are more than
    /// [`MAX_DRAWS`], or the money is a carved budget's.
    pub fn spend_drawn(&self, spend: &Spend, draws: &[Draw]) -> Result<Plan, BudgetRejection> {
        self.check_open()?;
        let sum = Amount::sum(draws.iter().map(|draw| draw.amount));
        if sum != Ok(spend.amount) || draws.len() > MAX_DRAWS || self.payer().is_some() {
            return Err(BudgetRejection::DrawMismatch);
        }
        self.plan_spend(spend, draws)
    }

    fn plan_spend(&self, spend: &Spend, draws: &[Draw]) -> Result<Plan, BudgetRejection> {
        self.check_open()?;
        self.check_call(spend)?;
        let mut plan = Plan::default();
        let by = self.leaf().map_or(0, |leaf| leaf.id.as_u128());
        let mut legs = Legs::of(spend.group, Tag { subject: spend.subject.as_u128(), reference: by });
        let mut hold = |plan: &mut Plan, leg: Leg, blame| {
            let transfer = legs.transfer(leg);
            plan.add(Command::Hold(NewHold { transfer, expiry: spend.expiry }), blame);
        };
        let (chart, used) = (self.root().chart, self.root().allowances());
        let limit = |debit| Leg {
            debit,
            credit: used,
            asset: chart.allowance,
            amount: spend.amount,
            reason: Reason::Limit,
        };
        let paying = self.paying().len();
        for (at, budget) in self.budgets().iter().enumerate() {
            if at < paying {
                hold(&mut plan, limit(budget.id.total_account()), Blame::Total(budget.id));
            }
            for rate in &budget.rates {
                let account = self.prepare(&mut plan, (budget, rate), spend);
                hold(&mut plan, limit(account), Blame::Rate(budget.id, rate.period, rate.scope));
            }
        }
        for draw in draws.iter().filter(|draw| !draw.amount.is_zero()) {
            let leg = Leg {
                debit: draw.account,
                credit: spend.to,
                asset: chart.money,
                amount: draw.amount,
                reason: Reason::Spend,
            };
            hold(&mut plan, leg, Blame::Money);
        }
        Ok(plan.linked())
    }

    /// Rules that depend on this one call and on nothing that others do at the same time.
    fn check_call(&self, spend: &Spend) -> Result<(), BudgetRejection> {
        if spend.amount.is_zero() {
            return Err(BudgetRejection::SpendZero);
        }
        if let Some(forbids) = self.budgets().iter().find(|b| !b.counterparties.allows(spend.counterparty)) {
            return Err(BudgetRejection::CounterpartyNotAllowed { budget: forbids.id });
        }
        for budget in self.budgets() {
            if let Some(most) = budget.per_call
                && spend.amount > most
            {
                let required = spend.amount;
                return Err(BudgetRejection::ExceedsPerCall { budget: budget.id, most, required });
            }
        }
        Ok(())
    }

    /// Adds what opens and fills the account that counts `rate` now. Everybody who asks comes to the same two commands.
    fn prepare(&self, plan: &mut Plan, (budget, rate): (&Budget, &Rate), spend: &Spend) -> AccountId {
        let window = rate.period.window(spend.now);
        let with = match rate.scope {
            Scope::Everybody => None,
            Scope::EachCounterparty => Some(spend.counterparty),
        };
        let account = budget.id.window_account(window, with);
        plan.prepare.extend(self.fill(account, rate.most));
        account
    }

    /// Opens a window's account and fills it, once and for all.
    pub(super) fn fill(&self, account: AccountId, most: Amount) -> Vec<Step> {
        let asset = self.root().chart.allowance;
        let mut legs = Legs::of(group("window", &[account.as_u128()]), Tag::default());
        let fill = Leg {
            debit: self.root().allowances(),
            credit: account,
            asset,
            amount: most,
            reason: Reason::Allowance,
        };
        Step::group([open_guarded(account, asset), Command::Transfer(legs.transfer(fill))])
    }
}

impl Rate {
    /// The window in which a spend at `now` counts.
    #[must_use]
    pub fn window(&self, now: Timestamp) -> Window {
        self.period.window(now)
    }
}
