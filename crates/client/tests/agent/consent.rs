//! Hosts that the policy does not know: asked about where somebody can be, refused elsewhere; and who is told what can be paid
//! with.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use farthing_client::policy::{CheckVerdict, Source};
use farthing_client::{HostAnswer, HostConsent, HostQuestion, Policy};

use crate::payer::{Does, FakePayer, TOKEN, builder, get, outcome};
use crate::seller::{Seller, ask, offer, reply, shop};

/// Answers what it is told to, and remembers what it was asked.
struct Person {
    answer: HostAnswer,
    asked: Mutex<Vec<String>>,
}

#[async_trait]
impl HostConsent for Person {
    async fn ask(&self, question: &HostQuestion) -> HostAnswer {
        self.asked.lock().unwrap().push(format!("{} {}", question.origin, question.quote.money));
        self.answer
    }
}

fn asking() -> farthing_client::policy::PolicyBuilder {
    let policy = Policy::builder().source(Source::File("policy.toml".into())).dollar_token("test:1", TOKEN);
    policy.max_total("1").unwrap().only_named_hosts().ask_about_unknown_hosts()
}

#[tokio::test]
async fn a_person_is_asked_about_a_host_that_nobody_named() {
    // The answer, what two calls end with, how often the person is asked.
    let cases = [
        (HostAnswer::Once, ["200", "200"], 2),
        (HostAnswer::Always, ["200", "200"], 1),
        (HostAnswer::No, ["host_refused", "host_refused"], 2),
        (HostAnswer::NobodyToAsk, ["host_unknown", "host_unknown"], 2),
    ];
    for (answer, expected, asked) in cases {
        let seller = Seller::start(shop).await;
        let payer = FakePayer::new(Does::Pays);
        let person = Arc::new(Person { answer, asked: Mutex::default() });
        let agent = builder(&payer)
            .policy(asking().build())
            .consent(Arc::clone(&person) as Arc<dyn HostConsent>)
            .build()
            .unwrap();
        for (nth, expected) in expected.iter().enumerate() {
            let result = agent.execute(get(&seller.url(&format!("/{nth}")))).await;
            assert_eq!(outcome(&result), *expected, "{answer:?}");
        }
        let questions = person.asked.lock().unwrap().clone();
        assert_eq!(questions.len(), asked, "{answer:?}");
        assert_eq!(questions[0], format!("http://127.0.0.1:{} 0.01 TestUSD", seller.port));
        let told = seller.seen().iter().filter(|seen| seen.header("accept-payment").is_some()).count();
        // Only after the person has approved the host for good is it told: in the second call, twice.
        assert_eq!(told, if answer == HostAnswer::Always { 2 } else { 0 }, "{answer:?}");
    }
}

/// Asked about once and open: the payment was consented to, and is presented without another question, and without another
/// payment.
#[tokio::test]
async fn an_open_payment_needs_no_second_consent() {
    let lost = std::sync::atomic::AtomicBool::new(false);
    let seller = Seller::start(move |seen, nth| match seen.credential() {
        None => ask(&[offer(&format!("c{nth}"))]),
        Some(_) if !lost.swap(true, std::sync::atomic::Ordering::SeqCst) => reply(404, &[], ""),
        Some(_) => shop(seen, nth),
    })
    .await;
    let payer = FakePayer::new(Does::Pays);
    let person = Arc::new(Person { answer: HostAnswer::Once, asked: Mutex::default() });
    let consent = Arc::clone(&person) as Arc<dyn HostConsent>;
    let agent = builder(&payer).policy(asking().build()).consent(consent).build().unwrap();
    for expected in ["404", "200"] {
        assert_eq!(outcome(&agent.execute(get(&seller.url("/"))).await), expected);
    }
    assert_eq!((payer.paid(), person.asked.lock().unwrap().len()), (1, 1));
}

#[tokio::test]
async fn nobody_is_asked_what_could_not_be_paid_anyway() {
    let cases = [
        (asking().deny_host("127.0.0.1").unwrap(), "host_denied"),
        (asking().max_per_call("0.001").unwrap(), "host_unknown"),
        (asking().allow_mode("push"), "host_unknown"),
        (asking().allow_method("tempo"), "host_unknown"),
    ];
    for (policy, expected) in cases {
        let seller = Seller::start(shop).await;
        let payer = FakePayer::new(Does::Pays);
        let person = Arc::new(Person { answer: HostAnswer::Always, asked: Mutex::default() });
        let agent = builder(&payer).policy(policy.build()).consent(Arc::clone(&person) as _).build().unwrap();
        assert_eq!(outcome(&agent.execute(get(&seller.url("/"))).await), expected);
        assert!(person.asked.lock().unwrap().is_empty() && payer.asked() == 0);
    }
}

#[tokio::test]
async fn a_narrower_policy_forbids_and_never_allows() {
    let wide = || asking().allow_host("127.0.0.1").unwrap().max_per_call("0.05").unwrap();
    let narrow = || Policy::builder().source(Source::CommandLine);
    let cases = [
        (narrow(), "200", ""),
        (narrow().max_per_call("0.01").unwrap(), "200", ""),
        (narrow().max_per_call("0.009").unwrap(), "over_call_limit", "--max-spend"),
        // More than the policy, or for another asset: it narrows all the same.
        (narrow().max_per_call("100").unwrap(), "200", ""),
        (narrow().max_per_call("100 OUSD").unwrap(), "asset_without_limit", "--max-spend"),
        (narrow().allow_host("example.com").unwrap(), "host_not_allowed", "--allow-host"),
        (narrow().allow_host("127.0.0.1").unwrap(), "200", ""),
        (narrow().allow_recipient("0xother"), "recipient_not_allowed", "--allow-recipient"),
        (narrow().deny_host("127.0.0.1").unwrap(), "host_denied", "127.0.0.1"),
    ];
    for (narrower, expected, hint) in cases {
        let seller = Seller::start(shop).await;
        let payer = FakePayer::new(Does::Pays);
        let policy = wide().build().narrowed_by(narrower.build());
        let agent = builder(&payer).policy(policy).build().unwrap();
        let result = agent.execute(get(&seller.url("/"))).await;
        assert_eq!(outcome(&result), expected);
        assert!(result.err().is_none_or(|error| error.to_string().contains(hint)), "{hint}");
    }
    // What the narrower one allows is not allowed by it.
    let seller = Seller::start(shop).await;
    let payer = FakePayer::new(Does::Pays);
    let policy = asking().allow_host("example.com").unwrap().build();
    let all = narrow().allow_host("127.0.0.1").unwrap().max_per_call("100").unwrap().build();
    let agent = builder(&payer).policy(policy.narrowed_by(all)).build().unwrap();
    assert_eq!(outcome(&agent.execute(get(&seller.url("/"))).await), "host_unknown");
}

#[tokio::test]
async fn only_what_the_policy_allows_is_told_and_only_where() {
    let free = |_: &crate::seller::Seen, _: usize| reply(200, &[], "free");
    let named = || asking().allow_host("127.0.0.1").unwrap();
    let cases = [
        (named(), true),
        (named().allow_method("test"), true),
        (named().allow_method("tempo"), false),
        (asking(), false),
        (asking().allow_host("example.com").unwrap(), false),
        (named().deny_host("127.0.0.1").unwrap(), false),
    ];
    for (nth, (policy, told)) in cases.into_iter().enumerate() {
        let seller = Seller::start(free).await;
        let agent = builder(&FakePayer::new(Does::Pays)).policy(policy.build()).build().unwrap();
        assert_eq!(outcome(&agent.execute(get(&seller.url("/"))).await), "200");
        assert_eq!(seller.seen()[0].header("accept-payment").is_some(), told, "case {nth}");
    }
}

#[tokio::test]
async fn a_preview_tells_every_rule_and_what_is_left() {
    let seller = Seller::start(|_, nth| ask(&[offer(&format!("c{nth}"))])).await;
    let policy = asking().allow_host("127.0.0.1").unwrap().max_per_call("0.05").unwrap().allow_mode("pull");
    let agent = builder(&FakePayer::new(Does::Pays)).policy(policy.build()).build().unwrap();
    let preview = agent.preview(get(&seller.url("/"))).await.unwrap();
    let rules: Vec<&str> = preview.offers[0].checks.iter().map(|check| check.rule.as_str()).collect();
    let expected = [
        "hosts.allow_plaintext",
        "hosts.allow",
        "hosts.realms",
        "expires",
        "digest",
        "header",
        "shares",
        "pay.modes",
        "limits.total",
        "limits.call",
    ];
    assert_eq!(rules, expected);
    assert!(preview.offers[0].checks.iter().all(|check| check.verdict == CheckVerdict::Passed));
    let budget = &preview.offers[0].budgets[0];
    assert_eq!((budget.counter.as_str(), budget.left.to_decimal(18).as_str()), ("total dollars", "1"));
    assert_eq!((preview.chosen, preview.question.is_none()), (Some(0), true));
}
