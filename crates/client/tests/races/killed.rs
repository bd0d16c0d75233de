//! Processes that are killed at any point: nothing is paid twice, nothing is lost, and no limit is passed.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use farthing_client::journal::PaymentState;
use farthing_client::{FileBook, FileJournal, PaymentJournal, SpendBook};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::job::{agent, said, spawn};
use crate::payer::{get, now};
use crate::seller::{Seller, ask, offer, served};

/// The seed of the points at which children are killed.
const SEED: u64 = 0xFA27_4176;

/// Asks a price; serves each credential, as often as it is shown: only what it was made for.
async fn seller() -> Seller {
    Seller::start(|seen, nth| match seen.credential() {
        Some(_) => served(),
        None => ask(&[offer(&format!("c{nth}"))]),
    })
    .await
}

/// Cents spent or held of the hour.
fn cents(directory: &Path) -> u128 {
    let book = FileBook::new(directory.join("spend.json"));
    book.spent("hour dollars", now()).unwrap().used().base() / 10_u128.pow(16)
}

/// What the seller could take: distinct credentials that it was shown for a path.
fn taken(seller: &Seller, path: &str) -> usize {
    let seen = seller.seen();
    let shown = seen.iter().filter(|seen| seen.path == path).filter_map(|seen| seen.credential());
    shown.collect::<BTreeSet<_>>().len()
}

/// Kills the child after a while, unless it has ended by then. True when it ended by itself, with every call served.
async fn kill_after(mut child: Child, patience: Duration) -> bool {
    tokio::time::sleep(patience).await;
    let ended = child.try_wait().unwrap().is_some();
    child.kill().unwrap();
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    ended
        && !said(&output.stdout, "ended ").is_empty()
        && said(&output.stdout, "ended ").iter().all(|end| end == "200")
}

fn is_served(directory: &Path, url: &str) -> bool {
    let records = FileJournal::new(directory.join("payments.jsonl")).payments().unwrap();
    records.iter().any(|record| record.target.url == url && record.state == PaymentState::Served)
}

/// How long a child takes that nobody kills.
async fn lifetime(seller: &Seller) -> Duration {
    let directory = tempfile::tempdir().unwrap();
    let (path, url) = (directory.path().to_str().unwrap().to_owned(), seller.url("/lifetime"));
    let began = tokio::time::Instant::now();
    let child = spawn(&["call", &path, &url]);
    tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    began.elapsed()
}

/// One call, begun again by a new process as often as the last one was killed: one payment, however often.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_process_is_killed_is_paid_once_however_often_it_is_begun_again() {
    let seller = seller().await;
    let mut life = lifetime(&seller).await;
    let mut random = StdRng::seed_from_u64(SEED);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap().to_owned();
    let (mut calls, mut kills) = (0, 0);
    // As many as the limit allows, until enough were killed: on a busy machine a lifetime is measured too long at first.
    while calls < 12 || (kills < 6 && calls < 20) {
        let nth = calls;
        calls += 1;
        life = life.min(lifetime(&seller).await);
        let resource = format!("/job/{nth}");
        let url = seller.url(&resource);
        for attempt in 0.. {
            // Later attempts get more time, so that each call ends.
            let patience = life.mul_f64(random.random_range(0.0..1.2) + 0.1 * f64::from(attempt));
            kills += usize::from(!kill_after(spawn(&["call", &path, &url]), patience).await);
            // Served before it was killed, and known to be: the call is over.
            if is_served(directory.path(), &url) {
                break;
            }
        }
        assert_eq!(taken(&seller, &resource), 1, "{resource} is paid once");
    }
    assert!(kills >= 6, "{kills} kills prove nothing");
    // What died before it sent anything is given back.
    agent(directory.path()).sweep().await;
    assert_eq!(cents(directory.path()), calls, "every call counts once");
    assert!(FileJournal::new(directory.path().join("payments.jsonl")).open().unwrap().is_empty());
}

/// Children that each call something else, killed at any point: what a seller can take is counted, kept, and within the limit.
#[tokio::test(flavor = "multi_thread")]
async fn what_killed_processes_have_sent_is_counted_and_kept() {
    let seller = seller().await;
    let life = lifetime(&seller).await;
    let mut random = StdRng::seed_from_u64(SEED + 1);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap().to_owned();
    for round in 0..20 {
        let urls: Vec<String> = (0..4).map(|nth| seller.url(&format!("/round/{round}/{nth}"))).collect();
        let children = urls.iter().map(|url| {
            let patience = life.mul_f64(random.random_range(0.0..2.5));
            tokio::spawn(kill_after(spawn(&["call", &path, url]), patience))
        });
        for child in children.collect::<Vec<_>>() {
            child.await.unwrap();
        }
        let shown: BTreeSet<String> = seller
            .seen()
            .iter()
            .filter(|seen| seen.path.starts_with("/round"))
            .filter_map(|seen| seen.credential().map(str::to_owned))
            .collect();
        let counted = cents(directory.path());
        assert!(counted >= shown.len() as u128, "{counted} counted, {} can be taken", shown.len());
        assert!(counted <= 20 && shown.len() <= 20, "the limit is 20: {counted}, {}", shown.len());
        let journal = FileJournal::new(directory.path().join("payments.jsonl"));
        let records = journal.payments().unwrap();
        let kept: BTreeSet<String> = records
            .iter()
            .filter_map(|record| record.credential.as_ref().map(|kept| kept.reveal().to_owned()))
            .collect();
        let served = records.iter().filter(|record| record.state == PaymentState::Served).count();
        let lost = shown.iter().filter(|credential| !kept.contains(*credential)).count();
        assert!(lost <= served, "{lost} credentials that were sent are not kept, and {served} were served");
    }
    // Everything that can be given back is, and the limit is reached exactly by new calls.
    let agent = agent(directory.path());
    agent.sweep().await;
    let before = cents(directory.path());
    let mut served = 0;
    for nth in 0..25 {
        served += u128::from(agent.execute(get(&seller.url(&format!("/after/{nth}")))).await.is_ok());
    }
    assert_eq!((before + served, cents(directory.path())), (20, 20));
}
