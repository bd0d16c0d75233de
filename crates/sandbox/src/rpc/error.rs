//! JSON-RPC errors. Clients branch on these codes: an unknown method is exactly -32601, a revert exactly 3 with data.

use crate::contract::Halt;
use crate::refusal::Refusal;
use alloy_primitives::Bytes;
use serde_json::{Value, json};

/// An error object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RpcError {
    pub(crate) code: i64,
    pub(crate) message: String,
    pub(crate) data: Option<Value>,
}

impl RpcError {
    fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    pub(crate) fn parse() -> Self {
        Self::new(-32700, "Parse error")
    }

    pub(crate) fn invalid_request() -> Self {
        Self::new(-32600, "Invalid request")
    }

    pub(crate) fn method_not_found() -> Self {
        Self::new(-32601, "Method not found")
    }

    pub(crate) fn invalid_params(message: impl Into<String>) -> Self {
        Self::new(-32602, message)
    }

    /// Something is not there that had to be.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(-32001, message)
    }

    /// A bound was reached.
    pub(crate) fn limit(message: impl Into<String>) -> Self {
        Self::new(-32005, message)
    }

    /// EIP-7966: the transaction was taken but not included in time.
    pub(crate) fn inclusion_timeout() -> Self {
        Self::new(4, "The transaction was added to the mempool but was not included within the timeout")
    }

    /// A call that reverted, with the contract's error.
    pub(crate) fn reverted(data: &Bytes) -> Self {
        let message = match data.split_at_checked(4) {
            Some((selector, [])) => format!("execution reverted: custom error 0x{}", hex(selector)),
            Some((selector, rest)) => {
                format!("execution reverted: custom error 0x{}: {}", hex(selector), hex(rest))
            }
            None => "execution reverted".into(),
        };
        Self { code: 3, message, data: Some(json!(data)) }
    }

    /// What came of a call that did not succeed.
    pub(crate) fn halted(halt: &Halt) -> Self {
        match halt {
            Halt::Revert(data) => Self::reverted(data),
            Halt::OutOfGas => Self::new(-32003, "out of gas"),
        }
    }

    pub(crate) fn to_value(&self) -> Value {
        let mut error = json!({ "code": self.code, "message": self.message });
        if let Some(data) = &self.data {
            error["data"] = data.clone();
        }
        error
    }
}

impl From<Refusal> for RpcError {
    fn from(refusal: Refusal) -> Self {
        let code = if refusal.malformed() { -32602 } else { -32003 };
        Self { code, message: refusal.to_string(), data: Some(json!({ "sandbox": refusal.code() })) }
    }
}

fn hex(bytes: &[u8]) -> String {
    alloy_primitives::hex::encode(bytes)
}
