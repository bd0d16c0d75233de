//! [`Rates`]: how many requests a second each key may make. A bucket a key, filled by time, in memory and bounded.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use farthing_ledger::Timestamp;

/// As many buckets are remembered; a key whose bucket is full anyway is forgotten first.
const MOST: usize = 16_384;

/// One thousandth of a request: buckets fill by the millisecond.
const REQUEST: u64 = 1_000;

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: u64,
    at: Timestamp,
}

/// Buckets of requests.
#[derive(Debug)]
pub(crate) struct Rates {
    per_second: u64,
    burst: u64,
    buckets: Mutex<HashMap<u128, Bucket>>,
}

impl Rates {
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let burst = u64::from(burst.max(1)) * REQUEST;
        Self { per_second: u64::from(per_second.max(1)), burst, buckets: Mutex::default() }
    }

    /// Takes a request of `who`; or says in how many seconds there is one.
    pub(crate) fn take(&self, who: u128, now: Timestamp) -> Result<(), u64> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MOST && !buckets.contains_key(&who) {
            buckets.retain(|_, bucket| self.filled(*bucket, now) < self.burst);
            if buckets.len() >= MOST {
                buckets.clear();
            }
        }
        let bucket = buckets.entry(who).or_insert(Bucket { left: self.burst, at: now });
        let left = self.filled(*bucket, now);
        // A clock that went back fills nothing.
        let at = bucket.at.max(now);
        if left < REQUEST {
            *bucket = Bucket { left, at };
            return Err((REQUEST - left).div_ceil(self.per_second * REQUEST).max(1));
        }
        *bucket = Bucket { left: left - REQUEST, at };
        Ok(())
    }

    fn filled(&self, bucket: Bucket, now: Timestamp) -> u64 {
        let passed = now.unix_ms().saturating_sub(bucket.at.unix_ms());
        bucket.left.saturating_add(passed.saturating_mul(self.per_second)).min(self.burst)
    }
}

#[cfg(test)]
mod tests {
    use farthing_ledger::Timestamp;

    use super::Rates;

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let rates = Rates::new(2, 3);
        let at = Timestamp::from_unix_ms;
        let taken = |now| (0..10).filter(|_| rates.take(1, at(now)).is_ok()).count();
        assert_eq!(taken(1_000), 3);
        assert_eq!(rates.take(1, at(1_000)), Err(1));
        rates.take(2, at(1_000)).expect("another key has its own");
        assert_eq!(taken(1_499), 0);
        assert_eq!(taken(1_500), 1);
        assert_eq!(taken(900), 0, "a clock that goes back gives nothing");
        assert_eq!(taken(60_000), 3, "and never more than the burst");
    }
}
