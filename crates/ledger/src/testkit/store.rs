//! [`MemoryStore`]: the reference [`RecordStore`]. A ledger in memory and a sorted map, changed under one lock.
//!
//! With [`MemoryStore::reference`] the ledger is [`MemoryLedger`], which keeps nothing but the journal and is the oracle of the
//! suites. With [`MemoryStore::new`] the engine decides instead: fast enough for the tests of a service, and no oracle.
//! The records are the same plain code in both. Nothing of it outlives the process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use async_trait::async_trait;
use farthing_money::Asset;

use super::MemoryLedger;
use crate::journal::{Chain, Head, Sealed};
use crate::record::{
    Committed, Expect, Order, Record, RecordChange, RecordKey, RecordStore, Scan, Version, Work,
    add_to_counter,
};
use crate::store::{HistoryQuery, LedgerStore, MAX_PAGE, MAX_STEPS, Page, StoreError};
use crate::verify::{Fault, Report};
use crate::{Account, AccountId, AssetId, Decision, Engine, Known, Outcome, Step, Timestamp, TransferId};

/// A ledger with records, in memory.
#[derive(Debug)]
pub struct MemoryStore {
    state: Mutex<State>,
    /// Every entry. Only changed while the state is locked.
    ledger: MemoryLedger,
}

#[derive(Debug, Default)]
struct State {
    engine: Option<Engine>,
    records: BTreeMap<RecordKey, Record>,
    version: u64,
    waiting: Vec<Waker>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty store in which the engine decides.
    #[must_use]
    pub fn new() -> Self {
        let engine = Engine::new(0x5eed, 0, Timestamp::EPOCH);
        let state = State { engine: Some(engine), ..State::default() };
        Self { state: Mutex::new(state), ledger: MemoryLedger::new() }
    }

    /// An empty store that shares nothing with the engine, and reads its whole journal for every step.
    #[must_use]
    pub fn reference() -> Self {
        Self { state: Mutex::new(State::default()), ledger: MemoryLedger::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does all of `work`, which was checked, or nothing of it.
    fn work(&self, work: Work) -> Result<Committed, StoreError> {
        let mut state = self.state();
        let conflict = work.records.iter().position(|change| !state.is_as_expected(change));
        if let Some(at) = conflict {
            return Ok(Committed::Conflict { at });
        }
        // Counters are added up before anything happens: one that cannot be added to refuses all of it.
        let version = Version(state.version + 1);
        let changes: Vec<Change> =
            work.records.into_iter().map(|change| state.change(change, version)).collect::<Result<_, _>>()?;
        let before = self.ledger.length();
        let outcomes = self.decide(&mut state, work.now, &work.steps);
        let refused = outcomes.iter().any(|outcome| matches!(outcome, Outcome::Rejected(_)));
        let mut changed = self.ledger.length() > before;
        if !refused {
            for change in changes {
                changed |= state.apply(change);
            }
        }
        if changed {
            state.version += 1;
            state.waiting.drain(..).for_each(Waker::wake);
        }
        let version = Version(state.version);
        Ok(if refused { Committed::Refused { outcomes } } else { Committed::Applied { outcomes, version } })
    }

    fn decide(&self, state: &mut State, now: Timestamp, steps: &[Step]) -> Vec<Outcome> {
        let Some(engine) = &mut state.engine else { return self.ledger.decide(now, steps) };
        let mut decision = Decision::default();
        engine.decide(now, steps, &mut decision);
        engine.commit();
        let mut chain = Chain::after(self.ledger.last());
        self.ledger.append(decision.entries.into_iter().map(|entry| {
            let hash = chain.seal(&entry).1;
            Sealed { entry, hash }
        }));
        decision.outcomes
    }
}

/// What becomes of a record: what it is from now on, if it is at all.
struct Change {
    at: RecordKey,
    to: Fate,
}

enum Fate {
    Stays,
    Becomes(Record),
    Goes,
}

impl State {
    fn is_as_expected(&self, change: &RecordChange) -> bool {
        let found = self.records.get(change.at());
        match change.expect() {
            Expect::Anything => true,
            Expect::Absent => found.is_none(),
            Expect::Present => found.is_some(),
            Expect::Revision(revision) => found.is_some_and(|record| record.revision == revision),
        }
    }

    fn change(&self, change: RecordChange, revision: Version) -> Result<Change, StoreError> {
        let record = |at: &RecordKey, body| Record { key: at.key.clone(), revision, body };
        Ok(match change {
            RecordChange::Check { at, .. } => Change { at, to: Fate::Stays },
            RecordChange::Delete { at, .. } => Change { at, to: Fate::Goes },
            RecordChange::Put { at, body, .. } => {
                let to = Fate::Becomes(record(&at, body));
                Change { at, to }
            }
            RecordChange::Add { at, numbers } => {
                let before = self.records.get(&at).map(|record| record.body.as_str());
                let damaged = |what| StoreError::Damaged { what };
                let body = add_to_counter(before, &numbers).map_err(damaged)?;
                let to = Fate::Becomes(record(&at, body));
                Change { at, to }
            }
        })
    }

    /// Whether anything changed.
    fn apply(&mut self, Change { at, to }: Change) -> bool {
        match to {
            Fate::Stays => false,
            Fate::Goes => self.records.remove(&at).is_some(),
            Fate::Becomes(record) => {
                self.records.insert(at, record);
                true
            }
        }
    }
}

#[async_trait]
impl RecordStore for MemoryStore {
    async fn commit(&self, work: Work) -> Result<Committed, StoreError> {
        work.check()?;
        self.work(work)
    }

    async fn records(&self, keys: &[RecordKey]) -> Result<Vec<Option<Record>>, StoreError> {
        let state = self.state();
        Ok(keys.iter().map(|key| state.records.get(key).cloned()).collect())
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<Record>, StoreError> {
        let state = self.state();
        let beyond = |key: &str| match (&scan.after, scan.order) {
            (None, _) => true,
            (Some(after), Order::Ascending) => key.as_bytes() > after.as_bytes(),
            (Some(after), Order::Descending) => key.as_bytes() < after.as_bytes(),
        };
        let mut found: Vec<Record> = state
            .records
            .iter()
            .filter(|(at, _)| at.table == scan.table && at.key.starts_with(&scan.prefix) && beyond(&at.key))
            .map(|(_, record)| record.clone())
            .collect();
        if scan.order == Order::Descending {
            found.reverse();
        }
        found.truncate(scan.limit.min(MAX_PAGE));
        Ok(found)
    }

    async fn changed(&self, version: Version) -> Result<Version, StoreError> {
        std::future::poll_fn(|context| {
            let mut state = self.state();
            if state.version > version.0 {
                return Poll::Ready(Ok(Version(state.version)));
            }
            if !state.waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                state.waiting.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await
    }
}

#[async_trait]
impl LedgerStore for MemoryStore {
    async fn transact(&self, now: Timestamp, steps: Vec<Step>) -> Result<Vec<Outcome>, StoreError> {
        if steps.len() > MAX_STEPS {
            return Err(StoreError::BatchTooLong { steps: steps.len(), max: MAX_STEPS });
        }
        match self.work(Work { now, steps, records: Vec::new() })? {
            Committed::Applied { outcomes, .. } | Committed::Refused { outcomes } => Ok(outcomes),
            Committed::Conflict { .. } => {
                Err(StoreError::Damaged { what: "a conflict without records".to_owned() })
            }
        }
    }

    async fn accounts(&self, ids: &[AccountId]) -> Result<Vec<Option<Account>>, StoreError> {
        if let Some(engine) = &self.state().engine {
            return Ok(ids.iter().map(|id| engine.account(*id).copied()).collect());
        }
        self.ledger.accounts(ids).await
    }

    async fn account_at(&self, id: AccountId, at: Timestamp) -> Result<Option<Account>, StoreError> {
        self.ledger.account_at(id, at).await
    }

    async fn asset(&self, id: AssetId) -> Result<Option<Asset>, StoreError> {
        if let Some(engine) = &self.state().engine {
            return Ok(engine.asset(id).cloned());
        }
        self.ledger.asset(id).await
    }

    async fn known(&self, id: TransferId) -> Result<Option<Known>, StoreError> {
        if let Some(engine) = &self.state().engine {
            return Ok(engine.known(id).copied());
        }
        self.ledger.known(id).await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<TransferId>, StoreError> {
        if let Some(engine) = &self.state().engine {
            return Ok(engine.due(now, limit));
        }
        self.ledger.due(now, limit).await
    }

    async fn history(&self, query: HistoryQuery) -> Result<Page, StoreError> {
        self.ledger.history(query).await
    }

    async fn journal(&self, seq: u64, limit: usize) -> Result<Vec<Sealed>, StoreError> {
        self.ledger.journal(seq, limit).await
    }

    async fn head(&self) -> Result<Head, StoreError> {
        Ok(self.ledger.last())
    }

    async fn verify(&self) -> Result<Result<Report, Fault>, StoreError> {
        self.ledger.verify().await
    }
}
