//! The one JSON argument of either side. Unknown keys are ignored: the three peers share a test.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What the client pays for, and from what.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClientConfig {
    pub(crate) url: reqwest::Url,
    pub(crate) rpc_url: String,
    pub(crate) chain_id: u64,
    pub(crate) private_key: String,
    #[serde(default)]
    pub(crate) mode: Mode,
    pub(crate) method: Option<String>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Option<String>,
    pub(crate) client_id: Option<String>,
    #[serde(default = "one")]
    pub(crate) count: usize,
    #[serde(default = "one")]
    pub(crate) max_payment_retries: usize,
    #[serde(default = "yes")]
    pub(crate) send_credential: bool,
}

/// Who broadcasts the payment.
#[derive(Clone, Copy, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Mode {
    #[default]
    Auto,
    Pull,
    Push,
}

/// What the server sells, and to whom the money goes.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServerConfig {
    #[serde(default)]
    pub(crate) port: u16,
    pub(crate) rpc_url: String,
    pub(crate) chain_id: u64,
    pub(crate) recipient: String,
    pub(crate) currency: String,
    pub(crate) secret_key: String,
    #[serde(default = "ten_thousand")]
    pub(crate) amount: String,
    #[serde(default = "loopback")]
    pub(crate) realm: String,
    #[serde(default)]
    pub(crate) requires_auth: bool,
    pub(crate) fee_payer_key: Option<String>,
    pub(crate) splits: Option<serde_json::Value>,
    #[serde(default = "challenge_seconds")]
    pub(crate) expires_seconds: u64,
    #[serde(default = "five_minutes")]
    pub(crate) max_seconds: u64,
}

fn one() -> usize {
    1
}

fn yes() -> bool {
    true
}

fn ten_thousand() -> String {
    "10000".to_owned()
}

/// The host that the tests use; clients refuse a proof for any other realm.
fn loopback() -> String {
    "127.0.0.1".to_owned()
}

/// Shorter than the 30 seconds that anvil allows an expiring nonce.
fn challenge_seconds() -> u64 {
    25
}

fn five_minutes() -> u64 {
    300
}

/// Reads a side's configuration from its argument.
pub(crate) fn parse<C: DeserializeOwned>(json: &str) -> Result<C, String> {
    serde_json::from_str(json).map_err(|error| format!("configuration: {error}"))
}
