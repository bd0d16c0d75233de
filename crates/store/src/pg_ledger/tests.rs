#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use farthing_ledger::record::{
    Committed, Expect, RecordChange, RecordKey, RecordStore, Table, Version, Work,
};
use farthing_ledger::store::LedgerStore;
use farthing_ledger::testkit::conformance::{WALLET, hold, opening, post, void};
use farthing_ledger::testkit::model::Dice;
use farthing_ledger::testkit::{Fixture, MemoryLedger, Workload, conformance, records};
use farthing_ledger::{Net, Outcome, Remainder, Step, Timestamp, TransferId};

use super::sql::{Session, Sql};
use super::{PgLedger, verify_database};
use crate::PgUrl;
use crate::books::Tuning;
use crate::postgres::session::Access;
use crate::testkit::postgres::Cluster;

mod crash;
mod fresh;
mod plans;
mod race;

/// So small that every batch outgrows it: holds get rows, ids are forgotten and looked up, rounds complete.
const TINY: Tuning = Tuning { shortest_round: 8, remembered: 4, enough: 1, seed: 3 };

/// A database, in which every fresh ledger is another shard.
struct Databases {
    url: String,
    shard: AtomicI32,
    tuning: Tuning,
}

impl Databases {
    fn new(cluster: &'static Cluster, tuning: Tuning) -> Self {
        Self { url: cluster.database(), shard: AtomicI32::new(0), tuning }
    }

    fn url(&self) -> PgUrl {
        PgUrl::parse(&self.url).unwrap()
    }

    fn name(&self) -> String {
        self.url.rsplit('/').next().unwrap().to_owned()
    }

    async fn open(&self) -> PgLedger {
        let shard = self.shard.load(Ordering::Relaxed);
        PgLedger::open_tuned(self.url(), shard, self.tuning).await.unwrap()
    }

    async fn proven(&self) {
        let shard = self.shard.load(Ordering::Relaxed);
        verify_database(&self.url(), shard).await.unwrap().unwrap();
    }
}

#[async_trait::async_trait]
impl Fixture for Databases {
    type Store = PgLedger;

    async fn fresh(&self) -> PgLedger {
        self.shard.fetch_add(1, Ordering::Relaxed);
        self.open().await
    }

    async fn reopen(&self, store: PgLedger) -> PgLedger {
        store.close().await;
        self.open().await
    }
}

fn at(ms: u64) -> Timestamp {
    Timestamp::from_unix_ms(ms)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_contract() {
    let Some(cluster) = Cluster::shared("it_keeps_the_contract") else { return };
    let databases = Databases::new(cluster, Tuning::new(1));
    conformance::run(&databases).await;
    records::run(&databases).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_the_contract_when_memory_is_short() {
    let Some(cluster) = Cluster::shared("it_keeps_the_contract_when_memory_is_short") else { return };
    let databases = Databases::new(cluster, TINY);
    conformance::run(&databases).await;
    records::run(&databases).await;
}

/// Two instances take turns at random, and are opened anew in between: one history, the model's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_history_over_two_instances_equals_the_model() {
    let Some(cluster) = Cluster::shared("a_long_history_over_two_instances_equals_the_model") else { return };
    let databases = Databases::new(cluster, TINY);
    let mut ledgers = [databases.open().await, databases.open().await];
    let (model, mut workload, mut dice) = (MemoryLedger::new(), Workload::new(11), Dice::new(11));
    for round in 0..300 {
        let (now, steps) = workload.batch();
        let expected = model.decide(now, &steps);
        let turn = usize::from(dice.percent(50));
        let got = ledgers[turn].transact(now, steps.clone()).await.unwrap();
        assert_eq!(got, expected, "round {round}: {steps:?}");
        workload.learn(&steps, &expected);
        assert_eq!(ledgers[1 - turn].head().await.unwrap(), model.scan().head(), "round {round}");
        if dice.percent(5) {
            ledgers[turn] = databases.open().await;
        }
        if dice.percent(2) {
            ledgers[turn].verify().await.unwrap().unwrap();
        }
    }
    let accounts = workload.accounts();
    for ledger in &ledgers {
        assert_eq!(ledger.accounts(&accounts).await.unwrap(), model.accounts(&accounts).await.unwrap());
        for id in &accounts {
            let then = at(3_000);
            let expected = model.account_at(*id, then).await.unwrap();
            assert_eq!(ledger.account_at(*id, then).await.unwrap(), expected, "{id}");
        }
    }
    databases.proven().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_calls_on_a_wallet_for_four_hundred_over_two_instances() {
    let Some(cluster) = Cluster::shared("a_thousand_calls_over_two_instances") else { return };
    let databases = Databases::new(cluster, Tuning::new(1));
    let ledgers = [Arc::new(databases.open().await), Arc::new(databases.open().await)];
    ledgers[0].transact(at(1), opening(400)).await.unwrap();
    let calls: Vec<_> = (2_001..=3_000_u128)
        .map(|id| {
            let ledger = Arc::clone(&ledgers[usize::from(id % 2 == 0)]);
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
    ledgers[1].verify().await.unwrap().unwrap();
}

/// Records and counters over two instances, each of which sees at once what the other was answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_share_records() {
    let Some(cluster) = Cluster::shared("two_instances_share_records") else { return };
    let databases = Databases::new(cluster, TINY);
    let ledgers = [databases.open().await, databases.open().await];
    ledgers[0].transact(at(1), opening(400)).await.unwrap();
    let stores: [&dyn RecordStore; 2] = [&ledgers[0], &ledgers[1]];
    records::reading_and_writing(&stores, 8, 10).await;
    records::adding(&stores, 32, 10).await;
    records::spending(&stores, 1_000, 400).await;
    databases.proven().await;
}

/// A commit of one instance wakes who waits at the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_elsewhere_wakes() {
    let Some(cluster) = Cluster::shared("a_commit_elsewhere_wakes") else { return };
    let databases = Databases::new(cluster, Tuning::new(1));
    let (here, there) = (databases.open().await, Arc::new(databases.open().await));
    here.transact(at(1), opening(400)).await.unwrap();
    let last = there.changed(Version(0)).await.unwrap();
    let waiting = tokio::spawn({
        let there = Arc::clone(&there);
        async move { there.changed(last).await.unwrap() }
    });
    here.transact(at(1), vec![Step::single(hold(1, 10, 100))]).await.unwrap();
    assert_eq!(waiting.await.unwrap(), Version(last.0 + 1));
}

/// A process that hangs while it holds the end of the log is cut off by the server; others wait for that long and go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_hangs_does_not_hold_the_log() {
    let Some(cluster) = Cluster::shared("a_process_that_hangs_does_not_hold_the_log") else { return };
    let databases = Databases::new(cluster, TINY);
    let ledger = databases.open().await;
    ledger.transact(at(1), opening(400)).await.unwrap();
    let hanging = Session::open(&databases.url(), Access::Write).await.unwrap();
    hanging.begin_with("BEGIN").await.unwrap();
    assert_eq!(hanging.query(Sql::Lock, &[&0_i32]).await.unwrap().len(), 1);
    let outcomes = ledger.transact(at(1), vec![Step::single(hold(1, 10, 100))]).await.unwrap();
    assert_eq!(outcomes, [Outcome::Applied]);
    assert!(hanging.query(Sql::Lock, &[&0_i32]).await.is_err());
}

/// Others have written more than is read while the log is held, and more than is remembered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_far_behind_catches_up() {
    let Some(cluster) = Cluster::shared("whoever_is_far_behind_catches_up") else { return };
    let databases = Databases::new(cluster, TINY);
    let ledgers = [databases.open().await, databases.open().await];
    ledgers[0].transact(at(1), opening(1 << 60)).await.unwrap();
    let many = |from: u128| (from..from + 5_000).map(|id| Step::single(hold(id, 1, 100))).collect();
    for from in [10_000, 20_000] {
        let outcomes = ledgers[1].transact(at(1), many(from)).await.unwrap();
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Applied));
    }
    let steps = [hold(24_999, 1, 100), hold(30_000, 1, 100)].map(Step::single);
    let outcomes = ledgers[0].transact(at(1), steps.into()).await.unwrap();
    assert_eq!(outcomes, [Outcome::Exists, Outcome::Applied]);
    assert_eq!(ledgers[0].head().await.unwrap(), ledgers[1].head().await.unwrap());
    databases.proven().await;
}

/// A backup is put back under a ledger that runs: its books are ahead of the log, and are read anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_backup_is_noticed() {
    let Some(cluster) = Cluster::shared("a_restored_backup_is_noticed") else { return };
    let databases = Databases::new(cluster, TINY);
    let ledger = databases.open().await;
    ledger.transact(at(1), opening(400)).await.unwrap();
    let one = async |id, amount| {
        let steps = vec![Step::single(hold(id, amount, 100))];
        ledger.transact(at(1), steps).await.unwrap()[0].code()
    };
    assert_eq!(one(1, 100).await, "applied");
    let dump = cluster.home().join(format!("{}.dump", databases.name()));
    let dump = dump.to_str().unwrap();
    cluster.run("pg_dump", &["-Fc", "-d", &databases.url, "-f", dump]).unwrap();
    for (ids, how) in [([2, 3], "as many entries as were lost"), ([4, 5], "fewer")] {
        assert_eq!(one(ids[0], 100).await, "applied");
        assert_eq!(one(ids[1], 100).await, "applied");
        cluster.run("pg_restore", &["--clean", "-d", &databases.url, dump]).unwrap();
        if ids[0] == 2 {
            // Somebody else goes on meanwhile, so that the log is as long as before.
            let other = databases.open().await;
            let steps = [hold(20, 100, 100), hold(21, 100, 100)].map(Step::single);
            other.transact(at(1), steps.into()).await.unwrap();
            assert_eq!(one(22, 101).await, "exceeds_credits", "{how}");
            assert_eq!(one(22, 100).await, "applied", "{how}");
            cluster.run("pg_restore", &["--clean", "-d", &databases.url, dump]).unwrap();
        }
        let wallet = ledger.accounts(&[WALLET]).await.unwrap()[0].unwrap();
        assert_eq!(wallet.balances().held.base(), 100, "{how}");
        assert_eq!(ledger.known(TransferId::from_u128(ids[0])).await.unwrap(), None, "{how}");
        ledger.verify().await.unwrap().unwrap();
    }
    assert_eq!(one(2, 300).await, "applied");
    databases.proven().await;
}

/// Connections that are cut while they are idle, or at work, cost nobody anything but time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_break_are_made_again() {
    let Some(cluster) = Cluster::shared("connections_that_break_are_made_again") else { return };
    let databases = Databases::new(cluster, TINY);
    let ledger = databases.open().await;
    ledger.transact(at(1), opening(400)).await.unwrap();
    let cut = format!(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{}'",
        databases.name()
    );
    for id in 1..=5 {
        assert_ne!(cluster.sql("postgres", &cut), "0");
        let steps = vec![Step::single(hold(id, 10, 100))];
        let outcomes = match ledger.transact(at(1), steps.clone()).await {
            Ok(outcomes) => outcomes,
            Err(error) => {
                assert_eq!(error.code(), "ledger_outcome_unknown");
                ledger.transact(at(1), steps).await.unwrap()
            }
        };
        assert!(matches!(outcomes[0], Outcome::Applied | Outcome::Exists));
        assert_ne!(cluster.sql("postgres", &cut), "0");
        let wallet = ledger.accounts(&[WALLET]).await.unwrap()[0].unwrap();
        assert_eq!(wallet.balances().held.base(), id * 10);
        assert_eq!(ledger.records(&[records::thing("none")]).await.unwrap(), [None]);
    }
    databases.proven().await;
}

/// A ledger with some of everything.
async fn history(databases: &Databases) {
    let ledger = databases.open().await;
    ledger.transact(at(1), opening(1_000)).await.unwrap();
    for id in 0..20 {
        let keep = post(200 + id, 100 + id, 3, Remainder::Keep);
        let steps = [hold(100 + id, 10, 1_000), keep].map(Step::single);
        let outcomes = ledger.transact(at(2), steps.into()).await.unwrap();
        assert_eq!(outcomes, [Outcome::Applied; 2]);
    }
    let records = vec![RecordChange::Put {
        at: RecordKey { table: Table::new("note"), key: "a".into() },
        expect: Expect::Absent,
        body: "{}".into(),
    }];
    let steps = (0..10).map(|id| Step::single(void(300 + id, 100 + id))).collect();
    let done = ledger.commit(Work { now: at(3), steps, records }).await.unwrap();
    assert!(matches!(done, Committed::Applied { .. }), "{done:?}");
    ledger.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_changed_is_found() {
    let Some(cluster) = Cluster::shared("what_is_changed_is_found") else { return };
    let databases = Databases::new(cluster, TINY);
    history(&databases).await;
    databases.proven().await;
    let from = databases.name();
    let table = [
        ("UPDATE ledger_account SET totals = set_byte(totals, 3, 9) WHERE place = 1", "storage_damaged"),
        ("UPDATE ledger_account SET guard = 1 WHERE place = 1", "storage_damaged"),
        ("UPDATE ledger_account SET last_seq = last_seq - 1 WHERE place = 1", "storage_damaged"),
        ("UPDATE ledger_account SET as_of = 1000 WHERE place = 1", "storage_damaged"),
        ("UPDATE ledger_account SET place = 9 WHERE place = 1", "storage_damaged"),
        ("UPDATE ledger_old_hold SET remaining = set_byte(remaining, 0, 1)", "storage_damaged"),
        ("UPDATE ledger_journal SET prev_debit = 1 WHERE seq = 20", "storage_damaged"),
        ("UPDATE ledger_journal SET debit = 0 WHERE seq = 20", "storage_damaged"),
        ("UPDATE ledger_journal SET id = set_byte(id, 0, 255) WHERE seq = 20", "storage_damaged"),
        ("UPDATE ledger_journal SET ends = NULL WHERE seq = 50", "storage_damaged"),
        (
            "UPDATE ledger_journal SET hash = set_byte(hash, 7, get_byte(hash, 7) # 1) WHERE seq = 20",
            "entry_hash_mismatch",
        ),
        (
            "UPDATE ledger_journal SET body = set_byte(body, 40, get_byte(body, 40) # 16) WHERE seq = 20",
            "entry_hash_mismatch",
        ),
        ("DELETE FROM ledger_journal WHERE seq = 20", "entry_hash_mismatch"),
        ("DELETE FROM ledger_journal WHERE seq = (SELECT max(seq) FROM ledger_journal)", "journal_ends"),
        ("UPDATE ledger_journal SET seq = 99 WHERE seq = 55", "storage_damaged"),
        ("UPDATE ledger_end SET hash = set_byte(hash, 7, get_byte(hash, 7) # 1)", "entry_hash_mismatch"),
        ("UPDATE ledger_end SET version = 1", "storage_damaged"),
        ("UPDATE ledger_durable SET seq = seq + 1", "storage_damaged"),
        ("UPDATE ledger_record SET body = '[]'", "storage_damaged"),
        ("UPDATE ledger_record SET revision = revision - 1", "storage_damaged"),
        ("UPDATE ledger_record SET key = 'b'", "storage_damaged"),
    ];
    for (change, expected) in table {
        let copy = cluster.copy_of(&from);
        let url = PgUrl::parse(&copy).unwrap();
        verify_database(&url, 0).await.unwrap().unwrap();
        let name = copy.rsplit('/').next().unwrap();
        let changed = format!(
            "SET search_path TO farthing; WITH done AS ({change} RETURNING 1) SELECT count(*) > 0 FROM done"
        );
        assert_eq!(cluster.sql(name, &changed), "t", "{change}");
        assert_eq!(verify_database(&url, 0).await.unwrap().unwrap_err().code(), expected, "{change}");
    }
}

/// Every byte of the journal and of what lies beside it, one bit flipped: found, each of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_byte_is_found() {
    let Some(cluster) = Cluster::shared("a_flipped_byte_is_found") else { return };
    let databases = Databases::new(cluster, TINY);
    history(&databases).await;
    let (name, mut dice) = (databases.name(), Dice::new(5));
    let columns = [
        ("ledger_journal", "body"),
        ("ledger_journal", "hash"),
        ("ledger_journal", "id"),
        ("ledger_account", "totals"),
        ("ledger_account", "id"),
        ("ledger_old_hold", "remaining"),
        ("ledger_record", "proof"),
    ];
    for round in 0..40 {
        let (table, column) = columns[usize::try_from(dice.below(7)).unwrap()];
        let (row, byte, bit) = (dice.below(1 << 20), dice.below(1 << 20), dice.below(8));
        let flip = format!(
            "SET search_path TO farthing;
             UPDATE {table} t SET {column} = set_bit({column}, ({byte} % length({column}))::int * 8 + {bit},
                 1 - get_bit({column}, ({byte} % length({column}))::int * 8 + {bit}))
             WHERE ctid = (SELECT ctid FROM {table} WHERE {column} IS NOT NULL ORDER BY ctid
                           OFFSET {row} % (SELECT count(*) FROM {table} WHERE {column} IS NOT NULL) LIMIT 1)"
        );
        // Flipped, found, and rolled back by flipping it again.
        cluster.sql(&name, "DROP TABLE IF EXISTS farthing.kept");
        cluster.sql(&name, &format!("CREATE TABLE farthing.kept AS SELECT * FROM farthing.{table}"));
        cluster.sql(&name, &flip);
        let found = verify_database(&databases.url(), 0).await.unwrap();
        assert!(found.is_err(), "round {round}: {table}.{column}, row {row}, byte {byte}, bit {bit}");
        cluster.sql(
            &name,
            &format!("TRUNCATE farthing.{table}; INSERT INTO farthing.{table} SELECT * FROM farthing.kept"),
        );
    }
    databases.proven().await;
}

/// A database as the first migration left it: where the log ends was a row that was written over.
const AS_IT_WAS: &str = "
    SET search_path TO farthing;
    DROP TABLE ledger_head;
    CREATE TABLE ledger_head (
        shard integer PRIMARY KEY, seq bigint NOT NULL, at_ms bigint NOT NULL, hash bytea NOT NULL,
        version bigint NOT NULL, replay_from bigint NOT NULL, round_began bigint NOT NULL,
        round_place bigint NOT NULL, aged_to bigint NOT NULL) WITH (fillfactor = 20);
    INSERT INTO ledger_head SELECT shard, seq, at_ms, hash, version, replay_from, round_began, round_place, aged_to
        FROM ledger_end;
    DROP TABLE ledger_end;
    DELETE FROM ledger_durable d WHERE version < (SELECT max(version) FROM ledger_durable WHERE shard = d.shard);
    ALTER TABLE ledger_durable DROP CONSTRAINT ledger_durable_pkey;
    ALTER TABLE ledger_durable ADD PRIMARY KEY (shard, slot);
    DELETE FROM ledger_version WHERE version > 1;";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_the_first_version_is_brought_up_to_date() {
    let Some(cluster) = Cluster::shared("a_database_of_the_first_version_is_brought_up_to_date") else {
        return;
    };
    let databases = Databases::new(cluster, TINY);
    history(&databases).await;
    let before = databases.open().await;
    let (head, wallet) = (before.head().await.unwrap(), before.accounts(&[WALLET]).await.unwrap());
    before.close().await;
    cluster.sql(&databases.name(), AS_IT_WAS);
    let after = databases.open().await;
    assert_eq!(after.head().await.unwrap(), head);
    assert_eq!(after.accounts(&[WALLET]).await.unwrap(), wallet);
    let outcomes = after.transact(at(4), vec![Step::single(hold(9_000, 1, u64::MAX))]).await.unwrap();
    assert_eq!(outcomes, [Outcome::Applied]);
    after.close().await;
    databases.proven().await;
    let rows = cluster.sql(&databases.name(), "SELECT count(*) FROM farthing.ledger_end");
    assert_eq!(rows, "1", "the row before it is deleted");
}
