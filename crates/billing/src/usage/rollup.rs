//! [`Rollup`]: revenue and cost of every subject, customer, product and vendor, over time, counted as events are applied.
//!
//! Each event changes a bounded number of counters ([`Rated::counts`]) and nothing is ever scanned. Counters are kept by the
//! caller, in the transaction that applies the event, so that an event told twice counts once.

use std::collections::BTreeMap;

use farthing_ledger::{AssetId, Net, Timestamp};
use farthing_money::{Amount, MoneyError, Rounding};

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
    /// When the usage occurred, not when it was told; of what was given back, when it was.
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
    /// What was given back, of this revenue or of an earlier window's.
    pub refunded: Amount,
    /// What funding sources took back from customers, who owe it since. It is no part of the margin.
    pub charged_back: Amount,
}

/// A part of an event's price that is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GivenBack {
    /// What of the price was given back before.
    pub before: Amount,
    /// How much is.
    pub amount: Amount,
    /// When: it counts then, so that the figures of a window that has ended stay what they were.
    pub at: Timestamp,
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
            refunded: self.refunded.checked_add(other.refunded)?,
            charged_back: self.charged_back.checked_add(other.charged_back)?,
        })
    }

    /// Revenue less what was given back of it and less cost, which may be below zero.
    #[must_use]
    pub fn net(&self) -> Net {
        // Counters have 127 bits: two of them fit.
        Net::of(self.revenue, self.refunded.checked_add(self.cost).unwrap_or(Amount::MAX))
    }

    /// What is left of the revenue that was not given back, in millionths of it ([`Margin::millionths`]); none where all was.
    #[must_use]
    pub fn millionths(&self) -> Option<i64> {
        let price = self.revenue.checked_sub(self.refunded).ok()?;
        Margin { price, cost: self.cost }.millionths()
    }
}

impl Rated {
    /// What it adds to which counters: its subject, customer, product and vendors, by day, by month and in all.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] when the revenue cannot be divided within 128 bits.
    pub fn counts(&self, asset: AssetId) -> Result<Vec<(Counter, Tally)>, MoneyError> {
        let (event, quantity) = (&self.event, u128::from(self.event.quantity));
        let whole = Tally { events: 1, quantity, revenue: self.price, cost: self.cost, ..Tally::default() };
        Ok(self.rows(asset, event.occurred_at, whole, self.shares()?))
    }

    /// What giving back a part of the price adds to which counters: those of [`Rated::counts`], in the windows in which it is
    /// given back. Vendors have the parts of it that they have of the revenue.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`], and [`MoneyError::Underflow`] for more than the price.
    pub fn counts_back(&self, asset: AssetId, back: &GivenBack) -> Result<Vec<(Counter, Tally)>, MoneyError> {
        let shares = self.shares()?;
        let revenues: Vec<Amount> = shares.iter().map(|(_, share)| share.revenue).collect();
        let after = back.before.checked_add(back.amount)?;
        self.price.checked_sub(after)?;
        let (before, after) = (divide(&revenues, back.before)?, divide(&revenues, after)?);
        let refunded = |refunded| Tally { refunded, ..Tally::default() };
        let mut vendors = Vec::with_capacity(shares.len());
        for ((vendor, _), (before, after)) in shares.into_iter().zip(before.into_iter().zip(after)) {
            let mine = after.checked_sub(before)?;
            if !mine.is_zero() {
                vendors.push((vendor, refunded(mine)));
            }
        }
        Ok(self.rows(asset, back.at, refunded(back.amount), vendors))
    }

    /// The counters of subject, customer, product and vendors in the windows of `at`.
    fn rows(
        &self,
        asset: AssetId,
        at: Timestamp,
        whole: Tally,
        vendors: Vec<(CounterpartyId, Tally)>,
    ) -> Vec<(Counter, Tally)> {
        let event = &self.event;
        let own = [Of::Subject(event.subject), Of::Customer(event.customer), Of::Product(event.product)];
        let own = own.into_iter().map(|of| (of, whole));
        let all = own.chain(vendors.into_iter().map(|(vendor, share)| (Of::Vendor(vendor), share)));
        let windows = [Period::Day, Period::Month, Period::Total].map(|p| p.window(at));
        let counter = |window, of| Counter { of, asset, window };
        all.flat_map(|(of, tally)| windows.map(|window| (counter(window, of), tally))).collect()
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
            let upto = self.price.checked_mul(sum)?.checked_div(all, Rounding::Down)?;
            let revenue = upto.checked_sub(before)?;
            before = upto;
            let quantity = u128::from(self.event.quantity);
            let share = Tally { events: 1, quantity, revenue, cost: cost.amount, ..Tally::default() };
            shares.push((cost.vendor, share));
        }
        Ok(shares)
    }
}

/// Divides `part` of the sum of `whole` as the whole is divided. Each takes its part of what those before it left: so nobody's
/// share becomes less when `part` becomes more, and the whole is divided into `whole`.
fn divide(whole: &[Amount], part: Amount) -> Result<Vec<Amount>, MoneyError> {
    let (mut all, mut rest) = (Amount::sum(whole.iter().copied())?, part);
    let mut parts = Vec::with_capacity(whole.len());
    for share in whole {
        let mine = Amount::from_base(part_of(rest.base(), share.base(), all.base())?);
        all = all.checked_sub(*share)?;
        rest = rest.checked_sub(mine)?;
        parts.push(mine);
    }
    Ok(parts)
}

/// `amount * share / all` rounded down, for a share of at most all: bit by bit, because the product of two prices can be longer than
/// 128 bits.
fn part_of(amount: u128, share: u128, all: u128) -> Result<u128, MoneyError> {
    if share > all || all > i128::MAX.unsigned_abs() {
        return Err(MoneyError::Overflow);
    }
    if all == 0 {
        return Ok(0);
    }
    let (mut quotient, mut rest) = (0_u128, 0_u128);
    let take = |rest: &mut u128, more: u128| {
        *rest += more;
        let whole = *rest >= all;
        *rest -= if whole { all } else { 0 };
        u128::from(whole)
    };
    for bit in (0..u128::BITS - amount.leading_zeros()).rev() {
        let twice = rest;
        quotient = 2 * quotient + take(&mut rest, twice);
        if amount >> bit & 1 == 1 {
            quotient += take(&mut rest, share);
        }
    }
    Ok(quotient)
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
        self.add(rated.counts(asset)?)
    }

    /// Counts what of an event was given back. All its counters change, or none.
    ///
    /// # Errors
    /// As [`Rated::counts_back`].
    pub fn count_back(&mut self, rated: &Rated, asset: AssetId, back: &GivenBack) -> Result<(), MoneyError> {
        self.add(rated.counts_back(asset, back)?)
    }

    fn add(&mut self, counts: Vec<(Counter, Tally)>) -> Result<(), MoneyError> {
        let mut sums = Vec::new();
        for (counter, tally) in counts {
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
