//! [`Books`]: what a writer of a ledger keeps in memory, and how it is brought up to date from checkpoints and journal. The same
//! for every database: this module knows rows, and nothing of how they are read or written.

use std::collections::{HashSet, VecDeque};

use farthing_ledger::engine::LoadError;
use farthing_ledger::journal::Chain;
use farthing_ledger::{Engine, TransferId};

pub(crate) mod beside;
pub(crate) mod row;
pub(crate) mod tail;

/// What is stored contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Damaged(pub(crate) String);

impl From<LoadError> for Damaged {
    fn from(error: LoadError) -> Self {
        Self(error.to_string())
    }
}

/// What the writer keeps in memory.
pub(crate) struct Books {
    pub(crate) engine: Engine,
    pub(crate) chain: Chain,
    /// For every account in [`Engine::accounts`], the last entry that touched it.
    pub(crate) last_seq: Vec<u64>,
    /// For every account, the entry that its row is as of, as far as this process knows.
    pub(crate) as_of: Vec<u64>,
    /// Holds with a row of their own.
    pub(crate) old: HashSet<TransferId>,
    /// Holds without one, in the order in which they were placed; some have ended since.
    pub(crate) young: VecDeque<(u64, TransferId)>,
    pub(crate) sweep: Sweep,
    pub(crate) tuning: Tuning,
}

/// How much is kept in memory. Tests make it small, so that little is enough to outgrow it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tuning {
    /// The shortest round of checkpoints, in entries: start-up reads at most about twice as many, and holds that end
    /// within one never get a row.
    pub(crate) shortest_round: u64,
    /// Ids that the engine remembers. What is older is looked up in the journal when its id is not higher than all that
    /// were forgotten.
    pub(crate) remembered: usize,
    /// From so many requests on, a batch is written by another thread than the one that decides, where there are two.
    pub(crate) enough: usize,
    /// The engine's seed.
    pub(crate) seed: u64,
}

impl Tuning {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { shortest_round: 65_536, remembered: 1 << 17, enough: 256, seed }
    }
}

/// How far the present round of checkpoints has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sweep {
    /// The next account to look at.
    pub(crate) place: usize,
    /// The end of the journal when the round began.
    pub(crate) began: u64,
}
