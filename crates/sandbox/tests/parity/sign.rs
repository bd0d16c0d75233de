//! Builds and signs transactions with the chain's own types.

use alloy_consensus::{SignableTransaction, TxEip1559, TxLegacy};
use alloy_eips::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, hex, keccak256};
use p256::ecdsa::signature::hazmat::PrehashSigner;
use secp256k1::{SECP256K1, SecretKey};
use sha2::{Digest, Sha256};
use std::num::NonZeroU64;
use tempo_primitives::TempoTxEnvelope;
use tempo_primitives::transaction::envelope::TEMPO_SYSTEM_TX_SIGNATURE;
use tempo_primitives::transaction::tt_signature::{
    P256SignatureWithPreHash, WebAuthnSignature, normalize_p256_s,
};
use tempo_primitives::transaction::{
    Call, FEE_PAYER_SIGNATURE_MARKER, PrimitiveSignature, TempoSignature, TempoTransaction,
    derive_p256_address,
};

/// The keys of the public development mnemonic, worth nothing.
pub const KEYS: [&str; 6] = [
    "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
    "47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
    "8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba",
];

fn key(index: usize) -> SecretKey {
    SecretKey::from_byte_array(hex::decode_to_array(KEYS[index]).unwrap()).unwrap()
}

pub fn address(index: usize) -> Address {
    let public = key(index).public_key(SECP256K1).serialize_uncompressed();
    Address::from_slice(&keccak256(&public[1..])[12..])
}

fn sign(index: usize, hash: B256) -> Signature {
    let recoverable = SECP256K1.sign_ecdsa_recoverable(secp256k1::Message::from_digest(hash.0), &key(index));
    let (recovery, bytes) = recoverable.serialize_compact();
    Signature::from_bytes_and_parity(&bytes, i32::from(recovery) & 1 == 1)
}

/// What a step varies about a transaction; the rest is the same for all.
#[derive(Clone, Debug)]
pub struct Draft {
    pub chain_id: u64,
    pub gas: u64,
    pub max_fee: u128,
    pub priority_fee: u128,
    pub nonce_key: U256,
    pub nonce: u64,
    pub valid_before: u64,
    pub valid_after: u64,
    pub fee_token: Option<Address>,
    pub payer: Option<usize>,
    pub calls: Vec<(Address, Bytes)>,
}

impl Draft {
    /// An expiring-nonce transaction that both chains include.
    pub fn new(now_s: u64, calls: Vec<(Address, Bytes)>) -> Self {
        Self {
            chain_id: 1337,
            gas: 2_000_000,
            max_fee: 41_000_000_000,
            priority_fee: 1_000_000_000,
            nonce_key: U256::MAX,
            nonce: 0,
            valid_before: now_s + 28,
            valid_after: 0,
            fee_token: None,
            payer: None,
            calls,
        }
    }

    fn transaction(&self) -> TempoTransaction {
        let call = |(to, input): &(Address, Bytes)| Call {
            to: TxKind::Call(*to),
            value: U256::ZERO,
            input: input.clone(),
        };
        TempoTransaction {
            chain_id: self.chain_id,
            fee_token: self.fee_token,
            max_priority_fee_per_gas: self.priority_fee,
            max_fee_per_gas: self.max_fee,
            gas_limit: self.gas,
            calls: self.calls.iter().map(call).collect(),
            nonce_key: self.nonce_key,
            nonce: self.nonce,
            valid_before: NonZeroU64::new(self.valid_before),
            valid_after: NonZeroU64::new(self.valid_after),
            fee_payer_signature: self.payer.map(|_| FEE_PAYER_SIGNATURE_MARKER),
            ..Default::default()
        }
    }

    /// Signed by a development account, and by the fee payer if there is one.
    pub fn by(&self, sender: usize) -> String {
        let mut transaction = self.transaction();
        let signature = sign(sender, transaction.signature_hash());
        if let Some(payer) = self.payer {
            let hash = transaction.fee_payer_signature_hash(address(sender));
            transaction.fee_payer_signature = Some(sign(payer, hash));
        }
        encode(
            &transaction
                .into_signed(TempoSignature::Primitive(PrimitiveSignature::Secp256k1(signature)))
                .into(),
        )
    }

    /// Signed by the sender for a fee payer who has not signed: the 0x78 envelope.
    pub fn envelope_by(&self, sender: usize) -> String {
        let mut transaction = self.transaction();
        transaction.fee_payer_signature = Some(FEE_PAYER_SIGNATURE_MARKER);
        let signature = sign(sender, transaction.signature_hash());
        let signed =
            transaction.into_signed(TempoSignature::Primitive(PrimitiveSignature::Secp256k1(signature)));
        let mut raw = Vec::new();
        signed.encode_for_fee_payer_service(&mut raw);
        raw[0] = 0x78;
        hex::encode_prefixed(raw)
    }

    /// With a signature that nobody made.
    pub fn unsigned(&self) -> String {
        let nobody = PrimitiveSignature::Secp256k1(Signature::new(U256::ZERO, U256::ZERO, false));
        encode(&self.transaction().into_signed(TempoSignature::Primitive(nobody)).into())
    }

    /// Signed with P-256, the raw curve.
    pub fn by_p256(&self) -> String {
        let transaction = self.transaction();
        let (r, s) = p256_sign(transaction.signature_hash());
        let (pub_key_x, pub_key_y) = p256_public();
        let signature = P256SignatureWithPreHash { r, s, pub_key_x, pub_key_y, pre_hash: false };
        encode(
            &transaction.into_signed(TempoSignature::Primitive(PrimitiveSignature::P256(signature))).into(),
        )
    }

    /// Signed as a passkey signs.
    pub fn by_passkey(&self) -> String {
        let transaction = self.transaction();
        let challenge = base64_simd::URL_SAFE_NO_PAD.encode_to_string(transaction.signature_hash());
        let client =
            format!(r#"{{"type":"webauthn.get","challenge":"{challenge}","origin":"http://localhost"}}"#);
        let mut data = [[0x11; 32].as_slice(), &[0x05, 0, 0, 0, 1]].concat();
        let signed = [data.as_slice(), &Sha256::digest(client.as_bytes())].concat();
        let (r, s) = p256_sign(B256::from_slice(&Sha256::digest(signed)));
        data.extend(client.as_bytes());
        let (pub_key_x, pub_key_y) = p256_public();
        let signature = WebAuthnSignature { r, s, pub_key_x, pub_key_y, webauthn_data: data.into() };
        encode(
            &transaction
                .into_signed(TempoSignature::Primitive(PrimitiveSignature::WebAuthn(signature)))
                .into(),
        )
    }

    /// The first call as an EIP-1559 transaction.
    pub fn eip1559_by(&self, sender: usize) -> String {
        let (to, input) = self.calls[0].clone();
        let transaction = TxEip1559 {
            chain_id: self.chain_id,
            nonce: self.nonce,
            gas_limit: self.gas,
            max_fee_per_gas: self.max_fee,
            max_priority_fee_per_gas: self.priority_fee,
            to: TxKind::Call(to),
            input,
            ..Default::default()
        };
        let signature = sign(sender, transaction.signature_hash());
        encode(&transaction.into_signed(signature).into())
    }

    /// The first call as a legacy transaction.
    pub fn legacy_by(&self, sender: usize) -> String {
        let (to, input) = self.calls[0].clone();
        let transaction = TxLegacy {
            chain_id: Some(self.chain_id),
            nonce: self.nonce,
            gas_limit: self.gas,
            gas_price: self.max_fee,
            to: TxKind::Call(to),
            input,
            ..Default::default()
        };
        let signature = sign(sender, transaction.signature_hash());
        encode(&transaction.into_signed(signature).into())
    }
}

/// The first call as the chain's own system transactions are, signed by nobody.
pub fn system_transaction(draft: Draft) -> String {
    let Draft { chain_id, gas, max_fee, calls, .. } = draft;
    let (to, input) = calls[0].clone();
    let transaction = TxLegacy {
        chain_id: Some(chain_id),
        gas_limit: gas,
        gas_price: max_fee,
        to: TxKind::Call(to),
        input,
        ..Default::default()
    };
    encode(&transaction.into_signed(TEMPO_SYSTEM_TX_SIGNATURE).into())
}

fn encode(envelope: &TempoTxEnvelope) -> String {
    hex::encode_prefixed(envelope.encoded_2718())
}

fn p256_key() -> p256::ecdsa::SigningKey {
    p256::ecdsa::SigningKey::from_bytes(&[7; 32].into()).unwrap()
}

fn p256_public() -> (B256, B256) {
    let point = p256_key().verifying_key().to_encoded_point(false);
    (B256::from_slice(point.x().unwrap()), B256::from_slice(point.y().unwrap()))
}

/// The account of the P-256 key.
pub fn p256_address() -> Address {
    let (x, y) = p256_public();
    derive_p256_address(&x, &y)
}

fn p256_sign(hash: B256) -> (B256, B256) {
    let signature: p256::ecdsa::Signature = p256_key().sign_prehash(hash.as_slice()).unwrap();
    let (r, s) = signature.split_bytes();
    (B256::from_slice(&r), normalize_p256_s(&s).unwrap())
}
