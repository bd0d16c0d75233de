//! [`Placed`]: a spend whose hold stands, as the ledger shows it, and how it ends. It remembers nothing: all of it is read
//! from the holds, so that any process can finish what another began.

use farthing_ledger::{
    Command, Hold, HoldState, PostAmount, PostHold, Remainder, Step, TransferId, VoidHold,
};
use farthing_money::Amount;

use crate::Reason;
use crate::id::{BudgetId, GroupId};

/// The open legs of one spend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    limits: Vec<Hold>,
    money: Vec<Hold>,
}

/// A wish to pay from a placed spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capture {
    /// The name of the capture.
    pub group: GroupId,
    /// What the call cost in the end.
    pub amount: Amount,
    /// Whether the rest stays aside for more.
    pub remainder: Remainder,
    /// The receipt, for the ledger's entries of the money; zero for none.
    pub receipt: u128,
}

/// Why a placed spend cannot be paid from or given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlacedError {
    /// These are not the legs of one spend that is open.
    #[error("these holds are not the legs of one open spend")]
    NotASpend,
    /// The call cost more than was set aside.
    #[error("{required} base units are more than the {left} that are set aside")]
    ExceedsSpend {
        /// What is left.
        left: Amount,
        /// What it cost.
        required: Amount,
    },
}

impl PlacedError {
    /// The stable code, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotASpend => "not_a_spend",
            Self::ExceedsSpend { .. } => "exceeds_spend",
        }
    }
}

impl Placed {
    /// The spend whose legs are `holds`, in order: what the ledger knows of leg 0, 1, 2, … of its group until it knows none.
    ///
    /// # Errors
    /// [`PlacedError::NotASpend`] unless they are all legs of one group, leave none out, and money is among them and open.
    pub fn read(holds: &[Hold]) -> Result<Self, PlacedError> {
        let first = holds.first().ok_or(PlacedError::NotASpend)?;
        let group = GroupId::of(first.new.transfer.id);
        let in_order = |(at, hold): (usize, &Hold)| {
            u8::try_from(at).is_ok_and(|at| hold.new.transfer.id == group.leg(at))
        };
        if !holds.iter().enumerate().all(in_order) {
            return Err(PlacedError::NotASpend);
        }
        let of = |reason: Reason| holds.iter().copied().filter(move |h| h.new.transfer.code == reason.code());
        let (limits, money): (Vec<Hold>, Vec<Hold>) =
            (of(Reason::Limit).collect(), of(Reason::Spend).collect());
        let open = money.iter().any(|hold| hold.state == HoldState::Open);
        if !open || limits.len() + money.len() != holds.len() {
            return Err(PlacedError::NotASpend);
        }
        Ok(Self { limits, money })
    }

    /// The budget that spends; `None` for the wallet itself.
    #[must_use]
    pub fn by(&self) -> Option<BudgetId> {
        let by = self.money.first().map_or(0, |hold| hold.new.transfer.tag.reference);
        (by != 0).then(|| BudgetId::from_u128(by))
    }

    /// What is still set aside.
    #[must_use]
    pub fn left(&self) -> Amount {
        Amount::sum(self.open_money().map(|hold| hold.left)).unwrap_or(Amount::MAX)
    }

    /// Pays `capture.amount`, from the grants in the order in which they were drawn, and counts it on every limit.
    ///
    /// # Errors
    /// [`PlacedError::ExceedsSpend`].
    pub fn capture(&self, capture: &Capture) -> Result<Vec<Step>, PlacedError> {
        let left = self.left();
        let mut rest = capture.amount;
        if rest > left {
            return Err(PlacedError::ExceedsSpend { left, required: rest });
        }
        let by = self.by().map_or(0, BudgetId::as_u128);
        let mut posts: Vec<(TransferId, Amount, u128)> = Vec::new();
        posts.extend(open(&self.limits).map(|hold| (hold.new.transfer.id, capture.amount, by)));
        for hold in self.open_money() {
            let part = rest.min(hold.left);
            rest = rest.checked_sub(part).unwrap_or(Amount::ZERO);
            posts.push((hold.new.transfer.id, part, capture.receipt));
        }
        let post = |(at, (hold, amount, reference)): (u8, (TransferId, Amount, u128))| {
            let (id, remainder) = (capture.group.leg(at), capture.remainder);
            Command::Post(PostHold { id, hold, amount: PostAmount::Exact(amount), remainder, reference })
        };
        Ok(Step::group((0..=u8::MAX).zip(posts).map(post)))
    }

    /// Gives everything back that is still set aside.
    #[must_use]
    pub fn void(&self, group: GroupId, reference: u128) -> Vec<Step> {
        let legs = open(&self.limits).chain(self.open_money());
        Step::group((0..=u8::MAX).zip(legs).map(|(at, hold)| {
            Command::Void(VoidHold { id: group.leg(at), hold: hold.new.transfer.id, reference })
        }))
    }

    fn open_money(&self) -> impl Iterator<Item = &Hold> {
        open(&self.money)
    }
}

fn open(holds: &[Hold]) -> impl Iterator<Item = &Hold> {
    holds.iter().filter(|hold| hold.state == HoldState::Open)
}
