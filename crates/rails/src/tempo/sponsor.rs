//! Paying the fee of a payer's transaction: what a sponsor agrees to, and the fee payer's signature (TC7). Spending is
//! bounded by a budget that the store enforces; this module says what one transaction can cost at most.

use alloy_primitives::{Address, U256};
use farthing_money::Amount;
use farthing_protocol::UnixMs;
use farthing_protocol::ports::Reservation;
use tempo_primitives::transaction::TEMPO_EXPIRING_NONCE_KEY;
use tempo_primitives::{AASigned, TempoTransaction};

use super::error::ChargeError;
use super::key::PrivateKey;
use super::transaction::SignedCharge;
use super::{MODERATO, tokens};

/// What a sponsor agrees to pay for (WIRE.md, "Sponsor policy in practice"). Prices are in attodollars a gas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SponsorPolicy {
    /// The most gas.
    pub max_gas: u64,
    /// The highest price.
    pub max_fee_per_gas: u128,
    /// The highest tip.
    pub max_priority_fee_per_gas: u128,
    /// The most that gas and price may come to.
    pub max_total_fee: u128,
    /// The longest that a transaction may stay valid, in seconds.
    pub max_window_s: u64,
    /// The least time that must be left to broadcast it, in seconds.
    pub min_left_s: u64,
}

impl SponsorPolicy {
    /// The policy that the SDKs share for a chain.
    #[must_use]
    pub const fn for_chain(chain_id: u64) -> Self {
        const GWEI: u128 = 1_000_000_000;
        Self {
            max_gas: 2_000_000,
            max_fee_per_gas: 100 * GWEI,
            max_priority_fee_per_gas: if chain_id == MODERATO { 50 * GWEI } else { 10 * GWEI },
            max_total_fee: 50_000_000 * GWEI,
            max_window_s: 900,
            min_left_s: 15,
        }
    }

    /// Checks a transaction that asks for a fee payer, before anything is signed.
    ///
    /// # Errors
    /// [`ChargeError::SponsorPolicy`], with a code for each rule.
    pub fn check(&self, signed: &SignedCharge, now: UnixMs) -> Result<(), ChargeError> {
        let tx = signed.tx();
        let valid_before = tx.valid_before.ok_or(ChargeError::NoValidBefore)?.get();
        let (now, fee) = (now.as_secs(), tx.max_fee_per_gas);
        let total = u128::from(tx.gas_limit).saturating_mul(fee);
        let rules: [(bool, &'static str, &'static str); 13] = [
            (
                signed.access_key().is_none(),
                "sponsor_access_key",
                "a sponsored transaction is signed by the account itself, not by an access key",
            ),
            (
                // A simulation cannot know what the verification of another kind costs.
                signed.access_key().is_some() || signed.signed_plainly(),
                "sponsor_signature_kind",
                "a sponsored transaction is signed with secp256k1, not with P-256 or WebAuthn",
            ),
            (
                tx.fee_token.is_none(),
                "sponsor_fee_token",
                "a sponsored transaction must not include fee_token: the sponsor sets it",
            ),
            (
                tx.nonce_key == TEMPO_EXPIRING_NONCE_KEY,
                "sponsor_nonce_key",
                "a sponsored transaction must use expiring nonce key 2^256-1",
            ),
            (tx.gas_limit <= self.max_gas, "sponsor_gas", "the gas limit exceeds sponsor policy"),
            (fee <= self.max_fee_per_gas, "sponsor_fee", "the max fee per gas exceeds sponsor policy"),
            (
                tx.max_priority_fee_per_gas <= fee,
                "sponsor_priority_over_fee",
                "the max priority fee per gas exceeds the max fee per gas",
            ),
            (
                tx.max_priority_fee_per_gas <= self.max_priority_fee_per_gas,
                "sponsor_priority",
                "the max priority fee per gas exceeds sponsor policy",
            ),
            (total <= self.max_total_fee, "sponsor_total", "the total fee exceeds sponsor policy"),
            (
                valid_before <= now.saturating_add(self.max_window_s),
                "sponsor_window",
                "the validity window exceeds sponsor policy",
            ),
            (
                valid_before >= now.saturating_add(self.min_left_s),
                "sponsor_too_late",
                "the transaction ends too soon to be sponsored",
            ),
            (
                tx.access_list.is_empty(),
                "sponsor_access_list",
                "an access list is not allowed in a sponsored transaction",
            ),
            (
                tx.key_authorization.is_none() && tx.tempo_authorization_list.is_empty(),
                "sponsor_authorization",
                "an authorization is not allowed in a sponsored transaction",
            ),
        ];
        rules
            .into_iter()
            .find(|(holds, ..)| !holds)
            .map_or(Ok(()), |(_, code, why)| Err(ChargeError::SponsorPolicy { code, why }))
    }
}

/// How a seller sponsors fees.
#[derive(Debug, Clone)]
pub struct Sponsorship {
    /// The account that pays the fees.
    pub key: PrivateKey,
    /// What it agrees to.
    pub policy: SponsorPolicy,
    /// Tokens to pay in; the first with enough balance is used.
    pub fee_tokens: Vec<Address>,
    /// The most that may be spent in 24 hours, in base units of the fee token.
    pub daily_limit: Amount,
}

impl Sponsorship {
    /// The window of the budget, in milliseconds: 24 hours.
    pub const WINDOW_MS: u64 = 24 * 60 * 60 * 1000;

    /// Sponsors with the policy and the fee tokens that are usual on a chain.
    #[must_use]
    pub fn new(chain_id: u64, key: PrivateKey, daily_limit: Amount) -> Self {
        Self {
            key,
            policy: SponsorPolicy::for_chain(chain_id),
            fee_tokens: tokens::default_fee_tokens(chain_id).to_vec(),
            daily_limit,
        }
    }

    /// What settling `tx` counts against.
    #[must_use]
    pub fn reservation(&self, tx: &TempoTransaction) -> Reservation {
        Reservation {
            budget: format!("tempo:{}:sponsor", tx.chain_id),
            amount: max_fee(tx),
            limit: self.daily_limit,
            window_ms: Self::WINDOW_MS,
        }
    }
}

/// The most that `tx` can cost in fees, in base units of the fee token, rounded up.
#[must_use]
pub fn max_fee(tx: &TempoTransaction) -> Amount {
    fee_bound(tx.gas_limit, tx.max_fee_per_gas)
}

/// The fee of `gas` at `price` attodollars a gas, in base units (10^-6 dollars), rounded up.
#[must_use]
pub fn fee_bound(gas: u64, price: u128) -> Amount {
    let fee = (U256::from(gas) * U256::from(price)).div_ceil(U256::from(1_000_000_000_000_u64));
    Amount::from_base(u128::try_from(fee).unwrap_or(u128::MAX))
}

/// Signs as fee payer, with the fee in `fee_token`. Deterministic. Checks nothing: see [`SponsorPolicy::check`].
#[must_use]
pub fn cosign(signed: &SignedCharge, key: &PrivateKey, fee_token: Address) -> AASigned {
    let mut tx = signed.tx().clone();
    tx.fee_token = Some(fee_token);
    let digest = tx.fee_payer_signature_hash(signed.sender());
    tx.fee_payer_signature = Some(key.sign(digest));
    signed.cosigned(tx)
}

#[cfg(test)]
mod tests;
