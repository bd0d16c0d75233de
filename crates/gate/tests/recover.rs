//! Payments whose outcome is not known: one that can be learned is learned, whatever is with the others.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use farthing_gate::{Gate, ResolverOptions};
use farthing_money::{Asset, AssetKind};
use farthing_protocol::ports::{
    ClaimId, ClaimKey, ClaimStep, ClaimStore, Delivery, First, Lease, LeaseHolder, NewClaim, OfferError,
    Price, ReservationFate, Resolution, SettleError, Settled, SettlementPlan, Verified, Verifier,
    VerifyError, VerifyRequest,
};
use farthing_protocol::{
    Binder, Credential, EncodedJson, Intent, MethodId, Problem, ProblemKind, Secret, UnixMs,
};
use farthing_store::MemoryClaims;

const NOW: UnixMs = UnixMs::from_ms(1_800_000_000_000);

const QUICK: ResolverOptions = ResolverOptions {
    older_than_ms: 0,
    min_wait_ms: 1,
    max_wait_ms: 10,
    ask_timeout_ms: 30_000,
    refund_after_ms: 0,
    keep_final_ms: 86_400_000,
};

/// A rail that answers about a payment as its plan says, and counts how often it is asked about each.
struct PlannedRail {
    method: MethodId,
    intent: Intent,
    asset: Asset,
    late_ms: u64,
    asked: Mutex<BTreeMap<String, usize>>,
}

#[async_trait]
impl Verifier for PlannedRail {
    fn method(&self) -> &MethodId {
        &self.method
    }

    fn intent(&self) -> &Intent {
        &self.intent
    }

    fn rail(&self) -> &str {
        "planned"
    }

    fn asset(&self) -> &Asset {
        &self.asset
    }

    fn late_ms(&self) -> u64 {
        self.late_ms
    }

    fn offer(&self, _: &Price) -> Result<EncodedJson, OfferError> {
        Ok(EncodedJson::encode(&serde_json::json!({}))?)
    }

    fn keys(&self, _: &Credential<'_>) -> Result<Vec<ClaimKey>, Problem> {
        Ok(Vec::new())
    }

    async fn verify(&self, _: VerifyRequest<'_>) -> Result<Verified, VerifyError> {
        Err(VerifyError::Replayed)
    }

    async fn settle(&self, _: &SettlementPlan, _: UnixMs) -> Result<Settled, SettleError> {
        Err(Problem::new(ProblemKind::VerificationFailed, "planned", "").into())
    }

    async fn resolve(&self, plan: &SettlementPlan, at: UnixMs) -> Result<Resolution, String> {
        let (what, id) = (plan.data["what"].as_str().unwrap(), plan.data["id"].as_str().unwrap());
        *self.asked.lock().unwrap().entry(id.to_owned()).or_default() += 1;
        match what {
            "error" => Err("nobody knows".into()),
            "panic" => panic!("the plan says so"),
            "hang" => std::future::pending().await,
            "pending" => Ok(Resolution::Pending),
            "failed" => Ok(Resolution::Failed { why: "no".into(), reservation: ReservationFate::Spent }),
            _ => {
                let extra = serde_json::Map::new();
                Ok(Resolution::Settled(Settled { reference: id.to_owned(), at, external_id: None, extra }))
            }
        }
    }
}

struct Shop {
    gate: Gate,
    rail: Arc<PlannedRail>,
    store: Arc<MemoryClaims>,
}

fn shop() -> Shop {
    let rail = Arc::new(PlannedRail {
        method: MethodId::new("planned").unwrap(),
        intent: Intent::charge(),
        asset: Asset::new("USD", 6, AssetKind::Fiat).unwrap(),
        late_ms: 10_000,
        asked: Mutex::default(),
    });
    let store = Arc::new(MemoryClaims::new());
    let binder = Binder::new(Secret::new(vec![7; 32]).unwrap(), None);
    let gate = Gate::builder("api.example.com", binder, Arc::clone(&store) as _, Arc::new(|| NOW))
        .retired_rail(Arc::clone(&rail) as _)
        .build()
        .unwrap();
    Shop { gate, rail, store }
}

impl Shop {
    /// Claims `count` payments of this kind, later than all before by a millisecond for each.
    async fn claim(&self, what: &str, count: usize, at: u64) {
        self.claim_expired(what, count, at, 5_000).await;
    }

    async fn claim_expired(&self, what: &str, count: usize, at: u64, expired_ms: u64) {
        for n in 0..count {
            let id = format!("{what}-{n}");
            let new = NewClaim {
                id: ClaimId(id.clone()),
                keys: vec![ClaimKey(format!("planned:{id}"))],
                scope: "GET /".into(),
                payer: None,
                paid: None,
                plan: SettlementPlan {
                    rail: "planned".into(),
                    data: serde_json::json!({ "what": what, "id": id }),
                },
                reservation: None,
                expires: NOW.minus(expired_ms),
                idempotency: None,
                bound: None,
                first: First::Settle,
            };
            self.store.claim(new, NOW.minus(1_000 - at - u64::try_from(n).unwrap())).await.unwrap();
        }
    }

    fn resolve(&self, options: ResolverOptions) -> tokio::task::JoinHandle<()> {
        let gate = self.gate.clone();
        tokio::spawn(async move { gate.resolver(options).await })
    }

    /// Waits until this claim is in this state.
    async fn reaches(&self, id: &str, state: &str) {
        for _ in 0..6_000 {
            if self.state(id).await == state {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{id} is {}, not {state}", self.state(id).await);
    }

    async fn state(&self, id: &str) -> &'static str {
        let claim = self.store.get(&ClaimId(id.into())).await.unwrap();
        claim.map_or("none", |claim| claim.state.name())
    }

    fn asked(&self, id: &str) -> usize {
        self.rail.asked.lock().unwrap().get(id).copied().unwrap_or_default()
    }
}

const fn lease(ms: u64) -> Lease {
    Lease { holder: LeaseHolder(3), until: NOW.plus_ms(ms) }
}

trait Minus {
    fn minus(self, ms: u64) -> Self;
}

impl Minus for UnixMs {
    fn minus(self, ms: u64) -> Self {
        Self::from_ms(self.as_ms() - ms)
    }
}

/// Older payments whose outcome cannot be learned keep no later one waiting: it is resolved in the first round.
#[tokio::test]
async fn what_cannot_be_learned_starves_nothing() {
    for (what, count) in [("error", 24), ("panic", 24), ("pending", 300), ("error", 1_000)] {
        let shop = shop();
        shop.claim(what, count.min(900), 0).await;
        shop.claim("good", 1, 950).await;
        shop.claim("failed", 1, 951).await;
        let recovered = shop.gate.recover().await.unwrap();
        assert_eq!(
            (recovered.settled, recovered.failed, recovered.pending),
            (1, 1, count.min(900)),
            "{count} {what}"
        );
        assert_eq!((shop.state("good-0").await, shop.state("failed-0").await), ("credit", "failed"));
        assert_eq!(shop.rail.asked.lock().unwrap().values().max(), Some(&1), "once a round");
    }
}

/// A rail that hangs keeps no gate from serving, and no lease from being given back; the resolver goes on where that ended.
#[tokio::test]
async fn recovery_is_bounded_and_goes_on_behind() {
    let shop = shop();
    shop.claim("hang", 40, 0).await;
    shop.claim("good", 2, 950).await;
    let lease = lease(60_000);
    let settled =
        Settled { reference: "r".into(), at: NOW, external_id: None, extra: serde_json::Map::new() };
    let step = ClaimStep::Settled { settled, delivery: Delivery::Begin(lease) };
    shop.store.advance(&ClaimId("good-1".into()), step, NOW).await.unwrap();
    let recovered = shop.gate.recover_within(50).await.unwrap();
    assert_eq!((recovered.released, recovered.settled, recovered.pending), (1, 0, 41));
    assert_eq!(shop.state("good-1").await, "credit");
    let asked = shop.rail.asked.lock().unwrap().len();
    assert!(asked < 40, "{asked} payments were asked about, so it did not wait for all of them");
    let options = ResolverOptions { ask_timeout_ms: 20, ..QUICK };
    let resolver = shop.resolve(options);
    shop.reaches("good-0", "credit").await;
    assert_eq!(shop.state("hang-0").await, "settling");
    resolver.abort();
}

/// A new payment is asked about beside old ones that cannot be learned, and those are asked about again.
#[tokio::test]
async fn the_resolver_takes_up_new_payments() {
    let shop = shop();
    shop.claim("error", 30, 0).await;
    let resolver = shop.resolve(QUICK);
    while shop.asked("error-7") < 5 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    shop.claim("good", 1, 950).await;
    shop.reaches("good-0", "credit").await;
    assert_eq!(shop.state("error-7").await, "settling");
    resolver.abort();
}

/// A final claim is kept as long as its rail would still look at the payment, which here is ten seconds.
#[tokio::test]
async fn final_claims_outlive_late_payments() {
    let shop = shop();
    shop.claim_expired("failed", 1, 0, 5_000).await;
    let resolver = shop.resolve(ResolverOptions { keep_final_ms: 0, ..QUICK });
    shop.reaches("failed-0", "failed").await;
    shop.claim_expired("good", 1, 0, 20_000).await;
    shop.reaches("good-0", "credit").await;
    let lease = lease(60_000);
    let ended = ClaimStep::Delivered { holder: lease.holder, answer: None };
    let delivered = [ClaimStep::BeginDelivery(lease), ended];
    for step in delivered {
        shop.store.advance(&ClaimId("good-0".into()), step, NOW).await.unwrap();
    }
    shop.reaches("good-0", "none").await;
    assert_eq!(shop.state("failed-0").await, "failed", "it expired five seconds ago");
    resolver.abort();
}
