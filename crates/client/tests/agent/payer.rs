//! A rail that pays in nothing, a clock that stands still, and agents made of them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use farthing_client::{Agent, AgentBuilder, AgentError, Paid, Policy};
use farthing_money::{Amount, Asset, AssetKind, Money};
use farthing_protocol::ports::{
    Clock, Declined, FeeBearer, PayContext, PayError, Payer, PaymentFate, Quote, SentPayment, Share,
};
use farthing_protocol::{Challenge, MethodId, PaymentProof, UnixMs};
use serde::Deserialize;
use tokio::sync::Notify;

pub const NOW: u64 = 1_769_688_000_000;
/// In every credential.
pub const CANARY: &str = "canary5b1f0e77canary5b1f0e77canary5b1f0e77";
pub const TOKEN: &str = "0x20c0000000000000000000000000000000000009";

/// What the rail does when asked to pay.
#[derive(Clone)]
pub enum Does {
    Pays,
    PaysWhenTold(Arc<Notify>),
    Fails(PayError),
    Panics,
    /// Shows its proof to the witness, as a rail that broadcasts does, and then does this; not when nothing was kept.
    Broadcasts(Box<Self>),
}

pub struct FakePayer {
    method: MethodId,
    does: Does,
    asked: AtomicUsize,
    paid: AtomicUsize,
    /// What it answers when asked what became of a payment.
    fate: Mutex<Result<PaymentFate, String>>,
}

impl FakePayer {
    pub fn new(does: Does) -> Arc<Self> {
        let method = MethodId::new("test").unwrap();
        Arc::new(Self {
            method,
            does,
            asked: AtomicUsize::new(0),
            paid: AtomicUsize::new(0),
            fate: Mutex::new(Ok(PaymentFate::Pending)),
        })
    }

    /// What became of its payments from now on.
    pub fn set_fate(&self, fate: Result<PaymentFate, String>) {
        *self.fate.lock().unwrap() = fate;
    }

    /// How often it was asked to pay.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// How often it paid.
    pub fn paid(&self) -> usize {
        self.paid.load(Ordering::SeqCst)
    }
}

#[derive(Deserialize)]
struct Terms {
    amount: Amount,
    asset: String,
    recipient: String,
    mode: String,
    network: String,
    #[serde(default)]
    shares: Vec<(String, Amount)>,
}

#[async_trait]
impl Payer for FakePayer {
    fn method(&self) -> &MethodId {
        &self.method
    }

    fn accepts(&self) -> Vec<String> {
        vec!["test/charge".to_owned()]
    }

    fn quote(&self, challenge: &Challenge) -> Result<Quote, Declined> {
        let terms: Terms = challenge.request.decode().map_err(|_| Declined {
            code: "test_bad_terms",
            why: "the test offer does not read".to_owned(),
        })?;
        let kind = match terms.asset.as_str() {
            "TestUSD" => AssetKind::Token { network: terms.network.as_str().into(), address: TOKEN.into() },
            _ => AssetKind::Custom,
        };
        let asset = Asset::new(&terms.asset, 6, kind).unwrap();
        Ok(Quote {
            money: Money::new(terms.amount, asset),
            recipient: terms.recipient,
            shares: terms.shares.into_iter().map(|(recipient, amount)| Share { recipient, amount }).collect(),
            network: terms.network,
            payer: "0xme".to_owned(),
            fee: FeeBearer::Nobody,
            mode: match terms.mode.as_str() {
                "push" => "push",
                "proof" => "proof",
                _ => "pull",
            },
        })
    }

    async fn pay(&self, challenge: &Challenge, context: PayContext) -> Result<PaymentProof, PayError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        assert_eq!(self.quote(challenge).unwrap().money, context.cap, "the cap is what was agreed to");
        let mut does = &self.does;
        if let Does::Broadcasts(then) = does {
            let witness = context.witness.as_ref().expect("the agent keeps what is shown");
            let kept = witness.about_to_move(&proof(self.paid.load(Ordering::SeqCst))).await;
            // The code is the rail's own: the agent knows better why.
            kept.map_err(|why| PayError::Failed { code: "rail_says", why })?;
            does = then;
        }
        match does {
            Does::Pays | Does::Broadcasts(_) => {}
            Does::PaysWhenTold(told) => told.notified().await,
            Does::Fails(error) => return Err(error.clone()),
            Does::Panics => panic!("the test rail panics"),
        }
        Ok(proof(self.paid.fetch_add(1, Ordering::SeqCst)))
    }

    async fn outcome(&self, payment: &SentPayment<'_>, _: UnixMs) -> Result<PaymentFate, String> {
        let credential = payment.credential.as_ref().map(|kept| kept.payload.get().contains(CANARY));
        assert!(credential.unwrap_or(payment.reference.is_some()), "it is told what was kept");
        self.fate.lock().unwrap().clone()
    }
}

fn proof(nth: usize) -> PaymentProof {
    let payload = format!(r#"{{"type":"test","nth":{nth},"canary":"{CANARY}"}}"#);
    PaymentProof {
        payload: serde_json::value::RawValue::from_string(payload).unwrap(),
        source: Some("did:test:me".to_owned()),
    }
}

pub fn now() -> UnixMs {
    UnixMs::from_ms(NOW)
}

pub fn clock() -> Arc<dyn Clock> {
    Arc::new(|| UnixMs::from_ms(NOW))
}

/// Pays up to one dollar in all.
pub fn policy() -> Policy {
    Policy::builder().dollar_token("test:1", TOKEN).max_total("1").unwrap().build()
}

pub fn builder(payer: &Arc<FakePayer>) -> AgentBuilder {
    Agent::builder(clock()).payer(Arc::clone(payer) as Arc<dyn Payer>).policy(policy())
}

pub fn agent(payer: &Arc<FakePayer>) -> Agent {
    builder(payer).build().unwrap()
}

pub fn get(url: &str) -> reqwest::Request {
    reqwest::Request::new(reqwest::Method::GET, url.parse().unwrap())
}

pub fn post(url: &str, body: &str) -> reqwest::Request {
    let mut request = reqwest::Request::new(reqwest::Method::POST, url.parse().unwrap());
    *request.body_mut() = Some(body.to_owned().into());
    request
}

/// `code` of the failure, or the status of the answer.
pub fn outcome(result: &Result<Paid<reqwest::Response>, AgentError>) -> String {
    match result {
        Ok(paid) => paid.response.status().as_u16().to_string(),
        Err(error) => error.code().to_owned(),
    }
}
