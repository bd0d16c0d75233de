//! A block: its header's few meaningful fields, its transactions with what came of them, and the state after it.

use crate::execute::Executed;
use crate::state::State;
use crate::transaction::Signed;
use alloy_primitives::{B256, Bloom, Log, keccak256};
use std::sync::Arc;

/// A transaction that a block includes.
#[derive(Clone, Debug)]
pub(crate) struct Included {
    pub(crate) signed: Arc<Signed>,
    pub(crate) executed: Executed,
    pub(crate) cumulative_gas: u64,
    /// The index of its first log among the block's.
    pub(crate) first_log: usize,
}

/// One block.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) number: u64,
    pub(crate) hash: B256,
    pub(crate) parent_hash: B256,
    pub(crate) timestamp_ms: u64,
    pub(crate) base_fee_atto: u64,
    pub(crate) gas_used: u64,
    pub(crate) transactions: Vec<Included>,
    pub(crate) state: State,
}

/// Where a block stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Position {
    pub(crate) chain_id: u64,
    pub(crate) number: u64,
    pub(crate) parent_hash: B256,
    pub(crate) timestamp_ms: u64,
    pub(crate) base_fee_atto: u64,
}

impl Block {
    /// Closes a block over what was included.
    pub(crate) fn seal(position: Position, included: Vec<(Arc<Signed>, Executed)>, state: State) -> Self {
        let Position { chain_id, number, parent_hash, timestamp_ms, base_fee_atto } = position;
        let mut preimage = b"farthing sandbox block".to_vec();
        preimage.extend(chain_id.to_be_bytes());
        preimage.extend(number.to_be_bytes());
        preimage.extend(parent_hash);
        preimage.extend(timestamp_ms.to_be_bytes());
        let mut transactions = Vec::with_capacity(included.len());
        let (mut gas_used, mut first_log) = (0u64, 0usize);
        for (signed, executed) in included {
            preimage.extend(signed.hash);
            gas_used = gas_used.saturating_add(executed.gas_used);
            let logs = executed.logs.len();
            transactions.push(Included { signed, executed, cumulative_gas: gas_used, first_log });
            first_log = first_log.saturating_add(logs);
        }
        let hash = keccak256(preimage);
        Self { number, hash, parent_hash, timestamp_ms, base_fee_atto, gas_used, transactions, state }
    }

    pub(crate) const fn timestamp_s(&self) -> u64 {
        self.timestamp_ms / 1000
    }

    /// The bloom filter over the block's logs.
    pub(crate) fn bloom(&self) -> Bloom {
        bloom(self.transactions.iter().flat_map(|included| &included.executed.logs))
    }
}

/// The bloom filter over some logs.
pub(crate) fn bloom<'a>(logs: impl IntoIterator<Item = &'a Log>) -> Bloom {
    let mut bloom = Bloom::ZERO;
    for log in logs {
        bloom.accrue_log(log);
    }
    bloom
}
