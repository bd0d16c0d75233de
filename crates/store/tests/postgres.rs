//! PostgreSQL as a place to keep claims in: how it is opened, by whom, what happens when it goes away, and what becomes of
//! credentials when a backup is restored.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use farthing_protocol::UnixMs;
use farthing_protocol::ports::{ClaimId, ClaimOutcome, ClaimStore, StoreEpoch};
use farthing_store::testkit::postgres::{Cluster, Restored};
use farthing_store::testkit::{delivered, new_claim, reservation};
use farthing_store::{OpenError, PgClaims, PgUrl};

const NOW: UnixMs = UnixMs::from_ms(1);

fn url(text: &str) -> PgUrl {
    PgUrl::parse(text).unwrap()
}

fn name(url: &str) -> &str {
    url.rsplit('/').next().unwrap()
}

async fn open(text: &str) -> PgClaims {
    PgClaims::open(url(text)).await.unwrap()
}

async fn refused(text: &str) -> OpenError {
    PgClaims::open(url(text)).await.unwrap_err()
}

async fn claimed(store: &PgClaims, id: &str) -> bool {
    matches!(store.claim(new_claim(id, &[&format!("key {id}")]), NOW).await, Ok(ClaimOutcome::New))
}

#[tokio::test(flavor = "multi_thread")]
async fn many_may_open_an_empty_database_at_once() {
    let Some(cluster) = Cluster::shared("many_may_open_an_empty_database_at_once") else { return };
    let database = cluster.database();
    let opening = (0..8).map(|n| {
        let database = database.clone();
        tokio::spawn(async move {
            let store = open(&database).await;
            assert!(claimed(&store, &format!("c{n}")).await);
            let epoch = store.epoch().await.unwrap();
            store.close().await;
            epoch
        })
    });
    let mut epochs = Vec::new();
    for task in opening.collect::<Vec<_>>() {
        epochs.push(task.await.unwrap());
    }
    assert!(epochs.iter().all(|epoch| *epoch == epochs[0] && *epoch != StoreEpoch(0)), "{epochs:?}");
    assert_eq!(cluster.sql(name(&database), "SELECT count(*) FROM farthing.claim"), "8");
}

#[tokio::test]
async fn what_is_not_ours_is_refused_and_left_alone() {
    let Some(cluster) = Cluster::shared("what_is_not_ours_is_refused_and_left_alone") else { return };
    let database = cluster.database();
    open(&database).await.close().await;
    let change = |sql: &str| cluster.sql(name(&database), sql);
    change("INSERT INTO farthing.schema_version VALUES (99, now())");
    let newer = refused(&database).await;
    assert_eq!(newer.code(), "store_too_new");
    assert!(newer.to_string().contains("99") && newer.to_string().contains(name(&database)), "{newer}");
    change("DROP TABLE farthing.schema_version");
    assert_eq!(refused(&database).await.code(), "store_of_another_program");
    assert_eq!(change("SELECT to_regclass('farthing.schema_version') IS NULL"), "t");
    let missing = refused(&cluster.url("nowhere")).await;
    assert_eq!(missing.code(), "store_failed");
    assert!(missing.to_string().contains("nowhere"), "{missing}");
    let nobody = refused("postgres://u:secret@127.0.0.1:1/db").await;
    assert_eq!(nobody.code(), "store_unreachable");
    assert!(!format!("{nobody} {nobody:?}").contains("secret"), "{nobody:?}");
}

/// A role that owns nothing but its schema, with a password.
#[tokio::test]
async fn an_ordinary_role_is_enough() {
    let Some(cluster) = Cluster::shared("an_ordinary_role_is_enough") else { return };
    let database = cluster.database();
    let database = name(&database);
    cluster.sql(database, "CREATE ROLE ordinary LOGIN PASSWORD 'canary'");
    let text = cluster.url(database).replace("postgres@", "ordinary:canary@");
    // Without the right to make a schema, it says so; a schema that was made for it will do.
    let error = refused(&text).await;
    assert!(error.to_string().contains("permission denied"), "{error}");
    assert!(!format!("{error} {error:?}").contains("canary"));
    cluster.sql(database, "CREATE SCHEMA farthing AUTHORIZATION ordinary");
    let store = open(&text).await;
    assert!(claimed(&store, "a").await);
    assert!(!format!("{store:?}").contains("canary"));
    assert_eq!(store.check().await.unwrap().problems, []);
    store.close().await;
    let looker = PgClaims::open_to_look(url(&text)).await.unwrap();
    assert!(looker.get(&ClaimId("a".into())).await.unwrap().is_some());
    assert!(!claimed(&looker, "b").await);
}

/// One row that cannot be read fails those that ask for it, and nobody who waits beside them.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_row_fails_alone() {
    let Some(cluster) = Cluster::shared("a_broken_row_fails_alone") else { return };
    let database = cluster.database();
    let store = Arc::new(open(&database).await);
    assert!(claimed(&store, "bad").await);
    cluster.sql(name(&database), "UPDATE farthing.claim SET plan = '{\"secret\":'");
    let others: Vec<_> = (0..32)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { claimed(&store, &format!("c{n}")).await })
        })
        .collect();
    let failure = store.advance(&ClaimId("bad".into()), delivered(), NOW).await.unwrap_err().to_string();
    assert!(failure.contains("bad") && failure.contains("plan"), "{failure}");
    assert!(!failure.contains("secret"), "a plan is never repeated: {failure}");
    for other in others {
        assert!(other.await.unwrap());
    }
}

/// Connections that are cut while they are idle, or at work, cost nobody anything but time.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_break_are_made_again() {
    let Some(cluster) = Cluster::shared("connections_that_break_are_made_again") else { return };
    let database = cluster.database();
    let store = Arc::new(open(&database).await);
    let cut = || {
        cluster.sql(
            "postgres",
            &format!(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{}'",
                name(&database)
            ),
        )
    };
    for n in 0..4 {
        assert!(claimed(&store, &format!("c{n}")).await);
        assert!(store.get(&ClaimId(format!("c{n}"))).await.unwrap().is_some());
        assert_ne!(cut(), "0");
    }
    // At work: each claim is made, or its caller is told that it is not known.
    let work: Vec<_> = (0..8)
        .map(|lane| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut unknown = 0;
                for n in 0..50 {
                    let id = format!("{lane} {n}");
                    match store.claim(new_claim(&id, &[&id]), NOW).await {
                        Ok(ClaimOutcome::New) => {}
                        Ok(other) => panic!("{id}: {other:?}"),
                        Err(_) => unknown += 1,
                    }
                    assert!(unknown < 50);
                }
            })
        })
        .collect();
    for _ in 0..5 {
        cut();
    }
    for lane in work {
        lane.await.unwrap();
    }
    assert!(claimed(&store, "after").await);
    assert_eq!(store.check().await.unwrap().problems, []);
}

/// Budgets are the database's, whichever process reserves; what was left of a claim that is forgotten is kept.
#[tokio::test(flavor = "multi_thread")]
async fn processes_share_their_budgets() {
    let Some(cluster) = Cluster::shared("processes_share_their_budgets") else { return };
    let database = cluster.database();
    let stores = [Arc::new(open(&database).await), Arc::new(open(&database).await)];
    let mut fitted = 0;
    for round in 0..4_u64 {
        let tasks: Vec<_> = (0..64_u64)
            .map(|n| {
                let store = Arc::clone(&stores[usize::from(n % 2 == 0)]);
                let mut new = new_claim(&format!("{round} {n}"), &[&format!("{round} {n}")]);
                new.reservation = Some(reservation("fees", 10, 500, 100));
                // Clocks of two machines, ten milliseconds apart.
                let now = UnixMs::from_ms(1_000 + round * 50 + (n % 2) * 10);
                tokio::spawn(async move { matches!(store.claim(new, now).await, Ok(ClaimOutcome::New)) })
            })
            .collect();
        for task in tasks {
            fitted += usize::from(task.await.unwrap());
        }
        assert!(fitted >= 50, "round {round}: {fitted}");
        assert_eq!(stores[0].check().await.unwrap().problems, []);
    }
    // Fifty fit in each window of 100 ms, of which there were two.
    assert!(fitted <= 100, "{fitted}");
    let held = "SELECT max(total) <= 500 FROM farthing.budget";
    assert_eq!(cluster.sql(name(&database), held), "t");
}

/// What a gateway that runs does when the database it works with becomes another one.
#[tokio::test]
async fn another_history_is_honoured_only_once_it_is_known() {
    let Some(cluster) = Cluster::shared("another_history_is_honoured_only_once_it_is_known") else { return };
    let database = cluster.database();
    let store = open(&database).await;
    let first = store.epoch().await.unwrap();
    assert!(claimed(&store, "a").await);
    let second = PgClaims::fence(&url(&database)).await.unwrap();
    assert_ne!(second, first);
    // A claim of a challenge that was issued before would be one that the store may have lost.
    let error = store.claim(new_claim("b", &["b"]), NOW).await.unwrap_err();
    assert!(error.detail.contains("history"), "{error}");
    assert_eq!(store.epoch().await, Ok(second));
    assert!(claimed(&store, "b").await);
    assert_eq!(open(&database).await.epoch().await, Ok(second), "it stays");
}

/// Real backups, restored in every way that PostgreSQL has.
#[tokio::test]
async fn restoring_a_dump_revives_no_credential() {
    let Some(cluster) = Cluster::shared("restoring_a_dump_revives_no_credential") else { return };
    let database = cluster.database();
    let database = name(&database);
    let from = cluster.url(database);
    let store = open(&from).await;
    let first = store.epoch().await.unwrap();
    assert!(claimed(&store, "a").await);
    let dump = cluster.home().join(format!("{database}.dump"));
    let dump = dump.to_str().unwrap();
    cluster.run("pg_dump", &["-Fc", "-d", &from, "-f", dump]).unwrap();
    assert!(claimed(&store, "b").await);
    store.close().await;
    let mut seen = vec![first];
    let mut is_another = async |text: &str, how: &str| {
        let store = open(text).await;
        let epoch = store.epoch().await.unwrap();
        assert!(!seen.contains(&epoch), "{how}: {epoch:?} of {seen:?}");
        assert!(store.get(&ClaimId("a".into())).await.unwrap().is_some(), "{how}");
        assert!(store.get(&ClaimId("b".into())).await.unwrap().is_none(), "{how}");
        assert_eq!(open(text).await.epoch().await, Ok(epoch), "{how}: it stays");
        seen.push(epoch);
        store.close().await;
    };
    let copy = cluster.database();
    cluster.run("pg_restore", &["-d", &copy, dump]).unwrap();
    is_another(&copy, "into another database").await;
    cluster.run("pg_restore", &["--clean", "-d", &from, dump]).unwrap();
    is_another(&from, "over the tables of the same database").await;
    cluster.sql("postgres", &format!("DROP DATABASE {database} WITH (FORCE)"));
    cluster.run("pg_restore", &["--create", "-d", &cluster.url("postgres"), dump]).unwrap();
    is_another(&from, "into a database of the same name").await;
}

/// A base backup that recovers begins another timeline, and that is seen; one that is merely started is the same server to
/// everybody who asks it. docs/store.md says so, and what to do then.
#[tokio::test]
async fn restoring_a_base_backup_is_seen_where_it_recovers() {
    let Some(cluster) = Cluster::shared("restoring_a_base_backup_is_seen_where_it_recovers") else { return };
    let database = cluster.database();
    let store = open(&database).await;
    let first = store.epoch().await.unwrap();
    assert!(claimed(&store, "a").await);
    store.close().await;
    let recovered = cluster.from_base_backup(Restored::ByRecovery).unwrap();
    let theirs = recovered.url(name(&database));
    let epoch = open(&theirs).await.epoch().await.unwrap();
    assert_ne!(epoch, first);
    assert_eq!(open(&theirs).await.epoch().await, Ok(epoch), "it stays");
    let started = cluster.from_base_backup(Restored::AsItIs).unwrap();
    let theirs = started.url(name(&database));
    assert_eq!(open(&theirs).await.epoch().await, Ok(first), "if this is seen now, docs/store.md may say so");
    assert_ne!(PgClaims::fence(&url(&theirs)).await.unwrap(), first);
    // The one that it was copied from has lost nothing.
    assert_eq!(open(&database).await.epoch().await, Ok(first));
}

/// Over TLS the server's certificate is checked, by name, against what is trusted.
#[tokio::test]
async fn certificates_are_checked() {
    let Some(bin) = Cluster::find() else { return };
    let cluster = Cluster::start(&bin).unwrap();
    let (key, certificate) = (cluster.data().join("server.key"), cluster.data().join("server.crt"));
    let (key, certificate) = (key.to_str().unwrap(), certificate.to_str().unwrap());
    let made = std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", key, "-out", certificate])
        .output();
    if !made.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED certificates_are_checked: no openssl here");
        return;
    }
    cluster.own(key).unwrap();
    cluster.set("ssl = on\n").unwrap();
    cluster.stop_now();
    cluster.resume().unwrap();
    let database = cluster.database().replace("127.0.0.1", "localhost");
    let trusted = format!("{database}?sslmode=verify-full&sslrootcert={certificate}");
    let store = open(&trusted).await;
    assert!(claimed(&store, "a").await);
    let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'farthing'";
    assert_eq!(cluster.sql("postgres", encrypted), "t");
    // Another name, another authority, no TLS where it is asked for.
    let by_address = trusted.replace("localhost", "127.0.0.1");
    let by_machine = format!("{database}?sslmode=require");
    for text in [by_address, by_machine] {
        if let Ok(url) = PgUrl::parse(&text) {
            let error = PgClaims::open(url).await.unwrap_err();
            assert_eq!(error.code(), "store_unreachable", "{error}");
            assert!(error.to_string().contains("certificate"), "{error}");
        }
    }
    cluster.set("ssl = off\n").unwrap();
    cluster.stop_now();
    cluster.resume().unwrap();
    let error = refused(&trusted).await;
    assert!(error.to_string().contains("TLS"), "nothing is sent in the clear: {error}");
}
