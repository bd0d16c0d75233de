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
    let failure = match rpc.send_raw_sync(raw.bytes).await {
        Ok(receipt) if receipt.transaction_hash == raw.hash => return Broadcast::Included(Box::new(receipt)),
        Ok(_) => RpcError::Unknown {
            method: "eth_sendRawTransactionSync",
            detail: "the receipt is of another transaction".into(),
        },
        Err(error) if error.never_sent() => return Broadcast::NotSent { why: error.to_string() },
        Err(RpcError::MethodMissing { .. }) => match rpc.send_raw(raw.bytes).await {
            Ok(_) => return wait(rpc, raw.hash, patience, "it was not in a block in time".into()).await,
            Err(error) => error,
        },
        Err(error) => error,
    };
    match failure {
        RpcError::Rejected { code, message, .. } if proves_refusal(code, &message) => {
            after_refusal(rpc, raw.hash, message).await
        }
        failure => wait(rpc, raw.hash, patience, failure.to_string()).await,
    }
}

/// Sends `raw` again and does not wait: what becomes of it is learned by its hash. Whatever the node says, the chain takes a
/// transaction once.
pub(super) async fn send_again(rpc: &TempoRpc, raw: Raw<'_>) {
    if let Err(error) = rpc.send_raw(raw.bytes).await {
        tracing::debug!(hash = %raw.hash, %error, "the transaction was sent again");
    }
}

/// A refusal is final only when the transaction is not in a block.
async fn after_refusal(rpc: &TempoRpc, hash: B256, why: String) -> Broadcast {
    match rpc.receipt(hash).await {
        Ok(Some(receipt)) => Broadcast::Included(Box::new(receipt)),
        Ok(None) => Broadcast::Refused { why },
        Err(error) => Broadcast::Lost { why: error.to_string() },
    }
}

/// Whether an answer proves that the node did not take the transaction. Everything that is not on this short list may come
/// from a node or a proxy that has passed the transaction on: its outcome is then unknown, never a failure.
fn proves_refusal(code: i64, message: &str) -> bool {
    const INVALID_PARAMS: i64 = -32602;
    let message = message.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    // It has the transaction, or another of the same nonce, or it gave up waiting.
    if says(&[
        "already",
        "known transaction",
        "nonce too low",
        "replay",
        "replacement",
        "timeout",
        "timed out",
    ]) {
        return false;
    }
    let undecodable = says(&["decode transaction", "decode signed transaction"]) && !says(&["receipt"]);
    let signature = says(&["invalid signature", "recover the signer", "signature recovery failed"]);
    let chain = says(&["invalid chain id", "wrong chain id"]);
    let window = says(&["transaction expired", "valid_before", "validbefore"]);
    let gas = says(&["intrinsic gas", "underpriced", "below base fee", "less than block base fee"]);
    let funds = says(&["insufficient"]) && says(&["funds", "balance", "fee"]);
    code == INVALID_PARAMS || undecodable || signature || chain || window || gas || funds
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
    use super::proves_refusal;

    #[test]
    fn only_a_short_list_of_answers_proves_that_a_node_did_not_take_a_transaction() {
        let cases = [
            (-32602, "failed to decode signed transaction", true),
            (-32602, "Failed to recover the signer", true),
            (-32000, "invalid signature", true),
            (-32003, "invalid chain id for signer: this chain is 4217", true),
            (-32603, "tempo transaction error: expiring nonce valid_before too far in the future", true),
            (-32003, "transaction expired: current block timestamp 7 >= validBefore 6", true),
            (-32003, "intrinsic gas too low -- gas limit 1, needed 21000", true),
            (-32000, "insufficient funds for gas", true),
            (-32003, "insufficient fee token balance: required 5, but only have 4", true),
            (-32003, "transaction underpriced", true),
            (-32003, "max fee per gas less than block base fee", true),
            // It has the transaction.
            (-32000, "already known", false),
            (-32602, "AlreadyKnown", false),
            (-32003, "nonce too low: next nonce 2, tx nonce 1", false),
            (-32603, "tempo transaction error: nonce manager error: expiring nonce replay", false),
            (4, "The transaction was added to the mempool but was not processed in time", false),
            (-32000, "replacement transaction underpriced", false),
            // Nobody knows.
            (-32000, "context deadline exceeded", false),
            (-32603, "internal error", false),
            (-32000, "request timed out", false),
            (-32000, "insufficient credits", false),
            (-32000, "failed to decode transaction receipt", false),
            (-32005, "slow down", false),
            (-32003, "mempool is full", false),
        ];
        for (code, message, expected) in cases {
            assert_eq!(proves_refusal(code, message), expected, "{code} {message}");
        }
    }
}
