//! [`Entry`]: one thing that happened. It says all that is needed to add up accounts, without looking anything up.

use farthing_money::Amount;

use crate::{
    AccountId, AssetId, NewAccount, NewAsset, NewHold, PostHold, Settlement, Timestamp, Transfer, TransferId,
    VoidHold,
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

/// What an entry does to the two sides of its two accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Post(Amount),
    Hold(Amount),
    Settle(Settlement),
}

/// Two accounts, an asset and a change: what every entry about money comes down to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Movement {
    pub(crate) debit: AccountId,
    pub(crate) credit: AccountId,
    pub(crate) asset: AssetId,
    pub(crate) change: Change,
}

impl Entry {
    /// The accounts whose totals it changes: debit, then credit.
    #[must_use]
    pub fn accounts(&self) -> Option<(AccountId, AccountId)> {
        self.event.movement().map(|movement| (movement.debit, movement.credit))
    }

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
    pub(crate) const fn movement(&self) -> Option<Movement> {
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
