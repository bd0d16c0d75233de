//! The Tempo operations, answered by the rail.

use std::num::NonZeroU64;

use alloy_eips::eip2930::AccessListItem;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use farthing_protocol::UnixMs;
use farthing_rails::tempo::offline::{self, Against, FeePayer, Log, Named};
use farthing_rails::tempo::{ChargeRequest, PrivateKey, SponsorPolicy};
use serde_json::{Value, json};
use tempo_primitives::TempoTransaction;
use tempo_primitives::transaction::Call;

use super::server::NOW;
use super::{Failure, Outcome, failing, text};

const KIND: &str = "verification_error";

fn wrong(message: impl Into<String>) -> Failure {
    Failure::new(KIND, message)
}

/// `input` as a `T`, where serde reads it.
fn read<T: serde::de::DeserializeOwned>(input: &Value, name: &str) -> Result<T, Failure> {
    T::deserialize(&input[name]).map_err(|error| wrong(format!("`{name}`: {error}")))
}

/// A number, or a string of digits.
fn number(input: &Value, name: &str) -> Result<u128, Failure> {
    let value = &input[name];
    let digits = value.as_str().and_then(|text| text.parse().ok());
    value.as_u64().map(u128::from).or(digits).ok_or_else(|| wrong(format!("`{name}` is not a number")))
}

fn small(input: &Value, name: &str) -> Result<u64, Failure> {
    u64::try_from(number(input, name)?).map_err(|_| wrong(format!("`{name}` is too large")))
}

fn now() -> Result<UnixMs, Failure> {
    UnixMs::parse(NOW).map_err(failing(KIND))
}

/// A credential against the receipt of the transaction that it names, or that was made from it.
pub(super) fn receipt_verify(input: &Value) -> Outcome {
    let (challenge, payload) = (&input["credential"]["challenge"], &input["credential"]["payload"]);
    let receipt = &input["receipt"];
    let charge = ChargeRequest::from_json(&challenge["request"]).map_err(failing(KIND))?;
    let named = Named { realm: text(challenge, "realm", KIND)?, challenge_id: text(challenge, "id", KIND)? };
    let reference = text(receipt, "transactionHash", KIND)?.to_ascii_lowercase();
    if payload["type"] == "hash" && !text(payload, "hash", KIND)?.eq_ignore_ascii_case(&reference) {
        return Err(wrong("the receipt is of another transaction"));
    }
    if text(receipt, "status", KIND)? != "0x1" {
        return Err(wrong("the transaction failed on the chain"));
    }
    let logs: Vec<Log> = read(receipt, "logs")?;
    offline::verify_logs(&charge, named, None, &logs).map_err(failing(KIND))?;
    Ok(json!({ "status": "success", "reference": reference }))
}

fn call(input: &Value) -> Result<Call, Failure> {
    let value = U256::from(number(input, "value")?);
    Ok(Call { to: TxKind::Call(read(input, "to")?), value, input: read(input, "data")? })
}

/// `max`, `now+60`, a number: what the vectors write where a field depends on the instant.
fn nonce_key(input: &Value) -> Result<U256, Failure> {
    if input["nonceKey"] == "max" { Ok(U256::MAX) } else { number(input, "nonceKey").map(U256::from) }
}

fn valid_before(input: &Value) -> Result<Option<NonZeroU64>, Failure> {
    let from_now = input["validBefore"].as_str().and_then(|text| text.strip_prefix("now+"));
    let seconds = match from_now {
        Some(text) => text.parse::<u64>().ok().and_then(|seconds| now().ok()?.as_secs().checked_add(seconds)),
        None => Some(small(input, "validBefore")?),
    };
    seconds.map(NonZeroU64::new).ok_or_else(|| wrong("`validBefore` is not an instant"))
}

fn transaction(input: &Value) -> Result<TempoTransaction, Failure> {
    let list = |name: &str| input[name].as_array().ok_or_else(|| wrong(format!("`{name}` is not a list")));
    let access: Vec<AccessListItem> = list("accessList")?
        .iter()
        .map(|item| {
            let (address, storage_keys): (Address, Vec<B256>) =
                serde_json::from_value(item.clone()).map_err(failing(KIND))?;
            Ok(AccessListItem { address, storage_keys })
        })
        .collect::<Result<_, Failure>>()?;
    Ok(TempoTransaction {
        chain_id: small(input, "chainId")?,
        max_priority_fee_per_gas: number(input, "maxPriorityFeePerGas")?,
        max_fee_per_gas: number(input, "maxFeePerGas")?,
        gas_limit: small(input, "gasLimit")?,
        calls: list("calls")?.iter().map(call).collect::<Result<_, _>>()?,
        access_list: access.into(),
        nonce_key: nonce_key(input)?,
        nonce: small(input, "nonce")?,
        valid_before: valid_before(input)?,
        ..TempoTransaction::default()
    })
}

pub(super) fn cosign(input: &Value) -> Outcome {
    let key = |name| PrivateKey::from_hex(text(input, name, KIND)?).map_err(failing(KIND));
    let (payer, fee_payer) = (key("payerPrivateKey")?, key("feePayerPrivateKey")?);
    let charge = ChargeRequest::from_json(&input["request"]).map_err(failing(KIND))?;
    let tx = transaction(&input["transaction"])?;
    let chain_id = charge.chain_id.unwrap_or(tx.chain_id);
    let envelope = match &input["transaction"]["feeToken"] {
        Value::Null => offline::envelope(tx, &payer),
        _ => offline::envelope_naming_fee_token(tx, &payer, read(&input["transaction"], "feeToken")?),
    };
    let challenge = &input["challenge"];
    let named = Named {
        realm: challenge["realm"].as_str().unwrap_or_default(),
        challenge_id: challenge["id"].as_str().unwrap_or_default(),
    };
    let now = now()?;
    // The vectors' challenges do not say when they expire; the usual five minutes.
    let against = Against { charge: &charge, named, chain_id, expires: now.plus_ms(300_000), now };
    let fee_token: Address = read(input, "feeToken")?;
    let sponsor = FeePayer { key: &fee_payer, fee_token, policy: SponsorPolicy::for_chain(chain_id) };
    let signed = offline::cosign(&envelope, against, sponsor).map_err(failing(KIND))?;
    let kind: Bytes = signed.raw.slice(..1);
    Ok(json!({
        "type": kind,
        "feeToken": format!("{:#x}", signed.fee_token),
        "feePayerSignaturePresent": true,
        "accessListLength": signed.access_list_length,
        "callCount": signed.call_count,
    }))
}

/// What a proof signs: domain `MPP`, version 3 (WIRE), where the account is part of the message.
pub(super) fn proof_typed_data(input: &Value) -> Outcome {
    let field = |name: &str, kind: &str| json!({ "name": name, "type": kind });
    let mut typed = json!({
        "domain": { "name": "MPP", "version": "3", "chainId": small(input, "chainId")? },
        "types": { "Proof": [
            field("account", "address"),
            field("challengeId", "string"),
            field("realm", "string"),
        ] },
        "primaryType": "Proof",
        "message": {
            "challengeId": text(input, "challengeId", KIND)?,
            "realm": text(input, "realm", KIND)?,
        },
    });
    let account: Address = read(input, "account")?;
    typed["message"]["account"] = format!("{account:#x}").into();
    Ok(typed)
}
