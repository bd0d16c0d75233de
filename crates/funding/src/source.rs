//! [`FundingSource`]: somebody who can be asked for money, once under each name. It credits nobody: billing does.

use async_trait::async_trait;
use farthing_billing::service::topup::{Outcome, Source};
use farthing_billing::topup::Decline;
use farthing_ledger::Timestamp;
use farthing_money::{Amount, Asset};

/// What is asked of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The attempt's name, `top_…`: the source takes it as idempotency key.
    pub attempt: String,
    /// How much, in base units of `asset`.
    pub amount: Amount,
    /// What it counts.
    pub asset: Asset,
    /// Who pays, as the rule says.
    pub from: Source,
    /// When the attempt began: nobody can have been asked before.
    pub began: Timestamp,
    /// The caller's clock.
    pub now: Timestamp,
}

/// Why a source did not take the money, and will not under this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declined {
    /// Whether it is worth trying again.
    pub class: Decline,
    /// The source's own code, such as `insufficient_funds`.
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

/// What a source says to a charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Charged {
    /// It took the money.
    Yes {
        /// Its own name for the payment.
        reference: String,
    },
    /// It did not, and will not under this name.
    No(Declined),
    /// It did not answer, or does not know yet: everything that is not clearly one of the others.
    Unknown {
        /// What is in the way.
        why: String,
    },
}

/// What a source says to the question what became of a charge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// What it says now.
    Attempt(Charged),
    /// It has never heard of it, and a request that is still on its way would be taken as this same attempt.
    Nothing,
}

/// A source of money.
#[async_trait]
pub trait FundingSource: Send + Sync {
    /// Charges the source. Said again for the same attempt, at whatever time and by whatever process, it charges once.
    async fn charge(&self, charge: &Charge) -> Charged;

    /// What became of a charge.
    async fn lookup(&self, charge: &Charge) -> Found;
}

impl From<Charged> for Outcome {
    fn from(charged: Charged) -> Self {
        match charged {
            Charged::Yes { reference } => Self::Charged { reference },
            Charged::No(Declined { class, code, message }) => Self::Declined { class, code, message },
            Charged::Unknown { why } => Self::Unknown { why },
        }
    }
}

impl From<Found> for Outcome {
    fn from(found: Found) -> Self {
        match found {
            Found::Attempt(charged) => charged.into(),
            Found::Nothing => Self::NotFound,
        }
    }
}
