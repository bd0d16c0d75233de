//! Methods that only a development chain has: faucet, snapshots, time and mining.

use super::error::RpcError;
use super::params::{Params, Quantity};
use super::view::quantity;
use crate::chain::{Chain, SnapshotId};
use crate::genesis::TOKENS;
use alloy_primitives::{Address, U256};
use serde_json::{Value, json};
use std::sync::Arc;

/// What the faucet gives of each token: a million, in base units.
const FAUCET_BASE: u64 = 1_000_000_000_000;

pub(crate) fn answer(chain: &Arc<Chain>, method: &str, params: &Params) -> Option<Result<Value, RpcError>> {
    Some(match method {
        "tempo_fundAddress" => fund_address(chain, params),
        "sandbox_fund" => fund(chain, params),
        "evm_snapshot" | "anvil_snapshot" => Ok(quantity(chain.snapshot().0)),
        "evm_revert" | "anvil_revert" => revert(chain, params),
        "evm_increaseTime" | "anvil_increaseTime" => increase_time(chain, params),
        "evm_setNextBlockTimestamp" | "anvil_setNextBlockTimestamp" => set_next_timestamp(chain, params),
        "evm_mine" => mine_one(chain, params),
        "anvil_mine" => mine(chain, params),
        _ => return None,
    })
}

/// The node's faucet: some of every token, and the hashes of the transactions that brought it.
fn fund_address(chain: &Chain, params: &Params) -> Result<Value, RpcError> {
    let holder = params.required::<Address>(0, "address")?;
    let tokens = TOKENS.map(|(token, _)| token);
    Ok(json!(chain.fund_each(holder, &tokens, U256::from(FAUCET_BASE))))
}

fn fund(chain: &Chain, params: &Params) -> Result<Value, RpcError> {
    let holder = params.required::<Address>(0, "address")?;
    let token = params.required::<Address>(1, "token")?;
    let amount = params.required::<U256>(2, "amount")?;
    let funded = chain.fund(holder, token, amount);
    funded.map(|hash| json!(hash)).ok_or_else(|| {
        RpcError::invalid_params("no such token, or its supply would exceed 2^128-1 base units")
    })
}

fn revert(chain: &Chain, params: &Params) -> Result<Value, RpcError> {
    let id = params.required::<Quantity>(0, "snapshot")?;
    Ok(json!(chain.revert(SnapshotId(id.0))))
}

fn increase_time(chain: &Chain, params: &Params) -> Result<Value, RpcError> {
    let seconds = params.required::<Quantity>(0, "seconds")?;
    Ok(json!(chain.increase_time(seconds.0)))
}

fn set_next_timestamp(chain: &Chain, params: &Params) -> Result<Value, RpcError> {
    let seconds = params.required::<Quantity>(0, "timestamp")?.0;
    if chain.set_next_timestamp(seconds) {
        return Ok(Value::Null);
    }
    Err(RpcError::invalid_params(format!(
        "Timestamp error: {seconds} is lower than previous block's timestamp"
    )))
}

fn mine_one(chain: &Chain, params: &Params) -> Result<Value, RpcError> {
    if let Some(timestamp) = params.optional::<Quantity>(0, "timestamp")?
        && !chain.set_next_timestamp(timestamp.0)
    {
        return Err(RpcError::invalid_params("Timestamp error: lower than previous block's timestamp"));
    }
    chain.mine();
    Ok(json!("0x0"))
}

fn mine(chain: &Chain, params: &Params) -> Result<Value, RpcError> {
    let blocks = params.optional::<Quantity>(0, "blocks")?.map_or(1, |blocks| blocks.0);
    let interval = params.optional::<Quantity>(1, "interval")?.map_or(0, |seconds| seconds.0);
    let limit = chain.config().limits.mine_blocks;
    if blocks > limit {
        return Err(RpcError::limit(format!("more than {limit} blocks at once")));
    }
    for index in 0..blocks {
        if index > 0 && interval > 0 {
            chain.increase_time(interval);
        }
        chain.mine();
    }
    Ok(Value::Null)
}
