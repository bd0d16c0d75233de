//! What a seller refuses before it asks any node: the node of these tests does not exist.
#![allow(clippy::unwrap_used, reason = "tests")]

use alloy_primitives::Address;
use farthing_money::{Amount, Asset, AssetKind, Money};
use farthing_protocol::ports::{PayContext, Payer, Price, Timing, Verifier, VerifyError, VerifyRequest};
use farthing_protocol::{Challenge, CredentialBuf, CredentialHeader, Intent, MethodId, PaymentProof, UnixMs};
use serde_json::{Value, json};

use super::TempoCharge;
use crate::tempo::{
    Mode, Modes, PrivateKey, Split, Sponsorship, TempoChargeBuilder, TempoPayer, TempoRpc, did, tokens,
};

const CHAIN: u64 = 42431;
const NOW: u64 = 1_900_000_000;
const R: Address = Address::repeat_byte(1);

fn nowhere() -> TempoRpc {
    TempoRpc::new("http://127.0.0.1:1").unwrap()
}

fn terms() -> TempoChargeBuilder {
    TempoCharge::builder(CHAIN, nowhere(), R, tokens::PATH_USD)
}

fn key() -> PrivateKey {
    PrivateKey::from_bytes(&[7; 32]).unwrap()
}

fn sponsorship() -> Sponsorship {
    Sponsorship::new(CHAIN, key(), Amount::from_base(1_000_000))
}

fn price(base: u128) -> Price {
    let money = Money::new(Amount::from_base(base), tokens::asset(CHAIN, tokens::PATH_USD));
    Price { money, description: Some("a page".into()), external_id: Some("o-1".into()) }
}

fn challenge(seller: &TempoCharge, base: u128) -> Challenge {
    Challenge {
        id: "challenge-123".into(),
        realm: "api.example.com".into(),
        method: MethodId::new("tempo").unwrap(),
        intent: Intent::charge(),
        request: seller.offer(&price(base)).unwrap(),
        description: None,
        expires: Some(UnixMs::from_ms((NOW + 300) * 1000).to_string()),
        digest: None,
        opaque: None,
        header: CredentialHeader::Authorization,
    }
}

async fn verify(
    seller: &TempoCharge,
    challenge: &Challenge,
    payload: &Value,
    source: Option<&str>,
) -> &'static str {
    let payload = serde_json::value::to_raw_value(payload).unwrap();
    let proof = PaymentProof { payload, source: source.map(str::to_owned) };
    let buf = CredentialBuf::decode(&challenge.answer(&proof).unwrap()).unwrap();
    let credential = buf.view().unwrap();
    let (expires, now) = (UnixMs::from_ms((NOW + 300) * 1000), UnixMs::from_ms(NOW * 1000));
    match seller.verify(VerifyRequest { credential: &credential, expires, now, timing: Timing::InTime }).await
    {
        Ok(_) => "ok",
        Err(VerifyError::Rejected(problem)) => problem.code,
        Err(VerifyError::Unavailable { .. }) => "unavailable",
        Err(_) => "other",
    }
}

#[test]
fn offers_say_what_is_asked_and_nothing_else() {
    let split = Split { recipient: Address::repeat_byte(2), amount: Amount::from_base(10), memo: None };
    let cases = [
        (terms(), 1_000, json!({"chainId": CHAIN})),
        (
            terms().modes(Modes::Only(Mode::Push)),
            1_000,
            json!({"chainId": CHAIN, "supportedModes": ["push"]}),
        ),
        (
            terms().sponsor(sponsorship()),
            1_000,
            json!({"chainId": CHAIN, "feePayer": true, "supportedModes": ["pull"]}),
        ),
        (
            terms().splits(vec![split]),
            1_000,
            json!({"chainId": CHAIN, "splits": [{"amount": "10", "recipient": split.recipient.to_string()}]}),
        ),
        // TC6: a proof has nothing to split, to sponsor or to hand over.
        (terms().splits(vec![split]).sponsor(sponsorship()), 0, json!({"chainId": CHAIN})),
    ];
    for (terms, base, details) in cases {
        let offered: Value = terms.build().unwrap().offer(&price(base)).unwrap().decode().unwrap();
        let expected = json!({
            "amount": base.to_string(), "currency": tokens::PATH_USD.to_string(), "recipient": R.to_string(),
            "description": "a page", "externalId": "o-1", "methodDetails": details,
        });
        assert_eq!(offered, expected, "TC2");
    }
}

#[test]
fn terms_that_cannot_be_asked_for_are_refused() {
    let split = |amount| Split { recipient: R, amount: Amount::from_base(amount), memo: None };
    let usd = Asset::new("USD", 6, AssetKind::Fiat).unwrap();
    let cases = [
        ("recipient_zero", TempoCharge::builder(CHAIN, nowhere(), Address::ZERO, tokens::PATH_USD)),
        ("sponsored_push", terms().sponsor(sponsorship()).modes(Modes::Only(Mode::Push))),
        ("asset_mismatch", terms().asset(usd.clone())),
        ("asset_mismatch", terms().asset(tokens::asset(CHAIN, tokens::ALPHA_USD))),
        ("splits_count", terms().splits(vec![split(1); 11])),
        ("split_zero", terms().splits(vec![split(0)])),
    ];
    for (expected, terms) in cases {
        let error = terms.build().unwrap_err();
        assert!(
            matches!(&error, super::OfferError::BadTerms { code, .. } if *code == expected),
            "{expected}: {error}"
        );
    }
    let seller = terms().splits(vec![split(10)]).build().unwrap();
    assert!(seller.offer(&price(11)).is_ok());
    assert!(seller.offer(&price(10)).is_err(), "TC5");
    let dollars = Price { money: Money::new(Amount::from_base(1), usd), ..price(1) };
    assert!(matches!(seller.offer(&dollars), Err(super::OfferError::WrongAsset { .. })));
}

#[tokio::test]
async fn a_payload_must_be_one_that_the_challenge_offers() {
    let both = terms().build().unwrap();
    let push_only = terms().modes(Modes::Only(Mode::Push)).build().unwrap();
    let pull_only = terms().modes(Modes::Only(Mode::Pull)).build().unwrap();
    let sponsored = terms().sponsor(sponsorship()).build().unwrap();
    let hash = json!({"type": "hash", "hash": format!("0x{}", "ab".repeat(32))});
    let transaction = json!({"type": "transaction", "signature": "0x76"});
    let proof = json!({"type": "proof", "signature": "0x01"});
    let cases = [
        ("unavailable", &both, 5, &hash),
        ("transaction_unreadable", &both, 5, &transaction),
        ("proof_and_amount", &both, 5, &proof),
        ("proof_and_amount", &both, 0, &hash),
        ("proof_and_amount", &both, 0, &transaction),
        ("source_missing", &both, 0, &proof),
        ("mode_not_offered", &push_only, 5, &transaction),
        ("mode_not_offered", &pull_only, 5, &hash),
        ("sponsored_push", &sponsored, 5, &hash),
    ];
    for (expected, seller, base, payload) in cases {
        let got = verify(seller, &challenge(seller, base), payload, None).await;
        assert_eq!(got, expected, "TC1, TC2, TC6: {base} {payload}");
    }
    let unknown = json!({"type": "voucher", "signature": "0x01"});
    assert_eq!(verify(&both, &challenge(&both, 5), &unknown, None).await, "payload_unreadable");
}

#[tokio::test]
async fn terms_of_another_seller_are_refused() {
    // The core compares the whole request; the rail still looks where money goes.
    let ours = terms().build().unwrap();
    let others = [
        terms().sponsor(sponsorship()),
        TempoCharge::builder(4217, nowhere(), R, tokens::PATH_USD),
        TempoCharge::builder(CHAIN, nowhere(), Address::repeat_byte(2), tokens::PATH_USD),
    ];
    let hash = json!({"type": "hash", "hash": format!("0x{}", "ab".repeat(32))});
    for other in others {
        let mut foreign = challenge(&ours, 5);
        let theirs = other.build().unwrap();
        let money = Money::new(Amount::from_base(5), theirs.asset().clone());
        foreign.request = theirs.offer(&Price { money, ..price(5) }).unwrap();
        assert_eq!(verify(&ours, &foreign, &hash, None).await, "terms_differ");
    }
}

#[tokio::test]
async fn a_proof_needs_its_account_and_no_node() {
    let seller = terms().build().unwrap();
    let challenge = challenge(&seller, 0);
    let buyer = TempoPayer::builder(key()).chain(CHAIN, nowhere()).build();
    let context = PayContext { cap: price(0).money, now: UnixMs::from_ms(NOW * 1000), witness: None };
    let made = buyer.pay(&challenge, context).await.unwrap();
    let payload: Value = serde_json::from_str(made.payload.get()).unwrap();
    let name = |chain_id, address| did::format(did::Account { chain_id, address });
    let (own, other) = (name(CHAIN, key().address()), name(CHAIN, R));
    let elsewhere = name(4217, key().address());
    let padded = own.replace(":42431:", ":042431:");
    let cases = [
        ("ok", Some(own.as_str())),
        ("source_missing", None),
        ("source_invalid", Some(elsewhere.as_str())),
        ("source_invalid", Some(padded.as_str())),
        ("source_invalid", Some("somebody")),
        // Perhaps an access key of that account's: only the chain knows.
        ("unavailable", Some(other.as_str())),
    ];
    for (expected, source) in cases {
        assert_eq!(verify(&seller, &challenge, &payload, source).await, expected, "TC6: {source:?}");
    }
}

#[tokio::test]
async fn keys_are_the_same_in_every_spelling() {
    let seller = terms().build().unwrap();
    let challenge = challenge(&seller, 5);
    let keys = |payload: Value, source: Option<&str>| {
        let payload = serde_json::value::to_raw_value(&payload).unwrap();
        let proof = PaymentProof { payload, source: source.map(str::to_owned) };
        let buf = CredentialBuf::decode(&challenge.answer(&proof).unwrap()).unwrap();
        seller.keys(&buf.view().unwrap()).unwrap()
    };
    let digits = "aB".repeat(32);
    let hash = |text: &str| keys(json!({"type": "hash", "hash": format!("0x{text}")}), None);
    assert_eq!(hash(&digits), hash(&digits.to_lowercase()), "C21");
    assert_eq!(hash(&digits)[0].0, format!("tempo:{CHAIN}:tx:0x{}", digits.to_lowercase()));
    let own = did::format(did::Account { chain_id: CHAIN, address: key().address() });
    let signature =
        |byte: &str| json!({"type": "proof", "signature": format!("0x{}{byte}", "11".repeat(64))});
    assert_eq!(keys(signature("1b"), Some(&own)), keys(signature("00"), Some(&own.to_lowercase())));
}
