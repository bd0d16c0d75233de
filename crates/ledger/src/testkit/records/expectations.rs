//! What a change may expect of its record, and what happens when it is wrong.

use super::{
    Fixture, OTHERS, applied, body, check, commit, delete, funded, get, must_verify, pay, put, thing,
};
use crate::record::{Committed, Expect, RecordChange, RecordKey, RecordStore, Version};
use crate::store::LedgerStore;
use crate::testkit::conformance::WALLET;

pub(super) async fn run<F: Fixture>(fixture: &F)
where
    F::Store: RecordStore,
{
    every_expectation_meets_every_state(fixture).await;
    the_first_failure_is_named_and_nothing_happens(fixture).await;
    a_record_made_anew_is_another(fixture).await;
    tables_do_not_mix(fixture).await;
}

async fn every_expectation_meets_every_state<F: Fixture>(fixture: &F)
where
    F::Store: RecordStore,
{
    let store = fixture.fresh().await;
    let table = [
        // (is it there, expectation of the revision that it has (0) or another, holds)
        (false, Expect::Anything, true),
        (false, Expect::Absent, true),
        (false, Expect::Present, false),
        (false, Expect::Revision(Version(0)), false),
        (false, Expect::Revision(Version(1)), false),
        (true, Expect::Anything, true),
        (true, Expect::Absent, false),
        (true, Expect::Present, true),
        (true, Expect::Revision(Version(0)), true),
        (true, Expect::Revision(Version(1)), false),
    ];
    for (case, (there, expect, holds)) in table.into_iter().enumerate() {
        for kind in ["put", "delete", "check"] {
            let key = format!("{kind}-{case}");
            let mut revision = Version(0);
            if there {
                revision = applied(&store, vec![put(&key, Expect::Absent, "before")]).await;
            }
            let expect = match expect {
                // One that it has, and one that it has not.
                Expect::Revision(Version(0)) => Expect::Revision(revision),
                Expect::Revision(_) => Expect::Revision(Version(revision.0 + 1)),
                other => other,
            };
            let before = get(&store, &key).await;
            let change = match kind {
                "put" => put(&key, expect, "after"),
                "delete" => delete(&key, expect),
                _ => check(&key, expect),
            };
            let done = commit(&store, vec![], vec![change.clone()]).await.expect("the store answers");
            let after = get(&store, &key).await;
            if !holds {
                assert_eq!(done, Committed::Conflict { at: 0 }, "{change:?}");
                assert_eq!(after, before, "{change:?}");
                continue;
            }
            let Committed::Applied { version, outcomes } = done else { panic!("{change:?}: {done:?}") };
            assert!(outcomes.is_empty(), "{change:?}");
            match kind {
                "put" => {
                    let after = after.expect("it was put");
                    assert_eq!((after.key, after.body.as_str()), (key, "after"), "{change:?}");
                    assert_eq!(after.revision, version, "the commit that wrote it");
                }
                "delete" => assert_eq!(after, None, "{change:?}"),
                _ => assert_eq!(after, before, "{change:?}"),
            }
        }
    }
}

async fn the_first_failure_is_named_and_nothing_happens<F: Fixture>(fixture: &F)
where
    F::Store: RecordStore,
{
    let store = funded(fixture, 1_000).await;
    let first = applied(&store, vec![put("a", Expect::Absent, "a1")]).await;
    let second = applied(&store, vec![put("a", Expect::Revision(first), "a2")]).await;
    let (head, wallet) =
        (store.head().await.expect("head"), store.accounts(&[WALLET]).await.expect("wallet"));
    let changes = vec![
        put("new", Expect::Absent, "x"),
        check("a", Expect::Revision(first)),
        delete("none", Expect::Present),
    ];
    let done = commit(&store, vec![pay(1, 100)], changes).await.expect("the store answers");
    assert_eq!(done, Committed::Conflict { at: 1 });
    assert_eq!(body(&store, "new").await, None, "nothing is written before the conflict");
    assert_eq!(store.head().await.expect("head"), head, "no step was decided");
    assert_eq!(store.accounts(&[WALLET]).await.expect("wallet"), wallet);
    assert!(store.changed(Version(0)).await.expect("version") == second, "a conflict is no commit");
    // The id is free: the step was never decided.
    let done = commit(&store, vec![pay(1, 70)], vec![check("a", Expect::Revision(second))]).await;
    let Ok(Committed::Applied { outcomes, version }) = done else { panic!("{done:?}") };
    assert_eq!((super::codes(&outcomes), version), (vec!["applied"], Version(second.0 + 1)));
    assert_eq!(get(&store, "a").await.expect("it is there").revision, second, "to check is not to write");
    must_verify(&store).await;
}

async fn a_record_made_anew_is_another<F: Fixture>(fixture: &F)
where
    F::Store: RecordStore,
{
    let store = fixture.fresh().await;
    let first = applied(&store, vec![put("a", Expect::Absent, "same")]).await;
    applied(&store, vec![delete("a", Expect::Revision(first))]).await;
    assert_eq!(get(&store, "a").await, None);
    let again = applied(&store, vec![put("a", Expect::Absent, "same")]).await;
    assert!(again > first, "{again:?}");
    let done = commit(&store, vec![], vec![put("a", Expect::Revision(first), "late")]).await;
    assert!(matches!(done, Ok(Committed::Conflict { at: 0 })), "the first one is gone: {done:?}");
    // What says the same is written all the same, and whoever read the one before is late.
    let same = applied(&store, vec![put("a", Expect::Anything, "same")]).await;
    assert!(same > again);
    assert_eq!(get(&store, "a").await.expect("it is there").revision, same);
}

async fn tables_do_not_mix<F: Fixture>(fixture: &F)
where
    F::Store: RecordStore,
{
    let store = fixture.fresh().await;
    let other = RecordKey { table: OTHERS, key: "a".to_owned() };
    let both = vec![
        put("a", Expect::Absent, "thing"),
        RecordChange::Put { at: other.clone(), expect: Expect::Absent, body: "other".to_owned() },
    ];
    let version = applied(&store, both).await;
    applied(&store, vec![delete("a", Expect::Revision(version))]).await;
    let keys = [thing("a"), other.clone(), thing("b"), other];
    let found = store.records(&keys).await.expect("the store answers");
    let found: Vec<Option<String>> = found.into_iter().map(|found| found.map(|record| record.body)).collect();
    let expected = [None, Some("other".to_owned()), None, Some("other".to_owned())];
    assert_eq!(found, expected, "in the order asked, as often as asked");
    assert_eq!(store.records(&[]).await.expect("the store answers"), []);
}
