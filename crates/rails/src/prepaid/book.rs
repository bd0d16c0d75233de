//! [`PrepaidBook`]: where balances are. Whoever embeds the rail brings it; in the `farthing` binary it is the billing layer.

use async_trait::async_trait;
use farthing_money::Money;
use farthing_protocol::UnixMs;
use serde::{Deserialize, Serialize};

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
    /// What the token spends, in the issuer's words.
    pub account: String,
}

/// What somebody presents to be charged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented<'a> {
    /// The token's name.
    pub token: &'a str,
    /// What was signed.
    pub message: &'a str,
    /// The signature, as it travelled.
    pub signature: &'a str,
    /// How much is to be taken.
    pub money: &'a Money,
    /// Who sells: the realm.
    pub realm: &'a str,
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
    /// Whether the token signed, may spend this, and has enough; and what it spends. Changes nothing.
    ///
    /// # Errors
    /// [`PrepaidError`]; the code `prepaid_bad_signature` when it is not the token's.
    async fn authorise(&self, presented: &Presented<'_>, now: UnixMs) -> Result<String, PrepaidError>;

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
