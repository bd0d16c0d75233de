//! `eth_getLogs`: logs by address, topics and block range, within bounds.

use super::error::RpcError;
use super::params::{BlockId, Params, find_block};
use super::view::Placed;
use crate::block::Block;
use crate::chain::Chain;
use alloy_primitives::{Address, B256, Log};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// Alternatives in one place of a filter.
const ALTERNATIVES_MAX: usize = 1_000;

/// One value, several, or anything.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Either<T> {
    One(T),
    Many(Vec<T>),
}

impl<T: PartialEq> Either<T> {
    fn accepts(&self, value: &T) -> bool {
        match self {
            Self::One(one) => one == value,
            // An empty list is what a client sends that does not mind.
            Self::Many(many) => many.is_empty() || many.contains(value),
        }
    }

    const fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(many) => many.len(),
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Filter {
    from_block: Option<BlockId>,
    to_block: Option<BlockId>,
    block_hash: Option<B256>,
    address: Option<Either<Address>>,
    topics: Vec<Option<Either<B256>>>,
}

impl Filter {
    fn check(&self) -> Result<(), RpcError> {
        if self.topics.len() > 4 {
            return Err(RpcError::invalid_params("a log has at most four topics"));
        }
        let places =
            self.topics.iter().flatten().map(Either::len).chain(self.address.as_ref().map(Either::len));
        if places.max().unwrap_or_default() > ALTERNATIVES_MAX {
            return Err(RpcError::limit(format!("more than {ALTERNATIVES_MAX} alternatives in a filter")));
        }
        Ok(())
    }

    fn matches(&self, log: &Log) -> bool {
        let address = self.address.as_ref().is_none_or(|address| address.accepts(&log.address));
        address
            && self.topics.iter().enumerate().all(|(index, wanted)| match wanted {
                None => true,
                Some(wanted) => log.data.topics().get(index).is_some_and(|topic| wanted.accepts(topic)),
            })
    }

    /// The blocks that the filter spans.
    fn blocks(&self, chain: &Chain) -> Result<Vec<Arc<Block>>, RpcError> {
        if let Some(hash) = self.block_hash {
            if self.from_block.is_some() || self.to_block.is_some() {
                return Err(RpcError::invalid_params("give blockHash, or fromBlock and toBlock, not both"));
            }
            let block = find_block(chain, BlockId::Hash(hash))?;
            return block.map(|block| vec![block]).ok_or_else(|| RpcError::not_found("unknown block"));
        }
        let ledger = chain.lock();
        let number = |id: Option<BlockId>| match id {
            None | Some(BlockId::Latest) => Some(ledger.head().number),
            Some(BlockId::Earliest) => Some(ledger.oldest()),
            Some(BlockId::Number(number)) => Some(number),
            Some(BlockId::Hash(hash)) => ledger.block_by_hash(hash).map(|block| block.number),
        };
        let (Some(from), Some(to)) = (number(self.from_block), number(self.to_block)) else {
            return Err(RpcError::not_found("unknown block"));
        };
        let to = to.min(ledger.head().number);
        let from = from.max(ledger.oldest());
        let limit = chain.config().limits.log_range_blocks;
        if to.saturating_sub(from) >= limit {
            return Err(RpcError::limit(format!("more than {limit} blocks in one query; ask for fewer")));
        }
        Ok((from..=to).filter_map(|number| ledger.block(number).cloned()).collect())
    }
}

pub(crate) fn answer(chain: &Arc<Chain>, method: &str, params: &Params) -> Option<Result<Value, RpcError>> {
    (method == "eth_getLogs").then(|| logs(chain, params))
}

fn logs(chain: &Chain, params: &Params) -> Result<Value, RpcError> {
    let filter = params.required::<Filter>(0, "filter")?;
    filter.check()?;
    let limit = chain.config().limits.logs;
    let mut found = Vec::new();
    for block in filter.blocks(chain)? {
        for (index, included) in block.transactions.iter().enumerate() {
            let place = Placed::new(&block, included, index);
            for (offset, log) in included.executed.logs.iter().enumerate() {
                if !filter.matches(log) {
                    continue;
                }
                if found.len() >= limit {
                    return Err(RpcError::limit(format!("more than {limit} logs; ask for fewer blocks")));
                }
                found.push(place.log(log, offset));
            }
        }
    }
    Ok(json!(found))
}
