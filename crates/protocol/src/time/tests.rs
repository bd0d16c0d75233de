#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::UnixMs;

#[test]
fn rfc_3339_is_read_and_nothing_else() {
    let cases: &[(&str, Option<u64>)] = &[
        ("1970-01-01T00:00:00Z", Some(0)),
        ("2026-01-29T12:00:00Z", Some(1_769_688_000_000)),
        ("2026-01-29T12:00:00.123Z", Some(1_769_688_000_123)),
        ("2026-01-29T12:00:00.123456789Z", Some(1_769_688_000_123)),
        ("2026-01-29T14:00:00+02:00", Some(1_769_688_000_000)),
        ("2026-01-29t12:00:00z", Some(1_769_688_000_000)),
        ("2026-01-29T12:00:00.5-00:30", Some(1_769_689_800_500)),
        ("2026-01-29 12:00:00Z", None),
        ("2026-01-29T12:00:00,5Z", None),
        ("2026-01-29T12:00:00.Z", None),
        ("2026-01-29T12:00:00.1234567890Z", None),
        ("2026-01-29T12:00Z", None),
        ("2026-01-29T12:00:00+0200", None),
        ("2026-01-29T12:00:00+02", None),
        ("2026-01-29T12:00:00Z[UTC]", None),
        ("+002026-01-29T12:00:00Z", None),
        ("2026-02-30T12:00:00Z", None),
        ("2026-01-29", None),
        ("2026-01-29T12:00:00", None),
        ("2026-13-29T12:00:00Z", None),
        ("1969-12-31T23:59:59Z", None),
        ("20260129T120000Z", None),
        ("", None),
        ("tomorrow", None),
    ];
    for (text, expected) in cases {
        assert_eq!(UnixMs::parse(text).ok().map(UnixMs::as_ms), *expected, "{text}");
    }
}

#[test]
fn arithmetic_saturates() {
    assert_eq!(UnixMs::from_ms(u64::MAX).plus_ms(1).as_ms(), u64::MAX);
    assert_eq!(UnixMs::from_ms(5).until_ms(UnixMs::from_ms(3)), 0);
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(ms in 0_u64..253_402_300_799_999) {
        let instant = UnixMs::from_ms(ms);
        prop_assert_eq!(UnixMs::parse(&instant.to_string()).unwrap(), instant);
    }

    #[test]
    fn no_text_panics(text in "\\PC*") {
        let _ = UnixMs::parse(&text);
    }
}
