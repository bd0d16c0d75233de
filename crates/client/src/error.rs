//! [`AgentError`]: how a call can fail, and what that says about money. It is not an exit code: `app` maps
//! [`FailureClass`] to those.

use farthing_protocol::flow::payer::Refusal;
use farthing_protocol::ports::{PayError, Quote};
use farthing_protocol::{FormatError, UnixMs};

use crate::PaymentId;

/// What kind of failure it was: one exit code each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureClass {
    /// The request cannot be sent as it was given. Nothing was sent.
    Usage,
    /// The seller was not reached. Nothing was paid.
    Network,
    /// The policy, or a rule of the protocol, forbids every offer. Nothing was paid.
    Refused,
    /// Paying was tried and certainly did not happen.
    NotPaid,
    /// The credential was sent, and the seller did not serve the call. The payment may have been taken.
    NotServed,
    /// Whether the payment was taken is not known.
    Unknown,
}

/// Why a call failed. [`AgentError::may_have_paid`] says whether money may have moved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// The request cannot be sent as it was given.
    #[error("{why}")]
    Usage {
        /// The stable code.
        code: &'static str,
        /// What is wrong, and what to do.
        why: String,
    },
    /// The request was not answered, and nothing was paid.
    #[error("the request was not answered: {}. Nothing was paid", clause(.why))]
    Network {
        /// What went wrong.
        why: String,
    },
    /// No offer may be paid.
    #[error("{}. Nothing was paid", clause(.0))]
    Refused(Refusal),
    /// A 402 whose challenges cannot be read.
    #[error("the seller asks for a payment in a form that cannot be read: {}. Nothing was paid", clause(.why))]
    Unreadable {
        /// What is wrong with them.
        why: String,
    },
    /// The books that must be written before a payment could not be.
    #[error("the payment could not be recorded: {}. Nothing was paid", clause(.why))]
    Unrecorded {
        /// What went wrong.
        why: String,
    },
    /// The payment was tried and not made.
    #[error("the payment was not made: {}. Nothing was paid", clause(.error))]
    NotPaid {
        /// The rail's word.
        error: Box<PayError>,
        /// Where the journal tells of it.
        payment: PaymentId,
    },
    /// The rail sent the payment and does not know what became of it.
    #[error(
        "the payment was sent and its outcome is not known yet: {}. Do not pay again; look at payment {payment}",
        clause(.why)
    )]
    PaymentUnknown {
        /// What to look for on the rail: a transaction hash.
        reference: String,
        /// What went wrong.
        why: String,
        /// Where the journal tells of it.
        payment: PaymentId,
    },
    /// The payment was made, and no credential could be written from it.
    #[error(
        "the payment was made and its credential cannot be sent: {}. Do not pay again; look at payment {payment}",
        clause(.error)
    )]
    Unsendable {
        /// What is wrong with it.
        error: FormatError,
        /// Where the journal tells of it.
        payment: PaymentId,
    },
    /// The credential was sent and the seller did not serve the call.
    #[error(
        "the seller did not serve the paid call ({status}): {}. \
         {} may have been taken; do not pay again before looking at payment {payment}",
        clause(.why), .quote.money
    )]
    NotServed {
        /// The last status.
        status: u16,
        /// The seller's words, or ours.
        why: String,
        /// The challenge's id.
        challenge_id: String,
        /// What was agreed to.
        quote: Box<Quote>,
        /// Where the journal tells of it.
        payment: PaymentId,
    },
    /// The credential was sent and no answer arrived.
    #[error(
        "the payment was sent and the answer did not arrive: {}. \
         {} may have been taken; do not pay again before looking at payment {payment}",
        clause(.why), .quote.money
    )]
    AnswerLost {
        /// What went wrong.
        why: String,
        /// The challenge's id.
        challenge_id: String,
        /// What was agreed to.
        quote: Box<Quote>,
        /// Where the journal tells of it.
        payment: PaymentId,
    },
    /// A vendor that counts by itself was called with its key, and its answer did not arrive, or not whole.
    #[error(
        "the vendor's answer did not arrive whole: {}. Only the vendor knows whether it counted the call: up to {} stays held as \
         payment {payment}{}. Say what it cost: farthing payments resolve {payment}. The same call made again is another one",
        clause(.why), .quote.money, until(*.charge_at)
    )]
    VendorAnswerLost {
        /// What went wrong.
        why: String,
        /// The most that the call costs, which is held.
        quote: Box<Quote>,
        /// Where the journal tells of it.
        payment: PaymentId,
        /// When it counts as charged in full, if nobody says before what became of it; none: never.
        charge_at: Option<UnixMs>,
    },
}

/// Until when money stays held.
fn until(charge_at: Option<UnixMs>) -> String {
    charge_at.map_or_else(
        || " until somebody says what became of it".to_owned(),
        |at| format!(", and counts as charged in full from {at} on, if nobody says before what became of it"),
    )
}

/// Somebody's words as a part of a longer sentence: without a full stop of their own.
fn clause(words: &impl std::fmt::Display) -> String {
    let mut words = words.to_string();
    words.truncate(words.trim_end_matches(['.', ' ', '\n']).len());
    words
}

impl AgentError {
    /// The stable code of the failure, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Usage { code, .. } => code,
            Self::Network { .. } => "transport_failed",
            Self::Refused(refusal) => refusal.code,
            Self::Unreadable { .. } => "unreadable_challenge",
            Self::Unrecorded { .. } => "payment_unrecorded",
            Self::NotPaid { error, .. } => error.code(),
            Self::PaymentUnknown { .. } => "outcome_unknown",
            Self::Unsendable { .. } => "credential_unsendable",
            Self::NotServed { .. } => "payment_not_accepted",
            Self::AnswerLost { .. } => "answer_lost",
            Self::VendorAnswerLost { .. } => "vendor_answer_lost",
        }
    }

    /// What kind of failure it is.
    #[must_use]
    pub const fn class(&self) -> FailureClass {
        match self {
            Self::Usage { .. } => FailureClass::Usage,
            Self::Network { .. } => FailureClass::Network,
            Self::Refused(_) | Self::Unreadable { .. } => FailureClass::Refused,
            Self::Unrecorded { .. } | Self::NotPaid { .. } => FailureClass::NotPaid,
            Self::NotServed { .. } => FailureClass::NotServed,
            Self::PaymentUnknown { .. }
            | Self::Unsendable { .. }
            | Self::AnswerLost { .. }
            | Self::VendorAnswerLost { .. } => FailureClass::Unknown,
        }
    }

    /// Whether money may have moved although the call failed.
    #[must_use]
    pub fn may_have_paid(&self) -> bool {
        match self {
            // A proof of identity moves no money.
            Self::NotServed { quote, .. } | Self::AnswerLost { quote, .. } => !quote.money.amount().is_zero(),
            Self::PaymentUnknown { .. } | Self::Unsendable { .. } | Self::VendorAnswerLost { .. } => true,
            _ => false,
        }
    }

    /// The payment that the failure is about, when one was begun.
    #[must_use]
    pub const fn payment(&self) -> Option<&PaymentId> {
        match self {
            Self::NotPaid { payment, .. }
            | Self::PaymentUnknown { payment, .. }
            | Self::Unsendable { payment, .. }
            | Self::NotServed { payment, .. }
            | Self::AnswerLost { payment, .. }
            | Self::VendorAnswerLost { payment, .. } => Some(payment),
            _ => None,
        }
    }
}

/// An error and its causes, in one line. An HTTP error may hold a URL with secrets: take it out before.
#[must_use]
pub fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}
