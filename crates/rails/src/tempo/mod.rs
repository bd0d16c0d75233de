//! The `tempo` method, intent `charge`: one TIP-20 payment on a Tempo chain for one call.
//!
//! Three ways to pay: *pull* (a signed transaction that the seller broadcasts, sponsored by the seller or not), *push* (the
//! hash of a transaction that the payer broadcast), and *proof* (a signature, for a price of zero). It is not a wallet: keys
//! at rest, budgets and policies belong to `client`; sessions belong to another module.
//!
//! Source: `draft-tempo-charge-00`; where the SDKs differ, DESIGN section 5 and WIRE.md decide.

pub mod abi;
mod broadcast;
mod compose;
pub mod did;
mod error;
mod fate;
mod history;
mod key;
pub mod keychain;
mod logs;
pub mod memo;
pub mod offline;
pub mod once;
mod payer;
mod payload;
pub mod proof;
pub mod receipt;
pub mod refund;
mod request;
mod rpc;
mod settle;
mod simulate;
mod sponsor;
pub mod sweep;
#[cfg(test)]
mod testing;
pub mod tokens;
mod transaction;
mod transfers;
mod verifier;
mod wallet;

pub use error::ChargeError;
/// The instant that this module is told: whoever calls it needs no other crate for it.
pub use farthing_protocol::UnixMs;
pub use key::{KeyError, PrivateKey};
pub use payer::{PayMode, TempoPayer, TempoPayerBuilder};
pub use payload::Payload;
pub use refund::{TempoRefunder, TempoRefunderBuilder};
pub use request::{ChargeRequest, Fee, Mode, Modes, Split};
pub use rpc::{Head, Reached, RpcError, TempoRpc};
pub use sponsor::{SponsorPolicy, Sponsorship, fee_bound};
pub use transaction::{Against, SignedCharge, Sponsored};
pub use transfers::{Leg, LegMemo, MovedTransfer};
pub use verifier::{TempoCharge, TempoChargeBuilder};
pub use wallet::{Sent, Transfer, Wallet, WalletError};

/// The method's identifier on the wire.
pub const METHOD: &str = "tempo";
/// Chain id of Tempo's main network.
pub const MAINNET: u64 = 4217;
/// Chain id of Moderato, Tempo's test network.
pub const MODERATO: u64 = 42431;

/// The CAIP-2 name of a chain: `eip155:4217`.
#[must_use]
pub fn network(chain_id: u64) -> String {
    format!("eip155:{chain_id}")
}
