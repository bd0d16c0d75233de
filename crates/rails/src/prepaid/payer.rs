//! [`PrepaidPayer`]: the buyer's half. It signs; it knows neither the balance nor the limits, which the issuer does.

use async_trait::async_trait;
use farthing_money::{Asset, Money};
use farthing_protocol::ports::{
    Declined, FeeBearer, PayContext, PayError, Payer, PaymentFate, Quote, SentPayment,
};
use farthing_protocol::{Challenge, MethodId, PaymentProof, UnixMs};
use serde_json::value::to_raw_value;

use super::METHOD;
use super::wire::{PrepaidKey, PrepaidPayload, PrepaidRequest, Signed};

/// A balance that may be spent.
#[derive(Debug, Clone)]
pub struct PrepaidAccount {
    /// Who keeps it.
    pub issuer: String,
    /// What it counts.
    pub asset: Asset,
    /// The token's name.
    pub token: String,
    /// What the token signs with.
    pub key: PrepaidKey,
}

/// Pays from one balance.
#[derive(Debug)]
pub struct PrepaidPayer {
    method: MethodId,
    account: PrepaidAccount,
}

impl PrepaidPayer {
    /// Pays from `account`.
    #[must_use]
    pub fn new(account: PrepaidAccount) -> Self {
        let method = MethodId::new(METHOD).expect("`prepaid` is a method identifier");
        Self { method, account }
    }
}

#[async_trait]
impl Payer for PrepaidPayer {
    fn method(&self) -> &MethodId {
        &self.method
    }

    fn accepts(&self) -> Vec<String> {
        vec![format!("{METHOD}/charge")]
    }

    fn quote(&self, challenge: &Challenge) -> Result<Quote, Declined> {
        let declined = |code, why: &str| Declined { code, why: why.to_owned() };
        if challenge.method != self.method || challenge.intent.as_str() != "charge" {
            return Err(declined("not_prepaid_charge", "it is not a charge of the method prepaid"));
        }
        let asked: PrepaidRequest = challenge
            .request
            .decode()
            .map_err(|_| declined("request_unreadable", "the challenge's request cannot be read"))?;
        if asked.method_details.issuer != self.account.issuer {
            return Err(declined("prepaid_other_issuer", "it asks for a balance with another issuer"));
        }
        if asked.currency != self.account.asset.code() {
            return Err(declined("prepaid_other_asset", "it asks for another asset than the balance's"));
        }
        Ok(Quote {
            money: Money::new(asked.amount, self.account.asset.clone()),
            recipient: challenge.realm.clone(),
            shares: Vec::new(),
            network: format!("{METHOD}:{}", self.account.issuer),
            payer: self.account.token.clone(),
            fee: FeeBearer::Nobody,
            // The seller takes it: nothing has moved before the credential is sent.
            mode: "pull",
        })
    }

    async fn pay(&self, challenge: &Challenge, context: PayContext) -> Result<PaymentProof, PayError> {
        // The cap holds whatever a policy said before.
        context.admit(&self.quote(challenge)?.money)?;
        let signed =
            Signed { realm: &challenge.realm, challenge: &challenge.id, request: challenge.request.as_str() };
        let payload = PrepaidPayload {
            kind: "hmac".to_owned(),
            token: self.account.token.clone(),
            signature: self.account.key.sign(&signed),
        };
        let payload = to_raw_value(&payload).expect("texts are always JSON");
        Ok(PaymentProof { payload, source: None })
    }

    async fn outcome(&self, payment: &SentPayment<'_>, _now: UnixMs) -> Result<PaymentFate, String> {
        let credential = payment.credential.as_ref().filter(|kept| kept.challenge.method == METHOD);
        let credential = credential.ok_or("it is no payment of the method prepaid")?;
        PrepaidPayload::parse(credential.payload.get()).map_err(|problem| problem.to_string())?;
        // Only the issuer knows whether it was charged: the same credential, presented again, tells.
        Ok(PaymentFate::Pending)
    }
}
