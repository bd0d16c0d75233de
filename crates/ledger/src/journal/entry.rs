//! [`Entry`]: one thing that happened. It says all that is needed to add up accounts, without looking anything up.

use farthing_money::{Amount, MoneyError};

use crate::{
    Account, AccountId, AssetId, NewAccount, NewAsset, NewHold, PostHold, Settlement, Sums, Timestamp,
    Transfer, TransferId, VoidHold,
};

/// One thing that happened, its place in the order, and when.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Its place: 1 is the first, and none is left out.
    pub seq: u64,
    /// When; never before the entry before it.
    pub at: Timestamp,
    /// What.
    pub event: Event,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Event {
    /// An asset was given a number.
    AssetDefined(NewAsset),
    /// An account was opened.
    AccountOpened(NewAccount),
    /// An account was closed.
    AccountClosed(AccountId),
    /// Money moved.
    Transferred(Transfer),
    /// Money was set aside.
    Held(NewHold),
    /// What a hold kept aside, or a part of it, moved.
    Posted(Posted),
    /// A hold gave back what it kept aside because it was voided.
    Voided {
        /// The void's own id.
        id: TransferId,
        /// What it refers to outside the ledger.
        reference: u128,
        /// What was given back.
        released: Released,
    },
    /// A hold gave back what it kept aside because it ran out.
    Expired(Released),
}

/// A post, with the accounts of its hold and what it came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Posted {
    /// What was asked for.
    pub post: PostHold,
    /// The account that the money left.
    pub debit: AccountId,
    /// The account that it reached.
    pub credit: AccountId,
    /// The asset.
    pub asset: AssetId,
    /// What moved and what was given back.
    pub settlement: Settlement,
    /// What the hold still keeps aside. Nothing: the post ended it.
    pub left: Amount,
}

/// The end of a hold that moves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Released {
    /// The hold.
    pub hold: TransferId,
    /// The account on whose debit side it was.
    pub debit: AccountId,
    /// The account on whose credit side it was.
    pub credit: AccountId,
    /// The asset.
    pub asset: AssetId,
    /// What was given back.
    pub amount: Amount,
}

/// What an entry does to the debits of one account and to the credits of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// So much moves for good.
    Post(Amount),
    /// So much is set aside.
    Hold(Amount),
    /// A part of what was set aside moves for good, and another is given back.
    Settle(Settlement),
}

impl Change {
    /// The sums after it.
    ///
    /// # Errors
    /// [`MoneyError`] when it cannot have happened to these sums.
    pub fn apply(self, sums: Sums) -> Result<Sums, MoneyError> {
        match self {
            Self::Post(amount) => sums.post(amount),
            Self::Hold(amount) => sums.hold(amount),
            Self::Settle(part) => sums.settle(part),
        }
    }

    /// The sums before it.
    fn take_back(self, sums: Sums) -> Result<Sums, MoneyError> {
        let Sums { posted, pending } = sums;
        match self {
            Self::Post(amount) => Ok(Sums { posted: posted.checked_sub(amount)?, pending }),
            Self::Hold(amount) => Ok(Sums { posted, pending: pending.checked_sub(amount)? }),
            Self::Settle(part) => Ok(Sums {
                posted: posted.checked_sub(part.posted)?,
                pending: pending.checked_add(part.posted)?.checked_add(part.released)?,
            }),
        }
    }
}

/// Two accounts, an asset and a change: what every entry about money comes down to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Movement {
    /// The account whose debits change.
    pub debit: AccountId,
    /// The account whose credits change.
    pub credit: AccountId,
    /// What both hold.
    pub asset: AssetId,
    /// How both sides change.
    pub change: Change,
}

impl Movement {
    /// Makes `account`, which is one of the two, what it was before.
    ///
    /// # Errors
    /// [`MoneyError`] when the movement cannot have led to its sums.
    pub fn take_back(&self, account: &mut Account) -> Result<(), MoneyError> {
        let totals = &mut account.totals;
        let side = if self.debit == account.id { &mut totals.debits } else { &mut totals.credits };
        *side = self.change.take_back(*side)?;
        Ok(())
    }
}

impl Entry {
    /// The caller's id that it used up, if any: this id never happens again.
    #[must_use]
    pub const fn transfer_id(&self) -> Option<TransferId> {
        match &self.event {
            Event::Transferred(transfer) => Some(transfer.id),
            Event::Held(hold) => Some(hold.transfer.id),
            Event::Posted(posted) => Some(posted.post.id),
            Event::Voided { id, .. } => Some(*id),
            Event::AssetDefined(_)
            | Event::AccountOpened(_)
            | Event::AccountClosed(_)
            | Event::Expired(_) => None,
        }
    }

    /// The hold that it continues or ends, if any.
    #[must_use]
    pub const fn hold(&self) -> Option<TransferId> {
        match &self.event {
            Event::Posted(posted) => Some(posted.post.hold),
            Event::Voided { released, .. } | Event::Expired(released) => Some(released.hold),
            _ => None,
        }
    }

    /// The hold that it ends, if any.
    #[must_use]
    pub const fn ends(&self) -> Option<TransferId> {
        match &self.event {
            Event::Posted(posted) if !posted.left.is_zero() => None,
            _ => self.hold(),
        }
    }

    /// The void that was asked for, when it is one.
    #[must_use]
    pub const fn void(&self) -> Option<VoidHold> {
        match &self.event {
            Event::Voided { id, reference, released } => {
                Some(VoidHold { id: *id, hold: released.hold, reference: *reference })
            }
            _ => None,
        }
    }
}

impl Event {
    /// What it does to accounts, if it is about money.
    #[must_use]
    pub const fn movement(&self) -> Option<Movement> {
        match self {
            Self::Transferred(t) => Some(Movement {
                debit: t.debit,
                credit: t.credit,
                asset: t.asset,
                change: Change::Post(t.amount),
            }),
            Self::Held(NewHold { transfer: t, .. }) => Some(Movement {
                debit: t.debit,
                credit: t.credit,
                asset: t.asset,
                change: Change::Hold(t.amount),
            }),
            Self::Posted(p) => Some(Movement {
                debit: p.debit,
                credit: p.credit,
                asset: p.asset,
                change: Change::Settle(p.settlement),
            }),
            Self::Voided { released: r, .. } | Self::Expired(r) => Some(Movement {
                debit: r.debit,
                credit: r.credit,
                asset: r.asset,
                change: Change::Settle(Settlement { posted: Amount::ZERO, released: r.amount }),
            }),
            Self::AssetDefined(_) | Self::AccountOpened(_) | Self::AccountClosed(_) => None,
        }
    }
}
