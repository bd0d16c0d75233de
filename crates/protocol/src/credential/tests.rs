#![allow(clippy::unwrap_used, reason = "tests")]

use std::borrow::Cow;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::CredentialBuf;
use crate::encoding::base64url_encode;

fn good() -> Value {
    json!({
        "challenge": { "id": "a", "realm": "shop.example", "method": "tempo", "intent": "charge", "request": "e30" },
        "payload": { "type": "hash" },
    })
}

fn header(json: &str) -> String {
    format!("Payment {}", base64url_encode(json.as_bytes()))
}

fn code(value: &str) -> &'static str {
    match CredentialBuf::decode(value).and_then(|buffer| buffer.view().map(|_| ())) {
        Ok(()) => "ok",
        Err(error) => error.code(),
    }
}

/// Core, section 5.2; C15: one credential, wherever it stands among those of other schemes.
#[test]
fn headers_hold_one_payment_credential() {
    let value = header(&good().to_string());
    let token = value.strip_prefix("Payment ").unwrap();
    let cases: &[(&str, &str)] = &[
        (&value, "ok"),
        (&format!("payment   {token}  "), "ok"),
        (&format!("PAYMENT\t{token}=="), "ok"),
        (&format!("Payment {token}==="), "bad_base64"),
        (&format!("Payment {token} {token}"), "bad_base64"),
        (&format!("Bearer abc, {value}"), "ok"),
        (&format!("{value}, Basic abc=="), "ok"),
        (&format!("Digest user=\"x, Payment y\", {value}"), "ok"),
        (&format!("{value}, {value}"), "several_credentials"),
        ("Payment", "not_payment_scheme"),
        ("Payment ", "not_payment_scheme"),
        (&format!("Payments {token}"), "not_payment_scheme"),
        (token, "not_payment_scheme"),
        ("", "not_payment_scheme"),
        ("Bearer abc", "not_payment_scheme"),
        ("Payment not-valid!!!", "bad_base64"),
        ("Payment W10", "bad_json"),
        (&format!("Payment {}", "A".repeat(CredentialBuf::MAX_BYTES - 8)), "bad_json"),
        (&format!("Payment {}", "A".repeat(CredentialBuf::MAX_BYTES)), "too_long"),
    ];
    for (value, expected) in cases {
        assert_eq!(code(value), *expected, "{value:.60}");
    }
}

/// C4, C12: one row a rule.
#[test]
fn each_broken_rule_has_its_code() {
    let set = |path: &[&str], value: Value| {
        let mut json = good();
        path.iter().fold(&mut json, |at, name| &mut at[*name]).clone_from(&value);
        code(&header(&json.to_string()))
    };
    for (path, value, expected) in [
        (&["extra"][..], json!({ "x": [1] }), "ok"),
        (&["challenge", "extra"], json!(1), "ok"),
        (&["challenge"], Value::Null, "missing_parameter"),
        (&["challenge"], json!([]), "bad_json"),
        (&["payload"], Value::Null, "missing_parameter"),
        (&["payload"], json!("text"), "bad_json"),
        (&["payload"], json!([]), "bad_json"),
        (&["source"], json!("did:x"), "ok"),
        (&["source"], Value::Null, "ok"),
        (&["source"], json!(1), "bad_json"),
        (&["challenge", "id"], json!(""), "missing_parameter"),
        (&["challenge", "id"], json!(5), "bad_json"),
        (&["challenge", "realm"], Value::Null, "missing_parameter"),
        (&["challenge", "method"], json!("TEMPO"), "bad_method"),
        (&["challenge", "intent"], json!("a b"), "bad_intent"),
        (&["challenge", "request"], json!(""), "missing_parameter"),
        (&["challenge", "request"], json!({}), "bad_json"),
        (&["challenge", "header"], json!("Cookie"), "bad_header_name"),
        (&["challenge", "header"], json!("Payment-Authorization"), "ok"),
        (&["challenge", "opaque"], json!(1), "bad_json"),
        (&["challenge", "opaque"], json!({ "a": 1 }), "bad_json"),
        (&["challenge", "opaque"], json!({ "a": "b" }), "ok"),
    ] {
        assert_eq!(set(path, value.clone()), expected, "{path:?} = {value}");
    }
    let twice = good().to_string().replacen("\"id\":", "\"id\":\"x\",\"id\":", 1);
    assert_eq!(code(&header(&twice)), "bad_json");
}

/// C8, WIRE: the old object form of opaque is what its canonical encoding would be.
#[test]
fn opaque_objects_are_encoded_again() {
    let mut json = good();
    json["challenge"]["opaque"] = json!({ "b": "2", "a": "é" });
    let buffer = CredentialBuf::decode(&header(&json.to_string())).unwrap();
    let opaque = buffer.view().unwrap().challenge.opaque.unwrap().into_owned();
    assert_eq!(opaque, base64url_encode("{\"a\":\"é\",\"b\":\"2\"}".as_bytes()));
}

/// DESIGN section 6: nothing is copied that need not be; escapes are undone.
#[test]
fn strings_are_borrowed_unless_escaped() {
    let json = good().to_string().replace("shop.example", "shop\\u002eexample");
    let buffer = CredentialBuf::decode(&header(&json)).unwrap();
    let echo = buffer.view().unwrap().challenge;
    assert!(matches!(echo.id, Cow::Borrowed("a")));
    assert!(matches!(&echo.realm, Cow::Owned(realm) if realm == "shop.example"));
}

/// C19: neither errors nor `Debug` repeat a credential.
#[test]
fn credentials_are_not_shown() {
    let mut json = good();
    json["payload"] = json!("sesame-open");
    json["source"] = json!({ "sesame-open": 1 });
    let buffer = CredentialBuf::decode(&header(&json.to_string())).unwrap();
    assert!(!buffer.view().unwrap_err().to_string().contains("sesame"));
    json["payload"] = json!({ "signature": "sesame-open" });
    json["source"] = json!("sesame-open");
    let buffer = CredentialBuf::decode(&header(&json.to_string())).unwrap();
    assert!(!format!("{buffer:?} {:?}", buffer.view().unwrap()).contains("sesame"));
    for bad in ["Payment sesame-open!", "Payment c2VzYW1lLW9wZW4"] {
        assert!(
            !CredentialBuf::decode(bad)
                .map(|b| b.view().unwrap_err())
                .unwrap_or_else(|e| e)
                .to_string()
                .contains("sesame")
        );
    }
}

proptest! {
    #[test]
    fn no_input_panics(text in "\\PC*", bytes in any::<Vec<u8>>(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        code(&text);
        code(&format!("Payment {text}"));
        code(&format!("Payment {}", base64url_encode(&bytes)));
        let mut damaged = good().to_string().into_bytes();
        let at = at.index(damaged.len());
        damaged[at] = byte;
        code(&format!("Payment {}", base64url_encode(&damaged)));
    }
}
