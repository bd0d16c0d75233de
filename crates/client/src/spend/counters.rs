//! [`Counters`]: the arithmetic of a book, without a lock or a file.

use std::collections::BTreeMap;

use farthing_money::Amount;
use serde::{Deserialize, Serialize};

use super::{Draw, SpendError, Spent};
use crate::PaymentId;

/// Amounts by counter.
type Sums = BTreeMap<String, Amount>;

/// Counters, and what each open payment holds of them. Its size follows from the number of limits and of open payments,
/// never from how much was paid.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Counters {
    /// Held and confirmed together: what limits are compared with.
    used: Sums,
    /// By payment, then by counter.
    held: BTreeMap<PaymentId, Sums>,
}

impl Counters {
    pub(super) fn check(&self, draws: &[Draw]) -> Result<(), SpendError> {
        self.after(draws).map(|_| ())
    }

    pub(super) fn hold(&mut self, payment: &PaymentId, draws: &[Draw]) -> Result<(), SpendError> {
        let (used, held) = self.after(draws)?;
        self.used.extend(used);
        if !held.is_empty() {
            self.held.insert(payment.clone(), held);
        }
        Ok(())
    }

    /// The counters that change, as they would be, and what is held of them. Two draws on one counter are checked one after
    /// the other.
    fn after(&self, draws: &[Draw]) -> Result<(Sums, Sums), SpendError> {
        let mut used: Sums = Sums::new();
        let mut held: Sums = Sums::new();
        for draw in draws {
            let known = used.get(&draw.counter).or_else(|| self.used.get(&draw.counter));
            let spent = known.copied().unwrap_or_default();
            // A sum past 128 bits is past every limit.
            let after =
                spent.checked_add(draw.units).ok().filter(|after| *after <= draw.limit).ok_or_else(|| {
                    SpendError::OverLimit { asked: draw.asked.clone(), rule: draw.rule.clone(), spent }
                })?;
            used.insert(draw.counter.clone(), after);
            let mine = held.entry(draw.counter.clone()).or_default();
            // Part of `after`, which fits.
            *mine = mine.checked_add(draw.units).unwrap_or(Amount::MAX);
        }
        Ok((used, held))
    }

    pub(super) fn confirm(&mut self, payment: &PaymentId) {
        self.held.remove(payment);
    }

    pub(super) fn release(&mut self, payment: &PaymentId) {
        for (counter, amount) in self.held.remove(payment).unwrap_or_default() {
            if let Some(used) = self.used.get_mut(&counter) {
                // What is held was added before, so it can be taken away.
                *used = used.checked_sub(amount).unwrap_or(Amount::ZERO);
            }
        }
    }

    pub(super) fn spent(&self, counter: &str) -> Spent {
        let used = self.used.get(counter).copied().unwrap_or_default();
        let amounts = self.held.values().filter_map(|held| held.get(counter)).copied();
        let held = Amount::sum(amounts).unwrap_or(Amount::MAX);
        Spent { confirmed: used.checked_sub(held).unwrap_or(Amount::ZERO), held }
    }
}
