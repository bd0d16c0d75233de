//! Whether a node can still be asked about the past. A node that has pruned its receipts answers "no such transaction" about
//! one that was paid, so a missing receipt of long ago proves nothing by itself.

use alloy_primitives::U64;
use serde_json::json;

use super::rpc::{RpcError, TempoRpc};

/// How many blocks before the instant are looked through for one with a transaction.
const BLOCKS: u64 = 16;

/// Whether the node still has the receipts of the time just before `at` (Unix seconds): it must show the receipt of some
/// transaction of the last blocks before it. What cannot be shown is taken for forgotten.
///
/// # Errors
/// [`RpcError`].
pub(super) async fn remembers(rpc: &TempoRpc, at: u64) -> Result<bool, RpcError> {
    let Some(newest) = newest(rpc).await? else { return Ok(false) };
    let Some(last) = last_before(rpc, at, newest).await? else { return Ok(false) };
    Ok(receipts_before(rpc, last).await? == Receipts::Shown)
}

/// Where a search for logs since `at` (Unix seconds) must begin: the last block before it, or the chain's first; none when the
/// node does not keep them since then. A time without transactions is taken for kept: it has nothing to show.
///
/// # Errors
/// [`RpcError`].
pub(super) async fn kept_since(rpc: &TempoRpc, at: u64) -> Result<Option<u64>, RpcError> {
    let Some(last) = block_before(rpc, at).await? else { return Ok(Some(0)) };
    Ok((receipts_before(rpc, last).await? != Receipts::Missing).then_some(last))
}

/// The last block before `at` (Unix seconds), whether or not the node still has it; none when the chain is younger.
///
/// # Errors
/// [`RpcError`].
pub(super) async fn block_before(rpc: &TempoRpc, at: u64) -> Result<Option<u64>, RpcError> {
    let newest = newest(rpc).await?.ok_or_else(|| RpcError::Unknown {
        method: "eth_getBlockByNumber",
        detail: "the node has no newest block".into(),
    })?;
    last_before(rpc, at, newest).await
}

async fn newest(rpc: &TempoRpc) -> Result<Option<u64>, RpcError> {
    let newest = rpc.block(json!("latest")).await?;
    Ok(newest.and_then(|block| block.number).map(|number| number.to::<u64>()))
}

/// What the blocks up to one say about the node's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Receipts {
    Shown,
    Missing,
    /// There was no transaction to ask for.
    Quiet,
}

async fn receipts_before(rpc: &TempoRpc, last: u64) -> Result<Receipts, RpcError> {
    for number in (last.saturating_sub(BLOCKS)..=last).rev() {
        let Some(block) = rpc.block(json!(U64::from(number))).await? else { return Ok(Receipts::Missing) };
        if let Some(hash) = block.transactions.last() {
            let shown = rpc.receipt(*hash).await?.is_some();
            return Ok(if shown { Receipts::Shown } else { Receipts::Missing });
        }
    }
    Ok(Receipts::Quiet)
}

/// The last block before `at`, by bisection. Blocks that the node no longer has are older than those that it has.
async fn last_before(rpc: &TempoRpc, at: u64, newest: u64) -> Result<Option<u64>, RpcError> {
    let (mut before, mut after) = (None, newest.saturating_add(1));
    loop {
        let low = before.map_or(0, |number: u64| number.saturating_add(1));
        if low >= after {
            return Ok(before);
        }
        let middle = low.midpoint(after.saturating_sub(1));
        match rpc.block(json!(U64::from(middle))).await? {
            Some(block) if block.timestamp.to::<u64>() >= at => after = middle,
            _ => before = Some(middle),
        }
    }
}
