//! [`PriceForm`]: a price as callers write it and records keep it. It decides nothing: [`Price`] does, which it becomes.

use std::num::NonZeroU64;

use farthing_money::{Amount, Rounding};
use serde::{Deserialize, Serialize};

use crate::pricing::{Model, Price, PriceError, Tier, Tiers};

/// A price in JSON.
///
/// ```
/// use farthing_billing::pricing::{Measure, Price};
/// use farthing_billing::service::product::PriceForm;
/// use farthing_money::Amount;
///
/// let form: PriceForm = serde_json::from_str(
///     r#"{"model": {"type": "graduated", "tiers": [{"up_to": 10, "unit": "5"}, {"unit": "1"}]}, "minimum": "7"}"#,
/// )?;
/// let price = Price::try_from(&form)?;
/// assert_eq!(price.of(Measure { quantity: 12, cost: Amount::ZERO })?.base(), 52);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PriceForm {
    /// How a quantity becomes a price.
    pub model: ModelForm,
    /// The least that anything used costs.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub minimum: Amount,
    /// The most that it costs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<Amount>,
    /// How the one division is rounded.
    #[serde(default)]
    pub rounding: RoundingForm,
}

/// How a quantity becomes a price, in JSON. Amounts are base units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ModelForm {
    /// Every unit costs the same.
    PerUnit {
        /// The price of `per` units.
        unit: Amount,
        /// So many units.
        #[serde(default = "one")]
        per: NonZeroU64,
    },
    /// Each unit at the price of its tier.
    Graduated {
        /// The units for which a tier's `unit` is the price.
        #[serde(default = "one")]
        per: NonZeroU64,
        /// The tiers, the lowest first.
        tiers: Vec<TierForm>,
    },
    /// All units at the price of the tier in which their number falls.
    Volume {
        /// The units for which a tier's `unit` is the price.
        #[serde(default = "one")]
        per: NonZeroU64,
        /// The tiers, the lowest first.
        tiers: Vec<TierForm>,
    },
    /// Whole packages.
    Package {
        /// Units in a package.
        size: NonZeroU64,
        /// The price of one.
        price: Amount,
    },
    /// What the vendors took, and more.
    MarkUp {
        /// Millionths of the cost on top: 200000 is 20 percent.
        millionths: u32,
        /// Once an event.
        #[serde(default)]
        fixed: Amount,
    },
}

/// A stretch of quantities with one price, in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct TierForm {
    /// The last quantity that belongs to it; left out in the last tier, and only there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to: Option<u64>,
    /// The price of `per` units.
    pub unit: Amount,
    /// Once, when the tier is entered.
    #[serde(default)]
    pub flat: Amount,
}

/// How a price's division is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RoundingForm {
    /// Away from zero.
    #[default]
    Up,
    /// Towards zero.
    Down,
    /// To the nearest, halves to the even neighbour.
    HalfEven,
}

const fn one() -> NonZeroU64 {
    NonZeroU64::MIN
}

const fn is_zero(amount: &Amount) -> bool {
    amount.is_zero()
}

impl From<RoundingForm> for Rounding {
    fn from(form: RoundingForm) -> Self {
        match form {
            RoundingForm::Up => Self::Up,
            RoundingForm::Down => Self::Down,
            RoundingForm::HalfEven => Self::HalfEven,
        }
    }
}

impl TryFrom<&PriceForm> for Price {
    type Error = PriceError;

    /// # Errors
    /// [`PriceError`].
    fn try_from(form: &PriceForm) -> Result<Self, PriceError> {
        let tiers = |per: NonZeroU64, tiers: &[TierForm]| {
            let tier = |t: &TierForm| Tier { up_to: t.up_to, unit: t.unit, flat: t.flat };
            Tiers::new(per, tiers.iter().map(tier).collect())
        };
        let model = match &form.model {
            ModelForm::PerUnit { unit, per } => Model::PerUnit { unit: *unit, per: *per },
            ModelForm::Graduated { per, tiers: forms } => Model::Graduated(tiers(*per, forms)?),
            ModelForm::Volume { per, tiers: forms } => Model::Volume(tiers(*per, forms)?),
            ModelForm::Package { size, price } => Model::Package { size: *size, price: *price },
            ModelForm::MarkUp { millionths, fixed } => {
                Model::MarkUp { millionths: *millionths, fixed: *fixed }
            }
        };
        Self::new(model, form.rounding.into()).bounded(form.minimum, form.maximum.unwrap_or(Amount::MAX))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::PriceForm;
    use crate::pricing::{Measure, Price};
    use farthing_money::Amount;

    /// What is written, what `quantity` units at `cost` come to, and what is kept.
    #[test]
    fn every_model_is_written_read_and_priced() {
        type Row = (&'static str, &'static [(u64, u128, u128)]);
        let rows: &[Row] = &[
            (r#"{"model":{"type":"per_unit","unit":"3","per":1},"rounding":"up"}"#, &[(0, 9, 0), (7, 9, 21)]),
            (
                r#"{"model":{"type":"per_unit","unit":"3","per":1000},"minimum":"2","maximum":"9","rounding":"down"}"#,
                &[(1, 0, 2), (1_999, 0, 5), (9_000, 0, 9)],
            ),
            (
                r#"{"model":{"type":"graduated","per":1,"tiers":[{"up_to":10,"unit":"5","flat":"1"},{"unit":"1","flat":"0"}]},"rounding":"up"}"#,
                &[(10, 0, 51), (12, 0, 53)],
            ),
            (
                r#"{"model":{"type":"volume","per":2,"tiers":[{"up_to":10,"unit":"5","flat":"0"},{"unit":"1","flat":"4"}]},"rounding":"half_even"}"#,
                &[(5, 0, 12), (10, 0, 25), (11, 0, 10)],
            ),
            (
                r#"{"model":{"type":"package","size":100,"price":"250"},"rounding":"up"}"#,
                &[(1, 0, 250), (101, 0, 500)],
            ),
            (
                r#"{"model":{"type":"mark_up","millionths":200000,"fixed":"1"},"rounding":"up"}"#,
                &[(0, 11, 15), (9, 0, 1)],
            ),
        ];
        for (json, prices) in rows {
            let form: PriceForm = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&form).unwrap(), *json);
            let price = Price::try_from(&form).unwrap();
            for (quantity, cost, expected) in *prices {
                let measure = Measure { quantity: *quantity, cost: Amount::from_base(*cost) };
                assert_eq!(price.of(measure).unwrap().base(), *expected, "{json} {quantity}");
            }
        }
    }

    #[test]
    fn what_is_no_price_has_a_code() {
        for (json, code) in [
            (r#"{"model":{"type":"volume","tiers":[]}}"#, "price_tier_count"),
            (
                r#"{"model":{"type":"graduated","tiers":[{"up_to":3,"unit":"1"},{"up_to":2,"unit":"1"},{"unit":"1"}]}}"#,
                "price_tier_order",
            ),
            (r#"{"model":{"type":"graduated","tiers":[{"up_to":3,"unit":"1"}]}}"#, "price_tier_end"),
            (
                r#"{"model":{"type":"package","size":1,"price":"1"},"minimum":"2","maximum":"1"}"#,
                "price_minimum_over_maximum",
            ),
        ] {
            let form: PriceForm = serde_json::from_str(json).unwrap();
            assert_eq!(Price::try_from(&form).unwrap_err().code(), code, "{json}");
        }
        for json in [
            r#"{"model":{"type":"per_unit","unit":"1","size":3}}"#,
            r#"{"model":{"type":"per_unit","unit":"1","per":0}}"#,
            r#"{"model":{"type":"per_unit","unit":1}}"#,
            r#"{"model":{"type":"per_unit","unit":"1"},"minimun":"3"}"#,
            r#"{"model":{"type":"free"}}"#,
        ] {
            assert!(serde_json::from_str::<PriceForm>(json).is_err(), "{json}");
        }
    }
}
