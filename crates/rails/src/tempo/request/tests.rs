#![allow(clippy::unwrap_used, reason = "tests")]

use alloy_primitives::{Address, B256};
use farthing_money::Amount;
use farthing_protocol::EncodedJson;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{ChargeRequest, Fee, Mode, Modes, Split};
use crate::tempo::memo::{self, Named};

const TOKEN: &str = "0x20c0000000000000000000000000000000000000";
const ALICE: &str = "0x742d35Cc6634c0532925a3b844bC9e7595F8fE00";

fn base() -> Value {
    json!({"amount": "1000", "currency": TOKEN, "recipient": ALICE, "methodDetails": {"chainId": 4217}})
}

fn with(path: &str, value: Value) -> Value {
    let mut request = base();
    *request.pointer_mut(path).unwrap() = value;
    request
}

fn with_details(details: Value) -> Value {
    with("/methodDetails", details)
}

fn split(amount: &str) -> Value {
    json!({"amount": amount, "recipient": ALICE})
}

#[test]
fn every_field_is_checked_and_named() {
    let attribution = memo::encode(Named { realm: "r", challenge_id: "c" }, None).to_string();
    let attributed = json!({"amount": "1", "recipient": ALICE, "memo": attribution});
    let eleven: Vec<Value> = (0..11).map(|_| split("1")).collect();
    let mut without_currency = base();
    without_currency.as_object_mut().unwrap().remove("currency");
    let cases = [
        ("ok", base()),
        ("ok", with("/amount", json!("0"))),
        ("ok", with_details(json!(null))),
        ("ok", with_details(json!({"chainId": 4217, "later": {"x": 1}}))),
        ("ok", with_details(json!({"supportedModes": ["pull", "teleport"]}))),
        ("ok", with_details(json!({"splits": [split("999")]}))),
        ("request_unreadable", json!([])),
        ("request_field_missing", without_currency),
        ("request_field_missing", with("/recipient", json!(null))),
        ("request_field_invalid", with("/amount", json!(1000))),
        ("request_field_invalid", with("/amount", json!("-1"))),
        ("request_field_invalid", with("/amount", json!("+1"))),
        ("request_field_invalid", with("/amount", json!("1e3"))),
        ("request_field_invalid", with("/amount", json!("01"))),
        ("request_field_invalid", with("/amount", json!("1.0"))),
        ("request_field_invalid", with("/amount", json!(" 1"))),
        ("request_field_invalid", with("/amount", json!("340282366920938463463374607431768211456"))),
        ("request_field_invalid", with("/currency", json!("USD"))),
        ("request_field_invalid", with("/currency", json!(&TOKEN[2..]))),
        ("request_field_invalid", with("/recipient", json!("0x12"))),
        ("request_field_invalid", with("/methodDetails", json!("x"))),
        ("request_field_invalid", with_details(json!({"chainId": "4217"}))),
        ("request_field_invalid", with_details(json!({"chainId": -1}))),
        ("request_field_invalid", with_details(json!({"chainId": 1.5}))),
        ("request_field_invalid", with_details(json!({"feePayer": "yes"}))),
        ("request_field_invalid", with_details(json!({"supportedModes": []}))),
        ("request_field_invalid", with_details(json!({"supportedModes": ["teleport"]}))),
        ("request_field_invalid", with_details(json!({"supportedModes": "pull"}))),
        ("request_field_invalid", with_details(json!({"splits": {}}))),
        ("request_field_invalid", with_details(json!({"splits": [split("1e1")]}))),
        (
            "request_field_invalid",
            with_details(json!({"splits": [{"amount": "1", "recipient": ALICE, "memo": "0x1"}]})),
        ),
        ("request_field_missing", with_details(json!({"splits": [{"amount": "1"}]}))),
        ("splits_count", with_details(json!({"splits": []}))),
        ("splits_count", with_details(json!({"splits": eleven}))),
        ("split_zero", with_details(json!({"splits": [split("0")]}))),
        ("splits_sum", with_details(json!({"splits": [split("1000")]}))),
        ("splits_sum", with_details(json!({"splits": [split("500"), split("500")]}))),
        ("split_memo_attribution", with_details(json!({"splits": [attributed]}))),
        ("memo_unsupported", with_details(json!({"memo": "0x12"}))),
    ];
    for (expected, request) in cases {
        let got = ChargeRequest::from_json(&request).map_or_else(|error| error.code(), |_| "ok");
        assert_eq!(got, expected, "TC2, TC5, TC10, CH5: {request}");
    }
}

#[test]
fn a_whole_request_reads_as_it_says() {
    let request = json!({
        "amount": "1000", "currency": TOKEN.to_uppercase().replace('X', "x"), "recipient": ALICE.to_lowercase(),
        "description": "a page", "externalId": "o-1",
        "methodDetails": {
            "chainId": 42431, "feePayer": true, "supportedModes": ["pull"],
            "splits": [{"amount": "100", "recipient": ALICE, "memo": format!("0x{}", "AB".repeat(32))}]
        }
    });
    let read = ChargeRequest::from_json(&request).unwrap();
    assert_eq!(read.primary_amount(), Amount::from_base(900));
    assert_eq!((read.fee, read.modes), (Fee::Seller, Modes::Only(Mode::Pull)));
    assert_eq!(read.splits[0].memo, Some(B256::repeat_byte(0xab)));
    assert_eq!((read.description.as_deref(), read.external_id.as_deref()), (Some("a page"), Some("o-1")));
    assert_eq!(read.chain_id, Some(42431));
}

#[test]
fn defaults_are_not_written() {
    let plain = ChargeRequest::from_json(&base()).unwrap();
    let expected = json!({
        "amount": "1000", "currency": plain.currency.to_string(), "recipient": plain.recipient.unwrap().to_string(),
        "methodDetails": {"chainId": 4217}
    });
    assert_eq!(plain.to_json(), expected, "TC2");
}

prop_compose! {
    fn any_request()(
        amount in 100_u128..u128::MAX,
        currency in any::<[u8; 20]>(),
        recipient in any::<[u8; 20]>(),
        chain_id in proptest::option::of(0_u64..1 << 53),
        seller in any::<bool>(),
        modes in 0_usize..3,
        description in proptest::option::of(".{0,20}"),
        splits in proptest::collection::vec((any::<[u8; 20]>(), 1_u128..10, proptest::option::of(any::<[u8; 32]>())), 0..10),
    ) -> ChargeRequest {
        let split = |(recipient, amount, memo): ([u8; 20], u128, Option<[u8; 32]>)| Split {
            recipient: recipient.into(),
            amount: Amount::from_base(amount),
            memo: memo.map(B256::from).filter(|memo| !memo::is_attribution(memo)),
        };
        ChargeRequest {
            amount: Amount::from_base(amount),
            currency: currency.into(),
            recipient: Some(Address::from(recipient)),
            description,
            external_id: None,
            chain_id,
            fee: if seller { Fee::Seller } else { Fee::Payer },
            splits: splits.into_iter().map(split).collect(),
            modes: [Modes::Both, Modes::Only(Mode::Pull), Modes::Only(Mode::Push)][modes],
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_reads_back(request in any_request()) {
        let encoded = EncodedJson::encode(&request.to_json()).unwrap();
        prop_assert_eq!(ChargeRequest::decode(&encoded).unwrap(), request);
    }
}
