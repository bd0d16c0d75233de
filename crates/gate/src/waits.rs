//! How long each open payment is left alone that was asked about in vain, and rails that say nothing at all.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use farthing_protocol::ports::ClaimId;

use crate::recover::ResolverOptions;

/// How many of the shortest waits may lie between two rounds.
const LONGEST_PAUSE: u64 = 8;
/// How many of the longest waits a payment is remembered that is not open any more.
const REMEMBERED: u64 = 10;

/// How long each payment is left alone that was asked about in vain.
pub(crate) struct Waits {
    pub(crate) options: ResolverOptions,
    of: HashMap<ClaimId, Wait>,
}

#[derive(Default, Clone, Copy)]
pub(crate) struct Wait {
    /// Times that it was asked about in vain.
    pub(crate) times: u32,
    pub(crate) left_ms: u64,
    /// How long it has not been among the open ones.
    unseen_ms: u64,
}

impl Waits {
    pub(crate) fn new(options: ResolverOptions) -> Self {
        Self { options, of: HashMap::new() }
    }

    pub(crate) fn get(&self, id: &ClaimId) -> Wait {
        self.of.get(id).copied().unwrap_or_default()
    }

    /// This one was asked about in vain once more.
    pub(crate) fn lengthen(&mut self, id: ClaimId) {
        let ResolverOptions { min_wait_ms, max_wait_ms, .. } = self.options;
        let wait = self.of.entry(id).or_default();
        wait.left_ms = min_wait_ms.saturating_mul(1 << wait.times.min(32)).min(max_wait_ms);
        wait.times = wait.times.saturating_add(1);
    }

    /// This one is closed.
    pub(crate) fn forget(&mut self, id: &ClaimId) {
        self.of.remove(id);
    }

    /// Everything that was looked at is in `ids`. What is not there for long is forgotten: others have closed it. Not at once,
    /// because a refund that failed is looked at again only after a while.
    pub(crate) fn keep(&mut self, ids: &HashSet<ClaimId>) {
        let most = self.options.max_wait_ms.saturating_mul(REMEMBERED);
        self.of.retain(|id, wait| {
            if ids.contains(id) {
                wait.unseen_ms = 0;
            }
            wait.unseen_ms <= most
        });
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        for wait in self.of.values_mut() {
            wait.left_ms = wait.left_ms.saturating_sub(ms);
            wait.unseen_ms = wait.unseen_ms.saturating_add(ms);
        }
    }

    /// Until the next round: until a payment's wait is over, and not for long, as there may be new payments.
    pub(crate) fn pause_ms(&self) -> u64 {
        let shortest = self.options.min_wait_ms.max(1);
        let due = self.of.values().map(|wait| wait.left_ms).min().unwrap_or(shortest);
        due.clamp(shortest, shortest.saturating_mul(LONGEST_PAUSE))
    }
}

/// Rails that did not answer at all in this round. A rail's own error is an answer, about one payment.
#[derive(Default)]
pub(crate) struct Silent(Mutex<HashMap<String, u32>>);

impl Silent {
    /// So many payments in a row without an answer in time, and a rail is left alone for the rest of the round. The next one
    /// begins with those that were not asked about.
    const PATIENCE: u32 = 16;

    pub(crate) fn is_down(&self, rail: &str) -> bool {
        let rails = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rails.get(rail).is_some_and(|silences| *silences >= Self::PATIENCE)
    }

    pub(crate) fn note(&self, rail: &str, answered: bool) {
        let mut rails = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let silences = rails.entry(rail.to_owned()).or_default();
        *silences = if answered { 0 } else { silences.saturating_add(1) };
    }
}

#[cfg(test)]
mod tests;
