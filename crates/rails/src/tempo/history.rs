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
    let Some(newest) = rpc.block(json!("latest")).await?.and_then(|block| block.number) else {
        return Ok(false);
    };
    let Some(last) = last_before(rpc, at, newest.to::<u64>()).await? else { return Ok(false) };
    for number in (last.saturating_sub(BLOCKS)..=last).rev() {
        let Some(block) = rpc.block(json!(U64::from(number))).await? else { return Ok(false) };
        if let Some(hash) = block.transactions.last() {
            return Ok(rpc.receipt(*hash).await?.is_some());
        }
    }
    Ok(false)
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
