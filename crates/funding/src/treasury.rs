//! [`Treasury`]: an account of ours on a Tempo chain as a [`FundingSource`]: each attempt is one transfer of the asset's token to an
//! account that collects, and the wallet is credited with the transfer's hash.
//!
//! It never pays to a customer's deposit address: the watcher would credit the same transfer a second time. What makes it happen
//! once is the attempt's name as the transaction's nonce key ([`Once`]): of all transactions with that key, however many processes
//! send them, the chain executes one. The same name is the transfer's memo, by which it is looked up.

use alloy_primitives::{Address, B256, keccak256};
use async_trait::async_trait;
use farthing_billing::service::read_id;
use farthing_billing::topup::Decline;
use farthing_rails::tempo::once::{self, Once};
use farthing_rails::tempo::{PrivateKey, TempoRpc, Transfer, UnixMs, Wallet, WalletError, tokens};

use crate::source::{Charge, Charged, Declined, Found, FundingSource};

/// For so long after it was sent a transaction may still be executed, in milliseconds, clocks that differ included.
const VALID_MS: u64 = 120_000;

/// The rule's asset is none that the account could pay in.
const NOT_A_TOKEN_CODE: &str = "not_a_token";

/// An account that pays for top-ups.
#[derive(Debug, Clone)]
pub struct Treasury {
    wallet: Wallet,
    chain_id: u64,
    key: PrivateKey,
    collect_to: Address,
}

impl Treasury {
    /// The account of `key` on a chain, which pays to `collect_to`: an account of the operator's that is no deposit address.
    #[must_use]
    pub fn new((chain_id, rpc): (u64, TempoRpc), key: PrivateKey, collect_to: Address) -> Self {
        Self { wallet: Wallet::new(chain_id, rpc), chain_id, key, collect_to }
    }

    /// The token and the name of a charge.
    fn read(&self, charge: &Charge) -> Option<(Address, Once)> {
        Some((tokens::of_asset(self.chain_id, &charge.asset)?, name(&charge.attempt)?))
    }

    async fn find(&self, token: Address, name: Once, charge: &Charge) -> Result<once::Found, WalletError> {
        let began = UnixMs::from_ms(charge.began.unix_ms());
        self.wallet.find_once((token, self.key.address()), (name, began)).await
    }
}

/// An attempt's name on the chain.
fn name(attempt: &str) -> Option<Once> {
    let bits = read_id("top", attempt)?;
    let mut name = [0_u8; 32];
    name[..16].copy_from_slice(&keccak256("farthing top-up")[..16]);
    name[16..].copy_from_slice(&bits.to_be_bytes());
    Once::new(B256::new(name))
}

fn misfit() -> Charged {
    declined(Decline::Hard, NOT_A_TOKEN_CODE, "the asset is no token of the chain on which the account is")
}

fn declined(class: Decline, code: &str, message: &str) -> Charged {
    Charged::No(Declined { class, code: code.to_owned(), message: message.to_owned() })
}

fn made(sent: once::Found) -> Option<Charged> {
    match sent {
        once::Found::Made(sent) => Some(Charged::Yes { reference: format!("{:#x}", sent.hash) }),
        once::Found::NotYet => None,
    }
}

fn unknown(error: &WalletError) -> Charged {
    Charged::Unknown { why: error.to_string() }
}

#[async_trait]
impl FundingSource for Treasury {
    async fn charge(&self, charge: &Charge) -> Charged {
        let Some((token, name)) = self.read(charge) else { return misfit() };
        match self.find(token, name, charge).await {
            Err(error) => return unknown(&error),
            Ok(found) => {
                if let Some(made) = made(found) {
                    return made;
                }
            }
        }
        let transfer = Transfer { token, to: self.collect_to, amount: charge.amount, memo: None };
        let now = UnixMs::from_ms(charge.now.unix_ms());
        match self.wallet.send_once(&self.key, transfer, (name, now)).await {
            Ok(sent) => Charged::Yes { reference: format!("{:#x}", sent.hash) },
            // Nobody else can have sent it either: it has not so much.
            Err(WalletError::Insufficient { why }) => declined(Decline::Soft, "insufficient_funds", &why),
            // Also when another transaction of this name is on its way.
            Err(error) => unknown(&error),
        }
    }

    async fn lookup(&self, charge: &Charge) -> Found {
        let Some((token, name)) = self.read(charge) else { return Found::Attempt(misfit()) };
        match self.find(token, name, charge).await {
            Err(error) => Found::Attempt(unknown(&error)),
            Ok(found) => match made(found) {
                Some(made) => Found::Attempt(made),
                None if charge.now.unix_ms().saturating_sub(charge.began.unix_ms()) < VALID_MS => {
                    Found::Attempt(Charged::Unknown { why: "it may still be on its way".to_owned() })
                }
                None => Found::Nothing,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::name;

    #[test]
    fn an_attempt_has_one_name_on_the_chain() {
        let (one, two) = (format!("top_{:032x}", 0x100), format!("top_{:032x}", 0x200));
        assert_eq!(name(&one), name(&one));
        assert_ne!(name(&one), name(&two));
        assert_eq!(name("top_1"), None);
    }
}
