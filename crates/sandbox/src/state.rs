//! Everything a chain remembers between two transactions. Only data and its accessors: the rules live in
//! `contract` and `execute`.
//!
//! The maps share structure, so a clone costs O(1): an attempt that fails is dropped, a block keeps its state for
//! questions about the past, and a snapshot is a copy.

use alloy_primitives::{Address, B256, U256};
use rpds::{HashTrieMapSync, RedBlackTreeMapSync};
use std::sync::Arc;

/// One TIP-20 token. Name and symbol are the same word on every sandbox token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) name: Arc<str>,
    pub(crate) currency: Arc<str>,
    pub(crate) supply: U256,
}

/// A secp256k1 key registered for an account, without limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AccountKey {
    pub(crate) expiry: u64,
}

/// The world between two transactions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) tokens: HashTrieMapSync<Address, Token>,
    balances: HashTrieMapSync<(Address, Address), U256>,
    allowances: HashTrieMapSync<(Address, Address, Address), U256>,
    nonces: HashTrieMapSync<Address, u64>,
    keyed_nonces: HashTrieMapSync<(Address, U256), u64>,
    /// Expiring nonces that may still be replayed, by expiry so that dead ones fall off the front.
    expiring: RedBlackTreeMapSync<(u64, B256), ()>,
    expiring_seen: HashTrieMapSync<B256, u64>,
    pub(crate) user_tokens: HashTrieMapSync<Address, Address>,
    pub(crate) validator_tokens: HashTrieMapSync<Address, Address>,
    pub(crate) collected_fees: HashTrieMapSync<Address, U256>,
    pub(crate) keys: HashTrieMapSync<(Address, Address), AccountKey>,
}

/// Whose allowance over whose balance of what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grant {
    pub(crate) token: Address,
    pub(crate) owner: Address,
    pub(crate) spender: Address,
}

impl State {
    pub(crate) fn balance(&self, token: Address, holder: Address) -> U256 {
        self.balances.get(&(token, holder)).copied().unwrap_or_default()
    }

    pub(crate) fn set_balance(&mut self, token: Address, holder: Address, amount: U256) {
        if amount.is_zero() {
            self.balances.remove_mut(&(token, holder));
        } else {
            self.balances.insert_mut((token, holder), amount);
        }
    }

    /// The sum of all balances of one token.
    #[cfg(test)]
    pub(crate) fn held(&self, token: Address) -> U256 {
        self.balances.iter().filter(|((t, _), _)| *t == token).map(|(_, amount)| *amount).sum()
    }

    pub(crate) fn allowance(&self, grant: Grant) -> U256 {
        self.allowances.get(&(grant.token, grant.owner, grant.spender)).copied().unwrap_or_default()
    }

    pub(crate) fn set_allowance(&mut self, grant: Grant, amount: U256) {
        let key = (grant.token, grant.owner, grant.spender);
        if amount.is_zero() {
            self.allowances.remove_mut(&key);
        } else {
            self.allowances.insert_mut(key, amount);
        }
    }

    pub(crate) fn nonce(&self, account: Address) -> u64 {
        self.nonces.get(&account).copied().unwrap_or_default()
    }

    pub(crate) fn set_nonce(&mut self, account: Address, nonce: u64) {
        self.nonces.insert_mut(account, nonce);
    }

    pub(crate) fn keyed_nonce(&self, account: Address, key: U256) -> u64 {
        self.keyed_nonces.get(&(account, key)).copied().unwrap_or_default()
    }

    pub(crate) fn set_keyed_nonce(&mut self, account: Address, key: U256, nonce: u64) {
        self.keyed_nonces.insert_mut((account, key), nonce);
    }

    /// Whether this expiring nonce was used and could still be replayed.
    pub(crate) fn expiring_used(&self, replay_hash: B256, now: u64) -> bool {
        self.expiring_seen.get(&replay_hash).is_some_and(|expiry| *expiry > now)
    }

    /// How many expiring nonces are remembered.
    pub(crate) fn expiring_len(&self) -> usize {
        self.expiring.size()
    }

    pub(crate) fn use_expiring(&mut self, replay_hash: B256, valid_before: u64) {
        self.expiring.insert_mut((valid_before, replay_hash), ());
        self.expiring_seen.insert_mut(replay_hash, valid_before);
    }

    /// Forgets expiring nonces whose transaction can no longer be included anywhere.
    pub(crate) fn forget_expired(&mut self, now: u64) {
        while let Some(((expiry, hash), ())) = self.expiring.first() {
            if *expiry > now {
                return;
            }
            let (expiry, hash) = (*expiry, *hash);
            self.expiring_seen.remove_mut(&hash);
            self.expiring.remove_mut(&(expiry, hash));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiring_nonces_are_kept_exactly_as_long_as_they_can_be_replayed() {
        let mut state = State::default();
        let (early, late) = (B256::repeat_byte(1), B256::repeat_byte(2));
        state.use_expiring(late, 200);
        state.use_expiring(early, 100);
        assert!(state.expiring_used(early, 99) && !state.expiring_used(early, 100));
        state.forget_expired(99);
        assert_eq!(state.expiring_len(), 2);
        state.forget_expired(100);
        assert_eq!(state.expiring_len(), 1);
        assert!(state.expiring_used(late, 199));
    }

    #[test]
    fn a_clone_is_not_changed_by_what_happens_to_the_original() {
        let mut state = State::default();
        let (token, holder) = (Address::repeat_byte(1), Address::repeat_byte(2));
        state.set_balance(token, holder, U256::from(5));
        let kept = state.clone();
        state.set_balance(token, holder, U256::ZERO);
        assert_eq!(kept.balance(token, holder), U256::from(5));
        assert_eq!(state.balance(token, holder), U256::ZERO);
    }
}
