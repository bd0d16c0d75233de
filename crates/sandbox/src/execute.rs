//! Runs one message against a state: the checks that need state, the nonce, the fee, the calls, the receipt's content.
//!
//! The order is the chain's: window, nonce, fee balance; then the nonce is used up and the largest possible fee is
//! taken; then the calls, all of them or none; then what was not spent is given back. So a batch that fails still
//! costs its fee and its nonce, and no call can spend what the fee needs.

use crate::contract::{self, Frame, Halt};
use crate::gas::{self, Collected, Meter};
use crate::refusal::Refusal;
use crate::state::State;
use crate::transaction::{Kind, Message, Nonce};
use alloy_primitives::{Address, Bytes, Log, U256};
use alloy_sol_types::SolEvent;
use tempo_contracts::precompiles::{
    DEFAULT_FEE_TOKEN, INonce, NONCE_PRECOMPILE_ADDRESS, TIP_FEE_MANAGER_ADDRESS,
};
use tempo_primitives::TempoAddressExt;
use tempo_primitives::transaction::calc_gas_balance_spending;

/// How many expiring nonces the chain remembers at once (hardforks T1 to T10).
const EXPIRING_CAPACITY: usize = 300_000;

/// The block that a message runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlockEnv {
    pub(crate) timestamp_s: u64,
    pub(crate) base_fee_atto: u64,
    pub(crate) expiring_window_s: u64,
}

/// What came of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Executed {
    pub(crate) outcome: Result<Bytes, Halt>,
    pub(crate) gas_used: u64,
    /// What the limit had to allow, which refunds do not lower.
    pub(crate) gas_needed: u64,
    pub(crate) gas_price_atto: u128,
    /// None if nobody paid.
    pub(crate) fee_token: Option<Address>,
    pub(crate) logs: Vec<Log>,
}

/// Checks and runs a message as a block does. On a refusal the state is as it was.
pub(crate) fn include(state: &mut State, env: BlockEnv, message: &Message) -> Result<Executed, Refusal> {
    check(state, env, message)?;
    let fee_token = fee_token(state, message);
    let mut logs = Vec::new();
    use_nonce(state, message, &mut logs);

    let gas_price_atto = message.price.effective(env.base_fee_atto);
    let reserved = calc_gas_balance_spending(message.gas_limit, gas_price_atto);
    let fee = Fee { token: fee_token, payer: message.fee_payer };
    fee.take(state, reserved);

    let mut meter = meter(message, fee_token);
    let outcome = run(state, message, &mut meter, &mut logs);
    // Gas that ran out is spent whole: the meter then stands at the limit.
    let (gas_used, gas_needed) = (meter.billed(), meter.used());

    let spent = calc_gas_balance_spending(gas_used, gas_price_atto);
    fee.give_back(state, reserved.saturating_sub(spent));
    if !reserved.is_zero() {
        contract::emit_fee(&mut logs, fee_token, message.fee_payer, spent);
        let collected = state.collected_fees.get(&fee_token).copied().unwrap_or_default();
        state.collected_fees.insert_mut(fee_token, collected.saturating_add(spent));
    }
    let fee_token = (!reserved.is_zero()).then_some(fee_token);
    Ok(Executed { outcome, gas_used, gas_needed, gas_price_atto, fee_token, logs })
}

/// Runs the calls alone, for `eth_call` and estimates: no nonce is used and nobody pays.
pub(crate) fn simulate(state: &mut State, message: &Message) -> Executed {
    let fee_token = fee_token(state, message);
    let mut logs = Vec::new();
    let mut meter = meter(message, fee_token);
    let outcome = run(state, message, &mut meter, &mut logs);
    Executed {
        outcome,
        gas_used: meter.billed(),
        gas_needed: meter.used(),
        gas_price_atto: 0,
        fee_token: None,
        logs,
    }
}

fn meter(message: &Message, token: Address) -> Meter {
    let collected = if message.price.max_atto == 0 { Collected::No } else { Collected::Yes };
    let fee = gas::Fee { token, payer: message.fee_payer, collected };
    Meter::new(message.gas_limit, message.intrinsic_gas, fee)
}

/// All calls in order, or none: the answer is the last one's.
fn run(state: &mut State, message: &Message, meter: &mut Meter, logs: &mut Vec<Log>) -> Result<Bytes, Halt> {
    let (before, logged) = (state.clone(), logs.len());
    let mut answer = Bytes::new();
    for call in &message.calls {
        let mut frame = Frame { state, meter, logs, caller: message.sender };
        match frame.call(call.to, &call.input) {
            Ok(output) => answer = output,
            Err(halt) => {
                meter.revert(&halt);
                *state = before;
                logs.truncate(logged);
                return Err(halt);
            }
        }
    }
    Ok(answer)
}

/// Every rule that depends on the state or on time. The state is only read.
pub(crate) fn check(state: &State, env: BlockEnv, message: &Message) -> Result<(), Refusal> {
    if message.price.max_atto < u128::from(env.base_fee_atto) {
        return Err(Refusal::BaseFee);
    }
    check_window(env, message)?;
    check_nonce(state, env, message)?;
    let token = fee_token(state, message);
    if !token.is_tip20() {
        return Err(Refusal::FeeToken { token });
    }
    let available = state.balance(token, message.fee_payer);
    let required = calc_gas_balance_spending(message.gas_limit, message.price.max_atto);
    if available < required {
        return Err(Refusal::FeeBalance { available, required });
    }
    Ok(())
}

/// The validity window against the block's timestamp: `validAfter <= timestamp < validBefore`.
pub(crate) fn check_window(env: BlockEnv, message: &Message) -> Result<(), Refusal> {
    let current = env.timestamp_s;
    if let Some(valid_before) = message.valid_before {
        if current >= valid_before {
            return Err(Refusal::Expired { current, valid_before });
        }
        let window_s = env.expiring_window_s;
        if matches!(message.nonce, Nonce::Expiring(_)) && valid_before > current.saturating_add(window_s) {
            return Err(Refusal::TooFarAhead { current, valid_before, window_s });
        }
    }
    match message.valid_after {
        Some(valid_after) if current < valid_after => Err(Refusal::TooEarly { current, valid_after }),
        _ => Ok(()),
    }
}

fn check_nonce(state: &State, env: BlockEnv, message: &Message) -> Result<(), Refusal> {
    let (expected, actual) = match message.nonce {
        Nonce::Protocol(nonce) => (state.nonce(message.sender), nonce),
        Nonce::Keyed { key, nonce } => (state.keyed_nonce(message.sender, key), nonce),
        Nonce::Expiring(hash) => {
            if state.expiring_used(hash, env.timestamp_s) {
                return Err(Refusal::Replay);
            }
            return if state.expiring_len() < EXPIRING_CAPACITY {
                Ok(())
            } else {
                Err(Refusal::ExpiringSetFull)
            };
        }
    };
    match actual.cmp(&expected) {
        std::cmp::Ordering::Less => Err(Refusal::NonceTooLow { expected, actual }),
        std::cmp::Ordering::Greater => Err(Refusal::NonceTooHigh { expected, actual }),
        std::cmp::Ordering::Equal => Ok(()),
    }
}

fn use_nonce(state: &mut State, message: &Message, logs: &mut Vec<Log>) {
    let account = message.sender;
    match message.nonce {
        Nonce::Protocol(nonce) => state.set_nonce(account, nonce.saturating_add(1)),
        Nonce::Keyed { key, nonce } => {
            let next = nonce.saturating_add(1);
            state.set_keyed_nonce(account, key, next);
            let event = INonce::NonceIncremented { account, nonceKey: key, newNonce: next };
            logs.push(Log { address: NONCE_PRECOMPILE_ADDRESS, data: event.encode_log_data() });
        }
        Nonce::Expiring(hash) => state.use_expiring(hash, message.valid_before.unwrap_or_default()),
    }
}

/// Who pays for gas, and in what.
struct Fee {
    token: Address,
    payer: Address,
}

impl Fee {
    fn take(&self, state: &mut State, amount: U256) {
        self.shift(state, self.payer, TIP_FEE_MANAGER_ADDRESS, amount);
    }

    fn give_back(&self, state: &mut State, amount: U256) {
        self.shift(state, TIP_FEE_MANAGER_ADDRESS, self.payer, amount);
    }

    /// Moves what is there, and never more: `check` saw that the payer holds the largest fee.
    fn shift(&self, state: &mut State, from: Address, to: Address, amount: U256) {
        let available = state.balance(self.token, from);
        let moved = amount.min(available);
        state.set_balance(self.token, from, available.saturating_sub(moved));
        let held = state.balance(self.token, to);
        state.set_balance(self.token, to, held.saturating_add(moved));
    }
}

/// The token that fees are taken in: the transaction's, the payer's preference, the one being moved, or PathUSD.
fn fee_token(state: &State, message: &Message) -> Address {
    if let Some(token) = message.fee_token {
        return token;
    }
    let pays_self = message.fee_payer == message.sender;
    let first = message.calls.first();
    if message.kind == Kind::Ethereum
        && let Some(token) = first.and_then(|call| contract::is_set_user_token(call.to, &call.input))
    {
        return token;
    }
    if let Some(preferred) = state.user_tokens.get(&message.fee_payer) {
        return *preferred;
    }
    let moved = first.map(|call| call.to).filter(|token| {
        pays_self
            && state.tokens.contains_key(token)
            && message.calls.iter().all(|call| call.to == *token && contract::moves_called_token(&call.input))
    });
    moved.unwrap_or(DEFAULT_FEE_TOKEN)
}

#[cfg(test)]
mod tests;
