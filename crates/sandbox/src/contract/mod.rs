//! What answers at an address: TIP-20 tokens, the fee manager, the nonce and keychain precompiles, and nothing else.
//!
//! Not an EVM: an address without one of these has no code, so a call to it succeeds and does nothing, and
//! precompiles that payments do not touch refuse every selector.

mod fee_manager;
mod registry;
mod tip20;

use crate::gas::{Meter, OutOfGas, cost};
use crate::state::State;
use alloy_primitives::{Address, Bytes, Log, address};
use alloy_sol_types::{SolError, SolEvent, SolInterface};
use tempo_contracts::precompiles::{
    ACCOUNT_KEYCHAIN_ADDRESS, NONCE_PRECOMPILE_ADDRESS, STABLECOIN_DEX_ADDRESS, TIP_FEE_MANAGER_ADDRESS,
    TIP20_FACTORY_ADDRESS, TIP403_REGISTRY_ADDRESS, UnknownFunctionSelector, VALIDATOR_CONFIG_ADDRESS,
    VALIDATOR_CONFIG_V2_ADDRESS,
};
use tempo_primitives::TempoAddressExt;

pub(crate) use fee_manager::is_set_user_token;
pub(crate) use tip20::{emit_fee, moves_called_token};

/// The one byte of code that marks a precompile.
pub(crate) const MARKER_CODE: [u8; 1] = [0xef];

const ADDRESS_REGISTRY: Address = address!("0xfdc0000000000000000000000000000000000000");
const SIGNATURE_VERIFIER: Address = address!("0x5165300000000000000000000000000000000000");

/// Precompiles that exist on the chain and that payments do not touch: code, but no function.
const INERT: [Address; 7] = [
    STABLECOIN_DEX_ADDRESS,
    TIP20_FACTORY_ADDRESS,
    TIP403_REGISTRY_ADDRESS,
    VALIDATOR_CONFIG_ADDRESS,
    VALIDATOR_CONFIG_V2_ADDRESS,
    ADDRESS_REGISTRY,
    SIGNATURE_VERIFIER,
];

/// Why a call did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Halt {
    /// The contract refused, with its error's ABI encoding.
    Revert(Bytes),
    /// Gas ran out.
    OutOfGas,
}

impl From<OutOfGas> for Halt {
    fn from(_: OutOfGas) -> Self {
        Self::OutOfGas
    }
}

/// One call's view of the world.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) state: &'a mut State,
    pub(crate) meter: &'a mut Meter,
    pub(crate) logs: &'a mut Vec<Log>,
    pub(crate) caller: Address,
}

impl Frame<'_> {
    /// Calls `to` with `input` and returns what it answers.
    pub(crate) fn call(&mut self, to: Address, input: &Bytes) -> Result<Bytes, Halt> {
        if to.is_tip20() {
            return tip20::call(self, to, input);
        }
        match to {
            TIP_FEE_MANAGER_ADDRESS => fee_manager::call(self, input),
            NONCE_PRECOMPILE_ADDRESS => registry::nonce(self, input),
            ACCOUNT_KEYCHAIN_ADDRESS => registry::keychain(self, input),
            inert if INERT.contains(&inert) => Err(self.unknown(input)),
            _ => Ok(Bytes::new()),
        }
    }

    fn emit(&mut self, address: Address, event: &impl SolEvent) {
        self.logs.push(Log { address, data: event.encode_log_data() });
    }

    /// Refuses with `error`, having spent `gas`.
    fn refuse(&mut self, gas: u64, error: &impl SolError) -> Halt {
        match self.meter.charge(gas) {
            Ok(()) => Halt::Revert(error.abi_encode().into()),
            Err(OutOfGas) => Halt::OutOfGas,
        }
    }

    /// Refuses a selector that the contract does not have.
    fn unknown(&mut self, input: &[u8]) -> Halt {
        match input.first_chunk::<4>() {
            Some(selector) => {
                self.refuse(cost::UNKNOWN_SELECTOR, &UnknownFunctionSelector { selector: (*selector).into() })
            }
            None => self.malformed(),
        }
    }

    /// Refuses calldata that cannot be decoded: the precompiles revert with nothing to say.
    fn malformed(&mut self) -> Halt {
        match self.meter.charge(cost::UNKNOWN_SELECTOR) {
            Ok(()) => Halt::Revert(Bytes::new()),
            Err(OutOfGas) => Halt::OutOfGas,
        }
    }

    /// Reads calldata as one of an interface's functions.
    fn decode<I: SolInterface>(&mut self, input: &[u8]) -> Result<I, Halt> {
        let known = input.first_chunk::<4>().is_some_and(|selector| I::valid_selector(*selector));
        if !known {
            return Err(self.unknown(input));
        }
        I::abi_decode(input).map_err(|_| self.malformed())
    }
}

/// Every address that has code at genesis besides the tokens.
pub(crate) fn precompiles() -> impl Iterator<Item = Address> {
    [TIP_FEE_MANAGER_ADDRESS, NONCE_PRECOMPILE_ADDRESS, ACCOUNT_KEYCHAIN_ADDRESS].into_iter().chain(INERT)
}

/// The code at an address: a marker byte for a precompile, nothing elsewhere.
pub(crate) fn code(state: &State, address: Address) -> Bytes {
    let has_code =
        state.tokens.contains_key(&address) || precompiles().any(|precompile| precompile == address);
    if has_code { Bytes::from_static(&MARKER_CODE) } else { Bytes::new() }
}
