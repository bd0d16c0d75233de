//! Verifying a signed transaction that the seller is to broadcast.

use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, U256};
use farthing_protocol::UnixMs;
use farthing_protocol::ports::{Timing, Verified, VerifyError, VerifyRequest};
use tempo_primitives::transaction::TEMPO_EXPIRING_NONCE_KEY;

use super::landed::late_and_missing;
use super::{TempoCharge, named, reject, rejected, unavailable};
use crate::tempo::error::ChargeError;
use crate::tempo::keychain::{self, AccessKey};
use crate::tempo::request::{ChargeRequest, Mode};
use crate::tempo::rpc::RpcError;
use crate::tempo::settle::{How, Pull};
use crate::tempo::simulate::{self, Payment};
use crate::tempo::sponsor::{self, Sponsorship};
use crate::tempo::transaction::{Against, SignedCharge, Sponsored};

impl TempoCharge {
    pub(super) async fn verify_transaction(
        &self,
        charge: &ChargeRequest,
        bytes: &[u8],
        request: VerifyRequest<'_>,
    ) -> Result<Verified, VerifyError> {
        let credential = request.credential;
        if !charge.modes.allow(Mode::Pull) {
            return reject(ChargeError::ModeNotOffered { mode: "pull" });
        }
        let signed = SignedCharge::decode(bytes).map_err(rejected)?;
        if self.source(credential).map_err(rejected)?.is_some_and(|source| source != signed.sender()) {
            return reject(ChargeError::SourceDiffers);
        }
        let against = Against {
            charge,
            named: named(credential),
            chain_id: self.terms.chain_id,
            expires: request.expires,
            now: request.now,
        };
        signed.check_terms(against).map_err(rejected)?;
        if request.timing == Timing::Late {
            let over = self.is_over(request).await?;
            let landed = self.landed(charge, &signed, request).await?;
            return landed.ok_or_else(|| late_and_missing(over));
        }
        match self.verify_unsent(against, &signed, request).await {
            // What can no longer be sent may be on the chain already: the payer can send it too, and so may an attempt of ours
            // have done that is recorded as failed. The money has then moved and must count.
            Err(VerifyError::Rejected(problem)) => {
                let landed = self.landed(charge, &signed, request).await?;
                landed.ok_or(VerifyError::Rejected(problem))
            }
            outcome => outcome,
        }
    }

    /// Checks that a transaction can be sent now and will pay.
    async fn verify_unsent(
        &self,
        against: Against<'_>,
        signed: &SignedCharge,
        request: VerifyRequest<'_>,
    ) -> Result<Verified, VerifyError> {
        let Against { charge, named, .. } = against;
        let sender = signed.sender();
        if let (Some(sponsorship), Sponsored::Asked) = (&self.terms.sponsorship, signed.sponsored()) {
            sponsorship.policy.check(signed, request.now).map_err(rejected)?;
        }
        signed.check_window(against).map_err(rejected)?;
        self.check_on_chain(charge, signed, request.now).await?;

        let mut keys = self.transaction_keys(signed);
        let mut reservation = None;
        let (raw, hash) = match (&self.terms.sponsorship, signed.sponsored()) {
            (Some(sponsorship), Sponsored::Asked) => {
                let token = self.fee_token(sponsorship, signed).await?;
                let complete = sponsor::cosign(signed, &sponsorship.key, token);
                simulate::cosigned(&self.terms.rpc, &complete, Payment { charge, named, sender })
                    .await
                    .map_err(unavailable)?
                    .map_err(rejected)?;
                reservation = Some(sponsorship.reservation(complete.tx()));
                keys.push(self.tx_key(*complete.hash()));
                (complete.encoded_2718(), *complete.hash())
            }
            (None, Sponsored::Asked) => return reject(ChargeError::SponsorNotOffered),
            (_, Sponsored::No) => {
                let hash = signed.hash().expect("an unsponsored transaction is complete");
                (signed.to_bytes(), hash)
            }
        };
        let how = How::Pull(Pull {
            raw: format!("0x{}", hex::encode(raw)),
            hash,
            payer: sender,
            valid_before: signed.tx().valid_before.map_or(0, std::num::NonZeroU64::get),
            request: charge.to_json(),
            realm: named.realm.to_owned(),
            challenge_id: named.challenge_id.to_owned(),
        });
        Ok(Verified { reservation, ..self.verified(charge, sender, keys, how) })
    }

    /// What needs a node: that it serves the chain, that the access key may sign, nonce and price, the balance, and a
    /// simulation.
    async fn check_on_chain(
        &self,
        charge: &ChargeRequest,
        signed: &SignedCharge,
        now: UnixMs,
    ) -> Result<(), VerifyError> {
        let rpc = &self.terms.rpc;
        rpc.expect_chain(self.terms.chain_id).await.map_err(unavailable)?;
        self.check_nonce(signed).await?;
        if let Some(key) = signed.access_key() {
            let access = AccessKey { account: signed.sender(), key };
            keychain::check(rpc, access, now).await.map_err(unavailable)?.map_err(rejected)?;
        }
        let (balance, head, simulated) = tokio::join!(
            rpc.balance(charge.currency, signed.sender()),
            rpc.head(),
            rpc.simulate(signed.sender(), signed.tx()),
        );
        let (available, required) = (balance.map_err(unavailable)?, U256::from(charge.amount.base()));
        if available < required {
            return reject(ChargeError::Insufficient { available, required });
        }
        let (base, given) = (head.map_err(unavailable)?.base_fee, signed.tx().max_fee_per_gas);
        if given < base {
            return reject(ChargeError::FeeBelowBase { base, given });
        }
        match simulated {
            Ok(()) => Ok(()),
            Err(RpcError::Rejected { message, .. }) => reject(ChargeError::WouldRevert { why: message }),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// That the transaction is the account's next. A simulation does not look at nonces, and one that is not due would be
    /// neither taken nor refused until its validity ends.
    async fn check_nonce(&self, signed: &SignedCharge) -> Result<(), VerifyError> {
        let tx = signed.tx();
        let expected = match tx.nonce_key {
            TEMPO_EXPIRING_NONCE_KEY => 0,
            U256::ZERO => self.terms.rpc.nonce(signed.sender()).await.map_err(unavailable)?,
            _ => return reject(ChargeError::NonceKeyRefused),
        };
        if tx.nonce == expected {
            Ok(())
        } else {
            reject(ChargeError::NonceNotCurrent { expected, given: tx.nonce })
        }
    }

    /// The first fee token of which the sponsor holds the most that the transaction can cost (TC7).
    async fn fee_token(
        &self,
        sponsorship: &Sponsorship,
        signed: &SignedCharge,
    ) -> Result<Address, VerifyError> {
        let needed = U256::from(sponsor::max_fee(signed.tx()).base());
        for token in &sponsorship.fee_tokens {
            let held =
                self.terms.rpc.balance(*token, sponsorship.key.address()).await.map_err(unavailable)?;
            if held >= needed {
                return Ok(*token);
            }
        }
        Err(VerifyError::Unavailable {
            detail: format!(
                "the fee payer {} holds too little of every fee token",
                sponsorship.key.address()
            ),
        })
    }
}
