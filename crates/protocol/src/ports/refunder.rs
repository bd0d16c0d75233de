//! The seller's way to give money back.

use async_trait::async_trait;
use farthing_money::Money;

use super::{ClaimId, Resolution, SettleError, Settled, SettlementPlan};
use crate::UnixMs;

/// What is to be given back.
#[derive(Debug, Clone, Copy)]
pub struct RefundRequest<'a> {
    /// The claim whose call was not delivered. The refund is bound to it, so that one claim is never given back twice.
    pub claim: &'a ClaimId,
    /// Who paid, as the rail verified it.
    pub payer: &'a str,
    /// What was paid, parts that went to others included.
    pub paid: &'a Money,
    /// What was settled.
    pub settled: &'a Settled,
    /// The instant of the refund.
    pub now: UnixMs,
}

/// Why a refund was not prepared. Nothing has moved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RefundError {
    /// It can never be given back this way: no payer is known, another asset, nothing was paid.
    #[error("{why}")]
    Impossible {
        /// The stable code.
        code: &'static str,
        /// Why, for the log.
        why: String,
    },
    /// Not now: the account that refunds is empty, its budget is used up, the chain does not answer.
    #[error("{why}")]
    Unavailable {
        /// The stable code.
        code: &'static str,
        /// Why, for the log.
        why: String,
    },
}

/// Gives payments of one rail back as transfers.
///
/// The plan is durable before [`send`](Self::send) is called, so a crash at any point leaves one that
/// [`resolve`](Self::resolve) understands.
#[async_trait]
pub trait Refunder: Send + Sync {
    /// The rail whose payments it gives back: [`super::Verifier::rail`].
    fn rail(&self) -> &str;

    /// Prepares and signs the transfer. Moves nothing.
    ///
    /// # Errors
    /// [`RefundError`].
    async fn plan(&self, request: RefundRequest<'_>) -> Result<SettlementPlan, RefundError>;

    /// Sends what was planned. Called again with the same plan it must not move money twice.
    ///
    /// # Errors
    /// [`SettleError`]; when in doubt [`SettleError::Unknown`].
    async fn send(&self, plan: &SettlementPlan, now: UnixMs) -> Result<Settled, SettleError>;

    /// Learns what became of a plan whose outcome is unknown.
    ///
    /// # Errors
    /// A sentence for the log when the rail's services do not answer; the outcome stays unknown.
    async fn resolve(&self, plan: &SettlementPlan, now: UnixMs) -> Result<Resolution, String>;
}
