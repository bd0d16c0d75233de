//! [`Money`]: an amount of an asset. Sums of different assets do not exist.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Amount, Asset, MoneyError};

/// An amount and what it counts. In JSON `{"amount":"10000","asset":{…}}`, checked when it is read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Money {
    amount: Amount,
    asset: Asset,
}

impl Money {
    /// `amount` base units of `asset`.
    #[must_use]
    pub const fn new(amount: Amount, asset: Asset) -> Self {
        Self { amount, asset }
    }

    /// The count of base units.
    #[must_use]
    pub const fn amount(&self) -> Amount {
        self.amount
    }

    /// What is counted.
    #[must_use]
    pub const fn asset(&self) -> &Asset {
        &self.asset
    }

    /// The sum.
    ///
    /// # Errors
    /// [`MoneyError::AssetMismatch`] for two assets, [`MoneyError::Overflow`] past 128 bits.
    pub fn checked_add(&self, other: &Self) -> Result<Self, MoneyError> {
        self.same_asset(other)?;
        Ok(Self::new(self.amount.checked_add(other.amount)?, self.asset.clone()))
    }

    /// The difference.
    ///
    /// # Errors
    /// [`MoneyError::AssetMismatch`] for two assets, [`MoneyError::Underflow`] when `other` is more.
    pub fn checked_sub(&self, other: &Self) -> Result<Self, MoneyError> {
        self.same_asset(other)?;
        Ok(Self::new(self.amount.checked_sub(other.amount)?, self.asset.clone()))
    }

    /// Which of the two is more.
    ///
    /// # Errors
    /// [`MoneyError::AssetMismatch`] for two assets.
    pub fn checked_cmp(&self, other: &Self) -> Result<Ordering, MoneyError> {
        self.same_asset(other)?;
        Ok(self.amount.cmp(&other.amount))
    }

    fn same_asset(&self, other: &Self) -> Result<(), MoneyError> {
        if self.asset == other.asset {
            return Ok(());
        }
        Err(MoneyError::AssetMismatch {
            left: self.asset.code().to_owned(),
            right: other.asset.code().to_owned(),
        })
    }
}

impl fmt::Display for Money {
    /// Whole units and the code: `0.01 PathUSD`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.amount.to_decimal(self.asset.scale()), self.asset.code())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::Money;
    use crate::{Amount, Asset, AssetKind};

    fn money(base: u128, code: &str) -> Money {
        Money::new(Amount::from_base(base), Asset::new(code, 2, AssetKind::Fiat).unwrap())
    }

    #[test]
    fn json_is_read_as_it_is_written_and_checked() {
        let json = r#"{"amount":"340282366920938463463374607431768211455","asset":{"code":"USD","scale":2,"kind":"fiat"}}"#;
        let most = money(u128::MAX, "USD");
        assert_eq!(serde_json::to_string(&most).unwrap(), json);
        assert_eq!(serde_json::from_str::<Money>(json).unwrap(), most);
        for bad in ["1", r#""01""#, r#""-1""#, r#""340282366920938463463374607431768211456""#] {
            let json = format!(r#"{{"amount":{bad},"asset":{{"code":"USD","scale":2,"kind":"fiat"}}}}"#);
            assert!(serde_json::from_str::<Money>(&json).is_err(), "{bad}");
        }
    }

    #[test]
    fn different_assets_neither_add_nor_compare() {
        let (usd, eur) = (money(100, "USD"), money(100, "EUR"));
        assert_eq!(usd.checked_add(&eur).unwrap_err().code(), "asset_mismatch");
        assert_eq!(usd.checked_sub(&eur).unwrap_err().code(), "asset_mismatch");
        assert_eq!(usd.checked_cmp(&eur).unwrap_err().code(), "asset_mismatch");
        assert_eq!(usd.checked_add(&usd).unwrap().to_string(), "2 USD");
        assert_eq!(usd.checked_sub(&money(101, "USD")).unwrap_err().code(), "amount_underflow");
    }
}
