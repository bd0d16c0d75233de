//! What a sandbox is started with: chain id, listener, block production, genesis and bounds.
//!
//! Not here: any environment variable or file. Whoever embeds the sandbox decides where its settings come from.

use crate::error::SandboxError;
use crate::genesis::Genesis;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// The chain id that a sandbox uses unless told otherwise.
pub const DEFAULT_CHAIN_ID: u64 = 1337;

/// Networks on which real money moves. A sandbox that carried one of these ids could be mistaken for it, and a
/// signature made for the one would be good on the other.
const PRODUCTION_NETWORKS: &[(u64, &str)] = &[
    (4217, "Tempo mainnet"),
    (1, "Ethereum"),
    (10, "OP Mainnet"),
    (56, "BNB Smart Chain"),
    (100, "Gnosis"),
    (130, "Unichain"),
    (137, "Polygon"),
    (143, "Monad"),
    (146, "Sonic"),
    (324, "ZKsync Era"),
    (480, "World Chain"),
    (999, "HyperEVM"),
    (1329, "Sei"),
    (5000, "Mantle"),
    (8453, "Base"),
    (42161, "Arbitrum One"),
    (42220, "Celo"),
    (43114, "Avalanche C-Chain"),
    (57073, "Ink"),
    (59144, "Linea"),
    (81457, "Blast"),
    (534352, "Scroll"),
];

/// When blocks are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockTime {
    /// A block as soon as there is a transaction for it.
    Instant,
    /// A block every so often, empty ones included, as a real chain does.
    Every(Duration),
}

/// Bounds on everything that a caller can make grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Transactions that wait for a block.
    pub mempool: usize,
    /// Blocks that can still be asked for; older ones are forgotten, with their receipts and their states.
    pub history_blocks: usize,
    /// Blocks that one `eth_getLogs` may span.
    pub log_range_blocks: u64,
    /// Logs in one answer.
    pub logs: usize,
    /// Requests in one JSON-RPC batch.
    pub batch: usize,
    /// Bytes of one HTTP request body.
    pub body_bytes: usize,
    /// HTTP requests being answered at once.
    pub in_flight: usize,
    /// Snapshots kept for `evm_revert`.
    pub snapshots: usize,
    /// Blocks that one control call may mine.
    pub mine_blocks: u64,
    /// How long one HTTP request may take.
    pub request_timeout: Duration,
    /// How long `eth_sendRawTransactionSync` waits for inclusion unless the caller says less.
    pub inclusion_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            mempool: 1_024,
            history_blocks: 100_000,
            log_range_blocks: 100_000,
            logs: 10_000,
            batch: 100,
            body_bytes: 1 << 20,
            in_flight: 256,
            snapshots: 64,
            mine_blocks: 10_000,
            request_timeout: Duration::from_secs(35),
            inclusion_timeout: Duration::from_secs(30),
        }
    }
}

/// Everything that [`crate::Sandbox::start`] needs besides a clock.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// EIP-155 chain id. The ids of production networks are refused.
    pub chain_id: u64,
    /// Where the JSON-RPC port listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// When blocks are made.
    pub block_time: BlockTime,
    /// Accounts and balances at block 0.
    pub genesis: Genesis,
    /// Base fee of every block, in attodollars (10^-18 USD) a unit of gas. Tempo's is fixed at 2·10^10 from hardfork T1.
    pub base_fee_atto: u64,
    /// How far ahead `validBefore` of an expiring-nonce transaction may lie: 30 s up to hardfork T10, 300 s from T11.
    pub expiring_window_s: u64,
    /// Bounds.
    pub limits: Limits,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            chain_id: DEFAULT_CHAIN_ID,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            block_time: BlockTime::Instant,
            genesis: Genesis::default(),
            base_fee_atto: 20_000_000_000,
            expiring_window_s: 300,
            limits: Limits::default(),
        }
    }
}

impl SandboxConfig {
    /// Refuses what a sandbox must not or cannot be.
    ///
    /// # Errors
    /// [`SandboxError::ProductionChainId`], [`SandboxError::ChainIdOutOfRange`], [`SandboxError::ZeroBlockTime`],
    /// [`SandboxError::ZeroLimit`].
    pub fn check(&self) -> Result<(), SandboxError> {
        if let Some((_, network)) = PRODUCTION_NETWORKS.iter().find(|(id, _)| *id == self.chain_id) {
            return Err(SandboxError::ProductionChainId { chain_id: self.chain_id, network });
        }
        // JavaScript clients hold a chain id in a double.
        if self.chain_id == 0 || self.chain_id >= 1 << 53 {
            return Err(SandboxError::ChainIdOutOfRange { chain_id: self.chain_id });
        }
        if self.block_time == BlockTime::Every(Duration::ZERO) {
            return Err(SandboxError::ZeroBlockTime);
        }
        let limits = &self.limits;
        let smallest =
            [limits.mempool, limits.history_blocks, limits.batch, limits.body_bytes, limits.in_flight];
        if smallest.contains(&0) {
            return Err(SandboxError::ZeroLimit);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn production_networks_are_refused_with_advice() {
        for (chain_id, name) in [(4217, "Tempo mainnet"), (1, "Ethereum"), (8453, "Base"), (137, "Polygon")] {
            let error = SandboxConfig { chain_id, ..Default::default() }.check().unwrap_err();
            assert_eq!(error.code(), "production_chain_id");
            let text = error.to_string();
            assert!(text.contains(name) && text.contains("1337"), "{text}");
        }
    }

    #[test]
    fn impossible_settings_are_refused() {
        let limits = Limits { mempool: 0, ..Default::default() };
        let cases = [
            (SandboxConfig::default(), None),
            (SandboxConfig { chain_id: 42431, ..Default::default() }, None),
            (SandboxConfig { chain_id: 0, ..Default::default() }, Some("chain_id_out_of_range")),
            (SandboxConfig { chain_id: 1 << 53, ..Default::default() }, Some("chain_id_out_of_range")),
            (
                SandboxConfig { block_time: BlockTime::Every(Duration::ZERO), ..Default::default() },
                Some("zero_block_time"),
            ),
            (SandboxConfig { limits, ..Default::default() }, Some("zero_limit")),
        ];
        for (config, expected) in cases {
            assert_eq!(config.check().err().map(|e| e.code()), expected, "{config:?}");
        }
    }
}
