//! The middleware behaves as the agent does.

use async_trait::async_trait;
use farthing_client::{AgentError, Payment, PaymentMiddleware, PaymentOutcome};
use http::Extensions;
use reqwest::{Request, Response};
use reqwest_middleware::{ClientWithMiddleware, Middleware, Next};

use crate::payer::{Does, FakePayer, agent, builder};
use crate::seller::{Seller, ask, offer, reply, served, shop};

fn client(payer: &std::sync::Arc<FakePayer>) -> ClientWithMiddleware {
    PaymentMiddleware::client(agent(payer)).build()
}

fn agent_error(error: &reqwest_middleware::Error) -> &AgentError {
    match error {
        reqwest_middleware::Error::Middleware(inner) => inner.downcast_ref().unwrap(),
        reqwest_middleware::Error::Reqwest(inner) => panic!("not the agent's: {inner}"),
    }
}

#[tokio::test]
async fn a_priced_call_is_paid_and_tells_what_was_paid() {
    let seller = Seller::start(shop).await;
    let payer = FakePayer::new(Does::Pays);
    let response = client(&payer).get(seller.url("/")).send().await.unwrap();
    let payment: Payment = response.extensions().get::<Payment>().unwrap().clone();
    assert_eq!(
        (payment.outcome, payment.quote.money.to_string().as_str()),
        (PaymentOutcome::Served, "0.01 TestUSD")
    );
    assert_eq!(response.text().await.unwrap(), "the goods");
    assert_eq!((payer.paid(), seller.credentials().len()), (1, 1));
}

#[tokio::test]
async fn refusals_come_as_agent_errors() {
    let seller = Seller::start(shop).await;
    let payer = FakePayer::new(Does::Pays);
    let agent = builder(&payer).policy(farthing_client::Policy::default()).build().unwrap();
    let error = PaymentMiddleware::client(agent).build().get(seller.url("/")).send().await.unwrap_err();
    assert_eq!(agent_error(&error).code(), "asset_without_limit");
    assert_eq!(payer.asked(), 0);
}

#[tokio::test]
async fn a_credential_never_follows_a_redirect() {
    let elsewhere = Seller::start(|_, _| reply(200, &[], "stolen")).await;
    let target = elsewhere.url("/");
    let seller = Seller::start(move |seen, _| match seen.credential() {
        None => ask(&[offer("c")]),
        Some(_) => reply(307, &[("Location", &target)], ""),
    })
    .await;
    let payer = FakePayer::new(Does::Pays);
    // However the HTTP client was configured.
    let agent =
        builder(&payer).http(|http| http.redirect(reqwest::redirect::Policy::limited(10))).build().unwrap();
    let response = PaymentMiddleware::client(agent).build().get(seller.url("/")).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 307);
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn a_retrying_middleware_outside_never_makes_one_request_pay_twice() {
    let seller = Seller::start(|seen, _| match seen.credential() {
        None => ask(&[offer("c")]),
        Some(_) => reply(500, &[], ""),
    })
    .await;
    let payer = FakePayer::new(Does::Pays);
    let client = client(&payer);
    // What retrying middleware does: one logical request, one set of extensions, several runs.
    let mut extensions = Extensions::new();
    let mut send = async || {
        let request = client.post(seller.url("/")).build().unwrap();
        client.execute_with_extensions(request, &mut extensions).await
    };
    assert_eq!(send().await.unwrap().status().as_u16(), 500);
    let error = send().await.unwrap_err();
    assert_eq!(agent_error(&error).code(), "already_paid");
    assert_eq!(payer.paid(), 1);
}

#[tokio::test]
async fn inner_middleware_runs_for_each_sending() {
    let seller = Seller::start(|seen, _| {
        assert_eq!(seen.header("x-traced"), Some("yes"));
        if seen.credential().is_some() { served() } else { ask(&[offer("c")]) }
    })
    .await;
    let payer = FakePayer::new(Does::Pays);
    let client = PaymentMiddleware::client(agent(&payer)).with(Traced).build();
    client.get(seller.url("/")).send().await.unwrap();
    assert_eq!(seller.seen().len(), 2);
}

struct Traced;

#[async_trait]
impl Middleware for Traced {
    async fn handle(
        &self,
        mut request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> reqwest_middleware::Result<Response> {
        request.headers_mut().insert("x-traced", "yes".parse().unwrap());
        next.run(request, extensions).await
    }
}
