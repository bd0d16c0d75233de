#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{EncodedJson, base64url_decode, base64url_encode};
use crate::ParseError;

/// C7: no padding is written; padding and the standard alphabet are read, garbage and stray bits are not.
#[test]
fn base64url_is_strict_but_for_padding_and_alphabet() {
    let cases: &[(&str, Option<&[u8]>)] = &[
        ("", Some(b"")),
        ("YQ", Some(b"a")),
        ("YQ==", Some(b"a")),
        ("YQ=", Some(b"a")),
        ("YQ===", None),
        ("YR", None),
        ("YWJ", None),
        ("Y", None),
        ("=", Some(b"")),
        ("Pj4-Pz8_", Some(b">>>???")),
        ("Pj4+Pz8/", Some(b">>>???")),
        ("Pj4-Pz8/", None),
        ("YW Jj", None),
        ("YW=Jj", None),
        ("not-valid!!!", None),
        ("YWJj\n", None),
        ("ÿÿ", None),
    ];
    for (text, expected) in cases {
        assert_eq!(base64url_decode(text, "x").ok().as_deref(), *expected, "{text}");
    }
}

/// C7, C19: only objects, and errors say where, never what.
#[test]
fn encoded_json_is_an_object_and_is_kept_as_received() {
    let of = |json: &str| EncodedJson::from_wire(base64url_encode(json.as_bytes()), "`request`");
    for json in ["{}", r#"{"b":1,"a":2}"#, r#"{ "a" : {"b":[1]}}"#] {
        let kept = of(json).unwrap();
        assert_eq!(kept.as_str(), base64url_encode(json.as_bytes()));
        assert_eq!(kept.decode::<Value>().unwrap(), serde_json::from_str::<Value>(json).unwrap());
    }
    for json in ["", "[]", "1", "\"secret\"", "null", "{", "{}x", "{\"a\":}", "\u{fffd}"] {
        let error = of(json).unwrap_err();
        assert!(matches!(error, ParseError::BadJson { .. }), "{json}: {error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    assert!(EncodedJson::from_wire(base64url_encode(b"{\"a\":\"\xff\"}"), "x").is_err());
}

#[test]
fn encoding_is_canonical() {
    let encoded = EncodedJson::encode(&json!({ "b": "x", "a": 1 })).unwrap();
    assert_eq!(base64url_decode(encoded.as_str(), "x").unwrap(), br#"{"a":1,"b":"x"}"#);
    assert_eq!(EncodedJson::encode(&u128::MAX).unwrap_err().code(), "not_json");
}

/// C8: opaque data is a flat object of strings.
#[test]
fn opaque_data_is_flat() {
    let of = |json: &str| EncodedJson::strings_from_wire(base64url_encode(json.as_bytes()), "x").is_ok();
    for (json, ok) in [
        ("{}", true),
        (r#"{"a":"b","c":"\u00e9"}"#, true),
        (r#"{"a":1}"#, false),
        (r#"{"a":null}"#, false),
        (r#"{"a":{}}"#, false),
        (r#"["a"]"#, false),
        (r#""a""#, false),
        ("", false),
    ] {
        assert_eq!(of(json), ok, "{json}");
    }
}

proptest! {
    #[test]
    fn bytes_survive(bytes in any::<Vec<u8>>()) {
        prop_assert_eq!(base64url_decode(&base64url_encode(&bytes), "x").unwrap(), bytes);
    }

    #[test]
    fn what_is_decoded_is_the_only_spelling(text in "[A-Za-z0-9_-]{0,40}") {
        if let Ok(bytes) = base64url_decode(&text, "x") {
            prop_assert_eq!(base64url_encode(&bytes), text);
        }
    }

    #[test]
    fn no_text_panics(text in "\\PC*") {
        let _ = base64url_decode(&text, "x");
        let _ = EncodedJson::from_wire(text.clone(), "x");
        let _ = EncodedJson::strings_from_wire(text, "x");
    }
}
