//! The journal: immutable entries in one order, each sealed with a hash that covers the one before it.
//!
//! It is the truth of a ledger: accounts and holds are what a replay of it gives. It stores nothing itself.

mod chain;
mod codec;
mod entry;
mod replay;

pub use chain::{Chain, Hash, Head, Sealed};
pub use codec::{DecodeError, read_sealed, write_sealed};
pub use entry::{Change, Entry, Event, Movement, Posted, Released};
pub use replay::{Broken, Checkpoint, Replay};
