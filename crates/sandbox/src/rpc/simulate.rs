//! `eth_simulateV1` and `tempo_simulateV1`: several calls one after another on a copy of the state.
//!
//! Overrides of blocks and states are not modelled and are refused rather than ignored.

use super::error::RpcError;
use super::params::Params;
use super::request::TransactionRequest;
use super::view::{self, Detail, Placed, quantity};
use crate::block::{Block, Position};
use crate::chain::Chain;
use crate::contract::Halt;
use crate::execute::{self, BlockEnv, Executed};
use crate::refusal::Refusal;
use crate::state::State;
use alloy_primitives::{Address, Bytes};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Blocks in one simulation.
const BLOCKS_MAX: usize = 16;
/// Calls in one simulation.
const CALLS_MAX: usize = 256;

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    block_state_calls: Vec<BlockCalls>,
    #[serde(default)]
    validation: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BlockCalls {
    #[serde(default)]
    calls: Vec<TransactionRequest>,
    block_overrides: Option<Value>,
    state_overrides: Option<Value>,
}

pub(crate) fn answer(chain: &Arc<Chain>, method: &str, params: &Params) -> Option<Result<Value, RpcError>> {
    match method {
        "eth_simulateV1" => Some(simulate(chain, params).map(|simulated| json!(simulated.blocks))),
        "tempo_simulateV1" => Some(
            simulate(chain, params)
                .map(|simulated| json!({ "blocks": simulated.blocks, "tokenMetadata": simulated.tokens })),
        ),
        _ => None,
    }
}

struct Simulated {
    blocks: Vec<Value>,
    tokens: BTreeMap<Address, Value>,
}

fn simulate(chain: &Chain, params: &Params) -> Result<Simulated, RpcError> {
    let payload = params.required::<Payload>(0, "payload")?;
    let base = params.block(chain, 1)?;
    let calls: usize = payload.block_state_calls.iter().map(|block| block.calls.len()).sum();
    if payload.block_state_calls.len() > BLOCKS_MAX || calls > CALLS_MAX {
        return Err(RpcError::limit(format!("more than {BLOCKS_MAX} blocks or {CALLS_MAX} calls")));
    }
    let mut simulated = Simulated { blocks: Vec::new(), tokens: BTreeMap::new() };
    let mut env = chain.next_env();
    let (mut parent, mut state) = (base.hash, base.state.clone());
    let first = base.number.saturating_add(1);
    for (number, block) in (first..).zip(&payload.block_state_calls) {
        let overridden = |value: &Option<Value>| match value {
            None | Some(Value::Null) => false,
            Some(value) => value.as_object().is_none_or(|fields| !fields.is_empty()),
        };
        if overridden(&block.block_overrides) || overridden(&block.state_overrides) {
            return Err(Refusal::Unsupported { what: "overrides in a simulation" }.into());
        }
        let mut results = Vec::new();
        let (mut gas_used, mut logged) = (0u64, 0usize);
        for (position, request) in block.calls.iter().enumerate() {
            let executed = one(&mut state, env, request, payload.validation)?;
            gas_used = gas_used.saturating_add(executed.gas_used);
            let place = Placed::simulated(number, env.timestamp_s, position, logged);
            logged = logged.saturating_add(executed.logs.len());
            simulated.note(&state, &executed);
            results.push(result(&executed, &place));
        }
        let position = Position {
            chain_id: chain.chain_id(),
            number,
            parent_hash: parent,
            timestamp_ms: env.timestamp_s.saturating_mul(1000),
            base_fee_atto: env.base_fee_atto,
        };
        let sealed = Block { gas_used, ..Block::seal(position, Vec::new(), state.clone()) };
        parent = sealed.hash;
        let mut view = view::block(&sealed, Detail::Hashes);
        view["calls"] = json!(results);
        simulated.blocks.push(view);
        env.timestamp_s = env.timestamp_s.saturating_add(1);
    }
    Ok(simulated)
}

/// Runs one call. With validation it is a transaction with nonce and fee; without, only its calls and window count.
fn one(
    state: &mut State,
    env: BlockEnv,
    request: &TransactionRequest,
    validation: bool,
) -> Result<Executed, RpcError> {
    let message = request.message(state)?;
    if validation {
        return Ok(execute::include(state, env, &message)?);
    }
    execute::check_window(env, &message)?;
    Ok(execute::simulate(state, &message))
}

fn result(executed: &Executed, place: &Placed) -> Value {
    let (status, data) = match &executed.outcome {
        Ok(output) => ("0x1", output.clone()),
        Err(Halt::Revert(data)) => ("0x0", data.clone()),
        Err(Halt::OutOfGas) => ("0x0", Bytes::new()),
    };
    let logs: Vec<_> = executed.logs.iter().enumerate().map(|(offset, log)| place.log(log, offset)).collect();
    let mut view = json!({
        "returnData": data,
        "logs": logs,
        "gasUsed": quantity(executed.gas_used),
        "maxUsedGas": quantity(executed.gas_used),
        "status": status,
    });
    if let Err(halt) = &executed.outcome {
        view["error"] = RpcError::halted(halt).to_value();
    }
    view
}

impl Simulated {
    /// Remembers what the tokens are called that a call touched.
    fn note(&mut self, state: &State, executed: &Executed) {
        for log in &executed.logs {
            if let Some(token) = state.tokens.get(&log.address) {
                let name = token.name.as_ref();
                let view = json!({ "name": name, "symbol": name, "currency": token.currency.as_ref() });
                self.tokens.insert(log.address, view);
            }
        }
    }
}
