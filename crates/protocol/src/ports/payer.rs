//! The buyer's half of a payment rail.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use farthing_money::{Amount, Money};

use crate::{Challenge, Credential, MethodId, PaymentProof, UnixMs};

/// Who pays the network's fee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeeBearer {
    /// The payer.
    Payer,
    /// The seller sponsors it.
    Seller,
    /// There is none.
    Nobody,
}

/// A part of the payment that goes to another recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Who receives it.
    pub recipient: String,
    /// How much of the payment.
    pub amount: Amount,
}

/// What answering a challenge would cost and to whom it goes: what a policy decides on (C25). Costs no IO.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quote {
    /// The whole payment, all shares included. Zero for a proof of identity.
    pub money: Money,
    /// Who receives what is left after the shares.
    pub recipient: String,
    /// Parts that go elsewhere (TC10: shown to the payer).
    pub shares: Vec<Share>,
    /// CAIP-2 network that it is paid on, such as `eip155:4217`.
    pub network: String,
    /// The account that would pay.
    pub payer: String,
    /// Who pays the network's fee.
    pub fee: FeeBearer,
    /// How it would be paid, in the method's words: `pull`, `push`, `proof`.
    pub mode: &'static str,
}

/// Keeps a proof before the money that it proves moves: what would be needed to present it after a crash.
#[async_trait]
pub trait Witness: fmt::Debug + Send + Sync {
    /// Called once the proof exists and before anything is broadcast. Durable when it returns.
    ///
    /// # Errors
    /// A sentence for people; the rail then moves no money and answers [`PayError::Failed`].
    async fn about_to_move(&self, proof: &PaymentProof) -> Result<(), String>;
}

/// What limits a payment.
#[derive(Debug, Clone)]
pub struct PayContext {
    /// The most that may be paid, fees aside. The rail refuses more, whatever a policy said before.
    pub cap: Money,
    /// The instant of the payment.
    pub now: UnixMs,
    /// Who keeps the proof of a payment that the rail itself broadcasts.
    pub witness: Option<Arc<dyn Witness>>,
}

impl PayContext {
    /// Whether so much may be paid. Another asset's cap is no cap.
    ///
    /// # Errors
    /// `over_cap`.
    pub fn admit(&self, money: &Money) -> Result<(), Declined> {
        if matches!(money.checked_cmp(&self.cap), Ok(order) if order.is_le()) {
            return Ok(());
        }
        let why = format!("the seller asks for {money}, and at most {} may be paid", self.cap);
        Err(Declined { code: "over_cap", why })
    }
}

/// Why a challenge is not one this rail will pay; another offer may be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Declined {
    /// The stable code of the broken rule.
    pub code: &'static str,
    /// What is wrong, for people.
    pub why: String,
}

/// Why a payment was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PayError {
    /// The challenge is not one this rail will pay. No money has moved.
    #[error(transparent)]
    Declined(#[from] Declined),
    /// The account cannot pay. No money has moved.
    #[error("{payer} has {available}, and the payment needs {required}")]
    Insufficient {
        /// The account.
        payer: String,
        /// What it has.
        available: Money,
        /// What is needed.
        required: Money,
    },
    /// The payment was refused or could not be prepared. No money has moved.
    #[error("{why}")]
    Failed {
        /// The stable code.
        code: &'static str,
        /// What went wrong, for people.
        why: String,
    },
    /// The payment may have been made.
    #[error("the payment was sent and its outcome is not known yet: {why}")]
    Unknown {
        /// What to look for: a transaction hash.
        reference: String,
        /// What went wrong, for people.
        why: String,
    },
}

impl PayError {
    /// The stable code of the failure, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Declined(declined) => declined.code,
            Self::Insufficient { .. } => "insufficient_funds",
            Self::Failed { code, .. } => code,
            Self::Unknown { .. } => "outcome_unknown",
        }
    }
}

/// A payment that was signed or broadcast and whose outcome is not known: everything that its buyer still knows of it.
///
/// At least one of `credential` and `reference` is there. `Debug` does not show the proof (C19).
#[derive(Debug, Clone)]
pub struct SentPayment<'a> {
    /// The credential as it was made, where it was kept: the challenge that it answers (its whole request, and until when it
    /// is good), and in `payload` what was signed: a transaction, a hash, a proof. Read it as a stranger's: it comes from a
    /// file.
    pub credential: Option<Credential<'a>>,
    /// What to look for on the rail, where [`PayError::Unknown`] named it: a transaction hash.
    pub reference: Option<&'a str>,
    /// CAIP-2 network that it was to be paid on: [`Quote::network`].
    pub network: &'a str,
    /// The account that was to pay: [`Quote::payer`].
    pub payer: &'a str,
    /// How it was to be paid: [`Quote::mode`].
    pub mode: &'a str,
}

/// What became of a payment. There is no word for "probably": whatever is not certain is [`PaymentFate::Pending`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaymentFate {
    /// The money moved: final.
    Moved {
        /// What shows it on the rail: a transaction hash.
        reference: String,
    },
    /// The money has not moved, and no bytes that were signed for this payment can move it any more, whoever holds them:
    /// what was signed has expired, failed for good, or its place was taken by another. Final. The seller's refusal is no
    /// such reason, nor is a node that does not know the transaction while it could still be included.
    CannotMove {
        /// Why, for people.
        why: String,
    },
    /// Neither is certain: ask again later.
    Pending,
}

/// The buyer's half of a rail: quotes and answers challenges of one Method.
#[async_trait]
pub trait Payer: Send + Sync {
    /// The Method.
    fn method(&self) -> &MethodId;

    /// Ranges for an `Accept-Payment` header, such as `tempo/charge`.
    fn accepts(&self) -> Vec<String>;

    /// What answering `challenge` would cost. No IO.
    ///
    /// # Errors
    /// [`Declined`] when this rail does not pay it: another intent, chain or mode, or terms that the drafts forbid.
    fn quote(&self, challenge: &Challenge) -> Result<Quote, Declined>;

    /// Makes the payment, or signs what lets the seller take it.
    ///
    /// # Errors
    /// [`PayError`]; when in doubt [`PayError::Unknown`].
    async fn pay(&self, challenge: &Challenge, context: PayContext) -> Result<PaymentProof, PayError>;

    /// Learns what became of a payment that this rail made or signed. It looks and moves nothing; asking again is harmless,
    /// and the answer must not depend on which process made the payment: only on `payment` and on the rail itself. It needs
    /// no key.
    ///
    /// A rail answers [`PaymentFate::Moved`] and [`PaymentFate::CannotMove`] only when nothing that may still happen, a
    /// reorganisation within the rail's own finality aside, can make it wrong: the first ends the search for the money, the
    /// second gives the money back to the budget and lets the call be paid anew.
    ///
    /// # Errors
    /// A sentence for people when the rail's services do not answer or the payment is not one that this rail can read (of
    /// another method or chain, damaged); the outcome stays unknown.
    async fn outcome(&self, payment: &SentPayment<'_>, now: UnixMs) -> Result<PaymentFate, String>;
}
