//! What became of a signed transaction that the chain knows by its hash. It looks and sends nothing; what is made of the answer
//! is for whoever asks: a seller who settles, a seller who gives back, a buyer who wants to know.

use alloy_primitives::B256;

use super::history;
use super::receipt::TxReceipt;
use super::rpc::{RpcError, TempoRpc};

/// Seconds past a transaction's `validBefore` after which no chain takes it any more: clocks and reorganisations.
pub(super) const GRACE_S: u64 = 10;
/// Seconds past the end of validity after which a missing receipt may be one that the node has pruned.
pub(super) const LONG_S: u64 = 24 * 60 * 60;

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was executed: its receipt says how that went.
    Included(Box<TxReceipt>),
    /// It is not in a block, and its validity has not ended.
    Open,
    /// It is not in a block, and its validity ended so shortly ago that a block may still turn up.
    Closing,
    /// It ended without being executed, for good.
    Gone,
    /// It ended so long ago that the node cannot tell any more.
    Forgotten,
}

/// Looks for it. It is gone only when three things hold: the chain's clock is past its validity, a receipt looked for *after*
/// that clock was read is missing, and the node still has the receipts of that time.
pub(super) async fn of(rpc: &TempoRpc, hash: B256, valid_before: u64) -> Result<Fate, RpcError> {
    if let Some(receipt) = rpc.receipt(hash).await? {
        return Ok(Fate::Included(Box::new(receipt)));
    }
    let chain_now = rpc.head().await?.timestamp;
    if chain_now < valid_before {
        return Ok(Fate::Open);
    }
    if chain_now < valid_before.saturating_add(GRACE_S) {
        return Ok(Fate::Closing);
    }
    // A block between the first look and the clock would otherwise be missed.
    if let Some(receipt) = rpc.receipt(hash).await? {
        return Ok(Fate::Included(Box::new(receipt)));
    }
    let long_ago = chain_now > valid_before.saturating_add(LONG_S);
    if long_ago && !history::remembers(rpc, valid_before).await? {
        return Ok(Fate::Forgotten);
    }
    Ok(Fate::Gone)
}
