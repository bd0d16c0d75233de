//! Simulating a sponsored transaction exactly as it would be broadcast, fee payer, gas limit and all, before its fee is
//! risked. Where a node has no `tempo_simulateV1`, an estimate says whether the gas limit is enough: the plain simulation of
//! the calls, which every transaction goes through, does not look at it.

use std::num::NonZeroU64;

use alloy_primitives::{Address, U64, U128};
use serde::Deserialize;
use serde_json::{Value, json};
use tempo_primitives::AASigned;

use super::error::ChargeError;
use super::memo::Named;
use super::receipt::{self, Log};
use super::request::ChargeRequest;
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
    #[serde(default)]
    logs: Vec<Log>,
}

#[derive(Deserialize)]
struct CallError {
    message: String,
}

/// What a transaction is to pay.
#[derive(Clone, Copy)]
pub(super) struct Payment<'a> {
    pub(super) charge: &'a ChargeRequest,
    pub(super) named: Named<'a>,
    pub(super) sender: Address,
}

/// Simulates a co-signed transaction. Fails closed: an answer that cannot be read is no success.
pub(super) async fn cosigned(
    rpc: &TempoRpc,
    signed: &AASigned,
    payment: Payment<'_>,
) -> Result<Result<(), ChargeError>, RpcError> {
    const METHOD: &str = "tempo_simulateV1";
    let would_revert = |why: String| Ok(Err(ChargeError::WouldRevert { why }));
    let Some(request) = request(signed, payment.sender) else {
        return would_revert("it makes no call".to_owned());
    };
    let payload = json!({
        "blockStateCalls": [{"calls": [request]}],
        "validation": false,
        "traceTransfers": false,
        "returnFullTransactions": false,
    });
    let simulated: Simulated = match rpc.request(METHOD, json!([payload, "latest"])).await {
        Ok(simulated) => simulated,
        Err(RpcError::MethodMissing { .. }) => return gas_suffices(rpc, signed, payment.sender).await,
        Err(RpcError::Rejected { message, .. }) => return would_revert(message),
        Err(error) => return Err(error),
    };
    match simulated.blocks.first().and_then(|block| block.calls.first()) {
        Some(call) if call.status == U64::ONE => Ok(check_simulated_logs(payment, &call.logs)),
        Some(call) => {
            let reason = call.error.as_ref().map_or("no reason given", |error| error.message.as_str());
            would_revert(reason.chars().take(200).collect())
        }
        None => Err(RpcError::Unknown { method: METHOD, detail: "the simulation has no result".into() }),
    }
}

/// A receive policy of the recipient's (TIP-1028) can hold money back without failing the transaction. Not every node tells
/// the logs of a simulation.
fn check_simulated_logs(payment: Payment<'_>, logs: &[Log]) -> Result<(), ChargeError> {
    if logs.is_empty() {
        return Ok(());
    }
    receipt::check_logs(payment.charge, payment.named, Some(payment.sender), logs).map_err(|_| {
        ChargeError::WouldRevert { why: "the payment would not reach its recipients".to_owned() }
    })
}

/// Checks the gas limit by estimates. The first is of the very transaction; a node that cannot make it (the sender may hold
/// nothing to pay a fee with) makes the second, without a price, as payers' own estimates are made.
async fn gas_suffices(
    rpc: &TempoRpc,
    signed: &AASigned,
    sender: Address,
) -> Result<Result<(), ChargeError>, RpcError> {
    const PRICE: [&str; 4] = ["maxFeePerGas", "maxPriorityFeePerGas", "feeToken", "feePayerSignature"];
    let tx = signed.tx();
    let mut whole = estimated(signed, sender);
    let mut free = whole.clone();
    if let Some(fields) = free.as_object_mut() {
        fields.retain(|name, _| !PRICE.contains(&name.as_str()));
    }
    let mut why = String::new();
    for request in [whole.take(), free] {
        match rpc.estimate_gas(request).await {
            Ok(gas) if gas <= tx.gas_limit => return Ok(Ok(())),
            Ok(gas) => why = format!("it takes {gas} gas, and its limit is {}", tx.gas_limit),
            Err(RpcError::Rejected { message, .. }) => why = message,
            Err(error) => return Err(error),
        }
    }
    Ok(Err(ChargeError::WouldRevert { why }))
}

/// The transaction as an estimate takes it: all calls in one batch.
fn estimated(signed: &AASigned, sender: Address) -> Value {
    let mut request = fields(signed, sender);
    if let Some(fields) = request.as_object_mut() {
        fields.insert("calls".into(), calls_json(&signed.tx().calls));
        fields.insert("gas".into(), json!(U64::from(TempoRpc::SIMULATION_GAS)));
    }
    request
}

/// The node makes the batch of `calls` and then the call at the top: the last call goes there, or it would see a creation.
fn request(signed: &AASigned, sender: Address) -> Option<Value> {
    let (last, first) = signed.tx().calls.split_last()?;
    let mut request = fields(signed, sender);
    let fields = request.as_object_mut()?;
    fields.insert("to".into(), json!(last.to.to()));
    fields.insert("value".into(), json!(last.value));
    fields.insert("data".into(), json!(last.input));
    if !first.is_empty() {
        fields.insert("calls".into(), calls_json(first));
    }
    Some(request)
}

/// Everything of the transaction but its calls.
fn fields(signed: &AASigned, sender: Address) -> Value {
    let tx = signed.tx();
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
    });
    let Some(fields) = request.as_object_mut() else { return request };
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
    request
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, U256};
    use alloy_sol_types::SolEvent;
    use farthing_money::Amount;

    use super::{Payment, check_simulated_logs};
    use crate::tempo::abi::Tip20;
    use crate::tempo::memo::{self, Named};
    use crate::tempo::receipt::Log;
    use crate::tempo::{offline, tokens};

    #[test]
    fn money_that_a_policy_would_hold_back_is_seen_before_the_broadcast() {
        const NAMED: Named<'static> = Named { realm: "api.example.com", challenge_id: "c" };
        let (sender, recipient) = (Address::repeat_byte(0xaa), Address::repeat_byte(0xbb));
        let charge = offline::plain_charge(Amount::from_base(5), tokens::PATH_USD, recipient);
        let payment = Payment { charge: &charge, named: NAMED, sender };
        let log = |to| {
            let memo = memo::encode(NAMED, None);
            let event = Tip20::TransferWithMemo { from: sender, to, amount: U256::from(5), memo };
            let data = event.encode_log_data();
            vec![Log { address: tokens::PATH_USD, topics: data.topics().to_vec(), data: data.data }]
        };
        // Not every node tells logs of a simulation: none say nothing.
        let cases = [
            (log(recipient), None),
            (Vec::new(), None),
            (log(Address::repeat_byte(0x99)), Some("transaction_would_fail")),
        ];
        for (logs, expected) in cases {
            let got = check_simulated_logs(payment, &logs).err().map(|error| error.code());
            assert_eq!(got, expected, "TIP-1028: {logs:?}");
        }
    }
}
