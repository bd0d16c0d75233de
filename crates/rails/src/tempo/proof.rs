//! The proof of identity that answers a charge of zero: EIP-712 typed data, domain `MPP` version 3, which binds the account,
//! the challenge and the realm (TC6, X4). It moves no money.

use alloy_primitives::{Address, B256, Signature};
use alloy_sol_types::{SolStruct, eip712_domain, sol};
use tempo_primitives::TempoSignature;
use tempo_primitives::transaction::{KeychainVersion, PrimitiveSignature};

use super::error::ChargeError;
use super::key::{self, KeyError, PrivateKey};
use super::memo::Named;

mod typed {
    #![allow(missing_docs, reason = "the sol! macro writes items that cannot be documented")]
    super::sol! {
        struct Proof {
            address account;
            string challengeId;
            string realm;
        }
    }
}

/// Who proves, where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prover {
    /// The account that is proven.
    pub account: Address,
    /// The chain of the challenge.
    pub chain_id: u64,
}

/// Who signed a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signer {
    /// The account itself.
    Account,
    /// This access key, for the account. Whether it may is the chain's to say.
    AccessKey(Address),
}

/// The digest that is signed.
#[must_use]
pub fn digest(prover: Prover, named: Named<'_>) -> B256 {
    let domain = eip712_domain! { name: "MPP", version: "3", chain_id: prover.chain_id, };
    let proof = typed::Proof {
        account: prover.account,
        challengeId: named.challenge_id.to_owned(),
        realm: named.realm.to_owned(),
    };
    proof.eip712_signing_hash(&domain)
}

/// Signs a proof for the key's own account.
#[must_use]
pub fn sign(key: &PrivateKey, chain_id: u64, named: Named<'_>) -> Vec<u8> {
    let prover = Prover { account: key.address(), chain_id };
    key.sign(digest(prover, named)).as_bytes().to_vec()
}

/// Who signed the proof, when it is the account or an access key in its name.
///
/// # Errors
/// [`ChargeError::BadSignature`], [`ChargeError::SourceDiffers`], [`ChargeError::SignatureKind`].
pub fn verify(prover: Prover, named: Named<'_>, signature: &[u8]) -> Result<Signer, ChargeError> {
    let bad = |error| ChargeError::BadSignature(error);
    let digest = digest(prover, named);
    let parsed = TempoSignature::from_bytes(signature).map_err(|_| bad(KeyError::BadSignature))?;
    match &parsed {
        TempoSignature::Primitive(PrimitiveSignature::Secp256k1(signature)) => {
            let signer = key::recover(digest, signature).map_err(bad)?;
            // A bare signature of another key may be an access key's: the chain knows.
            Ok(if signer == prover.account { Signer::Account } else { Signer::AccessKey(signer) })
        }
        TempoSignature::Primitive(other) => {
            let signer = other.recover_signer(&digest).map_err(|_| bad(KeyError::BadSignature))?;
            Ok(if signer == prover.account { Signer::Account } else { Signer::AccessKey(signer) })
        }
        TempoSignature::Keychain(keychain) if keychain.version == KeychainVersion::V2 => {
            if keychain.user_address != prover.account {
                return Err(ChargeError::SourceDiffers);
            }
            keychain.key_id(&digest).map(Signer::AccessKey).map_err(|_| bad(KeyError::BadSignature))
        }
        TempoSignature::Keychain(_) => {
            Err(ChargeError::SignatureKind { why: "access keys of the first version are withdrawn" })
        }
    }
}

/// A proof's signature in the one spelling that all its spellings share: `r` and the low `s`, without the recovery id.
#[must_use]
pub(super) fn canonical(signature: &[u8]) -> Vec<u8> {
    match Signature::try_from(signature) {
        Ok(parsed) if signature.len() == 65 => parsed.normalized_s().as_bytes()[..64].to_vec(),
        _ => signature.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use alloy_primitives::{address, b256};

    use super::{Prover, Signer, canonical, digest, sign, verify};
    use crate::tempo::PrivateKey;
    use crate::tempo::memo::Named;

    fn key() -> PrivateKey {
        PrivateKey::from_hex("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80").unwrap()
    }

    #[test]
    fn the_shared_vector_holds() {
        // WIRE.md: the digest that every SDK computes for this challenge.
        let prover =
            Prover { account: address!("1a642f0E3c3aF545E7AcBD38b07251B3990914F1"), chain_id: 42431 };
        let named = Named { realm: "api.example.com", challenge_id: "kM9xPqWvT2nJrHsY4aDfEb" };
        assert_eq!(
            digest(prover, named),
            b256!("3860a700a55e02ad3c2dc047e92489feceecbdb0a801d948e1d9f0b61ea9bc3f")
        );
    }

    #[test]
    fn what_mppx_signs_is_what_we_sign() {
        // Computed with mppx 0.11.0 for account 1 of the well-known development mnemonic.
        const SIGNATURE: &str = "6100bf5a178e163398f1c3471963253761ddbfb7ce42f9d4a9ce9c559350b392\
             302b64a92b0bc33378ac050af0600a677720b30d879baa3ff9ce101ae350c9d31c";
        let key = PrivateKey::from_hex("0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d")
            .unwrap();
        let named = Named { realm: "api.example.com", challenge_id: "challenge-123" };
        let prover = Prover { account: key.address(), chain_id: 1337 };
        assert_eq!(
            digest(prover, named),
            b256!("24c04380adabb90811378e9c0093add3d90ef1f358834d73dfca81f5b56ad00d")
        );
        assert_eq!(hex::encode(sign(&key, 1337, named)), SIGNATURE);
    }

    #[test]
    fn a_proof_is_for_one_account_chain_challenge_and_realm() {
        let (key, named) = (key(), Named { realm: "api.example.com", challenge_id: "c" });
        let signature = sign(&key, 4217, named);
        let prover = Prover { account: key.address(), chain_id: 4217 };
        assert_eq!(verify(prover, named, &signature), Ok(Signer::Account));
        let others = [
            (Prover { chain_id: 4218, ..prover }, named),
            (Prover { account: address!("1a642f0E3c3aF545E7AcBD38b07251B3990914F1"), ..prover }, named),
            (prover, Named { realm: "other.example.com", ..named }),
            (prover, Named { challenge_id: "d", ..named }),
        ];
        for (prover, named) in others {
            assert_ne!(verify(prover, named, &signature), Ok(Signer::Account), "TC6: {prover:?} {named:?}");
        }
    }

    #[test]
    fn every_spelling_of_a_signature_is_the_same_key() {
        let signature = sign(&key(), 1, Named { realm: "r", challenge_id: "c" });
        let mut other_v = signature.clone();
        other_v[64] -= 27;
        assert_eq!(canonical(&signature), canonical(&other_v));
    }
}
