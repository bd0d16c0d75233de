//! A buyer who asks, pays and presents by hand, so that every answer can be looked at and every credential shown twice.

use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use farthing_money::{Amount, Money};
use farthing_protocol::ports::{PayContext, Payer};
use farthing_protocol::{Challenge, UnixMs};
use farthing_rails::tempo::{PayMode, TempoPayer, TempoRpc};

use crate::world::{CHAIN_ID, Kind, World};

/// What a gateway answered to a credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// 200, whole, with a receipt.
    Served,
    /// 200 without a receipt, or with another body.
    Wrong(String),
    /// 402: pay anew.
    PayAgain(String),
    /// 403: used before.
    Used,
    /// Come again: 409, 429, 500 to 504.
    Later(u16),
    /// No answer, or half of one.
    Broken,
}

/// Somebody with money.
#[derive(Debug, Clone)]
pub struct Buyer {
    http: reqwest::Client,
    pull: Arc<TempoPayer>,
    push: Arc<TempoPayer>,
}

/// A call that is to be made once.
#[derive(Debug, Clone)]
pub struct Call {
    /// Its name.
    pub id: String,
    /// How it is paid.
    pub kind: Kind,
    /// Path and query.
    pub target: String,
}

impl Call {
    /// A call; `more` goes on in its query.
    #[must_use]
    pub fn new(world: &World, kind: Kind, more: &str) -> Self {
        let id = world.call_id();
        let target = format!("{}?call={id}{more}", kind.path());
        Self { id, kind, target }
    }
}

impl Buyer {
    /// Buyer number `index`.
    ///
    /// # Errors
    /// A sentence.
    pub fn new(world: &World, index: usize) -> Result<Self, String> {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(512)
            .no_proxy()
            .build()
            .map_err(|error| error.to_string())?;
        let payer = |mode| {
            let rpc = TempoRpc::new(world.rpc_url()).map_err(|error| error.to_string())?;
            let key = World::buyer_key(index)?;
            Ok::<_, String>(Arc::new(TempoPayer::builder(key).mode(mode).chain(CHAIN_ID, rpc).build()))
        };
        Ok(Self { http, pull: payer(PayMode::PreferPull)?, push: payer(PayMode::PreferPush)? })
    }

    /// A credential for the call: asks whichever gateway answers, and pays.
    ///
    /// # Errors
    /// A sentence, when no gateway asks for money within a minute, or the payment fails.
    pub async fn credential(&self, world: &World, call: &Call) -> Result<String, String> {
        let challenge = self.ask(world, call).await?;
        let payer = if call.kind == Kind::Push { &self.push } else { &self.pull };
        let quote = payer.quote(&challenge).map_err(|declined| declined.to_string())?;
        let cap = Money::new(Amount::MAX, quote.money.asset().clone());
        let context = PayContext { cap, now: now(), witness: None };
        let proof = payer.pay(&challenge, context).await.map_err(|error| error.to_string())?;
        challenge.answer(&proof).map_err(|error| error.to_string())
    }

    async fn ask(&self, world: &World, call: &Call) -> Result<Challenge, String> {
        let until = Instant::now() + Duration::from_secs(60);
        let mut gateway = 0;
        loop {
            if let Ok(answer) = self.http.get(world.url(gateway, &call.target)).send().await
                && answer.status() == 402
                && let Some(header) = answer.headers().get("www-authenticate")
                && let Ok(text) = header.to_str()
            {
                return Challenge::parse(text).map_err(|error| error.to_string());
            }
            if Instant::now() > until {
                return Err(format!("nobody asks for money for {}", call.target));
            }
            gateway += 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Shows the credential once.
    pub async fn present(&self, world: &World, gateway: usize, call: &Call, credential: &str) -> Reply {
        let request = self.http.get(world.url(gateway, &call.target)).header("authorization", credential);
        let Ok(answer) = request.send().await else { return Reply::Broken };
        let status = answer.status().as_u16();
        let receipt = answer.headers().contains_key("payment-receipt");
        let Ok(body) = answer.text().await else { return Reply::Broken };
        match status {
            200 if receipt && body == format!("result of {}", call.id) => Reply::Served,
            200 => Reply::Wrong(body),
            _ if receipt => Reply::Wrong(format!("a receipt with status {status}")),
            402 => Reply::PayAgain(code(&body)),
            403 => Reply::Used,
            409 | 429 | 500..=504 => Reply::Later(status),
            _ => Reply::Wrong(format!("{status} {}", code(&body))),
        }
    }

    /// Shows the credential until it is served or refused for good, or `patience` is over. What came first of those, or the last
    /// reply.
    pub async fn insist(&self, world: &World, call: &Call, credential: &str, patience: Duration) -> Reply {
        let until = Instant::now() + patience;
        let mut gateway = usize::from(rand::random::<bool>());
        loop {
            let reply = self.present(world, gateway, call, credential).await;
            let goes_on = matches!(reply, Reply::Later(_) | Reply::Broken);
            if !goes_on || Instant::now() > until {
                return reply;
            }
            gateway += 1;
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }
}

fn code(body: &str) -> String {
    let problem: Option<serde_json::Value> = serde_json::from_str(body).ok();
    problem.and_then(|problem| Some(problem["code"].as_str()?.to_owned())).unwrap_or_default()
}

#[allow(clippy::disallowed_methods, reason = "a test is the outermost ring")]
fn now() -> UnixMs {
    let elapsed = std::time::SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMs::from_ms(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}
