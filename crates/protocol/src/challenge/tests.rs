#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::{json, value::RawValue};

use super::{Challenge, CredentialHeader};
use crate::{CredentialBuf, EncodedJson, Intent, MethodId, PaymentProof};

const GOOD: &str = r#"Payment id="a", realm="shop.example", method="tempo", intent="charge", request="e30""#;

fn code(value: &str) -> String {
    match Challenge::parse(value) {
        Ok(challenge) => format!("ok {}", challenge.id),
        Err(error) => error.code().to_owned(),
    }
}

/// C4, C12, C13 and core, section 5.1: one row a rule.
#[test]
fn each_broken_rule_has_its_code() {
    let long = |n: usize| format!("{GOOD}, x=\"{}\"", "y".repeat(n));
    let request = |n: usize| GOOD.replace("e30", &"A".repeat(n));
    let cases: &[(&str, &str)] = &[
        (GOOD, "ok a"),
        ("", "not_payment_scheme"),
        ("Payment", "not_payment_scheme"),
        ("Payment ", "missing_parameter"),
        (&GOOD.replace("Payment ", "Payment, "), "not_payment_scheme"),
        ("Payments id=\"a\"", "not_payment_scheme"),
        ("Bearer x, Payment id=\"a\"", "not_payment_scheme"),
        ("id=\"a\", realm=\"b\"", "not_payment_scheme"),
        (&GOOD.replace("Payment", "pAYMENT"), "ok a"),
        (&GOOD.replace("id=", "ID="), "ok a"),
        (&GOOD.replace("\"e30\"", "e30="), "ok a"),
        (&GOOD.replace("\"a\"", "\"\""), "missing_parameter"),
        (&GOOD.replace("id=\"a\", ", ""), "missing_parameter"),
        (&GOOD.replace("shop.example", ""), "missing_parameter"),
        (&GOOD.replace("realm=", "realms="), "missing_parameter"),
        (&GOOD.replace("method=", "methods="), "missing_parameter"),
        (&GOOD.replace("intent=", "intents="), "missing_parameter"),
        (&GOOD.replace("request=", "requests="), "missing_parameter"),
        (&GOOD.replace("tempo", "Tempo"), "bad_method"),
        (&GOOD.replace("tempo", "9tempo"), "bad_method"),
        (&GOOD.replace("tempo", "a:b_c-9"), "ok a"),
        (&GOOD.replace("charge", "char ge"), "bad_intent"),
        (&GOOD.replace("charge", "Pay_it-2"), "ok a"),
        (&GOOD.replace("e30", "e3!"), "bad_base64"),
        (&GOOD.replace("e30", "W10"), "bad_json"),
        (&format!("{GOOD}, foo=\"bar\", baz=qux"), "ok a"),
        (&format!("{GOOD}, foo=1, Foo=2"), "bad_syntax"),
        (&format!("{GOOD}, ID=\"b\""), "duplicate_parameter"),
        (&format!("{GOOD}, description=\"unclosed"), "bad_syntax"),
        (&format!("{GOOD}, description=\"a\\u000ab\""), "bad_syntax"),
        (&format!("{GOOD}, expires=\"soon\""), "bad_timestamp"),
        (&format!("{GOOD}, digest=\"md5=abc\""), "bad_digest"),
        (&format!("{GOOD}, header=\"Payment-Authorization\""), "ok a"),
        (&format!("{GOOD}, header=\"payment-authorization\""), "bad_header_name"),
        (&format!("{GOOD}, header=\"authorization\""), "ok a"),
        (&format!("{GOOD}, header=\"Cookie\""), "bad_header_name"),
        (&format!("{GOOD}, opaque=\"trace-123\""), "bad_base64"),
        (&format!("{GOOD}, opaque=\"eyJhIjoxfQ\""), "bad_json"),
        (&format!("{GOOD}, opaque=\"eyJhIjoiYiJ9\""), "ok a"),
        (&format!("{GOOD}, Payment id=\"b\""), "ok a"),
        (&format!("{GOOD} Bearer x"), "ok a"),
        (&request(Challenge::MAX_REQUEST_BYTES), "bad_json"),
        (&request(Challenge::MAX_REQUEST_BYTES + 1), "too_long"),
        (&long(Challenge::MAX_BYTES - 200), "ok a"),
        (&long(Challenge::MAX_BYTES), "too_long"),
    ];
    for (value, expected) in cases {
        assert_eq!(code(value), *expected, "{value:.120}");
    }
}

/// Core, section 5.1, WIRE: several challenges a value, several values, other schemes between, Latin-1.
#[test]
fn lists_are_read_one_by_one() {
    let read = |values: &[&[u8]]| -> Vec<String> {
        Challenge::parse_all(values.iter().copied())
            .into_iter()
            .map(|result| result.map_or_else(|error| error.code().to_owned(), |c| c.id))
            .collect()
    };
    let second = GOOD.replace("\"a\"", "\"b\"");
    let broken = GOOD.replace("method=", "methods=");
    let cases: &[(String, &[&str])] = &[
        (format!("{GOOD}, {second}"), &["a", "b"]),
        (format!("Bearer realm=\"x, Payment id=9\", {GOOD}, Basic realm=\"y\", {second}"), &["a", "b"]),
        (format!("Negotiate YWJj==, {GOOD}"), &["a"]),
        (format!("{broken}, {second}"), &["missing_parameter", "b"]),
        (format!("{GOOD}, @=1, {second}"), &["bad_syntax", "b"]),
        (format!("Bearer =1, {second}"), &["b"]),
        (format!("{GOOD}, description=\"Say \"Payment\" twice\", {second}"), &["a", "b"]),
        (format!("{second}, {GOOD}, x=\"open, Payment id=c"), &["b", "bad_syntax"]),
        (format!("{second}, Bearer x=\"open, Payment id=c"), &["b"]),
        ("Payment , Payment, ".to_owned(), &["missing_parameter"]),
        (String::new(), &[]),
    ];
    for (value, expected) in cases {
        assert_eq!(read(&[value.as_bytes()]), *expected, "{value}");
    }
    assert_eq!(read(&[second.as_bytes(), b"Bearer", GOOD.as_bytes()]), ["b", "a"]);
    let mut latin = GOOD.as_bytes().to_vec();
    latin.extend_from_slice(b", description=\"caf\xe9 \\u20ac\"");
    let read = Challenge::parse_all([latin.as_slice()]).remove(0).unwrap();
    assert_eq!(read.description.as_deref(), Some("café €"));
}

/// Parsers take linear time (issue 2): a long value of any shape is read once.
#[test]
fn hostile_values_are_read_to_the_end() {
    for unit in ["\\", "\"", "a=", ",", " ", "a ", "Payment ", "Payment,", "a=\"\",", "\\u", "=", "x=y "] {
        let value = format!("Payment {}", unit.repeat(200_000 / unit.len()));
        let _ = Challenge::parse(&value);
        let _ = Challenge::parse_all([value.as_bytes()]);
    }
    let many: String = (0..20_000).map(|n| format!(", p{n}=1")).collect();
    assert_eq!(code(&format!("{GOOD}{many}")), "too_long");
    let some: String = (0..5_000).map(|n| format!(", p{n}=1")).collect();
    assert_eq!(code(&format!("{GOOD}{some}")), "ok a");
    let deep = "[".repeat(9000);
    let nested = crate::encoding::base64url_encode(format!("{{\"a\":{deep}").as_bytes());
    assert_eq!(code(&GOOD.replace("e30", &nested)), "bad_json");
}

#[test]
fn what_cannot_be_written_is_refused() {
    let good = Challenge::parse(GOOD).unwrap();
    let cases = [
        (Challenge { id: String::new(), ..good.clone() }, "empty_field"),
        (Challenge { realm: String::new(), ..good.clone() }, "empty_field"),
        (Challenge { id: "a\r\nb".into(), ..good.clone() }, "bad_character"),
        (Challenge { description: Some("a\nb".into()), ..good.clone() }, "bad_character"),
    ];
    for (challenge, code) in cases {
        assert_eq!(challenge.to_header_value().unwrap_err().code(), code);
    }
    assert_eq!(good.to_header_value().unwrap(), GOOD);
}

/// C8: what is echoed is what was received, to the byte.
#[test]
fn an_answer_echoes_every_parameter() {
    let value = format!(
        "{GOOD}, description=\"d\\u00e9\", digest=\"sha-256=abc\", expires=\"2030-01-01T00:00:00Z\", \
         header=\"Payment-Authorization\", opaque=\"eyAiYSI6ImIifQ\""
    );
    let challenge = Challenge::parse(&value).unwrap();
    let payload = RawValue::from_string(json!({ "type": "hash" }).to_string()).unwrap();
    let proof = PaymentProof { payload, source: Some("did:pkh:eip155:1:0xab".into()) };
    let buffer = CredentialBuf::decode(&challenge.answer(&proof).unwrap()).unwrap();
    let credential = buffer.view().unwrap();
    let echo = &credential.challenge;
    assert_eq!((&*echo.id, &*echo.realm, &*echo.method), ("a", "shop.example", "tempo"));
    assert_eq!((&*echo.intent, &*echo.request), ("charge", "e30"));
    assert_eq!(echo.description.as_deref(), Some("dé"));
    assert_eq!(echo.digest.as_deref(), Some("sha-256=abc"));
    assert_eq!(echo.expires.as_deref(), Some("2030-01-01T00:00:00Z"));
    assert_eq!(echo.opaque.as_deref(), Some("eyAiYSI6ImIifQ"));
    assert_eq!(echo.header, CredentialHeader::PaymentAuthorization);
    assert_eq!(credential.payload.get(), r#"{"type":"hash"}"#);
    assert_eq!(credential.source.as_deref(), Some("did:pkh:eip155:1:0xab"));
}

fn any_challenge() -> impl Strategy<Value = Challenge> {
    let text = "[^\\x00-\\x08\\x0a-\\x1f\\x7f-\\u{9f}]{1,30}";
    let bound = (text, text, "[a-z][a-z0-9:_-]{0,10}", "[A-Za-z0-9_-]{1,10}");
    let free = (
        prop::option::of("[^\\x00-\\x08\\x0a-\\x1f\\x7f-\\u{9f}]{0,30}"),
        prop::option::of(0_u64..4_000_000_000_000),
        prop::option::of("sha-256=[A-Za-z0-9+/]{43}="),
        prop::option::of(prop::collection::btree_map("\\PC{0,10}", "\\PC{0,10}", 0..4)),
        any::<bool>(),
    );
    (bound, free, "\\PC{0,20}").prop_map(|((id, realm, method, intent), free, request)| {
        let (description, expires, digest, opaque, other_header) = free;
        Challenge {
            id,
            realm,
            method: MethodId::new(&method).unwrap(),
            intent: Intent::new(&intent).unwrap(),
            request: EncodedJson::encode(&json!({ "r": request })).unwrap(),
            description,
            expires: expires.map(|ms| crate::UnixMs::from_ms(ms).to_string()),
            digest,
            opaque: opaque.map(|map| EncodedJson::encode(&map).unwrap()),
            header: if other_header {
                CredentialHeader::PaymentAuthorization
            } else {
                CredentialHeader::Authorization
            },
        }
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(challenge in any_challenge(), other in any_challenge()) {
        let value = challenge.to_header_value().unwrap();
        prop_assert_eq!(&Challenge::parse(&value).unwrap(), &challenge);
        let list = format!("Bearer x, {value}, Basic realm=\"y\", {}", other.to_header_value().unwrap());
        let read: Vec<_> = Challenge::parse_all([list.as_bytes()]).into_iter().map(Result::unwrap).collect();
        prop_assert_eq!(read, vec![challenge, other]);
    }

    #[test]
    fn no_input_panics(text in "\\PC*", bytes in any::<Vec<u8>>(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let _ = Challenge::parse(&text);
        let _ = Challenge::parse_all([bytes.as_slice(), text.as_bytes()]);
        let mut damaged = GOOD.as_bytes().to_vec();
        damaged[at.index(GOOD.len())] = byte;
        let _ = Challenge::parse_all([damaged.as_slice()]);
    }
}
