//! [`ServiceBook`]: balances of a billing service, as the prepaid rail asks for them: a charge is a hold of the token's budget that
//! is captured at once. Its id follows from the challenge, so that it happens once.

use async_trait::async_trait;
use farthing_billing::service::HoldId;
use farthing_billing::service::Named as _;
use farthing_money::Asset;
use farthing_protocol::UnixMs;
use farthing_rails::prepaid::{Charge, Charged, PrepaidBook, PrepaidError, Presented};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::client::{BillingClient, BillingError};

/// Balances of one asset.
#[derive(Debug)]
pub struct ServiceBook {
    client: BillingClient,
    asset: Asset,
    issuer: String,
}

#[derive(Deserialize)]
struct Checked {
    budget: String,
    asset: String,
    scale: u8,
}

impl ServiceBook {
    /// Balances of `asset` at a service, for challenges of `issuer`.
    pub const fn new(client: BillingClient, asset: Asset, issuer: String) -> Self {
        Self { client, asset, issuer }
    }

    fn hold(&self, challenge: &str) -> String {
        let mut hash = Sha256::new();
        for part in ["farthing prepaid hold", &self.issuer, self.asset.code(), challenge] {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        let bits = hash.finalize().iter().take(16).fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
        HoldId::from_u128(bits & !0xff).text()
    }
}

fn of(error: BillingError) -> PrepaidError {
    match error {
        BillingError::Refused { code, detail, .. } => PrepaidError::Refused { code, why: detail },
        BillingError::Unavailable { why } => PrepaidError::Unavailable { why },
    }
}

#[async_trait]
impl PrepaidBook for ServiceBook {
    async fn authorise(&self, presented: &Presented<'_>, _now: UnixMs) -> Result<String, PrepaidError> {
        let Presented { token, message, signature, money, realm } = *presented;
        let body = json!({
            "token": token, "message": message, "signature": signature, "amount": money.amount(), "counterparty": realm,
        });
        let once = format!("check-{}", hex::encode(Sha256::digest(format!("{message}{signature}"))));
        let checked: Checked = self.client.post(&["signature_checks"], &once, &body).await.map_err(of)?;
        if checked.asset != self.asset.code() || checked.scale != self.asset.scale() {
            let why =
                format!("the token spends {}, and the price is in {}", checked.asset, self.asset.code());
            return Err(PrepaidError::Refused { code: "prepaid_other_asset".to_owned(), why });
        }
        Ok(checked.budget)
    }

    async fn charge(&self, charge: &Charge, now: UnixMs) -> Result<Charged, PrepaidError> {
        let hold = self.hold(&charge.challenge);
        let body = json!({
            "id": hold, "budget": charge.account, "amount": charge.money.amount(), "counterparty": charge.realm,
            "description": "prepaid call", "metadata": { "challenge": charge.challenge, "token": charge.token },
        });
        let once = format!("charge-{}", charge.challenge);
        self.client.post::<Value>(&["holds"], &once, &body).await.map_err(of)?;
        let body = json!({ "final": true, "reference": charge.challenge });
        let once = format!("capture-{}", charge.challenge);
        match self.client.post::<Value>(&["holds", &hold, "capture"], &once, &body).await {
            Ok(_) => Ok(Charged { reference: hold, at: now }),
            // The money is set aside: what ends it is not known from here.
            Err(error) => Err(PrepaidError::Unavailable { why: error.to_string() }),
        }
    }

    async fn refund(&self, charge: &Charge, now: UnixMs) -> Result<Charged, PrepaidError> {
        let hold = self.hold(&charge.challenge);
        let body = json!({ "amount": charge.money.amount(), "reference": charge.challenge });
        let once = format!("refund-{}", charge.challenge);
        self.client.post::<Value>(&["holds", &hold, "refund"], &once, &body).await.map_err(of)?;
        Ok(Charged { reference: format!("{hold}/refund"), at: now })
    }
}
