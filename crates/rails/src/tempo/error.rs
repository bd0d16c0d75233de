//! [`ChargeError`]: which rule of a Tempo charge is broken. One variant, and one stable code, a rule.

use alloy_primitives::{Address, U256};
use farthing_protocol::ports::Declined;
use farthing_protocol::{Problem, ProblemKind};

use super::key::KeyError;

/// Why a request, a payload, a transaction or a receipt is not what a charge needs. Never repeats a transaction or a
/// signature (C19).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChargeError {
    /// The request is not a JSON object.
    #[error("the charge request cannot be read: {why}")]
    RequestUnreadable {
        /// What is wrong, without the content.
        why: String,
    },
    /// A field that a charge needs.
    #[error("the charge request has no `{field}`")]
    FieldMissing {
        /// The field.
        field: &'static str,
    },
    /// A field that does not hold what it should.
    #[error("`{field}` of the charge request is not {expected}")]
    FieldInvalid {
        /// The field.
        field: &'static str,
        /// What it should hold.
        expected: &'static str,
    },
    /// No split, or more than ten (TC5).
    #[error("a charge has 1 to {max} splits where it has any, not {given}")]
    SplitCount {
        /// The most there may be.
        max: usize,
        /// How many there are.
        given: usize,
    },
    /// A split of nothing (TC5).
    #[error("a split of the charge is zero: every split must be more")]
    SplitZero,
    /// Splits that leave nothing for the recipient (TC5, TC10).
    #[error("the splits add up to the whole amount or more: something has to be left for the recipient")]
    SplitSum,
    /// A split memo that looks like an attribution memo: the split could be claimed for another challenge.
    #[error("a split's memo must not be an attribution memo")]
    SplitMemo,
    /// A memo of the merchant's own on the primary transfer, which no SDK supports any more.
    #[error("a memo of the merchant's own on the primary transfer is not supported")]
    MemoUnsupported,
    /// The payload cannot be read.
    #[error("the payment payload cannot be read: {why}")]
    PayloadUnreadable {
        /// What is wrong, without the content.
        why: &'static str,
    },
    /// A way to pay that the challenge does not offer (TC2).
    #[error("the challenge does not offer to be paid by `{mode}`")]
    ModeNotOffered {
        /// The way: `pull` or `push`.
        mode: &'static str,
    },
    /// A hash, where the seller sponsors the fee (TC1).
    #[error("a charge whose fee the seller sponsors is paid with a transaction, not with a hash")]
    SponsoredPush,
    /// A zero amount paid by something else than a proof, or a proof for money (TC6).
    #[error("a price of zero is answered with a proof, and any other price with a payment")]
    ProofAndAmount,
    /// Terms that are not those of this rail.
    #[error("`{field}` of the challenge is not what this seller asks for")]
    TermsDiffer {
        /// The field that differs.
        field: &'static str,
    },
    /// The transaction cannot be decoded.
    #[error("the transaction cannot be read: {why}")]
    TransactionUnreadable {
        /// What is wrong, without the content.
        why: String,
    },
    /// Another chain than the challenge's.
    #[error("the payment is for chain {given}, the challenge for chain {expected}")]
    WrongChain {
        /// The challenge's.
        expected: u64,
        /// The payment's.
        given: u64,
    },
    /// A call that is not a transfer of the currency (TC3).
    #[error("the transaction does something else than transfer the currency: {why}")]
    CallRefused {
        /// What it does.
        why: &'static str,
    },
    /// A leg of the payment that nothing pays (TC3, TC4).
    #[error(
        "no matching payment call found: nothing pays {amount} base units to {recipient} with the memo that it needs"
    )]
    TransferMissing {
        /// Who should have received it.
        recipient: Address,
        /// How much.
        amount: U256,
    },
    /// More transfers than the charge asks for.
    #[error("the transaction contains unauthorized extra calls: {given} instead of {expected}")]
    ExtraCalls {
        /// How many the charge has.
        expected: usize,
        /// How many there are.
        given: usize,
    },
    /// A transfer that is attributed to another challenge or another seller.
    #[error("no matching payment call found: the memo names another challenge")]
    MemoOfAnother,
    /// No end of validity: the payer could be charged long after.
    #[error("the transaction has no validBefore")]
    NoValidBefore,
    /// The end of validity has passed.
    #[error("the transaction was valid until {valid_before}, and it is {now} (Unix seconds)")]
    TransactionExpired {
        /// When it ended.
        valid_before: u64,
        /// The instant of the check.
        now: u64,
    },
    /// Valid for longer than the challenge (TC8).
    #[error(
        "the transaction is valid until {valid_before}, past the challenge's expiry at {limit} (Unix seconds)"
    )]
    ValidTooLong {
        /// When it ends.
        valid_before: u64,
        /// The latest that it may end.
        limit: u64,
    },
    /// Not valid yet.
    #[error("the transaction is not valid before {valid_after} (Unix seconds)")]
    NotYetValid {
        /// When it begins.
        valid_after: u64,
    },
    /// A signature that does not verify.
    #[error("the sender's signature does not verify: {0}")]
    BadSignature(KeyError),
    /// A signature of a kind that is not accepted here.
    #[error("the sender's signature is of a kind that is not accepted here: {why}")]
    SignatureKind {
        /// Which, and why not.
        why: &'static str,
    },
    /// A source that is not a `did:pkh` of this chain.
    #[error("`source` is not a did:pkh of this chain")]
    SourceInvalid,
    /// A proof without a source (TC6).
    #[error("a proof needs a `source`")]
    SourceMissing,
    /// A source that did not sign.
    #[error("`source` is not the account that pays")]
    SourceDiffers,
    /// A fee payer where the challenge offers none.
    #[error("the transaction asks for a fee payer, and the challenge offers none")]
    SponsorNotOffered,
    /// No place for the fee payer where the challenge offers one.
    #[error("the challenge sponsors the fee, and the transaction leaves no place for the fee payer")]
    SponsorNotAsked,
    /// A rule of the sponsor's policy.
    #[error("{why}")]
    SponsorPolicy {
        /// The stable code of the rule.
        code: &'static str,
        /// What is wrong.
        why: &'static str,
    },
    /// A kind of nonce whose state no node tells, so that nobody knows whether the transaction can be included.
    #[error("a payment uses the expiring nonce key 2^256-1 with nonce 0, or key 0")]
    NonceKeyRefused,
    /// A nonce that is used up or not yet due.
    #[error("the transaction's nonce is {given}, and the account's next one is {expected}")]
    NonceNotCurrent {
        /// The account's next.
        expected: u64,
        /// The transaction's.
        given: u64,
    },
    /// A price that no block takes now.
    #[error("the transaction pays at most {given} a gas, and a block asks for {base}")]
    FeeBelowBase {
        /// What a block asks, in attodollars.
        base: u128,
        /// What the transaction allows, in attodollars.
        given: u128,
    },
    /// The chain executed the transaction, and what it moved did not reach whom it names: a receive policy (TIP-1028).
    #[error("the transaction succeeded on the chain, and the payment did not reach its recipients")]
    LegsMissing,
    /// The challenge has expired, and the money had not moved before.
    #[error("the challenge has expired, and the payment had not been made before")]
    ChallengeExpired,
    /// The chain executed the transaction and it failed.
    #[error("the transaction failed on the chain")]
    Reverted,
    /// The chain would not execute the transaction.
    #[error("the transaction would fail: {why}")]
    WouldRevert {
        /// The node's word, shortened.
        why: String,
    },
    /// Less money than the payment takes.
    #[error("the account holds {available} base units, and the payment takes {required}")]
    Insufficient {
        /// What it holds.
        available: U256,
        /// What is needed.
        required: U256,
    },
    /// The access key that signed is not one of the account's, or has expired.
    #[error("the access key that signed is not authorised for the account")]
    KeyNotAuthorised,
}

impl ChargeError {
    /// The stable code of the broken rule, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::RequestUnreadable { .. } => "request_unreadable",
            Self::FieldMissing { .. } => "request_field_missing",
            Self::FieldInvalid { .. } => "request_field_invalid",
            Self::SplitCount { .. } => "splits_count",
            Self::SplitZero => "split_zero",
            Self::SplitSum => "splits_sum",
            Self::SplitMemo => "split_memo_attribution",
            Self::MemoUnsupported => "memo_unsupported",
            Self::PayloadUnreadable { .. } => "payload_unreadable",
            Self::ModeNotOffered { .. } => "mode_not_offered",
            Self::SponsoredPush => "sponsored_push",
            Self::ProofAndAmount => "proof_and_amount",
            Self::TermsDiffer { .. } => "terms_differ",
            Self::TransactionUnreadable { .. } => "transaction_unreadable",
            Self::WrongChain { .. } => "wrong_chain",
            Self::CallRefused { .. } => "call_refused",
            Self::TransferMissing { .. } => "transfer_missing",
            Self::ExtraCalls { .. } => "extra_calls",
            Self::MemoOfAnother => "memo_of_another_challenge",
            Self::NoValidBefore => "no_valid_before",
            Self::TransactionExpired { .. } => "transaction_expired",
            Self::ValidTooLong { .. } => "valid_too_long",
            Self::NotYetValid { .. } => "not_yet_valid",
            Self::BadSignature(error) => error.code(),
            Self::SignatureKind { .. } => "signature_kind",
            Self::SourceInvalid => "source_invalid",
            Self::SourceMissing => "source_missing",
            Self::SourceDiffers => "source_differs",
            Self::SponsorNotOffered => "sponsor_not_offered",
            Self::SponsorNotAsked => "sponsor_not_asked",
            Self::SponsorPolicy { code, .. } => code,
            Self::NonceKeyRefused => "nonce_key_refused",
            Self::NonceNotCurrent { .. } => "nonce_not_current",
            Self::FeeBelowBase { .. } => "fee_below_base",
            Self::LegsMissing => "legs_missing_on_chain",
            Self::ChallengeExpired => "challenge_expired",
            Self::Reverted => "transaction_reverted",
            Self::WouldRevert { .. } => "transaction_would_fail",
            Self::Insufficient { .. } => "payer_insufficient",
            Self::KeyNotAuthorised => "key_not_authorised",
        }
    }

    const fn kind(&self) -> ProblemKind {
        match self {
            Self::PayloadUnreadable { .. }
            | Self::ModeNotOffered { .. }
            | Self::SponsoredPush
            | Self::ProofAndAmount
            | Self::TransactionUnreadable { .. }
            | Self::SourceMissing
            | Self::SourceInvalid => ProblemKind::InvalidPayload,
            Self::RequestUnreadable { .. } | Self::TermsDiffer { .. } => ProblemKind::InvalidChallenge,
            Self::TransactionExpired { .. } | Self::ChallengeExpired => ProblemKind::PaymentExpired,
            Self::Insufficient { .. } => ProblemKind::PaymentInsufficient,
            _ => ProblemKind::VerificationFailed,
        }
    }
}

impl From<ChargeError> for Problem {
    fn from(error: ChargeError) -> Self {
        let mut detail = error.to_string();
        if let Some(first) = detail.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        detail.push('.');
        Self::new(error.kind(), error.code(), detail)
    }
}

impl From<ChargeError> for Declined {
    fn from(error: ChargeError) -> Self {
        Self { code: error.code(), why: error.to_string() }
    }
}
