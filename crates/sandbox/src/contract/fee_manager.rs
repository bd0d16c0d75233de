//! The fee manager: which token an account pays its fees in, and what has been collected.
//!
//! Not modelled: the fee exchange. Fees stay in the token they were paid in; the chain would exchange them for
//! the validator's token, which no payer and no payee can see in their own balances.

use super::{Frame, Halt};
use crate::gas::cost;
use alloy_primitives::{Address, Bytes, U256};
use alloy_sol_types::{SolCall, SolValue};
use tempo_contracts::precompiles::IFeeManager::{self, IFeeManagerCalls};
use tempo_contracts::precompiles::{DEFAULT_FEE_TOKEN, TIP_FEE_MANAGER_ADDRESS};

pub(super) fn call(frame: &mut Frame<'_>, input: &[u8]) -> Result<Bytes, Halt> {
    let answer = match frame.decode::<IFeeManagerCalls>(input)? {
        IFeeManagerCalls::setUserToken(c) => return set_user_token(frame, c.token),
        IFeeManagerCalls::userTokens(c) => {
            frame.state.user_tokens.get(&c.user).copied().unwrap_or(Address::ZERO).abi_encode()
        }
        IFeeManagerCalls::validatorTokens(c) => {
            frame.state.validator_tokens.get(&c.validator).copied().unwrap_or(DEFAULT_FEE_TOKEN).abi_encode()
        }
        IFeeManagerCalls::collectedFees(c) => {
            // Blocks are the zero address's; nobody else has collected anything.
            let collected = frame.state.collected_fees.get(&c.token).filter(|_| c.validator.is_zero());
            collected.copied().unwrap_or(U256::ZERO).abi_encode()
        }
        _ => return Err(frame.unknown(input)),
    };
    frame.meter.charge(cost::VIEW)?;
    Ok(answer.into())
}

fn set_user_token(frame: &mut Frame<'_>, token: Address) -> Result<Bytes, Halt> {
    let caller = frame.caller;
    if !frame.state.tokens.contains_key(&token) {
        return Err(frame.refuse(cost::REFUSE, &IFeeManager::InvalidToken {}));
    }
    let current = frame.state.user_tokens.get(&caller).copied();
    frame.meter.charge(cost::SET_FEE_TOKEN)?;
    if current == Some(token) {
        return Ok(Bytes::new());
    }
    if current.is_none() {
        frame.meter.charge(cost::NEW_SLOT)?;
    }
    frame.state.user_tokens.insert_mut(caller, token);
    frame.emit(TIP_FEE_MANAGER_ADDRESS, &IFeeManager::UserTokenSet { user: caller, token });
    Ok(Bytes::new())
}

/// The token that this call makes the caller's preference, which then pays for the call itself.
pub(crate) fn is_set_user_token(to: Address, input: &[u8]) -> Option<Address> {
    if to != TIP_FEE_MANAGER_ADDRESS {
        return None;
    }
    IFeeManager::setUserTokenCall::abi_decode(input).ok().map(|call| call.token)
}
