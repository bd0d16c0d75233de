#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::Receipt;
use crate::UnixMs;
use crate::encoding::base64url_encode;
use crate::ports::Settled;

fn read(json: &Value) -> Result<Receipt, &'static str> {
    Receipt::parse(&base64url_encode(json.to_string().as_bytes())).map_err(|error| error.code())
}

fn good() -> Value {
    json!({ "status": "success", "method": "tempo", "timestamp": "2026-01-29T12:00:00.123Z", "reference": "0xab" })
}

/// C14: only `success`, and every field of the draft.
#[test]
fn what_is_no_receipt_is_refused() {
    let with = |name: &str, value: Value| {
        let mut receipt = good();
        receipt[name] = value;
        read(&receipt)
    };
    assert!(read(&good()).is_ok());
    assert!(with("anything", json!({ "a": [1] })).is_ok());
    assert!(with("externalId", Value::Null).is_ok());
    for (name, value, code) in [
        ("status", json!("failed"), "bad_status"),
        ("status", json!(""), "missing_parameter"),
        ("status", Value::Null, "missing_parameter"),
        ("method", json!(""), "missing_parameter"),
        ("timestamp", json!("yesterday"), "bad_timestamp"),
        ("timestamp", json!(5), "bad_json"),
        ("reference", json!(""), "missing_parameter"),
        ("externalId", json!(7), "bad_json"),
    ] {
        assert_eq!(with(name, value.clone()).unwrap_err(), code, "{name} = {value}");
    }
    for (text, code) in [
        ("", "bad_json"),
        ("!", "bad_base64"),
        (&base64url_encode(b"[]"), "bad_json"),
        (&base64url_encode(br#"{"status":"success","status":"success"}"#), "bad_json"),
        (&base64url_encode(br#"{"a":1,"a":2}"#), "bad_json"),
        (&"A".repeat(Receipt::MAX_BYTES + 1), "too_long"),
    ] {
        assert_eq!(Receipt::parse(text).unwrap_err().code(), code, "{text:.40}");
    }
}

#[test]
fn receipts_of_settled_payments() {
    let extra = json!({ "chainId": 4217, "method": "not this one" }).as_object().unwrap().clone();
    let settled = Settled {
        reference: "0xab".into(),
        at: UnixMs::from_ms(1_769_688_000_123),
        external_id: Some("order-1".into()),
        extra,
    };
    let value = Receipt::for_settled("tempo", settled).to_header_value().unwrap();
    let json = crate::encoding::base64url_decode(&value, "x").unwrap();
    assert_eq!(
        String::from_utf8(json).unwrap(),
        r#"{"method":"tempo","reference":"0xab","status":"success","timestamp":"2026-01-29T12:00:00.123Z","externalId":"order-1","chainId":4217}"#
    );
    let empty = Receipt { reference: String::new(), ..read(&good()).unwrap() };
    assert_eq!(empty.to_header_value().unwrap_err().code(), "empty_field");
}

fn any_receipt() -> impl Strategy<Value = Receipt> {
    let text = "\\PC{1,30}";
    let extra = prop::collection::btree_map("[a-z]{2,5}X", "\\PC{0,10}", 0..4);
    (text, 0_u64..4_000_000_000_000, text, prop::option::of(text), extra).prop_map(
        |(method, at, reference, external_id, extra)| Receipt {
            method,
            timestamp: UnixMs::from_ms(at).to_string(),
            reference,
            external_id,
            extra: extra.into_iter().map(|(k, v)| (k, Value::String(v))).collect::<Map<_, _>>(),
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(receipt in any_receipt()) {
        prop_assert_eq!(Receipt::parse(&receipt.to_header_value().unwrap()).unwrap(), receipt);
    }

    #[test]
    fn no_input_panics(text in "\\PC*", bytes in any::<Vec<u8>>()) {
        let _ = Receipt::parse(&text);
        let _ = Receipt::parse(&base64url_encode(&bytes));
        let _ = Receipt::parse(&base64url_encode(text.as_bytes()));
    }
}
