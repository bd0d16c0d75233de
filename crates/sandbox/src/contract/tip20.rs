//! The TIP-20 token: transfers with and without memo, allowances, and what a wallet reads.
//!
//! Not modelled: roles, pause, transfer policies, rewards, permits, virtual addresses. Their functions refuse as an
//! unknown selector does, and the views among them that wallets read answer what a plain token answers.

use super::{Frame, Halt};
use crate::gas::{Slot, Write, cost};
use crate::state::{Grant, Token};
use alloy_primitives::{Address, B256, Bytes, Log, U256};
use alloy_sol_types::{SolCall, SolEvent, SolValue};
use tempo_contracts::precompiles::ITIP20::{self, ITIP20Calls};
use tempo_contracts::precompiles::{DECIMALS, PATH_USD_ADDRESS, TIP_FEE_MANAGER_ADDRESS};
use tempo_primitives::TempoAddressExt;

/// The transfer policy of every token here: everybody may send and receive.
const ALLOW_ALL_POLICY: u64 = 1;

/// What is moved, from whom to whom.
struct Movement {
    token: Address,
    from: Address,
    to: Address,
    amount: U256,
    memo: Option<B256>,
}

pub(super) fn call(frame: &mut Frame<'_>, token: Address, input: &[u8]) -> Result<Bytes, Halt> {
    let Some(record) = frame.state.tokens.get(&token).cloned() else {
        return Err(frame.refuse(cost::UNKNOWN_TOKEN, &ITIP20::Uninitialized {}));
    };
    let caller = frame.caller;
    match frame.decode::<ITIP20Calls>(input)? {
        ITIP20Calls::transfer(c) => {
            transfer(frame, &Movement { token, from: caller, to: c.to, amount: c.amount, memo: None })
        }
        ITIP20Calls::transferWithMemo(c) => {
            let memo = Some(c.memo);
            transfer(frame, &Movement { token, from: caller, to: c.to, amount: c.amount, memo })?;
            Ok(Bytes::new())
        }
        ITIP20Calls::transferFrom(c) => {
            transfer_from(frame, &Movement { token, from: c.from, to: c.to, amount: c.amount, memo: None })
        }
        ITIP20Calls::transferFromWithMemo(c) => {
            let memo = Some(c.memo);
            transfer_from(frame, &Movement { token, from: c.from, to: c.to, amount: c.amount, memo })
        }
        ITIP20Calls::approve(c) => {
            approve(frame, Grant { token, owner: caller, spender: c.spender }, c.amount)
        }
        other => view(frame, token, &record, other, input),
    }
}

/// Answers what a wallet reads.
fn view(
    frame: &mut Frame<'_>,
    token: Address,
    record: &Token,
    call: ITIP20Calls,
    input: &[u8],
) -> Result<Bytes, Halt> {
    let answer = match call {
        ITIP20Calls::balanceOf(c) => frame.state.balance(token, c.account).abi_encode(),
        ITIP20Calls::allowance(c) => {
            frame.state.allowance(Grant { token, owner: c.owner, spender: c.spender }).abi_encode()
        }
        ITIP20Calls::name(_) | ITIP20Calls::symbol(_) => record.name.as_ref().abi_encode(),
        ITIP20Calls::currency(_) => record.currency.as_ref().abi_encode(),
        ITIP20Calls::decimals(_) => U256::from(DECIMALS).abi_encode(),
        ITIP20Calls::totalSupply(_) => record.supply.abi_encode(),
        ITIP20Calls::supplyCap(_) => U256::from(u128::MAX).abi_encode(),
        ITIP20Calls::paused(_) => false.abi_encode(),
        ITIP20Calls::transferPolicyId(_) => ALLOW_ALL_POLICY.abi_encode(),
        ITIP20Calls::quoteToken(_) if token == PATH_USD_ADDRESS => Address::ZERO.abi_encode(),
        ITIP20Calls::quoteToken(_) => PATH_USD_ADDRESS.abi_encode(),
        _ => return Err(frame.unknown(input)),
    };
    frame.meter.charge(cost::VIEW)?;
    Ok(answer.into())
}

/// The checks of every transfer, in the chain's order, then the two balances and the logs.
fn transfer(frame: &mut Frame<'_>, movement: &Movement) -> Result<Bytes, Halt> {
    refuse_recipient(frame, movement)?;
    settle(frame, movement)
}

fn transfer_from(frame: &mut Frame<'_>, movement: &Movement) -> Result<Bytes, Halt> {
    refuse_recipient(frame, movement)?;
    let grant = Grant { token: movement.token, owner: movement.from, spender: frame.caller };
    let slot = Slot::Allowance(grant.token, grant.owner, grant.spender);
    frame.meter.touch(&[slot])?;
    let allowed = frame.state.allowance(grant);
    let Some(left) = allowed.checked_sub(movement.amount) else {
        return Err(frame.refuse(cost::REFUSE_ALLOWANCE, &ITIP20::InsufficientAllowance {}));
    };
    frame.meter.charge(cost::SPEND_ALLOWANCE)?;
    // An unlimited allowance is never used up.
    if allowed != U256::MAX {
        frame.meter.write(slot, Write { old: allowed, new: left })?;
        frame.state.set_allowance(grant, left);
    }
    settle(frame, movement)
}

/// A token refuses to be sent to nobody, and to another token, where it would be lost.
fn refuse_recipient(frame: &mut Frame<'_>, movement: &Movement) -> Result<(), Halt> {
    frame.meter.touch(&[Slot::Paused(movement.token)])?;
    if movement.to.is_zero() || movement.to.is_tip20() {
        return Err(frame.refuse(cost::REFUSE, &ITIP20::InvalidRecipient {}));
    }
    Ok(frame.meter.touch(&[Slot::Policy(movement.token)])?)
}

fn settle(frame: &mut Frame<'_>, movement: &Movement) -> Result<Bytes, Halt> {
    let &Movement { token, from, to, amount, memo } = movement;
    frame.meter.touch(&[Slot::Balance(token, from)])?;
    let available = frame.state.balance(token, from);
    let Some(left) = available.checked_sub(amount) else {
        let error = ITIP20::InsufficientBalance { available, required: amount, token };
        return Err(frame.refuse(cost::REFUSE_BALANCE, &error));
    };
    frame.meter.touch(&[
        Slot::Rewards(token),
        Slot::HolderRewards(token, from),
        Slot::HolderRewards(token, to),
    ])?;
    frame.meter.charge(cost::TRANSFER)?;
    if memo.is_some() {
        frame.meter.charge(cost::MEMO)?;
    }
    frame.meter.write(Slot::Balance(token, from), Write { old: available, new: left })?;
    frame.state.set_balance(token, from, left);
    let held = frame.state.balance(token, to);
    // The supply is capped at u128::MAX, so two balances of one token cannot overflow 256 bits.
    let grown = held.saturating_add(amount);
    frame.meter.write(Slot::Balance(token, to), Write { old: held, new: grown })?;
    frame.state.set_balance(token, to, grown);
    frame.emit(token, &ITIP20::Transfer { from, to, amount });
    if let Some(memo) = memo {
        frame.emit(token, &ITIP20::TransferWithMemo { from, to, amount, memo });
    }
    Ok(true.abi_encode().into())
}

fn approve(frame: &mut Frame<'_>, grant: Grant, amount: U256) -> Result<Bytes, Halt> {
    let Grant { token, owner, spender } = grant;
    frame.meter.charge(cost::APPROVE)?;
    let write = Write { old: frame.state.allowance(grant), new: amount };
    frame.meter.write(Slot::Allowance(token, owner, spender), write)?;
    frame.state.set_allowance(grant, amount);
    frame.emit(token, &ITIP20::Approval { owner, spender, amount });
    Ok(true.abi_encode().into())
}

/// The log that tells what a transaction paid for its gas: a transfer to the fee manager, the last of its logs.
pub(crate) fn emit_fee(logs: &mut Vec<Log>, token: Address, payer: Address, amount: U256) {
    let event = ITIP20::Transfer { from: payer, to: TIP_FEE_MANAGER_ADDRESS, amount };
    logs.push(Log { address: token, data: event.encode_log_data() });
}

/// Whether this calldata moves the called token out of the caller's balance, so that fees may be taken in it too.
pub(crate) fn moves_called_token(input: &[u8]) -> bool {
    input.first_chunk::<4>().is_some_and(|selector| {
        matches!(*selector, ITIP20::transferCall::SELECTOR | ITIP20::transferWithMemoCall::SELECTOR)
    })
}
