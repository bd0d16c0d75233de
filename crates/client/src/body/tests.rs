#![allow(clippy::unwrap_used, reason = "tests")]

use farthing_protocol::UnixMs;
use http::header::{HeaderMap, RETRY_AFTER};
use proptest::prelude::*;

use super::{clean, retry_after_s, words_of};

/// 1994-11-06T08:49:37Z.
const THEN: u64 = 784_111_777_000;

#[test]
fn retry_after_is_a_number_or_a_date() {
    let cases = [
        ("0", Some(0)),
        (" 7 ", Some(7)),
        ("4294967295", Some(u32::MAX)),
        ("99999999999999999999", Some(u32::MAX)),
        ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some(0)),
        // Passed already.
        ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
    ];
    for (value, expected) in cases {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, value.parse().unwrap());
        assert_eq!(retry_after_s(&headers, UnixMs::from_ms(THEN)), expected, "{value:?}");
    }
    assert_eq!(retry_after_s(&HeaderMap::new(), UnixMs::from_ms(THEN)), None);
}

#[test]
fn problems_are_read_as_far_as_they_are_shown() {
    let cases = [
        (
            r#"{"type":"https://x/problems/payment-expired","detail":"too late"}"#,
            Some(("payment-expired", "too late")),
        ),
        (r#"{"title":"Too late"}"#, Some(("", "Too late"))),
        (r#"{"type":"a","title":"t","detail":"d","status":402,"more":{}}"#, Some(("a", "d"))),
        (r#"{"type":"a"}"#, None),
        (r#"{"detail":7}"#, None),
        ("[]", None),
        ("", None),
    ];
    for (body, expected) in cases {
        let words = words_of(body.as_bytes(), "Payment secret");
        let got = words.as_ref().map(|words| (words.kind.as_str(), words.detail.as_str()));
        assert_eq!(got, expected, "{body}");
    }
}

#[test]
fn what_hides_text_is_taken_out_before_the_secret_is_looked_for() {
    let token = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for hider in ['\n', '\u{200b}', '\u{202e}', '\u{feff}', '\0'] {
        let split: String = token.chars().flat_map(|c| [c, hider]).collect();
        assert!(clean(&split, &format!("Payment {token}")).starts_with("(not shown"), "{hider:?}");
        assert_eq!(clean(&format!("a{hider}b"), token), "ab");
    }
}

proptest! {
    #[test]
    fn no_long_piece_of_a_credential_comes_through(
        token in "[A-Za-z0-9_-]{48,200}",
        before in "[a-z ]{0,40}",
        from in 0_usize..100,
        length in 47_usize..200,
    ) {
        let from = from.min(token.len() - 48);
        let piece = &token[from..(from + length).min(token.len())];
        let words = clean(&format!("{before}{piece}"), &format!("Payment {token}"));
        prop_assert!(!words.contains(piece));
    }

    #[test]
    fn words_are_short_and_plain(text in "\\PC{0,400}|.{0,400}") {
        let words = clean(&text, "Payment x1y2z3x1y2z3x1y2z3x1y2z3");
        prop_assert!(words.chars().count() <= 301);
        prop_assert!(!words.chars().any(char::is_control));
    }
}
