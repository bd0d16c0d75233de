//! Writing a transaction: validity, gas, price and fee token. It signs and sends nothing.

use std::num::NonZeroU64;

use alloy_primitives::{Address, U64, U128, U256};
use farthing_money::Amount;
use farthing_protocol::UnixMs;
use serde_json::json;
use tempo_primitives::TempoTransaction;
use tempo_primitives::transaction::{Call, FEE_PAYER_SIGNATURE_MARKER, TEMPO_EXPIRING_NONCE_KEY};

use super::request::Fee;
use super::rpc::{Head, RpcError, TempoRpc, calls_json};
use super::sponsor::fee_bound;
use super::tokens;

/// How long a transaction stays valid, in seconds: under the chain's cap of 30 (WIRE.md, "Tempo charge").
const VALID_S: u64 = 25;
/// The tip, in attodollars a gas.
const PRIORITY_FEE: u128 = 1_000_000_000;
/// Added to an estimate: it varies.
const GAS_BUFFER: u64 = 5_000;

/// What is to be done.
#[derive(Debug, Clone)]
pub(super) struct Intention {
    pub(super) chain_id: u64,
    pub(super) sender: Address,
    pub(super) token: Address,
    /// What leaves the sender in `token`, fees aside.
    pub(super) amount: Amount,
    pub(super) calls: Vec<Call>,
    pub(super) fee: Fee,
    /// Configured tokens for fees; empty for the usual ones.
    pub(super) fee_tokens: Vec<Address>,
    pub(super) now: UnixMs,
    /// The latest end of validity, in Unix seconds.
    pub(super) valid_until: Option<u64>,
    pub(super) nonce: Nonce,
}

/// What keeps a transaction from being executed twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nonce {
    /// The chain remembers its hash until it ends: any number of them go side by side, and no nonce is asked for.
    Expiring,
    /// The account's own: of all transactions with this nonce, the chain executes one.
    Account(u64),
    /// A sequence of its own, of which only the first is used: of all transactions with this key, the chain executes one.
    Once(U256),
}

impl Nonce {
    const fn key(self) -> U256 {
        match self {
            Self::Expiring => TEMPO_EXPIRING_NONCE_KEY,
            Self::Account(_) => U256::ZERO,
            Self::Once(key) => key,
        }
    }

    const fn number(self) -> u64 {
        match self {
            Self::Expiring | Self::Once(_) => 0,
            Self::Account(nonce) => nonce,
        }
    }
}

/// Why no transaction could be written. Nothing was signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ComposeError {
    #[error(transparent)]
    Rpc(#[from] RpcError),
    #[error("the account holds {available} base units, and {required} are needed")]
    Insufficient { available: Amount, required: Amount },
    #[error("the account holds no token that pays the network's fee: it needs {required} base units of one")]
    NoFeeToken { required: Amount },
    #[error("too little time is left to pay before the challenge expires")]
    TooLate,
    #[error("the payment would fail on the chain: {why}")]
    WouldFail { why: String },
}

/// Writes the transaction.
pub(super) async fn compose(rpc: &TempoRpc, it: &Intention) -> Result<TempoTransaction, ComposeError> {
    let (balance, head) = tokio::try_join!(rpc.balance(it.token, it.sender), rpc.head())?;
    let available = amount(balance);
    if available < it.amount {
        return Err(ComposeError::Insufficient { available, required: it.amount });
    }
    let mut tx = draft(it, head)?;
    match it.fee {
        Fee::Seller => {
            tx.gas_limit = sponsored_gas(rpc, it, &tx).await;
            // A marker in the fee payer's place, and no fee token: the sender leaves both to the sponsor (TC7).
            tx.fee_payer_signature = Some(FEE_PAYER_SIGNATURE_MARKER);
        }
        Fee::Payer => {
            // An order of magnitude before the estimate, which needs a token to be made.
            let rough = fee_bound(rough_gas(it), tx.max_fee_per_gas);
            let (token, left) = fee_token(rpc, it, available, rough).await?;
            tx.fee_token = Some(token);
            let short = |fee: Amount| {
                let required = it.amount.checked_add(fee).unwrap_or(Amount::MAX);
                if token == it.token {
                    ComposeError::Insufficient { available, required }
                } else {
                    ComposeError::NoFeeToken { required: fee }
                }
            };
            let most = affordable_gas(left, tx.max_fee_per_gas);
            tx.gas_limit = match estimate(rpc, it, &tx, most).await {
                Ok(gas) => gas,
                Err(RpcError::Rejected { message, .. }) if names_funds(&message) => return Err(short(rough)),
                Err(RpcError::Rejected { message, .. }) => {
                    return Err(ComposeError::WouldFail { why: message });
                }
                Err(error) => return Err(error.into()),
            };
            let fee = fee_bound(tx.gas_limit, tx.max_fee_per_gas);
            if left < fee {
                return Err(short(fee));
            }
        }
    }
    Ok(tx)
}

fn amount(value: U256) -> Amount {
    Amount::from_base(value.saturating_to::<u128>())
}

fn draft(it: &Intention, head: Head) -> Result<TempoTransaction, ComposeError> {
    // The chain compares with its own clock, which may be ahead of ours.
    let start = it.now.as_secs().max(head.timestamp);
    let valid_before = start.saturating_add(VALID_S).min(it.valid_until.unwrap_or(u64::MAX));
    if valid_before <= start.saturating_add(1) {
        return Err(ComposeError::TooLate);
    }
    Ok(TempoTransaction {
        chain_id: it.chain_id,
        max_priority_fee_per_gas: PRIORITY_FEE,
        max_fee_per_gas: price(head),
        calls: it.calls.clone(),
        nonce_key: it.nonce.key(),
        nonce: it.nonce.number(),
        valid_before: NonZeroU64::new(valid_before),
        ..TempoTransaction::default()
    })
}

/// The most that is paid a gas, in attodollars: what the newest block costs may double until it is executed.
pub(super) const fn price(head: Head) -> u128 {
    head.base_fee.saturating_mul(2).saturating_add(PRIORITY_FEE)
}

/// A first transfer to an account costs about 250,000 gas, later ones 50,000.
fn rough_gas(it: &Intention) -> u64 {
    let calls = u64::try_from(it.calls.len()).unwrap_or(u64::MAX);
    calls.saturating_mul(50_000).saturating_add(50_000)
}

/// The first token that can pay the fee, and what is left of it when the payment is made.
async fn fee_token(
    rpc: &TempoRpc,
    it: &Intention,
    available: Amount,
    fee: Amount,
) -> Result<(Address, Amount), ComposeError> {
    let usual = std::iter::once(it.token)
        .filter(|token| tokens::pays_fees(*token))
        .chain(tokens::default_fee_tokens(it.chain_id).iter().copied());
    let candidates: Vec<Address> =
        if it.fee_tokens.is_empty() { usual.collect() } else { it.fee_tokens.clone() };
    for token in candidates {
        let left = if token == it.token {
            available.checked_sub(it.amount).unwrap_or(Amount::ZERO)
        } else {
            amount(rpc.balance(token, it.sender).await?)
        };
        if left >= fee {
            return Ok((token, left));
        }
    }
    Err(ComposeError::NoFeeToken { required: fee })
}

/// The gas that `left` base units pay for at `price`, within what a simulation may use. A node reserves the fee of all the
/// gas that an estimate allows, so a small wallet must not ask for more than it can pay.
fn affordable_gas(left: Amount, price: u128) -> u64 {
    let attodollars = U256::from(left.base()).saturating_mul(U256::from(1_000_000_000_000_u64));
    let gas = attodollars.checked_div(U256::from(price)).unwrap_or(U256::MAX);
    gas.saturating_to::<u64>().min(TempoRpc::SIMULATION_GAS)
}

fn names_funds(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("insufficient")
        || message.contains("exceeds allowance")
        || message.contains("out of gas")
}

async fn estimate(rpc: &TempoRpc, it: &Intention, tx: &TempoTransaction, most: u64) -> Result<u64, RpcError> {
    let mut request = json!({
        "from": it.sender,
        "type": "0x76",
        "chainId": U64::from(it.chain_id),
        "calls": calls_json(&it.calls),
        "nonce": U64::from(tx.nonce),
        "nonceKey": tx.nonce_key,
        "validBefore": U64::from(tx.valid_before.map_or(0, NonZeroU64::get)),
        "gas": U64::from(most),
    });
    if let (Some(token), Some(fields)) = (tx.fee_token, request.as_object_mut()) {
        fields.insert("feeToken".into(), json!(token));
        fields.insert("maxFeePerGas".into(), json!(U128::from(tx.max_fee_per_gas)));
        fields.insert("maxPriorityFeePerGas".into(), json!(U128::from(tx.max_priority_fee_per_gas)));
    }
    let gas = rpc.estimate_gas(request).await?;
    Ok(gas.saturating_add(gas / 10).saturating_add(GAS_BUFFER))
}

/// An estimate where the node makes one for an account that may hold nothing to pay fees with; else enough for the calls
/// within what sponsors agree to.
async fn sponsored_gas(rpc: &TempoRpc, it: &Intention, tx: &TempoTransaction) -> u64 {
    const MOST: u64 = 1_000_000;
    let fallback = rough_gas(it).saturating_mul(5).min(MOST);
    estimate(rpc, it, tx, TempoRpc::SIMULATION_GAS).await.unwrap_or(fallback)
}
