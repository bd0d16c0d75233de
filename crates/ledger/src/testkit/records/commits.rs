//! Steps and records as one: versions, retries, refusals, the limits of a commit, and what is left after a restart.

use super::{
    Fixture, applied, body, check, codes, commit, delete, funded, get, must_verify, pay, put, thing,
};
use crate::record::{
    Committed, Expect, MAX_BODY, MAX_CHANGES, MAX_KEY, Record, RecordChange, RecordStore, Version, Work,
};
use crate::store::{LedgerStore, MAX_STEPS};
use crate::testkit::conformance::{VENDOR, hold, opening};
use crate::{Step, Timestamp};

pub(super) async fn run<F: Fixture>(fixture: &F)
where
    F::Store: RecordStore,
{
    a_version_is_one_commit(fixture).await;
    refused_steps_leave_records_alone(fixture).await;
    a_retry_is_told(fixture).await;
    limits_are_reached_and_not_passed(fixture).await;
    texts_come_back_as_they_were(fixture).await;
    everything_survives_reopening(fixture).await;
}

async fn paid(store: &impl LedgerStore) -> u128 {
    let accounts = store.accounts(&[VENDOR]).await.expect("the store answers");
    accounts[0].expect("the vendor is there").totals.credits.posted.base()
}

/// What is committed, and the version that it has to have.
type Case = (&'static str, Vec<Step>, Vec<RecordChange>, Option<u64>);

async fn a_version_is_one_commit<F: Fixture>(fixture: &F)
where
    F::Store: RecordStore,
{
    let store = funded(fixture, 1_000).await;
    let table: Vec<Case> = vec![
        (
            "records alone",
            vec![],
            vec![put("a", Expect::Absent, "1"), put("b", Expect::Absent, "1")],
            Some(2),
        ),
        ("steps alone", vec![pay(1, 10), pay(2, 10)], vec![], Some(3)),
        ("both", vec![pay(3, 10)], vec![put("a", Expect::Present, "2")], Some(4)),
        ("nothing", vec![], vec![], Some(4)),
        ("a check", vec![], vec![check("a", Expect::Present)], Some(4)),
        ("what existed", vec![pay(3, 10)], vec![], Some(4)),
        ("a check of what existed", vec![pay(3, 10)], vec![check("a", Expect::Present)], Some(4)),
        ("nothing to delete", vec![], vec![delete("none", Expect::Anything)], Some(4)),
        ("what existed, and a record", vec![pay(3, 10)], vec![put("c", Expect::Absent, "1")], Some(5)),
        ("a conflict", vec![pay(4, 10)], vec![put("a", Expect::Absent, "3")], None),
        ("a refusal", vec![pay(4, 10_000)], vec![put("d", Expect::Absent, "3")], None),
        ("a record goes", vec![], vec![delete("a", Expect::Present)], Some(6)),
    ];
    let mut last = Version(1);
    for (what, steps, records, expected) in table {
        let done = commit(&store, steps, records).await.expect("the store answers");
        match (done, expected) {
            (Committed::Applied { version, .. }, Some(expected)) => {
                assert_eq!(version, Version(expected), "{what}");
                last = version;
            }
            (Committed::Conflict { .. } | Committed::Refused { .. }, None) => {}
            other => panic!("{what}: {other:?}"),
        }
        assert_eq!(store.changed(Version(0)).await.expect("the store answers"), last, "{what}");
    }
    // A commit of the ledger's own call is one like any other.
    store.transact(super::NOW, vec![pay(5, 10)]).await.expect("the store answers");
    assert_eq!(store.changed(Version(0)).await.expect("the store answers"), Version(last.0 + 1));
    must_verify(&store).await;
}

async fn refused_steps_leave_records_alone<F: Fixture>(fixture: &F)
where
    F::Store: RecordStore,
{
    let store = funded(fixture, 100).await;
    let kept = applied(&store, vec![put("kept", Expect::Absent, "1"), super::add("n", &[1])]).await;
    let changes = || {
        vec![
            put("kept", Expect::Revision(kept), "2"),
            put("new", Expect::Absent, "2"),
            super::add("n", &[5]),
            super::add("new_n", &[5]),
        ]
    };
    // The step in the middle stands between two that stand alone: they are applied.
    let steps = vec![pay(1, 10), pay(2, 1_000), pay(3, 10)];
    let done = commit(&store, steps, changes()).await.expect("the store answers");
    let Committed::Refused { outcomes } = done else { panic!("{done:?}") };
    assert_eq!(codes(&outcomes), ["applied", "exceeds_credits", "applied"]);
    assert_eq!(paid(&store).await, 20);
    assert_eq!(
        store.changed(kept).await.expect("the store answers"),
        Version(kept.0 + 1),
        "the journal grew"
    );
    // A linked group is whole: nothing is applied, and nothing was committed.
    let group = Step::group([pay(4, 10), pay(5, 1_000)].map(|step| step.command));
    let done = commit(&store, group, changes()).await.expect("the store answers");
    let Committed::Refused { outcomes } = done else { panic!("{done:?}") };
    assert_eq!(codes(&outcomes), ["linked_group_failed", "exceeds_credits"]);
    assert_eq!(paid(&store).await, 20);
    assert_eq!(store.changed(Version(0)).await.expect("the store answers"), Version(kept.0 + 1));
    let record = get(&store, "kept").await.expect("it is there");
    assert_eq!((record.body.as_str(), record.revision), ("1", kept));
    assert_eq!(body(&store, "new").await, None);
    assert_eq!(body(&store, "n").await.as_deref(), Some(r#"["1"]"#));
    assert_eq!(body(&store, "new_n").await, None);
    must_verify(&store).await;
}

async fn a_retry_is_told<F: Fixture>(fixture: &F)
where
    F::Store: RecordStore,
{
    let store = funded(fixture, 1_000).await;
    let work = || Work {
        now: super::NOW,
        steps: vec![Step::single(hold(7, 300, 1_000)), pay(8, 50)],
        records: vec![put("call", Expect::Absent, "done"), super::add("calls", &[1])],
    };
    let done = store.commit(work()).await.expect("the store answers");
    assert!(matches!(done, Committed::Applied { .. }), "{done:?}");
    let done = store.commit(work()).await.expect("the store answers");
    assert_eq!(done, Committed::Conflict { at: 0 }, "the record says that it happened");
    let done = commit(&store, work().steps, vec![check("call", Expect::Present)]).await;
    let Ok(Committed::Applied { outcomes, version }) = done else { panic!("{done:?}") };
    assert_eq!((codes(&outcomes), version), (vec!["exists", "exists"], Version(2)));
    assert_eq!(body(&store, "calls").await.as_deref(), Some(r#"["1"]"#), "counted once");
    assert_eq!(paid(&store).await, 50);
}

async fn limits_are_reached_and_not_passed<F: Fixture>(fixture: &F)
where
    F::Store: RecordStore,
{
    let store = funded(fixture, 1_000).await;
    // Longest key of characters of four bytes, the longest body, and as many changes as one commit may have.
    let key = "\u{10ffff}".repeat(MAX_KEY / 4);
    let long = "ä".repeat(MAX_BODY / 2);
    let mut changes = vec![put(&key, Expect::Absent, &long), put("empty", Expect::Absent, "")];
    changes.extend((changes.len()..MAX_CHANGES).map(|n| put(&format!("n{n:04}"), Expect::Absent, "x")));
    let version = applied(&store, changes.clone()).await;
    let record = get(&store, &key).await.expect("it is there");
    assert!(record == Record { key, revision: version, body: long }, "the longest comes back whole");
    assert_eq!(body(&store, "empty").await.as_deref(), Some(""));
    assert_eq!(body(&store, &format!("n{:04}", MAX_CHANGES - 1)).await.as_deref(), Some("x"));

    changes.push(put("one_more", Expect::Absent, "x"));
    let table = [
        (vec![], changes, "commit_too_many_changes"),
        (vec![], vec![put("", Expect::Anything, "")], "record_bad_key"),
        (vec![], vec![put("a\u{7f}", Expect::Anything, "")], "record_bad_key"),
        (vec![], vec![put("a", Expect::Anything, "\0")], "record_bad_body"),
        (vec![], vec![super::add("a", &[])], "record_bad_numbers"),
        (vec![], vec![put("a", Expect::Absent, ""), delete("a", Expect::Present)], "record_twice"),
        (vec![pay(1, 1); MAX_STEPS + 1], vec![], "batch_too_long"),
    ];
    for (steps, records, code) in table {
        let mut steps = steps;
        if steps.is_empty() {
            steps.push(pay(9, 9));
        }
        let error = commit(&store, steps, records).await.expect_err(code);
        assert_eq!(error.code(), code);
    }
    assert_eq!(paid(&store).await, 0, "bad work does nothing");
    assert_eq!(store.changed(Version(0)).await.expect("the store answers"), version);
    // A name that no record can have is the name of none.
    for no_key in ["", "a\0b", "\n", &"k".repeat(MAX_KEY + 1)] {
        assert_eq!(store.records(&[thing(no_key)]).await.expect("the store answers"), [None], "{no_key:?}");
    }
}

async fn texts_come_back_as_they_were<F: Fixture>(fixture: &F)
where
    F::Store: RecordStore,
{
    let store = fixture.fresh().await;
    let texts = [
        "plain",
        "'",
        "''",
        "\"",
        "\\",
        "%",
        "_",
        "$1",
        "?1",
        ":a",
        ";--",
        "{}",
        "ä",
        "a\u{308}",
        "日本",
        "🦀",
        " ",
        " a",
        "a ",
        "A",
        "'); DROP TABLE record; --",
    ];
    let changes = texts.iter().map(|text| put(text, Expect::Absent, text)).collect();
    applied(&store, changes).await;
    for text in texts {
        assert_eq!(body(&store, text).await.as_deref(), Some(text), "as key and as body");
    }
    let control = "line\nline\ttab\r\u{1}\u{7f}\u{85}";
    applied(&store, vec![put("control", Expect::Absent, control)]).await;
    assert_eq!(body(&store, "control").await.as_deref(), Some(control));
}

async fn everything_survives_reopening<F: Fixture>(fixture: &F)
where
    F::Store: RecordStore,
{
    let store = fixture.fresh().await;
    let store = fixture.reopen(store).await;
    let done = commit(&store, opening(1_000), vec![put("a", Expect::Absent, "1"), super::add("n", &[1, 2])]);
    assert!(
        matches!(done.await, Ok(Committed::Applied { version: Version(1), .. })),
        "the first commit is 1"
    );
    applied(&store, vec![put("b", Expect::Absent, "1"), delete("a", Expect::Present)]).await;
    let before = store.records(&[thing("a"), thing("b"), thing("n")]).await.expect("the store answers");
    let store = fixture.reopen(store).await;
    assert_eq!(store.changed(Version(0)).await.expect("the store answers"), Version(2), "after records");
    assert_eq!(
        store.records(&[thing("a"), thing("b"), thing("n")]).await.expect("the store answers"),
        before
    );
    let done = commit(&store, vec![pay(1, 10)], vec![put("b", Expect::Revision(Version(2)), "2")]).await;
    assert!(matches!(done, Ok(Committed::Applied { version: Version(3), .. })), "{done:?}");
    let store = fixture.reopen(store).await;
    store.transact(Timestamp::from_unix_ms(11), vec![pay(2, 10)]).await.expect("the store answers");
    let store = fixture.reopen(store).await;
    assert_eq!(store.changed(Version(0)).await.expect("the store answers"), Version(4), "after steps");
    // The last commit deleted: its version is in no record and in no entry.
    applied(&store, vec![delete("b", Expect::Revision(Version(3)))]).await;
    let store = fixture.reopen(store).await;
    let store = fixture.reopen(store).await;
    assert_eq!(store.changed(Version(0)).await.expect("the store answers"), Version(5), "after a deletion");
    assert_eq!(applied(&store, vec![super::add("n", &[1])]).await, Version(6));
    assert_eq!(body(&store, "n").await.as_deref(), Some(r#"["2","2"]"#));
    assert_eq!(paid(&store).await, 20);
    must_verify(&store).await;
}
