//! Calls that do not go well: what is paid, what is known afterwards, and what is sent again.

use std::sync::Arc;
use std::time::Duration;

use farthing_client::journal::PaymentState;
use farthing_client::{Agent, AgentError, FailureClass, IdempotencyKeys, PaymentOutcome};
use farthing_money::{Amount, Asset, AssetKind, Money};
use farthing_protocol::ports::{Declined, PayError};
use serde_json::json;
use tokio::sync::Notify;

use crate::payer::{CANARY, Does, FakePayer, agent, builder, get, now, outcome, post};
use crate::seller::{Reply, Seller, ask, challenge, offer, problem, reply, served, shop, terms};

const COUNTER: &str = "total dollars";

/// Units spent or held of the one dollar, in cents.
fn cents(agent: &Agent) -> (u128, u128) {
    let spent = agent.spend_book().spent(COUNTER, now()).unwrap();
    (spent.confirmed.base() / 10_u128.pow(16), spent.held.base() / 10_u128.pow(16))
}

fn only_record(agent: &Agent) -> farthing_client::journal::PaymentRecord {
    let mut records = agent.journal().payments().unwrap();
    assert_eq!(records.len(), 1);
    records.remove(0)
}

/// Polls until `done`, for what happens in the background.
async fn until(what: &str, done: impl Fn() -> bool) {
    for _ in 0..500 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never happened: {what}");
}

#[tokio::test]
async fn a_second_402_is_never_paid() {
    let seller = Seller::start(|seen, nth| match seen.credential() {
        None => ask(&[offer(&format!("c{nth}"))]),
        Some(_) => {
            let Reply::Http { status, mut headers, body } = problem(402, "the signature is wrong") else {
                unreachable!()
            };
            headers.push(("WWW-Authenticate", offer("fresh").to_header_value().unwrap()));
            Reply::Http { status, headers, body }
        }
    })
    .await;
    let payer = FakePayer::new(Does::Pays);
    let agent = agent(&payer);
    let error = agent.execute(get(&seller.url("/"))).await.unwrap_err();
    assert_eq!((error.code(), error.class()), ("payment_not_accepted", FailureClass::NotServed));
    assert!(error.may_have_paid() && error.to_string().contains("the signature is wrong"), "{error}");
    assert_eq!((payer.paid(), seller.seen().len()), (1, 2));
    let record = only_record(&agent);
    assert_eq!(
        (record.state, record.status, &record.id),
        (PaymentState::Refused, Some(402), error.payment().unwrap())
    );
    assert!(record.credential.is_some(), "it may still be taken: keep it");
    assert_eq!(cents(&agent), (0, 1), "unknown outcomes stay held");
}

#[tokio::test]
async fn what_a_seller_answers_decides_whether_the_same_credential_is_sent_again() {
    // Method, the answers to the credential, and: sendings with a credential, the outcome.
    let cases: [(&str, &[u16], usize, &str); 10] = [
        ("GET", &[503, 200], 2, "200"),
        ("GET", &[409, 429, 502, 200], 4, "200"),
        ("GET", &[500, 200], 2, "200"),
        // A seller may have carried out what it failed to answer.
        ("POST", &[500], 1, "500"),
        ("POST", &[503, 200], 2, "200"),
        ("GET", &[403], 1, "payment_not_accepted"),
        ("GET", &[404], 1, "404"),
        ("GET", &[500, 500, 500, 500, 500, 200], 5, "500"),
        ("GET", &[503; 20], 17, "payment_not_accepted"),
        ("GET", &[409; 20], 17, "payment_not_accepted"),
    ];
    for (method, answers, sendings, expected) in cases {
        let seller = Seller::start(move |seen, nth| match seen.credential() {
            None => ask(&[offer("c")]),
            Some(_) if answers[nth - 1] == 200 => served(),
            Some(_) => reply(answers[nth - 1], &[("Retry-After", "0")], ""),
        })
        .await;
        let payer = FakePayer::new(Does::Pays);
        let mut request = get(&seller.url("/"));
        *request.method_mut() = method.parse().unwrap();
        let result = agent(&payer).execute(request).await;
        assert_eq!(outcome(&result), expected, "{method} {answers:?}");
        let credentials = seller.credentials();
        assert_eq!((credentials.len(), payer.paid()), (sendings, 1), "{method} {answers:?}");
        assert!(credentials.iter().all(|sent| *sent == credentials[0]), "only one credential is ever sent");
    }
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_with_the_same_credential_where_that_does_no_harm() {
    // Method, Idempotency-Key, sendings with a credential, the outcome.
    let cases = [
        ("GET", None, 3, "200"),
        ("PUT", None, 3, "200"),
        ("POST", Some("key-1"), 3, "200"),
        // The client adds a key of its own, unless it is told not to.
        ("POST", None, 3, "200"),
        ("PATCH", Some("leave"), 1, "answer_lost"),
    ];
    for (method, key, sendings, expected) in cases {
        let seller = Seller::start(|seen, nth| match seen.credential() {
            None => ask(&[offer("c")]),
            Some(_) if nth < 3 => Reply::Close,
            Some(_) => served(),
        })
        .await;
        let payer = FakePayer::new(Does::Pays);
        let keys = if key == Some("leave") { IdempotencyKeys::Leave } else { IdempotencyKeys::Add };
        let agent = builder(&payer).idempotency_keys(keys).build().unwrap();
        let mut request = post(&seller.url("/"), "body");
        *request.method_mut() = method.parse().unwrap();
        if let Some(key) = key.filter(|key| *key != "leave") {
            request.headers_mut().insert("idempotency-key", key.parse().unwrap());
        }
        assert_eq!(outcome(&agent.execute(request).await), expected, "{method}");
        let credentials = seller.credentials();
        assert_eq!((credentials.len(), payer.paid()), (sendings, 1), "{method}");
        assert!(credentials.iter().all(|sent| *sent == credentials[0]));
        assert_eq!(cents(&agent), if expected == "200" { (1, 0) } else { (0, 1) }, "{method}");
    }
}

#[tokio::test]
async fn an_answer_that_never_comes_leaves_an_unknown_outcome() {
    let seller =
        Seller::start(|seen, _| if seen.credential().is_some() { Reply::Hang } else { ask(&[offer("c")]) })
            .await;
    let payer = FakePayer::new(Does::Pays);
    let agent = builder(&payer).answer_timeout(Duration::from_millis(500)).build().unwrap();
    let error = agent.execute(get(&seller.url("/"))).await.unwrap_err();
    assert_eq!((error.code(), error.class()), ("answer_lost", FailureClass::Unknown));
    assert!(error.may_have_paid() && error.to_string().contains("do not pay again"), "{error}");
    assert_eq!((seller.credentials().len(), payer.paid()), (5, 1));
    let record = only_record(&agent);
    assert_eq!(record.state, PaymentState::Unknown);
    assert_eq!(record.credential.unwrap().reveal(), seller.credentials()[0]);
    assert_eq!(cents(&agent), (0, 1));
}

#[tokio::test]
async fn a_seller_out_of_reach_is_a_network_failure() {
    let payer = FakePayer::new(Does::Pays);
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let agent = agent(&payer);
    let error = agent.execute(get(&format!("http://127.0.0.1:{closed}/?secret=1"))).await.unwrap_err();
    assert_eq!((error.code(), error.class()), ("transport_failed", FailureClass::Network));
    assert!(!error.may_have_paid() && !error.to_string().contains("secret"), "{error}");
}

#[tokio::test]
async fn what_a_rail_says_decides_what_is_known() {
    let money =
        |base| Money::new(Amount::from_base(base), Asset::new("TestUSD", 6, AssetKind::Custom).unwrap());
    let insufficient =
        PayError::Insufficient { payer: "0xme".into(), available: money(1), required: money(10_000) };
    let declined = PayError::Declined(Declined { code: "too_late", why: "the window is too short".into() });
    let failed = PayError::Failed { code: "rpc_down", why: "the chain does not answer".into() };
    let unknown = PayError::Unknown { reference: "0xabc".into(), why: "the chain went silent".into() };
    // What the rail does, the code, the class, the journal's state, the cents still held.
    let cases = [
        (Does::Fails(insufficient), "insufficient_funds", FailureClass::NotPaid, PaymentState::NotPaid, 0),
        (Does::Fails(declined), "too_late", FailureClass::NotPaid, PaymentState::NotPaid, 0),
        (Does::Fails(failed), "rpc_down", FailureClass::NotPaid, PaymentState::NotPaid, 0),
        (Does::Fails(unknown), "outcome_unknown", FailureClass::Unknown, PaymentState::Unknown, 1),
        (Does::Panics, "outcome_unknown", FailureClass::Unknown, PaymentState::Unknown, 1),
    ];
    for (does, code, class, state, held) in cases {
        let seller = Seller::start(shop).await;
        let payer = FakePayer::new(does);
        let agent = agent(&payer);
        let error = agent.execute(get(&seller.url("/"))).await.unwrap_err();
        assert_eq!((error.code(), error.class()), (code, class));
        assert_eq!(error.may_have_paid(), class == FailureClass::Unknown);
        let record = only_record(&agent);
        assert_eq!((record.state, Some(&record.id)), (state, error.payment()), "{code}");
        assert_eq!(cents(&agent), (0, held), "{code}");
        assert_eq!(seller.credentials().len(), 0);
        if let AgentError::PaymentUnknown { reference, .. } = &error {
            assert_eq!(record.reference.unwrap_or_default(), *reference);
        }
    }
}

#[tokio::test]
async fn an_unserved_answer_keeps_what_was_paid() {
    let seller =
        Seller::start(
            |seen, _| if seen.credential().is_some() { reply(404, &[], "gone") } else { ask(&[offer("c")]) },
        )
        .await;
    let payer = FakePayer::new(Does::Pays);
    let agent = agent(&payer);
    let paid = agent.execute(get(&seller.url("/"))).await.unwrap();
    assert_eq!(paid.payment.unwrap().outcome, PaymentOutcome::Unconfirmed);
    assert_eq!(paid.response.text().await.unwrap(), "gone");
    assert_eq!((only_record(&agent).state, cents(&agent)), (PaymentState::Refused, (0, 1)));
}

#[tokio::test]
async fn a_proof_of_identity_needs_no_limit_and_is_never_kept() {
    let mut proof = terms();
    (proof["amount"], proof["mode"], proof["asset"]) = (json!("0"), json!("proof"), json!("UNKNOWN"));
    let seller = Seller::start(move |seen, _| match seen.credential() {
        None => ask(&[challenge("c", &proof)]),
        Some(_) => problem(403, "who are you"),
    })
    .await;
    let payer = FakePayer::new(Does::Pays);
    let agent = builder(&payer).policy(farthing_client::Policy::default()).build().unwrap();
    let error = agent.execute(get(&seller.url("/"))).await.unwrap_err();
    assert_eq!((error.code(), error.may_have_paid()), ("payment_not_accepted", false));
    assert!(only_record(&agent).credential.is_none());
}

#[tokio::test]
async fn a_call_dropped_while_the_rail_pays_is_finished_and_recorded() {
    // The mode, and: the state afterwards, the cents held, whether the credential is kept.
    let cases = [
        // Signed and never sent: certainly unpaid.
        ("pull", PaymentState::NotPaid, 0, false),
        // The money has moved: the credential is worth that much.
        ("push", PaymentState::Unknown, 1, true),
    ];
    for (mode, state, held, kept) in cases {
        let mut terms = terms();
        terms["mode"] = json!(mode);
        let seller = Seller::start(move |_, _| ask(&[challenge("c", &terms)])).await;
        let told = Arc::new(Notify::new());
        let payer = FakePayer::new(Does::PaysWhenTold(Arc::clone(&told)));
        let agent = agent(&payer);
        let (task_agent, url) = (agent.clone(), seller.url("/"));
        let call = tokio::spawn(async move { task_agent.execute(get(&url)).await });
        until("the rail is asked", || payer.asked() == 1).await;
        assert_eq!(only_record(&agent).state, PaymentState::Intended);
        assert_eq!(cents(&agent), (0, 1));
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
        told.notify_one();
        until("the rail pays and the outcome is recorded", || only_record(&agent).state == state).await;
        assert_eq!((payer.paid(), cents(&agent)), (1, (0, held)), "{mode}");
        let credential = only_record(&agent).credential;
        assert_eq!(credential.is_some(), kept, "{mode}");
        assert_eq!(seller.credentials().len(), 0);
    }
}

#[tokio::test]
async fn a_call_dropped_after_sending_keeps_money_and_credential() {
    let seller =
        Seller::start(|seen, _| if seen.credential().is_some() { Reply::Hang } else { ask(&[offer("c")]) })
            .await;
    let payer = FakePayer::new(Does::Pays);
    let agent = agent(&payer);
    let (task_agent, url) = (agent.clone(), seller.url("/"));
    let call = tokio::spawn(async move { task_agent.execute(get(&url)).await });
    until("the credential arrives", || seller.credentials().len() == 1).await;
    assert_eq!(only_record(&agent).state, PaymentState::Sent);
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    let record = only_record(&agent);
    assert_eq!((record.state, cents(&agent)), (PaymentState::Unknown, (0, 1)));
    assert_eq!(record.credential.unwrap().reveal(), seller.credentials()[0]);
}

#[tokio::test]
async fn a_sellers_words_are_cleaned_before_they_are_shown() {
    let seller = Seller::start(|seen, _| match seen.credential() {
        None => ask(&[offer("c")]),
        Some(_) if seen.path == "/long" => problem(402, &"x".repeat(10_000)),
        Some(_) if seen.path == "/stop" => problem(402, "It is not on the chain.. "),
        Some(_) if seen.path == "/unseen" => problem(402, "a\u{9b}b\u{202e}c\u{2028}d\u{7}"),
        Some(_) if seen.path == "/colour" => problem(402, "a\u{1b}[31mb\nc"),
        Some(credential) => problem(402, &format!("bad credential {}", &credential[..100])),
    })
    .await;
    let payer = FakePayer::new(Does::Pays);
    let cases = [
        ("/long", "xxx…"),
        ("/colour", "a[31mbc"),
        ("/unseen", "abcd. "),
        ("/stop", "on the chain. 0.01 TestUSD may have been taken"),
        ("/echo", "(not shown"),
    ];
    for (path, check) in cases {
        let error = agent(&payer).execute(get(&seller.url(path))).await.unwrap_err().to_string();
        assert!(error.contains(check), "{error}");
        assert!(error.len() < 800 && !error.contains('\u{1b}') && !error.contains(CANARY), "{error}");
    }
}
