//! What is not paid: one line a rule. No credential is ever sent, and no rail is asked.

use farthing_client::{FailureClass, Policy, PolicyBuilder};
use farthing_protocol::{Challenge, CredentialHeader, MethodId, UnixMs};
use serde_json::json;

use crate::payer::{Does, FakePayer, NOW, TOKEN, agent, builder, get, outcome, policy};
use crate::seller::{Seller, ask, challenge, offer, reply, terms};

fn dollars() -> PolicyBuilder {
    Policy::builder().dollar_token("test:1", TOKEN)
}

/// The code with which an offer is refused, and the message.
async fn refused(policy: Policy, offer: Challenge) -> (String, String) {
    let seller = Seller::start(move |_, _| ask(std::slice::from_ref(&offer))).await;
    let payer = FakePayer::new(Does::Pays);
    let agent = builder(&payer).policy(policy).build().unwrap();
    let preview = agent.preview(get(&seller.url("/"))).await.unwrap();
    let error = agent.execute(get(&seller.url("/"))).await.unwrap_err();
    assert_eq!(error.class(), FailureClass::Refused);
    assert!(!error.may_have_paid() && error.payment().is_none());
    assert_eq!((payer.asked(), seller.credentials().len()), (0, 0), "{error}");
    let foretold = preview.refusal.map(|refusal| refusal.code);
    let foretold = foretold.or(preview.unreadable.map(|_| "unreadable_challenge"));
    assert_eq!(foretold, Some(error.code()), "the dry run says the same");
    assert!(agent.journal().payments().unwrap().is_empty());
    (error.code().to_owned(), error.to_string())
}

fn with(change: impl FnOnce(&mut Challenge)) -> Challenge {
    let mut offer = offer("c");
    change(&mut offer);
    offer
}

fn with_terms(name: &str, value: serde_json::Value) -> Challenge {
    let mut terms = terms();
    terms[name] = value;
    challenge("c", &terms)
}

#[tokio::test]
async fn challenges_that_break_a_rule_are_refused() {
    let cases = [
        ("realm_mismatch", with(|c| c.realm = "api.example.com".into())),
        ("realm_mismatch", with(|c| c.realm = "127.0.0.1:1".into())),
        ("realm_mismatch", with(|c| c.realm = "127.0.0.1.example.com".into())),
        // C10: expired at the instant itself.
        ("challenge_expired", with(|c| c.expires = Some(UnixMs::from_ms(NOW).to_string()))),
        ("unreadable_challenge", with(|c| c.expires = Some("soon".into()))),
        // C9: the digest of another body.
        ("digest_mismatch", with(|c| c.digest = Some("sha-256=AAAA".into()))),
        ("method_unsupported", with(|c| c.method = MethodId::new("stripe").unwrap())),
        ("test_bad_terms", challenge("c", &json!({ "nothing": true }))),
        // TC10.
        ("shares_exceed_amount", with_terms("shares", json!([["0xa", "6000"], ["0xb", "4000"]]))),
        ("asset_without_limit", with_terms("asset", json!("GOLD"))),
        ("over_spend_limit", with_terms("amount", json!("1000001"))),
        ("amount_out_of_range", with_terms("amount", json!(u128::MAX.to_string()))),
    ];
    for (expected, offer) in cases {
        let (code, message) = refused(policy(), offer).await;
        assert_eq!(code, expected, "{message}");
    }
}

#[tokio::test]
async fn policies_refuse_with_what_would_allow_it() {
    let cases = [
        (dollars().build(), "asset_without_limit", "--max-spend 0.01 "),
        (Policy::builder().build(), "asset_without_limit", "--max-spend \"0.01 TestUSD\""),
        (dollars().max_total("1 OtherUSD").unwrap().build(), "asset_without_limit", "--max-spend 0.01 "),
        (dollars().max_per_call("0.009999").unwrap().build(), "over_call_limit", "`limits.call`"),
        (dollars().max_total("0.009999").unwrap().build(), "over_spend_limit", "--max-spend"),
        (dollars().max_per_host("0.009999").unwrap().build(), "over_spend_limit", "`limits.each_host.total`"),
        (dollars().max_total("0").unwrap().build(), "over_spend_limit", "--max-spend"),
        // Every limit that covers the asset applies.
        (
            dollars().max_total("5").unwrap().max_total("0.001 testusd").unwrap().build(),
            "over_spend_limit",
            "0.001",
        ),
        (
            dollars().max_total("5").unwrap().allow_host("example.com").unwrap().build(),
            "host_not_allowed",
            "--allow-host 127.0.0.1",
        ),
        (
            dollars().max_total("5").unwrap().allow_recipient("0xother").build(),
            "recipient_not_allowed",
            "--allow-recipient 0xseller",
        ),
        (
            dollars().max_total("5").unwrap().allow_network("test:2").build(),
            "network_not_allowed",
            "`pay.chains`",
        ),
    ];
    for (policy, expected, hint) in cases {
        let (code, message) = refused(policy, offer("c")).await;
        assert_eq!(code, expected, "{message}");
        assert!(message.contains(hint), "{message:?} does not say {hint:?}");
        assert!(message.ends_with("Nothing was paid"), "{message}");
    }
}

#[tokio::test]
async fn a_share_to_somebody_unknown_is_refused() {
    let policy = dollars().max_total("1").unwrap().allow_recipient("0xSELLER").build();
    let (code, message) = refused(policy, with_terms("shares", json!([["0xstranger", "1"]]))).await;
    assert_eq!(code, "recipient_not_allowed");
    assert!(message.contains("0xstranger"), "{message}");
}

#[tokio::test]
async fn a_policy_can_allow_another_realm() {
    let realm = |c: &mut Challenge| c.realm = "api.example.com".to_owned();
    let seller =
        Seller::start(
            move |seen, _| {
                if seen.credential().is_some() { reply(200, &[], "") } else { ask(&[with(realm)]) }
            },
        )
        .await;
    let policy = dollars().max_total("1").unwrap().allow_realm("api.example.com").build();
    let agent = builder(&FakePayer::new(Does::Pays)).policy(policy).build().unwrap();
    assert_eq!(outcome(&agent.execute(get(&seller.url("/"))).await), "200");
}

#[tokio::test]
async fn realms_are_the_host_or_the_host_with_its_port() {
    for form in ["127.0.0.1", "127.0.0.1:PORT"] {
        let seller = Seller::start(move |seen, _| {
            let host = seen.header("host").unwrap();
            let port = host.rsplit(':').next().unwrap();
            let offer = with(|c| c.realm = form.replace("PORT", port));
            if seen.credential().is_some() { reply(200, &[], "") } else { ask(&[offer]) }
        })
        .await;
        let payer = FakePayer::new(Does::Pays);
        assert_eq!(outcome(&agent(&payer).execute(get(&seller.url("/"))).await), "200", "{form}");
    }
}

#[tokio::test]
async fn a_callers_own_header_is_never_overwritten() {
    let (usual, other) = (CredentialHeader::Authorization, CredentialHeader::PaymentAuthorization);
    let cases = [
        (usual, "authorization", "Bearer mine"),
        (other, "payment-authorization", "mine"),
        // C15: never two credentials.
        (other, "authorization", "payment mine"),
        (usual, "payment-authorization", "Payment mine"),
    ];
    for (header, name, value) in cases {
        let seller = Seller::start(move |_, _| ask(&[with(|c| c.header = header)])).await;
        let payer = FakePayer::new(Does::Pays);
        let mut request = get(&seller.url("/"));
        request.headers_mut().insert(name, value.parse().unwrap());
        let result = agent(&payer).execute(request).await;
        assert_eq!((outcome(&result).as_str(), payer.asked()), ("credential_header_in_use", 0));
    }
}

#[tokio::test]
async fn plaintext_is_for_this_machine_only() {
    // C18. The name resolves to the seller, and is not the loopback's.
    let cases = [
        (policy(), "plaintext_refused"),
        (dollars().max_total("1").unwrap().allow_plaintext().build(), "200"),
    ];
    for (policy, expected) in cases {
        let seller = Seller::start(|seen, _| {
            let offer = with(|c| c.realm = "shop.test".into());
            if seen.credential().is_some() { reply(200, &[], "") } else { ask(&[offer]) }
        })
        .await;
        let payer = FakePayer::new(Does::Pays);
        let address = ([127, 0, 0, 1], seller.port).into();
        let agent =
            builder(&payer).policy(policy).http(|http| http.resolve("shop.test", address)).build().unwrap();
        let result = agent.execute(get(&format!("http://shop.test:{}/", seller.port))).await;
        assert_eq!(outcome(&result), expected);
        assert_eq!(seller.credentials().len(), usize::from(expected == "200"));
    }
}

#[tokio::test]
async fn a_streaming_body_cannot_be_paid_for_and_says_so() {
    let seller =
        Seller::start(|seen, _| if seen.path == "/free" { reply(200, &[], "") } else { ask(&[offer("c")]) })
            .await;
    let payer = FakePayer::new(Does::Pays);
    for (path, expected) in [("/free", "200"), ("/priced", "body_not_replayable")] {
        let mut request = get(&seller.url(path));
        *request.method_mut() = reqwest::Method::POST;
        let chunks = Streamed(vec![b"a".to_vec()]);
        *request.body_mut() = Some(reqwest::Body::wrap(chunks));
        let result = agent(&payer).execute(request).await;
        assert_eq!(outcome(&result), expected);
    }
    assert_eq!(payer.asked(), 0);
}

/// A body of unknown length.
struct Streamed(Vec<Vec<u8>>);

impl http_body::Body for Streamed {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, Self::Error>>> {
        std::task::Poll::Ready(self.0.pop().map(|chunk| Ok(http_body::Frame::data(chunk.into()))))
    }
}

#[tokio::test]
async fn requests_that_cannot_be_sent_are_usage_errors() {
    let payer = FakePayer::new(Does::Pays);
    for (url, expected) in [
        ("ftp://example.com/", "bad_scheme"),
        ("https://user:secret@example.com/", "url_with_credentials"),
        ("data:text/plain,x", "bad_scheme"),
    ] {
        let error = agent(&payer).execute(get(url)).await.unwrap_err();
        assert_eq!((error.code(), error.class()), (expected, FailureClass::Usage));
        assert!(!error.to_string().contains("secret"));
    }
}

#[tokio::test]
async fn challenges_that_cannot_be_read_are_refused() {
    let seller =
        Seller::start(|_, _| reply(402, &[("WWW-Authenticate", "Payment id=\"\", realm=\"x\"")], "")).await;
    let payer = FakePayer::new(Does::Pays);
    let error = agent(&payer).execute(get(&seller.url("/"))).await.unwrap_err();
    assert_eq!((error.code(), error.class()), ("unreadable_challenge", FailureClass::Refused));
    assert!(agent(&payer).preview(get(&seller.url("/"))).await.unwrap().unreadable.is_some());
}
