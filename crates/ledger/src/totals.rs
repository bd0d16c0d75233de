//! [`Totals`]: the four running totals of an account, and the three balances that follow from them. They are sums of what
//! the journal says and decide nothing.

use farthing_money::{Amount, MoneyError};
use serde::Serialize;

/// What one side of an account adds up to.
///
/// `posted + pending` always fits 128 bits: every function here that adds makes sure of it, so that no balance that is
/// derived from it can overflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub struct Sums {
    /// Moved for good.
    pub posted: Amount,
    /// Set aside by holds that are still open.
    pub pending: Amount,
}

impl Sums {
    /// With `amount` more posted.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] when posted and pending together no longer fit.
    #[inline]
    pub fn post(self, amount: Amount) -> Result<Self, MoneyError> {
        self.total()?.checked_add(amount)?;
        Ok(Self { posted: self.posted.checked_add(amount)?, pending: self.pending })
    }

    /// With `amount` more pending.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] when posted and pending together no longer fit.
    #[inline]
    pub fn hold(self, amount: Amount) -> Result<Self, MoneyError> {
        self.total()?.checked_add(amount)?;
        Ok(Self { posted: self.posted, pending: self.pending.checked_add(amount)? })
    }

    /// With a part of what is pending posted and another part given back.
    ///
    /// # Errors
    /// [`MoneyError::Underflow`] when less is pending, which a sound journal never causes.
    #[inline]
    pub fn settle(self, part: Settlement) -> Result<Self, MoneyError> {
        let pending = self.pending.checked_sub(part.posted)?.checked_sub(part.released)?;
        Ok(Self { posted: self.posted.checked_add(part.posted)?, pending })
    }

    /// Posted and pending together.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`], never for sums that were made by this type's functions.
    #[inline]
    pub fn total(self) -> Result<Amount, MoneyError> {
        self.posted.checked_add(self.pending)
    }
}

/// How a part of a hold ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Settlement {
    /// What moves for good.
    pub posted: Amount,
    /// What is given back.
    pub released: Amount,
}

/// The four running totals of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
pub struct Totals {
    /// What left the account.
    pub debits: Sums,
    /// What came into the account.
    pub credits: Sums,
}

/// The difference of two amounts, which may be below zero. Nothing is always [`Net::Plus`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Net {
    /// Zero or more.
    Plus(Amount),
    /// Less than zero, by this much.
    Minus(Amount),
}

impl Net {
    /// `plus - minus`.
    #[must_use]
    pub fn of(plus: Amount, minus: Amount) -> Self {
        match plus.checked_sub(minus) {
            Ok(rest) => Self::Plus(rest),
            Err(_) => Self::Minus(Amount::from_base(minus.base().abs_diff(plus.base()))),
        }
    }

    /// The amount when it is zero or more, otherwise nothing at all.
    #[must_use]
    pub const fn or_zero(self) -> Amount {
        match self {
            Self::Plus(amount) => amount,
            Self::Minus(_) => Amount::ZERO,
        }
    }
}

/// The three balances that people ask for; `available = settled - held`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub struct Balances {
    /// What has moved for good.
    pub settled: Net,
    /// What open holds keep aside.
    pub held: Amount,
    /// What can still be spent.
    pub available: Net,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::{Net, Settlement, Sums};
    use farthing_money::Amount;

    fn sums(posted: u128, pending: u128) -> Sums {
        Sums { posted: Amount::from_base(posted), pending: Amount::from_base(pending) }
    }

    #[test]
    fn posted_and_pending_together_never_pass_128_bits() {
        let max = u128::MAX;
        for (start, add, fits) in [
            (sums(0, 0), max, true),
            (sums(1, 0), max, false),
            (sums(0, 1), max, false),
            (sums(max - 2, 1), 1, true),
        ] {
            assert_eq!(start.post(Amount::from_base(add)).is_ok(), fits, "{start:?} + {add}");
            assert_eq!(start.hold(Amount::from_base(add)).is_ok(), fits, "{start:?} + {add}");
        }
    }

    #[test]
    fn a_settlement_takes_no_more_than_is_pending() {
        let part = |posted, released| Settlement {
            posted: Amount::from_base(posted),
            released: Amount::from_base(released),
        };
        assert_eq!(sums(5, 10).settle(part(7, 3)).unwrap(), sums(12, 0));
        assert_eq!(sums(5, 10).settle(part(4, 0)).unwrap(), sums(9, 6));
        assert_eq!(sums(5, 10).settle(part(8, 3)).unwrap_err().code(), "amount_underflow");
    }

    #[test]
    fn a_net_knows_its_sign() {
        let amount = Amount::from_base;
        assert_eq!(Net::of(amount(5), amount(3)), Net::Plus(amount(2)));
        assert_eq!(Net::of(amount(3), amount(3)), Net::Plus(Amount::ZERO));
        assert_eq!(Net::of(amount(3), Amount::MAX), Net::Minus(amount(u128::MAX - 3)));
        assert_eq!(Net::Minus(amount(3)).or_zero(), Amount::ZERO);
    }
}
