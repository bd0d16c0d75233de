//! [`Once`]: a transfer with a name, which is made once however often it is asked for. The name is the transaction's nonce key, so
//! that the chain itself executes one transaction of it, and the transfer's memo, so that it is found again. It keeps nothing.

use alloy_primitives::{Address, B256, U64, U256};
use farthing_protocol::UnixMs;
use serde_json::json;

use super::compose::Nonce;
use super::history;
use super::key::PrivateKey;
use super::logs::{self, Search};
use super::wallet::{Sent, Transfer, Wallet, WalletError};

/// Seconds by which our clock may be ahead of the chain's.
const SKEW_S: u64 = 600;

/// A transfer's name: 32 bytes that are neither zero, nor small, nor the largest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Once(B256);

impl Once {
    /// The name that these bytes are, when they can be one: the numbers that the chain gives a meaning of their own are none.
    #[must_use]
    pub fn new(name: B256) -> Option<Self> {
        let number = U256::from_be_bytes(name.0);
        (number > U256::from(u128::MAX) && number != U256::MAX).then_some(Self(name))
    }

    /// The memo of the transfer.
    #[must_use]
    pub const fn memo(self) -> B256 {
        self.0
    }
}

/// What is known of a transfer with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It was made.
    Made(Sent),
    /// It was not, as far as the newest block goes: it may still be on its way.
    NotYet,
}

impl Wallet {
    /// Makes a transfer under a name, unless one of this name was made. Its memo is the name. `transfer.memo` is not used.
    ///
    /// # Errors
    /// [`WalletError`]; [`WalletError::Unknown`] when it may have happened, and [`WalletError::Refused`] also when another
    /// transaction of this name is on its way.
    pub async fn send_once(
        &self,
        key: &PrivateKey,
        transfer: Transfer,
        (once, now): (Once, UnixMs),
    ) -> Result<Sent, WalletError> {
        let transfer = Transfer { memo: Some(once.memo()), ..transfer };
        self.send_with(key, transfer, (Nonce::Once(U256::from_be_bytes(once.0.0)), now)).await
    }

    /// Looks for a transfer that was made under a name since `since`.
    ///
    /// # Errors
    /// [`WalletError::Rpc`]; [`WalletError::Unknown`] when the node does not keep what happened since then.
    pub async fn find_once(
        &self,
        (token, from): (Address, Address),
        (once, since): (Once, UnixMs),
    ) -> Result<Found, WalletError> {
        let since_s = since.as_secs().saturating_sub(SKEW_S);
        let Some(first) = history::kept_since(&self.rpc, since_s).await? else {
            let why = "the node does not keep logs for so long".to_owned();
            return Err(WalletError::Unknown { hash: B256::ZERO, why });
        };
        let newest = self.rpc.request::<U64>("eth_blockNumber", json!([])).await?.to::<u64>();
        let search = Search { token, from, memo: Some(once.memo()) };
        let found = logs::search(&self.rpc, search, first..=newest).await?;
        let sent = found.first().map(|logged| Sent { hash: logged.hash, block: Some(logged.block) });
        Ok(sent.map_or(Found::NotYet, Found::Made))
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;

    use super::Once;

    #[test]
    fn numbers_with_a_meaning_of_their_own_are_no_names() {
        let mut small = B256::ZERO;
        small.0[16..].fill(0xff);
        for bad in [B256::ZERO, small, B256::repeat_byte(0xff)] {
            assert_eq!(Once::new(bad), None, "{bad}");
        }
        assert!(Once::new(B256::repeat_byte(7)).is_some());
    }
}
