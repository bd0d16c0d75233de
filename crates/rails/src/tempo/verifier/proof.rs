//! Verifying a proof of identity: no money, and no node unless an access key signed.

use farthing_protocol::ports::{Timing, Verified, VerifyError, VerifyRequest};

use super::{TempoCharge, named, reject, rejected, unavailable};
use crate::tempo::error::ChargeError;
use crate::tempo::keychain::{self, AccessKey};
use crate::tempo::proof::{self, Prover, Signer};
use crate::tempo::request::ChargeRequest;
use crate::tempo::settle::How;

impl TempoCharge {
    pub(super) async fn verify_proof(
        &self,
        charge: &ChargeRequest,
        signature: &[u8],
        request: VerifyRequest<'_>,
    ) -> Result<Verified, VerifyError> {
        // It proves who asks now; nothing has moved that could be lost.
        if request.timing == Timing::Late {
            return reject(ChargeError::ChallengeExpired);
        }
        let credential = request.credential;
        let account =
            self.source(credential).map_err(rejected)?.ok_or_else(|| rejected(ChargeError::SourceMissing))?;
        let prover = Prover { account, chain_id: self.terms.chain_id };
        match proof::verify(prover, named(credential), signature).map_err(rejected)? {
            Signer::Account => {}
            Signer::AccessKey(key) => {
                let rpc = &self.terms.rpc;
                rpc.expect_chain(self.terms.chain_id).await.map_err(unavailable)?;
                let access = AccessKey { account, key };
                keychain::check(rpc, access, request.now).await.map_err(unavailable)?.map_err(rejected)?;
            }
        }
        let challenge_id = credential.challenge.id.clone().into_owned();
        let keys = vec![self.proof_key(&challenge_id, account, signature)];
        Ok(self.verified(charge, account, keys, How::Proof { challenge_id }))
    }
}
