//! [`Amount`]: a count of base units. It is not money: it does not know what it counts.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{MoneyError, Rounding};

/// A non-negative number of base units (the smallest unit of some asset).
///
/// There is no `Add` and no conversion to a float: arithmetic is checked and returns [`MoneyError`]. In JSON an amount is a
/// string of digits, as the protocol's drafts write it, because JSON numbers lose precision past 2^53.
///
/// ```
/// use farthing_money::Amount;
/// let price = Amount::from_decimal("1.25", 6)?;
/// assert_eq!(price.base(), 1_250_000);
/// assert_eq!(price.to_decimal(6), "1.25");
/// # Ok::<(), farthing_money::MoneyError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(u128);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The most that can be counted.
    pub const MAX: Self = Self(u128::MAX);

    /// `base` base units.
    #[must_use]
    pub const fn from_base(base: u128) -> Self {
        Self(base)
    }

    /// The number of base units.
    #[must_use]
    pub const fn base(self) -> u128 {
        self.0
    }

    /// Whether there is nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Reads a canonical integer: digits without sign, point, space or leading zero.
    ///
    /// # Errors
    /// [`MoneyError::NotANumber`] for any other spelling, [`MoneyError::Overflow`] past 128 bits.
    pub fn from_base_str(text: &str) -> Result<Self, MoneyError> {
        let canonical = !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_digit())
            && (text.len() == 1 || !text.starts_with('0'));
        if !canonical {
            return Err(MoneyError::NotANumber { input: MoneyError::shorten(text) });
        }
        text.parse().map(Self).map_err(|_| MoneyError::Overflow)
    }

    /// Reads a decimal number of whole units, such as `0.01`, for an asset with `scale` decimals.
    ///
    /// # Errors
    /// [`MoneyError::NotANumber`] unless it is digits with at most one point between digits, [`MoneyError::TooPrecise`]
    /// when it has more than `scale` decimals (trailing zeros aside), [`MoneyError::Overflow`] past 128 bits.
    pub fn from_decimal(text: &str, scale: u8) -> Result<Self, MoneyError> {
        let not_a_number = || MoneyError::NotANumber { input: MoneyError::shorten(text) };
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let has_point = text.contains('.');
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || (has_point && fraction.is_empty()) {
            return Err(not_a_number());
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > usize::from(scale) {
            return Err(MoneyError::TooPrecise { input: MoneyError::shorten(text), scale });
        }
        let padding = std::iter::repeat_n(b'0', usize::from(scale) - fraction.len());
        whole
            .bytes()
            .chain(fraction.bytes())
            .chain(padding)
            .try_fold(0_u128, |sum, digit| sum.checked_mul(10)?.checked_add(u128::from(digit - b'0')))
            .map(Self)
            .ok_or(MoneyError::Overflow)
    }

    /// Whole units in decimal with `scale` decimals, without trailing zeros: 1,250,000 at scale 6 is `1.25`.
    #[must_use]
    pub fn to_decimal(self, scale: u8) -> String {
        let digits = format!("{:0>width$}", self.0, width = usize::from(scale) + 1);
        let (whole, fraction) = digits.split_at(digits.len() - usize::from(scale));
        match fraction.trim_end_matches('0') {
            "" => whole.to_owned(),
            fraction => format!("{whole}.{fraction}"),
        }
    }

    /// The sum.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] past 128 bits.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.0.checked_add(other.0).map(Self).ok_or(MoneyError::Overflow)
    }

    /// The difference.
    ///
    /// # Errors
    /// [`MoneyError::Underflow`] when `other` is more.
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.0.checked_sub(other.0).map(Self).ok_or(MoneyError::Underflow { have: self.0, need: other.0 })
    }

    /// `self` times `factor`.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] past 128 bits.
    pub fn checked_mul(self, factor: u128) -> Result<Self, MoneyError> {
        self.0.checked_mul(factor).map(Self).ok_or(MoneyError::Overflow)
    }

    /// `self` divided by `divisor`, rounded as named.
    ///
    /// # Errors
    /// [`MoneyError::DivisionByZero`].
    pub fn checked_div(self, divisor: u128, rounding: Rounding) -> Result<Self, MoneyError> {
        if divisor == 0 {
            return Err(MoneyError::DivisionByZero);
        }
        let (quotient, remainder) = (self.0 / divisor, self.0 % divisor);
        let up = match rounding {
            Rounding::Down => false,
            Rounding::Up => remainder > 0,
            // remainder * 2 could overflow, so compare with what is missing to the divisor.
            Rounding::HalfEven => match remainder.cmp(&(divisor - remainder)) {
                std::cmp::Ordering::Less => false,
                std::cmp::Ordering::Equal => quotient % 2 == 1,
                std::cmp::Ordering::Greater => true,
            },
        };
        Ok(Self(quotient + u128::from(up)))
    }

    /// The sum of many.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] past 128 bits.
    pub fn sum(amounts: impl IntoIterator<Item = Self>) -> Result<Self, MoneyError> {
        amounts.into_iter().try_fold(Self::ZERO, Self::checked_add)
    }
}

impl fmt::Display for Amount {
    /// Base units, in digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Amount {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        Self::from_base_str(text)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::from_base_str(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
