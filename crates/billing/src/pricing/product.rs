//! [`Product`]: a price and the prices before it, each from an instant on. What was sold is priced as it was sold.

use farthing_ledger::Timestamp;
use farthing_money::{Amount, MoneyError};

use super::{Measure, Price};

/// A price from an instant on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// 1 for the first.
    pub number: u32,
    /// From when on it counts.
    pub from: Timestamp,
    /// The price.
    pub price: Price,
}

/// Something that is sold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Product {
    versions: Vec<Version>,
}

/// How late usage may be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lateness {
    /// So long after it occurred, in milliseconds.
    pub grace_ms: u64,
    /// So long before, because clocks differ, in milliseconds.
    pub skew_ms: u64,
}

/// Why a version cannot be published, or usage cannot be priced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProductError {
    /// It would count for what was sold already.
    #[error("a price cannot count from an instant that has passed")]
    InThePast,
    /// It would count before the version before it.
    #[error("a price has to count from later than version {last}")]
    OutOfOrder {
        /// The last version.
        last: u32,
    },
    /// The usage occurred too long ago.
    #[error("the usage occurred {late_ms} ms ago, later than the {grace_ms} ms of grace")]
    TooLate {
        /// How long ago.
        late_ms: u64,
        /// The grace period.
        grace_ms: u64,
    },
    /// The usage has not occurred yet.
    #[error("the usage occurs {early_ms} ms from now")]
    InTheFuture {
        /// How far ahead.
        early_ms: u64,
    },
    /// No price counted then.
    #[error("the product had no price then")]
    NoPrice,
}

impl ProductError {
    /// The stable code, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InThePast => "price_in_the_past",
            Self::OutOfOrder { .. } => "price_out_of_order",
            Self::TooLate { .. } => "usage_too_late",
            Self::InTheFuture { .. } => "usage_in_the_future",
            Self::NoPrice => "price_missing",
        }
    }
}

impl Product {
    /// Nothing published yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { versions: Vec::new() }
    }

    /// What was published before, the oldest first, as [`Product::publish`] gave it. A part of it is enough: to publish, the
    /// last version; to price, the one that counted then.
    #[must_use]
    pub const fn of(versions: Vec<Version>) -> Self {
        Self { versions }
    }

    /// The versions, the oldest first.
    #[must_use]
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// Publishes `price` from an instant on that is not before `now`. What a version once counted for, it counts for forever.
    ///
    /// # Errors
    /// [`ProductError::InThePast`], [`ProductError::OutOfOrder`].
    pub fn publish(
        &mut self,
        price: Price,
        from: Timestamp,
        now: Timestamp,
    ) -> Result<&Version, ProductError> {
        if from < now {
            return Err(ProductError::InThePast);
        }
        let last = self.versions.last().map_or((0, None), |last| (last.number, Some(last.from)));
        if last.1.is_some_and(|before| from <= before) {
            return Err(ProductError::OutOfOrder { last: last.0 });
        }
        let at = self.versions.len();
        self.versions.push(Version { number: last.0.saturating_add(1), from, price });
        Ok(&self.versions[at])
    }

    /// The version that counted at `occurred_at`, for usage that is told at `now`.
    ///
    /// # Errors
    /// [`ProductError::InTheFuture`], [`ProductError::TooLate`], [`ProductError::NoPrice`].
    pub fn version(
        &self,
        occurred_at: Timestamp,
        now: Timestamp,
        lateness: Lateness,
    ) -> Result<&Version, ProductError> {
        let (occurred, now) = (occurred_at.unix_ms(), now.unix_ms());
        let (early_ms, late_ms) = (occurred.saturating_sub(now), now.saturating_sub(occurred));
        if early_ms > lateness.skew_ms {
            return Err(ProductError::InTheFuture { early_ms });
        }
        if late_ms > lateness.grace_ms {
            return Err(ProductError::TooLate { late_ms, grace_ms: lateness.grace_ms });
        }
        let counted = self.versions.partition_point(|version| version.from <= occurred_at);
        counted.checked_sub(1).and_then(|at| self.versions.get(at)).ok_or(ProductError::NoPrice)
    }
}

/// What a new price would have done to past usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Simulation {
    /// How much was used, in events.
    pub events: u64,
    /// What it cost by the price now.
    pub before: Amount,
    /// What it would cost by the new one.
    pub after: Amount,
    /// Events that would cost more.
    pub dearer: u64,
    /// Events that would cost less.
    pub cheaper: u64,
    /// Events that would cost less than the vendors took.
    pub under_cost: u64,
}

/// Prices `usage` with `old` and `new`, and publishes nothing.
///
/// # Errors
/// [`MoneyError::Overflow`] past 128 bits.
pub fn simulate(
    old: &Price,
    new: &Price,
    usage: impl IntoIterator<Item = Measure>,
) -> Result<Simulation, MoneyError> {
    simulate_after(old, new, usage.into_iter().map(|measure| (0, measure)))
}

/// As [`simulate`], for usage of which each part came after so many units of its period ([`Price::after`]).
///
/// # Errors
/// [`MoneyError::Overflow`] past 128 bits.
pub fn simulate_after(
    old: &Price,
    new: &Price,
    usage: impl IntoIterator<Item = (u64, Measure)>,
) -> Result<Simulation, MoneyError> {
    let mut result = Simulation::default();
    for (before, measure) in usage {
        let (was, is) = (old.after(before, measure)?, new.after(before, measure)?);
        result.events += 1;
        result.before = result.before.checked_add(was)?;
        result.after = result.after.checked_add(is)?;
        result.dearer += u64::from(is > was);
        result.cheaper += u64::from(is < was);
        result.under_cost += u64::from(is < measure.cost);
    }
    Ok(result)
}
