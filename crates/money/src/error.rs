//! What can be wrong with an amount or an asset: one variant, and one stable code, a rule.

/// Why an amount, an asset or a sum of money was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MoneyError {
    /// Not a plain decimal number: digits, optionally one point and more digits; no sign, exponent or space.
    #[error("`{input}` is not an amount: write digits with at most one decimal point, such as 0.01")]
    NotANumber {
        /// What was given, shortened to 40 characters.
        input: String,
    },
    /// More decimals than the asset has.
    #[error("`{input}` has more than {scale} decimals, the most that this asset has")]
    TooPrecise {
        /// What was given, shortened to 40 characters.
        input: String,
        /// Decimals of the asset.
        scale: u8,
    },
    /// The result does not fit 128 bits.
    #[error("the amount is too large")]
    Overflow,
    /// A subtraction below zero.
    #[error("{have} base units are less than the {need} that are to be taken away")]
    Underflow {
        /// Base units at hand.
        have: u128,
        /// Base units to take away.
        need: u128,
    },
    /// A division by zero.
    #[error("an amount cannot be divided by zero")]
    DivisionByZero,
    /// Two different assets in one operation.
    #[error("{left} and {right} cannot be added or compared: they are different assets")]
    AssetMismatch {
        /// Code of the left operand's asset.
        left: String,
        /// Code of the right operand's asset.
        right: String,
    },
    /// An asset code that is empty, longer than 32 characters, or not printable ASCII without spaces.
    #[error("`{code}` is not an asset code: use 1 to 32 printable ASCII characters without spaces")]
    BadCode {
        /// What was given, shortened to 40 characters.
        code: String,
    },
    /// A scale beyond [`crate::Asset::MAX_SCALE`].
    #[error("an asset has at most {max} decimals, not {scale}")]
    BadScale {
        /// What was given.
        scale: u8,
        /// The most there may be.
        max: u8,
    },
}

impl MoneyError {
    /// The stable code of the broken rule, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotANumber { .. } => "amount_not_a_number",
            Self::TooPrecise { .. } => "amount_too_precise",
            Self::Overflow => "amount_overflow",
            Self::Underflow { .. } => "amount_underflow",
            Self::DivisionByZero => "amount_division_by_zero",
            Self::AssetMismatch { .. } => "asset_mismatch",
            Self::BadCode { .. } => "asset_bad_code",
            Self::BadScale { .. } => "asset_bad_scale",
        }
    }

    /// `input`, cut so that an error never repeats a body somebody sent.
    pub(crate) fn shorten(input: &str) -> String {
        input.chars().take(40).collect()
    }
}
