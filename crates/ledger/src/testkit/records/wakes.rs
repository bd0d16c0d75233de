//! Waiting for commits, and reading what was just written.

use super::{Fixture, applied, body, commit, funded, pay, put, together};
use crate::record::{Expect, RecordStore, Version};

pub(super) async fn run<F: Fixture>(fixture: &F)
where
    F::Store: RecordStore,
{
    waiting_ends_with_the_next_commit(fixture).await;
    what_was_committed_is_read(fixture).await;
}

async fn waiting_ends_with_the_next_commit<F: Fixture>(fixture: &F)
where
    F::Store: RecordStore,
{
    let store = funded(fixture, 1_000).await;
    let (store, version) = (&store, |n| async move { Version(n) });
    assert_eq!(store.changed(Version(0)).await.expect("the store answers"), version(1).await);
    // The waiters wait before the commits are made: each wakes with the first one that it does not know.
    let waiter = |known: u64| async move {
        let seen = store.changed(Version(known)).await.expect("the store answers");
        assert!(seen > Version(known), "{seen:?} after {known}");
        seen
    };
    let commits = async {
        for n in 0..5_u128 {
            let done = if n % 2 == 0 {
                commit(store, vec![pay(n + 1, 1)], vec![]).await
            } else {
                commit(store, vec![], vec![put(&n.to_string(), Expect::Absent, "")]).await
            };
            done.expect("the store answers");
        }
        Version(6)
    };
    let mut all: Vec<std::pin::Pin<Box<dyn Future<Output = Version> + Send + '_>>> = Vec::new();
    for known in [1, 1, 2, 3, 4, 5] {
        all.push(Box::pin(waiter(known)));
    }
    all.push(Box::pin(commits));
    let seen = together(all).await;
    assert!(seen.iter().all(|seen| *seen <= Version(6)), "{seen:?}");
    assert_eq!(store.changed(Version(5)).await.expect("the store answers"), Version(6));
}

async fn what_was_committed_is_read<F: Fixture>(fixture: &F)
where
    F::Store: RecordStore,
{
    let store = fixture.fresh().await;
    for n in 0..50 {
        let text = n.to_string();
        let version = applied(&store, vec![put("a", Expect::Anything, &text)]).await;
        assert_eq!(body(&store, "a").await.as_deref(), Some(text.as_str()));
        assert_eq!(store.changed(Version(version.0 - 1)).await.expect("the store answers"), version);
    }
}
