//! What a buyer declines before it asks any node.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value, reason = "tests")]

use alloy_primitives::Address;
use farthing_money::{Amount, Asset, AssetKind, Money};
use farthing_protocol::ports::{FeeBearer, PayContext, Payer};
use farthing_protocol::{Challenge, CredentialHeader, EncodedJson, Intent, MethodId, UnixMs};
use serde_json::{Value, json};

use super::{PayMode, TempoPayer};
use crate::tempo::{MAINNET, PrivateKey, TempoRpc, tokens};

const NOW: UnixMs = UnixMs::from_ms(1_900_000_000_000);

fn payer(mode: PayMode) -> TempoPayer {
    let rpc = TempoRpc::new("http://127.0.0.1:1").unwrap();
    let key = PrivateKey::from_bytes(&[7; 32]).unwrap();
    TempoPayer::builder(key).chain(MAINNET, rpc).mode(mode).build()
}

fn challenge(amount: &str, details: Value) -> Challenge {
    let request = json!({
        "amount": amount, "currency": tokens::USDC_E.to_string(), "recipient": Address::repeat_byte(1).to_string(),
        "methodDetails": details,
    });
    Challenge {
        id: "challenge-123".into(),
        realm: "api.example.com".into(),
        method: MethodId::new("tempo").unwrap(),
        intent: Intent::charge(),
        request: EncodedJson::encode(&request).unwrap(),
        description: Some("free of charge, says the seller".into()),
        expires: Some(NOW.plus_ms(300_000).to_string()),
        digest: None,
        opaque: None,
        header: CredentialHeader::Authorization,
    }
}

fn code(challenge: &Challenge) -> &'static str {
    payer(PayMode::PreferPull).quote(challenge).map_or_else(|declined| declined.code, |_| "ok")
}

#[test]
fn modes_follow_the_offer_first_and_the_wish_second() {
    let (pull, push) = (json!(["pull"]), json!(["push"]));
    let cases = [
        (PayMode::PreferPull, json!({"chainId": 4217}), "pull", FeeBearer::Payer),
        (PayMode::PreferPush, json!({"chainId": 4217}), "push", FeeBearer::Payer),
        (PayMode::PreferPush, json!({"chainId": 4217, "supportedModes": pull}), "pull", FeeBearer::Payer),
        (PayMode::PreferPull, json!({"chainId": 4217, "supportedModes": push}), "push", FeeBearer::Payer),
        (PayMode::PreferPush, json!({"chainId": 4217, "feePayer": true}), "pull", FeeBearer::Seller),
    ];
    for (wish, details, mode, fee) in cases {
        let quote = payer(wish).quote(&challenge("5", details.clone())).unwrap();
        assert_eq!((quote.mode, quote.fee), (mode, fee), "TC1, TC2: {wish:?} {details}");
    }
    let proof = payer(PayMode::PreferPush)
        .quote(&challenge("0", json!({"chainId": 4217, "feePayer": true})))
        .unwrap();
    assert_eq!((proof.mode, proof.fee), ("proof", FeeBearer::Nobody), "TC6");
}

#[test]
fn a_quote_shows_who_gets_what_where() {
    let splits = json!([{"amount": "40", "recipient": Address::repeat_byte(2).to_string()}]);
    let quote = payer(PayMode::PreferPull)
        .quote(&challenge("100", json!({"chainId": 4217, "splits": splits})))
        .unwrap();
    assert_eq!(quote.money.to_string(), "0.0001 USDC.e");
    assert_eq!(quote.recipient, Address::repeat_byte(1).to_string());
    assert_eq!(quote.shares[0].recipient, Address::repeat_byte(2).to_string(), "TC10");
    assert_eq!(quote.shares[0].amount, Amount::from_base(40));
    assert_eq!(quote.network, "eip155:4217");
}

#[test]
fn what_is_not_understood_is_not_paid() {
    let (ok, later) = (challenge("5", json!({"chainId": 4217})), json!({"chainId": 4217, "later": 1}));
    let twice = json!({"chainId": 4217, "splits": [{"amount": "5", "recipient": Address::repeat_byte(2).to_string()}]});
    let cases = [
        ("ok", ok.clone()),
        ("ok", challenge("5", later)),
        ("chain_missing", challenge("5", json!({}))),
        ("chain_not_allowed", challenge("5", json!({"chainId": 42431}))),
        ("memo_unsupported", challenge("5", json!({"chainId": 4217, "memo": "0x01"}))),
        ("splits_sum", challenge("5", twice)),
        (
            "sponsored_push",
            challenge("5", json!({"chainId": 4217, "feePayer": true, "supportedModes": ["push"]})),
        ),
        ("request_field_invalid", challenge("5.0", json!({"chainId": 4217}))),
        ("request_field_invalid", challenge("-5", json!({"chainId": 4217}))),
        ("expires_missing", Challenge { expires: None, ..ok.clone() }),
        ("expires_unreadable", Challenge { expires: Some("soon".into()), ..ok.clone() }),
        ("not_tempo_charge", Challenge { method: MethodId::new("stripe").unwrap(), ..ok.clone() }),
        ("not_tempo_charge", Challenge { intent: Intent::new("session").unwrap(), ..ok }),
    ];
    for (expected, challenge) in cases {
        assert_eq!(code(&challenge), expected, "C25, X3: {:?}", challenge.request.decode::<Value>());
    }
}

#[tokio::test]
async fn the_cap_and_the_expiry_hold_whatever_a_policy_said() {
    let challenge = challenge("5", json!({"chainId": 4217}));
    let asset = tokens::asset(MAINNET, tokens::USDC_E);
    let usd = Asset::new("USD", 6, AssetKind::Fiat).unwrap();
    let cap = |base, asset: &Asset| Money::new(Amount::from_base(base), asset.clone());
    let cases = [
        ("over_cap", cap(4, &asset), NOW),
        ("over_cap", cap(1_000_000, &usd), NOW),
        ("over_cap", cap(1_000_000, &tokens::asset(MAINNET, tokens::PATH_USD)), NOW),
        // C10: refused at the instant itself.
        ("challenge_expired", cap(5, &asset), NOW.plus_ms(300_000)),
        // Everything else is right, and then there is no node.
        ("rpc_unavailable", cap(5, &asset), NOW),
    ];
    for (expected, cap, now) in cases {
        let error = payer(PayMode::PreferPull)
            .pay(&challenge, PayContext { cap, now, witness: None })
            .await
            .unwrap_err();
        assert_eq!(error.code(), expected, "{error}");
    }
}
