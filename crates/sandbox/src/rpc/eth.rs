//! The `eth`, `net` and `web3` methods that read.

use super::error::RpcError;
use super::params::{BlockId, Params, Quantity, find_block};
use super::request::{PRIORITY_FEE_ATTO, TransactionRequest};
use super::view::{self, Detail, quantity};
use crate::chain::Chain;
use crate::execute::{self, Executed};
use crate::transaction::BLOCK_GAS_LIMIT;
use alloy_consensus::{SignableTransaction as _, Transaction as _};
use alloy_primitives::{Address, B256, Bytes, U256, uint};
use serde_json::{Value, json};
use std::sync::Arc;
use tempo_primitives::transaction::{TEMPO_EXPIRING_NONCE_KEY, TempoTypedTransaction};

/// Blocks that one fee history may span, as on a node.
const FEE_HISTORY_MAX: u64 = 1024;
/// What the development accounts' native balance reads, 10,000 units, as on the reference chain. It cannot be spent.
const NATIVE_BALANCE: U256 = uint!(10_000_000_000_000_000_000_000_U256);

pub(crate) fn answer(chain: &Arc<Chain>, method: &str, params: &Params) -> Option<Result<Value, RpcError>> {
    Some(match method {
        "web3_clientVersion" => Ok(json!(super::CLIENT_VERSION)),
        "eth_chainId" => Ok(quantity(chain.chain_id())),
        "net_version" => Ok(json!(chain.chain_id().to_string())),
        "net_listening" => Ok(json!(true)),
        "eth_syncing" => Ok(json!(false)),
        "eth_accounts" => Ok(json!(chain.config().genesis.accounts)),
        "eth_blockNumber" => Ok(quantity(chain.block_number())),
        "eth_gasPrice" => Ok(quantity(offered_price(chain))),
        "eth_maxPriorityFeePerGas" => Ok(quantity(PRIORITY_FEE_ATTO)),
        "eth_feeHistory" => fee_history(chain, params),
        "eth_getBalance" => balance(chain, params),
        "eth_getTransactionCount" => transaction_count(chain, params),
        "eth_getCode" => code(chain, params),
        "eth_getStorageAt" => storage(chain, params),
        "eth_getBlockByNumber" | "eth_getBlockByHash" => block(chain, params),
        "eth_getBlockReceipts" => block_receipts(chain, params),
        "eth_getTransactionByHash" => transaction(chain, params),
        "eth_getTransactionReceipt" => receipt(chain, params),
        "eth_call" => call(chain, params),
        "eth_estimateGas" => estimate(chain, params),
        "eth_fillTransaction" => fill(chain, params),
        _ => return None,
    })
}

fn offered_price(chain: &Chain) -> u64 {
    chain.config().base_fee_atto.saturating_add(PRIORITY_FEE_ATTO)
}

fn fee_history(chain: &Chain, params: &Params) -> Result<Value, RpcError> {
    let count = params.required::<Quantity>(0, "blockCount")?.0.min(FEE_HISTORY_MAX);
    let newest = params.block(chain, 1)?.number;
    let percentiles = params.optional::<Vec<serde_json::Number>>(2, "rewardPercentiles")?.unwrap_or_default();
    if percentiles.len() > 100 {
        return Err(RpcError::invalid_params("more than 100 reward percentiles"));
    }
    let ledger = chain.lock();
    let oldest = newest.saturating_add(1).saturating_sub(count).max(ledger.oldest());
    let blocks: Vec<_> = (oldest..=newest).filter_map(|number| ledger.block(number)).collect();
    let base = quantity(chain.config().base_fee_atto);
    let rewards: Vec<_> = percentiles.iter().map(|_| quantity(PRIORITY_FEE_ATTO)).collect();
    Ok(json!({
        "oldestBlock": quantity(oldest),
        "baseFeePerGas": vec![base; blocks.len().saturating_add(1)],
        "gasUsedRatio": blocks.iter().map(|block| ratio(block.gas_used)).collect::<Vec<_>>(),
        "baseFeePerBlobGas": vec!["0x1"; blocks.len().saturating_add(1)],
        "blobGasUsedRatio": vec![0; blocks.len()],
        "reward": vec![rewards; blocks.len()],
    }))
}

/// A block's gas use as a fraction with six decimals, which is how JSON-RPC wants it.
fn ratio(gas_used: u64) -> serde_json::Number {
    let millionths = gas_used.saturating_mul(1_000_000) / BLOCK_GAS_LIMIT;
    let text = format!("{}.{:06}", millionths / 1_000_000, millionths % 1_000_000);
    serde_json::from_str(&text).unwrap_or_else(|_| serde_json::Number::from(0))
}

fn balance(chain: &Chain, params: &Params) -> Result<Value, RpcError> {
    let account = params.required::<Address>(0, "address")?;
    params.block(chain, 1)?;
    let known = chain.config().genesis.accounts.contains(&account);
    Ok(quantity(if known { NATIVE_BALANCE } else { U256::ZERO }))
}

fn transaction_count(chain: &Chain, params: &Params) -> Result<Value, RpcError> {
    let account = params.required::<Address>(0, "address")?;
    let block = params.block(chain, 1)?;
    let key = params.optional::<U256>(2, "nonceKey")?.unwrap_or_default();
    Ok(quantity(match key {
        TEMPO_EXPIRING_NONCE_KEY => 0,
        key if key.is_zero() => block.state.nonce(account),
        key => block.state.keyed_nonce(account, key),
    }))
}

fn code(chain: &Chain, params: &Params) -> Result<Value, RpcError> {
    let address = params.required::<Address>(0, "address")?;
    Ok(json!(Chain::code(&params.block(chain, 1)?.state, address)))
}

/// The sandbox has no storage slots: every one of them reads zero.
fn storage(chain: &Chain, params: &Params) -> Result<Value, RpcError> {
    params.required::<Address>(0, "address")?;
    params.required::<U256>(1, "slot")?;
    params.block(chain, 2)?;
    Ok(json!(B256::ZERO))
}

fn block(chain: &Chain, params: &Params) -> Result<Value, RpcError> {
    let id = params.required::<BlockId>(0, "block")?;
    let detail =
        if params.optional::<bool>(1, "full")?.unwrap_or_default() { Detail::Full } else { Detail::Hashes };
    Ok(find_block(chain, id)?.map_or(Value::Null, |block| view::block(&block, detail)))
}

fn block_receipts(chain: &Chain, params: &Params) -> Result<Value, RpcError> {
    let Some(block) = find_block(chain, params.required::<BlockId>(0, "block")?)? else {
        return Ok(Value::Null);
    };
    Ok((0..block.transactions.len()).filter_map(|index| view::receipt(&block, index)).collect())
}

fn transaction(chain: &Chain, params: &Params) -> Result<Value, RpcError> {
    let hash = params.required::<B256>(0, "hash")?;
    let ledger = chain.lock();
    if let Some(waiting) = ledger.waiting(hash) {
        return Ok(view::pending(waiting));
    }
    let found =
        ledger.place(hash).and_then(|place| view::transaction(ledger.block(place.block)?, place.index));
    Ok(found.unwrap_or(Value::Null))
}

fn receipt(chain: &Chain, params: &Params) -> Result<Value, RpcError> {
    let hash = params.required::<B256>(0, "hash")?;
    Ok(receipt_of(chain, hash).unwrap_or(Value::Null))
}

/// The receipt of an included transaction.
pub(crate) fn receipt_of(chain: &Chain, hash: B256) -> Option<Value> {
    let ledger = chain.lock();
    let place = ledger.place(hash)?;
    view::receipt(ledger.block(place.block)?, place.index)
}

fn call(chain: &Chain, params: &Params) -> Result<Value, RpcError> {
    let executed = run(chain, params)?;
    executed.outcome.map(|output| json!(output)).map_err(|halt| RpcError::halted(&halt))
}

fn estimate(chain: &Chain, params: &Params) -> Result<Value, RpcError> {
    let executed = run(chain, params)?;
    executed.outcome.map(|_| quantity(executed.gas_needed)).map_err(|halt| RpcError::halted(&halt))
}

/// Runs a request on a block's state. A window that has closed is refused, as a node does.
fn run(chain: &Chain, params: &Params) -> Result<Executed, RpcError> {
    let request = params.required::<TransactionRequest>(0, "transaction")?;
    let block = params.block(chain, 1)?;
    let message = request.message(&block.state)?;
    execute::check_window(chain.next_env(), &message)?;
    Ok(Chain::simulate(&block.state, &message).1)
}

fn fill(chain: &Chain, params: &Params) -> Result<Value, RpcError> {
    let request = params.required::<TransactionRequest>(0, "transaction")?;
    let head = Arc::clone(chain.lock().head());
    let message = request.message(&head.state)?;
    execute::check_window(chain.next_env(), &message)?;
    let executed = Chain::simulate(&head.state, &message).1;
    executed.outcome.map_err(|halt| RpcError::halted(&halt))?;
    let transaction = request.filled(chain.config(), &message, executed.gas_needed);
    let mut raw = Vec::new();
    let (mut tx, kind) = match &transaction {
        TempoTypedTransaction::AA(tx) => {
            tx.encode_for_signing(&mut raw);
            (serde_json::to_value(tx), tempo_primitives::transaction::TEMPO_TX_TYPE_ID)
        }
        other => {
            other.encode_for_signing(&mut raw);
            (serde_json::to_value(other), 2)
        }
    };
    let tx = tx.as_mut().map_err(|error| RpcError::invalid_params(error.to_string()))?;
    tx["type"] = quantity(kind);
    tx["from"] = json!(message.sender);
    tx["gasPrice"] = quantity(transaction.max_fee_per_gas());
    for field in ["blockHash", "blockNumber", "transactionIndex"] {
        tx[field] = Value::Null;
    }
    Ok(json!({ "raw": Bytes::from(raw), "tx": tx }))
}
