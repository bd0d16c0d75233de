#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::encoding::canonical_json;

fn canonical(text: &str) -> Option<String> {
    canonical_json(&serde_json::from_str::<Value>(text).unwrap()).ok()
}

/// C7: RFC 8785, sections 3.2.2.2 and 3.2.3.
#[test]
fn keys_are_sorted_by_utf16_and_strings_escaped_as_ecmascript_does() {
    let cases = [
        (r#"{ "b" : 1, "a" : [ true , null , false ] }"#, r#"{"a":[true,null,false],"b":1}"#),
        (r#"{"ﬀ":1,"😀":2,"é":3}"#, r#"{"é":3,"😀":2,"ﬀ":1}"#),
        (r#"{"aa":1,"a":2,"":3,"A":4}"#, r#"{"":3,"A":4,"a":2,"aa":1}"#),
        (r#""\u0000\u001f\b\t\n\f\r\"\\\/\u007f€""#, "\"\\u0000\\u001f\\b\\t\\n\\f\\r\\\"\\\\/\u{7f}€\""),
        (r#"{"z":{"y":{"b":1,"a":2}}}"#, r#"{"z":{"y":{"a":2,"b":1}}}"#),
        ("[]", "[]"),
        ("{}", "{}"),
    ];
    for (given, expected) in cases {
        assert_eq!(canonical(given).as_deref(), Some(expected), "{given}");
    }
}

/// C7: RFC 8785, section 3.2.2.3 and appendix B.
#[test]
fn numbers_are_written_as_ecmascript_writes_them() {
    let cases = [
        ("0", "0"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("1.0", "1"),
        ("-17", "-17"),
        ("4217", "4217"),
        ("9007199254740991", "9007199254740991"),
        ("9007199254740992", "9007199254740992"),
        ("1e21", "1e+21"),
        ("1e20", "100000000000000000000"),
        ("123456789012345680000", "123456789012345680000"),
        ("333333333.33333329", "333333333.3333333"),
        ("1E30", "1e+30"),
        ("4.50", "4.5"),
        ("2e-3", "0.002"),
        ("0.000001", "0.000001"),
        ("1e-7", "1e-7"),
        ("1.5e-7", "1.5e-7"),
        ("0.000000000000000000000000001", "1e-27"),
        ("5e-324", "5e-324"),
        ("1.7976931348623157e308", "1.7976931348623157e+308"),
        ("-12.25", "-12.25"),
        ("1e23", "1e+23"),
    ];
    for (given, expected) in cases {
        assert_eq!(canonical(given).as_deref(), Some(expected), "{given}");
    }
}

/// An amount is never rounded in silence.
#[test]
fn integers_that_a_double_cannot_hold_are_refused() {
    for (given, ok) in [
        ("9007199254740993", false),
        ("18446744073709551615", false),
        ("9223372036854775808", false),
        ("8960309678093695000", true),
        ("-9007199254740993", false),
    ] {
        assert_eq!(canonical(given).is_some(), ok, "{given}");
    }
    assert!(canonical_json(&u128::MAX).is_err());
}

proptest! {
    #[test]
    fn canonical_json_says_what_was_given(text in "\\PC*", integer in -9_007_199_254_740_991_i64..=9_007_199_254_740_991, double in any::<f64>()) {
        prop_assume!(double.is_finite());
        let value = json!({ "t": text, "i": integer, "d": double });
        let written = canonical_json(&value).unwrap();
        let read: Value = serde_json::from_str(&written).unwrap();
        prop_assert_eq!(&read["t"], &value["t"]);
        prop_assert_eq!(&read["i"], &value["i"]);
        prop_assert_eq!(read["d"].as_f64().unwrap(), double);
        prop_assert_eq!(canonical_json(&read).unwrap(), written);
    }
}
