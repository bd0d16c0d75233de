//! [`Sales`]: a gateway's paid calls, told to a billing service as revenue with what they cost.
//!
//! What was delivered stands in the store of claims, in the order in which it was. This reads on where it stopped, and tells each
//! call under the claim's own name, so that telling one twice books it once: after a crash, by several gateways on one store, and
//! for the overlap that is read again because clocks differ. While the service does not answer nothing is lost; it is told later, as
//! long as the store keeps payments (`keep_payments`).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use farthing_money::{Amount, Asset, Money};
use farthing_protocol::UnixMs;
use farthing_protocol::ports::{Claim, ClaimId, ClaimStore, Clock, Listed, Page};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::{BillingClient, BillingError};

/// How long a call may have been delivered before it is told: processes that share a store have clocks that differ.
const SETTLED_MS: u64 = 2_000;
/// How far back is read again at start, for the same reason.
const OVERLAP_MS: u64 = 60_000;
/// The most calls of one reading.
const PAGE: usize = 100;
/// How long to wait when there is nothing to tell, and at most when the service does not answer.
const IDLE: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(60);

/// What a route's calls cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteCost {
    /// Who takes it.
    pub vendor: String,
    /// How much a call, in the currency of the route's price.
    pub amount: Amount,
}

/// What tells a gateway's revenue.
pub struct Sales {
    /// The service.
    pub client: BillingClient,
    /// What remembers payments.
    pub store: Arc<dyn ClaimStore>,
    /// The clock of the store's steps.
    pub clock: Arc<dyn Clock>,
    /// The gateway's realm: its products are named after it.
    pub realm: String,
    /// The asset in which revenue is booked, where it is not the payment's.
    pub asset: Option<String>,
    /// The currency of routes' prices and costs.
    pub currency: Asset,
    /// What the calls of a route cost, by the route's name.
    pub costs: BTreeMap<String, RouteCost>,
    /// Where it is remembered how far everything was told.
    pub state_file: PathBuf,
}

/// How far everything was told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    changed_ms: u64,
    claim: String,
}

#[derive(Deserialize)]
struct Made {
    id: String,
}

#[derive(Deserialize)]
struct Many {
    data: Vec<Made>,
}

/// Names that were asked for before.
#[derive(Default)]
struct Known {
    products: BTreeMap<(String, String), String>,
    customers: BTreeMap<String, String>,
    scales: BTreeMap<String, u8>,
}

/// The most names that are remembered of each kind.
const MOST_KNOWN: usize = 10_000;

impl Sales {
    /// Tells for as long as the gateway runs.
    pub async fn run(self) {
        let mut told = self.load().await;
        told.changed_ms = told.changed_ms.saturating_sub(OVERLAP_MS);
        told.claim.clear();
        let (mut known, mut wait) = (Known::default(), IDLE);
        loop {
            match self.round(&mut told, &mut known).await {
                Ok(PAGE) => wait = Duration::ZERO,
                Ok(_) => wait = IDLE,
                Err(why) => {
                    wait = (wait * 2).clamp(IDLE, LONGEST);
                    tracing::warn!(
                        why,
                        wait_s = wait.as_secs_f32(),
                        "revenue could not be told to the billing service; nothing is lost"
                    );
                }
            }
            tokio::time::sleep(wait).await;
        }
    }

    /// Tells one page, and says how many calls it had.
    async fn round(&self, told: &mut Told, known: &mut Known) -> Result<usize, String> {
        let now = self.clock.now();
        let after = (told.changed_ms > 0 || !told.claim.is_empty())
            .then(|| (UnixMs::from_ms(told.changed_ms), ClaimId(told.claim.clone())));
        let before = UnixMs::from_ms(now.as_ms().saturating_sub(SETTLED_MS));
        let page = Page { before, after, limit: PAGE };
        let claims = self.store.list(Listed::Delivered, page).await.map_err(|error| error.to_string())?;
        for claim in &claims {
            match self.tell(claim, known).await {
                Ok(()) => {}
                // It will never be taken: a person has to look, and the next call must not wait for it.
                Err(BillingError::Refused { code, detail, .. }) => {
                    tracing::error!(claim = %claim.new.id, route = claim.new.scope, code, detail, "a paid call could not be booked as revenue");
                }
                Err(error) => {
                    self.save(told).await;
                    return Err(error.to_string());
                }
            }
            *told = Told { changed_ms: claim.changed.as_ms(), claim: claim.new.id.0.clone() };
        }
        if !claims.is_empty() {
            self.save(told).await;
        }
        Ok(claims.len())
    }

    async fn tell(&self, claim: &Claim, known: &mut Known) -> Result<(), BillingError> {
        // Of older stores the amount is not known, and a proof of identity moves nothing.
        let Some(paid) = claim.new.paid.as_ref().filter(|paid| !paid.amount().is_zero()) else {
            return Ok(());
        };
        let Some(settled) = claim.state.settled() else { return Ok(()) };
        let asset = self.asset.clone().unwrap_or_else(|| paid.asset().code().to_owned());
        let scale = self.scale(&asset, known).await?;
        let amount = |money: &Money| {
            super::wallet::rescale(money, scale).ok_or_else(|| BillingError::Refused {
                code: "wallet_scale".to_owned(),
                detail: format!("{money} cannot be counted in {asset} exactly"),
                status: 422,
            })
        };
        // There is no rate between assets: what was paid from a balance in another one has its cost in no book.
        let mine = self.costs.get(&claim.new.scope).filter(|_| *paid.asset() == self.currency);
        let costs = match mine {
            Some(RouteCost { vendor, amount: cost }) => {
                let cost = amount(&Money::new(*cost, paid.asset().clone()))?;
                vec![json!({ "vendor": vendor, "amount": cost })]
            }
            None => Vec::new(),
        };
        let sale = json!({
            "usage": {
                "event_id": claim.new.id.0,
                "customer": self.customer(claim.new.payer.as_deref(), known).await?,
                "product": self.product(&claim.new.scope, &asset, known).await?,
                "event_type": "paid_call",
                "dimensions": { "route": claim.new.scope, "rail": claim.new.plan.rail, "reference": settled.reference },
                "quantity": 1,
                "costs": costs,
                "occurred_ms": settled.at.as_ms(),
            },
            "paid": amount(paid)?,
        });
        let once = format!("sale-{}", claim.new.id);
        self.client.post::<Value>(&["sales"], &once, &sale).await.map(drop)
    }

    /// Whoever pays is a customer, known by what the rail calls it.
    async fn customer(&self, payer: Option<&str>, known: &mut Known) -> Result<String, BillingError> {
        let payer = payer.unwrap_or("anonymous");
        if let Some(id) = known.customers.get(payer) {
            return Ok(id.clone());
        }
        let body = json!({ "external_id": payer, "name": payer });
        let made = self.client.post::<Made>(&["customers"], &format!("customer-{payer}"), &body).await;
        let id = match made {
            Ok(made) => made.id,
            Err(BillingError::Refused { code, .. }) if code == "already_exists" => {
                let found: Option<Many> = self.client.get(&["customers"], &[("external_id", payer)]).await?;
                let found = found.into_iter().flat_map(|page| page.data).next();
                found
                    .ok_or_else(|| BillingError::Unavailable {
                        why: format!("it has {payer}, and does not find it"),
                    })?
                    .id
            }
            Err(error) => return Err(error),
        };
        remember(&mut known.customers, payer.to_owned(), &id);
        Ok(id)
    }

    /// Each route is a product in the asset that it is paid in. Its name under the idempotency key makes it once.
    async fn product(&self, route: &str, asset: &str, known: &mut Known) -> Result<String, BillingError> {
        let key = (route.to_owned(), asset.to_owned());
        if let Some(id) = known.products.get(&key) {
            return Ok(id.clone());
        }
        let name: String = format!("{} {route}", self.realm).chars().take(200).collect();
        let once = format!("product-{}-{asset}-{route}", self.realm);
        let body = json!({ "name": name, "asset": asset });
        let made: Made = self.client.post(&["products"], &once, &body).await?;
        remember(&mut known.products, key, &made.id);
        Ok(made.id)
    }

    async fn scale(&self, asset: &str, known: &mut Known) -> Result<u8, BillingError> {
        if let Some(scale) = known.scales.get(asset) {
            return Ok(*scale);
        }
        // Somebody will make it, and then everything is told.
        let why =
            || format!("it has no asset {asset}: make it, or name the one to book in with billing.asset");
        let found = self.client.scale(asset).await?;
        let scale = found.ok_or_else(|| BillingError::Unavailable { why: why() })?;
        known.scales.insert(asset.to_owned(), scale);
        Ok(scale)
    }

    async fn load(&self) -> Told {
        match tokio::fs::read(&self.state_file).await {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
            Err(_) => Told::default(),
        }
    }

    /// Losing it costs time and books nothing twice.
    async fn save(&self, told: &Told) {
        let beside = self.state_file.with_extension("tmp");
        let written = match serde_json::to_vec(told) {
            Ok(bytes) => tokio::fs::write(&beside, bytes).await,
            Err(error) => Err(error.into()),
        };
        let renamed = match written {
            Ok(()) => tokio::fs::rename(&beside, &self.state_file).await,
            Err(error) => Err(error),
        };
        if let Err(error) = renamed {
            tracing::warn!(file = %self.state_file.display(), %error, "how far revenue was told could not be written down");
        }
    }
}

fn remember<K: Ord>(known: &mut BTreeMap<K, String>, key: K, id: &str) {
    if known.len() >= MOST_KNOWN {
        known.clear();
    }
    known.insert(key, id.to_owned());
}
