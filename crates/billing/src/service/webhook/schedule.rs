//! [`next_ms`]: when a delivery that failed is tried again, and when no more.

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// The delay after the first failure, the second, and so on; the last one goes on until the time is up.
pub const DELAYS_MS: [u64; 14] = [
    5 * SECOND,
    30 * SECOND,
    2 * MINUTE,
    10 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    4 * HOUR,
    8 * HOUR,
    8 * HOUR,
    12 * HOUR,
    12 * HOUR,
    12 * HOUR,
    12 * HOUR,
];

/// How long a delivery is tried, from when it was to be sent.
pub const LONGEST_MS: u64 = 72 * HOUR;

/// How long it is tried at least, from the first attempt: one that waited behind another for three days gets its chance too.
const AT_LEAST_MS: u64 = 15 * MINUTE;

/// The most that an endpoint can ask us to wait.
const LONGEST_WAIT_MS: u64 = 12 * HOUR;

/// What was tried so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tries {
    /// Since when it was to be sent.
    pub queued_ms: u64,
    /// The first attempt.
    pub first_ms: u64,
    /// How many there were, the one that just failed included.
    pub made: u32,
}

/// When a delivery that failed at `now_ms` is tried again: after the delay of the schedule, up to a fifth more or less as `jitter` (a random
/// byte) says, and not before what the endpoint asked for (`Retry-After`). The last attempt is when the time is up; `None` after it.
#[must_use]
pub fn next_ms(tries: Tries, now_ms: u64, retry_after_ms: Option<u64>, jitter: u8) -> Option<u64> {
    let end = (tries.queued_ms + LONGEST_MS).max(tries.first_ms + AT_LEAST_MS);
    let failures = usize::try_from(tries.made.saturating_sub(1)).unwrap_or(usize::MAX);
    let delay = DELAYS_MS[failures.min(DELAYS_MS.len() - 1)];
    let least = delay - delay / 5;
    let jittered = least + (delay / 5 * 2) * u64::from(jitter) / u64::from(u8::MAX);
    let asked = retry_after_ms.unwrap_or(0).min(LONGEST_WAIT_MS);
    (now_ms < end).then(|| (now_ms + jittered.max(asked)).min(end))
}

#[cfg(test)]
mod tests {
    use super::{DELAYS_MS, HOUR, LONGEST_MS, LONGEST_WAIT_MS, MINUTE, Tries, next_ms};

    /// The instants of all attempts of one that always fails, told after `first_ms`.
    fn instants(first_ms: u64, jitter: u8) -> Vec<u64> {
        let mut instants = vec![first_ms];
        let mut tries = Tries { queued_ms: 0, first_ms, made: 1 };
        let mut now = first_ms;
        while let Some(next) = next_ms(tries, now, None, jitter) {
            assert!(next > now, "it goes on");
            now = next;
            tries.made += 1;
            instants.push(now);
        }
        instants
    }

    #[test]
    fn three_days_and_then_no_more_whatever_the_jitter() {
        assert!(DELAYS_MS.is_sorted());
        for jitter in 0..=u8::MAX {
            let instants = instants(0, jitter);
            assert_eq!(instants.last(), Some(&LONGEST_MS), "the last attempt is when the time is up");
            assert!((13..=18).contains(&instants.len()), "{} attempts", instants.len());
            assert!((4_000..=6_000).contains(&instants[1]));
        }
    }

    #[test]
    fn one_that_waited_behind_another_for_days_is_tried_for_a_quarter_of_an_hour() {
        let late = instants(LONGEST_MS + HOUR, 128);
        assert_eq!(late.last(), Some(&(LONGEST_MS + HOUR + 15 * MINUTE)));
        assert!(late.len() >= 5);
    }

    #[test]
    fn an_endpoint_may_ask_for_more_time_and_never_for_less() {
        let tries = Tries { queued_ms: 0, first_ms: 0, made: 1 };
        let next = |asked| next_ms(tries, 0, asked, 0);
        assert_eq!(next(Some(HOUR)), Some(HOUR));
        assert_eq!(next(Some(1)), next(None));
        assert_eq!(next(Some(u64::MAX)), Some(LONGEST_WAIT_MS));
    }
}
