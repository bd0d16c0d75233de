//! [`Counters`]: the arithmetic of a book, without a lock or a file.

use std::collections::BTreeMap;

use farthing_money::Amount;
use farthing_protocol::UnixMs;
use serde::{Deserialize, Serialize};

use super::series::{Series, Window};
use super::{Certainty, Draw, SpendError, Spending, Spent};
use crate::PaymentId;

/// What one open payment holds of one counter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Share {
    window: Window,
    units: Amount,
}

/// Counters, and what each open payment holds of them. Its size follows from the number of limits, of hosts that are limited
/// one by one, and of open payments, never from how much was paid.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Counters {
    spent: BTreeMap<String, Series>,
    /// By payment, then by counter.
    held: BTreeMap<PaymentId, BTreeMap<String, Share>>,
}

impl Counters {
    pub(super) fn check(&self, draws: &[Draw], now: UnixMs) -> Result<(), SpendError> {
        self.shares(draws, now).map(|_| ())
    }

    pub(super) fn hold(
        &mut self,
        payment: &PaymentId,
        draws: &[Draw],
        now: UnixMs,
    ) -> Result<(), SpendError> {
        // Before the limits are looked at: what lies in a future that did not come counts now.
        self.tidy(now);
        let shares = self.shares(draws, now)?;
        if !shares.is_empty() {
            self.held.insert(payment.clone(), shares);
        }
        Ok(())
    }

    /// What is held of each counter. Two draws on one counter are checked one after the other.
    fn shares(&self, draws: &[Draw], now: UnixMs) -> Result<BTreeMap<String, Share>, SpendError> {
        let mut shares: BTreeMap<String, Share> = BTreeMap::new();
        for draw in draws {
            let mine = shares.get(&draw.counter).map_or(Amount::ZERO, |share| share.units);
            let spent = self.spent(&draw.counter, now).used().checked_add(mine).unwrap_or(Amount::MAX);
            // A sum past 128 bits is past every limit.
            let after = spent.checked_add(draw.units).ok().filter(|after| *after <= draw.limit);
            if after.is_none() {
                return Err(SpendError::OverLimit {
                    asked: draw.asked.clone(),
                    rule: draw.rule.clone(),
                    spent,
                });
            }
            // Part of `after`, which fits.
            let units = mine.checked_add(draw.units).unwrap_or(Amount::MAX);
            shares.insert(draw.counter.clone(), Share { window: draw.window, units });
        }
        Ok(shares)
    }

    /// Counts from `now` on: a payment counts at least as long after it moved as its window says.
    pub(super) fn confirm(&mut self, payment: &PaymentId, now: UnixMs) {
        for (counter, share) in self.held.remove(payment).unwrap_or_default() {
            let series = self.spent.entry(counter).or_insert_with(|| Series::new(share.window));
            series.add(share.units, now);
        }
        self.tidy(now);
    }

    pub(super) fn release(&mut self, payment: &PaymentId) {
        self.held.remove(payment);
    }

    pub(super) fn spent(&self, counter: &str, now: UnixMs) -> Spent {
        let confirmed = self.spent.get(counter).map_or(Amount::ZERO, |series| series.sum(now));
        let held = self.held.values().filter_map(|shares| shares.get(counter)).map(|share| share.units);
        Spent { confirmed, held: Amount::sum(held).unwrap_or(Amount::MAX) }
    }

    pub(super) fn held(&self) -> Vec<PaymentId> {
        self.held.keys().cloned().collect()
    }

    /// Takes in what was spent before, whatever limits say.
    pub(super) fn recall(&mut self, spending: Spending) {
        for draw in spending.draws {
            match spending.certainty {
                Certainty::Confirmed => {
                    let series = self.spent.entry(draw.counter).or_insert_with(|| Series::new(draw.window));
                    series.add(draw.units, spending.at);
                }
                Certainty::Held => {
                    let shares = self.held.entry(spending.payment.clone()).or_default();
                    shares.insert(draw.counter, Share { window: draw.window, units: draw.units });
                }
            }
        }
    }

    pub(super) fn tidy(&mut self, now: UnixMs) {
        self.spent.retain(|_, series| {
            series.tidy(now);
            !series.is_empty()
        });
    }
}
