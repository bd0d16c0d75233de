//! A credential goes to the origin that asked for it: servers say what they received.

use farthing_client::{PaymentOutcome, Redirects};

use crate::payer::{Does, FakePayer, agent, builder, get, post};
use crate::seller::{Seller, ask, offer, reply, shop};

const FOLLOW: Redirects = Redirects::Follow { at_most: 5 };

#[tokio::test]
async fn a_paid_request_never_follows_a_redirect() {
    for status in [301, 302, 303, 307, 308] {
        let elsewhere = Seller::start(|_, _| reply(200, &[], "stolen")).await;
        let target = elsewhere.url("/");
        let seller = Seller::start(move |seen, _| match seen.credential() {
            None => ask(&[offer("c")]),
            Some(_) => reply(status, &[("Location", &target)], ""),
        })
        .await;
        for path in ["/other-origin", "/same"] {
            let payer = FakePayer::new(Does::Pays);
            let agent = builder(&payer).redirects(FOLLOW).build().unwrap();
            let paid = agent.execute(get(&seller.url(path))).await.unwrap();
            assert_eq!(paid.response.status().as_u16(), status);
            assert_eq!(paid.payment.unwrap().outcome, PaymentOutcome::Unconfirmed);
        }
        assert!(elsewhere.seen().is_empty());
        assert_eq!(seller.credentials().len(), 2);
    }
}

#[tokio::test]
async fn redirects_are_not_followed_unless_asked_for() {
    let seller = Seller::start(|_, _| reply(302, &[("Location", "/next")], "")).await;
    let payer = FakePayer::new(Does::Pays);
    let paid = agent(&payer).execute(get(&seller.url("/"))).await.unwrap();
    assert_eq!((paid.response.status().as_u16(), seller.seen().len()), (302, 1));
}

#[tokio::test]
async fn an_unpaid_redirect_is_followed_and_the_final_origin_is_paid() {
    let shop = Seller::start(shop).await;
    let target = shop.url("/goods");
    let front = Seller::start(move |_, _| reply(302, &[("Location", &target)], "")).await;
    let payer = FakePayer::new(Does::Pays);
    let agent = builder(&payer).redirects(FOLLOW).build().unwrap();
    let mut request = get(&front.url("/"));
    for (name, value) in [("cookie", "a=b"), ("x-kept", "yes")] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let paid = agent.execute(request).await.unwrap();
    assert_eq!(paid.response.text().await.unwrap(), "the goods");
    assert_eq!((front.credentials().len(), shop.credentials().len(), payer.paid()), (0, 1, 1));
    for seen in shop.seen() {
        assert_eq!((seen.header("cookie"), seen.header("x-kept")), (None, Some("yes")));
    }
}

#[tokio::test]
async fn secrets_of_the_caller_stay_behind_at_the_border_of_an_origin() {
    let elsewhere = Seller::start(|_, _| reply(200, &[], "")).await;
    let target = elsewhere.url("/");
    let seller = Seller::start(move |seen, _| match seen.path.as_str() {
        "/first" => reply(302, &[("Location", "/second")], ""),
        _ => reply(302, &[("Location", &target)], ""),
    })
    .await;
    let agent = builder(&FakePayer::new(Does::Pays)).redirects(FOLLOW).build().unwrap();
    let mut request = get(&seller.url("/first"));
    for name in ["authorization", "cookie", "proxy-authorization", "payment-authorization"] {
        request.headers_mut().insert(name, "mine".parse().unwrap());
    }
    agent.execute(request).await.unwrap();
    for name in ["authorization", "cookie", "proxy-authorization", "payment-authorization"] {
        let had: Vec<bool> = seller.seen().iter().map(|seen| seen.header(name).is_some()).collect();
        assert_eq!(had, [true, true], "{name} within the origin");
        assert_eq!(elsewhere.seen()[0].header(name), None, "{name} across");
    }
}

#[tokio::test]
async fn methods_and_bodies_change_as_with_curl() {
    // Status, method, and what arrives after the redirect.
    let cases = [
        (301, "POST", "GET", ""),
        (302, "POST", "GET", ""),
        (303, "POST", "GET", ""),
        (307, "POST", "POST", "body"),
        (308, "POST", "POST", "body"),
        (301, "PUT", "PUT", "body"),
        (303, "PUT", "GET", ""),
        (302, "HEAD", "HEAD", ""),
        (303, "HEAD", "HEAD", ""),
    ];
    for (status, before, after, body) in cases {
        let seller = Seller::start(move |seen, _| match seen.path.as_str() {
            "/" => reply(status, &[("Location", "/next")], ""),
            _ => reply(200, &[], ""),
        })
        .await;
        let agent = builder(&FakePayer::new(Does::Pays)).redirects(FOLLOW).build().unwrap();
        let mut request =
            if before == "HEAD" { get(&seller.url("/")) } else { post(&seller.url("/"), "body") };
        *request.method_mut() = before.parse().unwrap();
        request.headers_mut().insert("content-type", "text/plain".parse().unwrap());
        agent.execute(request).await.unwrap();
        let last = &seller.seen()[1];
        assert_eq!(
            (last.method.as_str(), last.body.as_slice()),
            (after, body.as_bytes()),
            "{status} {before}"
        );
        assert_eq!(last.header("content-type").is_some(), before == after, "{status} {before}");
    }
}

#[tokio::test]
async fn redirects_end() {
    let cases = [("/loop", "/loop", 6), ("/bad", "ftp://example.com/", 1), ("/data", "data:,x", 1)];
    for (path, location, requests) in cases {
        let seller = Seller::start(move |_, _| reply(302, &[("Location", location)], "")).await;
        let agent = builder(&FakePayer::new(Does::Pays)).redirects(FOLLOW).build().unwrap();
        let paid = agent.execute(get(&seller.url(path))).await.unwrap();
        assert_eq!((paid.response.status().as_u16(), seller.seen().len()), (302, requests), "{path}");
    }
}
