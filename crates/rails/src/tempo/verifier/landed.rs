//! A payment that is on the chain already, and when it got there: what a late credential, or one whose transaction can no
//! longer be sent, may still be worth.

use alloy_primitives::B256;
use farthing_protocol::UnixMs;
use farthing_protocol::ports::{Timing, Verified, VerifyError, VerifyRequest};
use serde_json::json;

use super::{TempoCharge, named, reject, rejected, unavailable};
use crate::tempo::error::ChargeError;
use crate::tempo::fate::GRACE_S;
use crate::tempo::receipt::TxReceipt;
use crate::tempo::request::ChargeRequest;
use crate::tempo::settle::How;
use crate::tempo::sponsor;
use crate::tempo::transaction::{SignedCharge, Sponsored};

/// The first second in which a payment comes too late: a block's time is in whole seconds, so the one that the challenge
/// ends in still counts.
const fn too_late_s(expires: UnixMs) -> u64 {
    expires.as_secs().saturating_add(1)
}

impl TempoCharge {
    /// A transaction that has landed already, by whomever it was sent, and pays the charge.
    pub(super) async fn landed(
        &self,
        charge: &ChargeRequest,
        signed: &SignedCharge,
        request: VerifyRequest<'_>,
    ) -> Result<Option<Verified>, VerifyError> {
        let rpc = &self.terms.rpc;
        rpc.expect_chain(self.terms.chain_id).await.map_err(unavailable)?;
        for hash in self.final_hashes(signed) {
            let Some(receipt) = rpc.receipt(hash).await.map_err(unavailable)? else { continue };
            match receipt.check_landed(charge, named(request.credential), signed.sender()) {
                Ok(()) => {}
                Err(ChargeError::Reverted) => continue,
                Err(_) if receipt.logs.is_empty() => {
                    let detail = "the node shows no logs of a payment that it executed".to_owned();
                    return Err(VerifyError::Unavailable { detail });
                }
                Err(error) => return reject(error),
            }
            self.check_timing(&receipt, request).await?;
            let mut keys = self.transaction_keys(signed);
            let key = self.tx_key(hash);
            if !keys.contains(&key) {
                keys.push(key);
            }
            return Ok(Some(self.verified(charge, signed.sender(), keys, How::Push { hash })));
        }
        Ok(None)
    }

    /// What the chain may know the transaction by: a sponsored one's hash depends on the token that the fee is paid in.
    fn final_hashes(&self, signed: &SignedCharge) -> Vec<B256> {
        match (&self.terms.sponsorship, signed.sponsored()) {
            (Some(sponsorship), Sponsored::Asked) => sponsorship
                .fee_tokens
                .iter()
                .map(|token| *sponsor::cosign(signed, &sponsorship.key, *token).hash())
                .collect(),
            _ => signed.hash().into_iter().collect(),
        }
    }

    /// A late credential counts only for money that had moved before its challenge expired.
    pub(super) async fn check_timing(
        &self,
        receipt: &TxReceipt,
        request: VerifyRequest<'_>,
    ) -> Result<(), VerifyError> {
        if request.timing == Timing::InTime {
            return Ok(());
        }
        let unknown =
            || VerifyError::Unavailable { detail: "the node does not show the payment's block".into() };
        let number = receipt.block_number.ok_or_else(unknown)?;
        let block = self.terms.rpc.block(json!(number)).await.map_err(unavailable)?.ok_or_else(unknown)?;
        if block.timestamp.to::<u64>() < too_late_s(request.expires) {
            Ok(())
        } else {
            reject(ChargeError::ChallengeExpired)
        }
    }

    /// Whether no block can come any more that pays in time. Asked before a payment is looked for, or a block in between would
    /// be missed.
    pub(super) async fn is_over(&self, request: VerifyRequest<'_>) -> Result<bool, VerifyError> {
        let chain_now = self.terms.rpc.head().await.map_err(unavailable)?.timestamp;
        Ok(chain_now >= too_late_s(request.expires).saturating_add(GRACE_S))
    }
}

/// A late payment that is not on the chain: refused once it can no longer get there in time.
pub(super) fn late_and_missing(over: bool) -> VerifyError {
    if over {
        return rejected(ChargeError::ChallengeExpired);
    }
    let detail = "the payment is not on the chain, and blocks that could hold it may still come".to_owned();
    VerifyError::Unavailable { detail }
}
