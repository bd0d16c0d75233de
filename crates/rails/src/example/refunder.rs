//! [`ExampleRefunder`]: the seller's way to give money back. The order is that of the other half: `plan` only writes down,
//! `send` acts, and acting twice does no more than acting once.

use std::sync::Arc;

use async_trait::async_trait;
use farthing_money::{Amount, Asset};
use farthing_protocol::UnixMs;
use farthing_protocol::ports::{
    RefundError, RefundRequest, Refunder, ReservationFate, Resolution, SettleError, Settled, SettlementPlan,
};
use serde_json::{Map, json};

use super::METHOD;
use super::verifier::VoucherBook;

/// Gives payments back as new vouchers of the same worth.
#[derive(Debug)]
pub struct ExampleRefunder {
    asset: Asset,
    book: Arc<VoucherBook>,
}

impl ExampleRefunder {
    /// Gives back what was paid with vouchers of `book`, in base units of `asset`.
    #[must_use]
    pub const fn new(asset: Asset, book: Arc<VoucherBook>) -> Self {
        Self { asset, book }
    }

    fn settled(voucher: u64, at: UnixMs) -> Settled {
        Settled { reference: format!("voucher-{voucher}"), at, external_id: None, extra: Map::new() }
    }
}

/// What `plan` leaves for `send`, in the journal.
struct Plan<'a> {
    claim: &'a str,
    amount: Amount,
}

impl<'a> Plan<'a> {
    fn read(plan: &'a SettlementPlan) -> Option<Self> {
        let amount = serde_json::from_value(plan.data.get("amount")?.clone()).ok()?;
        Some(Self { claim: plan.data.get("claim")?.as_str()?, amount })
    }
}

#[async_trait]
impl Refunder for ExampleRefunder {
    fn rail(&self) -> &str {
        METHOD
    }

    async fn plan(&self, request: RefundRequest<'_>) -> Result<SettlementPlan, RefundError> {
        // What can never be given back is `Impossible`: the payer then keeps a call. A till that is empty today is
        // `Unavailable`.
        if request.paid.asset() != &self.asset || request.paid.amount().is_zero() {
            let why = "only what was paid with vouchers can be given back as one".to_owned();
            return Err(RefundError::Impossible { code: "refund_no_voucher", why });
        }
        // Bound to the claim: whoever asks twice gets one voucher.
        let data = json!({"claim": request.claim.0, "amount": request.paid.amount()});
        Ok(SettlementPlan { rail: METHOD.to_owned(), data })
    }

    async fn send(&self, plan: &SettlementPlan, now: UnixMs) -> Result<Settled, SettleError> {
        let plan = Plan::read(plan).ok_or_else(|| SettleError::Unknown { detail: "damaged plan".into() })?;
        Ok(Self::settled(self.book.give_back(plan.claim, plan.amount), now))
    }

    async fn resolve(&self, plan: &SettlementPlan, now: UnixMs) -> Result<Resolution, String> {
        let plan = Plan::read(plan).ok_or("damaged plan")?;
        Ok(match self.book.given_back(plan.claim) {
            Some(voucher) => Resolution::Settled(Self::settled(voucher, now)),
            // As in the other half: a network would have to say `Pending` until the refund can no longer happen.
            None => Resolution::Failed {
                why: "no voucher was made for this claim".into(),
                reservation: ReservationFate::Released,
            },
        })
    }
}
