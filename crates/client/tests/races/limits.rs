//! Processes that race for one limit.

use farthing_client::{FileBook, FileJournal, PaymentJournal, SpendBook};

use crate::job::{said, spawn};
use crate::payer::now;
use crate::seller::{Seller, shop};

const PROCESSES: usize = 8;

/// 8 processes, 40 attempts each, on limits that allow 70 and 100: exactly 70, whoever was faster.
#[test]
fn processes_that_race_for_a_limit_reach_it_and_never_pass_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let children: Vec<_> = (0..PROCESSES).map(|_| spawn(&["hold", path, "40"])).collect();
    let mut held = 0;
    for child in children {
        let output = child.wait_with_output().unwrap();
        let words = said(&output.stdout, "held ");
        assert_eq!(words.len(), 1, "{output:?}");
        held += words[0].parse::<usize>().unwrap();
    }
    let book = FileBook::new(directory.path().join("spend.json"));
    for counter in ["total x", "day x"] {
        assert_eq!(book.spent(counter, now()).unwrap().used().base(), 70, "{counter}");
    }
    assert_eq!(held, 70);
}

/// The same with whole agents, which pay: 6 processes, 8 calls each, 20 allowed.
#[tokio::test(flavor = "multi_thread")]
async fn agents_in_many_processes_pay_as_often_as_the_limit_allows() {
    let directory = tempfile::tempdir().unwrap();
    let seller = Seller::start(shop).await;
    let (path, url) = (directory.path().to_str().unwrap().to_owned(), seller.url("/"));
    let children: Vec<_> = (0..6)
        .map(|_| {
            let job = [&["call", path.as_str()], [url.as_str(); 8].as_slice()].concat();
            spawn(&job)
        })
        .collect();
    let ended = tokio::task::spawn_blocking(move || {
        children
            .into_iter()
            .flat_map(|child| said(&child.wait_with_output().unwrap().stdout, "ended "))
            .collect()
    });
    let ended: Vec<String> = ended.await.unwrap();
    let count = |word: &str| ended.iter().filter(|end| *end == word).count();
    assert_eq!((ended.len(), count("200"), count("over_spend_limit")), (48, 20, 28), "{ended:?}");
    assert_eq!(seller.credentials().len(), 20);
    let journal = FileJournal::new(directory.path().join("payments.jsonl"));
    assert_eq!(journal.payments().unwrap().len(), 20, "what is refused is no payment");
    assert!(journal.open().unwrap().is_empty());
    let folder = std::fs::read_dir(directory.path().join("payments.jsonl.open")).unwrap();
    assert_eq!(folder.count(), 0, "nothing is left of what is over");
}
