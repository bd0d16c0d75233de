//! Verifying a payment that the payer broadcast.

use alloy_primitives::B256;
use farthing_protocol::ports::{Timing, Verified, VerifyError, VerifyRequest};

use super::{TempoCharge, named, reject, rejected, unavailable};
use crate::tempo::broadcast::{self, Broadcast, Patience};
use crate::tempo::error::ChargeError;
use crate::tempo::request::{ChargeRequest, Fee, Mode};
use crate::tempo::settle::How;

impl TempoCharge {
    pub(super) async fn verify_hash(
        &self,
        charge: &ChargeRequest,
        hash: B256,
        request: VerifyRequest<'_>,
    ) -> Result<Verified, VerifyError> {
        if charge.fee == Fee::Seller {
            return reject(ChargeError::SponsoredPush);
        }
        if !charge.modes.allow(Mode::Push) {
            return reject(ChargeError::ModeNotOffered { mode: "push" });
        }
        let source = self.source(request.credential).map_err(rejected)?;
        let rpc = &self.terms.rpc;
        rpc.expect_chain(self.terms.chain_id).await.map_err(unavailable)?;
        let over = request.timing == Timing::Late && self.is_over(request).await?;
        let unseen = "the transaction is not on the chain yet".to_owned();
        let receipt = match broadcast::wait(rpc, hash, Patience::LAG, unseen).await {
            Broadcast::Included(receipt) => receipt,
            Broadcast::Lost { .. } if over && rpc.receipt(hash).await.map_err(unavailable)?.is_none() => {
                return reject(ChargeError::ChallengeExpired);
            }
            Broadcast::Lost { why } | Broadcast::Refused { why } | Broadcast::NotSent { why } => {
                return Err(VerifyError::Unavailable { detail: why });
            }
        };
        let payer = source.unwrap_or(receipt.from);
        match receipt.check(charge, named(request.credential), payer) {
            Ok(()) => {}
            // The money has moved, for another challenge: a fresh challenge would only make somebody pay again.
            Err(ChargeError::MemoOfAnother) => return Err(VerifyError::Replayed),
            Err(error) => return reject(error),
        }
        self.check_timing(&receipt, request).await?;
        Ok(self.verified(charge, payer, vec![self.tx_key(hash)], How::Push { hash }))
    }
}
