//! What an account has given back already, as the chain tells it: the only record that no restored backup can shorten and that
//! all gateways of one account share.

use alloy_primitives::{Address, B256, U64, U256};
use serde_json::json;

use super::memo;
use crate::tempo::history;
use crate::tempo::logs::{self, Search};
use crate::tempo::rpc::{Head, RpcError, TempoRpc};

/// The window of the budget, in seconds of the chain's clock.
pub(super) const DAY_S: u64 = 24 * 60 * 60;
/// Seconds by which our clock may be ahead of the chain's.
const SKEW_S: u64 = 600;

/// What is looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    pub(super) account: Address,
    pub(super) token: Address,
    /// The memo of the claim that is to be given back.
    pub(super) memo: B256,
    /// When its payment was settled, in Unix seconds: it was not given back before.
    pub(super) settled_s: u64,
}

/// What was given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Past {
    /// What gave this very claim back.
    pub(super) made: Option<B256>,
    /// All refunds of the last day, in base units.
    pub(super) today: U256,
}

/// Looks it up; none when the node does not keep logs since then.
pub(super) async fn look(rpc: &TempoRpc, head: Head, it: Question) -> Result<Option<Past>, RpcError> {
    let day = head.timestamp.saturating_sub(DAY_S);
    let since = day.min(it.settled_s.saturating_sub(SKEW_S));
    let Some(first) = history::kept_since(rpc, since).await? else { return Ok(None) };
    let newest = rpc.block(json!("latest")).await?.and_then(|block| block.number).unwrap_or(U64::MAX);
    let search = Search { token: it.token, from: it.account, memo: None };
    let found = logs::search(rpc, search, first..=newest.to::<u64>()).await?;
    let day_block = if since == day { Some(first) } else { history::block_before(rpc, day).await? };
    let refunds =
        found.iter().filter(|logged| logged.transfer.memo.is_some_and(|memo| memo::is_refund(&memo)));
    let today = refunds.filter(|logged| day_block.is_none_or(|block| logged.block > block));
    Ok(Some(Past {
        made: found.iter().find(|logged| logged.transfer.memo == Some(it.memo)).map(|logged| logged.hash),
        today: today.fold(U256::ZERO, |sum, logged| sum.saturating_add(logged.transfer.amount)),
    }))
}
