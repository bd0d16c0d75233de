//! The three messages, base64url and ids.

use farthing_protocol::binding::Slots;
use farthing_protocol::encoding;
use farthing_protocol::{
    Binder, Challenge, CredentialBuf, CredentialHeader, EncodedJson, Intent, MethodId, PaymentProof, Receipt,
    Secret, UnixMs,
};
use serde_json::{Map, Value, json, value::RawValue};

use super::{Failure, Outcome, failing, optional, text};

const PARSE: &str = "parse_error";
const FORMAT: &str = "format_error";
const ENCODING: &str = "encoding_error";
const GENERATION: &str = "generation_error";

/// Puts the optional parameters that there are into a challenge's JSON.
fn with_optional(mut challenge: Value, fields: [(&str, Option<&str>); 5]) -> Value {
    for (name, value) in fields {
        if let Some(value) = value {
            challenge[name] = value.into();
        }
    }
    challenge
}

/// The header where it is not the default.
fn advertised(header: CredentialHeader) -> Option<&'static str> {
    (header != CredentialHeader::default()).then(|| header.name())
}

pub(super) fn challenge_parse(input: &Value) -> Outcome {
    let challenge = Challenge::parse(text(input, "header", PARSE)?).map_err(failing(PARSE))?;
    let request: Value = challenge.request.decode().map_err(failing(PARSE))?;
    let required = json!({
        "id": challenge.id,
        "realm": challenge.realm,
        "method": challenge.method.as_str(),
        "intent": challenge.intent.as_str(),
        "request": request,
    });
    let fields = [
        ("description", challenge.description.as_deref()),
        ("digest", challenge.digest.as_deref()),
        ("expires", challenge.expires.as_deref()),
        ("header", advertised(challenge.header)),
        ("opaque", challenge.opaque.as_ref().map(EncodedJson::as_str)),
    ];
    Ok(with_optional(required, fields))
}

/// A challenge from its canonical JSON: `request` is an object, `opaque` the string of the wire.
pub(super) fn challenge_of(input: &Value, kind: &'static str) -> Result<Challenge, Failure> {
    let request = &input["request"];
    if !request.is_object() {
        return Err(Failure::new(kind, "`request` is missing or not an object"));
    }
    let owned = |name| optional(input, name, kind).map(|value| value.map(str::to_owned));
    let opaque = owned("opaque")?.map(|opaque| EncodedJson::from_wire(opaque, "`opaque`"));
    let header = optional(input, "header", kind)?.map(CredentialHeader::parse);
    Ok(Challenge {
        id: text(input, "id", kind)?.to_owned(),
        realm: text(input, "realm", kind)?.to_owned(),
        method: MethodId::new(text(input, "method", kind)?).map_err(failing(kind))?,
        intent: Intent::new(text(input, "intent", kind)?).map_err(failing(kind))?,
        request: EncodedJson::encode(request).map_err(failing(kind))?,
        description: owned("description")?,
        expires: owned("expires")?,
        digest: owned("digest")?,
        opaque: opaque.transpose().map_err(failing(kind))?,
        header: header.transpose().map_err(failing(kind))?.unwrap_or_default(),
    })
}

pub(super) fn challenge_format(input: &Value) -> Outcome {
    let header = challenge_of(input, FORMAT)?.to_header_value().map_err(failing(FORMAT))?;
    Ok(json!({ "header": header }))
}

pub(super) fn credential_parse(input: &Value) -> Outcome {
    let buffer = CredentialBuf::decode(text(input, "header", PARSE)?).map_err(failing(PARSE))?;
    let credential = buffer.view().map_err(failing(PARSE))?;
    let echo = &credential.challenge;
    let request: Value = EncodedJson::from_wire(echo.request.clone().into_owned(), "`request`")
        .and_then(|request| request.decode())
        .map_err(failing(PARSE))?;
    let required = json!({
        "id": echo.id,
        "realm": echo.realm,
        "method": echo.method,
        "intent": echo.intent,
        "request": request,
    });
    let fields = [
        ("description", echo.description.as_deref()),
        ("digest", echo.digest.as_deref()),
        ("expires", echo.expires.as_deref()),
        ("header", advertised(echo.header)),
        ("opaque", echo.opaque.as_deref()),
    ];
    let payload: Value = serde_json::from_str(credential.payload.get()).map_err(failing(PARSE))?;
    let mut value = json!({ "challenge": with_optional(required, fields), "payload": payload });
    if let Some(source) = &credential.source {
        value["source"] = source.as_ref().into();
    }
    Ok(value)
}

/// The header value of a credential in its canonical JSON.
pub(super) fn credential_header(input: &Value, kind: &'static str) -> Result<String, Failure> {
    let challenge = challenge_of(&input["challenge"], kind)?;
    let payload = RawValue::from_string(input["payload"].to_string()).map_err(failing(kind))?;
    let source = optional(input, "source", kind)?.map(str::to_owned);
    challenge.answer(&PaymentProof { payload, source }).map_err(failing(kind))
}

pub(super) fn credential_format(input: &Value) -> Outcome {
    Ok(json!({ "header": credential_header(input, FORMAT)? }))
}

/// A receipt as the registry writes it: flat.
pub(super) fn receipt_json(receipt: Receipt) -> Value {
    let mut value = Value::Object(receipt.extra);
    value["status"] = "success".into();
    value["method"] = receipt.method.into();
    value["timestamp"] = receipt.timestamp.into();
    value["reference"] = receipt.reference.into();
    if let Some(external_id) = receipt.external_id {
        value["externalId"] = external_id.into();
    }
    value
}

pub(super) fn receipt_parse(input: &Value) -> Outcome {
    Receipt::parse(text(input, "header", PARSE)?).map(receipt_json).map_err(failing(PARSE))
}

pub(super) fn receipt_format(input: &Value) -> Outcome {
    let known = ["status", "method", "timestamp", "reference", "externalId"];
    let fields = input.as_object().ok_or_else(|| Failure::new(FORMAT, "a receipt is an object"))?;
    if text(input, "status", FORMAT)? != "success" {
        return Err(Failure::new(FORMAT, "a receipt's status is `success`"));
    }
    let timestamp = text(input, "timestamp", FORMAT)?;
    UnixMs::parse(timestamp).map_err(failing(FORMAT))?;
    let extra: Map<String, Value> = fields
        .iter()
        .filter(|(name, _)| !known.contains(&name.as_str()))
        .map(|(n, v)| (n.clone(), v.clone()))
        .collect();
    let receipt = Receipt {
        method: text(input, "method", FORMAT)?.to_owned(),
        timestamp: timestamp.to_owned(),
        reference: text(input, "reference", FORMAT)?.to_owned(),
        external_id: optional(input, "externalId", FORMAT)?.map(str::to_owned),
        extra,
    };
    Ok(json!({ "header": receipt.to_header_value().map_err(failing(FORMAT))? }))
}

pub(super) fn base64url_encode(input: &Value) -> Outcome {
    Ok(json!({ "text": encoding::base64url_encode(text(input, "text", ENCODING)?.as_bytes()) }))
}

pub(super) fn base64url_decode(input: &Value) -> Outcome {
    let bytes =
        encoding::base64url_decode(text(input, "text", ENCODING)?, "the text").map_err(failing(ENCODING))?;
    Ok(json!({ "text": String::from_utf8(bytes).map_err(failing(ENCODING))? }))
}

pub(super) fn challenge_id(input: &Value) -> Outcome {
    let secret = Secret::new(text(input, "secretKey", GENERATION)?.into()).map_err(failing(GENERATION))?;
    if !input["request"].is_object() {
        return Err(Failure::new(GENERATION, "`request` is missing or not an object"));
    }
    let request = EncodedJson::encode(&input["request"]).map_err(failing(GENERATION))?;
    let header = optional(input, "header", GENERATION)?.map(CredentialHeader::parse).transpose();
    let slots = Slots {
        realm: text(input, "realm", GENERATION)?,
        method: text(input, "method", GENERATION)?,
        intent: text(input, "intent", GENERATION)?,
        request: request.as_str(),
        expires: optional(input, "expires", GENERATION)?.unwrap_or_default(),
        digest: optional(input, "digest", GENERATION)?.unwrap_or_default(),
        header: header.map_err(failing(GENERATION))?.and_then(advertised),
        opaque: optional(input, "opaque", GENERATION)?.unwrap_or_default(),
    };
    Ok(json!({ "id": Binder::new(secret, None).id(&slots) }))
}
