//! Sending a signed transaction and learning what became of it. A lost answer is never taken for a failure: the receipt is
//! looked for by hash first.

use std::time::Duration;

use alloy_primitives::B256;

use super::receipt::TxReceipt;
use super::rpc::{RpcError, TempoRpc};

/// What became of a broadcast.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Broadcast {
    /// It is in a block.
    Included(Box<TxReceipt>),
    /// The node will not take it, and it is not in a block.
    Refused {
        /// The node's word.
        why: String,
    },
    /// It never left.
    NotSent {
        /// Why.
        why: String,
    },
    /// It may be in a block some time.
    Lost {
        /// What went wrong.
        why: String,
    },
}

/// How often a receipt is asked for, and how long apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patience {
    pub(super) polls: u32,
    pub(super) every: Duration,
}

impl Patience {
    /// Long enough for a block or a few.
    pub(super) const BLOCKS: Self = Self { polls: 10, every: Duration::from_millis(500) };
    /// For a node that lags behind the one that took the transaction.
    pub(super) const LAG: Self = Self { polls: 4, every: Duration::from_millis(500) };
}

/// A signed transaction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Raw<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) hash: B256,
}

/// Sends `raw` and waits for its receipt.
pub(super) async fn broadcast(rpc: &TempoRpc, raw: Raw<'_>, patience: Patience) -> Broadcast {
    let sent = match rpc.send_raw_sync(raw.bytes).await {
        Ok(receipt) if receipt.transaction_hash == raw.hash => return Broadcast::Included(Box::new(receipt)),
        Ok(_) => Err(RpcError::Unknown {
            method: "eth_sendRawTransactionSync",
            detail: "the receipt is of another transaction".into(),
        }),
        Err(RpcError::MethodMissing { .. }) => rpc.send_raw(raw.bytes).await.map(|_| ()),
        Err(error) => Err(error),
    };
    match sent {
        Ok(()) => wait(rpc, raw.hash, patience, "it was not in a block in time".into()).await,
        Err(error @ (RpcError::Unavailable { .. } | RpcError::MethodMissing { .. })) => {
            Broadcast::NotSent { why: error.to_string() }
        }
        Err(RpcError::Rejected { code, message, .. }) => after_refusal(rpc, raw.hash, code, message).await,
        Err(error) => wait(rpc, raw.hash, patience, error.to_string()).await,
    }
}

/// A refusal is final only when the transaction is not in a block, and is not on its way into one already.
async fn after_refusal(rpc: &TempoRpc, hash: B256, code: i64, message: String) -> Broadcast {
    if may_be_on_its_way(code, &message) {
        return wait(rpc, hash, Patience::BLOCKS, message).await;
    }
    match rpc.receipt(hash).await {
        Ok(Some(receipt)) => Broadcast::Included(Box::new(receipt)),
        Ok(None) => Broadcast::Refused { why: message },
        Err(error) => Broadcast::Lost { why: error.to_string() },
    }
}

/// Whether a node refused a transaction because it has it, or for reasons of its own.
fn may_be_on_its_way(code: i64, message: &str) -> bool {
    // EIP-7966: taken, and not in a block within the node's time.
    const SYNC_TIMEOUT: i64 = 4;
    let message = message.to_ascii_lowercase();
    let known = ["already", "known transaction", "nonce too low", "replay", "timed out", "timeout"];
    let definite = ["insufficient", "invalid", "revert", "transaction error", "too far", "expired"];
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    code == SYNC_TIMEOUT || says(&known) || (code == -32603 && !says(&definite))
}

/// Waits for the receipt of `hash`.
pub(super) async fn wait(rpc: &TempoRpc, hash: B256, patience: Patience, mut why: String) -> Broadcast {
    for poll in 0..patience.polls {
        if poll > 0 {
            tokio::time::sleep(patience.every).await;
        }
        match rpc.receipt(hash).await {
            Ok(Some(receipt)) => return Broadcast::Included(Box::new(receipt)),
            Ok(None) => {}
            Err(error) => why = error.to_string(),
        }
    }
    Broadcast::Lost { why }
}

#[cfg(test)]
mod tests {
    use super::may_be_on_its_way;

    #[test]
    fn a_node_that_has_the_transaction_has_not_refused_it() {
        let cases = [
            (-32000, "already known", true),
            (-32000, "AlreadyKnown", true),
            (-32003, "nonce too low: next nonce 2, tx nonce 1", true),
            (-32603, "tempo transaction error: nonce manager error: expiring nonce replay", true),
            (4, "The transaction was added to the mempool but was not processed in time", true),
            (-32603, "internal error", true),
            (-32603, "tempo transaction error: expiring nonce valid_before too far in the future", false),
            (-32000, "insufficient funds for gas", false),
            (-32003, "transaction underpriced", false),
            (-32602, "failed to decode signed transaction", false),
        ];
        for (code, message, expected) in cases {
            assert_eq!(may_be_on_its_way(code, message), expected, "{code} {message}");
        }
    }
}
