//! One line of the conformance registry: an operation, and what it answers. Never panics, whatever the line holds.

use serde_json::{Value, json};

mod codec;
mod server;
mod tempo;

/// Why an operation fails: the registry's error type, and a sentence.
pub(crate) struct Failure {
    kind: &'static str,
    message: String,
}

pub(crate) type Outcome = Result<Value, Failure>;

impl Failure {
    pub(crate) fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

/// Turns any error into a failure of this type.
pub(crate) fn failing<E: ToString>(kind: &'static str) -> impl Fn(E) -> Failure {
    move |error| Failure::new(kind, error.to_string())
}

/// Answers one line.
pub(crate) fn line(text: &str) -> String {
    let outcome = serde_json::from_str::<Value>(text)
        .map_err(|error| Failure::new("unknown_error", format!("the line is not JSON: {error}")))
        .and_then(|request| call(&request));
    match outcome {
        Ok(value) => json!({ "ok": true, "value": value }),
        Err(Failure { kind, message }) => {
            json!({ "ok": false, "error": { "type": kind, "message": message } })
        }
    }
    .to_string()
}

fn call(request: &Value) -> Outcome {
    let op = request["op"].as_str().ok_or_else(|| Failure::new("unknown_error", "`op` is missing"))?;
    let input = &request["input"];
    match op {
        "challenge.parse" => codec::challenge_parse(input),
        "challenge.format" => codec::challenge_format(input),
        "challenge.id" => codec::challenge_id(input),
        "credential.parse" => codec::credential_parse(input),
        "credential.format" => codec::credential_format(input),
        "receipt.parse" => codec::receipt_parse(input),
        "receipt.format" => codec::receipt_format(input),
        "base64url.encode" => codec::base64url_encode(input),
        "base64url.decode" => codec::base64url_decode(input),
        "server.verify" => server::verify(input),
        "stripe.external_id_binding" => server::stripe_external_id_binding(input),
        "tempo.receipt.verify" | "tempo.transaction.verify" => tempo::receipt_verify(input),
        "tempo.fee_payer.cosign" => tempo::cosign(input),
        "tempo.proof.typed_data" => tempo::proof_typed_data(input),
        _ => Err(Failure::new("unsupported_operation", format!("unknown operation: {op}"))),
    }
}

/// The string field `name`, or a failure of this type.
pub(crate) fn text<'a>(input: &'a Value, name: &str, kind: &'static str) -> Result<&'a str, Failure> {
    input[name].as_str().ok_or_else(|| Failure::new(kind, format!("`{name}` is missing or not a string")))
}

/// The string field `name`, where there is one.
pub(crate) fn optional<'a>(
    input: &'a Value,
    name: &str,
    kind: &'static str,
) -> Result<Option<&'a str>, Failure> {
    match &input[name] {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        _ => Err(Failure::new(kind, format!("`{name}` is not a string"))),
    }
}
