//! A method to copy from: `example`, intent `charge`, paid with vouchers that buyer and seller have agreed on beforehand.
//!
//! It shows every duty of a rail in as few lines as there can be: [`ExampleVerifier`] is the seller's half, [`ExamplePayer`]
//! the buyer's, and [`ExampleRefunder`] gives back. A voucher is a number; the seller's book says what it is worth. It is a
//! lesson, not a way to pay: whoever sees a voucher can spend it.
//!
//! To make a method of your own:
//! 1. copy this folder, and name the method and what it pays with;
//! 2. write [`wire`]: the request and the payload, with errors that name the broken rule;
//! 3. implement [`Verifier`](farthing_protocol::ports::Verifier): every check in `verify`, every effect in `settle`;
//! 4. implement [`Payer`](farthing_protocol::ports::Payer): everything that can be declined in `quote`, money in `pay`,
//!    and what became of it in `outcome`;
//! 5. implement [`Refunder`](farthing_protocol::ports::Refunder) if money can be given back, or delete `refunder.rs`;
//! 6. add a line to [`registry`](crate::registry).

mod payer;
mod refunder;
mod verifier;
pub mod wire;

pub use payer::ExamplePayer;
pub use refunder::ExampleRefunder;
pub use verifier::{ExampleVerifier, VoucherBook};

/// The method's identifier on the wire.
pub const METHOD: &str = "example";

#[cfg(test)]
mod tests;
