//! `eth_sendRawTransaction` and its variant that holds the line until the transaction is in a block (EIP-7966).

use super::error::RpcError;
use super::eth::receipt_of;
use super::params::{Params, Quantity};
use crate::chain::Chain;
use alloy_primitives::{B256, Bytes};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

pub(crate) fn send(chain: &Chain, params: &Params) -> Result<Value, RpcError> {
    let raw = params.required::<Bytes>(0, "transaction")?;
    Ok(json!(chain.submit(&raw)?))
}

pub(crate) async fn send_sync(chain: &Arc<Chain>, params: &Params) -> Result<Value, RpcError> {
    let raw = params.required::<Bytes>(0, "transaction")?;
    let longest = chain.config().limits.inclusion_timeout;
    let asked = params.optional::<Quantity>(1, "timeout")?.map(|ms| Duration::from_millis(ms.0));
    let timeout = asked.unwrap_or(longest).min(longest);
    // Subscribed before it is sent, so that no block can be missed in between.
    let mut heads = chain.subscribe();
    let hash = chain.submit(&raw)?;
    tokio::time::timeout(timeout, included(chain, hash, &mut heads))
        .await
        .map_err(|_| RpcError::inclusion_timeout())?
}

async fn included(
    chain: &Chain,
    hash: B256,
    heads: &mut tokio::sync::watch::Receiver<u64>,
) -> Result<Value, RpcError> {
    loop {
        heads.borrow_and_update();
        if let Some(receipt) = receipt_of(chain, hash) {
            return Ok(receipt);
        }
        if chain.lock().waiting(hash).is_none() {
            return Err(RpcError::not_found(
                "the transaction was dropped: it became invalid while it waited",
            ));
        }
        if heads.changed().await.is_err() {
            return Err(RpcError::inclusion_timeout());
        }
    }
}
