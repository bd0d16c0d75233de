//! A store that an older version wrote is brought up to date in place, with everything that it holds.
#![allow(clippy::unwrap_used, reason = "tests")]

use farthing_protocol::UnixMs;
use farthing_protocol::ports::{
    ClaimId, ClaimOutcome, ClaimState, ClaimStore, First, Listed, Page, StoreEpoch,
};
use farthing_store::SqliteClaims;
use farthing_store::testkit::{delivered, failed_and_spent, new_claim, reservation, settled};
use rusqlite::Connection;

const SCHEMA_2: &str = include_str!("fixtures/sqlite_schema_2.sql");

#[tokio::test]
async fn a_sqlite_store_of_schema_2_keeps_what_it_holds() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("claims.db");
    Connection::open(&path).unwrap().execute_batch(SCHEMA_2).unwrap();
    // The second time nothing is left to migrate.
    for _ in 0..2 {
        let store = SqliteClaims::open(&path).unwrap();
        assert_eq!(store.epoch().await, Ok(StoreEpoch(0)), "challenges from before are still good");
        for (id, changed, deliveries) in [
            ("settling", 10, 0),
            ("credit", 11, 0),
            ("delivering", 12, 1),
            ("delivered", 13, 1),
            ("failed", 14, 0),
        ] {
            let claim = store.get(&ClaimId(id.into())).await.unwrap().unwrap();
            let seen = (claim.state.name(), claim.changed, claim.deliveries);
            assert_eq!(seen, (id, UnixMs::from_ms(changed), deliveries));
            assert!(claim.state.settled().is_none_or(|was| *was == settled("0xabc")));
            assert_eq!((claim.new.first, claim.new.paid, claim.answered), (First::Settle, None, false));
            assert_eq!(claim.new.bound, None);
        }
        let why = "reverted: \"no\"".to_owned();
        let failed = store.get(&ClaimId("failed".into())).await.unwrap().unwrap();
        assert_eq!(failed.state, ClaimState::Failed { why });
        for key in ["k-settling", "k-settling-2", "k-credit", "k-delivering", "k-delivered"] {
            let thief = store.claim(new_claim("thief", &[key]), UnixMs::from_ms(20)).await.unwrap();
            assert!(matches!(thief, ClaimOutcome::Taken { what } if what == key));
        }
    }
    let store = SqliteClaims::open(&path).unwrap();
    // 60 are reserved, 15 spent, and the settlement that failed spends its part.
    let now = UnixMs::from_ms(30);
    store.advance(&ClaimId("settling".into()), failed_and_spent("no"), now).await.unwrap();
    for (amount, fits) in [(26, false), (25, true)] {
        let mut next = new_claim("next", &["k-settling"]);
        next.reservation = Some(reservation("fees", amount, 100, 100_000));
        let outcome = store.claim(next, now).await.unwrap();
        assert_eq!(matches!(outcome, ClaimOutcome::New), fits, "{outcome:?}");
    }
    // Whoever delivered under the older version is nobody now.
    assert!(store.advance(&ClaimId("delivering".into()), delivered(), now).await.is_err());
    assert_eq!(store.release_leases(now).await, Ok(1));
    let page = Page { before: now, after: None, limit: 10 };
    let owed = store.list(Listed::Credit, page).await.unwrap();
    let ids: Vec<&str> = owed.iter().map(|claim| claim.new.id.0.as_str()).collect();
    assert_eq!(ids, ["credit", "delivering"]);
}
