//! [`Limit`]: the most that may be paid of some asset. It is not money: it may cover several assets, so it counts in units
//! of 10^-18 whole units, whatever the assets' own scales are.

use std::fmt;

use farthing_money::{Amount, Asset, AssetKind, MoneyError, Rounding};

use super::{HostPattern, PolicyError};
use crate::spend::Window;

/// Decimals of the units that limits and counters are kept in.
pub const UNITS_SCALE: u8 = 18;

/// What a limit adds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// Nothing: each call alone.
    Call,
    /// Everything within a window that slides.
    Within(Window),
}

impl Span {
    /// Its key in the policy file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Within(window) => window.name(),
        }
    }

    pub(super) const fn window(self) -> Option<Window> {
        match self {
            Self::Call => None,
            Self::Within(window) => Some(window),
        }
    }

    /// The span in a sentence: at most so much …
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Call => "a call",
            Self::Within(Window::Hour) => "an hour",
            Self::Within(Window::Day) => "a day",
            Self::Within(Window::Month) => "in 30 days",
            Self::Within(Window::Total) => "in all",
        }
    }
}

/// Where a limit applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// All hosts together.
    Everywhere,
    /// All hosts together, within this run of the program alone: for a [`RunBook`](crate::spend::RunBook).
    ThisRun,
    /// Each host by itself.
    EachHost,
    /// The hosts of a pattern together.
    Host(HostPattern),
}

/// The assets that a limit covers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AssetSelector {
    /// Everything that the policy knows to be US dollars.
    Dollars,
    /// Assets of this code, upper and lower case alike, on every network.
    Code(String),
    /// One token, by its address in lower case; on every network unless one is named.
    Token {
        /// CAIP-2.
        network: Option<String>,
        /// Lower case.
        address: String,
    },
}

impl AssetSelector {
    /// Reads `PathUSD`, `0x20c0…` or `eip155:4217/0x20c0…`.
    ///
    /// # Errors
    /// [`PolicyError::BadAsset`].
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let bad = || PolicyError::BadAsset { input: text.chars().take(80).collect() };
        if !text.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(bad());
        }
        if let Some((network, address)) = text.split_once('/') {
            let caip2 =
                network.split_once(':').is_some_and(|(space, id)| !space.is_empty() && !id.is_empty());
            return if caip2 && is_address(address) {
                Ok(Self::Token { network: Some(network.to_owned()), address: address.to_ascii_lowercase() })
            } else {
                Err(bad())
            };
        }
        if text.starts_with("0x") || text.starts_with("0X") {
            // An address with a typo must not pass for a code.
            return if is_address(text) {
                Ok(Self::Token { network: None, address: text.to_ascii_lowercase() })
            } else {
                Err(bad())
            };
        }
        if text.len() > 32 {
            return Err(bad());
        }
        Ok(Self::Code(text.to_ascii_lowercase()))
    }

    /// Whether the selector itself names this asset. What dollars are, only a policy knows.
    pub(super) fn names(&self, asset: &Asset) -> bool {
        match (self, asset.kind()) {
            (Self::Code(code), _) => code.eq_ignore_ascii_case(asset.code()),
            (Self::Token { network, address }, AssetKind::Token { network: on, address: at }) => {
                at.eq_ignore_ascii_case(address) && network.as_deref().is_none_or(|network| network == &**on)
            }
            _ => false,
        }
    }
}

fn is_address(text: &str) -> bool {
    text.strip_prefix("0x")
        .or_else(|| text.strip_prefix("0X"))
        .is_some_and(|digits| digits.len() == 40 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
}

impl fmt::Display for AssetSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dollars => f.write_str("dollars"),
            Self::Code(code) => f.write_str(code),
            Self::Token { network: Some(network), address } => write!(f, "{network}/{address}"),
            Self::Token { network: None, address } => f.write_str(address),
        }
    }
}

/// The most that may be paid of what its selector covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    units: Amount,
    selector: AssetSelector,
}

impl Limit {
    /// Reads `0.05`, `0.05 PathUSD`, `0.05 0x20c0…` or `0.05 eip155:4217/0x20c0…`.
    ///
    /// # Errors
    /// [`PolicyError::BadLimit`], [`PolicyError::BadAsset`].
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let trimmed = text.trim();
        let (number, asset) = match trimmed.split_once(char::is_whitespace) {
            Some((number, asset)) => (number, Some(asset.trim_start())),
            None => (trimmed, None),
        };
        let units = Amount::from_decimal(number, UNITS_SCALE)
            .map_err(|error| PolicyError::BadLimit { input: text.chars().take(80).collect(), error })?;
        let selector = asset.map_or(Ok(AssetSelector::Dollars), AssetSelector::parse)?;
        Ok(Self { units, selector })
    }

    /// The limit in units of 10^-18 whole units.
    #[must_use]
    pub const fn units(&self) -> Amount {
        self.units
    }

    /// What it covers.
    #[must_use]
    pub const fn selector(&self) -> &AssetSelector {
        &self.selector
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.units.to_decimal(UNITS_SCALE), self.selector)
    }
}

/// `amount` of an asset of `scale`, in a limit's units; rounded up, so that rounding never lets more through.
pub(super) fn to_units(amount: Amount, scale: u8) -> Result<Amount, MoneyError> {
    let power = |exponent: u8| 10_u128.checked_pow(u32::from(exponent)).ok_or(MoneyError::Overflow);
    match scale.checked_sub(UNITS_SCALE) {
        Some(excess) => amount.checked_div(power(excess)?, Rounding::Up),
        None => amount.checked_mul(power(UNITS_SCALE - scale)?),
    }
}
