//! The service over a store in memory: what its calls do, what they refuse, and what holds whatever is asked at once.

#![allow(clippy::unwrap_used, reason = "tests")]

mod access;
mod budgets;
mod holds;
mod meddle;
mod random;
mod refusals;
mod tokens;
mod wallets;
mod world;
