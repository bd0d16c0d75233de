//! [`ExamplePayer`]: the buyer's half.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use farthing_money::{Asset, Money};
use farthing_protocol::ports::{
    Declined, FeeBearer, PayContext, PayError, Payer, PaymentFate, Quote, SentPayment,
};
use farthing_protocol::{Challenge, MethodId, PaymentProof, UnixMs};
use serde_json::value::to_raw_value;

use super::METHOD;
use super::wire::{ExamplePayload, ExampleRequest};

/// Pays with vouchers, one a call, in the order in which it was given them.
#[derive(Debug)]
pub struct ExamplePayer {
    method: MethodId,
    asset: Asset,
    vouchers: Mutex<Vec<u64>>,
}

impl ExamplePayer {
    /// Pays with `vouchers` for what costs `asset`.
    #[must_use]
    pub fn new(asset: Asset, mut vouchers: Vec<u64>) -> Self {
        vouchers.reverse();
        let method = MethodId::new(METHOD).expect("`example` is a method identifier");
        Self { method, asset, vouchers: Mutex::new(vouchers) }
    }
}

#[async_trait]
impl Payer for ExamplePayer {
    fn method(&self) -> &MethodId {
        &self.method
    }

    fn accepts(&self) -> Vec<String> {
        vec![format!("{METHOD}/charge")]
    }

    fn quote(&self, challenge: &Challenge) -> Result<Quote, Declined> {
        let declined = |code, why: &str| Declined { code, why: why.to_owned() };
        if challenge.method != self.method || challenge.intent.as_str() != "charge" {
            return Err(declined("not_example_charge", "it is not a charge of the method example"));
        }
        let asked: ExampleRequest = challenge
            .request
            .decode()
            .map_err(|_| declined("request_unreadable", "the request cannot be read"))?;
        if asked.currency != self.asset.code() {
            return Err(declined("currency_unknown", "it asks for another currency than the vouchers'"));
        }
        Ok(Quote {
            money: Money::new(asked.amount, self.asset.clone()),
            recipient: challenge.realm.clone(),
            shares: Vec::new(),
            network: METHOD.to_owned(),
            payer: "bearer".to_owned(),
            fee: FeeBearer::Nobody,
            mode: "voucher",
        })
    }

    async fn pay(&self, challenge: &Challenge, context: PayContext) -> Result<PaymentProof, PayError> {
        // The cap holds whatever a policy said before.
        context.admit(&self.quote(challenge)?.money)?;
        let next = self.vouchers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let voucher = next.ok_or_else(|| PayError::Failed {
            code: "no_voucher",
            why: "there is no voucher left to pay with".into(),
        })?;
        let payload = to_raw_value(&ExamplePayload { voucher }).expect("a number is always JSON");
        Ok(PaymentProof { payload, source: None })
    }

    async fn outcome(&self, payment: &SentPayment<'_>, _now: UnixMs) -> Result<PaymentFate, String> {
        let credential = payment.credential.as_ref().filter(|kept| kept.challenge.method == METHOD);
        let credential = credential.ok_or("it is no payment of the method example")?;
        ExamplePayload::parse(credential.payload.get()).map_err(|problem| problem.to_string())?;
        // Only the seller's book knows whether it was cashed, and it may be cashed at any time. A rail with a ledger that
        // the buyer can read asks it here, and says `Moved` or `CannotMove` where that is certain.
        Ok(PaymentFate::Pending)
    }
}
