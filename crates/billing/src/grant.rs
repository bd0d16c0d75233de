//! [`Grant`]: a part of a wallet's account with a purpose, a priority and an end, drawn in one documented order.
//!
//! Every grant is a ledger account of its own, so that nothing can be drawn from it twice and its rest can be taken when it
//! runs out, whoever asks. The order in which grants are drawn is decided here, before the hold is placed:
//!
//! 1. an overdraft last, whatever its priority;
//! 2. the lower priority number first;
//! 3. what runs out sooner first, what never does last;
//! 4. entitlements, then promotions, then what was paid for;
//! 5. what was granted earlier first, then the lower id.
//!
//! The order is a wish and the balances are the law: a plan made from balances that are out of date is refused as a whole and
//! made again. A hold keeps what it drew, also past the grant's end: the call was promised while the grant stood. What a
//! refund brings back to a grant that has run out goes the way of the rest at the next sweep.

use std::cmp::Reverse;

use farthing_ledger::{AccountId, AssetId, Command, Limit, NewAccount, Step, Tag, Timestamp, Transfer};
use farthing_money::Amount;
use serde::{Deserialize, Serialize};

use crate::budget::{Draw, MAX_DRAWS};
use crate::id::{GrantId, GroupId, account, group};
use crate::{Period, Reason};

/// What a grant is for. The order is that of drawing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Part of a plan; comes again every month.
    Entitlement,
    /// A gift.
    Promotional,
    /// The customer's money.
    Paid,
    /// Money lent by policy.
    Overdraft,
}

/// A part of a wallet's account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Grant {
    /// Its name.
    pub id: GrantId,
    /// The ledger account that holds it.
    pub account: AccountId,
    /// What it is for.
    pub purpose: Purpose,
    /// The lower number is drawn first.
    pub priority: u8,
    /// From this instant on nothing is drawn from it.
    pub expires: Option<Timestamp>,
    /// When it was given.
    pub granted_at: Timestamp,
}

/// A grant and what is available in it, as last read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Available {
    /// The grant.
    pub grant: Grant,
    /// What may be drawn.
    pub amount: Amount,
}

/// Why money cannot be drawn, or given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrantError {
    /// The grants have not so much.
    #[error("there are {available} base units to spend, not {required}")]
    InsufficientFunds {
        /// What they have.
        available: Amount,
        /// What is asked.
        required: Amount,
    },
    /// It would take more grants than one spend may draw on.
    #[error("the amount is spread over more than {most} grants: spend less at once")]
    TooManyGrants {
        /// The most.
        most: usize,
    },
    /// More would be given back than was spent.
    #[error("{refundable} base units can still be given back, not {required}")]
    ExceedsSpent {
        /// What can be given back.
        refundable: Amount,
        /// What is asked.
        required: Amount,
    },
}

impl GrantError {
    /// The stable code, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InsufficientFunds { .. } => "insufficient_funds",
            Self::TooManyGrants { .. } => "grants_too_many",
            Self::ExceedsSpent { .. } => "refund_exceeds_spent",
        }
    }
}

impl Grant {
    /// A grant that is named by its id alone.
    #[must_use]
    pub fn new(id: GrantId, purpose: Purpose, granted_at: Timestamp) -> Self {
        let account = account("grant", &[id.as_u128()]);
        Self { id, account, purpose, priority: 100, expires: None, granted_at }
    }

    /// Whether it can be drawn from at `now`.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    /// Sorts grants as they are drawn.
    fn order(&self) -> impl Ord + use<> {
        let Self { id, account: _, purpose, priority, expires, granted_at } = *self;
        let lent = purpose == Purpose::Overdraft;
        (lent, priority, expires.is_none(), expires, purpose, granted_at, id)
    }

    /// Opens its account and fills it from `source`. Its name is the grant's: it happens once.
    #[must_use]
    pub fn fill(&self, asset: AssetId, (source, amount): (AccountId, Amount)) -> Vec<Step> {
        let limit = Limit::DebitsMustNotExceedCredits;
        let open = Command::OpenAccount(NewAccount { id: self.account, asset, limit });
        let fill = Transfer {
            id: group("grant fill", &[self.id.as_u128()]).leg(0),
            debit: source,
            credit: self.account,
            asset,
            amount,
            code: Reason::Grant.code(),
            tag: Tag { subject: 0, reference: self.id.as_u128() },
        };
        Step::group([open, Command::Transfer(fill)])
    }

    /// Takes what is available in a grant that has run out to `to`; nothing when it has not, or is empty. What is held stays
    /// until the hold ends: then it is said again, with another name.
    #[must_use]
    pub fn sweep(&self, asset: AssetId, to: AccountId, wish: &Sweep) -> Option<Step> {
        if self.is_live(wish.now) || wish.available.is_zero() {
            return None;
        }
        Some(Step::single(Command::Transfer(Transfer {
            id: wish.group.leg(0),
            debit: self.account,
            credit: to,
            asset,
            amount: wish.available,
            code: Reason::GrantExpired.code(),
            tag: Tag { subject: 0, reference: self.id.as_u128() },
        })))
    }
}

/// A wish to take what a grant that has run out still has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sweep {
    /// Its name.
    pub group: GroupId,
    /// What is available, as last read. The ledger refuses the sweep when less is.
    pub available: Amount,
    /// When.
    pub now: Timestamp,
}

/// From which grants `amount` comes at `now`.
///
/// # Errors
/// [`GrantError::InsufficientFunds`], [`GrantError::TooManyGrants`].
pub fn draw(grants: &[Available], amount: Amount, now: Timestamp) -> Result<Vec<Draw>, GrantError> {
    let mut live: Vec<&Available> =
        grants.iter().filter(|a| a.grant.is_live(now) && !a.amount.is_zero()).collect();
    live.sort_by_cached_key(|available| available.grant.order());
    let (mut draws, mut rest) = (Vec::new(), amount);
    for Available { grant, amount: has } in live {
        if rest.is_zero() {
            break;
        }
        let part = rest.min(*has);
        rest = rest.checked_sub(part).unwrap_or(Amount::ZERO);
        draws.push(Draw { account: grant.account, amount: part });
    }
    if !rest.is_zero() {
        let available = amount.checked_sub(rest).unwrap_or(Amount::ZERO);
        return Err(GrantError::InsufficientFunds { available, required: amount });
    }
    if draws.len() > MAX_DRAWS {
        return Err(GrantError::TooManyGrants { most: MAX_DRAWS });
    }
    Ok(draws)
}

/// What a spend took from a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Taken {
    /// The grant.
    pub grant: Grant,
    /// What was paid from it.
    pub spent: Amount,
    /// What was given back to it since.
    pub refunded: Amount,
}

/// To which grants `amount` goes back: last drawn, first returned, so that money that was paid for comes back before gifts.
///
/// # Errors
/// [`GrantError::ExceedsSpent`].
pub fn refund_draws(taken: &[Taken], amount: Amount) -> Result<Vec<Draw>, GrantError> {
    let mut taken: Vec<&Taken> = taken.iter().collect();
    taken.sort_by_cached_key(|taken| Reverse(taken.grant.order()));
    let (mut draws, mut rest) = (Vec::new(), amount);
    for Taken { grant, spent, refunded } in taken {
        let part = rest.min(spent.checked_sub(*refunded).unwrap_or(Amount::ZERO));
        if !part.is_zero() {
            rest = rest.checked_sub(part).unwrap_or(Amount::ZERO);
            draws.push(Draw { account: grant.account, amount: part });
        }
    }
    if !rest.is_zero() {
        let refundable = amount.checked_sub(rest).unwrap_or(Amount::ZERO);
        return Err(GrantError::ExceedsSpent { refundable, required: amount });
    }
    Ok(draws)
}

/// The name of refund `n` of a spend, counted from 0. Two processes that have both seen `n` refunds come to the same name,
/// and the ledger takes one of them: together they cannot give back more than was spent.
/// Each gives a reference of its own, so that the other's refund is not taken for the same.
#[must_use]
pub fn refund_group(spend: GroupId, n: u32) -> GroupId {
    group("refund", &[spend.leg(0).as_u128(), u128::from(n)])
}

/// What becomes of an entitlement that was not used up in its month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Unused {
    /// It is replaced by the next month's.
    Replace,
    /// It stays for so many months more.
    RollOver {
        /// How many.
        months: u8,
    },
}

/// A grant that comes again every month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Entitlement {
    /// The name of the series.
    pub id: GrantId,
    /// How much a month.
    pub amount: Amount,
    /// The lower number is drawn first.
    pub priority: u8,
    /// What becomes of the rest.
    pub unused: Unused,
}

impl Entitlement {
    /// The grant of the month in which `at` falls. It is the same whenever and by whomever it is asked for in that month,
    /// so that filling it ([`Grant::fill`]) happens once a month. A month that nobody asked in is not made up for.
    #[must_use]
    pub fn grant(&self, at: Timestamp) -> Grant {
        let month = Period::Month.window(at);
        let more = match self.unused {
            Unused::Replace => 0,
            Unused::RollOver { months } => months,
        };
        let last = (0..more).fold(month, |month, _| month.next());
        let name = group("entitlement", &[self.id.as_u128(), u128::from(month.start.unix_ms())]);
        Grant {
            priority: self.priority,
            expires: last.end,
            ..Grant::new(GrantId::from_u128(name.leg(0).as_u128()), Purpose::Entitlement, month.start)
        }
    }
}

#[cfg(test)]
mod tests;
