#![allow(clippy::unwrap_used, reason = "tests")]

use std::borrow::Cow;

use proptest::prelude::*;

use super::{Lexer, Piece, latin1, write_param};

fn pieces(text: &str) -> Vec<String> {
    let mut lexer = Lexer::new(text);
    let mut found = Vec::new();
    loop {
        found.push(match lexer.next() {
            Ok(None) => return found,
            Ok(Some(Piece::Scheme(scheme))) => scheme.to_owned(),
            Ok(Some(Piece::Param { name, value, .. })) => format!("{name}={value}"),
            Ok(Some(Piece::Other)) => "?".to_owned(),
            Err(error) => format!("! {error}"),
        });
    }
}

/// RFC 9110, section 11: schemes, parameters, token68, list elements.
#[test]
fn header_values_are_split() {
    let cases: &[(&str, &[&str])] = &[
        ("", &[]),
        (" , ,", &[]),
        ("Payment", &["?"]),
        ("Payment, a=1", &["?", "a=1"]),
        ("Payment ,a=1", &["Payment", "a=1"]),
        ("Payment a=1", &["Payment", "a=1"]),
        ("Payment  a = \"1\" ,b=2 , c= 3", &["Payment", "a=1", "b=2", "c=3"]),
        ("Bearer, Payment a=\"x, Payment b=1\"", &["?", "Payment", "a=x, Payment b=1"]),
        ("Bearer abc, Payment a=1", &["Bearer", "?", "Payment", "a=1"]),
        ("Negotiate YWJj==, Payment a=1", &["Negotiate", "YWJj==", "Payment", "a=1"]),
        ("Basic realm=\"a\\\"b\", Digest x=y", &["Basic", "realm=a\"b", "Digest", "x=y"]),
        // Words that are no list element are no scheme.
        ("a=\"x\" Payment b=1", &["a=x", "?", "b=1"]),
        ("a=\"Pay \"Payment\" b\"", &["a=Pay ", "?", "?"]),
        ("\"Payment a=1\", Payment b=2", &["?", "Payment", "b=2"]),
        ("Payment a=\"open", &["Payment", "! malformed parameter list at byte 10: a closing quote"]),
        ("Payment a=\"open\\\"", &["Payment", "! malformed parameter list at byte 10: a closing quote"]),
        (
            "Payment a=\"x\ry\", b=2",
            &["Payment", "! malformed parameter list at byte 12: no control character", "b=2"],
        ),
        (
            "Payment a=\"x\\u000ay\"",
            &["Payment", "! malformed parameter list at byte 12: no control character"],
        ),
        // ESC, BEL, and the C1 controls, raw and escaped: a terminal would obey them.
        (
            "Payment a=\"x\\u001by\"",
            &["Payment", "! malformed parameter list at byte 12: no control character"],
        ),
        (
            "Payment a=\"x\u{7}y\"",
            &["Payment", "! malformed parameter list at byte 12: no control character"],
        ),
        (
            "Payment a=\"x\\u009by\"",
            &["Payment", "! malformed parameter list at byte 12: no control character"],
        ),
        (
            "Payment a=\"x\u{9b}y\"",
            &["Payment", "! malformed parameter list at byte 12: no control character"],
        ),
        (
            "Payment a=\"x\\\u{80}y\"",
            &["Payment", "! malformed parameter list at byte 12: no control character"],
        ),
        (
            "Payment a=x\u{9f}",
            &["Payment", "! malformed parameter list at byte 11: a token or a quoted string"],
        ),
        ("Payment a=\"\u{a0}\u{ff}\\u202e\"", &["Payment", "a=\u{a0}\u{ff}\u{202e}"]),
        ("Payment a=/b:c==, d=", &["Payment", "a=/b:c==", "d="]),
        (
            "Payment a=b\"c, d=\u{1}",
            &[
                "Payment",
                "! malformed parameter list at byte 11: a token or a quoted string",
                "! malformed parameter list at byte 17: a token or a quoted string",
            ],
        ),
        ("Payment =1", &["Payment=1"]),
        (
            "Payment a=1, =2, b=3",
            &["Payment", "a=1", "! malformed parameter list at byte 13: a parameter name", "b=3"],
        ),
        ("Payment @x=1", &["Payment", "! malformed parameter list at byte 8: a parameter name"]),
        ("Payment a=\"\\u00e9\\u20AC\\ud83d\\ude00\"", &["Payment", "a=é€😀"]),
        ("Payment a=\"\\ud83dx\\ude00\\uzzzz\\u12\"", &["Payment", "a=\u{fffd}x\u{fffd}uzzzzu12"]),
        ("Payment a=\"\\é\\\\u0041\"", &["Payment", "a=é\\u0041"]),
    ];
    for (text, expected) in cases {
        assert_eq!(pieces(text), *expected, "{text}");
    }
}

#[test]
fn latin1_is_read_and_never_written() {
    assert_eq!(latin1(b"caf\xe9"), "café");
    assert_eq!(
        pieces(&latin1(b"Payment a=\"x\x9b31m\"")),
        ["Payment", "! malformed parameter list at byte 12: no control character"]
    );
    assert!(matches!(latin1(b"plain"), Cow::Borrowed("plain")));
    let mut out = String::new();
    assert!(write_param("d", "é \"q\" \\ \t 😀", &mut out));
    assert_eq!(out, "d=\"\\u00e9 \\\"q\\\" \\\\ \t \\ud83d\\ude00\"");
    for control in ["\r", "\n", "\0", "\u{7f}", "a\u{1b}b", "\u{9b}"] {
        assert!(!write_param("d", control, &mut String::new()), "{control:?}");
    }
}

proptest! {
    #[test]
    fn parameters_survive(value in "[^\\x00-\\x08\\x0a-\\x1f\\x7f-\\u{9f}]*") {
        let mut text = String::from("Payment ");
        prop_assert!(write_param("p", &value, &mut text));
        prop_assert!(text.is_ascii());
        prop_assert_eq!(pieces(&text), ["Payment".to_owned(), format!("p={value}")]);
    }

    #[test]
    fn no_input_panics_or_stalls(text in "[ ,=\"\\\\a\\tPayment u0d8\\u{e9}]*", any in "\\PC*") {
        prop_assert!(pieces(&text).len() <= text.len() + 1);
        pieces(&any);
    }
}
