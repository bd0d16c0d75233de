//! [`Plan`]: the ledger commands of one wish, and what the ledger's answer means in the words of budgets. It decides
//! nothing: the ledger does.

use farthing_ledger::{
    AccountId, AssetId, Command, Limit, NewAccount, Outcome, Rejection, Step, Tag, Transfer, TransferId,
};
use farthing_money::Amount;

use super::BudgetRejection;
use super::definition::Scope;
use crate::id::{BudgetId, GroupId};
use crate::{Period, Reason};

/// What a step stands for, so that its refusal can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Blame {
    /// What a budget may spend in all.
    Total(BudgetId),
    /// What a budget may spend in a period.
    Rate(BudgetId, Period, Scope),
    /// The money itself.
    Money,
    /// The seat of a child.
    Seat(BudgetId),
    /// All seats of a budget that closes.
    Seats(BudgetId),
    /// Something that has no limit.
    Nothing,
}

/// Commands that carry out one wish: `prepare` first, each pair by itself; then `steps`, which succeed or fail together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Opens and fills what counts the windows. Whether it was there before does not matter, so whoever has seen these
    /// accounts may leave it out.
    pub prepare: Vec<Step>,
    /// The wish: one linked group.
    pub steps: Vec<Step>,
    pub(super) blame: Vec<Blame>,
}

impl Plan {
    /// Everything, in order: one batch for a store.
    #[must_use]
    pub fn batch(&self) -> Vec<Step> {
        self.prepare.iter().chain(&self.steps).cloned().collect()
    }

    /// What the outcomes of [`Plan::batch`], or of `steps` alone, mean. The preparation's do not matter: a window that was
    /// opened before keeps the limit that it was opened with.
    ///
    /// # Errors
    /// The [`BudgetRejection`] of the first step that the ledger refused for its own sake.
    pub fn read(&self, outcomes: &[Outcome]) -> Result<(), BudgetRejection> {
        let mine = outcomes.len().saturating_sub(self.steps.len());
        for (outcome, blame) in outcomes.iter().skip(mine).zip(&self.blame) {
            match outcome {
                Outcome::Applied | Outcome::Exists | Outcome::Rejected(Rejection::LinkedGroupFailed) => {}
                Outcome::Rejected(rejection) => return Err(blame.of(*rejection)),
            }
        }
        Ok(())
    }

    pub(super) fn add(&mut self, command: Command, blame: Blame) {
        self.steps.push(Step::single(command));
        self.blame.push(blame);
    }

    /// Adds a transfer, unless nothing would move.
    pub(super) fn transfer(&mut self, transfer: Transfer, blame: Blame) {
        if !transfer.amount.is_zero() {
            self.add(Command::Transfer(transfer), blame);
        }
    }

    /// Links the steps; the end of every plan.
    pub(super) fn linked(mut self) -> Self {
        self.steps = Step::group(self.steps.into_iter().map(|step| step.command));
        self
    }
}

impl Blame {
    fn of(self, rejection: Rejection) -> BudgetRejection {
        use Rejection::{AccountHasHolds, CreditAccountClosed, DebitAccountClosed, ExceedsCredits};
        match (self, rejection) {
            (Self::Total(budget), ExceedsCredits { available, required }) => {
                BudgetRejection::ExceedsTotal { budget, available, required }
            }
            (Self::Rate(budget, period, Scope::Everybody), ExceedsCredits { available, required }) => {
                BudgetRejection::ExceedsPeriod { budget, period, available, required }
            }
            (Self::Rate(budget, period, Scope::EachCounterparty), ExceedsCredits { available, required }) => {
                BudgetRejection::ExceedsCounterparty { budget, period, available, required }
            }
            (Self::Money, ExceedsCredits { available, required }) => {
                BudgetRejection::InsufficientFunds { available, required }
            }
            (Self::Seat(budget), ExceedsCredits { .. }) => BudgetRejection::ExceedsChildren { budget },
            (Self::Seats(budget), ExceedsCredits { .. }) => BudgetRejection::HasChildren { budget },
            (Self::Total(budget), AccountHasHolds) => BudgetRejection::HasHolds { budget },
            (
                Self::Total(budget) | Self::Seat(budget) | Self::Seats(budget),
                DebitAccountClosed | CreditAccountClosed,
            ) => BudgetRejection::Closed { budget },
            _ => BudgetRejection::Ledger(rejection),
        }
    }
}

/// Gives the legs of a group their ids and what they have in common.
#[derive(Debug)]
pub(super) struct Legs {
    group: GroupId,
    next: u8,
    tag: Tag,
}

/// From where, to where, what, how much and why.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leg {
    pub(super) debit: AccountId,
    pub(super) credit: AccountId,
    pub(super) asset: AssetId,
    pub(super) amount: Amount,
    pub(super) reason: Reason,
}

impl Legs {
    pub(super) const fn of(group: GroupId, tag: Tag) -> Self {
        Self { group, next: 0, tag }
    }

    /// The next id. The bounds on depth, rates and draws keep a group under 256 legs.
    pub(super) fn id(&mut self) -> TransferId {
        let id = self.group.leg(self.next);
        self.next = self.next.saturating_add(1);
        id
    }

    pub(super) fn transfer(&mut self, leg: Leg) -> Transfer {
        let Leg { debit, credit, asset, amount, reason } = leg;
        Transfer { id: self.id(), debit, credit, asset, amount, code: reason.code(), tag: self.tag }
    }
}

/// Opens an account that cannot be overdrawn.
pub(super) const fn open_guarded(id: AccountId, asset: AssetId) -> Command {
    Command::OpenAccount(NewAccount { id, asset, limit: Limit::DebitsMustNotExceedCredits })
}
