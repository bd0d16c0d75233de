//! A request that was paid before and is open: its payment is presented again, looked up, and never made twice.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use farthing_client::journal::{PaymentRecord, PaymentState};
use farthing_client::{
    Agent, AgentBuilder, FileBook, FileJournal, IdempotencyKeys, PaymentJournal, Resolution, SpendBook,
};
use farthing_protocol::ports::PaymentFate;

use crate::payer::{Does, FakePayer, builder, get, now, outcome, post};
use crate::seller::{Reply, Seller, ask, offer, problem, reply, served};

fn files(directory: &Path) -> (FileBook, FileJournal) {
    (FileBook::new(directory.join("spend.json")), FileJournal::new(directory.join("payments.jsonl")))
}

/// An agent on files, as a process of its own would have it, that soon gives up waiting.
fn impatient(directory: &Path, payer: &Arc<FakePayer>) -> AgentBuilder {
    let (book, journal) = files(directory);
    builder(payer)
        .spend_book(Arc::new(book))
        .journal(Arc::new(journal))
        .idempotency_keys(IdempotencyKeys::Leave)
        .answer_timeout(Duration::from_millis(300))
}

fn agent_at(directory: &Path, payer: &Arc<FakePayer>) -> Agent {
    impatient(directory, payer).build().unwrap()
}

fn records(directory: &Path) -> Vec<PaymentRecord> {
    files(directory).1.payments().unwrap()
}

/// Cents confirmed and held of the one dollar.
fn cents(directory: &Path) -> (u128, u128) {
    let spent = files(directory).0.spent("total dollars", now()).unwrap();
    (spent.confirmed.base() / 10_u128.pow(16), spent.held.base() / 10_u128.pow(16))
}

/// Loses the answer to the first credential, and then answers as it is told to.
async fn forgetful(then: impl Fn() -> Reply + Send + Sync + 'static) -> Seller {
    let lost = std::sync::atomic::AtomicBool::new(false);
    Seller::start(move |seen, nth| match seen.credential() {
        None => ask(&[offer(&format!("c{nth}"))]),
        Some(_) if !lost.swap(true, std::sync::atomic::Ordering::SeqCst) => Reply::Hang,
        Some(_) => then(),
    })
    .await
}

#[tokio::test]
async fn the_same_request_presents_the_payment_that_is_open() {
    let directory = tempfile::tempdir().unwrap();
    let seller = forgetful(served).await;
    let payer = FakePayer::new(Does::Pays);
    let call = |path: &str, body: &str| {
        let (agent, request) = (agent_at(directory.path(), &payer), post(&seller.url(path), body));
        async move { outcome(&agent.execute(request).await) }
    };
    assert_eq!(call("/x?a=1", "body").await, "answer_lost");
    assert_eq!((payer.paid(), cents(directory.path())), (1, (0, 1)));
    // Other requests are other requests.
    for (nth, (path, body)) in
        [("/x?a=2", "body"), ("/x?a=1", "other"), ("/y?a=1", "body")].iter().enumerate()
    {
        assert_eq!(call(path, body).await, "200", "{path}");
        assert_eq!(payer.paid(), nth + 2, "{path}");
    }
    assert_eq!(call("/x?a=1", "body").await, "200");
    assert_eq!(payer.paid(), 4, "it was paid before");
    let shown = seller.credentials();
    assert_eq!(shown.first(), shown.last(), "the very credential");
    assert_eq!(cents(directory.path()), (4, 0));
    assert!(records(directory.path()).iter().all(|record| record.state == PaymentState::Served));
    // It is over now: the next call is a new one.
    assert_eq!(call("/x?a=1", "body").await, "200");
    assert_eq!(payer.paid(), 5);
}

#[tokio::test]
async fn what_the_rail_says_decides_whether_a_call_is_paid_anew() {
    let moved = || Ok(PaymentFate::Moved { reference: "0xfeed".into() });
    let gone = || Ok(PaymentFate::CannotMove { why: "it has expired".into() });
    let refused = || problem(403, "no");
    let unserved = || reply(404, &[], "");
    // The fate, the seller's answer, what the second call ends with, payments made, state of the first, cents.
    type Case = (Result<PaymentFate, String>, fn() -> Reply, &'static str, usize, PaymentState, (u128, u128));
    let cases: [Case; 8] = [
        (Ok(PaymentFate::Pending), served, "200", 1, PaymentState::Served, (1, 0)),
        (Ok(PaymentFate::Pending), refused, "payment_not_accepted", 1, PaymentState::Refused, (0, 1)),
        (Err("no chain".into()), refused, "payment_not_accepted", 1, PaymentState::Refused, (0, 1)),
        (Err("no chain".into()), served, "200", 1, PaymentState::Served, (1, 0)),
        (moved(), served, "200", 1, PaymentState::Served, (1, 0)),
        (moved(), refused, "payment_not_accepted", 1, PaymentState::Forfeited, (1, 0)),
        (moved(), unserved, "404", 1, PaymentState::Paid, (1, 0)),
        (gone(), served, "200", 2, PaymentState::NotPaid, (1, 0)),
    ];
    for (nth, (fate, answer, expected, paid, state, money)) in cases.into_iter().enumerate() {
        let directory = tempfile::tempdir().unwrap();
        let seller = forgetful(answer).await;
        let payer = FakePayer::new(Does::Pays);
        let request = || post(&seller.url("/"), "");
        assert_eq!(outcome(&agent_at(directory.path(), &payer).execute(request()).await), "answer_lost");
        payer.set_fate(fate);
        let second = agent_at(directory.path(), &payer).execute(request()).await;
        assert_eq!(outcome(&second), expected, "case {nth}");
        let first = records(directory.path()).remove(0);
        assert_eq!((payer.paid(), first.state, cents(directory.path())), (paid, state, money), "case {nth}");
        assert_eq!(first.credential.is_some(), !state.is_final(), "case {nth}");
    }
}

/// A third call after the chain knew and the seller refused for good: nothing is open, and it is paid anew.
#[tokio::test]
async fn a_forfeited_payment_stops_no_later_call() {
    let directory = tempfile::tempdir().unwrap();
    let seller = forgetful(|| problem(403, "used")).await;
    let payer = FakePayer::new(Does::Pays);
    payer.set_fate(Ok(PaymentFate::Moved { reference: "0xfeed".into() }));
    for (expected, paid) in [("answer_lost", 1), ("payment_not_accepted", 1), ("payment_not_accepted", 2)] {
        let result = agent_at(directory.path(), &payer).execute(post(&seller.url("/"), "")).await;
        assert_eq!((outcome(&result).as_str(), payer.paid()), (expected, paid));
    }
}

/// C19, and the reason for all of this: what the seller could take is on the disk before it has it.
#[tokio::test]
async fn a_credential_is_kept_before_it_is_sent_and_forgotten_when_it_is_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_owned();
    let seller = Seller::start(move |seen, _| match seen.credential() {
        None => ask(&[offer("c")]),
        Some(credential) => {
            let open = files(&path).1.open().unwrap();
            assert_eq!((open.len(), open[0].state, open[0].in_flight), (1, PaymentState::Sent, true));
            assert_eq!(open[0].credential.as_ref().unwrap().reveal(), credential);
            let lines = std::fs::read_to_string(path.join("payments.jsonl")).unwrap();
            assert!(!lines.contains(credential), "no line has it");
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt;
                let kept = path.join(format!("payments.jsonl.open/{}.json", open[0].id));
                assert_eq!(std::fs::metadata(kept).unwrap().permissions().mode() & 0o777, 0o600);
            }
            served()
        }
    })
    .await;
    let payer = FakePayer::new(Does::Pays);
    let result = agent_at(directory.path(), &payer).execute(get(&seller.url("/"))).await;
    assert_eq!(outcome(&result), "200");
    assert_eq!(std::fs::read_dir(directory.path().join("payments.jsonl.open")).unwrap().count(), 0);
}

#[tokio::test]
async fn resolving_asks_the_rail_and_closes_what_is_certain() {
    let moved = || Ok(PaymentFate::Moved { reference: "0xfeed".into() });
    let gone = || Ok(PaymentFate::CannotMove { why: "expired".into() });
    let cases = [
        (Ok(PaymentFate::Pending), Resolution::Pending, PaymentState::Unknown, (0, 1)),
        (
            Err("no chain".to_owned()),
            Resolution::NotFound { why: "no chain".into() },
            PaymentState::Unknown,
            (0, 1),
        ),
        (moved(), Resolution::Moved { reference: "0xfeed".into() }, PaymentState::Paid, (1, 0)),
        (gone(), Resolution::CannotMove { why: "expired".into() }, PaymentState::NotPaid, (0, 0)),
    ];
    for (fate, expected, state, money) in cases {
        let directory = tempfile::tempdir().unwrap();
        let seller = forgetful(served).await;
        let payer = FakePayer::new(Does::Pays);
        let agent = agent_at(directory.path(), &payer);
        agent.execute(post(&seller.url("/"), "")).await.unwrap_err();
        payer.set_fate(fate);
        let id = records(directory.path()).remove(0).id;
        for _ in 0..2 {
            let known = agent.resolve(&id).await.unwrap();
            let again = matches!(expected, Resolution::CannotMove { .. }).then_some(Resolution::Closed);
            assert!(known == expected || Some(known.clone()) == again, "{known:?}");
            assert_eq!((records(directory.path())[0].state, cents(directory.path())), (state, money));
        }
        assert_eq!(payer.paid(), 1);
    }
}

/// A payment that a call is at work on is left alone, and another call for the same thing is another call.
#[tokio::test]
async fn a_payment_in_flight_is_nobody_elses() {
    let directory = tempfile::tempdir().unwrap();
    let seller = Seller::start(|seen, nth| match seen.credential() {
        None => ask(&[offer(&format!("c{nth}"))]),
        Some(_) if nth < 3 => Reply::Hang,
        Some(_) => served(),
    })
    .await;
    let payer = FakePayer::new(Does::Pays);
    let (agent, url) = (impatient(directory.path(), &payer), seller.url("/"));
    let slow = agent.answer_timeout(Duration::from_secs(300)).build().unwrap();
    let first = tokio::spawn(async move { slow.execute(get(&url)).await });
    while seller.credentials().is_empty() {
        tokio::task::yield_now().await;
    }
    let open = files(directory.path()).1.open().unwrap();
    let other = agent_at(directory.path(), &payer);
    assert_eq!(other.resolve(&open[0].id).await.unwrap(), Resolution::InFlight);
    // Its own first credential hangs, too, and is sent again: never the other call's.
    assert_eq!(outcome(&other.execute(get(&seller.url("/"))).await), "200");
    assert_eq!(payer.paid(), 2);
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    // Given up, it is open, and the next call takes it up.
    assert_eq!(outcome(&other.execute(get(&seller.url("/"))).await), "200");
    assert_eq!((payer.paid(), cents(directory.path())), (2, (2, 0)));
}

#[tokio::test]
async fn a_key_of_ours_is_the_payments_own_and_travels_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let seller = forgetful(served).await;
    let payer = FakePayer::new(Does::Pays);
    let agent = impatient(directory.path(), &payer).idempotency_keys(IdempotencyKeys::Add).build().unwrap();
    assert_eq!(outcome(&agent.execute(post(&seller.url("/"), "x")).await), "200");
    let keys: Vec<Option<String>> =
        seller.seen().iter().map(|seen| seen.header("idempotency-key").map(str::to_owned)).collect();
    let id = records(directory.path()).remove(0).id.to_string();
    assert_eq!(keys, [None, Some(id.clone()), Some(id)], "not in the request that is not paid");
    // Idempotent requests need none, and the caller's own stays.
    assert_eq!(outcome(&agent.execute(get(&seller.url("/"))).await), "200");
    let mut own = post(&seller.url("/"), "y");
    own.headers_mut().insert("idempotency-key", "mine".parse().unwrap());
    assert_eq!(outcome(&agent.execute(own).await), "200");
    let keys: Vec<_> =
        seller.seen().iter().skip(3).map(|s| s.header("idempotency-key").map(str::to_owned)).collect();
    assert_eq!(keys, [None, None, Some("mine".to_owned()), Some("mine".to_owned())]);
}

#[tokio::test]
async fn a_seller_is_waited_for_as_long_as_was_said() {
    let seller = Seller::start(|seen, _| match seen.credential() {
        None => ask(&[offer("c")]),
        Some(_) => reply(503, &[("Retry-After", "2")], ""),
    })
    .await;
    let payer = FakePayer::new(Does::Pays);
    let agent = builder(&payer).max_wait(Duration::from_secs(1)).build().unwrap();
    let error = agent.execute(get(&seller.url("/"))).await.unwrap_err();
    assert_eq!((error.code(), seller.credentials().len()), ("payment_not_accepted", 1));
    assert!(error.to_string().contains("the next try is in 2 s"), "{error}");
}
