//! Wiring: what the crates offer, put together as a configuration or a command line says.

pub mod account;
pub mod balance;
pub mod buyer;
pub mod journal;
pub mod lazy;
pub mod policy;
pub mod seller;
pub mod wallet;
pub mod wallets;
