//! Vendors that ask for no payments: called with a key of their own, held at the most and captured at what it cost.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use farthing_client::journal::{DecidedBy, JournalEntry, PaymentState, Step};
use farthing_client::metered::{CostRule, Counted, MAX_ANSWER, MeteredVendor};
use farthing_client::policy::{HostPattern, UNITS_SCALE};
use farthing_client::{Agent, Charge, PaymentId, Policy, Resolution, Verdict};
use farthing_money::{Amount, Asset, AssetKind, Money};
use farthing_protocol::UnixMs;
use farthing_protocol::ports::Clock;
use http::header::{HeaderName, HeaderValue};

use crate::payer::{Does, FakePayer, NOW, TOKEN, builder, clock, get, outcome};
use crate::seller::{Reply, Seller, reply, shop};
use crate::wallet::{Told, Wallet};

const DAY_MS: u64 = 86_400_000;
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
async fn an_answer_in_pieces_is_counted_and_one_that_is_too_long_costs_the_most() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
    let pieces = format!(
        "{head}transfer-encoding: chunked\r\n\r\nf\r\n{{\"usage\":{{\"toke\r\n8\r\nns\":70}}}}\r\n0\r\n\r\n"
    );
    let long = "x".repeat(MAX_ANSWER);
    for (raw, cost, body) in [
        (pieces, 140, "{\"usage\":{\"tokens\":70}}".to_owned()),
        (format!("{head}\r\n{{\"usage\":{{\"tokens\":70}},\"text\":\"{long}\"}}"), 50_000, long),
    ] {
        let seller = Seller::start(move |_, _| Reply::Raw(raw.clone())).await;
        let wallet = Arc::new(Wallet::default());
        let paid = agent(&wallet, "1").execute(get(&seller.url("/"))).await.unwrap();
        let text = paid.response.text().await.unwrap();
        assert!(text.contains(&body) && text.starts_with('{') && text.ends_with('}'), "the answer is whole");
        assert_eq!(wallet.told(), [Told::Placed(50_000), Told::Cost(cost)]);
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
    assert_eq!((lost.code(), lost.may_have_paid()), ("vendor_answer_lost", true));
    assert_eq!(wallet.told(), [Told::Placed(50_000)]);
    assert_eq!(agent.journal().open().unwrap()[0].state, PaymentState::Unknown);
}

/// Whether a call can have been counted, nobody here knows, however it was lost.
#[tokio::test]
async fn what_breaks_off_stays_held_and_says_so() {
    let cut = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{\"usage\":";
    for (rule, ends) in [
        (vendor(), "counts as charged in full from 2026-01-30T12:00:00.000Z on, if nobody says before"),
        (vendor().charge_after(None), "until somebody says what became of it"),
    ] {
        let seller = Seller::start(move |_, _| Reply::Raw(cut.to_owned())).await;
        let wallet = Arc::new(Wallet::default());
        let agent = with(&wallet, rule, clock());
        let lost = agent.execute(get(&seller.url("/"))).await.unwrap_err();
        let id = agent.journal().open().unwrap()[0].id.clone();
        assert_eq!((lost.code(), lost.payment()), ("vendor_answer_lost", Some(&id)));
        let words = lost.to_string();
        for part in ["up to 0.05 TestUSD stays held", "Only the vendor knows", id.as_str(), ends] {
            assert!(words.contains(part), "{part}: {words}");
        }
        assert_eq!(wallet.told(), [Told::Placed(50_000)]);
        let swept = agent.sweep().await;
        assert_eq!((swept, wallet.told().len()), (0, 1), "it is never free without somebody's word");
    }
}

fn with(wallet: &Arc<Wallet>, vendor: MeteredVendor, clock: Arc<dyn Clock>) -> Agent {
    let policy = Policy::builder().dollar_token("test:1", TOKEN).max_total("1").unwrap().build();
    let builder = Agent::builder(clock).policy(policy).wallet(Arc::clone(wallet) as _);
    builder.vendor(vendor).max_wait(Duration::from_secs(1)).build().unwrap()
}

/// A call of which nobody knows what became of it.
async fn lost(agent: &Agent) -> PaymentId {
    let seller = Seller::start(|_, _| Reply::Close).await;
    let error = agent.execute(get(&seller.url("/"))).await.unwrap_err();
    error.payment().unwrap().clone()
}

#[tokio::test]
async fn a_persons_word_closes_it_at_what_it_cost() {
    let note = Some("the vendor's page says so".to_owned());
    for (charge, told, state, spent) in [
        (Charge::All, Told::Cost(50_000), PaymentState::Charged, "0.05"),
        // Limits count what was held, as for every metered call.
        (Charge::Part(Amount::from_base(6_000)), Told::Cost(6_000), PaymentState::Charged, "0.05"),
        (Charge::Part(Amount::ZERO), Told::Voided, PaymentState::NotPaid, "0"),
        (Charge::Nothing, Told::Voided, PaymentState::NotPaid, "0"),
    ] {
        let wallet = Arc::new(Wallet::default());
        let agent = with(&wallet, vendor(), clock());
        let id = lost(&agent).await;
        let waits = Resolution::OnlyVendorKnows { charge_at: Some(UnixMs::from_ms(NOW).plus_ms(DAY_MS)) };
        assert_eq!(agent.resolve(&id).await.unwrap(), waits);
        let decided = agent.decide(&id, Verdict { charge, note: note.clone() }).await.unwrap();
        assert_eq!(decided.by, DecidedBy::Person);
        assert_eq!(wallet.told(), [Told::Placed(50_000), told]);
        let record = agent.journal().payment(&id).unwrap().unwrap();
        assert_eq!(
            (record.state, record.decided_by, record.why),
            (state, Some(DecidedBy::Person), note.clone())
        );
        assert_eq!(record.cost_base, Some(decided.cost).filter(|cost| !cost.is_zero()));
        assert!(agent.journal().open().unwrap().is_empty() && agent.spend_book().held().unwrap().is_empty());
        let counter = &agent.policy().budgets(None).unwrap()[0].counter;
        let counted = agent.spend_book().spent(counter, UnixMs::from_ms(NOW)).unwrap();
        assert_eq!(counted.confirmed.to_decimal(UNITS_SCALE), spent);
        // What is decided is decided.
        let again = agent.decide(&id, Verdict { charge: Charge::All, note: None }).await.unwrap_err();
        assert_eq!((again.code(), wallet.told().len()), ("payment_closed", 2));
    }
}

#[tokio::test]
async fn a_word_that_cannot_be_true_is_not_taken() {
    let wallet = Arc::new(Wallet::default());
    let agent = with(&wallet, vendor(), clock());
    let id = lost(&agent).await;
    let all = || Verdict { charge: Charge::All, note: None };
    let more = Verdict { charge: Charge::Part(Amount::from_base(50_001)), note: None };
    assert_eq!(agent.decide(&id, more).await.unwrap_err().code(), "cost_above_hold");
    agent.journal().adopt(&id).unwrap().unwrap();
    assert_eq!(agent.decide(&id, all()).await.unwrap_err().code(), "payment_in_flight");
    agent.journal().leave(&id);
    let never = PaymentId::parse("0190-never").unwrap();
    assert_eq!(agent.decide(&never, all()).await.unwrap_err().code(), "payment_closed");
    assert_eq!(wallet.told(), [Told::Placed(50_000)]);

    // A payment of a rail is the rail's to tell.
    let seller = Seller::start(|seen, nth| match seen.credential() {
        Some(_) => Reply::Close,
        None => shop(seen, nth),
    })
    .await;
    let payer = FakePayer::new(Does::Pays);
    let agent = builder(&payer).max_wait(Duration::ZERO).build().unwrap();
    let error = agent.execute(get(&seller.url("/"))).await.unwrap_err();
    let refused = agent.decide(error.payment().unwrap(), all()).await.unwrap_err();
    assert_eq!(refused.code(), "payment_answerable", "{refused}");
    assert_eq!(agent.journal().open().unwrap().len(), 1);
}

#[tokio::test]
async fn nobodys_word_in_time_counts_as_charged_in_full() {
    // After how long by the rule, how much later it is looked, and whether it is charged then.
    for (after, later_ms, is_charged) in [
        (Some(Duration::from_secs(60)), 59_999, false),
        (Some(Duration::from_secs(60)), 60_000, true),
        (None, u64::MAX / 4, false),
    ] {
        for looks in ["sweep", "resolve", "call"] {
            let now = Arc::new(AtomicU64::new(NOW));
            let time = Arc::clone(&now);
            let clock = Arc::new(move || UnixMs::from_ms(time.load(Ordering::SeqCst)));
            let wallet = Arc::new(Wallet::default());
            let agent = with(&wallet, vendor().charge_after(after), clock);
            let id = lost(&agent).await;
            now.fetch_add(later_ms, Ordering::SeqCst);
            match looks {
                "sweep" => assert_eq!(agent.sweep().await, 0, "nothing is given back"),
                "resolve" => {
                    let found = agent.resolve(&id).await.unwrap();
                    assert_eq!(matches!(found, Resolution::Charged(_)), is_charged, "{found:?}");
                }
                // Not looked for more than once a minute.
                _ if later_ms < 60_000 => continue,
                _ => drop(lost(&agent).await),
            }
            let record = agent.journal().payment(&id).unwrap().unwrap();
            assert_eq!(record.state == PaymentState::Charged, is_charged, "{looks} after {later_ms}");
            assert_eq!(record.decided_by, is_charged.then_some(DecidedBy::Policy));
            assert_eq!(wallet.told().contains(&Told::Cost(50_000)), is_charged, "{looks} after {later_ms}");
        }
    }
}

/// What the journal says of a call that is closed reaches a wallet that was not told then.
#[tokio::test]
async fn a_wallet_that_missed_the_word_is_told_by_the_next_sweep() {
    let wallet = Arc::new(Wallet::default());
    let agent = with(&wallet, vendor(), clock());
    let id = lost(&agent).await;
    let step = Step::Charged {
        cost_base: Amount::from_base(700),
        decided_by: DecidedBy::Person,
        why: String::new(),
    };
    agent.journal().record(&JournalEntry { payment: id, at_ms: NOW, step }).unwrap();
    agent.sweep().await;
    assert_eq!(wallet.told(), [Told::Placed(50_000), Told::Cost(700)]);
    assert!(agent.spend_book().held().unwrap().is_empty());
}

#[tokio::test]
async fn a_vendor_that_heeds_keys_is_asked_again_with_the_same_one() {
    let json = [("Content-Type", "application/json")];
    let body = r#"{"usage":{"tokens":700}}"#;
    let answer = move |nth, at| if nth == at { reply(200, &json, body) } else { Reply::Close };
    // Whether it heeds keys, the caller's own, when it answers, how long may be waited, how often it was asked, what came of it.
    for (heeds, own, at, wait, sent, came) in [
        (true, None, 1, 1, 2, "200"),
        (true, Some("mine"), 1, 1, 2, "200"),
        (true, None, 9, 1, 2, "vendor_answer_lost"),
        (true, None, 1, 0, 1, "vendor_answer_lost"),
        (false, None, 1, 1, 1, "vendor_answer_lost"),
    ] {
        let seller = Seller::start(move |_, nth| answer(nth, at)).await;
        let wallet = Arc::new(Wallet::default());
        let rule = if heeds { vendor().that_heeds_keys() } else { vendor() };
        let policy = Policy::builder().dollar_token("test:1", TOKEN).max_total("1").unwrap().build();
        let builder = Agent::builder(clock()).policy(policy).wallet(Arc::clone(&wallet) as _);
        let agent = builder.vendor(rule).max_wait(Duration::from_secs(wait)).build().unwrap();
        let mut request = get(&seller.url("/"));
        if let Some(key) = own {
            request.headers_mut().insert("idempotency-key", HeaderValue::from_static(key));
        }
        assert_eq!(outcome(&agent.execute(request).await), came);
        let keys: Vec<Option<String>> =
            seller.seen().iter().map(|seen| seen.header("idempotency-key").map(str::to_owned)).collect();
        let id = agent.journal().payments().unwrap()[0].id.to_string();
        let expected = own.map(str::to_owned).or(heeds.then_some(id));
        assert_eq!(keys, vec![expected; sent]);
        let told = if came == "200" {
            vec![Told::Placed(50_000), Told::Cost(1_400)]
        } else {
            vec![Told::Placed(50_000)]
        };
        assert_eq!(wallet.told(), told);
    }
    // What is answered the second time says nothing of the first.
    let seller = Seller::start(|_, nth| if nth == 0 { Reply::Close } else { reply(409, &[], "") }).await;
    let wallet = Arc::new(Wallet::default());
    let agent = with(&wallet, vendor().that_heeds_keys(), clock());
    let error = agent.execute(get(&seller.url("/"))).await.unwrap_err();
    assert!(error.to_string().contains("409"), "{error}");
    assert_eq!((wallet.told(), seller.seen().len()), (vec![Told::Placed(50_000)], 2));
}
