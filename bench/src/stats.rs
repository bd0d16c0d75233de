//! The middle of several rounds, and how far they lie apart.

use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;

/// A number as a float. Exact up to 2^53.
#[allow(clippy::cast_precision_loss, reason = "counts and nanoseconds of one run are far below 2^53")]
pub(crate) const fn float(number: u64) -> f64 {
    number as f64
}

/// The same figure of every round.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rounds(Vec<f64>);

impl Rounds {
    pub(crate) fn push(&mut self, figure: f64) {
        self.0.push(figure);
        self.0.sort_by(f64::total_cmp);
    }

    pub(crate) fn median(&self) -> f64 {
        let half = self.0.len() / 2;
        match self.0.as_slice() {
            [] => f64::NAN,
            sorted if sorted.len() % 2 == 1 => sorted[half],
            sorted => f64::midpoint(sorted[half - 1], sorted[half]),
        }
    }

    /// Each round's figure through another function.
    pub(crate) fn map(&self, change: impl Fn(f64) -> f64) -> Self {
        let mut changed = Self::default();
        self.0.iter().for_each(|figure| changed.push(change(*figure)));
        changed
    }

    /// The median, and in brackets the least and the most, with so many digits.
    pub(crate) const fn show(&self, digits: usize) -> Shown<'_> {
        Shown { rounds: self, digits }
    }
}

/// [`Rounds::show`].
pub(crate) struct Shown<'a> {
    rounds: &'a Rounds,
    digits: usize,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rounds, digits) = (self.rounds, self.digits);
        let (Some(least), Some(most)) = (rounds.0.first(), rounds.0.last()) else {
            return f.write_str("–");
        };
        write!(f, "{:.digits$} ({least:.digits$} to {most:.digits$})", rounds.median())
    }
}

/// Latencies, in microseconds.
#[derive(Debug, Clone)]
pub(crate) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(crate) fn new() -> Self {
        Self(Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("an hour in three digits is allowed"))
    }

    pub(crate) fn record(&mut self, latency: Duration) {
        self.0.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX).max(1));
    }

    /// The latency that this share of the requests did not exceed, in milliseconds.
    pub(crate) fn quantile_ms(&self, quantile: f64) -> f64 {
        float(self.0.value_at_quantile(quantile)) / 1000.0
    }
}
