//! Counters: added to, never in conflict.

use super::{Fixture, add, applied, body, check, commit, delete, funded, get, must_verify, pay, put};
use crate::record::{Committed, Expect, RecordStore, Version};
use crate::store::LedgerStore;

pub(super) async fn run<F: Fixture>(fixture: &F)
where
    F::Store: RecordStore,
{
    numbers_add_up(fixture).await;
    what_is_no_counter_refuses_everything(fixture).await;
}

async fn numbers_add_up<F: Fixture>(fixture: &F)
where
    F::Store: RecordStore,
{
    let store = fixture.fresh().await;
    let table: [(&[i128], &str); 6] = [
        (&[0], r#"["0"]"#),
        (&[5, -7], r#"["5","-7"]"#),
        (&[1], r#"["6","-7"]"#),
        (&[-6, 7, i128::MAX], r#"["0","0","170141183460469231731687303715884105727"]"#),
        (&[0, 0, i128::MIN + 1], r#"["0","0","0"]"#),
        (
            &[0, i128::MIN, 0, 0, 0, 0, 0, 8],
            r#"["0","-170141183460469231731687303715884105728","0","0","0","0","0","8"]"#,
        ),
    ];
    for (numbers, expected) in table {
        let version = applied(&store, vec![add("n", numbers)]).await;
        let record = get(&store, "n").await.expect("it is there");
        assert_eq!((record.body.as_str(), record.revision), (expected, version), "{numbers:?}");
    }
    // A counter is a record like any other: it can be expected, deleted, and put.
    let last = get(&store, "n").await.expect("it is there").revision;
    applied(&store, vec![check("n", Expect::Revision(last)), add("m", &[1])]).await;
    applied(&store, vec![delete("n", Expect::Revision(last))]).await;
    applied(&store, vec![add("n", &[3])]).await;
    assert_eq!(body(&store, "n").await.as_deref(), Some(r#"["3"]"#), "it began anew");
    applied(&store, vec![put("n", Expect::Present, r#"["40"]"#)]).await;
    applied(&store, vec![add("n", &[2])]).await;
    assert_eq!(body(&store, "n").await.as_deref(), Some(r#"["42"]"#));
}

async fn what_is_no_counter_refuses_everything<F: Fixture>(fixture: &F)
where
    F::Store: RecordStore,
{
    let store = funded(fixture, 1_000).await;
    let full = i128::MAX.to_string();
    let setup = vec![
        put("text", Expect::Absent, "{}"),
        put("full", Expect::Absent, &format!(r#"["1","{full}"]"#)),
        put("low", Expect::Absent, &format!(r#"["{}"]"#, i128::MIN)),
    ];
    let version = applied(&store, setup).await;
    let head = store.head().await.expect("the store answers");
    for bad in [add("text", &[1]), add("full", &[1, 1]), add("low", &[-1])] {
        let changes = vec![put("x", Expect::Absent, "1"), add("n", &[1]), bad.clone()];
        let error = commit(&store, vec![pay(1, 10)], changes).await.expect_err("no sum");
        assert_eq!(error.code(), "ledger_damaged", "{bad:?}");
    }
    // What is expected comes first.
    let changes = vec![add("text", &[1]), check("x", Expect::Present)];
    let done = commit(&store, vec![pay(1, 10)], changes).await.expect("the store answers");
    assert_eq!(done, Committed::Conflict { at: 1 });
    assert_eq!(store.head().await.expect("the store answers"), head);
    assert_eq!((body(&store, "x").await, body(&store, "n").await), (None, None));
    assert_eq!(body(&store, "text").await.as_deref(), Some("{}"));
    assert_eq!(store.changed(Version(0)).await.expect("the store answers"), version);
    // It is none of the others' business.
    applied(&store, vec![add("full", &[1]), add("n", &[1])]).await;
    assert_eq!(body(&store, "full").await, Some(format!(r#"["2","{full}"]"#)));
    must_verify(&store).await;
}
