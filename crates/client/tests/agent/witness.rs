//! A rail that broadcasts by itself: what proves the payment is kept before the money moves, and can be presented after
//! whatever happens.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use farthing_client::journal::{PaymentRecord, PaymentState};
use farthing_client::{Agent, FileBook, FileJournal, PaymentJournal, SpendBook};
use farthing_protocol::ports::PayError;
use serde_json::json;
use tokio::sync::Notify;

use crate::payer::{Does, FakePayer, builder, get, now, outcome};
use crate::seller::{Reply, Seller, ask, challenge, served, terms};

fn pushed() -> serde_json::Value {
    let mut terms = terms();
    terms["mode"] = json!("push");
    terms
}

/// Serves whoever comes with a credential.
async fn seller() -> Seller {
    Seller::start(|seen, _| match seen.credential() {
        None => ask(&[challenge("c", &pushed())]),
        Some(_) => served(),
    })
    .await
}

fn files(directory: &Path) -> (FileBook, FileJournal) {
    (FileBook::new(directory.join("spend.json")), FileJournal::new(directory.join("payments.jsonl")))
}

fn agent_at(directory: &Path, payer: &Arc<FakePayer>) -> Agent {
    let (book, journal) = files(directory);
    builder(payer).spend_book(Arc::new(book)).journal(Arc::new(journal)).build().unwrap()
}

/// What another process finds in the books: the only payment, and the cents that are held.
fn found(directory: &Path) -> (PaymentRecord, u128) {
    let (book, journal) = files(directory);
    let mut records = journal.payments().unwrap();
    assert_eq!(records.len(), 1);
    let held = book.spent("total dollars", now()).unwrap().held.base() / 10_u128.pow(16);
    (records.remove(0), held)
}

/// Sends what was kept, as another process would.
async fn present(seller: &Seller, record: &PaymentRecord) -> u16 {
    let credential = record.credential.as_ref().unwrap();
    let request = reqwest::Client::new().get(seller.url("/"));
    request.header(&credential.header, credential.reveal()).send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn an_outcome_that_is_not_known_leaves_what_can_be_presented() {
    let lost = PayError::Unknown { reference: "0xabc".into(), why: "the answer was lost".into() };
    let refused = PayError::Failed { code: "transaction_refused", why: "no".into() };
    // What the rail does after it has shown the proof: the code, the state, the cents held, whether something is kept.
    let cases = [
        (Does::Fails(lost), "outcome_unknown", PaymentState::Unknown, 1, true),
        (Does::Panics, "outcome_unknown", PaymentState::Unknown, 1, true),
        (Does::Fails(refused), "transaction_refused", PaymentState::NotPaid, 0, false),
        (Does::Pays, "200", PaymentState::Served, 0, false),
    ];
    for (does, code, state, cents, kept) in cases {
        let directory = tempfile::tempdir().unwrap();
        let seller = seller().await;
        let agent = agent_at(directory.path(), &FakePayer::new(Does::Broadcasts(Box::new(does))));
        assert_eq!(outcome(&agent.execute(get(&seller.url("/"))).await), code);
        let (record, held) = found(directory.path());
        assert_eq!((record.state, held, record.credential.is_some()), (state, cents, kept), "{code}");
        if kept {
            assert_eq!(present(&seller, &record).await, 200, "{code}");
        }
    }
}

#[tokio::test]
async fn a_process_that_dies_while_it_broadcasts_leaves_what_can_be_presented() {
    let directory = tempfile::tempdir().unwrap();
    let seller = seller().await;
    let told = Arc::new(Notify::new());
    let payer = FakePayer::new(Does::Broadcasts(Box::new(Does::PaysWhenTold(Arc::clone(&told)))));
    let agent = agent_at(directory.path(), &payer);
    let url = seller.url("/");
    let call = tokio::spawn(async move { agent.execute(get(&url)).await });
    let mut looks = 0;
    while !files(directory.path()).1.payments().unwrap().iter().any(|p| p.state == PaymentState::Sending) {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        looks += 1;
        assert!(looks < 500, "the broadcast never begins");
    }
    // What is on the disk at this instant is what a killed process leaves.
    let left = tempfile::tempdir().unwrap();
    fs::create_dir(left.path().join("payments.jsonl.open")).unwrap();
    for name in ["payments.jsonl", "spend.json"] {
        fs::copy(directory.path().join(name), left.path().join(name)).unwrap();
    }
    for entry in fs::read_dir(directory.path().join("payments.jsonl.open")).unwrap() {
        let path = entry.unwrap().path();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let to = left.path().join("payments.jsonl.open").join(path.file_name().unwrap());
        fs::copy(path, to).unwrap();
    }
    told.notify_one();
    call.await.unwrap().unwrap();

    let (record, held) = found(left.path());
    assert_eq!((record.state, held, record.target.challenge_id.as_str()), (PaymentState::Sending, 1, "c"));
    assert!(!record.state.is_final(), "the outcome is not known");
    assert_eq!(present(&seller, &record).await, 200);
    let credentials = seller.credentials();
    assert_eq!(credentials.len(), 2);
    assert_eq!(credentials[0], credentials[1], "it is the very credential that the call would have sent");
    let line = fs::read_to_string(left.path().join("payments.jsonl")).unwrap();
    assert!(!line.contains(record.credential.unwrap().reveal()), "C19: no line has it");
}

/// The proof of an identity is shown like any other, and never kept.
#[tokio::test]
async fn what_is_worth_nothing_is_not_kept() {
    let directory = tempfile::tempdir().unwrap();
    let mut free = pushed();
    free["amount"] = json!("0");
    let seller = Seller::start(move |seen, _| match seen.credential() {
        None => ask(&[challenge("c", &free)]),
        Some(_) => Reply::Close,
    })
    .await;
    let agent = agent_at(directory.path(), &FakePayer::new(Does::Broadcasts(Box::new(Does::Pays))));
    agent.execute(get(&seller.url("/"))).await.unwrap_err();
    assert!(found(directory.path()).0.credential.is_none());
}
