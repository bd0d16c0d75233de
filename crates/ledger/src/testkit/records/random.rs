//! Random histories of steps and records, compared with the reference: outcomes, versions, records, pages, and the journal.

use super::{Fixture, OTHERS, THINGS};
use crate::record::{Committed, Expect, Order, RecordChange, RecordKey, RecordStore, Scan, Version, Work};
use crate::store::LedgerStore;
use crate::testkit::model::Dice;
use crate::testkit::{MemoryStore, Workload};

const ROUNDS: usize = 120;
/// Few keys, so that works meet.
const KEYS: [&str; 7] = ["a", "a/b", "a/é", "b", "b%", "z'", "🦀"];

pub(super) async fn run<F: Fixture>(fixture: &F, seed: u64)
where
    F::Store: RecordStore,
{
    let (mut store, model) = (fixture.fresh().await, MemoryStore::reference());
    let (mut workload, mut dice) = (Workload::new(seed), Dice::new(seed ^ 0x7ec0));
    let mut last = Version(0);
    for round in 0..ROUNDS {
        let (now, steps) = workload.batch();
        // Most histories refuse something in most batches; records need some that do not.
        let steps = if dice.percent(50) { steps.into_iter().take(1).collect() } else { steps };
        let work = Work { now, steps, records: changes(&mut dice, last) };
        let expected = model.commit(work.clone()).await;
        let got = store.commit(work.clone()).await;
        match (&expected, &got) {
            (Ok(expected), Ok(got)) => assert_eq!(got, expected, "seed {seed}, round {round}: {work:?}"),
            (Err(expected), Err(got)) => assert_eq!(got.code(), expected.code(), "seed {seed}: {work:?}"),
            _ => panic!("seed {seed}, round {round}: {got:?} instead of {expected:?}: {work:?}"),
        }
        if let Ok(Committed::Applied { outcomes, .. } | Committed::Refused { outcomes }) = &got {
            workload.learn(&work.steps, outcomes);
        }
        if let Ok(Committed::Applied { version, .. }) = &got {
            last = *version;
        }
        if round % 40 == 39 {
            store = fixture.reopen(store).await;
        }
        if round % 8 == 7 {
            compare(&store, &model, &format!("seed {seed}, round {round}")).await;
        }
    }
    let accounts = workload.accounts();
    let shown = store.accounts(&accounts).await.expect("the store answers");
    assert_eq!(shown, model.accounts(&accounts).await.expect("the model answers"), "seed {seed}");
    super::must_verify(&store).await;
}

fn changes(dice: &mut Dice, last: Version) -> Vec<RecordChange> {
    let mut changes: Vec<RecordChange> = Vec::new();
    for key in KEYS {
        for table in [THINGS, OTHERS] {
            if dice.percent(80) {
                continue;
            }
            let at = RecordKey { table, key: key.to_owned() };
            // Mostly something that may hold; sometimes the revision of one of the last commits.
            let expect = match dice.below(10) {
                0 => Expect::Absent,
                1 => Expect::Present,
                2 => Expect::Revision(Version(last.0.saturating_sub(dice.below(3)))),
                _ => Expect::Anything,
            };
            let number = i128::from(dice.below(1_000)) - 500;
            changes.push(match dice.below(10) {
                0 => RecordChange::Delete { at, expect },
                1 => RecordChange::Check { at, expect },
                2..5 => RecordChange::Put { at, expect, body: format!("[\"{number}\"]") },
                5 if dice.percent(20) => RecordChange::Put { at, expect, body: "no counter".to_owned() },
                _ => RecordChange::Add { at, numbers: vec![number; 1 + usize::from(dice.percent(50))] },
            });
        }
    }
    changes
}

async fn compare(store: &impl RecordStore, model: &MemoryStore, when: &str) {
    for table in [THINGS, OTHERS] {
        for (prefix, order) in [("", Order::Ascending), ("a", Order::Descending)] {
            let scan = Scan { table, prefix: prefix.to_owned(), after: None, order, limit: 100 };
            let expected = model.scan(scan.clone()).await.expect("the model answers");
            assert_eq!(store.scan(scan).await.expect("the store answers"), expected, "{when}");
        }
        let keys: Vec<RecordKey> = KEYS.map(|key| RecordKey { table, key: key.to_owned() }).into();
        let expected = model.records(&keys).await.expect("the model answers");
        assert_eq!(store.records(&keys).await.expect("the store answers"), expected, "{when}");
    }
    let head = model.head().await.expect("the model answers");
    assert_eq!(store.head().await.expect("the store answers"), head, "{when}");
    if head.seq > 0 {
        let version = model.changed(Version(0)).await.expect("the model answers");
        assert_eq!(store.changed(Version(0)).await.expect("the store answers"), version, "{when}");
    }
}
