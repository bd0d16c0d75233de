//! Many callers at once. The cases take any number of stores, for those that are one store in several processes.

use std::pin::Pin;
use std::task::Poll;

use super::{Fixture, add, body, check, codes, commit, funded, get, must_verify, pay, put};
use crate::record::{Committed, Expect, RecordStore, Version, read_counter};
use crate::testkit::conformance::WALLET;

pub(super) async fn run<F: Fixture>(fixture: &F)
where
    F::Store: RecordStore,
{
    let store = funded(fixture, 400).await;
    reading_and_writing(&[&store], 8, 10).await;
    adding(&[&store], 32, 10).await;
    spending(&[&store], 1_000, 400).await;
    must_verify(&store).await;
}

/// Waits for all of them, which run side by side.
pub async fn together<T: Unpin>(mut futures: Vec<Pin<Box<dyn Future<Output = T> + Send + '_>>>) -> Vec<T> {
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(move |context| {
        for (future, done) in futures.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
            if let Poll::Ready(value) = future.as_mut().poll(context) {
                *done = Some(value);
            }
        }
        if done.iter().any(Option::is_none) {
            return Poll::Pending;
        }
        Poll::Ready(done.iter_mut().filter_map(Option::take).collect())
    })
    .await
}

/// `callers` callers add one to a number, `times` times each, by reading, expecting what was read, and reading again.
///
/// # Panics
/// When one of them is lost, or counted twice.
pub async fn reading_and_writing(stores: &[&dyn RecordStore], callers: usize, times: usize) {
    let all = (0..callers).map(|caller| {
        let store = stores[caller % stores.len()];
        let call: Pin<Box<dyn Future<Output = ()> + Send + '_>> = Box::pin(async move {
            for _ in 0..times {
                loop {
                    let found = get(store, "shared").await;
                    let (expect, number) = match &found {
                        Some(record) => (
                            Expect::Revision(record.revision),
                            record.body.parse::<usize>().expect("a number of ours"),
                        ),
                        None => (Expect::Absent, 0),
                    };
                    let next = (number + 1).to_string();
                    match commit(store, vec![], vec![put("shared", expect, &next)]).await {
                        Ok(Committed::Applied { .. }) => break,
                        Ok(Committed::Conflict { at: 0 }) => {}
                        other => panic!("{other:?}"),
                    }
                }
            }
        });
        call
    });
    together(all.collect()).await;
    for store in stores {
        assert_eq!(body(*store, "shared").await, Some((callers * times).to_string()));
    }
}

/// `callers` callers add to one counter `times` times each.
///
/// # Panics
/// When the sum is not exact.
pub async fn adding(stores: &[&dyn RecordStore], callers: usize, times: usize) {
    let all = (0..callers).map(|caller| {
        let store = stores[caller % stores.len()];
        let call: Pin<Box<dyn Future<Output = ()> + Send + '_>> = Box::pin(async move {
            for time in 0..times {
                let number = i128::try_from(caller * times + time).expect("a small number");
                let done = commit(store, vec![], vec![add("sum", &[1, number])]).await;
                assert!(matches!(done, Ok(Committed::Applied { .. })), "{done:?}");
            }
        });
        call
    });
    together(all.collect()).await;
    let all = i128::try_from(callers * times).expect("a small number");
    let counter = body(stores[0], "sum").await.expect("it is there");
    assert_eq!(read_counter(&counter).expect("a counter"), [all, all * (all - 1) / 2]);
}

/// `calls` calls, each of which pays one of a wallet that has `money`, and writes a record, and counts it. The wallet is that
/// of the ledger's own suite, opened and funded.
///
/// # Panics
/// When not exactly as many payments, records and counted calls are there as the wallet had money for.
pub async fn spending(stores: &[&dyn RecordStore], calls: u128, money: u128) {
    let all = (0..calls).map(|call| {
        let store = stores[usize::try_from(call).expect("a small number") % stores.len()];
        let call: Pin<Box<dyn Future<Output = bool> + Send + '_>> = Box::pin(async move {
            let key = format!("spend/{call}");
            let changes = vec![put(&key, Expect::Absent, "paid"), add("spent", &[1])];
            match commit(store, vec![pay(10_000 + call, 1)], changes).await {
                Ok(Committed::Applied { outcomes, .. }) => {
                    assert_eq!(codes(&outcomes), ["applied"]);
                    assert_eq!(body(store, &key).await.as_deref(), Some("paid"));
                    true
                }
                Ok(Committed::Refused { outcomes }) => {
                    assert_eq!(codes(&outcomes), ["exceeds_credits"]);
                    assert_eq!(body(store, &key).await, None);
                    false
                }
                other => panic!("{other:?}"),
            }
        });
        call
    });
    let paid = together(all.collect()).await;
    assert_eq!(paid.iter().filter(|paid| **paid).count() as u128, money);
    let store = stores[0];
    let wallet = store.accounts(&[WALLET]).await.expect("the store answers")[0].expect("it is there");
    assert_eq!(wallet.totals.debits.posted.base(), money);
    assert_eq!(body(store, "spent").await, Some(format!(r#"["{money}"]"#)));
    for (call, paid) in (0..calls).zip(paid) {
        let expect = if paid { Expect::Present } else { Expect::Absent };
        let done = commit(store, vec![], vec![check(&format!("spend/{call}"), expect)]).await;
        assert!(matches!(done, Ok(Committed::Applied { .. })), "call {call}: {done:?}");
    }
    let last = store.changed(Version(0)).await.expect("the store answers");
    assert!(last.0 > u64::try_from(money).expect("a small number"));
}
