#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::{Value, json, value::RawValue};

use super::{Issue, OfferTerms, PreparedOffer, scope_is};
use crate::encoding::base64url_encode;
use crate::{
    Binder, Challenge, CredentialBuf, CredentialHeader, EncodedJson, Intent, MethodId, PaymentProof, Secret,
    UnixMs,
};

fn binder() -> Binder {
    Binder::new(Secret::new(vec![7; 32]).unwrap(), None)
}

struct Given<'a> {
    realm: &'a str,
    scope: &'a str,
    description: Option<&'a str>,
    header: CredentialHeader,
}

const GIVEN: Given<'static> = Given {
    realm: "shop.example",
    scope: "GET /paid/*",
    description: None,
    header: CredentialHeader::Authorization,
};

fn prepare(given: &Given<'_>) -> Result<PreparedOffer, &'static str> {
    PreparedOffer::new(&OfferTerms {
        realm: given.realm,
        scope: given.scope,
        method: &MethodId::new("tempo").unwrap(),
        intent: &Intent::charge(),
        request: &EncodedJson::encode(&json!({ "amount": "1000" })).unwrap(),
        description: given.description,
        header: given.header,
    })
    .map_err(|error| error.code())
}

/// DESIGN section 5, Binding: what would blur the slots is refused when an offer is made.
#[test]
fn terms_are_checked_when_an_offer_is_prepared() {
    let long = "x".repeat(PreparedOffer::MAX_SCOPE_BYTES + 1);
    for (given, expected) in [
        (GIVEN, Ok(())),
        (Given { realm: "", ..GIVEN }, Err("empty_field")),
        (Given { realm: "a|b", ..GIVEN }, Err("bad_character")),
        (Given { realm: "a\"b", ..GIVEN }, Err("bad_character")),
        (Given { realm: "a\nb", ..GIVEN }, Err("bad_character")),
        (Given { scope: "", ..GIVEN }, Err("empty_field")),
        (Given { scope: "a|b", ..GIVEN }, Err("bad_character")),
        (Given { scope: &long, ..GIVEN }, Err("too_long")),
        (Given { description: Some("50\u{a0}€ \"now\""), ..GIVEN }, Ok(())),
        (Given { description: Some("a\r\nb"), ..GIVEN }, Err("bad_character")),
    ] {
        assert_eq!(prepare(&given).map(|_| ()), expected, "{:?} {:.20?}", given.realm, given.scope);
    }
}

/// C5, C7: what is issued reads as a Challenge, is bound by its id, and has the nonce and the scope in its opaque slot.
#[test]
fn issued_challenges_are_read_back_and_recognised() {
    for header in [CredentialHeader::Authorization, CredentialHeader::PaymentAuthorization] {
        for digest in [None, Some("sha-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=")] {
            let given = Given { description: Some("a café"), header, ..GIVEN };
            let issue = Issue { expires: UnixMs::from_ms(1_769_688_000_123), nonce: 1, digest };
            let mut out = String::from("kept ");
            let id = prepare(&given).unwrap().issue(&binder(), &issue, &mut out);
            let challenge = Challenge::parse(out.strip_prefix("kept ").unwrap()).unwrap();
            assert_eq!(challenge.to_header_value().unwrap(), out.strip_prefix("kept ").unwrap());
            assert_eq!((challenge.id.as_str(), challenge.header), (id.as_str(), header));
            assert_eq!(challenge.description.as_deref(), Some("a café"));
            assert_eq!(challenge.expires.as_deref(), Some("2026-01-29T12:00:00.123Z"));
            assert_eq!(challenge.digest.as_deref(), digest);
            let opaque = challenge.opaque.as_ref().unwrap();
            let expected =
                json!({ "nonce": base64url_encode(&1_u128.to_be_bytes()), "scope": "GET /paid/*" });
            assert_eq!(opaque, &EncodedJson::encode(&expected).unwrap());
            assert!(scope_is(opaque.as_str(), "GET /paid/*") && !scope_is(opaque.as_str(), "GET /paid"));
            let proof = PaymentProof { payload: RawValue::from_string("{}".into()).unwrap(), source: None };
            let buffer = CredentialBuf::decode(&challenge.answer(&proof).unwrap()).unwrap();
            assert_eq!(binder().check(&buffer.view().unwrap().challenge), Ok(()));
        }
    }
}

#[test]
fn foreign_opaque_values_name_no_scope() {
    let of = |json: Value| base64url_encode(json.to_string().as_bytes());
    for opaque in [
        String::new(),
        "!".to_owned(),
        base64url_encode(b"{"),
        of(json!({})),
        of(json!({ "scope": 1 })),
        of(json!({ "scope": "b" })),
        of(json!(["scope", "a"])),
        base64url_encode(br#"{"scope":"a","scope":"a"}"#),
    ] {
        assert!(!scope_is(&opaque, "a"), "{opaque}");
    }
    assert!(scope_is(&of(json!({ "scope": "a", "more": 1 })), "a"));
}

proptest! {
    /// Two payers are never given one id.
    #[test]
    fn nonces_make_ids_differ(a in any::<u128>(), b in any::<u128>()) {
        let offer = prepare(&GIVEN).unwrap();
        let id = |nonce| offer.issue(&binder(), &Issue { expires: UnixMs::from_ms(5), nonce, digest: None }, &mut String::new());
        prop_assert_eq!(id(a) == id(b), a == b);
    }

    #[test]
    fn any_scope_is_recognised(scope in "[^|\"\\\\\\p{Cc}]{1,40}") {
        let offer = prepare(&Given { scope: &scope, ..GIVEN }).unwrap();
        let mut out = String::new();
        offer.issue(&binder(), &Issue { expires: UnixMs::from_ms(5), nonce: 9, digest: None }, &mut out);
        let opaque = Challenge::parse(&out).unwrap().opaque.unwrap();
        prop_assert!(scope_is(opaque.as_str(), &scope));
    }
}

/// The nonce begins with the store's history; what is not of its form has none.
#[test]
fn the_history_is_read_from_the_nonce() {
    let opaque =
        |nonce: &str| base64url_encode(format!(r#"{{"nonce":"{nonce}","scope":"GET /"}}"#).as_bytes());
    for epoch in [0, 1, 0xdead_beef, u32::MAX] {
        let value = super::nonce(crate::ports::StoreEpoch(epoch), u32::MAX, u64::MAX);
        let read = super::epoch_of(&opaque(&base64url_encode(&value.to_be_bytes())));
        assert_eq!(read, Some(crate::ports::StoreEpoch(epoch)));
    }
    for bad in ["", "AAAA", "AAAAAAAAAAAAAAAAAAAAAAAA", "!!!!!!!!!!!!!!!!!!!!!!"] {
        assert_eq!(super::epoch_of(&opaque(bad)), None, "{bad}");
    }
    assert_eq!(super::epoch_of("e30"), None);
}
