//! A model of a Tempo chain with a JSON-RPC port, for development and tests.
//!
//! It knows what payments touch: TIP-20 balances, allowances and memos; 0x76 transactions with their signatures,
//! parallel and expiring nonces, validity windows and fee payers; fees in a token; receipts and logs. Transactions
//! and signatures are the chain's own types, so what is signed here is what would be signed there.
//!
//! It is *not* an EVM (no contract can be deployed), not a node (no peers, no state roots, no proofs), and not a
//! place for money: it says "sandbox" to whoever asks, and refuses the chain id of a production network.
//!
//! ```no_run
//! # async fn run() -> Result<(), farthing_sandbox::SandboxError> {
//! use farthing_sandbox::{Sandbox, SandboxConfig, genesis::PATH_USD};
//!
//! let clock = || 1_800_000_000_000; // Unix milliseconds, from wherever the caller keeps its time
//! let sandbox = Sandbox::start(SandboxConfig::default(), clock).await?;
//! println!("{} holds chain {}", sandbox.url(), sandbox.chain_id());
//! sandbox.chain().fund(alloy_primitives::Address::repeat_byte(1), PATH_USD, "5".parse().expect("a number"));
//! sandbox.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod block;
mod chain;
pub mod config;
mod contract;
mod error;
mod execute;
mod gas;
pub mod genesis;
mod refusal;
mod rpc;
mod sandbox;
mod state;
mod transaction;

pub use chain::{Chain, SnapshotId};
pub use config::{BlockTime, Limits, SandboxConfig};
pub use error::SandboxError;
pub use genesis::Genesis;
pub use refusal::Refusal;
pub use sandbox::{RunningSandbox, Sandbox};
