#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use farthing_ledger::record::{Committed, Expect, Order, RecordStore, Scan};
use farthing_ledger::store::LedgerStore;
use farthing_ledger::testkit::conformance::{WALLET, hold, opening};
use farthing_ledger::testkit::model::Dice;
use farthing_ledger::testkit::records::{THINGS, add, commit, get, pay, put};
use farthing_ledger::testkit::{Fixture, MemoryLedger, Workload, conformance, records};
use farthing_ledger::{Net, Step, Timestamp};
use tempfile::TempDir;

use super::recover::Tuning;
use super::{LedgerLooker, SqliteLedger, verify_file};

mod crash;
mod damage;
mod full;

/// So small that every batch outgrows it: holds get rows, ids are forgotten and looked up, rounds complete.
const TINY: Tuning = Tuning { shortest_round: 8, remembered: 4, enough: 1, seed: 3 };

struct Files {
    folder: TempDir,
    made: AtomicUsize,
    tuning: Tuning,
}

impl Files {
    fn new(tuning: Tuning) -> Self {
        Self { folder: TempDir::new().unwrap(), made: AtomicUsize::new(0), tuning }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join(format!("ledger-{}.db", self.made.load(Ordering::Relaxed)))
    }

    fn open(&self) -> SqliteLedger {
        SqliteLedger::open_tuned(self.path(), self.tuning).unwrap()
    }
}

#[async_trait::async_trait]
impl Fixture for Files {
    type Store = SqliteLedger;

    async fn fresh(&self) -> SqliteLedger {
        self.made.fetch_add(1, Ordering::Relaxed);
        self.open()
    }

    async fn reopen(&self, store: SqliteLedger) -> SqliteLedger {
        drop(store);
        self.open()
    }
}

fn at(ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(ms)
}

#[tokio::test]
async fn it_keeps_the_contract() {
    conformance::run(&Files::new(Tuning::new(1))).await;
}

#[tokio::test]
async fn it_keeps_the_contract_when_memory_is_short() {
    conformance::run(&Files::new(TINY)).await;
}

#[tokio::test]
async fn it_keeps_the_contract_of_records() {
    records::run(&Files::new(Tuning::new(1))).await;
    records::run(&Files::new(TINY)).await;
}

#[tokio::test]
async fn a_long_history_equals_the_model_through_many_restarts() {
    let files = Files::new(TINY);
    let (mut ledger, model) = (files.open(), MemoryLedger::new());
    let mut workload = Workload::new(11);
    let mut dice = Dice::new(11);
    for round in 0..500 {
        let (now, steps) = workload.batch();
        let expected = model.decide(now, &steps);
        assert_eq!(ledger.transact(now, steps.clone()).await.unwrap(), expected, "round {round}: {steps:?}");
        workload.learn(&steps, &expected);
        if dice.percent(10) {
            drop(ledger);
            ledger = files.open();
            assert_eq!(ledger.head().await.unwrap(), model.scan().head(), "round {round}");
        }
        if dice.percent(4) {
            ledger.verify().await.unwrap().unwrap();
        }
    }
    let accounts = workload.accounts();
    assert_eq!(ledger.accounts(&accounts).await.unwrap(), model.accounts(&accounts).await.unwrap());
    for id in accounts {
        let then = at(3_000);
        assert_eq!(
            ledger.account_at(id, then).await.unwrap(),
            model.account_at(id, then).await.unwrap(),
            "{id}"
        );
    }
    verify_file(files.path()).unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_calls_on_a_wallet_for_four_hundred() {
    for tuning in [Tuning::new(1), TINY] {
        a_thousand_calls(tuning).await;
    }
}

async fn a_thousand_calls(tuning: Tuning) {
    let files = Files::new(tuning);
    let ledger = Arc::new(files.open());
    ledger.transact(at(1), opening(400)).await.unwrap();
    let calls: Vec<_> = (2_001..=3_000_u128)
        .map(|id| {
            let ledger = Arc::clone(&ledger);
            tokio::spawn(async move {
                let outcome = ledger.transact(at(2), vec![Step::single(hold(id, 1, 100))]).await.unwrap();
                let wallet = ledger.accounts(&[WALLET]).await.unwrap()[0].unwrap();
                assert!(matches!(wallet.balances().available, Net::Plus(_)), "{wallet:?}");
                outcome[0].code()
            })
        })
        .collect();
    let mut codes = Vec::new();
    for call in calls {
        codes.push(call.await.unwrap());
    }
    assert_eq!(codes.iter().filter(|code| **code == "applied").count(), 400);
    assert_eq!(codes.iter().filter(|code| **code == "exceeds_credits").count(), 600);
    ledger.verify().await.unwrap().unwrap();
}

#[tokio::test]
async fn a_second_owner_is_refused() {
    let files = Files::new(Tuning::new(1));
    let ledger = files.open();
    assert_eq!(SqliteLedger::open(files.path(), 1).unwrap_err().code(), "store_in_use");
    drop(ledger);
    files.open();
}

#[tokio::test]
async fn strangers_are_left_alone() {
    let files = Files::new(Tuning::new(1));
    rusqlite::Connection::open(files.path()).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    assert_eq!(SqliteLedger::open(files.path(), 1).unwrap_err().code(), "store_of_another_program");
    assert_eq!(verify_file(files.folder.path().join("none.db")).unwrap_err().code(), "store_unreadable");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_works_on_a_wallet_for_four_hundred() {
    for tuning in [Tuning::new(1), TINY] {
        a_thousand_works(tuning).await;
    }
}

async fn a_thousand_works(tuning: Tuning) {
    let files = Files::new(tuning);
    let ledger = Arc::new(files.open());
    ledger.transact(at(1), opening(400)).await.unwrap();
    let calls: Vec<_> = (0..1_000_u128)
        .map(|call| {
            let ledger = Arc::clone(&ledger);
            tokio::spawn(async move {
                let changes = vec![put(&format!("call/{call:04}"), Expect::Absent, ""), add("calls", &[1])];
                commit(&*ledger, vec![pay(2_000 + call, 1)], changes).await.unwrap()
            })
        })
        .collect();
    let (mut applied, mut refused) = (0, 0);
    for call in calls {
        match call.await.unwrap() {
            Committed::Applied { .. } => applied += 1,
            Committed::Refused { .. } => refused += 1,
            Committed::Conflict { at } => panic!("a conflict at {at}"),
        }
    }
    assert_eq!((applied, refused), (400, 600));
    let scan = Scan {
        table: THINGS,
        prefix: "call/".to_owned(),
        after: None,
        order: Order::Ascending,
        limit: 1_000,
    };
    assert_eq!(ledger.scan(scan).await.unwrap().len(), 400);
    assert_eq!(get(&*ledger, "calls").await.unwrap().body, r#"["400"]"#);
    let wallet = ledger.accounts(&[WALLET]).await.unwrap()[0].unwrap();
    assert_eq!(wallet.totals.debits.posted.base(), 400);
    assert_eq!(ledger.head().await.unwrap().seq, 5 + 400, "the opening and 400 transfers");
    ledger.verify().await.unwrap().unwrap();
}

#[tokio::test]
async fn whoever_looks_reads_records_beside_the_owner_and_changes_nothing() {
    let files = Files::new(Tuning::new(1));
    let none = LedgerLooker::open(files.path()).unwrap_err();
    assert_eq!((none.code(), files.path().exists()), ("store_unreadable", false));
    let store = files.fresh().await;
    commit(&store, Vec::new(), vec![put("a", Expect::Absent, "1")]).await.unwrap();
    let looker = LedgerLooker::open(files.path()).unwrap();
    assert_eq!(get(&looker, "a").await, get(&store, "a").await);
    // What its owner writes later is seen too.
    commit(&store, Vec::new(), vec![put("b", Expect::Absent, "2")]).await.unwrap();
    assert_eq!(get(&looker, "b").await.unwrap().body, "2");
    let scan = Scan { table: THINGS, prefix: String::new(), after: None, order: Order::Ascending, limit: 10 };
    assert_eq!(looker.scan(scan).await.unwrap().len(), 2);
    let refused = commit(&looker, Vec::new(), vec![put("c", Expect::Absent, "3")]).await.unwrap_err();
    assert_eq!(refused.code(), "ledger_only_looked");
    assert_eq!(looker.transact(at(1), Vec::new()).await.unwrap_err().code(), "ledger_only_looked");
    assert_eq!(looker.accounts(&[WALLET]).await.unwrap_err().code(), "ledger_only_looked");
    assert_eq!(get(&store, "c").await, None);
    // Also when nobody has it open.
    drop(store);
    assert_eq!(get(&LedgerLooker::open(files.path()).unwrap(), "a").await.unwrap().body, "1");
    std::fs::write(files.path().with_extension("txt"), "no database, and longer than any header of one")
        .unwrap();
    LedgerLooker::open(files.path().with_extension("txt")).unwrap_err();
}
