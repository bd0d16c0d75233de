//! Calls that go well, and what is sent.

use farthing_client::journal::PaymentState;
use farthing_client::{PaymentOutcome, Preference};
use farthing_protocol::{CredentialBuf, CredentialHeader, digest::Sha256Digest};
use serde_json::json;

use crate::payer::{Does, FakePayer, agent, builder, get, post};
use crate::seller::{Seller, ask, challenge, offer, reply, served, shop, terms};

#[tokio::test]
async fn a_free_call_is_passed_through() {
    let seller = Seller::start(|_, _| reply(200, &[], "free")).await;
    let payer = FakePayer::new(Does::Pays);
    let paid = agent(&payer).execute(get(&seller.url("/"))).await.unwrap();
    assert!(paid.payment.is_none());
    assert_eq!(paid.response.text().await.unwrap(), "free");
    assert_eq!(payer.asked(), 0);
}

#[tokio::test]
async fn a_priced_call_is_paid_once_and_served() {
    let seller = Seller::start(shop).await;
    let payer = FakePayer::new(Does::Pays);
    let agent = agent(&payer);
    let paid = agent.execute(get(&seller.url("/report?secret=1"))).await.unwrap();
    let payment = paid.payment.unwrap();
    assert_eq!(payment.outcome, PaymentOutcome::Served);
    assert_eq!(payment.challenge_id, "c0");
    assert_eq!(payment.quote.money.to_string(), "0.01 TestUSD");
    assert_eq!(payment.receipt.unwrap().reference, "0xfeed");
    assert_eq!(paid.response.text().await.unwrap(), "the goods");
    assert_eq!((payer.paid(), seller.seen().len()), (1, 2));

    let record = agent.journal().payment(&payment.id).unwrap().unwrap();
    assert_eq!(record.state, PaymentState::Served);
    assert_eq!(record.reference.as_deref(), Some("0xfeed"));
    assert_eq!(record.agreed.to_string(), "0.01 TestUSD");
    assert!(!record.target.url.contains("secret"), "a query may hold secrets: {}", record.target.url);
    assert!(record.credential.is_none());
}

#[tokio::test]
async fn the_credential_echoes_the_challenge_in_the_header_that_it_names() {
    for header in [CredentialHeader::Authorization, CredentialHeader::PaymentAuthorization] {
        let seller = Seller::start(move |seen, nth| {
            let mut offer = offer("the-id");
            offer.header = header;
            if nth == 0 {
                ask(&[offer])
            } else if seen.credential().is_some() {
                served()
            } else {
                reply(500, &[], "")
            }
        })
        .await;
        let payer = FakePayer::new(Does::Pays);
        let mut request = get(&seller.url("/"));
        if header == CredentialHeader::PaymentAuthorization {
            // A bearer token and a payment travel together.
            request.headers_mut().insert("authorization", "Bearer abc".parse().unwrap());
        }
        agent(&payer).execute(request).await.unwrap();
        let seen = seller.seen();
        let value = seen[1].header(&header.name().to_ascii_lowercase()).unwrap();
        let buffer = CredentialBuf::decode(value).unwrap();
        assert_eq!(buffer.view().unwrap().challenge.id, "the-id");
        if header == CredentialHeader::PaymentAuthorization {
            assert_eq!(seen[1].header("authorization"), Some("Bearer abc"));
        }
    }
}

#[tokio::test]
async fn bodies_are_sent_again_with_the_payment_and_checked_against_the_digest() {
    let seller = Seller::start(|seen, _| {
        let mut offer = offer("c");
        offer.digest = Some(Sha256Digest::of(&seen.body).to_header_value());
        if seen.credential().is_some() { served() } else { ask(&[offer]) }
    })
    .await;
    let payer = FakePayer::new(Does::Pays);
    for body in ["", "question", "{\"a\":1}"] {
        agent(&payer).execute(post(&seller.url("/"), body)).await.unwrap();
    }
    let bodies: Vec<String> =
        seller.seen().iter().map(|seen| String::from_utf8(seen.body.clone()).unwrap()).collect();
    assert_eq!(bodies, ["", "", "question", "question", "{\"a\":1}", "{\"a\":1}"]);
    assert_eq!(payer.paid(), 3);
}

#[tokio::test]
async fn accept_payment_is_sent_only_where_a_payment_could_be_made() {
    let seller = Seller::start(|_, _| reply(200, &[], "")).await;
    let payer = FakePayer::new(Does::Pays);
    let elsewhere = farthing_client::Policy::builder().allow_host("example.com").unwrap().build();
    let mut own = get(&seller.url("/"));
    own.headers_mut().insert("accept-payment", "mine".parse().unwrap());
    let preference = |method: &str| Preference { method: Some(method.to_owned()), network: None };
    let cases = [
        (agent(&payer), get(&seller.url("/")), Some("test/charge")),
        (
            builder(&payer).prefer(preference("test")).build().unwrap(),
            get(&seller.url("/")),
            Some("test/charge"),
        ),
        (
            builder(&payer).prefer(preference("other")).build().unwrap(),
            get(&seller.url("/")),
            Some("test/charge;q=0.5"),
        ),
        (builder(&payer).without_accept_payment().build().unwrap(), get(&seller.url("/")), None),
        (builder(&payer).policy(elsewhere).build().unwrap(), get(&seller.url("/")), None),
        (agent(&payer), own, Some("mine")),
    ];
    for (nth, (agent, request, expected)) in cases.into_iter().enumerate() {
        agent.execute(request).await.unwrap();
        assert_eq!(seller.seen()[nth].header("accept-payment"), expected, "case {nth}");
    }
}

#[tokio::test]
async fn the_offer_to_pay_is_chosen_by_preference_order_and_price() {
    let priced = |id: &str, amount: &str, asset: &str, network: &str| {
        let mut terms = terms();
        terms["amount"] = json!(amount);
        terms["asset"] = json!(asset);
        terms["network"] = json!(network);
        challenge(id, &terms)
    };
    let mut foreign = offer("foreign");
    foreign.method = farthing_protocol::MethodId::new("lightning").unwrap();
    let offers = vec![
        foreign,
        priced("dear", "20000", "TestUSD", "test:1"),
        priced("gold", "1", "GOLD", "test:1"),
        priced("cheap", "10000", "TestUSD", "test:1"),
        priced("other", "5000", "TestUSD", "test:2"),
    ];
    let network = |network: &str| Preference { method: None, network: Some(network.to_owned()) };
    let cases = [
        (Preference::default(), "cheap", "0.01 TestUSD"),
        (network("test:2"), "other", "0.005 TestUSD"),
        (network("test:3"), "cheap", "0.01 TestUSD"),
    ];
    for (preference, id, money) in cases {
        let listed = offers.clone();
        let seller =
            Seller::start(move |seen, _| if seen.credential().is_some() { served() } else { ask(&listed) })
                .await;
        let payer = FakePayer::new(Does::Pays);
        let policy = farthing_client::Policy::builder()
            .dollar_token("test:1", crate::payer::TOKEN)
            .dollar_token("test:2", crate::payer::TOKEN)
            .max_total("1")
            .unwrap()
            .max_total("1 gold")
            .unwrap()
            .build();
        let agent = builder(&payer).policy(policy).prefer(preference).build().unwrap();
        let preview = agent.preview(get(&seller.url("/"))).await.unwrap();
        assert_eq!(preview.offers[preview.chosen.unwrap()].challenge.id, id);
        let payment = agent.execute(get(&seller.url("/"))).await.unwrap().payment.unwrap();
        assert_eq!((payment.challenge_id.as_str(), payment.quote.money.to_string().as_str()), (id, money));
    }
}

#[tokio::test]
async fn a_preview_tells_everything_and_pays_nothing() {
    let seller = Seller::start(|_, _| {
        let mut dear = terms();
        dear["amount"] = json!("2000000");
        let mut foreign = offer("foreign");
        foreign.method = farthing_protocol::MethodId::new("card").unwrap();
        ask(&[foreign, challenge("dear", &dear), offer("fine")])
    })
    .await;
    let payer = FakePayer::new(Does::Pays);
    let agent = agent(&payer);
    let preview = agent.preview(get(&seller.url("/"))).await.unwrap();
    let verdicts: Vec<(&str, &str)> = preview
        .offers
        .iter()
        .map(|offer| (offer.challenge.id.as_str(), offer.verdict.as_ref().err().map_or("ok", |r| r.code)))
        .collect();
    assert_eq!(verdicts, [("foreign", "method_unsupported"), ("dear", "over_spend_limit"), ("fine", "ok")]);
    assert_eq!((preview.status, preview.chosen), (402, Some(2)));
    assert_eq!((payer.asked(), seller.seen().len(), seller.credentials().len()), (0, 1, 0));
    assert!(agent.journal().payments().unwrap().is_empty());
}

#[tokio::test]
async fn a_402_of_another_scheme_is_the_callers_business() {
    let seller =
        Seller::start(|_, _| reply(402, &[("WWW-Authenticate", "Basic realm=\"x\"")], "pay up")).await;
    let payer = FakePayer::new(Does::Pays);
    let paid = agent(&payer).execute(get(&seller.url("/"))).await.unwrap();
    assert_eq!((paid.response.status().as_u16(), paid.payment), (402, None));
    assert_eq!(paid.response.text().await.unwrap(), "pay up");
}
