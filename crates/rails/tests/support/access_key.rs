//! Access keys: authorising one on the chain, and signing with it for its account.

use std::num::NonZeroU64;

use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, Signature, TxKind, U256};
use alloy_sol_types::{SolCall, sol};
use farthing_protocol::Challenge;
use farthing_rails::tempo::abi::{KEYCHAIN, Tip20};
use farthing_rails::tempo::offline::{self, Named, Prover};
use farthing_rails::tempo::{PrivateKey, tokens};
use serde_json::{Value, json};
use tempo_primitives::transaction::{Call, KeychainSignature, PrimitiveSignature};
use tempo_primitives::{TempoSignature, TempoTransaction};

use super::Node;

sol! {
    struct TokenLimit { address token; uint256 amount; uint64 period; }
    struct SelectorRule { bytes4 selector; address[] recipients; }
    struct CallScope { address target; SelectorRule[] selectorRules; }
    struct KeyRestrictions {
        uint64 expiry;
        bool enforceLimits;
        TokenLimit[] limits;
        bool allowAnyCalls;
        CallScope[] allowedCalls;
    }
    function authorizeKey(address keyId, uint8 signatureType, KeyRestrictions config);
}

fn tx(node: &Node, to: Address, input: Vec<u8>) -> TempoTransaction {
    TempoTransaction {
        chain_id: node.chain_id,
        fee_token: Some(tokens::PATH_USD),
        max_priority_fee_per_gas: 1_000_000_000,
        max_fee_per_gas: 41_000_000_000,
        gas_limit: 2_000_000,
        calls: vec![Call { to: TxKind::Call(to), value: U256::ZERO, input: input.into() }],
        nonce_key: U256::MAX,
        valid_before: NonZeroU64::new(super::now().as_secs() + 20),
        ..TempoTransaction::default()
    }
}

/// Authorises a key for an account, without limits.
pub async fn authorise(node: &Node, account: &PrivateKey, access: Address) {
    let config = KeyRestrictions {
        expiry: super::now().as_secs() + 3_600,
        enforceLimits: false,
        limits: Vec::new(),
        allowAnyCalls: true,
        allowedCalls: Vec::new(),
    };
    let input = authorizeKeyCall { keyId: access, signatureType: 0, config }.abi_encode();
    let tx = tx(node, KEYCHAIN, input);
    let signature = primitive(account.sign(tx.signature_hash()));
    let raw = tx.into_signed(TempoSignature::Primitive(signature)).encoded_2718();
    let params = json!([format!("0x{}", hex::encode(raw))]);
    let receipt: Value = super::rpc(node).request("eth_sendRawTransactionSync", params).await.unwrap();
    assert_eq!(receipt["status"], "0x1", "{receipt}");
}

fn primitive(signature: Signature) -> PrimitiveSignature {
    PrimitiveSignature::Secp256k1(signature)
}

fn wrap(account: &PrivateKey, access: &PrivateKey, digest: alloy_primitives::B256) -> TempoSignature {
    let signed = access.sign(KeychainSignature::signing_hash(digest, account.address()));
    TempoSignature::Keychain(KeychainSignature::new(account.address(), primitive(signed)))
}

fn digest(node: &Node, account: &PrivateKey, challenge: &Challenge) -> alloy_primitives::B256 {
    let prover = Prover { account: account.address(), chain_id: node.chain_id };
    offline::proof_digest(prover, Named { realm: &challenge.realm, challenge_id: &challenge.id })
}

fn proof(bytes: &[u8]) -> Value {
    json!({"type": "proof", "signature": format!("0x{}", hex::encode(bytes))})
}

/// A proof that the access key signed like the account would.
pub fn bare_proof(node: &Node, account: &PrivateKey, access: &PrivateKey, challenge: &Challenge) -> Value {
    proof(&access.sign(digest(node, account, challenge)).as_bytes())
}

/// A proof in the keychain's envelope, which names the account.
pub fn wrapped_proof(node: &Node, account: &PrivateKey, access: &PrivateKey, challenge: &Challenge) -> Value {
    proof(&wrap(account, access, digest(node, account, challenge)).to_bytes())
}

/// A payment of nine base units that the access key signed for the account.
pub fn payment(
    node: &Node,
    account: &PrivateKey,
    access: &PrivateKey,
    challenge: &Challenge,
    to: Address,
) -> Value {
    let named = Named { realm: &challenge.realm, challenge_id: &challenge.id };
    let memo = offline::attribution_memo(named, None);
    let input = Tip20::transferWithMemoCall { to, amount: U256::from(9), memo }.abi_encode();
    let tx = tx(node, tokens::PATH_USD, input);
    let signature = wrap(account, access, tx.signature_hash());
    let raw = tx.into_signed(signature).encoded_2718();
    json!({"type": "transaction", "signature": format!("0x{}", hex::encode(raw))})
}
