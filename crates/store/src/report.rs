//! What a look over a whole store finds: for `farthing store check`, not for serving.

use std::collections::BTreeMap;

use farthing_protocol::ports::StoreEpoch;

/// What a store holds, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The version of its tables.
    pub schema: i64,
    /// The history that it has.
    pub epoch: StoreEpoch,
    /// How many claims are in each state, by [`farthing_protocol::ports::ClaimState::name`].
    pub claims: BTreeMap<String, u64>,
    /// What should never be, with how often it is. Empty for a store that is as it should be.
    pub problems: Vec<Problem>,
}

/// Something that should never be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What.
    pub what: String,
    /// How often.
    pub count: u64,
}

/// A question that a store is asked: what it would mean if any row answered, and how many do.
pub(crate) type Question = (&'static str, &'static str);
