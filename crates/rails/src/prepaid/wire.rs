//! What travels, and what is signed.
//!
//! | part | content |
//! |---|---|
//! | `request` | `amount` (base units, digits), `currency` (the asset's code), `externalId?`, `methodDetails.issuer` |
//! | `payload` | `type: "hmac"`, `token` (its public name), `signature` (64 lower-case hexadecimal digits) |
//!
//! `signature = HMAC-SHA256(key, "farthing prepaid 1|" realm "|" challenge id "|" request)`, over the strings as they were received.
//! Realm and id hold no `|`. The key follows from the token's secret; only the issuer keeps it, and only the issuer verifies.

use farthing_money::Amount;
use farthing_protocol::{Problem, ProblemKind};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

/// The `request` of a challenge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PrepaidRequest {
    /// How much, in base units, as digits.
    pub amount: Amount,
    /// Code of the asset.
    pub currency: String,
    /// The merchant's reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// With whom the balance is.
    pub method_details: MethodDetails,
}

/// The method's own part of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MethodDetails {
    /// Who keeps the balance.
    pub issuer: String,
}

/// The `payload` of a credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrepaidPayload {
    /// Always `hmac`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The token's name. Not a secret.
    pub token: String,
    /// The signature.
    pub signature: String,
}

/// The longest name of a token, in bytes.
const MAX_TOKEN: usize = 128;

impl PrepaidPayload {
    /// Reads a payload.
    ///
    /// # Errors
    /// A [`Problem`] that names the rule and never repeats the payload.
    pub fn parse(json: &str) -> Result<Self, Problem> {
        let read: Option<Self> = serde_json::from_str(json).ok();
        let fits = |payload: &Self| {
            let named = (1..=MAX_TOKEN).contains(&payload.token.len())
                && !payload.token.chars().any(char::is_control);
            payload.kind == "hmac" && named
        };
        read.filter(fits).ok_or_else(|| {
            let detail = "The payload is an object with `type` \"hmac\", `token` and `signature`.";
            Problem::new(ProblemKind::InvalidPayload, "payload_unreadable", detail)
        })
    }
}

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed<'a> {
    /// The challenge's realm.
    pub realm: &'a str,
    /// The challenge's id.
    pub challenge: &'a str,
    /// The challenge's request, as received.
    pub request: &'a str,
}

impl Signed<'_> {
    /// As it goes into the HMAC.
    #[must_use]
    pub fn message(&self) -> String {
        let Self { realm, challenge, request } = self;
        format!("farthing prepaid 1|{realm}|{challenge}|{request}")
    }
}

/// What a token signs with. Shown nowhere.
#[derive(Clone)]
pub struct PrepaidKey(Zeroizing<Vec<u8>>);

impl std::fmt::Debug for PrepaidKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrepaidKey(..)")
    }
}

impl PrepaidKey {
    /// The key with these bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }

    fn mac(&self, message: &str) -> Hmac<Sha256> {
        let mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length");
        mac.chain_update(message)
    }

    /// The signature, as it travels.
    #[must_use]
    pub fn sign(&self, signed: &Signed<'_>) -> String {
        hex::encode(self.mac(&signed.message()).finalize().into_bytes())
    }

    /// Whether `signature` is this key's for `message`. Takes the same time wherever they differ.
    #[must_use]
    pub fn verifies(&self, message: &str, signature: &str) -> bool {
        hex::decode(signature).is_ok_and(|bytes| self.mac(message).verify_slice(&bytes).is_ok())
    }
}
