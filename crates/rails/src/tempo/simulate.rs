//! Simulating a sponsored transaction exactly as it would be broadcast, fee payer and all, before its fee is risked. Nodes
//! without `tempo_simulateV1` have only the plain simulation of the calls, which every transaction goes through.

use std::num::NonZeroU64;

use alloy_primitives::{Address, U64, U128};
use serde::Deserialize;
use serde_json::{Value, json};
use tempo_primitives::AASigned;

use super::error::ChargeError;
use super::rpc::{RpcError, TempoRpc, calls_json};

#[derive(Deserialize)]
struct Simulated {
    blocks: Vec<Block>,
}

#[derive(Deserialize)]
struct Block {
    calls: Vec<Call>,
}

#[derive(Deserialize)]
struct Call {
    status: U64,
    error: Option<CallError>,
}

#[derive(Deserialize)]
struct CallError {
    message: String,
}

/// Simulates a co-signed transaction. Fails closed: an answer that cannot be read is no success.
pub(super) async fn cosigned(
    rpc: &TempoRpc,
    signed: &AASigned,
    sender: Address,
) -> Result<Result<(), ChargeError>, RpcError> {
    const METHOD: &str = "tempo_simulateV1";
    let would_revert = |why: String| Ok(Err(ChargeError::WouldRevert { why }));
    let Some(payload) = payload(signed, sender) else {
        return would_revert("it makes no call".to_owned());
    };
    let simulated: Simulated = match rpc.request(METHOD, json!([payload, "latest"])).await {
        Ok(simulated) => simulated,
        Err(RpcError::MethodMissing { .. }) => return Ok(Ok(())),
        Err(RpcError::Rejected { message, .. }) => return would_revert(message),
        Err(error) => return Err(error),
    };
    match simulated.blocks.first().and_then(|block| block.calls.first()) {
        Some(call) if call.status == U64::ONE => Ok(Ok(())),
        Some(call) => {
            let reason = call.error.as_ref().map_or("no reason given", |error| error.message.as_str());
            would_revert(reason.chars().take(200).collect())
        }
        None => Err(RpcError::Unknown { method: METHOD, detail: "the simulation has no result".into() }),
    }
}

/// The node makes the batch of `calls` and then the call at the top: the last call goes there, or it would see a creation.
fn payload(signed: &AASigned, sender: Address) -> Option<Value> {
    let tx = signed.tx();
    let (last, first) = tx.calls.split_last()?;
    let mut request = json!({
        "from": sender,
        "type": "0x76",
        "chainId": U64::from(tx.chain_id),
        "nonce": U64::from(tx.nonce),
        "nonceKey": tx.nonce_key,
        "gas": U64::from(tx.gas_limit),
        "maxFeePerGas": U128::from(tx.max_fee_per_gas),
        "maxPriorityFeePerGas": U128::from(tx.max_priority_fee_per_gas),
        "feeToken": tx.fee_token,
        "validBefore": tx.valid_before.map(NonZeroU64::get).map(U64::from),
        "to": last.to.to(),
        "value": last.value,
        "data": last.input,
    });
    let fields = request.as_object_mut()?;
    if !first.is_empty() {
        fields.insert("calls".into(), calls_json(first));
    }
    if let Some(after) = tx.valid_after {
        fields.insert("validAfter".into(), json!(U64::from(after.get())));
    }
    if let Some(signature) = tx.fee_payer_signature {
        let signature = json!({
            "r": format!("0x{:064x}", signature.r()),
            "s": format!("0x{:064x}", signature.s()),
            "yParity": U64::from(u64::from(signature.v())),
        });
        fields.insert("feePayerSignature".into(), signature);
    }
    Some(json!({
        "blockStateCalls": [{"calls": [request]}],
        "validation": false,
        "traceTransfers": false,
        "returnFullTransactions": false,
    }))
}
