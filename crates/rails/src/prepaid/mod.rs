//! The method `prepaid`, intent `charge`: a balance that the payer has with the issuer pays the call. No chain and no card is
//! asked; the issuer's ledger is the rail.
//!
//! The payer holds a token of the issuer's. It never travels: the credential is an HMAC over realm, challenge and request, which
//! is good for that one challenge and worth nothing to whoever else sees it. [`PrepaidVerifier`] is the seller's half,
//! [`PrepaidPayer`] the buyer's, [`PrepaidRefunder`] gives back. What a token may spend, and whether there is enough, a
//! [`PrepaidBook`] decides.
//!
//! The method is this project's own: no draft describes it. [`wire`] does.

mod book;
mod payer;
mod refunder;
mod verifier;
pub mod wire;

pub use book::{Charge, Charged, PrepaidBook, PrepaidError, Presented};
pub use payer::{PrepaidAccount, PrepaidPayer};
pub use refunder::PrepaidRefunder;
pub use verifier::PrepaidVerifier;
pub use wire::PrepaidKey;

/// The method's identifier on the wire.
pub const METHOD: &str = "prepaid";

#[cfg(test)]
mod tests;
