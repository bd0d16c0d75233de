//! Rules about texts that callers give: bounded, printable, and told by the field that breaks them. It knows no document.

use std::collections::BTreeMap;

use farthing_ledger::Timestamp;
use farthing_money::Amount;

use super::ServiceError;
use crate::budget::NO_LIMIT;

/// What a caller keeps with a thing: names and values that mean nothing here.
pub type Metadata = BTreeMap<String, String>;

/// The most entries of [`Metadata`].
const MAX_ENTRIES: usize = 50;
/// The longest name in it, in characters.
const MAX_ENTRY_NAME: usize = 40;
/// The longest value in it, in characters.
const MAX_ENTRY_VALUE: usize = 500;

/// 1 to `most` characters, none of them a control character.
pub(super) fn text(field: &'static str, text: &str, most: usize) -> Result<(), ServiceError> {
    if text.is_empty() {
        return Err(ServiceError::invalid(field, format!("1 to {most} characters")));
    }
    short(field, text, most)
}

/// As [`text`], or empty.
pub(super) fn short(field: &'static str, text: &str, most: usize) -> Result<(), ServiceError> {
    if text.chars().count() > most || text.chars().any(char::is_control) {
        return Err(ServiceError::invalid(
            field,
            format!("at most {most} characters, no control characters"),
        ));
    }
    Ok(())
}

/// As [`text`], or missing.
pub(super) fn maybe(field: &'static str, value: Option<&String>, most: usize) -> Result<(), ServiceError> {
    value.map_or(Ok(()), |value| text(field, value, most))
}

/// At most 50 entries, names of 1 to 40 characters, values of at most 500.
pub(super) fn metadata(metadata: &Metadata) -> Result<(), ServiceError> {
    if metadata.len() > MAX_ENTRIES {
        return Err(ServiceError::invalid("metadata", format!("at most {MAX_ENTRIES} entries")));
    }
    metadata.iter().try_for_each(|(name, value)| {
        text("metadata", name, MAX_ENTRY_NAME)?;
        short("metadata", value, MAX_ENTRY_VALUE)
    })
}

/// An instant that has not come, or none. Check it after the answer that was given before was looked for: then the instant had not
/// come.
pub(super) fn later(field: &'static str, at_ms: Option<u64>, now: Timestamp) -> Result<(), ServiceError> {
    if at_ms.is_some_and(|at| at <= now.unix_ms()) {
        return Err(ServiceError::invalid(field, "later than now"));
    }
    Ok(())
}

/// More than nothing, and not [`large`].
pub(super) fn some(field: &'static str, amount: Amount) -> Result<(), ServiceError> {
    if amount.is_zero() {
        return Err(ServiceError::invalid(field, "more than nothing"));
    }
    large(field, amount)
}

/// Less than 2^96 base units: so that the sums of a wallet fit 128 bits whatever comes into it.
pub(super) fn large(field: &'static str, amount: Amount) -> Result<(), ServiceError> {
    if amount >= NO_LIMIT {
        return Err(ServiceError::invalid(field, "less than 2^96 base units"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{Metadata, maybe, metadata, short, text};

    #[test]
    fn texts_are_bounded_and_printable() {
        for (given, fits, fits_or_empty) in [
            ("a", true, true),
            ("", false, true),
            ("éé", true, true),
            ("ééé", false, false),
            ("\n", false, false),
        ] {
            assert_eq!(text("f", given, 2).is_ok(), fits, "{given:?}");
            assert_eq!(short("f", given, 2).is_ok(), fits_or_empty, "{given:?}");
            assert_eq!(maybe("f", Some(&given.to_owned()), 2).is_ok(), fits, "{given:?}");
        }
        assert!(maybe("f", None, 2).is_ok());
    }

    #[test]
    fn metadata_is_bounded() {
        let of = |count: usize, name: usize, value: usize| -> Metadata {
            (0..count).map(|n| (format!("{n:0>name$}"), "v".repeat(value))).collect()
        };
        for (count, name, value, fits) in
            [(0, 2, 0, true), (50, 2, 500, true), (51, 2, 0, false), (1, 41, 0, false), (1, 1, 501, false)]
        {
            assert_eq!(metadata(&of(count, name, value)).is_ok(), fits, "{count} {name} {value}");
        }
    }
}
