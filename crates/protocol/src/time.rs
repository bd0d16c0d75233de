//! Instants as the wire writes them. Nothing here reads a clock.

use std::fmt;

use crate::ParseError;

/// Milliseconds since the Unix epoch, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixMs(u64);

impl UnixMs {
    /// `ms` milliseconds after the epoch.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_ms(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// `ms` later; stays at the last instant when it would not fit.
    #[must_use]
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `self` until `later`; zero when `later` has passed.
    #[must_use]
    pub const fn until_ms(self, later: Self) -> u64 {
        later.0.saturating_sub(self.0)
    }

    /// Reads an RFC 3339 date-time with any offset and any number of fractional digits (rounded down to milliseconds).
    ///
    /// # Errors
    /// [`ParseError::BadTimestamp`] for any other text, and for instants before 1970.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        // RFC 3339 wants every part written out; jiff alone would take more.
        if !is_rfc3339(text.as_bytes()) {
            return Err(ParseError::BadTimestamp);
        }
        let instant: jiff::Timestamp = text.parse().map_err(|_| ParseError::BadTimestamp)?;
        u64::try_from(instant.as_millisecond()).map(Self).map_err(|_| ParseError::BadTimestamp)
    }
}

/// Whether `text` has the shape of an RFC 3339 date-time: `YYYY-MM-DDThh:mm:ss`, a fraction or none, `Z` or an offset.
fn is_rfc3339(text: &[u8]) -> bool {
    let shaped = |text: &[u8], shape: &[u8]| {
        text.len() == shape.len()
            && text.iter().zip(shape).all(|(byte, wanted)| match wanted {
                b'0' => byte.is_ascii_digit(),
                wanted => byte.eq_ignore_ascii_case(wanted),
            })
    };
    let Some((instant, rest)) = text.split_at_checked(19) else { return false };
    let digits =
        rest.strip_prefix(b".").map_or(0, |rest| rest.iter().take_while(|b| b.is_ascii_digit()).count());
    // A point wants digits after it; more than nanoseconds nobody writes.
    let fraction = if rest.starts_with(b".") { 1 + digits } else { 0 };
    let offset = &rest[fraction..];
    let zone = shaped(offset, b"Z")
        || (matches!(offset.first(), Some(b'+' | b'-')) && shaped(&offset[1..], b"00:00"));
    shaped(instant, b"0000-00-00T00:00:00") && fraction != 1 && digits <= 9 && zone
}

impl UnixMs {
    /// Room for the text of any instant: years beyond 9999 take more digits, up to nine.
    pub(crate) const TEXT_LEN: usize = 32;
    /// The shape of the text until the year 9999.
    const USUAL: &[u8] = b"0000-00-00T00:00:00.000Z";

    /// Writes the text of [`Display`](fmt::Display) into `buffer`. By hand, because every challenge has one.
    pub(crate) fn write(self, buffer: &mut [u8; Self::TEXT_LEN]) -> &str {
        let (year, month, day) = civil(self.0 / 86_400_000);
        let ms = self.0 % 86_400_000;
        if year <= 9999 {
            let text = &mut buffer[..Self::USUAL.len()];
            text.copy_from_slice(Self::USUAL);
            text[..4].copy_from_slice(&digits::<4>(year));
            text[5..7].copy_from_slice(&digits::<2>(month));
            text[8..10].copy_from_slice(&digits::<2>(day));
            text[11..13].copy_from_slice(&digits::<2>(ms / 3_600_000));
            text[14..16].copy_from_slice(&digits::<2>(ms / 60_000 % 60));
            text[17..19].copy_from_slice(&digits::<2>(ms / 1000 % 60));
            text[20..23].copy_from_slice(&digits::<3>(ms % 1000));
            return std::str::from_utf8(text).expect("digits and separators are ASCII");
        }
        let fields = [(ms % 1000, 3, b'Z'), (ms / 1000 % 60, 2, b'.'), (ms / 60_000 % 60, 2, b':')];
        let rest = [(ms / 3_600_000, 2, b':'), (day, 2, b'T'), (month, 2, b'-'), (year, 4, b'-')];
        let mut at = Self::TEXT_LEN;
        // From the last field to the first: each is its digits and what stands after them.
        for (mut value, digits, after) in fields.into_iter().chain(rest) {
            at -= 1;
            buffer[at] = after;
            let mut written = 0;
            while written < digits || value > 0 {
                at -= 1;
                buffer[at] = b'0' + u8::try_from(value % 10).expect("a digit");
                value /= 10;
                written += 1;
            }
        }
        std::str::from_utf8(&buffer[at..]).expect("digits and separators are ASCII")
    }
}

impl fmt::Display for UnixMs {
    /// RFC 3339 in UTC with three fractional digits and `Z`: `2026-01-29T12:00:00.000Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.write(&mut [0; Self::TEXT_LEN]))
    }
}

/// The last `N` digits of a number.
fn digits<const N: usize>(mut value: u64) -> [u8; N] {
    let mut digits = [b'0'; N];
    for digit in digits.iter_mut().rev() {
        *digit += u8::try_from(value % 10).expect("a digit");
        value /= 10;
    }
    digits
}

/// The Gregorian date `days` days after 1970-01-01: eras of 400 years, years that begin in March.
const fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = era * 400 + year_of_era + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests;
