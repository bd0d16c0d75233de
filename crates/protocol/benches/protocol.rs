//! Every operation of the protocol, with the `mpp` crate's equivalent beside it in the same run.
//!
//! `mpp` is given what favours it: its request is encoded in advance and only cloned.

#![allow(clippy::unwrap_used, missing_docs, reason = "benchmarks")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use farthing_protocol::dialect::mpp::{Issue, OfferTerms, PreparedOffer, scope_is};
use farthing_protocol::{
    Binder, Challenge, CredentialBuf, CredentialHeader, EncodedJson, Intent, MethodId, PaymentProof, Receipt,
    Secret, UnixMs, accept,
};
use mpp::protocol::core as peer;
use serde_json::value::RawValue;
use serde_json::{Value, json};

const SECRET: &str = "a benchmark's secret of thirty-two bytes";
const REALM: &str = "api.example.com";
const SCOPE: &str = "GET /v1/weather/{city}";
const EXPIRES_MS: u64 = 1_769_688_300_000;

fn request() -> Value {
    json!({
        "amount": "1000",
        "currency": "0x20c0000000000000000000006a37DA5C996874BE",
        "methodDetails": { "chainId": 4217 },
        "recipient": "0x742d35Cc6634C0532925a3b844Bc9e7595f8fE00",
    })
}

fn binder() -> Binder {
    Binder::new(Secret::new(SECRET.into()).unwrap(), None)
}

fn offer() -> PreparedOffer {
    PreparedOffer::new(&OfferTerms {
        realm: REALM,
        scope: SCOPE,
        method: &MethodId::new("tempo").unwrap(),
        intent: &Intent::charge(),
        request: &EncodedJson::encode(&request()).unwrap(),
        description: Some("Weather now"),
        header: CredentialHeader::Authorization,
    })
    .unwrap()
}

fn issued() -> String {
    let mut out = String::new();
    let issue = Issue { expires: UnixMs::from_ms(EXPIRES_MS), nonce: 7, digest: None };
    offer().issue(&binder(), &issue, &mut out);
    out
}

/// A credential as a pull payment sends it: about 420 bytes of signed transaction.
fn credential() -> String {
    let payload = json!({ "signature": format!("0x76{}", "a7".repeat(420)), "type": "transaction" });
    let proof = PaymentProof {
        payload: RawValue::from_string(payload.to_string()).unwrap(),
        source: Some("did:pkh:eip155:4217:0x1a642f0e3c3af545e7acbd38b07251b3990914f1".into()),
    };
    Challenge::parse(&issued()).unwrap().answer(&proof).unwrap()
}

fn issue(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("create and format a 402");
    let (offer, binder, mut nonce) = (offer(), binder(), 0_u128);
    let mut out = String::with_capacity(1024);
    group.bench_function("farthing", |bencher| {
        bencher.iter(|| {
            nonce += 1;
            out.clear();
            let issue = Issue { expires: UnixMs::from_ms(EXPIRES_MS), nonce, digest: None };
            black_box(offer.issue(&binder, black_box(&issue), &mut out))
        });
    });
    let encoded = peer::Base64UrlJson::from_value(&request()).unwrap();
    let opaque = peer::Base64UrlJson::from_raw(Challenge::parse(&issued()).unwrap().opaque.unwrap().as_str());
    let create = |expires: &str| {
        peer::PaymentChallenge::with_secret_key_full(
            SECRET,
            REALM,
            "tempo",
            "charge",
            encoded.clone(),
            Some(expires),
            None,
            Some("Weather now"),
            Some(opaque.clone()),
            None,
        )
        .to_header()
        .unwrap()
    };
    group.bench_function("mpp", |bencher| bencher.iter(|| create(&mpp::expires::minutes(5))));
    group.bench_function("mpp with a given expiry", |bencher| {
        bencher.iter(|| create(black_box("2026-01-29T12:05:00.000Z")));
    });
    group.finish();
}

fn check(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode, parse and check a credential");
    let (header, binder) = (credential(), binder());
    group.bench_function("farthing", |bencher| {
        bencher.iter(|| {
            let buffer = CredentialBuf::decode(black_box(&header)).unwrap();
            let credential = buffer.view().unwrap();
            binder.check(&credential.challenge).unwrap();
        });
    });
    group.bench_function("farthing with its scope", |bencher| {
        bencher.iter(|| {
            let buffer = CredentialBuf::decode(black_box(&header)).unwrap();
            let credential = buffer.view().unwrap();
            binder.check(&credential.challenge).unwrap();
            assert!(scope_is(credential.challenge.opaque.as_deref().unwrap(), SCOPE));
        });
    });
    group.bench_function("mpp", |bencher| {
        bencher.iter(|| {
            let credential = peer::parse_authorization(black_box(&header)).unwrap();
            let echo = &credential.challenge;
            let id = peer::compute_challenge_id(
                SECRET,
                &echo.realm,
                echo.method.as_str(),
                echo.intent.as_str(),
                echo.request.raw(),
                echo.expires.as_deref(),
                echo.digest.as_deref(),
                echo.opaque.as_ref().map(peer::Base64UrlJson::raw),
            );
            assert!(id == echo.id);
        });
    });
    group.finish();
}

fn challenges(criterion: &mut Criterion) {
    let header = issued();
    let mut group = criterion.benchmark_group("parse a challenge");
    group
        .bench_function("farthing", |bencher| bencher.iter(|| Challenge::parse(black_box(&header)).unwrap()));
    group.bench_function("mpp", |bencher| {
        bencher.iter(|| peer::parse_www_authenticate(black_box(&header)).unwrap());
    });
    group.finish();

    let list = format!("Bearer realm=\"x\", {header}, {header}");
    let mut group = criterion.benchmark_group("parse a list of two challenges");
    group.bench_function("farthing", |bencher| {
        bencher.iter(|| assert_eq!(Challenge::parse_all([black_box(list.as_bytes())]).len(), 2));
    });
    group.bench_function("mpp", |bencher| {
        bencher.iter(|| assert_eq!(peer::parse_www_authenticate_all([black_box(list.as_str())]).len(), 2));
    });
    group.finish();

    let (ours, theirs) = (Challenge::parse(&header).unwrap(), peer::parse_www_authenticate(&header).unwrap());
    let payload = json!({ "hash": format!("0x{}", "a7".repeat(32)), "type": "hash" });
    let proof = PaymentProof { payload: RawValue::from_string(payload.to_string()).unwrap(), source: None };
    let mut group = criterion.benchmark_group("format a credential");
    group.bench_function("farthing", |bencher| bencher.iter(|| ours.answer(black_box(&proof)).unwrap()));
    group.bench_function("mpp", |bencher| {
        bencher.iter(|| {
            let credential = peer::PaymentCredential::new(theirs.to_echo(), black_box(&payload));
            peer::format_authorization(&credential).unwrap()
        });
    });
    group.finish();
}

fn receipts(criterion: &mut Criterion) {
    let receipt = Receipt {
        method: "tempo".into(),
        timestamp: UnixMs::from_ms(EXPIRES_MS).to_string(),
        reference: format!("0x{}", "a7".repeat(32)),
        external_id: None,
        extra: serde_json::Map::new(),
    };
    let header = receipt.to_header_value().unwrap();
    let theirs = peer::parse_receipt(&header).unwrap();
    let mut group = criterion.benchmark_group("format a receipt");
    group.bench_function("farthing", |bencher| {
        bencher.iter(|| black_box(&receipt).to_header_value().unwrap())
    });
    group.bench_function("mpp", |bencher| bencher.iter(|| peer::format_receipt(black_box(&theirs)).unwrap()));
    group.finish();
    let mut group = criterion.benchmark_group("parse a receipt");
    group.bench_function("farthing", |bencher| bencher.iter(|| Receipt::parse(black_box(&header)).unwrap()));
    group.bench_function("mpp", |bencher| bencher.iter(|| peer::parse_receipt(black_box(&header)).unwrap()));
    group.finish();
}

struct PeerOffer(&'static str, &'static str);

impl peer::accept_payment::HasMethodIntent for PeerOffer {
    fn method(&self) -> &str {
        self.0
    }

    fn intent(&self) -> &str {
        self.1
    }
}

fn ranking(criterion: &mut Criterion) {
    const ACCEPT: &str = "tempo/charge, tempo/session, stripe/charge;q=0.5, solana/*;q=0.3";
    const OFFERS: [(&str, &str); 3] = [("stripe", "charge"), ("tempo", "charge"), ("solana", "charge")];
    let theirs = OFFERS.map(|(method, intent)| PeerOffer(method, intent));
    let mut group = criterion.benchmark_group("rank offers by Accept-Payment");
    group.bench_function("farthing", |bencher| {
        bencher.iter(|| assert_eq!(accept::rank(Some(black_box(ACCEPT)), &OFFERS), [1, 0, 2]));
    });
    group.bench_function("mpp", |bencher| {
        bencher.iter(|| {
            let ranges = peer::accept_payment::parse(black_box(ACCEPT)).unwrap();
            assert_eq!(peer::accept_payment::rank(&theirs, &ranges)[0].0, "tempo");
        });
    });
    group.finish();
}

criterion_group!(benches, issue, check, challenges, receipts, ranking);
criterion_main!(benches);
