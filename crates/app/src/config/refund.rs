//! The `[tempo.refunds]` table: the account that gives payments back, and how much of them a day.

use farthing_money::Amount;

use super::read::Section;
use super::secret::Surroundings;
use super::tempo::{SponsorKey, read_key};
use super::value;

/// The account that gives payments back.
#[derive(Debug)]
pub struct RefundConfig {
    /// Its key.
    pub key: SponsorKey,
    /// The most that it gives back a day of each token, in whole units at six decimals, network fees aside.
    pub budget_per_day: Amount,
}

impl RefundConfig {
    pub(super) fn read(
        section: &Section<'_>,
        around: Surroundings<'_>,
        warnings: &mut Vec<String>,
    ) -> Option<Self> {
        let budget_per_day = section.require(
            "budget_per_day",
            "the most that may be given back a day, such as \"20.00\"",
            |text| {
                let amount = value::amount(text)?;
                if amount.is_zero() {
                    Err("is nothing, so nothing could be given back".into())
                } else {
                    Ok(amount)
                }
            },
        );
        let key = read_key(section, around, warnings, "the key of the account that gives back");
        section.refuse_unknown();
        Some(Self { key: key?, budget_per_day: budget_per_day? })
    }
}
