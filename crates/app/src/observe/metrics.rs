//! Counters, gauges and histograms of whole numbers, by labels. Nothing is a float: money is counted in integers of any size and
//! times in nanoseconds, and only the text that is exported has a decimal point.
//!
//! It is not a library of metrics: it has what the gateway exports, in memory that is bounded by [`Family::MOST_SERIES`].

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

/// What every series of a family has.
pub trait Value: Default + Send + Sync {
    /// What the text format calls it.
    const TYPE: &'static str;
}

/// A number of events.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Value for Counter {
    const TYPE: &'static str = "counter";
}

/// A sum of amounts: 64 bits are not enough for tokens with 18 decimals.
#[derive(Debug, Default)]
pub struct Sum(Mutex<u128>);

impl Sum {
    pub fn add(&self, more: u128) {
        let mut sum = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *sum = sum.saturating_add(more);
    }

    pub fn get(&self) -> u128 {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Value for Sum {
    const TYPE: &'static str = "counter";
}

/// A number of things that are there now.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    pub fn add(&self, more: i64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub fn set(&self, now: i64) {
        self.0.store(now, Ordering::Relaxed);
    }

    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Value for Gauge {
    const TYPE: &'static str = "gauge";
}

/// Upper bounds of the buckets of times: nanoseconds, and how the text writes them in seconds.
pub const BOUNDS: [(u64, &str); 14] = [
    (1_000_000, "0.001"),
    (2_500_000, "0.0025"),
    (5_000_000, "0.005"),
    (10_000_000, "0.01"),
    (25_000_000, "0.025"),
    (50_000_000, "0.05"),
    (100_000_000, "0.1"),
    (250_000_000, "0.25"),
    (500_000_000, "0.5"),
    (1_000_000_000, "1"),
    (2_500_000_000, "2.5"),
    (5_000_000_000, "5"),
    (10_000_000_000, "10"),
    (30_000_000_000, "30"),
];

/// How long something took, in buckets.
#[derive(Debug, Default)]
pub struct Times {
    /// One a bound, and one for what is longer than all. Not cumulative.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_ns: AtomicU64,
}

impl Times {
    pub fn record(&self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|(bound, _)| *bound < ns);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// How many there are in each bucket, and the sum in nanoseconds.
    pub fn read(&self) -> ([u64; BOUNDS.len() + 1], u64) {
        let sum_ns = self.sum_ns.load(Ordering::Relaxed);
        (std::array::from_fn(|at| self.buckets[at].load(Ordering::Relaxed)), sum_ns)
    }
}

impl Value for Times {
    const TYPE: &'static str = "histogram";
}

/// Series of one name, told apart by the values of `N` labels.
pub struct Family<V, const N: usize> {
    pub name: &'static str,
    pub help: &'static str,
    pub labels: [&'static str; N],
    /// By the hash of their labels: looking one up copies nothing.
    series: RwLock<HashMap<u64, Vec<Series<V, N>>>>,
    /// How many there are.
    len: AtomicUsize,
    hasher: RandomState,
}

type Series<V, const N: usize> = (Box<[Box<str>; N]>, Arc<V>);

/// What one series exports.
pub type Snapshot<V, const N: usize> = Vec<([Box<str>; N], Arc<V>)>;

impl<V: Value, const N: usize> Family<V, N> {
    /// The most series of a family; past it, all labels are [`OTHER`](Self::OTHER).
    pub const MOST_SERIES: usize = 20_000;
    /// The value of every label of what has no series of its own.
    pub const OTHER: &'static str = "_other";

    pub fn new(name: &'static str, help: &'static str, labels: [&'static str; N]) -> Self {
        Self {
            name,
            help,
            labels,
            series: RwLock::default(),
            len: AtomicUsize::new(0),
            hasher: RandomState::new(),
        }
    }

    /// The series with these labels; made when it is asked for first.
    pub fn with(&self, labels: [&str; N]) -> Arc<V> {
        let hash = self.hasher.hash_one(labels);
        let all = self.series.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = find(&all, hash, labels) {
            return found;
        }
        drop(all);
        if self.len.load(Ordering::Relaxed) >= Self::MOST_SERIES && labels != [Self::OTHER; N] {
            return self.with([Self::OTHER; N]);
        }
        let mut all = self.series.write().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have been faster.
        if let Some(found) = find(&all, hash, labels) {
            return found;
        }
        self.len.fetch_add(1, Ordering::Relaxed);
        let value = Arc::new(V::default());
        all.entry(hash).or_default().push((Box::new(labels.map(Box::from)), Arc::clone(&value)));
        value
    }

    /// Every series, in the order of its labels.
    pub fn snapshot(&self) -> Snapshot<V, N> {
        let all = self.series.read().unwrap_or_else(PoisonError::into_inner);
        let series = all.values().flatten().map(|(labels, value)| ((**labels).clone(), Arc::clone(value)));
        let mut found: Snapshot<V, N> = series.collect();
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        found
    }
}

fn find<V, const N: usize>(
    all: &HashMap<u64, Vec<Series<V, N>>>,
    hash: u64,
    labels: [&str; N],
) -> Option<Arc<V>> {
    let same = |series: &&Series<V, N>| series.0.iter().zip(labels).all(|(own, asked)| **own == *asked);
    all.get(&hash)?.iter().find(same).map(|(_, value)| Arc::clone(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_fall_into_the_bucket_that_bounds_them() {
        let times = Times::default();
        for ns in [0, 1_000_000, 1_000_001, 30_000_000_000, 30_000_000_001] {
            times.record(Duration::from_nanos(ns));
        }
        let (buckets, sum_ns) = times.read();
        assert_eq!((buckets[0], buckets[1], buckets[13], buckets[14]), (2, 1, 1, 1));
        assert_eq!(sum_ns, 60_002_000_002);
    }

    #[test]
    fn labels_tell_series_apart_and_there_is_an_end_to_them() {
        let family: Family<Counter, 2> = Family::new("n", "h", ["a", "b"]);
        family.with(["x", "yz"]).add(1);
        family.with(["xy", "z"]).add(2);
        family.with(["x", "yz"]).add(4);
        let values: Vec<u64> = family.snapshot().iter().map(|(_, counter)| counter.get()).collect();
        assert_eq!(values, [5, 2]);
        for at in 0..Family::<Counter, 2>::MOST_SERIES + 10 {
            family.with(["many", &at.to_string()]).add(1);
        }
        let all = family.snapshot();
        assert_eq!(all.len(), Family::<Counter, 2>::MOST_SERIES + 1);
        assert_eq!(family.with(["_other", "_other"]).get(), 12);
    }
}
