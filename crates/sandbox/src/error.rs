//! What keeps a sandbox from starting. Refusals of transactions and RPC errors live with what they refuse.

use std::net::SocketAddr;

/// A sandbox that could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// The chain id belongs to a network on which real money moves.
    #[error(
        "chain id {chain_id} is {network}, where real money moves; a sandbox must not pass for it. \
         Use 1337 (the default), 31337, or any id of your own that no public network has"
    )]
    ProductionChainId {
        /// The id that was asked for.
        chain_id: u64,
        /// Whose it is.
        network: &'static str,
    },
    /// The chain id is zero, or too large for clients that keep it in a double.
    #[error("chain id {chain_id} is outside 1 to 2^53-1; use 1337 (the default)")]
    ChainIdOutOfRange {
        /// The id that was asked for.
        chain_id: u64,
    },
    /// Blocks every zero seconds.
    #[error("the block time is zero; use BlockTime::Instant for a block on each transaction")]
    ZeroBlockTime,
    /// A bound is zero, so nothing could ever be accepted.
    #[error("a limit is zero, so nothing could be accepted; give every limit at least 1")]
    ZeroLimit,
    /// The address could not be listened on.
    #[error("cannot listen on {listen}: {source}; give another port, or port 0 for a free one")]
    Listen {
        /// The address that was asked for.
        listen: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

impl SandboxError {
    /// A stable code for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::ProductionChainId { .. } => "production_chain_id",
            Self::ChainIdOutOfRange { .. } => "chain_id_out_of_range",
            Self::ZeroBlockTime => "zero_block_time",
            Self::ZeroLimit => "zero_limit",
            Self::Listen { .. } => "listen",
        }
    }
}
