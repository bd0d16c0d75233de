//! What a server says of a credential, for one route and at one instant.

use farthing_protocol::ports::Settled;
use farthing_protocol::{Binder, CredentialBuf, EncodedJson, Receipt, Secret, UnixMs};
use serde_json::{Map, Value, json};

use super::codec::{credential_header, receipt_json};
use super::{Failure, Outcome, failing, optional, text};

const KIND: &str = "verification_error";

/// The instant of every verification: the vectors expect it in their receipts.
pub(super) const NOW: &str = "2026-01-29T12:00:00Z";

fn refused(error_type: &str) -> Value {
    json!({ "ok": false, "errorType": error_type })
}

/// A secret as the vectors have it. HMAC fills a key up with zeros, so that a short one and the same with zeros bind alike.
fn secret(text: &str) -> Result<Secret, Failure> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(bytes.len().max(Secret::MIN_BYTES), 0);
    Secret::new(bytes).map_err(failing(KIND))
}

pub(super) fn verify(input: &Value) -> Outcome {
    let binder = Binder::new(secret(text(input, "secretKey", KIND)?)?, None);
    let route = EncodedJson::encode(&input["request"]).map_err(failing(KIND))?;
    let read = credential_header(&input["credential"], KIND)
        .and_then(|header| CredentialBuf::decode(&header).map_err(failing(KIND)));
    let Ok(buffer) = read else { return Ok(refused("malformed_credential")) };
    let Ok(credential) = buffer.view() else { return Ok(refused("malformed_credential")) };
    let echo = &credential.challenge;
    let ours = binder.check(echo).is_ok()
        && echo.realm == text(input, "realm", KIND)?
        && echo.method == text(input, "method", KIND)?
        && echo.intent == text(input, "intent", KIND)?
        && echo.request == route.as_str();
    let Some(expires) = echo.expires.as_deref().filter(|_| ours) else {
        return Ok(refused("invalid_challenge"));
    };
    let Ok(expires) = UnixMs::parse(expires) else { return Ok(refused("invalid_challenge")) };
    if UnixMs::parse(NOW).map_err(failing(KIND))? >= expires {
        return Ok(refused("payment_expired"));
    }
    if optional(input, "verificationError", KIND)?.is_some() {
        return Ok(refused("verification_failed"));
    }
    let receipt = Receipt {
        method: echo.method.clone().into_owned(),
        timestamp: NOW.to_owned(),
        reference: "conformance-receipt".to_owned(),
        external_id: None,
        extra: Map::new(),
    };
    Ok(json!({ "ok": true, "receipt": receipt_json(receipt) }))
}

/// The merchant's reference comes from the request that the server bound; a payload may repeat it, never replace it.
pub(super) fn stripe_external_id_binding(input: &Value) -> Outcome {
    let bound = optional(&input["request"], "externalId", KIND)?;
    let claimed = optional(&input["payload"], "externalId", KIND)?;
    if bound.is_some() && bound != claimed {
        return Ok(refused("invalid_challenge"));
    }
    let intent = &input["paymentIntent"];
    if intent["replayed"] == true || text(intent, "status", KIND)? != "succeeded" {
        return Ok(refused("verification_failed"));
    }
    let settled = Settled {
        reference: text(intent, "id", KIND)?.to_owned(),
        at: UnixMs::default(),
        external_id: bound.map(str::to_owned),
        extra: Map::new(),
    };
    let mut receipt = Receipt::for_settled("stripe", settled);
    receipt.timestamp = "2026-01-29T12:00:30Z".to_owned();
    Ok(json!({ "ok": true, "receipt": receipt_json(receipt) }))
}
