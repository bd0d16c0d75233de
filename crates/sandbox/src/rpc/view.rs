//! Blocks, transactions, receipts and logs as JSON, in the shape that Tempo nodes give them.

use crate::block::{Block, Included, bloom};
use crate::transaction::{BLOCK_GAS_LIMIT, Signed};
use alloy_consensus::{Transaction as _, Typed2718 as _};
use alloy_primitives::{Address, B64, B256, Bytes, Log, b256};
use serde_json::{Value, json};

const EMPTY_UNCLES: B256 = b256!("0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347");
const EMPTY_TRIE: B256 = b256!("0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421");

/// A quantity: hexadecimal, without leading zeros.
pub(crate) fn quantity(number: impl std::fmt::LowerHex) -> Value {
    Value::String(format!("{number:#x}"))
}

/// Whether a block lists its transactions whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Their hashes.
    Hashes,
    /// All of them.
    Full,
}

pub(crate) fn block(block: &Block, detail: Detail) -> Value {
    let transactions: Vec<Value> = match detail {
        Detail::Hashes => block.transactions.iter().map(|included| json!(included.signed.hash)).collect(),
        Detail::Full => (0..block.transactions.len()).filter_map(|index| transaction(block, index)).collect(),
    };
    json!({
        "hash": block.hash,
        "parentHash": block.parent_hash,
        "sha3Uncles": EMPTY_UNCLES,
        "miner": Address::ZERO,
        // The sandbox keeps no tries; an empty root says so without breaking a client that wants the field.
        "stateRoot": EMPTY_TRIE,
        "transactionsRoot": EMPTY_TRIE,
        "receiptsRoot": EMPTY_TRIE,
        "logsBloom": block.bloom(),
        "difficulty": "0x0",
        "totalDifficulty": "0x0",
        "number": quantity(block.number),
        "gasLimit": quantity(BLOCK_GAS_LIMIT),
        "gasUsed": quantity(block.gas_used),
        "timestamp": quantity(block.timestamp_s()),
        "timestampMillis": quantity(block.timestamp_ms),
        "timestampMillisPart": quantity(block.timestamp_ms % 1000),
        "extraData": Bytes::from_static(b"sandbox"),
        "mixHash": B256::ZERO,
        "nonce": B64::ZERO,
        "baseFeePerGas": quantity(block.base_fee_atto),
        "mainBlockGeneralGasLimit": quantity(BLOCK_GAS_LIMIT),
        "sharedGasLimit": "0x0",
        "size": "0x0",
        "uncles": [],
        "withdrawals": [],
        "withdrawalsRoot": EMPTY_TRIE,
        "blobGasUsed": "0x0",
        "excessBlobGas": "0x0",
        "parentBeaconBlockRoot": B256::ZERO,
        "transactions": transactions,
    })
}

/// A transaction that a block includes.
pub(crate) fn transaction(block: &Block, index: usize) -> Option<Value> {
    let included = block.transactions.get(index)?;
    let mut view = bare(&included.signed);
    view["blockHash"] = json!(block.hash);
    view["blockNumber"] = quantity(block.number);
    view["transactionIndex"] = quantity(index);
    view["blockTimestamp"] = quantity(block.timestamp_s());
    view["gasPrice"] = quantity(included.executed.gas_price_atto);
    Some(view)
}

/// A transaction that waits for a block.
pub(crate) fn pending(signed: &Signed) -> Value {
    let mut view = bare(signed);
    for field in ["blockHash", "blockNumber", "transactionIndex"] {
        view[field] = Value::Null;
    }
    view["gasPrice"] = quantity(signed.envelope.max_fee_per_gas());
    view
}

/// The transaction itself, as the chain's own types write it.
fn bare(signed: &Signed) -> Value {
    let mut view = serde_json::to_value(&signed.envelope).unwrap_or_else(|_| json!({}));
    view["hash"] = json!(signed.hash);
    view["from"] = json!(signed.message.sender);
    view["type"] = quantity(signed.envelope.ty());
    view
}

pub(crate) fn receipt(block: &Block, index: usize) -> Option<Value> {
    let included = block.transactions.get(index)?;
    let message = &included.signed.message;
    let executed = &included.executed;
    Some(json!({
        "type": quantity(included.signed.envelope.ty()),
        "status": if executed.outcome.is_ok() { "0x1" } else { "0x0" },
        "cumulativeGasUsed": quantity(included.cumulative_gas),
        "logs": logs(block, index),
        "logsBloom": bloom(&executed.logs),
        "transactionHash": included.signed.hash,
        "transactionIndex": quantity(index),
        "blockHash": block.hash,
        "blockNumber": quantity(block.number),
        "blockTimestamp": quantity(block.timestamp_s()),
        "gasUsed": quantity(executed.gas_used),
        "effectiveGasPrice": quantity(executed.gas_price_atto),
        "from": message.sender,
        "to": message.calls.first().map(|call| call.to),
        "contractAddress": null,
        "feeToken": executed.fee_token,
        "feePayer": message.fee_payer,
    }))
}

/// The logs of one transaction.
pub(crate) fn logs(block: &Block, index: usize) -> Vec<Value> {
    let Some(included) = block.transactions.get(index) else { return Vec::new() };
    let place = Placed::new(block, included, index);
    included.executed.logs.iter().enumerate().map(|(offset, log)| place.log(log, offset)).collect()
}

/// Where a log stands.
pub(crate) struct Placed {
    block_hash: B256,
    block_number: u64,
    timestamp_s: u64,
    transaction_hash: B256,
    transaction_index: usize,
    first_log: usize,
}

impl Placed {
    pub(crate) fn new(block: &Block, included: &Included, index: usize) -> Self {
        Self {
            block_hash: block.hash,
            block_number: block.number,
            timestamp_s: block.timestamp_s(),
            transaction_hash: included.signed.hash,
            transaction_index: index,
            first_log: included.first_log,
        }
    }

    /// Where the logs of a call would stand that is only simulated.
    pub(crate) const fn simulated(number: u64, timestamp_s: u64, index: usize, first_log: usize) -> Self {
        Self {
            block_hash: B256::ZERO,
            block_number: number,
            timestamp_s,
            transaction_hash: B256::ZERO,
            transaction_index: index,
            first_log,
        }
    }

    pub(crate) fn log(&self, log: &Log, offset: usize) -> Value {
        json!({
            "address": log.address,
            "topics": log.data.topics(),
            "data": log.data.data,
            "blockHash": self.block_hash,
            "blockNumber": quantity(self.block_number),
            "blockTimestamp": quantity(self.timestamp_s),
            "transactionHash": self.transaction_hash,
            "transactionIndex": quantity(self.transaction_index),
            "logIndex": quantity(self.first_log.saturating_add(offset)),
            "removed": false,
        })
    }
}
