//! Looking for transfers with a memo in a chain's logs, page by page. It is not a subscription and keeps nothing.

use std::ops::RangeInclusive;

use alloy_primitives::{Address, B256, U64};
use alloy_sol_types::SolEvent;
use serde::Deserialize;
use serde_json::json;

use super::abi::Tip20;
use super::receipt::Log;
use super::rpc::{RpcError, TempoRpc};
use super::transfers::{self, MovedTransfer};

/// Blocks in one question; fewer where a node does not answer so many.
const PAGE_BLOCKS: u64 = 20_000;
/// Fewer than this are never asked for.
const LEAST_BLOCKS: u64 = 500;
/// The most questions of one search.
const MOST_QUESTIONS: u32 = 500;

/// Which transfers are looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Search {
    pub(super) token: Address,
    pub(super) from: Address,
    /// With this memo; any, if none.
    pub(super) memo: Option<B256>,
}

/// A transfer in the logs, and what made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Logged {
    pub(super) transfer: MovedTransfer,
    pub(super) hash: B256,
    pub(super) block: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(flatten)]
    log: Log,
    transaction_hash: B256,
    block_number: U64,
}

/// The transfers in these blocks, in the chain's order.
///
/// # Errors
/// [`RpcError`].
pub(super) async fn search(
    rpc: &TempoRpc,
    search: Search,
    blocks: RangeInclusive<u64>,
) -> Result<Vec<Logged>, RpcError> {
    let (mut next, last) = blocks.into_inner();
    let (mut size, mut found) = (PAGE_BLOCKS, Vec::new());
    for _ in 0..MOST_QUESTIONS {
        if next > last {
            return Ok(found);
        }
        let to = last.min(next.saturating_add(size - 1));
        match page(rpc, search, next..=to).await {
            Ok(entries) => {
                found.extend(entries.iter().filter_map(|entry| logged(entry, search)));
                next = to.saturating_add(1);
            }
            // How nodes and their providers say that it was too much differs: only asking for less tells.
            Err(RpcError::Rejected { .. } | RpcError::Unavailable { .. }) if size > LEAST_BLOCKS => {
                size = (size / 4).max(LEAST_BLOCKS);
            }
            Err(error) => return Err(error),
        }
    }
    Err(RpcError::Unknown { method: METHOD, detail: "the blocks are too many to look through".into() })
}

const METHOD: &str = "eth_getLogs";

async fn page(rpc: &TempoRpc, search: Search, blocks: RangeInclusive<u64>) -> Result<Vec<Entry>, RpcError> {
    let (from, to) = blocks.into_inner();
    let topics = json!([Tip20::TransferWithMemo::SIGNATURE_HASH, search.from.into_word(), null, search.memo]);
    let filter = json!({
        "address": search.token,
        "fromBlock": U64::from(from),
        "toBlock": U64::from(to),
        "topics": topics,
    });
    rpc.request(METHOD, json!([filter])).await
}

/// What a node answers is read again, not believed: a filter that it ignores must not count somebody else's transfers.
fn logged(entry: &Entry, search: Search) -> Option<Logged> {
    let logs = std::slice::from_ref(&entry.log);
    let transfer = *transfers::of_logs(logs, search.token, Some(search.from)).first()?;
    let memo = transfer.memo?;
    let wanted = search.memo.is_none_or(|wanted| wanted == memo);
    wanted.then_some(Logged { transfer, hash: entry.transaction_hash, block: entry.block_number.to::<u64>() })
}
