//! The checks of a charge that need no node, as plain functions over values: for conformance vectors, for other drivers,
//! and for anybody who wants to know what a payment says. They check less than
//! [`TempoCharge`](super::TempoCharge): no funds, no simulation, no replay.

use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes};
use tempo_primitives::TempoTransaction;
use tempo_primitives::transaction::FEE_PAYER_SIGNATURE_MARKER;

use super::error::ChargeError;
pub use super::memo::Named;
pub use super::proof::{Prover, Signer};
pub use super::receipt::Log;
use super::request::{ChargeRequest, Fee};
use super::sponsor::{self, SponsorPolicy};
pub use super::transaction::Against;
use super::transaction::SignedCharge;
use super::{PrivateKey, proof, receipt, transaction};

/// The digest of a proof (EIP-712, domain `MPP` version 3).
#[must_use]
pub fn proof_digest(prover: Prover, named: Named<'_>) -> B256 {
    proof::digest(prover, named)
}

/// Who signed a proof.
///
/// # Errors
/// [`ChargeError`] for a signature that does not verify.
pub fn verify_proof(prover: Prover, named: Named<'_>, signature: &[u8]) -> Result<Signer, ChargeError> {
    proof::verify(prover, named, signature)
}

/// The attribution memo of a challenge.
#[must_use]
pub fn attribution_memo(named: Named<'_>, client_id: Option<&str>) -> B256 {
    super::memo::encode(named, client_id)
}

/// Decodes a signed transaction (0x76, or the envelope 0x78) and checks it against a charge.
///
/// # Errors
/// The first broken rule.
pub fn verify_transaction(bytes: &[u8], against: Against<'_>) -> Result<SignedCharge, ChargeError> {
    let signed = SignedCharge::decode(bytes)?;
    signed.check(against)?;
    Ok(signed)
}

/// Checks that a receipt's logs pay a charge. `payer` is checked where it is given.
///
/// # Errors
/// [`ChargeError::MemoOfAnother`], [`ChargeError::TransferMissing`].
pub fn verify_logs(
    charge: &ChargeRequest,
    named: Named<'_>,
    payer: Option<Address>,
    logs: &[Log],
) -> Result<(), ChargeError> {
    receipt::check_logs(charge, named, payer, logs)
}

/// What a fee payer brings.
#[derive(Debug, Clone, Copy)]
pub struct FeePayer<'a> {
    /// Its key.
    pub key: &'a PrivateKey,
    /// The token that it pays in.
    pub fee_token: Address,
    /// What it agrees to.
    pub policy: SponsorPolicy,
}

/// A transaction that its sender and a fee payer have signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigned {
    /// The bytes to broadcast, type 0x76.
    pub raw: Bytes,
    /// The transaction's hash.
    pub hash: B256,
    /// The sender.
    pub sender: Address,
    /// The token that the fee is paid in.
    pub fee_token: Address,
    /// How many entries its access list has: none.
    pub access_list_length: usize,
    /// How many calls it makes.
    pub call_count: usize,
}

/// Checks an envelope against the sponsor's policy and the charge, and signs as fee payer.
///
/// # Errors
/// The first broken rule: policy first, then the calls.
pub fn cosign(envelope: &[u8], against: Against<'_>, payer: FeePayer<'_>) -> Result<Cosigned, ChargeError> {
    let signed = SignedCharge::decode(envelope)?;
    payer.policy.check(&signed, against.now)?;
    signed.check(against)?;
    let complete = sponsor::cosign(&signed, payer.key, payer.fee_token);
    Ok(Cosigned {
        raw: complete.encoded_2718().into(),
        hash: *complete.hash(),
        sender: signed.sender(),
        fee_token: payer.fee_token,
        access_list_length: complete.tx().access_list.0.len(),
        call_count: complete.tx().calls.len(),
    })
}

/// Signs `tx` for its sender and wraps it in the envelope for a fee payer: what a buyer sends to a seller that sponsors.
#[must_use]
pub fn envelope(mut tx: TempoTransaction, key: &PrivateKey) -> Vec<u8> {
    tx.fee_payer_signature = Some(FEE_PAYER_SIGNATURE_MARKER);
    transaction::encode_envelope(&transaction::sign(key, tx), key.address())
}

/// The same with a fee token that the sender names, which every sponsor refuses: for vectors of what is refused.
#[must_use]
pub fn envelope_naming_fee_token(tx: TempoTransaction, key: &PrivateKey, token: Address) -> Vec<u8> {
    transaction::with_fee_token(&envelope(tx, key), token)
}

/// A charge with nothing but an amount, a token and a recipient.
#[must_use]
pub const fn plain_charge(
    amount: farthing_money::Amount,
    currency: Address,
    recipient: Address,
) -> ChargeRequest {
    ChargeRequest {
        amount,
        currency,
        recipient: Some(recipient),
        description: None,
        external_id: None,
        chain_id: None,
        fee: Fee::Payer,
        splits: Vec::new(),
        modes: super::Modes::Both,
    }
}
