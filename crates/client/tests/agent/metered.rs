//! Vendors that ask for no payments: called with a key of their own, held at the most and captured at what it cost.

use std::num::NonZeroU64;
use std::sync::Arc;

use farthing_client::journal::PaymentState;
use farthing_client::metered::{CostRule, Counted, MeteredVendor};
use farthing_client::policy::HostPattern;
use farthing_client::{Agent, Policy};
use farthing_money::{Amount, Asset, AssetKind, Money};
use http::header::{HeaderName, HeaderValue};

use crate::payer::{Does, FakePayer, TOKEN, builder, get, outcome};
use crate::seller::{Reply, Seller, reply};
use crate::wallet::{Told, Wallet};

const KEY: &str = "canary-vendor-key";

/// An answer costs 2 a token, and at most 0.05.
fn vendor() -> MeteredVendor {
    let kind = AssetKind::Token { network: "test:1".into(), address: TOKEN.into() };
    let most = Money::new(Amount::from_base(50_000), Asset::new("TestUSD", 6, kind).unwrap());
    let counted =
        Counted { pointer: "/usage/tokens".to_owned(), per: NonZeroU64::MIN, price: Amount::from_base(2) };
    MeteredVendor::new(
        HostPattern::parse("127.0.0.1").unwrap(),
        (HeaderName::from_static("x-api-key"), HeaderValue::from_static(KEY)),
        (most, CostRule::Counted(vec![counted])),
    )
}

fn agent(wallet: &Arc<Wallet>, limit: &str) -> Agent {
    let policy = Policy::builder().dollar_token("test:1", TOKEN).max_total(limit).unwrap().build();
    let payer = FakePayer::new(Does::Panics);
    builder(&payer).policy(policy).wallet(Arc::clone(wallet) as _).vendor(vendor()).build().unwrap()
}

#[tokio::test]
async fn a_call_is_held_at_the_most_and_captured_at_what_it_cost() {
    let json = [("Content-Type", "application/json")];
    let body = r#"{"text":"…","usage":{"tokens":700}}"#;
    for (answer, status, told, state) in [
        (reply(200, &json, body), "200", Told::Cost(1_400), PaymentState::Served),
        // Without a number it costs the most.
        (
            reply(200, &[("Content-Type", "text/plain")], "text"),
            "200",
            Told::Cost(50_000),
            PaymentState::Served,
        ),
        (reply(500, &json, "{}"), "500", Told::Voided, PaymentState::NotPaid),
    ] {
        let answer = std::sync::Mutex::new(Some(answer));
        let seller = Seller::start(move |_, _| answer.lock().unwrap().take().unwrap_or(Reply::Close)).await;
        let wallet = Arc::new(Wallet::default());
        let agent = agent(&wallet, "1");
        let result = agent.execute(get(&seller.url("/v1/chat?key=secret"))).await;
        assert_eq!(outcome(&result), status);
        if status == "200" {
            let paid = result.unwrap();
            assert!(paid.payment.is_some());
            let text = paid.response.text().await.unwrap();
            assert!(text == body || text == "text", "the answer is whole: {text}");
        }
        assert_eq!(wallet.told(), [Told::Placed(50_000), told]);
        assert_eq!(seller.seen()[0].header("x-api-key"), Some(KEY));
        let record = &agent.journal().payments().unwrap()[0];
        assert_eq!((record.state, record.agreed.method.as_str()), (state, "metered"));
        assert!(!format!("{record:?} {agent:?}").contains(KEY));
    }
}

#[tokio::test]
async fn what_a_limit_forbids_is_not_sent_and_what_nobody_answers_stays_held() {
    let seller = Seller::start(|_, _| Reply::Close).await;
    let wallet = Arc::new(Wallet::default());
    let refused = agent(&wallet, "0.04").execute(get(&seller.url("/"))).await;
    assert_eq!(outcome(&refused), "over_spend_limit");
    assert!(seller.seen().is_empty() && wallet.told().is_empty());

    let agent = agent(&wallet, "1");
    let lost = agent.execute(get(&seller.url("/"))).await.unwrap_err();
    assert_eq!((lost.code(), lost.may_have_paid()), ("answer_lost", true));
    assert_eq!(wallet.told(), [Told::Placed(50_000)]);
    assert_eq!(agent.journal().open().unwrap()[0].state, PaymentState::Unknown);
}
