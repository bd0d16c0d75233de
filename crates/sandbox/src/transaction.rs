//! A transaction as the chain executes it: who calls what, on which nonce, and who pays.
//!
//! Decoding, signatures and replay hashes are the chain's own (`tempo-primitives`). Checks here need no state; those
//! that do are in `execute`.

use crate::gas::{self, NonceGas};
use crate::refusal::Refusal;
use alloy_consensus::Transaction as _;
use alloy_consensus::transaction::{SignerRecoverable, TxHashRef};
use alloy_eips::Decodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use tempo_primitives::TempoTxEnvelope;
use tempo_primitives::transaction::tempo_transaction::FEE_PAYER_SIGNATURE_MAGIC_BYTE;
use tempo_primitives::transaction::{AASigned, TEMPO_EXPIRING_NONCE_KEY, TempoSignature};

/// Gas of one block, and of one transaction.
pub(crate) const BLOCK_GAS_LIMIT: u64 = 30_000_000;
/// Calls that the node's pool takes in one transaction.
pub(crate) const MAX_CALLS: usize = 32;

/// Bytes that the node's pool takes in one transaction.
pub(crate) const MAX_RAW_BYTES: usize = 128 * 1024;

/// One call of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) to: Address,
    pub(crate) input: Bytes,
}

/// Which nonce a transaction uses up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nonce {
    /// The account's own.
    Protocol(u64),
    /// One of the account's parallel sequences.
    Keyed {
        /// Which sequence.
        key: U256,
        /// The place in it.
        nonce: u64,
    },
    /// Its own hash, remembered until it expires. The hash leaves out what a fee payer adds.
    Expiring(B256),
}

impl Nonce {
    pub(crate) const fn gas(self) -> NonceGas {
        match self {
            Self::Expiring(_) => NonceGas::Expiring,
            Self::Protocol(0) | Self::Keyed { nonce: 0, .. } => NonceGas::New,
            Self::Protocol(_) => NonceGas::Protocol,
            Self::Keyed { .. } => NonceGas::Keyed,
        }
    }
}

/// What a transaction may spend on gas, in attodollars a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GasPrice {
    pub(crate) max_atto: u128,
    pub(crate) priority_atto: u128,
}

impl GasPrice {
    /// What is paid at this base fee.
    pub(crate) fn effective(self, base_fee_atto: u64) -> u128 {
        self.max_atto.min(u128::from(base_fee_atto).saturating_add(self.priority_atto))
    }
}

/// Everything that execution needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) sender: Address,
    pub(crate) fee_payer: Address,
    pub(crate) fee_token: Option<Address>,
    pub(crate) calls: Vec<Call>,
    pub(crate) nonce: Nonce,
    pub(crate) valid_after: Option<u64>,
    pub(crate) valid_before: Option<u64>,
    pub(crate) gas_limit: u64,
    pub(crate) price: GasPrice,
    pub(crate) intrinsic_gas: u64,
    /// Whether it is a 0x76 transaction: the fee token rules differ.
    pub(crate) kind: Kind,
}

/// Whose rules a transaction follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// 0x76.
    Tempo,
    /// Legacy, EIP-2930 and EIP-1559.
    Ethereum,
}

/// A signed transaction that passed every check that needs no state.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    pub(crate) hash: B256,
    pub(crate) envelope: TempoTxEnvelope,
    pub(crate) message: Message,
}

impl Signed {
    /// Reads a raw transaction as a node reads one that is broadcast.
    pub(crate) fn decode(raw: &[u8], chain_id: u64) -> Result<Self, Refusal> {
        if raw.len() > MAX_RAW_BYTES {
            return Err(Refusal::TooLarge { size: raw.len(), max_allowed: MAX_RAW_BYTES });
        }
        match raw.first() {
            None => return Err(Refusal::Empty),
            Some(&FEE_PAYER_SIGNATURE_MAGIC_BYTE) => return Err(Refusal::FeePayerEnvelope),
            Some(_) => {}
        }
        let mut rest = raw;
        let envelope = TempoTxEnvelope::decode_2718(&mut rest)
            .map_err(|error| Refusal::Undecodable { reason: error.to_string() })?;
        if !rest.is_empty() {
            return Err(Refusal::Undecodable { reason: "bytes after the transaction".into() });
        }
        // The chain's own system transactions carry an all-zero signature; nobody may send one.
        if envelope.is_system_tx() {
            return Err(Refusal::Signer);
        }
        let sender = envelope.recover_signer().map_err(|_| Refusal::Signer)?;
        if envelope.chain_id() != Some(chain_id) {
            return Err(Refusal::ChainId { expected: chain_id });
        }
        let message = Message::of(&envelope, sender)?;
        message.check_static()?;
        Ok(Self { hash: *envelope.tx_hash(), envelope, message })
    }
}

impl Message {
    fn of(envelope: &TempoTxEnvelope, sender: Address) -> Result<Self, Refusal> {
        match envelope {
            TempoTxEnvelope::AA(signed) => Self::of_tempo(signed, sender),
            TempoTxEnvelope::Eip7702(_) => Err(Refusal::Unsupported { what: "EIP-7702 authorizations" }),
            TempoTxEnvelope::Legacy(_) | TempoTxEnvelope::Eip2930(_) | TempoTxEnvelope::Eip1559(_) => {
                Self::of_ethereum(envelope, sender)
            }
        }
    }

    fn of_tempo(signed: &AASigned, sender: Address) -> Result<Self, Refusal> {
        let tx = signed.tx();
        if tx.key_authorization.is_some() {
            return Err(Refusal::Unsupported { what: "key authorizations" });
        }
        if matches!(signed.signature(), TempoSignature::Keychain(_)) {
            return Err(Refusal::Unsupported { what: "access key signatures" });
        }
        if !tx.tempo_authorization_list.is_empty() {
            return Err(Refusal::Unsupported { what: "account authorizations" });
        }
        if tx.calls.iter().any(|call| !call.value.is_zero()) {
            return Err(Refusal::Value);
        }
        let calls =
            tx.calls.iter().map(|call| target(call.to, &call.input)).collect::<Result<Vec<_>, _>>()?;
        let fee_payer = tx.recover_fee_payer(sender).map_err(|_| Refusal::FeePayerSignature)?;
        if tx.fee_payer_signature.is_some() && fee_payer == sender {
            return Err(Refusal::SelfSponsored);
        }
        let nonce = match tx.nonce_key {
            TEMPO_EXPIRING_NONCE_KEY if tx.nonce != 0 => return Err(Refusal::ExpiringNonceNotZero),
            TEMPO_EXPIRING_NONCE_KEY => Nonce::Expiring(signed.expiring_nonce_hash(sender)),
            key if key.is_zero() => Nonce::Protocol(tx.nonce),
            key => Nonce::Keyed { key, nonce: tx.nonce },
        };
        let intrinsic_gas = gas::intrinsic(
            calls.iter().map(|call| &call.input),
            nonce.gas(),
            gas::signature_gas(signed.signature()),
        );
        Ok(Self {
            sender,
            fee_payer,
            fee_token: tx.fee_token,
            calls,
            nonce,
            valid_after: tx.valid_after.map(|seconds| seconds.get()),
            valid_before: tx.valid_before.map(|seconds| seconds.get()),
            gas_limit: tx.gas_limit,
            price: GasPrice { max_atto: tx.max_fee_per_gas, priority_atto: tx.max_priority_fee_per_gas },
            intrinsic_gas,
            kind: Kind::Tempo,
        })
    }

    fn of_ethereum(envelope: &TempoTxEnvelope, sender: Address) -> Result<Self, Refusal> {
        if !envelope.value().is_zero() {
            return Err(Refusal::Value);
        }
        let calls = vec![target(envelope.kind(), envelope.input())?];
        let nonce = Nonce::Protocol(envelope.nonce());
        let intrinsic_gas = gas::intrinsic(calls.iter().map(|call| &call.input), nonce.gas(), 0);
        let max_atto = envelope.max_fee_per_gas();
        Ok(Self {
            sender,
            fee_payer: sender,
            fee_token: None,
            calls,
            nonce,
            valid_after: None,
            valid_before: None,
            gas_limit: envelope.gas_limit(),
            price: GasPrice {
                max_atto,
                priority_atto: envelope.max_priority_fee_per_gas().unwrap_or(max_atto),
            },
            intrinsic_gas,
            kind: Kind::Ethereum,
        })
    }

    /// The rules that depend on nothing but the transaction.
    pub(crate) fn check_static(&self) -> Result<(), Refusal> {
        if self.calls.len() > MAX_CALLS {
            return Err(Refusal::TooManyCalls { count: self.calls.len(), max_allowed: MAX_CALLS });
        }
        if self.gas_limit > BLOCK_GAS_LIMIT {
            return Err(Refusal::GasLimit);
        }
        if self.price.priority_atto > self.price.max_atto {
            return Err(Refusal::PriorityFee);
        }
        if self.gas_limit < self.intrinsic_gas {
            return Err(Refusal::IntrinsicGas { limit: self.gas_limit, needed: self.intrinsic_gas });
        }
        self.check_expiring()
    }

    /// An expiring nonce needs an expiry.
    pub(crate) fn check_expiring(&self) -> Result<(), Refusal> {
        match (self.nonce, self.valid_before) {
            (Nonce::Expiring(_), None) => Err(Refusal::ExpiringWithoutExpiry),
            _ => Ok(()),
        }
    }
}

fn target(kind: TxKind, input: &Bytes) -> Result<Call, Refusal> {
    match kind {
        TxKind::Call(to) => Ok(Call { to, input: input.clone() }),
        TxKind::Create => Err(Refusal::Unsupported { what: "contract creation" }),
    }
}
