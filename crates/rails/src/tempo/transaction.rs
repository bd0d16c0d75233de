//! [`SignedCharge`]: a signed Tempo transaction as a credential carries it, decoded and its sender recovered: type 0x76, or
//! the envelope 0x78 for a fee payer. It checks what bytes alone tell; funds and simulation need a node.

use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256};
use alloy_rlp::{Encodable, Header};
use farthing_protocol::UnixMs;
use tempo_primitives::transaction::{
    FEE_PAYER_SIGNATURE_MARKER, KeychainVersion, PrimitiveSignature, TEMPO_TX_TYPE_ID,
};
use tempo_primitives::{AASigned, TempoSignature, TempoTransaction};

use super::error::ChargeError;
use super::key::{self, KeyError, PrivateKey};
use super::memo::Named;
use super::request::{ChargeRequest, Fee};
use super::transfers::{self, Extra};

/// First byte of the envelope that a payer sends to a fee payer.
pub(super) const ENVELOPE_TYPE: u8 = 0x78;
/// Place of the fee payer's signature (0x76), or of the sender's address (0x78), among the fields.
const SLOT: usize = 11;
/// What stands in that place in a 0x76 transaction that asks for a fee payer.
const SLOT_MARKER: &[u8] = &[0x00];
/// The marker as the chain's decoder reads it: a signature of zeros.
const MARKER_SIGNATURE: &[u8] = &[0xc3, 0x80, 0x80, 0x80];

/// Whether the sender signed for a fee payer to pay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sponsored {
    /// The sender pays the fee.
    No,
    /// The sender left the fee, and its token, to a fee payer who has not signed yet.
    Asked,
}

/// What a transaction is checked against.
#[derive(Debug, Clone, Copy)]
pub struct Against<'a> {
    /// The charge.
    pub charge: &'a ChargeRequest,
    /// The challenge that it answers.
    pub named: Named<'a>,
    /// The chain.
    pub chain_id: u64,
    /// When the challenge expires.
    pub expires: UnixMs,
    /// The instant of the check.
    pub now: UnixMs,
}

/// A signed transaction and who sent it.
#[derive(Debug, Clone)]
pub struct SignedCharge {
    signed: AASigned,
    sender: Address,
    access_key: Option<Address>,
    sponsored: Sponsored,
}

impl SignedCharge {
    /// The largest transaction that is read, in bytes.
    pub const MAX_BYTES: usize = 32 * 1024;

    /// Decodes a transaction and recovers its sender.
    ///
    /// # Errors
    /// [`ChargeError::TransactionUnreadable`], [`ChargeError::BadSignature`], [`ChargeError::SignatureKind`],
    /// [`ChargeError::SponsorNotOffered`] when a fee payer has signed already.
    pub fn decode(bytes: &[u8]) -> Result<Self, ChargeError> {
        let unreadable = |why: &str| ChargeError::TransactionUnreadable { why: why.to_owned() };
        if bytes.len() > Self::MAX_BYTES {
            return Err(unreadable("it is longer than 32 KiB"));
        }
        let (&kind, list) = bytes.split_first().ok_or_else(|| unreadable("it is empty"))?;
        let items = items(list).map_err(|error| unreadable(&error.to_string()))?;
        let slot = *items.get(SLOT).ok_or_else(|| unreadable("it has too few fields"))?;
        let declared = match (kind, slot) {
            (TEMPO_TX_TYPE_ID, _) => None,
            (ENVELOPE_TYPE, [0x94, sender @ ..]) if sender.len() == 20 => Some(Address::from_slice(sender)),
            (ENVELOPE_TYPE, _) => return Err(unreadable("the envelope names no sender")),
            _ => return Err(unreadable("only transactions of type 0x76 and envelopes of type 0x78 are")),
        };
        let list = if declared.is_some() || slot == SLOT_MARKER {
            with_item(&items, SLOT, MARKER_SIGNATURE)
        } else {
            list.to_vec()
        };
        let mut rest = list.as_slice();
        let signed = AASigned::rlp_decode(&mut rest).map_err(|error| unreadable(&error.to_string()))?;
        if !rest.is_empty() {
            return Err(unreadable("bytes follow its end"));
        }
        Self::from_signed(signed, declared)
    }

    /// What was signed, and by whom; `declared` has to be the sender where somebody says who it is.
    ///
    /// # Errors
    /// As [`SignedCharge::decode`].
    pub(super) fn from_signed(signed: AASigned, declared: Option<Address>) -> Result<Self, ChargeError> {
        let sponsored = match signed.tx().fee_payer_signature {
            None => Sponsored::No,
            Some(signature) if signature == FEE_PAYER_SIGNATURE_MARKER => Sponsored::Asked,
            // A third party's signature would have to be simulated with its funds: no SDK sends one.
            Some(_) => return Err(ChargeError::SponsorNotOffered),
        };
        let (sender, access_key) = recover(&signed)?;
        if declared.is_some_and(|declared| declared != sender) {
            return Err(ChargeError::BadSignature(KeyError::BadSignature));
        }
        Ok(Self { signed, sender, access_key, sponsored })
    }

    /// The account that pays.
    #[must_use]
    pub const fn sender(&self) -> Address {
        self.sender
    }

    /// The access key that signed for the account, if one did. Whether it may is the chain's to say.
    #[must_use]
    pub const fn access_key(&self) -> Option<Address> {
        self.access_key
    }

    /// Whether it carries a plain secp256k1 signature of the account itself.
    #[must_use]
    pub const fn signed_plainly(&self) -> bool {
        matches!(self.signed.signature(), TempoSignature::Primitive(PrimitiveSignature::Secp256k1(_)))
    }

    /// Whether a fee payer is to pay the fee.
    #[must_use]
    pub const fn sponsored(&self) -> Sponsored {
        self.sponsored
    }

    /// The transaction.
    #[must_use]
    pub const fn tx(&self) -> &TempoTransaction {
        self.signed.tx()
    }

    /// What the sender agreed to, and who that is, as one hash: the same before and after a fee payer signs, and whatever
    /// spelling the signature has.
    #[must_use]
    pub fn identity(&self) -> B256 {
        self.signed.expiring_nonce_hash(self.sender)
    }

    /// The hash that the chain will know it by, unless a fee payer is still to sign.
    #[must_use]
    pub fn hash(&self) -> Option<B256> {
        (self.sponsored == Sponsored::No).then(|| *self.signed.hash())
    }

    /// The bytes to broadcast, canonically encoded.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.signed.encoded_2718()
    }

    /// The transaction with the fee payer's part filled in.
    pub(super) fn cosigned(&self, complete: TempoTransaction) -> AASigned {
        complete.into_signed(self.signed.signature().clone())
    }

    /// Checks everything that needs no node: chain, fee policy, calls, legs and memos, validity (TC3, TC7, TC8).
    ///
    /// # Errors
    /// The first broken rule.
    pub fn check(&self, against: Against<'_>) -> Result<(), ChargeError> {
        self.check_terms(against)?;
        self.check_window(against)
    }

    /// What stays true whenever it is asked: chain, fee policy, calls, legs and memos.
    pub(super) fn check_terms(&self, against: Against<'_>) -> Result<(), ChargeError> {
        let tx = self.tx();
        if tx.chain_id != against.chain_id {
            return Err(ChargeError::WrongChain { expected: against.chain_id, given: tx.chain_id });
        }
        match (against.charge.fee, self.sponsored) {
            (Fee::Payer, Sponsored::Asked) => return Err(ChargeError::SponsorNotOffered),
            (Fee::Seller, Sponsored::No) => return Err(ChargeError::SponsorNotAsked),
            _ => {}
        }
        if !tx.tempo_authorization_list.is_empty() {
            return Err(ChargeError::CallRefused { why: "it delegates accounts" });
        }
        check_calls(self, against)
    }

    /// Whether it is valid at the instant of the check, and no longer than its challenge (TC8).
    pub(super) fn check_window(&self, against: Against<'_>) -> Result<(), ChargeError> {
        check_window(self.tx(), against)
    }
}

fn check_calls(signed: &SignedCharge, against: Against<'_>) -> Result<(), ChargeError> {
    let moved = transfers::of_calls(&signed.tx().calls, against.charge.currency)?;
    transfers::match_legs(&transfers::legs(against.charge), &moved, against.named, Extra::Refused)
}

/// `validBefore` is an exclusive bound in whole seconds, so it may lie one second past a challenge's expiry rounded down.
fn check_window(tx: &TempoTransaction, against: Against<'_>) -> Result<(), ChargeError> {
    let (now, limit) = (against.now.as_secs(), against.expires.as_secs().saturating_add(1));
    let valid_before = tx.valid_before.ok_or(ChargeError::NoValidBefore)?.get();
    if valid_before <= now {
        return Err(ChargeError::TransactionExpired { valid_before, now });
    }
    if valid_before > limit {
        return Err(ChargeError::ValidTooLong { valid_before, limit });
    }
    match tx.valid_after {
        Some(after) if after.get() > now => Err(ChargeError::NotYetValid { valid_after: after.get() }),
        _ => Ok(()),
    }
}

fn recover(signed: &AASigned) -> Result<(Address, Option<Address>), ChargeError> {
    let digest = signed.signature_hash();
    let bad = |_| ChargeError::BadSignature(KeyError::BadSignature);
    match signed.signature() {
        // libsecp256k1 recovers several times faster than the chain's default.
        TempoSignature::Primitive(PrimitiveSignature::Secp256k1(signature)) => {
            key::recover(digest, signature).map(|sender| (sender, None)).map_err(ChargeError::BadSignature)
        }
        TempoSignature::Primitive(other) => {
            other.recover_signer(&digest).map(|sender| (sender, None)).map_err(bad)
        }
        TempoSignature::Keychain(keychain) if keychain.version == KeychainVersion::V2 => {
            let access_key = keychain.key_id(&digest).map_err(bad)?;
            Ok((keychain.user_address, Some(access_key)))
        }
        TempoSignature::Keychain(_) => {
            Err(ChargeError::SignatureKind { why: "access keys of the first version are withdrawn" })
        }
    }
}

/// The envelope that a payer sends to a seller who pays the fee: 0x78, the sender in the fee payer's place, no fee token.
#[must_use]
pub(super) fn encode_envelope(signed: &AASigned, sender: Address) -> Vec<u8> {
    let mut service = Vec::new();
    signed.encode_for_fee_payer_service(&mut service);
    let items = items(&service[1..]).expect("the chain's encoder writes a list");
    let mut slot = Vec::with_capacity(21);
    sender.encode(&mut slot);
    let mut envelope = vec![ENVELOPE_TYPE];
    envelope.extend(with_item(&items, SLOT, &slot));
    envelope
}

/// An envelope with its fee token replaced, which the sender's signature does not cover.
#[must_use]
pub(super) fn with_fee_token(envelope: &[u8], token: Address) -> Vec<u8> {
    const FEE_TOKEN: usize = 10;
    let items = items(&envelope[1..]).expect("an envelope of ours is a list");
    let mut item = Vec::with_capacity(21);
    token.encode(&mut item);
    let mut changed = vec![ENVELOPE_TYPE];
    changed.extend(with_item(&items, FEE_TOKEN, &item));
    changed
}

/// Signs a transaction for its sender.
#[must_use]
pub(super) fn sign(key: &PrivateKey, tx: TempoTransaction) -> AASigned {
    let signature = key.sign(tx.signature_hash());
    tx.into_signed(TempoSignature::Primitive(PrimitiveSignature::Secp256k1(signature)))
}

/// The encoded items of an RLP list that takes up all of `bytes`.
fn items(bytes: &[u8]) -> alloy_rlp::Result<Vec<&[u8]>> {
    let mut rest = bytes;
    let header = Header::decode(&mut rest)?;
    if !header.list || header.payload_length != rest.len() {
        return Err(alloy_rlp::Error::UnexpectedLength);
    }
    let mut items = Vec::with_capacity(15);
    while !rest.is_empty() {
        let start = rest;
        let header = Header::decode(&mut rest)?;
        rest = rest.get(header.payload_length..).ok_or(alloy_rlp::Error::InputTooShort)?;
        items.push(&start[..start.len() - rest.len()]);
    }
    Ok(items)
}

/// The list of `items`, with the one at `at` replaced.
fn with_item(items: &[&[u8]], at: usize, by: &[u8]) -> Vec<u8> {
    let item = |(i, item): (usize, &&[u8])| if i == at { by.to_vec() } else { item.to_vec() };
    let payload: Vec<u8> = items.iter().enumerate().flat_map(item).collect();
    let mut list = Vec::with_capacity(payload.len() + 4);
    Header { list: true, payload_length: payload.len() }.encode(&mut list);
    list.extend(payload);
    list
}

#[cfg(test)]
mod tests;
