//! A balance is true when it is answered: it shows all that anybody was answered before it was asked for.

use std::time::Duration;

use futures_util::future::join_all;

use super::*;

/// Two instances, the second one's own connection for looking ready, and a wallet.
async fn two(databases: &Databases) -> [PgLedger; 2] {
    let ledgers = [databases.open().await, databases.open().await];
    ledgers[0].transact(at(1), opening(1 << 40)).await.unwrap();
    let ready = async {
        while !ledgers[1].direct.is_ready() {
            ledgers[1].head().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ready).await.unwrap();
    ledgers
}

async fn held(ledger: &PgLedger) -> u128 {
    ledger.accounts(&[WALLET]).await.unwrap()[0].unwrap().balances().held.base()
}

async fn place(ledger: &PgLedger, id: u128) {
    let outcomes = ledger.transact(at(1), vec![Step::single(hold(id, 1, 100))]).await.unwrap();
    assert_eq!(outcomes, [Outcome::Applied]);
}

/// Asked by one, who looks at the log alone, and by many at once, most of whom share a look.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_balance_shows_what_another_instance_was_answered() {
    let Some(cluster) = Cluster::shared("a_balance_shows_what_another_instance_was_answered") else { return };
    let databases = Databases::new(cluster, Tuning::new(1));
    let [here, there] = two(&databases).await;
    for id in 1..=200 {
        place(&here, id).await;
        let askers = if id % 2 == 0 { 1 } else { 8 };
        for got in join_all((0..askers).map(|_| held(&there))).await {
            assert_eq!(got, id, "of {askers}");
        }
    }
    assert!(there.direct.is_ready());
}

/// The connection is in the hands of a question whose asker does something else meanwhile, and is given back by one that is dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_that_is_left_alone_holds_up_nobody() {
    let Some(cluster) = Cluster::shared("a_question_that_is_left_alone_holds_up_nobody") else { return };
    let databases = Databases::new(cluster, Tuning::new(1));
    let [here, there] = two(&databases).await;
    for id in 1..=20 {
        let left = loop {
            let mut asked = Box::pin(held(&there));
            tokio::select! {
                biased;
                got = asked.as_mut() => assert_eq!(got, id - 1, "it was answered at once"),
                () = std::future::ready(()) => break asked,
            }
        };
        assert!(!there.direct.is_ready());
        place(&here, id).await;
        let answered = tokio::time::timeout(Duration::from_secs(5), held(&there)).await;
        assert_eq!(answered.expect("it does not wait for the other question"), id);
        if id % 2 == 0 {
            // It looks again where it stopped, and shows at least what it was asked for.
            assert!(left.await >= id - 1);
        } else {
            drop(left);
        }
        assert!(there.direct.is_ready());
        assert_eq!(held(&there).await, id);
    }
}
