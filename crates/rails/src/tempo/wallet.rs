//! [`Wallet`]: balances and plain transfers on one chain, for people. Payments of challenges go through
//! [`TempoPayer`](super::TempoPayer).

use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, TxKind, U256};
use alloy_sol_types::SolCall;
use farthing_money::{Amount, Asset};
use farthing_protocol::UnixMs;
use tempo_primitives::transaction::Call;

use super::abi::Tip20;
use super::broadcast::{self, Broadcast, Patience, Raw};
use super::compose::{self, ComposeError, Intention, Nonce};
use super::key::PrivateKey;
use super::receipt::TxReceipt;
use super::request::Fee;
use super::rpc::{RpcError, TempoRpc};
use super::{tokens, transaction};

/// Why a wallet could not do something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WalletError {
    /// The node did not do its part.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// Less than is to be sent, or nothing to pay the fee with.
    #[error("{why}")]
    Insufficient {
        /// What is held and what is needed.
        why: String,
    },
    /// The transfer would fail, or was refused. Nothing has moved.
    #[error("{why}")]
    Refused {
        /// Why.
        why: String,
    },
    /// The node was not reached. Nothing has moved.
    #[error("{why}")]
    NotSent {
        /// Why.
        why: String,
    },
    /// It was sent and its outcome is not known.
    #[error("the transfer {hash} was sent and its outcome is not known yet: {why}")]
    Unknown {
        /// What to look for.
        hash: B256,
        /// What went wrong.
        why: String,
    },
}

impl WalletError {
    /// The stable code of the failure, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Rpc(error) => error.code(),
            Self::Insufficient { .. } => "insufficient_funds",
            Self::Refused { .. } => "transfer_refused",
            Self::NotSent { .. } => "rpc_unavailable",
            Self::Unknown { .. } => "outcome_unknown",
        }
    }
}

/// A transfer that is to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transfer {
    /// The token.
    pub token: Address,
    /// Who receives.
    pub to: Address,
    /// How much.
    pub amount: Amount,
    /// With which memo.
    pub memo: Option<B256>,
}

/// A transfer that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// The transaction's hash.
    pub hash: B256,
    /// The block that holds it.
    pub block: Option<u64>,
}

/// Balances and transfers on one chain.
#[derive(Debug, Clone)]
pub struct Wallet {
    chain_id: u64,
    pub(super) rpc: TempoRpc,
}

impl Wallet {
    /// A wallet on a chain.
    #[must_use]
    pub const fn new(chain_id: u64, rpc: TempoRpc) -> Self {
        Self { chain_id, rpc }
    }

    /// What `account` holds of `token`.
    ///
    /// # Errors
    /// [`WalletError::Rpc`].
    pub async fn balance(&self, token: Address, account: Address) -> Result<Amount, WalletError> {
        self.rpc.expect_chain(self.chain_id).await?;
        let balance = self.rpc.balance(token, account).await?;
        // Faucets of local chains give more than 128 bits can count.
        Ok(Amount::from_base(balance.saturating_to::<u128>()))
    }

    /// The token's own decimals.
    ///
    /// # Errors
    /// [`WalletError::Rpc`].
    pub async fn decimals(&self, token: Address) -> Result<u8, WalletError> {
        let answer = self.rpc.call(token, Tip20::decimalsCall {}.abi_encode()).await?;
        Tip20::decimalsCall::abi_decode_returns(&answer).map_err(|_| not_a_token().into())
    }

    /// The token's own symbol: a claim, not a name to trust.
    ///
    /// # Errors
    /// [`WalletError::Rpc`].
    pub async fn symbol(&self, token: Address) -> Result<String, WalletError> {
        let answer = self.rpc.call(token, Tip20::symbolCall {}.abi_encode()).await?;
        Tip20::symbolCall::abi_decode_returns(&answer).map_err(|_| not_a_token().into())
    }

    /// The asset that `token` is here.
    #[must_use]
    pub fn asset(&self, token: Address) -> Asset {
        tokens::asset(self.chain_id, token)
    }

    /// Makes a transfer from `key`'s account and waits until it is in a block.
    ///
    /// # Errors
    /// [`WalletError`]; [`WalletError::Unknown`] when it may have happened.
    pub async fn send(&self, key: &PrivateKey, transfer: Transfer, now: UnixMs) -> Result<Sent, WalletError> {
        self.send_with(key, transfer, (Nonce::Expiring, now)).await
    }

    pub(super) async fn send_with(
        &self,
        key: &PrivateKey,
        transfer: Transfer,
        (nonce, now): (Nonce, UnixMs),
    ) -> Result<Sent, WalletError> {
        self.rpc.expect_chain(self.chain_id).await?;
        let intention = Intention {
            chain_id: self.chain_id,
            sender: key.address(),
            token: transfer.token,
            amount: transfer.amount,
            calls: vec![call(&transfer)],
            fee: Fee::Payer,
            fee_tokens: Vec::new(),
            now,
            valid_until: None,
            nonce,
        };
        let tx = compose::compose(&self.rpc, &intention).await.map_err(composed)?;
        let signed = transaction::sign(key, tx);
        let (bytes, hash) = (signed.encoded_2718(), *signed.hash());
        match broadcast::broadcast(&self.rpc, Raw { bytes: &bytes, hash }, Patience::BLOCKS).await {
            Broadcast::Included(receipt) => sent(&receipt),
            Broadcast::Refused { why } => Err(WalletError::Refused { why }),
            Broadcast::NotSent { why } => Err(WalletError::NotSent { why }),
            Broadcast::Lost { why } => Err(WalletError::Unknown { hash, why }),
        }
    }

    /// Waits for the receipt of a transaction that was sent before; `None` when it is not in a block yet.
    ///
    /// # Errors
    /// [`WalletError::Refused`] when it failed on the chain, [`WalletError::Rpc`].
    pub async fn receipt(&self, hash: B256) -> Result<Option<Sent>, WalletError> {
        self.rpc.receipt(hash).await?.map(|receipt| sent(&receipt)).transpose()
    }
}

pub(super) fn call(transfer: &Transfer) -> Call {
    let (to, amount) = (transfer.to, U256::from(transfer.amount.base()));
    let input = match transfer.memo {
        Some(memo) => Tip20::transferWithMemoCall { to, amount, memo }.abi_encode(),
        None => Tip20::transferCall { to, amount }.abi_encode(),
    };
    Call { to: TxKind::Call(transfer.token), value: U256::ZERO, input: input.into() }
}

fn sent(receipt: &TxReceipt) -> Result<Sent, WalletError> {
    if !receipt.succeeded() {
        return Err(WalletError::Refused { why: "the transfer failed on the chain".to_owned() });
    }
    Ok(Sent { hash: receipt.transaction_hash, block: receipt.block_number.map(|number| number.to::<u64>()) })
}

fn not_a_token() -> RpcError {
    RpcError::Unknown { method: "eth_call", detail: "there is no TIP-20 token at this address".into() }
}

pub(super) fn composed(error: ComposeError) -> WalletError {
    match error {
        ComposeError::Rpc(error) => error.into(),
        ComposeError::Insufficient { .. } | ComposeError::NoFeeToken { .. } => {
            WalletError::Insufficient { why: error.to_string() }
        }
        ComposeError::TooLate | ComposeError::WouldFail { .. } => {
            WalletError::Refused { why: error.to_string() }
        }
    }
}
