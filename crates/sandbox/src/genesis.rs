//! Block 0: who holds what before anything has happened, as `anvil --network tempo` has it.
//!
//! The accounts are those of the public development mnemonic. Their keys are known to everybody and worth nothing
//! anywhere; the sandbox itself never needs them, it only credits the addresses.

use crate::contract;
use crate::state::{AccountKey, State, Token};
use alloy_primitives::{Address, U256, address};
use tempo_contracts::precompiles::TIP_FEE_MANAGER_ADDRESS;

/// PathUSD, the token that fees default to.
pub const PATH_USD: Address = address!("0x20c0000000000000000000000000000000000000");
/// AlphaUSD.
pub const ALPHA_USD: Address = address!("0x20c0000000000000000000000000000000000001");
/// BetaUSD.
pub const BETA_USD: Address = address!("0x20c0000000000000000000000000000000000002");
/// ThetaUSD.
pub const THETA_USD: Address = address!("0x20c0000000000000000000000000000000000003");

/// The tokens of every sandbox, with name and symbol.
pub const TOKENS: [(Address, &str); 4] =
    [(PATH_USD, "PathUSD"), (ALPHA_USD, "AlphaUSD"), (BETA_USD, "BetaUSD"), (THETA_USD, "ThetaUSD")];

/// The first ten accounts of the mnemonic `test test test test test test test test test test test junk`.
pub const DEV_ACCOUNTS: [Address; 10] = [
    address!("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"),
    address!("0x70997970C51812dc3A010C7d01b50e0d17dc79C8"),
    address!("0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"),
    address!("0x90F79bf6EB2c4f870365E785982E1f101E93b906"),
    address!("0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65"),
    address!("0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc"),
    address!("0x976EA74026E726554dB657fA54763abd0C3a0aa9"),
    address!("0x14dC79964da2C08b23698B3D3cc7Ca32193d9955"),
    address!("0x23618e81E3f5cdF7f54C3d65f7FBc0aBf5B21E8f"),
    address!("0xa0Ee7A142d267C1f36714E4a8F75612F20a79720"),
];

/// Two holders that the reference chain mints to besides the accounts: its token admin and its genesis sender.
const ADMIN: Address = address!("0x5615dEB798BB3E4dFa0139dFa1b3D433Cc23b72f");
const SENDER: Address = address!("0x1804c8AB1F12E6bbf3894d4083f33e07309d1f38");

/// What the admin put into the three pools of each token at genesis, in base units.
const POOL_LIQUIDITY: u64 = 30_000_000_000;

/// Accounts and balances at block 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// Accounts that hold every token.
    pub accounts: Vec<Address>,
    /// What each of them holds of each token, in base units (six decimals).
    pub balance_base: u64,
}

impl Default for Genesis {
    fn default() -> Self {
        Self { accounts: DEV_ACCOUNTS.to_vec(), balance_base: u64::MAX }
    }
}

impl Genesis {
    /// The state of block 0.
    pub(crate) fn state(&self) -> State {
        let mut state = State::default();
        // An account with code has nonce 1, as if it had been created.
        for contract in contract::precompiles().chain(TOKENS.map(|(token, _)| token)) {
            state.set_nonce(contract, 1);
        }
        for (token, name) in TOKENS {
            state
                .tokens
                .insert_mut(token, Token { name: name.into(), currency: "USD".into(), supply: U256::ZERO });
            for account in &self.accounts {
                mint(&mut state, token, *account, U256::from(self.balance_base));
            }
            let minted = U256::from(u64::MAX);
            let pools = U256::from(POOL_LIQUIDITY);
            mint(&mut state, token, ADMIN, minted.saturating_sub(pools));
            mint(&mut state, token, SENDER, minted);
            mint(&mut state, token, TIP_FEE_MANAGER_ADDRESS, minted.saturating_add(pools));
        }
        for (index, account) in self.accounts.iter().enumerate() {
            let fee_token = match index {
                0 => ALPHA_USD,
                1 => BETA_USD,
                2 => THETA_USD,
                _ => PATH_USD,
            };
            state.user_tokens.insert_mut(*account, fee_token);
            state.keys.insert_mut((*account, *account), AccountKey { expiry: u64::MAX });
        }
        state
    }
}

/// Makes `amount` base units of `token` out of nothing for `holder`. Only genesis and the faucet do this.
///
/// The supply is capped at `u128::MAX`, as on the chain; what would exceed it is refused and nothing changes.
pub(crate) fn mint(state: &mut State, token: Address, holder: Address, amount: U256) -> bool {
    let Some(record) = state.tokens.get(&token).cloned() else { return false };
    let Some(supply) = record.supply.checked_add(amount).filter(|supply| *supply <= U256::from(u128::MAX))
    else {
        return false;
    };
    let balance = state.balance(token, holder).saturating_add(amount);
    state.set_balance(token, holder, balance);
    state.tokens.insert_mut(token, Token { supply, ..record });
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn genesis_holds_what_the_reference_chain_holds() {
        let state = Genesis::default().state();
        let supply = U256::from(u64::MAX) * U256::from(13);
        for (token, name) in TOKENS {
            let record = state.tokens.get(&token).expect("a genesis token");
            assert_eq!((record.name.as_ref(), record.supply), (name, supply));
            assert_eq!(state.balance(token, DEV_ACCOUNTS[9]), U256::from(u64::MAX));
            assert_eq!(state.held(token), supply, "every unit has a holder");
        }
    }

    #[test]
    fn minting_stops_at_the_cap_and_at_unknown_tokens() {
        let mut state = Genesis::default().state();
        let before = state.balance(PATH_USD, DEV_ACCOUNTS[0]);
        assert!(!mint(&mut state, PATH_USD, DEV_ACCOUNTS[0], U256::from(u128::MAX)));
        assert!(!mint(&mut state, Address::ZERO, DEV_ACCOUNTS[0], U256::ONE));
        assert_eq!(state.balance(PATH_USD, DEV_ACCOUNTS[0]), before);
        assert!(mint(&mut state, PATH_USD, DEV_ACCOUNTS[0], U256::ONE));
        assert_eq!(state.balance(PATH_USD, DEV_ACCOUNTS[0]), before + U256::ONE);
    }
}
