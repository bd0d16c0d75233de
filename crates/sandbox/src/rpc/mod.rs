//! The JSON-RPC port: HTTP, batches and bounds here; what each method answers in the modules below.

mod control;
mod error;
mod eth;
mod logs;
mod params;
mod request;
mod send;
mod server;
mod simulate;
mod view;

#[cfg(test)]
mod tests;

pub(crate) use server::serve;

use crate::chain::Chain;
use error::RpcError;
use params::Params;
use serde_json::Value;
use std::sync::Arc;

/// What the sandbox calls itself, so that neither a program nor a person takes it for a node.
pub(crate) const CLIENT_VERSION: &str = concat!("farthing-sandbox/", env!("CARGO_PKG_VERSION"));

/// Answers one method.
pub(crate) async fn answer(chain: &Arc<Chain>, method: &str, params: Params) -> Result<Value, RpcError> {
    match method {
        "eth_sendRawTransactionSync" => return send::send_sync(chain, &params).await,
        "eth_sendRawTransaction" => return send::send(chain, &params),
        _ => {}
    }
    for family in [eth::answer, logs::answer, simulate::answer, control::answer] {
        if let Some(answered) = family(chain, method, &params) {
            return answered;
        }
    }
    Err(RpcError::method_not_found())
}
