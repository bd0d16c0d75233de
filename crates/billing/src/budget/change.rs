//! Creating, amending and closing budgets, and refunds: one linked group each, so that what a child gets is what its parent
//! gives. Nothing here spends.

use farthing_ledger::{AccountId, Command, Limit, NewAccount, Step, Tag, Timestamp};
use farthing_money::Amount;

use super::BudgetRejection;
use super::definition::{Budget, BudgetState, Funding, MAX_DEPTH, Rate, Root, Scope};
use super::path::Path;
use super::plan::{Blame, Leg, Legs, Plan, open_guarded};
use super::spend::{Draw, MAX_DRAWS};
use crate::Reason;
use crate::id::{BudgetId, CounterpartyId, GroupId};

/// A wish to give a spend back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refund {
    /// Its name.
    pub group: GroupId,
    /// The account that was paid.
    pub from: AccountId,
    /// How much comes back.
    pub amount: Amount,
    /// The receipt, or whatever it refers to; zero for none.
    pub reference: u128,
}

/// A wish to change what a budget may spend in a period that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateChange {
    /// Its name.
    pub group: GroupId,
    /// The limit until now.
    pub from: Rate,
    /// The most from now on.
    pub most: Amount,
    /// The counterparty, when the limit is for each.
    pub counterparty: Option<CounterpartyId>,
    /// When.
    pub now: Timestamp,
}

impl Root {
    /// Opens the two accounts that every tree under this wallet needs. It may be said again.
    #[must_use]
    pub fn open(&self) -> [Step; 2] {
        let open =
            |id, asset| Step::single(Command::OpenAccount(NewAccount { id, asset, limit: Limit::None }));
        [open(self.allowances(), self.chart.allowance), open(self.seats(), self.chart.seats)]
    }
}

impl Path {
    /// Creates `new` under this path: its accounts, its seat, and what is carved out for it.
    ///
    /// # Errors
    /// The first rule of the table in [`super`] that can be judged without the ledger.
    pub fn create(&self, group: GroupId, new: &Budget) -> Result<Plan, BudgetRejection> {
        self.check_open()?;
        if new.id.is_reserved() {
            return Err(BudgetRejection::IdReserved);
        }
        if new.parent != self.leaf().map(|leaf| leaf.id) {
            return Err(BudgetRejection::WrongParent);
        }
        if let Some(parent) = self.leaf()
            && new.children.levels >= parent.children.levels
        {
            return Err(BudgetRejection::TooDeep { budget: parent.id });
        }
        if self.budgets().len() >= MAX_DEPTH {
            return Err(BudgetRejection::TreeTooDeep { most: MAX_DEPTH });
        }
        new.check_numbers()?;
        let (chart, mut plan) = (self.root().chart, Plan::default());
        let mut legs = Legs::of(group, Tag { subject: 0, reference: new.id.as_u128() });
        plan.add(open_guarded(new.id.total_account(), chart.allowance), Blame::Nothing);
        plan.add(open_guarded(new.id.carved_account(), chart.allowance), Blame::Nothing);
        plan.add(open_guarded(new.id.seats_account(), chart.seats), Blame::Nothing);
        if new.is_carved() {
            plan.add(open_guarded(new.id.envelope(), chart.money), Blame::Nothing);
        }
        if let Some(parent) = self.leaf() {
            let seat = self.seat(parent.id.seats_account(), self.root().seats(), 1);
            plan.transfer(legs.transfer(seat), Blame::Seat(parent.id));
        }
        if let Funding::Carved { amount } = new.funding {
            self.carve(&mut plan, &mut legs, (new.id, amount));
        }
        let fill = self.allowance(self.root().allowances(), new.id.total_account(), new.total());
        plan.transfer(legs.transfer(fill), Blame::Nothing);
        let seats = self.seat(self.root().seats(), new.id.seats_account(), u128::from(new.children.most));
        plan.transfer(legs.transfer(seats), Blame::Nothing);
        Ok(plan.linked())
    }

    /// Closes the budget: from here on nothing is spent and no child is created, whoever asks. It needs that no child and
    /// no hold is open.
    ///
    /// # Errors
    /// [`BudgetRejection::NotApplicable`] for the wallet itself, which is no budget.
    pub fn close(&self, group: GroupId) -> Result<Plan, BudgetRejection> {
        let leaf = self.leaf_or_broken()?;
        let mut plan = Plan::default();
        let mut legs = Legs::of(group, Tag { subject: 0, reference: leaf.id.as_u128() });
        // All seats must be there to go back: that is how the ledger knows that no child is open.
        let all = self.seat(leaf.id.seats_account(), self.root().seats(), u128::from(leaf.children.most));
        plan.transfer(legs.transfer(all), Blame::Seats(leaf.id));
        plan.add(Command::CloseAccount(leaf.id.seats_account()), Blame::Seats(leaf.id));
        plan.add(Command::CloseAccount(leaf.id.total_account()), Blame::Total(leaf.id));
        if let Some(parent) = self.budgets().get(1).filter(|parent| parent.state == BudgetState::Open) {
            let seat = self.seat(self.root().seats(), parent.id.seats_account(), 1);
            plan.transfer(legs.transfer(seat), Blame::Seat(parent.id));
        }
        Ok(plan.linked())
    }

    /// Gives what a closed carved budget has left, `available` in its envelope, back to its parent. Late refunds may fill
    /// the envelope again: then it is said again, with another name.
    ///
    /// # Errors
    /// [`BudgetRejection::NotApplicable`] unless the budget is carved.
    pub fn reclaim(&self, group: GroupId, available: Amount) -> Result<Plan, BudgetRejection> {
        let leaf = self.leaf_or_broken()?;
        if !leaf.is_carved() {
            return Err(BudgetRejection::NotApplicable { budget: leaf.id });
        }
        let (mut plan, parent) = (Plan::default(), self.parent());
        let mut legs = Legs::of(group, Tag { subject: 0, reference: leaf.id.as_u128() });
        let back = self.money_leg(leaf.id.envelope(), parent.money(), (available, Reason::Reclaim));
        plan.transfer(legs.transfer(back), Blame::Money);
        for payer in parent.paying().iter().filter(|payer| payer.state == BudgetState::Open) {
            let mut leg = self.allowance(payer.id.carved_account(), payer.id.total_account(), available);
            leg.reason = Reason::Reclaim;
            plan.transfer(legs.transfer(leg), Blame::Total(payer.id));
        }
        Ok(plan.linked())
    }

    /// Raises or lowers what a budget with a shared limit may spend in all. It cannot be lowered under what is spent, held
    /// and carved out.
    ///
    /// # Errors
    /// [`BudgetRejection::Closed`], [`BudgetRejection::NotApplicable`] for a carved budget, and the rules about numbers.
    pub fn amend_total(&self, group: GroupId, total: Option<Amount>) -> Result<Plan, BudgetRejection> {
        self.check_open()?;
        let leaf = self.leaf_or_broken()?;
        if leaf.is_carved() {
            return Err(BudgetRejection::NotApplicable { budget: leaf.id });
        }
        let amended = Budget { funding: Funding::Shared { total }, ..leaf.clone() };
        amended.check_numbers()?;
        let mut plan = Plan::default();
        let account = leaf.id.total_account();
        self.adjust(&mut plan, (group, account), (leaf.total(), amended.total()), Blame::Total(leaf.id));
        Ok(plan.linked())
    }

    /// Raises or lowers a limit in the window that runs. Later windows are opened with the budget's definition.
    ///
    /// # Errors
    /// [`BudgetRejection::Closed`], [`BudgetRejection::NotApplicable`] unless it is a limit of this budget, and the rules about
    /// numbers.
    pub fn amend_rate(&self, change: &RateChange) -> Result<Plan, BudgetRejection> {
        self.check_open()?;
        let leaf = self.leaf_or_broken()?;
        let each = change.from.scope == Scope::EachCounterparty;
        if !leaf.rates.contains(&change.from) || each != change.counterparty.is_some() {
            return Err(BudgetRejection::NotApplicable { budget: leaf.id });
        }
        let rates = vec![Rate { most: change.most, ..change.from }];
        Budget { rates, ..leaf.clone() }.check_numbers()?;
        let account = leaf.id.window_account(change.from.window(change.now), change.counterparty);
        let mut plan = Plan { prepare: self.fill(account, change.from.most), ..Plan::default() };
        let blame = Blame::Rate(leaf.id, change.from.period, change.from.scope);
        self.adjust(&mut plan, (change.group, account), (change.from.most, change.most), blame);
        Ok(plan.linked())
    }

    /// Gives money back to where it was spent from, and to the totals on the way. Limits a period are not given back: they
    /// bound what is risked in a period, and that was risked. A closed budget's total stays as it is.
    ///
    /// # Errors
    /// [`BudgetRejection::SpendZero`].
    pub fn refund(&self, refund: &Refund) -> Result<Plan, BudgetRejection> {
        self.refund_drawn(refund, &[Draw { account: self.money(), amount: refund.amount }])
    }

    /// As [`Path::refund`], with the money going back to the grants that it came from ([`crate::wallet::refund_draws`]).
    ///
    /// # Errors
    /// [`BudgetRejection::DrawMismatch`] unless the draws make up the amount, [`BudgetRejection::SpendZero`].
    pub fn refund_drawn(&self, refund: &Refund, draws: &[Draw]) -> Result<Plan, BudgetRejection> {
        let sum = Amount::sum(draws.iter().map(|draw| draw.amount));
        if sum != Ok(refund.amount) || draws.len() > MAX_DRAWS {
            return Err(BudgetRejection::DrawMismatch);
        }
        if refund.amount.is_zero() {
            return Err(BudgetRejection::SpendZero);
        }
        let mut plan = Plan::default();
        let mut legs = Legs::of(refund.group, Tag { subject: 0, reference: refund.reference });
        for payer in self.paying().iter().filter(|payer| payer.state == BudgetState::Open) {
            let mut leg = self.allowance(self.root().allowances(), payer.id.total_account(), refund.amount);
            leg.reason = Reason::Refund;
            plan.transfer(legs.transfer(leg), Blame::Total(payer.id));
        }
        for draw in draws {
            let money = self.money_leg(refund.from, draw.account, (draw.amount, Reason::Refund));
            plan.transfer(legs.transfer(money), Blame::Money);
        }
        Ok(plan.linked())
    }

    /// What is carved out leaves the total of every budget that would have paid, and the money itself.
    fn carve(&self, plan: &mut Plan, legs: &mut Legs, (child, amount): (BudgetId, Amount)) {
        for payer in self.paying() {
            let mut leg = self.allowance(payer.id.total_account(), payer.id.carved_account(), amount);
            leg.reason = Reason::Carve;
            plan.transfer(legs.transfer(leg), Blame::Total(payer.id));
        }
        let money = self.money_leg(self.money(), child.envelope(), (amount, Reason::Carve));
        plan.transfer(legs.transfer(money), Blame::Money);
    }

    fn adjust(
        &self,
        plan: &mut Plan,
        (group, account): (GroupId, AccountId),
        (before, after): (Amount, Amount),
        blame: Blame,
    ) {
        let source = self.root().allowances();
        let leg = match after.checked_sub(before) {
            Ok(more) => self.allowance(source, account, more),
            Err(_) => self.allowance(account, source, before.checked_sub(after).unwrap_or(Amount::ZERO)),
        };
        plan.transfer(Legs::of(group, Tag::default()).transfer(leg), blame);
    }

    const fn allowance(&self, debit: AccountId, credit: AccountId, amount: Amount) -> Leg {
        Leg { debit, credit, asset: self.root().chart.allowance, amount, reason: Reason::Allowance }
    }

    const fn seat(&self, debit: AccountId, credit: AccountId, seats: u128) -> Leg {
        let amount = Amount::from_base(seats);
        Leg { debit, credit, asset: self.root().chart.seats, amount, reason: Reason::Seat }
    }

    const fn money_leg(
        &self,
        debit: AccountId,
        credit: AccountId,
        (amount, reason): (Amount, Reason),
    ) -> Leg {
        Leg { debit, credit, asset: self.root().chart.money, amount, reason }
    }

    fn leaf_or_broken(&self) -> Result<&Budget, BudgetRejection> {
        self.leaf().ok_or(BudgetRejection::NotApplicable { budget: BudgetId::from_u128(0) })
    }
}
