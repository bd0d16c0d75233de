//! [`Price`]: what a quantity costs, in exact integers, rounded once and as named. [`Product`]: which price counted when.
//!
//! | model | what a quantity `q` costs |
//! |---|---|
//! | per unit | `q * unit / per` |
//! | graduated | the units in each tier at that tier's unit price, and the flat fee of every tier that is entered |
//! | volume | all units at the unit price of the tier in which `q` falls, and that tier's flat fee |
//! | package | a package price for every package that is begun |
//! | mark-up | the vendors' cost, so many millionths more, and a fixed fee |
//!
//! Nothing used and nothing spent costs nothing. Otherwise the result is not less than the minimum and not more than the
//! maximum. All but volume prices grow with the quantity; a volume price may fall where a tier begins ([`Price::drops`]).
//!
//! This module knows no customer and moves no money.

mod product;

use std::num::NonZeroU64;

use farthing_money::{Amount, MoneyError, Rounding};

pub use product::{Lateness, Product, ProductError, Simulation, Version, simulate, simulate_after};

/// A stretch of quantities with one price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tier {
    /// The last quantity that belongs to it. `None` for the last tier, which never ends.
    pub up_to: Option<u64>,
    /// The price of `per` units.
    pub unit: Amount,
    /// Once, when the tier is entered.
    pub flat: Amount,
}

/// Tiers without gap, from the first unit on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tiers {
    per: NonZeroU64,
    tiers: Vec<Tier>,
}

/// How a quantity becomes a price.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Model {
    /// Every unit costs the same.
    PerUnit {
        /// The price of `per` units.
        unit: Amount,
        /// So many units: prices smaller than a base unit are said for a thousand or a million.
        per: NonZeroU64,
    },
    /// Each unit at the price of its tier.
    Graduated(Tiers),
    /// All units at the price of the tier in which their number falls.
    Volume(Tiers),
    /// Whole packages.
    Package {
        /// Units in a package.
        size: NonZeroU64,
        /// The price of one.
        price: Amount,
    },
    /// What the vendors took, and more.
    MarkUp {
        /// Millionths of the cost on top: 200,000 is 20 percent.
        millionths: u32,
        /// Once an event.
        fixed: Amount,
    },
}

/// A price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Price {
    model: Model,
    minimum: Amount,
    maximum: Amount,
    rounding: Rounding,
}

/// What is priced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Measure {
    /// How many units were used.
    pub quantity: u64,
    /// What the vendors took.
    pub cost: Amount,
}

/// Why a price is no price. The variants stand in the order in which they are checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PriceError {
    /// No tier, or more than [`Tiers::MOST`].
    #[error("a price has 1 to {most} tiers")]
    BadTierCount {
        /// The most.
        most: usize,
    },
    /// A tier does not end after the one before it.
    #[error("tier {tier} ends before it begins: the ends have to grow")]
    TierOrder {
        /// Which, counted from 1.
        tier: usize,
    },
    /// Only the last tier may be without an end, and has to be.
    #[error("tier {tier}: the last tier, and no other, has no end")]
    TierEnd {
        /// Which, counted from 1.
        tier: usize,
    },
    /// The minimum is more than the maximum.
    #[error("the minimum price is more than the maximum")]
    MinimumOverMaximum,
    /// The amount does not fit.
    #[error(transparent)]
    Money(#[from] MoneyError),
}

impl PriceError {
    /// The stable code, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadTierCount { .. } => "price_tier_count",
            Self::TierOrder { .. } => "price_tier_order",
            Self::TierEnd { .. } => "price_tier_end",
            Self::MinimumOverMaximum => "price_minimum_over_maximum",
            Self::Money(error) => error.code(),
        }
    }
}

impl Tiers {
    /// The most tiers.
    pub const MOST: usize = 100;

    /// Tiers whose unit prices are for `per` units.
    ///
    /// # Errors
    /// [`PriceError::BadTierCount`], [`PriceError::TierOrder`], [`PriceError::TierEnd`].
    pub fn new(per: NonZeroU64, tiers: Vec<Tier>) -> Result<Self, PriceError> {
        if !(1..=Self::MOST).contains(&tiers.len()) {
            return Err(PriceError::BadTierCount { most: Self::MOST });
        }
        let mut last = 0;
        for (at, tier) in tiers.iter().enumerate() {
            let is_last = at + 1 == tiers.len();
            match tier.up_to {
                Some(end) if !is_last && end <= last => return Err(PriceError::TierOrder { tier: at + 1 }),
                Some(end) if !is_last => last = end,
                None if is_last => {}
                _ => return Err(PriceError::TierEnd { tier: at + 1 }),
            }
        }
        Ok(Self { per, tiers })
    }

    /// The tiers.
    #[must_use]
    pub fn tiers(&self) -> &[Tier] {
        &self.tiers
    }

    fn graduated(&self, quantity: u64, rounding: Rounding) -> Result<Amount, MoneyError> {
        let (mut units, mut flat, mut begin) = (Amount::ZERO, Amount::ZERO, 0);
        for tier in self.tiers.iter().take_while(|_| quantity > 0) {
            if quantity <= begin {
                break;
            }
            let end = tier.up_to.unwrap_or(u64::MAX).min(quantity);
            units = units.checked_add(tier.unit.checked_mul(u128::from(end - begin))?)?;
            flat = flat.checked_add(tier.flat)?;
            begin = end;
        }
        // One division for all tiers: what is lost by rounding does not grow with their number.
        units.checked_div(u128::from(self.per.get()), rounding)?.checked_add(flat)
    }

    fn volume(&self, quantity: u64, rounding: Rounding) -> Result<Amount, MoneyError> {
        let mine = self.tiers.iter().find(|tier| tier.up_to.is_none_or(|end| quantity <= end));
        let Some(tier) = mine else { return Ok(Amount::ZERO) };
        let units = tier.unit.checked_mul(u128::from(quantity))?;
        units.checked_div(u128::from(self.per.get()), rounding)?.checked_add(tier.flat)
    }
}

impl Price {
    /// A price by `model`. Divisions are rounded as named: [`Rounding::Up`] asks, [`Rounding::Down`] gives.
    #[must_use]
    pub const fn new(model: Model, rounding: Rounding) -> Self {
        Self { model, minimum: Amount::ZERO, maximum: Amount::MAX, rounding }
    }

    /// With a least and a most that anything used costs.
    ///
    /// # Errors
    /// [`PriceError::MinimumOverMaximum`].
    pub fn bounded(self, minimum: Amount, maximum: Amount) -> Result<Self, PriceError> {
        if minimum > maximum {
            return Err(PriceError::MinimumOverMaximum);
        }
        Ok(Self { minimum, maximum, ..self })
    }

    /// How a quantity becomes a price.
    #[must_use]
    pub const fn model(&self) -> &Model {
        &self.model
    }

    /// What `measure` costs.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] past 128 bits.
    pub fn of(&self, measure: Measure) -> Result<Amount, MoneyError> {
        let Measure { quantity, cost } = measure;
        let by_cost = matches!(self.model, Model::MarkUp { .. });
        if quantity == 0 && (!by_cost || cost.is_zero()) {
            return Ok(Amount::ZERO);
        }
        Ok(self.plain(measure)?.max(self.minimum).min(self.maximum))
    }

    /// What `measure` costs after `before` units of the same period: the price of all, less the price of those before. Over a
    /// period the parts add up to the price of the whole, whatever their sizes and whatever is rounded, minimum and maximum
    /// aside, which count for each event. For prices whose tiers count a period; a volume price would have to charge what
    /// is past again, so each event of it stands alone.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] past 128 bits.
    pub fn after(&self, before: u64, measure: Measure) -> Result<Amount, MoneyError> {
        if matches!(self.model, Model::Volume(_) | Model::MarkUp { .. }) || measure.quantity == 0 {
            return self.of(measure);
        }
        let all = before.checked_add(measure.quantity).ok_or(MoneyError::Overflow)?;
        let price = |quantity| self.plain(Measure { quantity, cost: Amount::ZERO });
        let part = price(all)?.checked_sub(price(before)?)?;
        Ok(part.max(self.minimum).min(self.maximum))
    }

    /// Where a volume price falls: quantities after which one unit more makes all of them cheaper than they were before.
    /// Nothing forbids it; whoever publishes such a price should know.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] past 128 bits.
    pub fn drops(&self) -> Result<Vec<u64>, MoneyError> {
        let Model::Volume(tiers) = &self.model else { return Ok(Vec::new()) };
        let mut drops = Vec::new();
        for end in tiers.tiers.iter().filter_map(|tier| tier.up_to) {
            if tiers.volume(end.saturating_add(1), self.rounding)? < tiers.volume(end, self.rounding)? {
                drops.push(end);
            }
        }
        Ok(drops)
    }

    fn plain(&self, Measure { quantity, cost }: Measure) -> Result<Amount, MoneyError> {
        match &self.model {
            Model::PerUnit { unit, per } => {
                unit.checked_mul(u128::from(quantity))?.checked_div(u128::from(per.get()), self.rounding)
            }
            Model::Graduated(tiers) => tiers.graduated(quantity, self.rounding),
            Model::Volume(tiers) => tiers.volume(quantity, self.rounding),
            Model::Package { size, price } => price.checked_mul(u128::from(quantity.div_ceil(size.get()))),
            Model::MarkUp { millionths, fixed } => {
                let more =
                    cost.checked_mul(u128::from(*millionths))?.checked_div(1_000_000, self.rounding)?;
                cost.checked_add(more)?.checked_add(*fixed)
            }
        }
    }
}

#[cfg(test)]
mod tests;
