//! What travels: the request of a challenge and the payload of a credential. Parse here; inside, types cannot be wrong.

use farthing_money::Amount;
use farthing_protocol::{Problem, ProblemKind};
use serde::{Deserialize, Serialize};

/// The `request` of a challenge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExampleRequest {
    /// How much, in base units, as digits.
    pub amount: Amount,
    /// Code of the asset.
    pub currency: String,
    /// The merchant's reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
}

/// The `payload` of a credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExamplePayload {
    /// The voucher's number.
    pub voucher: u64,
}

impl ExamplePayload {
    /// Reads a payload.
    ///
    /// # Errors
    /// A [`Problem`] that names the rule and never repeats the payload.
    pub fn parse(json: &str) -> Result<Self, Problem> {
        serde_json::from_str(json).map_err(|_| {
            let detail = "The payload is an object with the number `voucher`.";
            Problem::new(ProblemKind::InvalidPayload, "payload_unreadable", detail)
        })
    }
}
