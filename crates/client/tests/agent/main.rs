//! The agent against scripted sellers: what is paid, what is refused, and what servers get to see.
#![allow(clippy::unwrap_used, reason = "tests")]

mod again;
mod books;
mod consent;
mod metered;
mod middleware;
mod outcomes;
mod payer;
mod paying;
mod redirects;
mod refusals;
mod secrecy;
mod seller;
mod wallet;
mod witness;
