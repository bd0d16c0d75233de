//! A rail that does what a test tells it to.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use farthing_money::{Amount, Asset, AssetKind};
use farthing_protocol::ports::{
    ClaimKey, Funds, OfferError, Price, Reservation, ReservationFate, Resolution, SettleError, Settled,
    SettlementPlan, Verified, Verifier, VerifyError, VerifyRequest,
};
use farthing_protocol::{Credential, EncodedJson, Intent, MethodId, Problem, ProblemKind, UnixMs};

/// What the next call does, before it answers well.
#[derive(Debug, Clone)]
pub enum Act {
    Wait(Duration),
    Panic,
    Reject,
    /// Verify: unavailable. Settle: unknown. Resolve: pending.
    Shrug,
    /// Resolve: it failed.
    Fail,
    Replayed,
    OverBudget,
    /// Verify: the money has moved.
    Moved,
    /// Verify: the payment has to be settled within so many milliseconds.
    Within(u64),
    /// Verify: nobody knows who pays.
    Anonymous,
}

pub struct FakeRail {
    rail: String,
    method: MethodId,
    intent: Intent,
    asset: Asset,
    pub verify: Mutex<VecDeque<Act>>,
    pub settle: Mutex<VecDeque<Act>>,
    pub resolve: Mutex<VecDeque<Act>>,
    pub verified: AtomicUsize,
    pub settled: AtomicUsize,
    pub resolved: AtomicUsize,
}

impl FakeRail {
    pub fn new() -> Self {
        Self::named("fake", "fake:1")
    }

    pub fn named(method: &str, rail: &str) -> Self {
        Self {
            rail: rail.to_owned(),
            method: MethodId::new(method).unwrap(),
            intent: Intent::charge(),
            asset: Asset::new("USD", 6, AssetKind::Fiat).unwrap(),
            verify: Mutex::default(),
            settle: Mutex::default(),
            resolve: Mutex::default(),
            verified: AtomicUsize::new(0),
            settled: AtomicUsize::new(0),
            resolved: AtomicUsize::new(0),
        }
    }

    pub fn settlements(&self) -> usize {
        self.settled.load(Ordering::SeqCst)
    }

    async fn act(script: &Mutex<VecDeque<Act>>) -> Option<Act> {
        let act = script.lock().unwrap().pop_front();
        match act {
            Some(Act::Wait(time)) => {
                tokio::time::sleep(time).await;
                None
            }
            Some(Act::Panic) => panic!("the script says so"),
            other => other,
        }
    }
}

fn tx(credential: &Credential<'_>) -> Result<String, Problem> {
    let bad = || Problem::new(ProblemKind::InvalidPayload, "bad_payload", "The payload has no `tx`.");
    let payload: serde_json::Value = serde_json::from_str(credential.payload.get()).map_err(|_| bad())?;
    payload["tx"].as_str().map(str::to_owned).ok_or_else(bad)
}

fn rejected() -> Problem {
    Problem::new(ProblemKind::VerificationFailed, "fake_rejected", "The payment was refused.")
}

#[async_trait]
impl Verifier for FakeRail {
    fn method(&self) -> &MethodId {
        &self.method
    }

    fn intent(&self) -> &Intent {
        &self.intent
    }

    fn rail(&self) -> &str {
        &self.rail
    }

    fn asset(&self) -> &Asset {
        &self.asset
    }

    fn offer(&self, price: &Price) -> Result<EncodedJson, OfferError> {
        let amount = price.money.amount().base().to_string();
        Ok(EncodedJson::encode(&serde_json::json!({ "amount": amount, "currency": "usd" }))?)
    }

    fn keys(&self, credential: &Credential<'_>) -> Result<Vec<ClaimKey>, Problem> {
        Ok(vec![ClaimKey(format!("{}:tx:{}", self.rail, tx(credential)?))])
    }

    async fn verify(&self, request: VerifyRequest<'_>) -> Result<Verified, VerifyError> {
        self.verified.fetch_add(1, Ordering::SeqCst);
        let act = Self::act(&self.verify).await;
        match act {
            Some(Act::Reject) => return Err(rejected().into()),
            Some(Act::Replayed) => return Err(VerifyError::Replayed),
            Some(Act::Shrug) => return Err(VerifyError::Unavailable { detail: "no answer".into() }),
            _ => {}
        }
        let asset = self.asset.clone();
        let limit = if matches!(act, Some(Act::OverBudget)) { Amount::ZERO } else { Amount::MAX };
        Ok(Verified {
            keys: self.keys(request.credential)?,
            payer: match act {
                Some(Act::Anonymous) => None,
                _ => Some("did:pkh:eip155:1337:0x00000000000000000000000000000000000000aa".into()),
            },
            paid: farthing_money::Money::new(Amount::from_base(10), asset),
            funds: match act {
                Some(Act::Moved) => Funds::Moved,
                _ => Funds::Authorised,
            },
            settle_by: match act {
                Some(Act::Within(ms)) => Some(request.now.plus_ms(ms)),
                _ => None,
            },
            reservation: Some(Reservation {
                budget: "fees".into(),
                amount: Amount::from_base(1),
                limit,
                window_ms: 1_000,
            }),
            plan: SettlementPlan {
                rail: self.rail().to_owned(),
                data: serde_json::json!({ "tx": tx(request.credential)? }),
            },
        })
    }

    async fn settle(&self, plan: &SettlementPlan, now: UnixMs) -> Result<Settled, SettleError> {
        self.settled.fetch_add(1, Ordering::SeqCst);
        match Self::act(&self.settle).await {
            Some(Act::Reject) => Err(rejected().into()),
            Some(Act::Shrug) => Err(SettleError::Unknown { detail: "no answer".into() }),
            _ => Ok(settled(plan, now)),
        }
    }

    async fn resolve(&self, plan: &SettlementPlan, now: UnixMs) -> Result<Resolution, String> {
        self.resolved.fetch_add(1, Ordering::SeqCst);
        match Self::act(&self.resolve).await {
            Some(Act::Reject) => Err("no answer".into()),
            Some(Act::Shrug) => Ok(Resolution::Pending),
            Some(Act::Fail) => {
                Ok(Resolution::Failed { why: "x".repeat(100_000), reservation: ReservationFate::Released })
            }
            _ => Ok(Resolution::Settled(settled(plan, now))),
        }
    }
}

/// The reference is short of the payload's text: a payload is secret, a reference is not.
fn settled(plan: &SettlementPlan, at: UnixMs) -> Settled {
    let length = plan.data["tx"].as_str().unwrap_or_default().len();
    Settled { reference: format!("ref-{length}"), at, external_id: None, extra: serde_json::Map::new() }
}
