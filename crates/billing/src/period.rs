//! [`Period`]: hour, day and month of the calendar, in UTC. It reads no clock and knows no time zone.

use farthing_ledger::Timestamp;
use serde::{Deserialize, Serialize};

/// A stretch of the calendar over which something is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// From full hour to full hour, UTC.
    Hour,
    /// From midnight to midnight, UTC.
    Day,
    /// From the first of a month to the first of the next, midnight UTC.
    Month,
    /// Always.
    Total,
}

/// One period with its borders: `start` belongs to it, `end` is the first instant that does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// Which period it is one of.
    pub period: Period,
    /// Its first instant.
    pub start: Timestamp,
    /// The first instant after it. `None`: it never ends.
    pub end: Option<Timestamp>,
}

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;
/// Days from 1 March of the year 0 to 1 January 1970: years that begin in March end with the day that leaps.
const MARCH_OF_YEAR_0: u64 = 719_468;
const DAYS_OF_400_YEARS: u64 = 146_097;

impl Period {
    /// The window in which `at` falls.
    #[must_use]
    pub fn window(self, at: Timestamp) -> Window {
        let ms = at.unix_ms();
        let (start, end) = match self {
            Self::Hour => (ms - ms % HOUR_MS, Some((ms - ms % HOUR_MS).saturating_add(HOUR_MS))),
            Self::Day => (ms - ms % DAY_MS, Some((ms - ms % DAY_MS).saturating_add(DAY_MS))),
            Self::Month => {
                let month = month_of_day(ms / DAY_MS);
                (first_day(month).saturating_mul(DAY_MS), Some(first_day(month + 1).saturating_mul(DAY_MS)))
            }
            Self::Total => (0, None),
        };
        let at = Timestamp::from_unix_ms;
        Window { period: self, start: at(start), end: end.map(at) }
    }

    /// A number for names that are derived from it. It never changes.
    pub(crate) const fn number(self) -> u128 {
        match self {
            Self::Hour => 1,
            Self::Day => 2,
            Self::Month => 3,
            Self::Total => 4,
        }
    }
}

impl Window {
    /// Whether `at` falls into it.
    #[must_use]
    pub fn contains(&self, at: Timestamp) -> bool {
        self.start <= at && self.end.is_none_or(|end| at < end)
    }

    /// The window right after it. One that never ends is its own successor.
    #[must_use]
    pub fn next(&self) -> Self {
        self.end.map_or(*self, |end| self.period.window(end))
    }
}

/// Months since January of the year 0, for a day since 1 January 1970.
fn month_of_day(day: u64) -> u64 {
    let day = day + MARCH_OF_YEAR_0;
    let (cycle, day) = (day / DAYS_OF_400_YEARS, day % DAYS_OF_400_YEARS);
    // Every 4 years a day is added, every 100 left out, and the last day of the 400 years is added again.
    let year = (day - day / 1_460 + day / 36_524 - day / (DAYS_OF_400_YEARS - 1)) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    // From March on, five months have 153 days.
    let month_from_march = (5 * day_of_year + 2) / 153;
    (cycle * 400 + year) * 12 + 2 + month_from_march
}

/// The first day of a month, in days since 1 January 1970; 0 for what lies before.
fn first_day(month: u64) -> u64 {
    let month = month - 2;
    let (year, month) = (month / 12, month % 12);
    let day_of_year = (153 * month + 2) / 5;
    (365 * year + year / 4 - year / 100 + year / 400 + day_of_year).saturating_sub(MARCH_OF_YEAR_0)
}

#[cfg(test)]
mod tests {
    use super::{DAY_MS, Period, Timestamp};

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_unix_ms(ms)
    }

    /// Counts days one by one through 500 years, as a calendar on a wall does.
    #[test]
    fn months_are_those_of_a_calendar_that_is_counted_through() {
        let (mut day, mut year) = (0_u64, 1970_u64);
        while year < 2470 {
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            for days in [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
                let (start, end) = (at(day * DAY_MS), at((day + days) * DAY_MS));
                for inside in [start, at(start.unix_ms() + 1), at(end.unix_ms() - 1)] {
                    let window = Period::Month.window(inside);
                    assert_eq!((window.start, window.end), (start, Some(end)), "day {day} of {year}");
                }
                day += days;
            }
            year += 1;
        }
    }

    #[test]
    fn windows_meet_without_gap_and_hold_their_instants() {
        for period in [Period::Hour, Period::Day, Period::Month, Period::Total] {
            for ms in [0, 1, 1_709_164_800_000, 1_709_251_199_999, 1_735_689_599_999, 1_735_689_600_000] {
                let window = period.window(at(ms));
                assert!(window.contains(at(ms)), "{period:?} {ms}");
                assert!(window.end.is_none_or(|end| end == window.next().start), "{period:?} {ms}");
                assert_eq!(period.window(window.start), window);
            }
        }
        // 29 February 2024, 00:00:00 UTC, and one millisecond before it ends.
        assert_eq!(Period::Day.window(at(1_709_251_199_999)).start, at(1_709_164_800_000));
        assert_eq!(Period::Hour.window(at(3_599_999)).end, Some(at(3_600_000)));
    }

    #[test]
    fn the_end_of_time_does_not_overflow() {
        for period in [Period::Hour, Period::Day, Period::Month, Period::Total] {
            let window = period.window(at(u64::MAX - 1));
            assert!(window.start <= at(u64::MAX - 1), "{period:?}");
        }
    }
}
