//! [`PrepaidRefunder`]: the seller's way to give a charge back to the balance that it came from.

use std::sync::Arc;

use async_trait::async_trait;
use farthing_money::Asset;
use farthing_protocol::UnixMs;
use farthing_protocol::ports::{
    RefundError, RefundRequest, Refunder, ReservationFate, Resolution, SettleError, Settled, SettlementPlan,
    Verifier as _,
};
use serde_json::Map;

use super::book::{Charge, Charged, PrepaidBook, PrepaidError};
use super::verifier::Plan;
use super::{METHOD, PrepaidVerifier};

/// Gives back to balances of one asset with one issuer.
pub struct PrepaidRefunder {
    rail: String,
    asset: Asset,
    realm: String,
    book: Arc<dyn PrepaidBook>,
}

impl std::fmt::Debug for PrepaidRefunder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PrepaidRefunder").field("rail", &self.rail).finish_non_exhaustive()
    }
}

impl PrepaidRefunder {
    /// Gives back what `verifier` took at `realm`, in the same book.
    #[must_use]
    pub fn new(verifier: &PrepaidVerifier, realm: &str, book: Arc<dyn PrepaidBook>) -> Self {
        let (rail, asset) = (verifier.rail().to_owned(), verifier.asset().clone());
        Self { rail, asset, realm: realm.to_owned(), book }
    }

    fn settled(charged: Charged) -> Settled {
        let Charged { reference, at } = charged;
        Settled { reference, at, external_id: None, extra: Map::new() }
    }
}

#[async_trait]
impl Refunder for PrepaidRefunder {
    fn rail(&self) -> &str {
        &self.rail
    }

    async fn plan(&self, request: RefundRequest<'_>) -> Result<SettlementPlan, RefundError> {
        let token = request.payer.strip_prefix(METHOD).and_then(|rest| rest.strip_prefix(':'));
        let (Some(token), true) = (token, request.paid.asset() == &self.asset) else {
            let why = "it was not paid from a balance of this rail".to_owned();
            return Err(RefundError::Impossible { code: "refund_not_prepaid", why });
        };
        let charge = Charge {
            challenge: request.claim.0.clone(),
            token: token.to_owned(),
            money: request.paid.clone(),
            realm: self.realm.clone(),
            // What was charged is found by the challenge.
            account: String::new(),
        };
        let plan = Plan { charge, external_id: None };
        let data = serde_json::to_value(&plan).expect("names and amounts are always JSON");
        Ok(SettlementPlan { rail: self.rail.clone(), data })
    }

    async fn send(&self, plan: &SettlementPlan, now: UnixMs) -> Result<Settled, SettleError> {
        let plan = Plan::read(plan).ok_or_else(|| SettleError::Unknown { detail: "damaged plan".into() })?;
        match self.book.refund(&plan.charge, now).await {
            Ok(charged) => Ok(Self::settled(charged)),
            // It may have been given back before: not to be told from here.
            Err(error) => Err(SettleError::Unknown { detail: error.to_string() }),
        }
    }

    async fn resolve(&self, plan: &SettlementPlan, now: UnixMs) -> Result<Resolution, String> {
        let plan = Plan::read(plan).ok_or("damaged plan")?;
        match self.book.refund(&plan.charge, now).await {
            Ok(charged) => Ok(Resolution::Settled(Self::settled(charged))),
            Err(PrepaidError::Refused { code, why }) => Ok(Resolution::Failed {
                why: format!("{why} ({code})"),
                reservation: ReservationFate::Released,
            }),
            Err(PrepaidError::Unavailable { why }) => Err(why),
        }
    }
}
