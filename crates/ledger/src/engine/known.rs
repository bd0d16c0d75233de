//! [`Known`]: what an id was used for, and how a second use compares with the first.

use crate::rejection::Field;
use crate::{Hold, NewHold, PostHold, Rejection, Transfer, TransferId, VoidHold};

/// What an id was used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Known {
    /// Money moved at once.
    Transfer(Transfer),
    /// Money was set aside; with what became of it.
    Hold(Hold),
    /// A hold was posted, wholly or partly.
    Post(PostHold),
    /// A hold was voided.
    Void(VoidHold),
}

impl Known {
    /// The id that it used.
    #[must_use]
    pub const fn id(&self) -> TransferId {
        match self {
            Self::Transfer(transfer) => transfer.id,
            Self::Hold(hold) => hold.new.transfer.id,
            Self::Post(post) => post.id,
            Self::Void(void) => void.id,
        }
    }

    pub(super) fn must_equal_transfer(&self, again: &Transfer) -> Result<(), Rejection> {
        let Self::Transfer(first) = self else { return Err(Rejection::ExistsWithDifferent(Field::Kind)) };
        same_transfer(first, again)
    }

    pub(super) fn must_equal_hold(&self, again: &NewHold) -> Result<(), Rejection> {
        let Self::Hold(Hold { new: first, .. }) = self else {
            return Err(Rejection::ExistsWithDifferent(Field::Kind));
        };
        same_transfer(&first.transfer, &again.transfer)?;
        same(first.expiry, again.expiry, Field::Expiry)
    }

    pub(super) fn must_equal_post(&self, again: &PostHold) -> Result<(), Rejection> {
        let Self::Post(first) = self else { return Err(Rejection::ExistsWithDifferent(Field::Kind)) };
        same(first.hold, again.hold, Field::Hold)?;
        same(first.amount, again.amount, Field::Amount)?;
        same(first.remainder, again.remainder, Field::Remainder)?;
        same(first.reference, again.reference, Field::Reference)
    }

    pub(super) fn must_equal_void(&self, again: &VoidHold) -> Result<(), Rejection> {
        let Self::Void(first) = self else { return Err(Rejection::ExistsWithDifferent(Field::Kind)) };
        same(first.hold, again.hold, Field::Hold)?;
        same(first.reference, again.reference, Field::Reference)
    }
}

fn same_transfer(first: &Transfer, again: &Transfer) -> Result<(), Rejection> {
    same(first.debit, again.debit, Field::DebitAccount)?;
    same(first.credit, again.credit, Field::CreditAccount)?;
    same(first.asset, again.asset, Field::Asset)?;
    same(first.amount, again.amount, Field::Amount)?;
    same(first.code, again.code, Field::Code)?;
    same(first.tag.subject, again.tag.subject, Field::Subject)?;
    same(first.tag.reference, again.tag.reference, Field::Reference)
}

fn same<T: PartialEq + Copy>(first: T, again: T, field: Field) -> Result<(), Rejection> {
    if first == again { Ok(()) } else { Err(Rejection::ExistsWithDifferent(field)) }
}
