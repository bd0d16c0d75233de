//! Deposits: transfers on a chain to addresses that belong to customers. A watcher tells what it saw ([`Sighting`]) and what is
//! gone again; this module credits each transfer exactly once, takes it back when the chain does, and keeps what it cannot
//! credit. It knows no chain: networks, tokens, addresses and hashes are texts here.
//!
//! | state of a deposit | what it means |
//! |---|---|
//! | `credited` | the wallet has it |
//! | `exception` | it is ours and nobody was credited: see [`Reason`]; an operator may assign it |
//! | `missing` | its block is gone from the chain; it is credited still, for as many blocks as a transfer has to wait |
//! | `reversed` | it did not come back: the wallet owes it. Should it come back after all, it is credited anew |
//! | `gone` | an exception whose block is gone |
//!
//! What makes it exactly once: a transfer is named by network, transaction and its place in that transaction, none of which
//! changes when a chain puts the transaction into another block; a record of that name is made in the commit that credits; and
//! the name of the credit in the ledger follows from it.

mod address;
mod assign;
mod kept;
mod place;
mod reorg;
mod seen;

pub use address::{Addresses, DepositAddress, Slot};
pub use kept::{Deposit, DepositState, Reason, Sighting};
pub use place::{Mark, Place};
pub use reorg::Placed;
pub use seen::Seen;

#[cfg(test)]
mod tests;
