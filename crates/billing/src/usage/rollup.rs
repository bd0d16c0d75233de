//! [`Rollup`]: revenue and cost of every subject, customer, product and vendor, over time, counted as events are applied.
//!
//! Each event changes a bounded number of counters ([`Rated::counts`]) and nothing is ever scanned. Counters are kept by the
//! caller, in the transaction that applies the event, so that an event told twice counts once.

use std::collections::BTreeMap;

use farthing_ledger::AssetId;
use farthing_money::{Amount, MoneyError};

use super::Rated;
use crate::id::{CounterpartyId, CustomerId, ProductId, SubjectId};
use crate::margin::Margin;
use crate::{Period, Window};

/// Of what a counter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Of {
    /// One unit of work.
    Subject(SubjectId),
    /// One customer.
    Customer(CustomerId),
    /// One product.
    Product(ProductId),
    /// One vendor. The revenue of an event is divided among its vendors by their cost.
    Vendor(CounterpartyId),
}

/// Which counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Counter {
    /// Of what.
    pub of: Of,
    /// In which asset.
    pub asset: AssetId,
    /// When the usage occurred, not when it was told.
    pub window: Window,
}

/// What a counter shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Tally {
    /// How many events.
    pub events: u64,
    /// How many units.
    pub quantity: u128,
    /// What customers paid.
    pub revenue: Amount,
    /// What vendors took.
    pub cost: Amount,
}

impl Tally {
    /// The sum.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        Ok(Self {
            events: self.events.checked_add(other.events).ok_or(MoneyError::Overflow)?,
            quantity: self.quantity.checked_add(other.quantity).ok_or(MoneyError::Overflow)?,
            revenue: self.revenue.checked_add(other.revenue)?,
            cost: self.cost.checked_add(other.cost)?,
        })
    }

    /// Revenue and cost as a margin.
    #[must_use]
    pub const fn margin(&self) -> Margin {
        Margin { price: self.revenue, cost: self.cost }
    }
}

impl Rated {
    /// What it adds to which counters: its subject, customer, product and vendors, by day, by month and in all.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] when the revenue cannot be divided within 128 bits.
    pub fn counts(&self, asset: AssetId) -> Result<Vec<(Counter, Tally)>, MoneyError> {
        let (event, quantity) = (&self.event, u128::from(self.event.quantity));
        let whole = Tally { events: 1, quantity, revenue: self.price, cost: self.cost };
        let mut rows = vec![
            (Of::Subject(event.subject), whole),
            (Of::Customer(event.customer), whole),
            (Of::Product(event.product), whole),
        ];
        for (vendor, share) in self.shares()? {
            rows.push((Of::Vendor(vendor), share));
        }
        let windows = [Period::Day, Period::Month, Period::Total].map(|p| p.window(event.occurred_at));
        let counter = |window, of| Counter { of, asset, window };
        Ok(rows.iter().flat_map(|(of, tally)| windows.map(|window| (counter(window, *of), *tally))).collect())
    }

    /// The vendors with their cost and their part of the revenue. The parts add up to the whole: each is the difference of
    /// two rounded sums.
    fn shares(&self) -> Result<Vec<(CounterpartyId, Tally)>, MoneyError> {
        let vendors = u128::try_from(self.event.costs.len()).unwrap_or(u128::MAX);
        let (mut before, mut sum, mut shares) = (Amount::ZERO, 0_u128, Vec::new());
        for cost in &self.event.costs {
            // When nobody took anything, all have the same part.
            let (mine, all) =
                if self.cost.is_zero() { (1, vendors) } else { (cost.amount.base(), self.cost.base()) };
            sum = sum.checked_add(mine).ok_or(MoneyError::Overflow)?;
            let upto = self.price.checked_mul(sum)?.checked_div(all, farthing_money::Rounding::Down)?;
            let revenue = upto.checked_sub(before)?;
            before = upto;
            let quantity = u128::from(self.event.quantity);
            shares.push((cost.vendor, Tally { events: 1, quantity, revenue, cost: cost.amount }));
        }
        Ok(shares)
    }
}

/// Counters in memory: what a store keeps as rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rollup {
    counters: BTreeMap<Counter, Tally>,
}

impl Rollup {
    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts an event that was applied. All its counters change, or none.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn count(&mut self, rated: &Rated, asset: AssetId) -> Result<(), MoneyError> {
        let mut sums = Vec::new();
        for (counter, tally) in rated.counts(asset)? {
            sums.push((counter, self.tally(&counter).checked_add(tally)?));
        }
        self.counters.extend(sums);
        Ok(())
    }

    /// What a counter shows.
    #[must_use]
    pub fn tally(&self, counter: &Counter) -> Tally {
        self.counters.get(counter).copied().unwrap_or_default()
    }
}
