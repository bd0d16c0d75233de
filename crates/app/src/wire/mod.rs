//! Wiring: what the crates offer, put together as a configuration or a command line says.

pub mod buyer;
pub mod lazy;
pub mod seller;
pub mod wallets;
