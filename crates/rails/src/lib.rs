//! Payment rails: one folder a Method, each with a [`Verifier`](farthing_protocol::ports::Verifier) for the seller and a
//! [`Payer`](farthing_protocol::ports::Payer) for the buyer.
//!
//! A rail knows its chain or processor and nothing of HTTP, routes, budgets or stores: `gate` and `client` drive it
//! through the two traits. To add a method, copy [`example`], implement the traits, and add a line to [`registry`].

pub mod example;
pub mod prepaid;
pub mod registry;
pub mod tempo;
