//! Blocks, pool, time offset and snapshots: what the chain's lock guards.

use super::pool::Pool;
use crate::block::{Block, Position};
use crate::config::SandboxConfig;
use crate::execute::{self, BlockEnv, Executed};
use crate::refusal::Refusal;
use crate::state::State;
use crate::transaction::{BLOCK_GAS_LIMIT, Signed};
use alloy_primitives::B256;
use rpds::HashTrieMapSync;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// How long the node's pool holds a transaction whose `validAfter` lies ahead.
const VALID_AFTER_MAX_S: u64 = 120;
/// How much life a transaction must have left for the node's pool to take it.
const VALID_BEFORE_MIN_S: u64 = 3;

/// A transaction's block and its place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) block: u64,
    pub(crate) index: usize,
}

/// What a snapshot remembers, and what `Ledger` is besides its snapshots.
#[derive(Clone, Debug)]
struct Timeline {
    blocks: VecDeque<Arc<Block>>,
    places: HashTrieMapSync<B256, Place>,
    numbers: HashTrieMapSync<B256, u64>,
    pool: Pool,
    offset_ms: i64,
    next_timestamp_s: Option<u64>,
}

/// The locked part of a chain.
#[derive(Debug)]
pub(crate) struct Ledger {
    now: Timeline,
    head: Arc<Block>,
    snapshots: BTreeMap<u64, Timeline>,
    next_snapshot: u64,
}

impl Ledger {
    pub(crate) fn new(config: &SandboxConfig, clock_ms: u64) -> Self {
        let position = Position {
            chain_id: config.chain_id,
            number: 0,
            parent_hash: B256::ZERO,
            timestamp_ms: clock_ms,
            base_fee_atto: config.base_fee_atto,
        };
        let head = Arc::new(Block::seal(position, Vec::new(), config.genesis.state()));
        let now = Timeline {
            blocks: VecDeque::from([Arc::clone(&head)]),
            places: HashTrieMapSync::default(),
            numbers: HashTrieMapSync::default().insert(head.hash, 0),
            pool: Pool::default(),
            offset_ms: 0,
            next_timestamp_s: None,
        };
        Self { now, head, snapshots: BTreeMap::new(), next_snapshot: 0 }
    }

    pub(crate) fn head(&self) -> &Arc<Block> {
        &self.head
    }

    /// A block by number, unless it is unborn or forgotten.
    pub(crate) fn block(&self, number: u64) -> Option<&Arc<Block>> {
        let oldest = self.now.blocks.front()?.number;
        let index = usize::try_from(number.checked_sub(oldest)?).ok()?;
        self.now.blocks.get(index)
    }

    /// A block by hash.
    pub(crate) fn block_by_hash(&self, hash: B256) -> Option<&Arc<Block>> {
        self.now.numbers.get(&hash).and_then(|number| self.block(*number))
    }

    /// The oldest block that is still kept.
    pub(crate) fn oldest(&self) -> u64 {
        self.now.blocks.front().map_or(self.head.number, |block| block.number)
    }

    pub(crate) fn place(&self, hash: B256) -> Option<Place> {
        self.now.places.get(&hash).copied()
    }

    pub(crate) fn waiting(&self, hash: B256) -> Option<&Arc<Signed>> {
        self.now.pool.find(hash)
    }

    pub(crate) fn waiting_len(&self) -> usize {
        self.now.pool.len()
    }

    /// The timestamp of the block that would be mined now, in milliseconds. Never before its parent's.
    fn next_timestamp_ms(&self, clock_ms: u64) -> u64 {
        let parent = self.head.timestamp_ms;
        match self.now.next_timestamp_s {
            Some(seconds) => seconds.saturating_mul(1000).max(parent),
            None => clock_ms.saturating_add_signed(self.now.offset_ms).max(parent),
        }
    }

    pub(crate) fn next_env(&self, config: &SandboxConfig, clock_ms: u64) -> BlockEnv {
        BlockEnv {
            timestamp_s: self.next_timestamp_ms(clock_ms) / 1000,
            base_fee_atto: config.base_fee_atto,
            expiring_window_s: config.expiring_window_s,
        }
    }

    /// Moves time forward, and says by how many seconds it is off.
    pub(crate) fn increase_time(&mut self, seconds: u64) -> i64 {
        let added = i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
        self.now.offset_ms = self.now.offset_ms.saturating_add(added);
        self.now.offset_ms / 1000
    }

    pub(crate) fn set_next_timestamp(&mut self, seconds: u64, clock_ms: u64) -> bool {
        if seconds < self.head.timestamp_s() {
            return false;
        }
        let target = i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX);
        self.now.offset_ms = target.saturating_sub(i64::try_from(clock_ms).unwrap_or(i64::MAX));
        self.now.next_timestamp_s = Some(seconds);
        true
    }

    /// Takes a transaction into the pool if it is valid, or may become so.
    pub(crate) fn hold(
        &mut self,
        config: &SandboxConfig,
        clock_ms: u64,
        signed: Signed,
    ) -> Result<(), Refusal> {
        let env = self.next_env(config, clock_ms);
        let current = env.timestamp_s;
        // The node asks for some life to be left; a block may take that long.
        if let Some(valid_before) = signed.message.valid_before
            && valid_before <= current.saturating_add(VALID_BEFORE_MIN_S)
        {
            return Err(Refusal::Expired { current, valid_before });
        }
        if let Some(valid_after) = signed.message.valid_after
            && valid_after > current.saturating_add(VALID_AFTER_MAX_S)
        {
            let max_allowed = current.saturating_add(VALID_AFTER_MAX_S);
            return Err(Refusal::TooEarlyToHold { valid_after, max_allowed });
        }
        match execute::check(&self.head.state, env, &signed.message) {
            Err(refusal) if !refusal.may_pass() => Err(refusal),
            _ => self.now.pool.push(signed, config.limits.mempool),
        }
    }

    /// Mines one block, an empty one if nothing waits.
    pub(crate) fn mine(&mut self, config: &SandboxConfig, clock_ms: u64) {
        let (state, included) = self.assemble(config, clock_ms);
        self.append(config, clock_ms, state, included);
    }

    /// Mines a block if it would not be empty.
    pub(crate) fn mine_if_ready(&mut self, config: &SandboxConfig, clock_ms: u64) -> bool {
        if self.now.pool.is_empty() {
            return false;
        }
        let (state, included) = self.assemble(config, clock_ms);
        if included.is_empty() {
            return false;
        }
        self.append(config, clock_ms, state, included);
        true
    }

    /// Runs what waits, in order and again as long as that unlocks more, and drops what has become impossible.
    fn assemble(&mut self, config: &SandboxConfig, clock_ms: u64) -> (State, Vec<(Arc<Signed>, Executed)>) {
        let env = self.next_env(config, clock_ms);
        let mut state = self.head.state.clone();
        state.forget_expired(env.timestamp_s);
        let mut included = Vec::new();
        let mut gas_left = BLOCK_GAS_LIMIT;
        loop {
            let before = included.len();
            for signed in self.now.pool.take() {
                if signed.message.gas_limit > gas_left {
                    self.now.pool.put_back(signed);
                    continue;
                }
                match execute::include(&mut state, env, &signed.message) {
                    Ok(executed) => {
                        gas_left = gas_left.saturating_sub(executed.gas_used);
                        included.push((signed, executed));
                    }
                    Err(refusal) if refusal.may_pass() => self.now.pool.put_back(signed),
                    Err(refusal) => tracing::info!(hash = %signed.hash, %refusal, "transaction dropped"),
                }
            }
            if included.len() == before || self.now.pool.is_empty() {
                return (state, included);
            }
        }
    }

    /// Adds a block and forgets the oldest when there are too many.
    pub(crate) fn append(
        &mut self,
        config: &SandboxConfig,
        clock_ms: u64,
        state: State,
        included: Vec<(Arc<Signed>, Executed)>,
    ) {
        let position = Position {
            chain_id: config.chain_id,
            number: self.head.number.saturating_add(1),
            parent_hash: self.head.hash,
            timestamp_ms: self.next_timestamp_ms(clock_ms),
            base_fee_atto: config.base_fee_atto,
        };
        self.now.next_timestamp_s = None;
        let block = Arc::new(Block::seal(position, included, state));
        for (index, transaction) in block.transactions.iter().enumerate() {
            self.now.places.insert_mut(transaction.signed.hash, Place { block: block.number, index });
        }
        self.now.numbers.insert_mut(block.hash, block.number);
        self.head = Arc::clone(&block);
        self.now.blocks.push_back(block);
        while self.now.blocks.len() > config.limits.history_blocks {
            let Some(forgotten) = self.now.blocks.pop_front() else { return };
            self.now.numbers.remove_mut(&forgotten.hash);
            for transaction in &forgotten.transactions {
                self.now.places.remove_mut(&transaction.signed.hash);
            }
        }
    }

    pub(crate) fn snapshot(&mut self, limit: usize) -> u64 {
        let id = self.next_snapshot;
        self.next_snapshot = self.next_snapshot.saturating_add(1);
        self.snapshots.insert(id, self.now.clone());
        while self.snapshots.len() > limit {
            self.snapshots.pop_first();
        }
        id
    }

    pub(crate) fn revert(&mut self, id: u64) -> bool {
        let mut later = self.snapshots.split_off(&id);
        let Some(timeline) = later.remove(&id) else {
            // Nothing has this id; what was split off stays valid.
            self.snapshots.append(&mut later);
            return false;
        };
        if let Some(head) = timeline.blocks.back() {
            self.head = Arc::clone(head);
        }
        self.now = timeline;
        true
    }
}
