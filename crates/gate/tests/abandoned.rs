//! A reservation that is given up is not the payment that its payer has made of it meanwhile.
#![allow(clippy::unwrap_used, reason = "tests")]

mod harness;

use std::sync::Arc;

use async_trait::async_trait;
use farthing_money::{Amount, Money};
use farthing_protocol::UnixMs;
use farthing_protocol::ports::{
    AdvanceError, Claim, ClaimId, ClaimKey, ClaimOutcome, ClaimStep, ClaimStore, First, Lease, LeaseHolder,
    Listed, NewClaim, Page, SettlementPlan, StoreEpoch, StoreError, StoredAnswer, Verifier,
};
use farthing_store::MemoryClaims;
use harness::rail::{Act, FakeRail};

/// A store over which another process claims anew whatever was listed as abandoned, before that is given up.
struct Overtaking(MemoryClaims);

#[async_trait]
impl ClaimStore for Overtaking {
    async fn claim(&self, claim: NewClaim, now: UnixMs) -> Result<ClaimOutcome, StoreError> {
        self.0.claim(claim, now).await
    }
    async fn advance(&self, id: &ClaimId, step: ClaimStep, now: UnixMs) -> Result<(), AdvanceError> {
        self.0.advance(id, step, now).await
    }
    async fn get(&self, id: &ClaimId) -> Result<Option<Claim>, StoreError> {
        self.0.get(id).await
    }
    async fn answer(&self, id: &ClaimId) -> Result<Option<StoredAnswer>, StoreError> {
        self.0.answer(id).await
    }
    async fn list(&self, listed: Listed, page: Page) -> Result<Vec<Claim>, StoreError> {
        let now = page.before;
        let claims = self.0.list(listed, page).await?;
        if listed == Listed::Abandoned {
            for claim in &claims {
                let anew = NewClaim { first: First::Settle, ..claim.new.clone() };
                assert!(matches!(self.0.claim(anew, now).await?, ClaimOutcome::New));
            }
        }
        Ok(claims)
    }
    /// As where several processes share the store, and the lease has run out a moment later.
    async fn release_leases(&self, _: UnixMs) -> Result<usize, StoreError> {
        Ok(0)
    }
    async fn prune(&self, expired_before: UnixMs, limit: usize) -> Result<usize, StoreError> {
        self.0.prune(expired_before, limit).await
    }
    async fn epoch(&self) -> Result<StoreEpoch, StoreError> {
        self.0.epoch().await
    }
}

#[tokio::test]
async fn what_was_claimed_anew_is_not_given_up() {
    let (rail, clock) = (Arc::new(FakeRail::new()), harness::fixed_clock());
    let store = Arc::new(Overtaking(MemoryClaims::new()));
    let (id, now) = (ClaimId("a".into()), clock.now());
    let reserved = NewClaim {
        id: id.clone(),
        keys: vec![ClaimKey("k".into())],
        scope: "s".into(),
        payer: None,
        paid: Some(Money::new(Amount::from_base(10), rail.asset().clone())),
        plan: SettlementPlan { rail: rail.rail().to_owned(), data: serde_json::json!({ "tx": "0x1" }) },
        reservation: None,
        expires: now.plus_ms(60_000),
        idempotency: None,
        bound: None,
        first: First::Serve(Lease { holder: LeaseHolder(1), until: now }),
    };
    assert!(matches!(store.claim(reserved, now).await.unwrap(), ClaimOutcome::New));
    // Its money is being asked for when the resolver comes: nobody knows the outcome yet.
    rail.resolve.lock().unwrap().extend([Act::Shrug]);
    let gate = harness::builder(&rail, Arc::clone(&store) as _, &clock).build().unwrap();
    let recovered = gate.recover().await.unwrap();
    assert_eq!(store.get(&id).await.unwrap().unwrap().state.name(), "settling");
    assert_eq!((recovered.abandoned, recovered.pending), (0, 1));
}
