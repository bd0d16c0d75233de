//! `farthing store`: what is owed, whether a store is whole, and a new history by hand.

use farthing_protocol::UnixMs;
use farthing_protocol::ports::{Amends, ClaimId, ClaimStep, ClaimStore, Delivery};
use farthing_store::testkit::postgres::Cluster;
use farthing_store::testkit::{HOLDER, lease, new_claim, settled};
use farthing_store::{PgClaims, PgUrl, SqliteClaims};

use crate::support::Home;

const NOW: UnixMs = UnixMs::from_ms(1_700_000_000_000);

/// One call that is owed, one refund that is, and one call that was delivered.
async fn fill(store: &impl ClaimStore) {
    for id in ["credit", "refund", "done"] {
        store.claim(new_claim(id, &[id]), NOW).await.unwrap();
        let delivery = Delivery::Begin(lease(NOW.plus_ms(10)));
        let claim = ClaimId(id.into());
        let step = ClaimStep::Settled { settled: settled(&format!("0x{id}")), delivery };
        store.advance(&claim, step, NOW).await.unwrap();
        let left = |amends| ClaimStep::Undelivered { holder: HOLDER, answer: None, amends };
        let step = match id {
            "credit" => left(Amends::Credit),
            "refund" => left(Amends::Refund),
            _ => ClaimStep::Delivered { holder: HOLDER, answer: None },
        };
        store.advance(&claim, step, NOW).await.unwrap();
    }
}

/// The commands on a store that `fill` has filled, and what a damaged one says.
fn looks(home: &Home, store: &str) {
    let json =
        |command: &str| home.run(&["store", command, "--store", store, "--output", "json"]).ok().json();
    let owed = json("credits")["owed"].clone();
    assert_eq!(owed.as_array().map(Vec::len), Some(2), "{owed}");
    let first = &owed[0];
    assert_eq!((&first["id"], &first["owed"]), (&"credit".into(), &"call".into()), "{owed}");
    assert_eq!((&first["route"], &first["reference"]), (&"GET /paid".into(), &"0xcredit".into()));
    assert_eq!(first["paid"]["amount"], "10000");
    assert_eq!(first["since_ms"], NOW.as_ms());
    assert_eq!((&owed[1]["id"], &owed[1]["owed"]), (&"refund".into(), &"refund".into()), "{owed}");
    let report = json("check");
    assert_eq!((&report["ok"], &report["claims"]["delivered"]), (&true.into(), &1.into()), "{report}");
    let text = home.run(&["store", "credits", "--store", store]).ok().stdout;
    assert!(text.contains("0.01 PathUSD") && text.contains("2 owed"), "{text}");
    assert!(home.run(&["store", "check", "--store", store]).ok().stdout.contains("fits together"));
}

#[tokio::test]
async fn a_file_is_looked_at_and_fenced() {
    let home = Home::new();
    let path = home.path().join("farthing.db");
    let shown = path.to_str().unwrap();
    // Nothing is made where nothing is.
    for command in ["credits", "check", "fence"] {
        let run = home.run(&["store", command, "--store", shown, "--output", "json"]);
        assert_eq!((run.code, run.stderr.contains("store_unreadable")), (2, true), "{run:?}");
    }
    assert!(!path.exists());
    let store = SqliteClaims::open(&path).unwrap();
    let first = store.epoch().await.unwrap();
    fill(&store).await;
    // While a gateway has it open, too.
    looks(&home, shown);
    let run = home.run(&["store", "fence", "--store", shown, "--output", "json"]);
    assert_eq!((run.code, run.stderr.contains("store_in_use")), (2, true), "{run:?}");
    drop(store);
    let fenced =
        home.run(&["store", "fence", "--store", &format!("sqlite:{shown}"), "--output", "json"]).ok().json();
    assert_ne!(fenced["epoch"], first.0);
    assert_eq!(SqliteClaims::open(&path).unwrap().epoch().await.unwrap().0, fenced["epoch"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_looked_at_and_fenced() {
    let Some(cluster) = Cluster::shared("a_database_is_looked_at_and_fenced") else { return };
    let home = Home::new();
    let url = cluster.database();
    let store = PgClaims::open(PgUrl::parse(&url).unwrap()).await.unwrap();
    let first = store.epoch().await.unwrap();
    fill(&store).await;
    looks(&home, &url);
    let fenced = home.run(&["store", "fence", "--store", &url, "--output", "json"]).ok().json();
    assert_ne!(fenced["epoch"], first.0);
    assert_eq!(store.epoch().await.unwrap().0, fenced["epoch"], "gateways that run find out");
    // A money row that went missing is told, with what to do.
    let name = url.rsplit('/').next().unwrap();
    cluster.sql(name, "DELETE FROM farthing.claim_key WHERE key = 'credit'");
    let run = home.run(&["store", "check", "--store", &url, "--output", "json"]);
    assert_eq!((run.code, run.stderr.contains("store_damaged")), (1, true), "{run:?}");
    assert!(run.stdout.contains("claims whose money is not held"), "{run:?}");
}

/// `assert_secret` looks for the canary in all that is written.
#[test]
fn passwords_are_not_shown() {
    let home = Home::new();
    let password = home.file("password", "farthing-canary-database");
    for args in [
        &["--store", "postgres://u:farthing-canary-url@127.0.0.1:1/db"][..],
        &["--store", "postgres://u:farthing-canary-url@127.0.0.1:x/db"],
        &["--store", "postgre://u:farthing-canary-url@127.0.0.1/db"],
        &["--store", "postgres://u@127.0.0.1:1/db", "--password-file", &password],
    ] {
        let run = home.run(&[&["store", "check", "--output", "json"], args].concat());
        assert_eq!(run.code, 2, "{run:?}");
    }
}
