//! [`PrepaidBook`]: where balances are. Whoever embeds the rail brings it; in the `farthing` binary it is the billing layer.

use async_trait::async_trait;
use farthing_money::Money;
use farthing_protocol::UnixMs;
use serde::{Deserialize, Serialize};

use super::PrepaidKey;

/// A wish to take money from the balance that a token may spend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// The challenge that is paid: the charge's name. The same name is the same charge.
    pub challenge: String,
    /// The token's name.
    pub token: String,
    /// How much.
    pub money: Money,
    /// Who sells: the realm.
    pub realm: String,
}

/// A charge that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charged {
    /// Its name in the issuer's books.
    pub reference: String,
    /// When.
    pub at: UnixMs,
}

/// Why a balance was not charged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PrepaidError {
    /// There is no such token, or it may not spend this. Nothing was taken.
    #[error("{why}")]
    Refused {
        /// The stable code: `insufficient_funds`, a limit of a budget, …
        code: String,
        /// Why, for the payer.
        why: String,
    },
    /// The books did not answer, and it may have happened: the same call tells.
    #[error("the books did not answer: {why}")]
    Unavailable {
        /// What went wrong, for the log.
        why: String,
    },
}

/// The issuer's books. Every call may be made again.
#[async_trait]
pub trait PrepaidBook: Send + Sync {
    /// What the token signs with.
    ///
    /// # Errors
    /// [`PrepaidError::Refused`] when it is none, revoked or expired.
    async fn key(&self, token: &str, now: UnixMs) -> Result<PrepaidKey, PrepaidError>;

    /// Whether the charge would be made now. Changes nothing.
    ///
    /// # Errors
    /// [`PrepaidError`].
    async fn check(&self, charge: &Charge, now: UnixMs) -> Result<(), PrepaidError>;

    /// Takes the money, once for each name.
    ///
    /// # Errors
    /// [`PrepaidError`].
    async fn charge(&self, charge: &Charge, now: UnixMs) -> Result<Charged, PrepaidError>;

    /// Gives it back, once for each name.
    ///
    /// # Errors
    /// [`PrepaidError`].
    async fn refund(&self, charge: &Charge, now: UnixMs) -> Result<Charged, PrepaidError>;
}
