//! Budgets under concurrency, and what happens when the books cannot be written.

use std::sync::Arc;

use farthing_client::journal::{JournalEntry, JournalError, PaymentRecord, PaymentState, Step};
use farthing_client::spend::{Draw, Spent};
use farthing_client::{
    Agent, FileBook, FileJournal, MemoryBook, PaymentId, PaymentJournal, Policy, SpendBook, SpendError,
};
use farthing_protocol::UnixMs;
use tokio::task::JoinSet;

use crate::payer::{Does, FakePayer, TOKEN, builder, get, now, outcome};
use crate::seller::{Seller, shop};

fn forty_cents() -> Policy {
    Policy::builder().dollar_token("test:1", TOKEN).max_total("0.40").unwrap().build()
}

async fn hundred_calls(agents: &[Agent], url: &str) -> (usize, usize) {
    let mut calls = JoinSet::new();
    for nth in 0..100 {
        let (agent, url) = (agents[nth % agents.len()].clone(), url.to_owned());
        calls.spawn(async move { outcome(&agent.execute(get(&url)).await) });
    }
    let outcomes = calls.join_all().await;
    let count = |what: &str| outcomes.iter().filter(|outcome| *outcome == what).count();
    (count("200"), count("over_spend_limit"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_calls_on_a_budget_for_forty_pay_forty_times() {
    let seller = Seller::start(shop).await;
    let payer = FakePayer::new(Does::Pays);
    let agent = builder(&payer).policy(forty_cents()).build().unwrap();
    assert_eq!(hundred_calls(std::slice::from_ref(&agent), &seller.url("/")).await, (40, 60));
    assert_eq!((payer.asked(), seller.credentials().len()), (40, 40));
    let records = agent.journal().payments().unwrap();
    assert_eq!(records.len(), 40, "what is refused is no payment");
    assert!(records.iter().all(|record| record.state == PaymentState::Served));
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_that_share_files_share_the_budget() {
    let directory = tempfile::tempdir().unwrap();
    let seller = Seller::start(shop).await;
    let payer = FakePayer::new(Does::Pays);
    // Each agent has its own books on the same files, as several processes would.
    let agents: Vec<Agent> = (0..4)
        .map(|_| {
            builder(&payer)
                .policy(forty_cents())
                .spend_book(Arc::new(FileBook::new(directory.path().join("spend.json"))))
                .journal(Arc::new(FileJournal::new(directory.path().join("payments.jsonl"))))
                .build()
                .unwrap()
        })
        .collect();
    assert_eq!(hundred_calls(&agents, &seller.url("/")).await, (40, 60));
    assert_eq!((payer.asked(), seller.credentials().len()), (40, 40));
    let spent = agents[0].spend_book().spent("total dollars", now()).unwrap();
    assert_eq!((spent.confirmed.to_decimal(18).as_str(), spent.held.base()), ("0.4", 0));
    assert_eq!(agents[0].journal().payments().unwrap().len(), 40);
}

/// A journal that fails at one step.
struct Failing {
    at: &'static str,
    inner: farthing_client::MemoryJournal,
}

impl PaymentJournal for Failing {
    fn record(&self, entry: &JournalEntry) -> Result<(), JournalError> {
        let fails = match &entry.step {
            Step::Intended { .. } => self.at == "intended",
            Step::Sending { .. } => self.at == "sending",
            Step::Made { .. } => self.at == "made",
            Step::Sent { .. } => self.at == "sent",
            _ => self.at == "end",
        };
        if fails {
            return Err(JournalError::Storage {
                path: "payments.jsonl".into(),
                why: "the disk is full".into(),
            });
        }
        self.inner.record(entry)
    }

    fn enter(&self, payment: &PaymentId) -> Result<(), JournalError> {
        self.inner.enter(payment)
    }

    fn adopt(&self, payment: &PaymentId) -> Result<Option<PaymentRecord>, JournalError> {
        self.inner.adopt(payment)
    }

    fn leave(&self, payment: &PaymentId) {
        self.inner.leave(payment);
    }

    fn is_in_flight(&self, payment: &PaymentId) -> Result<bool, JournalError> {
        self.inner.is_in_flight(payment)
    }

    fn open(&self) -> Result<Vec<PaymentRecord>, JournalError> {
        self.inner.open()
    }

    fn payments(&self) -> Result<Vec<PaymentRecord>, JournalError> {
        self.inner.payments()
    }
}

#[tokio::test]
async fn a_payment_that_cannot_be_recorded_is_not_made() {
    // Once made, a payment goes on: the caller gets what was paid for.
    let cases = [
        ("intended", "payment_unrecorded", 0, 0),
        ("made", "200", 1, 1),
        // No rail broadcasts here.
        ("sending", "200", 1, 1),
        // By pull, only the seller moves the money: what cannot be kept is not sent.
        ("sent", "payment_unrecorded", 1, 0),
        ("end", "200", 1, 1),
    ];
    for (at, expected, asked, cents) in cases {
        let seller = Seller::start(shop).await;
        let payer = FakePayer::new(Does::Pays);
        let journal = Arc::new(Failing { at, inner: farthing_client::MemoryJournal::new() });
        let agent = builder(&payer).policy(forty_cents()).journal(journal).build().unwrap();
        assert_eq!(outcome(&agent.execute(get(&seller.url("/"))).await), expected, "{at}");
        let spent = agent.spend_book().spent("total dollars", now()).unwrap();
        let counted = spent.confirmed.checked_add(spent.held).unwrap().base() / 10_u128.pow(16);
        assert_eq!((payer.asked(), counted), (asked, cents), "{at}");
    }
}

#[tokio::test]
async fn a_proof_that_cannot_be_kept_stops_the_broadcast() {
    let seller = Seller::start(shop).await;
    let payer = FakePayer::new(Does::Broadcasts(Box::new(Does::Pays)));
    let journal = Arc::new(Failing { at: "sending", inner: farthing_client::MemoryJournal::new() });
    let agent = builder(&payer).policy(forty_cents()).journal(journal).build().unwrap();
    let error = agent.execute(get(&seller.url("/"))).await.unwrap_err();
    assert_eq!((error.code(), error.may_have_paid()), ("payment_unrecorded", false));
    assert!(error.to_string().contains("the disk is full"), "{error}");
    assert_eq!((payer.paid(), seller.credentials().len()), (0, 0));
    let spent = agent.spend_book().spent("total dollars", now()).unwrap();
    assert!(spent.confirmed.is_zero() && spent.held.is_zero(), "the money is free again");
    assert_eq!(agent.journal().payments().unwrap()[0].state, PaymentState::NotPaid);
}

/// A book that cannot be written.
struct Broken(MemoryBook);

impl SpendBook for Broken {
    fn hold(&self, _: &PaymentId, _: &[Draw], _: UnixMs) -> Result<(), SpendError> {
        Err(SpendError::Storage { why: "the disk is full".into() })
    }

    fn check(&self, draws: &[Draw], now: UnixMs) -> Result<(), SpendError> {
        self.0.check(draws, now)
    }

    fn confirm(&self, payment: &PaymentId, now: UnixMs) -> Result<(), SpendError> {
        self.0.confirm(payment, now)
    }

    fn release(&self, payment: &PaymentId) -> Result<(), SpendError> {
        self.0.release(payment)
    }

    fn spent(&self, counter: &str, now: UnixMs) -> Result<Spent, SpendError> {
        self.0.spent(counter, now)
    }

    fn held(&self) -> Result<Vec<PaymentId>, SpendError> {
        self.0.held()
    }
}

#[tokio::test]
async fn a_payment_that_cannot_be_counted_is_not_made() {
    let seller = Seller::start(shop).await;
    let payer = FakePayer::new(Does::Pays);
    let agent = builder(&payer).spend_book(Arc::new(Broken(MemoryBook::new()))).build().unwrap();
    let error = agent.execute(get(&seller.url("/"))).await.unwrap_err();
    assert_eq!((error.code(), error.may_have_paid()), ("payment_unrecorded", false));
    assert!(error.to_string().contains("the disk is full"));
    assert_eq!(payer.asked(), 0);
}
