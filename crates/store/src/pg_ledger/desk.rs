//! [`Desk`]: deciding the works of one batch in memory, each with what those before it did. It reads and writes nothing.

use std::collections::HashMap;
use std::ops::Range;

use farthing_ledger::record::{
    Committed, Expect, Record, RecordChange, RecordKey, Version, Work, add_to_counter,
};
use farthing_ledger::store::StoreError;
use farthing_ledger::{Decision, Engine, Outcome};

/// A batch that is being decided.
#[derive(Debug, Default)]
pub(super) struct Desk {
    /// The records that the batch names, as they are by now.
    records: HashMap<RecordKey, Option<Record>>,
    /// Those of them that changed.
    changed: Vec<RecordKey>,
    /// Those that cannot be read, and why: works that name them fail, and no other.
    damaged: HashMap<RecordKey, String>,
    pub(super) version: u64,
}

/// A record as it was found.
pub(super) struct Found {
    pub(super) table: String,
    pub(super) key: String,
    pub(super) record: Result<Record, String>,
}

/// What becomes of a work once its batch is durable.
#[derive(Debug)]
pub(super) enum Verdict {
    Applied { outcomes: Range<usize>, version: Version },
    Refused { outcomes: Range<usize> },
    Conflict { at: usize },
    Damaged { what: String },
}

impl Verdict {
    /// What its caller is told.
    pub(super) fn answer(self, outcomes: &[Outcome]) -> Result<Committed, StoreError> {
        match self {
            Self::Applied { outcomes: range, version } => {
                Ok(Committed::Applied { outcomes: outcomes[range].to_vec(), version })
            }
            Self::Refused { outcomes: range } => {
                Ok(Committed::Refused { outcomes: outcomes[range].to_vec() })
            }
            Self::Conflict { at } => Ok(Committed::Conflict { at }),
            Self::Damaged { what } => Err(StoreError::Damaged { what }),
        }
    }
}

/// What becomes of a record.
enum Becomes {
    Text(String),
    Nothing,
    Same,
}

impl Desk {
    /// A desk after the commit `version`, with the records that there are; `named` are all that the batch names.
    pub(super) fn new<'a>(
        version: u64,
        named: impl Iterator<Item = &'a RecordKey>,
        found: Vec<Found>,
    ) -> Self {
        let mut by_name: HashMap<(String, String), _> =
            found.into_iter().map(|found| ((found.table, found.key), found.record)).collect();
        let mut desk = Self { version, ..Self::default() };
        for at in named {
            if desk.records.contains_key(at) {
                continue;
            }
            let record = match by_name.remove(&(at.table.name().to_owned(), at.key.clone())) {
                Some(Ok(record)) => Some(record),
                Some(Err(what)) => {
                    desk.damaged.insert(at.clone(), what);
                    None
                }
                None => None,
            };
            desk.records.insert(at.clone(), record);
        }
        desk
    }

    /// Decides one work: what its records have to be, then its steps, then what becomes of the records.
    pub(super) fn decide(&mut self, work: &Work, engine: &mut Engine, decision: &mut Decision) -> Verdict {
        if let Some(what) = work.records.iter().find_map(|change| self.damaged.get(change.at())) {
            return Verdict::Damaged { what: what.clone() };
        }
        if let Some(at) = work.records.iter().position(|change| !self.is_as_expected(change)) {
            return Verdict::Conflict { at };
        }
        let becomes: Result<Vec<_>, String> =
            work.records.iter().map(|change| self.becomes(change)).collect();
        let becomes = match becomes {
            Ok(becomes) => becomes,
            Err(what) => return Verdict::Damaged { what },
        };
        let (first, entries) = (decision.outcomes.len(), decision.entries.len());
        engine.decide(work.now, &work.steps, decision);
        let outcomes = first..decision.outcomes.len();
        let is_rejected = |outcome: &Outcome| matches!(outcome, Outcome::Rejected(_));
        let is_refused = decision.outcomes[outcomes.clone()].iter().any(is_rejected);
        let mut has_changed = decision.entries.len() > entries;
        if !is_refused {
            let revision = Version(self.version + 1);
            for (change, becomes) in work.records.iter().zip(becomes) {
                has_changed |= self.change(change.at(), becomes, revision);
            }
        }
        self.version += u64::from(has_changed);
        if is_refused {
            Verdict::Refused { outcomes }
        } else {
            Verdict::Applied { outcomes, version: Version(self.version) }
        }
    }

    /// The records that changed, each once, and what they are now.
    pub(super) fn changes(&mut self) -> impl Iterator<Item = (&RecordKey, Option<&Record>)> {
        self.changed.sort_unstable();
        self.changed.dedup();
        self.changed.iter().map(|at| (at, self.get(at)))
    }

    fn get(&self, at: &RecordKey) -> Option<&Record> {
        self.records.get(at).and_then(Option::as_ref)
    }

    fn is_as_expected(&self, change: &RecordChange) -> bool {
        let found = self.get(change.at());
        match change.expect() {
            Expect::Anything => true,
            Expect::Absent => found.is_none(),
            Expect::Present => found.is_some(),
            Expect::Revision(revision) => found.is_some_and(|record| record.revision == revision),
        }
    }

    fn becomes(&self, change: &RecordChange) -> Result<Becomes, String> {
        Ok(match change {
            RecordChange::Put { body, .. } => Becomes::Text(body.clone()),
            RecordChange::Delete { at, .. } if self.get(at).is_some() => Becomes::Nothing,
            RecordChange::Delete { .. } | RecordChange::Check { .. } => Becomes::Same,
            RecordChange::Add { at, numbers } => {
                Becomes::Text(add_to_counter(self.get(at).map(|record| record.body.as_str()), numbers)?)
            }
        })
    }

    fn change(&mut self, at: &RecordKey, becomes: Becomes, revision: Version) -> bool {
        let now = match becomes {
            Becomes::Text(body) => Some(Record { key: at.key.clone(), revision, body }),
            Becomes::Nothing => None,
            Becomes::Same => return false,
        };
        self.records.insert(at.clone(), now);
        self.changed.push(at.clone());
        true
    }
}
