//! [`ChainView`]: what a watcher asks of a node, on top of the rail's client. What a node answers is read again, not believed: a
//! filter that it ignores must not credit somebody else's transfer.

use std::ops::RangeInclusive;

use alloy_primitives::{Address, B256, Bytes, U64, U256, b256};
use farthing_rails::tempo::{RpcError, TempoRpc};
use serde::Deserialize;
use serde_json::{Value, json};

/// `Transfer(address,address,uint256)`. TIP-20 logs it for every transfer; one with a memo logs a second event, which is not read.
const TRANSFER: B256 = b256!("ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef");
/// Recipients in one question.
const RECIPIENTS: usize = 200;
/// The most questions for one range of blocks and one group of recipients.
const MOST_QUESTIONS: usize = 4_096;

/// A block, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Block {
    number: U64,
    pub(crate) hash: B256,
}

/// A log as a node gives it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Log {
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
    block_number: U64,
    block_hash: B256,
    transaction_hash: B256,
    log_index: U64,
    #[serde(default)]
    removed: bool,
}

/// A receipt, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Receipt {
    transaction_hash: B256,
    status: U64,
    block_number: U64,
    block_hash: B256,
    logs: Vec<Log>,
}

/// A transfer of a watched token to a watched address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) token: Address,
    pub(crate) from: Address,
    pub(crate) to: Address,
    pub(crate) amount: U256,
    pub(crate) tx_hash: B256,
    /// Its place among the logs of its transaction, from 0: unlike its place in the block, the same wherever the transaction is.
    pub(crate) log: u32,
    pub(crate) block: u64,
    pub(crate) block_hash: B256,
}

/// Where a transfer is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    /// In this block.
    In {
        /// Its number.
        block: u64,
        /// Its hash.
        hash: B256,
    },
    /// In none that the node knows.
    Nowhere,
}

/// What is asked for: transfers of these tokens to these addresses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) tokens: &'a [Address],
    pub(crate) to: &'a [Address],
}

/// A node.
#[derive(Debug, Clone)]
pub(crate) struct ChainView {
    rpc: TempoRpc,
}

impl ChainView {
    pub(crate) const fn new(rpc: TempoRpc) -> Self {
        Self { rpc }
    }

    pub(crate) async fn expect_chain(&self, chain_id: u64) -> Result<(), RpcError> {
        self.rpc.expect_chain(chain_id).await
    }

    pub(crate) async fn head(&self) -> Result<u64, RpcError> {
        Ok(self.rpc.request::<U64>("eth_blockNumber", json!([])).await?.to::<u64>())
    }

    /// The block with this number, if the node has it.
    pub(crate) async fn block(&self, number: u64) -> Result<Option<Block>, RpcError> {
        let params = json!([U64::from(number), false]);
        let block = self.rpc.request::<Option<Block>>("eth_getBlockByNumber", params).await?;
        Ok(block.filter(|block| block.number.to::<u64>() == number))
    }

    /// The transfers in these blocks, in the chain's order, each with its place in its transaction.
    pub(crate) async fn transfers(
        &self,
        wanted: Wanted<'_>,
        blocks: RangeInclusive<u64>,
    ) -> Result<Vec<Moved>, RpcError> {
        let mut logs = Vec::new();
        for recipients in wanted.to.chunks(RECIPIENTS) {
            let part = Wanted { to: recipients, ..wanted };
            logs.extend(self.logs(part, blocks.clone()).await?);
        }
        logs.sort_by_key(|log| (log.block_number, log.log_index));
        let mut moved = Vec::with_capacity(logs.len());
        for log in &logs {
            moved.push(self.placed(log).await?);
        }
        Ok(moved)
    }

    /// Where the transfer is now that was the log at `log` of transaction `hash`, and brought `token` to `to`.
    pub(crate) async fn find(
        &self,
        (hash, log): (B256, u32),
        (token, to): (Address, Address),
    ) -> Result<Whereabouts, RpcError> {
        let Some(receipt) = self.receipt(hash).await? else { return Ok(Whereabouts::Nowhere) };
        let there = usize::try_from(log).ok().and_then(|log| receipt.logs.get(log));
        let there = there.filter(|log| log.address == token);
        let same = there.and_then(transfer).is_some_and(|(_, recipient, _)| recipient == to);
        if receipt.status != U64::ONE || !same {
            return Ok(Whereabouts::Nowhere);
        }
        // A node may remember the receipt of a transaction whose block it has dropped.
        let (block, hash) = (receipt.block_number.to::<u64>(), receipt.block_hash);
        let stands = self.block(block).await?.is_some_and(|block| block.hash == hash);
        Ok(if stands { Whereabouts::In { block, hash } } else { Whereabouts::Nowhere })
    }

    async fn receipt(&self, hash: B256) -> Result<Option<Receipt>, RpcError> {
        let found = self.rpc.request::<Option<Receipt>>("eth_getTransactionReceipt", json!([hash])).await?;
        Ok(found.filter(|receipt| receipt.transaction_hash == hash))
    }

    /// Logs of transfers, in ranges as large as the node answers.
    async fn logs(&self, wanted: Wanted<'_>, blocks: RangeInclusive<u64>) -> Result<Vec<Log>, RpcError> {
        let (mut next, last) = blocks.into_inner();
        let mut size = last.saturating_sub(next).saturating_add(1);
        let mut found = Vec::new();
        for _ in 0..MOST_QUESTIONS {
            if next > last {
                return Ok(found);
            }
            let to = last.min(next.saturating_add(size - 1));
            match self.page(wanted, next..=to).await {
                Ok(logs) => {
                    found.extend(logs.into_iter().filter(|log| asked_for(log, wanted, next..=to)));
                    next = to.saturating_add(1);
                }
                // How nodes and their providers say that it was too much differs: only asking for less tells.
                Err(RpcError::Rejected { .. } | RpcError::Unavailable { .. } | RpcError::Unknown { .. })
                    if size > 1 =>
                {
                    size = size.div_ceil(4);
                }
                Err(error) => return Err(error),
            }
        }
        Err(RpcError::Unknown { method: "eth_getLogs", detail: "the node answers for too few blocks".into() })
    }

    async fn page(&self, wanted: Wanted<'_>, blocks: RangeInclusive<u64>) -> Result<Vec<Log>, RpcError> {
        let to: Vec<B256> = wanted.to.iter().map(|address| address.into_word()).collect();
        let filter = json!({
            "address": wanted.tokens,
            "fromBlock": U64::from(*blocks.start()),
            "toBlock": U64::from(*blocks.end()),
            "topics": [TRANSFER, Value::Null, to],
        });
        self.rpc.request("eth_getLogs", json!([filter])).await
    }

    /// The transfer that a log is, with its place among the logs of its transaction.
    async fn placed(&self, log: &Log) -> Result<Moved, RpcError> {
        const METHOD: &str = "eth_getTransactionReceipt";
        // The chain may have changed between the two questions: then both are asked again, later.
        let unclear =
            || RpcError::Unknown { method: METHOD, detail: "it does not show a log of its block".into() };
        let receipt = self.receipt(log.transaction_hash).await?.ok_or_else(unclear)?;
        let same_block = receipt.block_hash == log.block_hash && receipt.status == U64::ONE;
        let index = receipt.logs.iter().position(|it| it == log).filter(|_| same_block);
        let index = index.and_then(|index| u32::try_from(index).ok()).ok_or_else(unclear)?;
        let (from, to, amount) = transfer(log).ok_or_else(unclear)?;
        Ok(Moved {
            token: log.address,
            from,
            to,
            amount,
            tx_hash: log.transaction_hash,
            log: index,
            block: log.block_number.to::<u64>(),
            block_hash: log.block_hash,
        })
    }
}

fn transfer(log: &Log) -> Option<(Address, Address, U256)> {
    let [signature, from, to] = log.topics.as_slice() else { return None };
    let address = |word: &B256| {
        let (zeros, address) = word.split_at(12);
        zeros.iter().all(|byte| *byte == 0).then(|| Address::from_slice(address))
    };
    let amount = <[u8; 32]>::try_from(log.data.as_ref()).ok().map(U256::from_be_bytes::<32>)?;
    (*signature == TRANSFER).then_some((address(from)?, address(to)?, amount))
}

fn asked_for(log: &Log, wanted: Wanted<'_>, blocks: RangeInclusive<u64>) -> bool {
    let fits = |(_, to, amount): (Address, Address, U256)| wanted.to.contains(&to) && !amount.is_zero();
    !log.removed
        && wanted.tokens.contains(&log.address)
        && blocks.contains(&log.block_number.to::<u64>())
        && transfer(log).is_some_and(fits)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use alloy_primitives::{Address, B256, Bytes, U64, U256};

    use super::{Log, TRANSFER, Wanted, asked_for};

    fn log() -> Log {
        let word = |byte: u8| Address::repeat_byte(byte).into_word();
        Log {
            address: Address::repeat_byte(1),
            topics: vec![TRANSFER, word(2), word(3)],
            data: Bytes::from(U256::from(5).to_be_bytes::<32>().to_vec()),
            block_number: U64::from(10),
            block_hash: B256::repeat_byte(9),
            transaction_hash: B256::repeat_byte(8),
            log_index: U64::from(4),
            removed: false,
        }
    }

    #[test]
    fn what_was_not_asked_for_is_not_a_deposit() {
        let (tokens, to) = ([Address::repeat_byte(1)], [Address::repeat_byte(3)]);
        let wanted = Wanted { tokens: &tokens, to: &to };
        let fits = |log: &Log| asked_for(log, wanted, 10..=11);
        assert!(fits(&log()));
        let mut dirty = log();
        dirty.topics[2].0[0] = 1;
        let mut memo = log();
        memo.topics.push(B256::ZERO);
        let others = [
            Log { address: Address::repeat_byte(7), ..log() },
            Log { topics: vec![TRANSFER], ..log() },
            Log { topics: vec![B256::ZERO, log().topics[1], log().topics[2]], ..log() },
            Log { topics: vec![TRANSFER, log().topics[1], log().topics[1]], ..log() },
            Log { data: Bytes::from(vec![0; 31]), ..log() },
            Log { data: Bytes::from(vec![0; 32]), ..log() },
            Log { block_number: U64::from(12), ..log() },
            Log { removed: true, ..log() },
            dirty,
            memo,
        ];
        for other in &others {
            assert!(!fits(other), "{other:?}");
        }
    }
}
