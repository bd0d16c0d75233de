//! [`TempoRpc`]: the few JSON-RPC methods that a charge needs, with time-outs, bounded answers, and errors that say whether
//! something may have happened. It is not a general client and keeps no state but the chain id.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U64, U256};
use alloy_sol_types::SolCall;
use reqwest::Url;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempo_primitives::TempoTransaction;
use tempo_primitives::transaction::Call;
use tokio::sync::OnceCell;

use super::abi::Tip20;
use super::receipt::TxReceipt;

/// Whether a request can have reached a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// No connection was made: nothing was sent.
    No,
    /// Something answered. It may be a proxy that has passed the request on before.
    Perhaps,
}

/// Why a node gave no result. Never contains a transaction or a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RpcError {
    /// Not an http or https URL.
    #[error("the RPC address is not an http or https URL")]
    BadUrl,
    /// The node answered that it will not do it.
    #[error("the node refused {method}: {message} (code {code})")]
    Rejected {
        /// The method.
        method: &'static str,
        /// The JSON-RPC error code.
        code: i64,
        /// The node's message, shortened.
        message: String,
    },
    /// The node does not know the method.
    #[error("the node does not know {method}")]
    MethodMissing {
        /// The method.
        method: &'static str,
    },
    /// The node was not reached, or something on the way says that it turned the request away.
    #[error("the node is not available for {method}: {detail}")]
    Unavailable {
        /// The method.
        method: &'static str,
        /// What went wrong.
        detail: String,
        /// Whether the request left at all.
        reached: Reached,
    },
    /// The request was sent and no usable answer arrived: it may have happened.
    #[error("the node's answer to {method} was lost: {detail}")]
    Unknown {
        /// The method.
        method: &'static str,
        /// What went wrong.
        detail: String,
    },
    /// The node serves another chain than it was configured for.
    #[error("the node serves chain {given}, not {expected}")]
    WrongChain {
        /// The configured chain.
        expected: u64,
        /// The node's chain.
        given: u64,
    },
}

impl RpcError {
    /// The stable code of the failure, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadUrl => "rpc_bad_url",
            Self::Rejected { .. } => "rpc_rejected",
            Self::MethodMissing { .. } => "rpc_method_missing",
            Self::Unavailable { .. } => "rpc_unavailable",
            Self::Unknown { .. } => "rpc_unknown",
            Self::WrongChain { .. } => "rpc_wrong_chain",
        }
    }

    /// Whether nothing was sent at all: the only failure that proves that nothing happened.
    pub(super) const fn never_sent(&self) -> bool {
        matches!(self, Self::Unavailable { reached: Reached::No, .. })
    }
}

/// The newest block, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Its time, in Unix seconds.
    pub timestamp: u64,
    /// Its base fee, in attodollars a gas.
    pub base_fee: u128,
}

const BLOCK: &str = "eth_getBlockByNumber";

/// A block, as far as it matters here.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Block {
    #[serde(default)]
    pub(super) number: Option<U64>,
    /// In Unix seconds.
    pub(super) timestamp: U64,
    #[serde(default)]
    base_fee_per_gas: Option<U256>,
    /// Hashes of its transactions.
    #[serde(default)]
    pub(super) transactions: Vec<B256>,
}

/// A client of one node. Cheap to clone. `Debug` shows the host only: an RPC URL may hold an API key.
#[derive(Clone)]
pub struct TempoRpc {
    http: reqwest::Client,
    url: Url,
    timeout: Duration,
    chain_id: Arc<OnceCell<u64>>,
}

impl fmt::Debug for TempoRpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TempoRpc({})", self.url.host_str().unwrap_or("?"))
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    result: Option<Value>,
    error: Option<AnswerError>,
}

#[derive(Deserialize)]
struct AnswerError {
    code: i64,
    #[serde(default)]
    message: String,
}

impl TempoRpc {
    /// The most bytes of an answer that are read.
    pub const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;
    /// How long a call may take.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
    /// The gas that a simulation may use.
    pub const SIMULATION_GAS: u64 = 3_000_000;

    /// A client of the node at `url`.
    ///
    /// # Errors
    /// [`RpcError::BadUrl`].
    pub fn new(url: &str) -> Result<Self, RpcError> {
        let url = Url::parse(url).map_err(|_| RpcError::BadUrl)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(RpcError::BadUrl);
        }
        let http = reqwest::Client::builder()
            // A signed transaction is sent where the owner said, and nowhere else.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(5))
            .build()
            .map_err(|_| RpcError::BadUrl)?;
        Ok(Self { http, url, timeout: Self::DEFAULT_TIMEOUT, chain_id: Arc::new(OnceCell::new()) })
    }

    /// The same client with another time-out.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Calls `method`.
    ///
    /// # Errors
    /// [`RpcError`].
    pub async fn request<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<T, RpcError> {
        let value = self.request_value(method, params).await?;
        serde_json::from_value(value).map_err(|_| RpcError::Unknown {
            method,
            detail: "the result has another form than expected".into(),
        })
    }

    async fn request_value(&self, method: &'static str, params: Value) -> Result<Value, RpcError> {
        let work = async {
            let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
            let sent = self.http.post(self.url.clone()).json(&body).send().await;
            let response = sent.map_err(|error| transport(method, error))?;
            let status = response.status().as_u16();
            let bytes = read(response, method).await?;
            parse(method, status, &bytes)
        };
        tokio::time::timeout(self.timeout, work)
            .await
            .unwrap_or_else(|_| Err(RpcError::Unknown { method, detail: "no answer in time".into() }))
    }

    /// The node's chain id, asked once.
    ///
    /// # Errors
    /// [`RpcError`].
    pub async fn chain_id(&self) -> Result<u64, RpcError> {
        let ask = || async { Ok(self.request::<U64>("eth_chainId", json!([])).await?.to::<u64>()) };
        self.chain_id.get_or_try_init(ask).await.copied()
    }

    /// Checks that the node serves the chain that we mean.
    ///
    /// # Errors
    /// [`RpcError::WrongChain`].
    pub async fn expect_chain(&self, expected: u64) -> Result<(), RpcError> {
        let given = self.chain_id().await?;
        if given == expected { Ok(()) } else { Err(RpcError::WrongChain { expected, given }) }
    }

    /// Calls a contract without changing anything.
    ///
    /// # Errors
    /// [`RpcError::Rejected`] when it reverts.
    pub async fn call(&self, to: Address, data: Vec<u8>) -> Result<Bytes, RpcError> {
        self.request("eth_call", json!([{"to": to, "data": Bytes::from(data)}, "latest"])).await
    }

    /// What `account` holds of `token`.
    ///
    /// # Errors
    /// [`RpcError`].
    pub async fn balance(&self, token: Address, account: Address) -> Result<U256, RpcError> {
        let answer = self.call(token, Tip20::balanceOfCall { account }.abi_encode()).await?;
        Tip20::balanceOfCall::abi_decode_returns(&answer).map_err(|_| RpcError::Unknown {
            method: "eth_call",
            detail: "the token has no balance to tell: is it a TIP-20 token of this chain?".into(),
        })
    }

    /// Executes the calls of `tx` from `sender` without changing anything. Its fee, nonce and validity are left out: nodes
    /// do not agree on them here, and the chain checks them anyway.
    ///
    /// # Errors
    /// [`RpcError::Rejected`] when they revert.
    pub async fn simulate(&self, sender: Address, tx: &TempoTransaction) -> Result<(), RpcError> {
        // At least as much as any payment takes, because what an account's first nonce costs is counted here too.
        let gas = U64::from(tx.gas_limit.max(Self::SIMULATION_GAS));
        let mut request = json!({"from": sender, "gas": gas});
        if let (Some((last, first)), Some(fields)) = (tx.calls.split_last(), request.as_object_mut()) {
            // The last call goes to the top: a node that sees nothing there simulates a creation instead of the calls.
            fields.insert("to".into(), json!(last.to.to()));
            fields.insert("value".into(), json!(last.value));
            fields.insert("data".into(), json!(last.input));
            if !first.is_empty() {
                fields.insert("calls".into(), calls_json(first));
            }
        }
        self.request::<Value>("eth_call", json!([request, "latest"])).await.map(|_| ())
    }

    /// The gas that a transaction takes.
    ///
    /// # Errors
    /// [`RpcError`].
    pub async fn estimate_gas(&self, transaction: Value) -> Result<u64, RpcError> {
        Ok(self.request::<U64>("eth_estimateGas", json!([transaction])).await?.to::<u64>())
    }

    /// The newest block.
    ///
    /// # Errors
    /// [`RpcError`].
    pub async fn head(&self) -> Result<Head, RpcError> {
        let block = self.block(json!("latest")).await?.ok_or_else(|| RpcError::Unknown {
            method: BLOCK,
            detail: "the node has no newest block".into(),
        })?;
        Ok(Head {
            timestamp: block.timestamp.to::<u64>(),
            base_fee: block.base_fee_per_gas.unwrap_or_default().saturating_to::<u128>(),
        })
    }

    /// A block, by number or name, if the node has it.
    ///
    /// # Errors
    /// [`RpcError`].
    pub(super) async fn block(&self, which: Value) -> Result<Option<Block>, RpcError> {
        self.request(BLOCK, json!([which, false])).await
    }

    /// The next nonce of an account, for nonce key 0.
    ///
    /// # Errors
    /// [`RpcError`].
    pub(super) async fn nonce(&self, account: Address) -> Result<u64, RpcError> {
        let count = self.request::<U64>("eth_getTransactionCount", json!([account, "latest"])).await?;
        Ok(count.to::<u64>())
    }

    /// The receipt of a transaction, once it is in a block.
    ///
    /// # Errors
    /// [`RpcError`].
    pub async fn receipt(&self, hash: B256) -> Result<Option<TxReceipt>, RpcError> {
        const METHOD: &str = "eth_getTransactionReceipt";
        match self.request::<Option<TxReceipt>>(METHOD, json!([hash])).await? {
            Some(receipt) if receipt.transaction_hash != hash => Err(RpcError::Unknown {
                method: METHOD,
                detail: "the receipt is of another transaction".into(),
            }),
            found => Ok(found),
        }
    }

    /// Broadcasts a transaction and waits for its receipt.
    ///
    /// # Errors
    /// [`RpcError`].
    pub(super) async fn send_raw_sync(&self, raw: &[u8]) -> Result<TxReceipt, RpcError> {
        self.request("eth_sendRawTransactionSync", json!([hex_of(raw)])).await
    }

    /// Broadcasts a transaction.
    ///
    /// # Errors
    /// [`RpcError`].
    pub(super) async fn send_raw(&self, raw: &[u8]) -> Result<B256, RpcError> {
        self.request("eth_sendRawTransaction", json!([hex_of(raw)])).await
    }
}

/// Calls as a node takes them.
pub(super) fn calls_json(calls: &[Call]) -> Value {
    calls
        .iter()
        .map(|call| json!({"to": call.to.to(), "value": call.value, "data": call.input, "input": call.input}))
        .collect()
}

fn hex_of(raw: &[u8]) -> String {
    format!("0x{}", hex::encode(raw))
}

/// A connection that was never made has sent nothing; whatever fails later may have been read.
fn transport(method: &'static str, error: reqwest::Error) -> RpcError {
    let connect = error.is_connect() || error.is_builder();
    let detail = causes(&error.without_url());
    if connect {
        RpcError::Unavailable { method, detail, reached: Reached::No }
    } else {
        RpcError::Unknown { method, detail }
    }
}

/// What went wrong and what was at the bottom of it. The address is left out: its user part or query may be a key (C19).
fn causes(error: &dyn std::error::Error) -> String {
    let root = std::iter::successors(error.source(), |error| error.source()).last();
    let top = error.to_string();
    match root.map(ToString::to_string) {
        Some(root) if !top.contains(&root) => shorten(&format!("{top}: {root}")),
        _ => shorten(&top),
    }
}

async fn read(mut response: reqwest::Response, method: &'static str) -> Result<Vec<u8>, RpcError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| transport(method, error))? {
        if bytes.len() + chunk.len() > TempoRpc::MAX_ANSWER_BYTES {
            return Err(RpcError::Unknown { method, detail: "the answer is larger than 4 MiB".into() });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn parse(method: &'static str, status: u16, bytes: &[u8]) -> Result<Value, RpcError> {
    let parsed: Result<Answer, _> = serde_json::from_slice(bytes);
    match parsed {
        Ok(Answer { error: Some(AnswerError { code: -32601, .. }), .. }) => {
            Err(RpcError::MethodMissing { method })
        }
        // Rate limits and proxies' own errors. They prove nothing about a transaction that was sent.
        Ok(Answer { error: Some(AnswerError { code: code @ (-32005 | 429), message }), .. }) => {
            let detail = format!("{} (code {code})", shorten(&message));
            Err(RpcError::Unavailable { method, detail, reached: Reached::Perhaps })
        }
        Ok(Answer { error: Some(AnswerError { code, message }), .. }) => {
            Err(RpcError::Rejected { method, code, message: shorten(&message) })
        }
        Ok(Answer { result, .. }) if status == 200 => Ok(result.unwrap_or(Value::Null)),
        _ if (400..500).contains(&status) => {
            let detail = format!("HTTP status {status}");
            Err(RpcError::Unavailable { method, detail, reached: Reached::Perhaps })
        }
        _ => Err(RpcError::Unknown {
            method,
            detail: format!("HTTP status {status} without a JSON-RPC answer"),
        }),
    }
}

/// A node's message, cut, without control characters and without long runs of hexadecimal digits: some nodes repeat the
/// transaction (C19).
fn shorten(message: &str) -> String {
    const MAX_CHARS: usize = 200;
    const MAX_WORD: usize = 68;
    let words = message.split_whitespace().map(|word| if word.len() > MAX_WORD { "[…]" } else { word });
    let joined = words.collect::<Vec<_>>().join(" ");
    joined.chars().filter(|c| !c.is_control()).take(MAX_CHARS).collect()
}

#[cfg(test)]
mod tests;
