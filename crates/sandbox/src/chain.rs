//! The chain: blocks, the transactions that wait for one, time, and snapshots of all of it.
//!
//! One lock guards everything. Nothing here does IO or reads a clock of its own: time comes from the closure that the
//! sandbox was started with, shifted by whoever travels in it.

mod faucet;
mod ledger;
mod pool;

pub(crate) use ledger::Ledger;

use crate::config::{BlockTime, SandboxConfig};
use crate::contract;
use crate::execute::{self, BlockEnv, Executed};
use crate::refusal::Refusal;
use crate::state::State;
use crate::transaction::{Message, Signed};
use alloy_primitives::{Address, B256, Bytes, U256};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// Where the chain takes its time from: Unix milliseconds.
pub(crate) type Clock = Box<dyn Fn() -> u64 + Send + Sync>;

/// A chain that can be asked and driven directly, without the RPC port.
pub struct Chain {
    config: SandboxConfig,
    clock: Clock,
    ledger: Mutex<Ledger>,
    head: watch::Sender<u64>,
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain")
            .field("chain_id", &self.config.chain_id)
            .field("head", &*self.head.borrow())
            .finish()
    }
}

/// A moment that [`Chain::revert`] can go back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SnapshotId(pub u64);

impl Chain {
    /// A chain with its genesis block.
    pub(crate) fn new(config: SandboxConfig, clock: Clock) -> Arc<Self> {
        let ledger = Ledger::new(&config, clock());
        Arc::new(Self { config, clock, ledger: Mutex::new(ledger), head: watch::Sender::new(0) })
    }

    pub(crate) const fn config(&self) -> &SandboxConfig {
        &self.config
    }

    /// The chain's id.
    #[must_use]
    pub const fn chain_id(&self) -> u64 {
        self.config.chain_id
    }

    /// The number of the newest block.
    #[must_use]
    pub fn block_number(&self) -> u64 {
        self.lock().head().number
    }

    /// What `holder` holds of `token` in the newest block, in base units.
    #[must_use]
    pub fn balance(&self, token: Address, holder: Address) -> U256 {
        self.lock().head().state.balance(token, holder)
    }

    /// Gives `holder` new units of `token`, by a system transaction in a block of its own, and returns its hash.
    /// Nothing happens if the token is unknown or its supply is at the cap.
    pub fn fund(&self, holder: Address, token: Address, amount: U256) -> Option<B256> {
        self.fund_each(holder, &[token], amount).pop()
    }

    /// [`Self::fund`] with several tokens in one block; what cannot be minted is left out.
    pub fn fund_each(&self, holder: Address, tokens: &[Address], amount: U256) -> Vec<B256> {
        let mut ledger = self.lock();
        let mut state = ledger.head().state.clone();
        let mut minted = Vec::with_capacity(tokens.len());
        // Blocks are numbered once, so that the mints of two blocks never share a number.
        let first = ledger.head().number.saturating_mul(1024);
        for (unique, token) in (first..).zip(tokens) {
            let mint = faucet::Mint { chain_id: self.config.chain_id, unique, holder, token: *token, amount };
            minted.extend(mint.apply(&mut state));
        }
        let hashes = minted.iter().map(|(signed, _)| signed.hash).collect();
        if !minted.is_empty() {
            ledger.append(&self.config, (self.clock)(), state, minted);
            self.announce(&ledger);
        }
        hashes
    }

    /// Remembers the chain as it is. The oldest snapshot is forgotten when there are too many.
    pub fn snapshot(&self) -> SnapshotId {
        SnapshotId(self.lock().snapshot(self.config.limits.snapshots))
    }

    /// Goes back to a snapshot, which is used up, as are all later ones. False if there is none of this id.
    pub fn revert(&self, id: SnapshotId) -> bool {
        let mut ledger = self.lock();
        let reverted = ledger.revert(id.0);
        self.announce(&ledger);
        reverted
    }

    /// Moves the chain's time forward and returns by how much it now differs from the clock, in seconds.
    pub fn increase_time(&self, seconds: u64) -> i64 {
        self.lock().increase_time(seconds)
    }

    /// Fixes the timestamp of the next block, from which time then goes on. False if it lies before the newest block.
    pub fn set_next_timestamp(&self, seconds: u64) -> bool {
        self.lock().set_next_timestamp(seconds, (self.clock)())
    }

    /// Mines one block with everything that can be included.
    pub fn mine(&self) -> u64 {
        let mut ledger = self.lock();
        ledger.mine(&self.config, (self.clock)());
        self.announce(&ledger);
        ledger.head().number
    }

    /// Takes a raw signed transaction. With [`BlockTime::Instant`] it is in a block when this returns, if it can be.
    ///
    /// # Errors
    /// The rule that the transaction breaks. One that may become valid later is held instead.
    pub fn submit(&self, raw: &[u8]) -> Result<B256, Refusal> {
        // Signature recovery is the expensive part, and needs no lock.
        let signed = Signed::decode(raw, self.config.chain_id)?;
        let hash = signed.hash;
        let mut ledger = self.lock();
        ledger.hold(&self.config, (self.clock)(), signed)?;
        if self.config.block_time == BlockTime::Instant {
            ledger.mine_if_ready(&self.config, (self.clock)());
            self.announce(&ledger);
        }
        Ok(hash)
    }

    /// Mines a block if a transaction that was held has become valid.
    pub(crate) fn mine_if_ready(&self) {
        let mut ledger = self.lock();
        if ledger.mine_if_ready(&self.config, (self.clock)()) {
            self.announce(&ledger);
        }
    }

    /// Told whenever the head changes.
    pub(crate) fn subscribe(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    /// The block after the newest one, as a call for "latest" or "pending" sees it.
    pub(crate) fn next_env(&self) -> BlockEnv {
        self.lock().next_env(&self.config, (self.clock)())
    }

    /// The code at an address.
    pub(crate) fn code(state: &State, address: Address) -> Bytes {
        contract::code(state, address)
    }

    /// Runs calls on a copy of a state.
    pub(crate) fn simulate(state: &State, message: &Message) -> (State, Executed) {
        let mut copy = state.clone();
        let executed = execute::simulate(&mut copy, message);
        (copy, executed)
    }

    /// Everything, locked. A panic while it was held cannot have left it half changed: states are replaced whole.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn announce(&self, ledger: &Ledger) {
        self.head.send_replace(ledger.head().number);
    }
}
