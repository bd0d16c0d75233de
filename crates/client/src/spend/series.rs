//! [`Series`]: what was spent, by stretches of time. Pure arithmetic; the instant is handed in.

use farthing_money::Amount;
use farthing_protocol::UnixMs;
use serde::{Deserialize, Serialize};

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;

/// How long a payment counts against a limit. Windows slide: each ends now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// 60 minutes.
    Hour,
    /// 24 hours.
    Day,
    /// 30 days.
    Month,
    /// For ever.
    Total,
}

impl Window {
    /// Every one, the shortest first.
    pub const ALL: [Self; 4] = [Self::Hour, Self::Day, Self::Month, Self::Total];

    /// Its name in policies, counters and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
            Self::Total => "total",
        }
    }

    /// How long it is, in milliseconds; none for ever.
    #[must_use]
    pub const fn length_ms(self) -> Option<u64> {
        match self {
            Self::Hour => Some(HOUR_MS),
            Self::Day => Some(24 * HOUR_MS),
            Self::Month => Some(30 * 24 * HOUR_MS),
            Self::Total => None,
        }
    }

    /// The stretch that payments are summed over, in milliseconds: how much longer than the window one may count.
    #[must_use]
    pub const fn stretch_ms(self) -> u64 {
        match self {
            Self::Hour => MINUTE_MS,
            Self::Day => 30 * MINUTE_MS,
            Self::Month => 12 * HOUR_MS,
            Self::Total => 0,
        }
    }
}

/// Clocks of processes on one machine are one clock; what they read before they wait for a lock differs by less.
const SAME_INSTANT_MS: u64 = MINUTE_MS;

/// What was spent within one stretch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stretch {
    start_ms: u64,
    spent: Amount,
    /// When it was first seen to count no more. It is kept for one window from then on, in case the clock was wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    past_since_ms: Option<u64>,
}

/// What was spent on one counter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Series {
    window: Window,
    /// The earliest first. One, from 0 on, for a window that has no end.
    stretches: Vec<Stretch>,
}

impl Series {
    pub(super) const fn new(window: Window) -> Self {
        Self { window, stretches: Vec::new() }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.stretches.is_empty()
    }

    /// What counts now.
    pub(super) fn sum(&self, now: UnixMs) -> Amount {
        let counting = self.stretches.iter().filter(|stretch| !self.is_past(stretch, now));
        // A sum past 128 bits is past every limit.
        Amount::sum(counting.map(|stretch| stretch.spent)).unwrap_or(Amount::MAX)
    }

    fn is_past(&self, stretch: &Stretch, now: UnixMs) -> bool {
        self.window.length_ms().is_some_and(|length| {
            stretch.start_ms.saturating_add(self.window.stretch_ms()).saturating_add(length) <= now.as_ms()
        })
    }

    /// Counts `amount` as spent `now`.
    pub(super) fn add(&mut self, amount: Amount, now: UnixMs) {
        let start_ms = match self.window.stretch_ms() {
            0 => 0,
            stretch => now.as_ms() - now.as_ms() % stretch,
        };
        let at = self.stretches.partition_point(|stretch| stretch.start_ms < start_ms);
        match self.stretches.get_mut(at).filter(|stretch| stretch.start_ms == start_ms) {
            Some(stretch) => stretch.spent = stretch.spent.checked_add(amount).unwrap_or(Amount::MAX),
            None => {
                self.stretches.insert(at, Stretch { start_ms, spent: amount, past_since_ms: None });
            }
        }
    }

    /// Forgets what is past for certain, and moves what lies in a future that did not come to now.
    pub(super) fn tidy(&mut self, now: UnixMs) {
        let Some(length_ms) = self.window.length_ms() else { return };
        let not_yet = now.as_ms().saturating_add(SAME_INSTANT_MS);
        let come = self.stretches.partition_point(|stretch| stretch.start_ms <= not_yet);
        for stretch in self.stretches.split_off(come) {
            self.add(stretch.spent, now);
        }
        let past: Vec<bool> = self.stretches.iter().map(|stretch| self.is_past(stretch, now)).collect();
        let mut past = past.into_iter();
        self.stretches.retain_mut(|stretch| {
            if !past.next().unwrap_or(false) {
                stretch.past_since_ms = None;
                return true;
            }
            let since = stretch.past_since_ms.unwrap_or(u64::MAX).min(now.as_ms());
            stretch.past_since_ms = Some(since);
            now.as_ms() < since.saturating_add(length_ms)
        });
    }
}
