//! Why a transaction is not included. One stable code for each rule, in the order in which they are checked.

use alloy_primitives::{Address, U256};

/// A rule that a transaction breaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// No bytes.
    #[error("Empty transaction data")]
    Empty,
    /// More bytes than a node's pool takes.
    #[error("transaction of {size} bytes is larger than {max_allowed}")]
    TooLarge {
        /// How many there are.
        size: usize,
        /// How many there may be.
        max_allowed: usize,
    },
    /// A fee-payer envelope was broadcast instead of the transaction that comes out of it.
    #[error(
        "0x78 is the envelope that a sender hands to a fee payer; broadcast the 0x76 transaction that the fee payer signs"
    )]
    FeePayerEnvelope,
    /// Not a transaction.
    #[error("Failed to decode transaction: {reason}")]
    Undecodable {
        /// What the decoder said.
        reason: String,
    },
    /// The signature belongs to nobody.
    #[error("Failed to recover the signer")]
    Signer,
    /// A kind of transaction that the sandbox cannot execute.
    #[error("the sandbox does not execute {what}; use a Tempo node or anvil --network tempo for that")]
    Unsupported {
        /// What it is.
        what: &'static str,
    },
    /// Signed for another chain, or for any.
    #[error("invalid chain id for signer: this chain is {expected}")]
    ChainId {
        /// This chain's id.
        expected: u64,
    },
    /// Native value cannot move: there is none.
    #[error("native value transfer not allowed in Tempo mode")]
    Value,
    /// More than a block can hold.
    #[error("intrinsic gas too high -- tx.gas_limit > env.block.gas_limit")]
    GasLimit,
    /// More calls than the pool takes.
    #[error("Too many calls in AA transaction: {count} exceeds maximum allowed {max_allowed}")]
    TooManyCalls {
        /// How many there are.
        count: usize,
        /// How many there may be.
        max_allowed: usize,
    },
    /// Priority fee above the whole fee.
    #[error("max priority fee per gas higher than max fee per gas")]
    PriorityFee,
    /// Fee below what a block asks.
    #[error("max fee per gas less than block base fee")]
    BaseFee,
    /// Not even enough gas to begin.
    #[error("intrinsic gas too low -- gas limit {limit}, needed {needed}")]
    IntrinsicGas {
        /// What the transaction allows.
        limit: u64,
        /// What it needs before the first call.
        needed: u64,
    },
    /// The fee payer's signature belongs to nobody.
    #[error("fee payer signature recovery failed")]
    FeePayerSignature,
    /// Nobody sponsors themselves.
    #[error("fee payer cannot resolve to sender")]
    SelfSponsored,
    /// An expiring nonce without an expiry.
    #[error("expiring nonce transaction requires valid_before to be set")]
    ExpiringWithoutExpiry,
    /// An expiring nonce with a sequence number.
    #[error("expiring nonce transaction must have nonce == 0")]
    ExpiringNonceNotZero,
    /// Too late.
    #[error("transaction expired: current block timestamp {current} >= validBefore {valid_before}")]
    Expired {
        /// The block's timestamp.
        current: u64,
        /// The transaction's bound.
        valid_before: u64,
    },
    /// Later than an expiring nonce may be.
    #[error(
        "expiring nonce valid_before ({valid_before}) too far in the future: must be within {window_s}s of block timestamp ({current})"
    )]
    TooFarAhead {
        /// The block's timestamp.
        current: u64,
        /// The transaction's bound.
        valid_before: u64,
        /// How far ahead it may be.
        window_s: u64,
    },
    /// Too early.
    #[error("transaction not valid yet: current block timestamp {current} < validAfter {valid_after}")]
    TooEarly {
        /// The block's timestamp.
        current: u64,
        /// The transaction's bound.
        valid_after: u64,
    },
    /// Too early for the pool to hold it.
    #[error("valid_after {valid_after} must be <= {max_allowed}")]
    TooEarlyToHold {
        /// The transaction's bound.
        valid_after: u64,
        /// How late it may be.
        max_allowed: u64,
    },
    /// The expiring nonce was used.
    #[error("nonce manager error: expiring nonce replay")]
    Replay,
    /// No room for another expiring nonce.
    #[error("nonce manager error: expiring nonce set is full")]
    ExpiringSetFull,
    /// The nonce was used.
    #[error("nonce too low: next is {expected}, transaction has {actual}")]
    NonceTooLow {
        /// The next nonce.
        expected: u64,
        /// The transaction's.
        actual: u64,
    },
    /// Transactions before this one are missing.
    #[error("nonce too high: next is {expected}, transaction has {actual}")]
    NonceTooHigh {
        /// The next nonce.
        expected: u64,
        /// The transaction's.
        actual: u64,
    },
    /// Fees can only be paid in a token.
    #[error("fee token {token} is not a TIP-20 token; fee tokens must be TIP-20 tokens")]
    FeeToken {
        /// What was named.
        token: Address,
    },
    /// The fee payer cannot pay.
    #[error("insufficient fee token balance: have {available}, need {required}")]
    FeeBalance {
        /// What the payer holds, in base units of the fee token.
        available: U256,
        /// What the transaction may cost at most.
        required: U256,
    },
    /// Already waiting.
    #[error("transaction already imported")]
    AlreadyKnown,
    /// No room.
    #[error("the sandbox's mempool is full ({limit} transactions wait); mine a block")]
    MempoolFull {
        /// How many may wait.
        limit: usize,
    },
}

impl Refusal {
    /// A stable code for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLarge { .. } => "too_large",
            Self::FeePayerEnvelope => "fee_payer_envelope",
            Self::Undecodable { .. } => "undecodable",
            Self::Signer => "signer",
            Self::Unsupported { .. } => "unsupported",
            Self::ChainId { .. } => "chain_id",
            Self::Value => "value",
            Self::GasLimit => "gas_limit",
            Self::TooManyCalls { .. } => "too_many_calls",
            Self::PriorityFee => "priority_fee",
            Self::BaseFee => "base_fee",
            Self::IntrinsicGas { .. } => "intrinsic_gas",
            Self::FeePayerSignature => "fee_payer_signature",
            Self::SelfSponsored => "self_sponsored",
            Self::ExpiringWithoutExpiry => "expiring_without_expiry",
            Self::ExpiringNonceNotZero => "expiring_nonce_not_zero",
            Self::Expired { .. } => "expired",
            Self::TooFarAhead { .. } => "too_far_ahead",
            Self::TooEarly { .. } => "too_early",
            Self::TooEarlyToHold { .. } => "too_early_to_hold",
            Self::Replay => "replay",
            Self::ExpiringSetFull => "expiring_set_full",
            Self::NonceTooLow { .. } => "nonce_too_low",
            Self::NonceTooHigh { .. } => "nonce_too_high",
            Self::FeeToken { .. } => "fee_token",
            Self::FeeBalance { .. } => "fee_balance",
            Self::AlreadyKnown => "already_known",
            Self::MempoolFull { .. } => "mempool_full",
        }
    }

    /// Whether time or another transaction can make this one valid, so that it is worth holding.
    pub(crate) const fn may_pass(&self) -> bool {
        matches!(self, Self::TooEarly { .. } | Self::NonceTooHigh { .. })
    }

    /// Whether the bytes were no transaction at all, which JSON-RPC calls invalid parameters.
    pub(crate) const fn malformed(&self) -> bool {
        matches!(self, Self::Empty | Self::FeePayerEnvelope | Self::Undecodable { .. } | Self::Signer)
    }
}
