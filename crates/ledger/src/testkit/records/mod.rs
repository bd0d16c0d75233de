//! What every [`RecordStore`] has to do beyond [`super::conformance`]. Each case starts with an empty store; the suite panics at
//! the first difference.
//!
//! ```
//! # use farthing_ledger::testkit::{Fixture, MemoryStore, records};
//! struct Memory;
//! #[async_trait::async_trait]
//! impl Fixture for Memory {
//!     type Store = MemoryStore;
//!     async fn fresh(&self) -> MemoryStore {
//!         MemoryStore::new()
//!     }
//!     async fn reopen(&self, store: MemoryStore) -> MemoryStore {
//!         store
//!     }
//! }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! records::run(&Memory).await;
//! # }
//! ```

mod commits;
mod counters;
mod expectations;
mod races;
mod random;
mod scans;
mod wakes;

use super::Fixture;
use super::conformance::{VENDOR, WALLET, opening, transfer};
use crate::record::{Committed, Expect, Record, RecordChange, RecordKey, RecordStore, Table, Version, Work};
use crate::store::StoreError;
use crate::{Command, Outcome, Step, Timestamp};

pub use races::{adding, reading_and_writing, spending, together};

/// Runs every case.
///
/// # Panics
/// At the first thing that the store does otherwise than promised.
pub async fn run<F: Fixture>(fixture: &F)
where
    F::Store: RecordStore,
{
    expectations::run(fixture).await;
    commits::run(fixture).await;
    counters::run(fixture).await;
    scans::run(fixture).await;
    wakes::run(fixture).await;
    races::run(fixture).await;
    for seed in 1..=6 {
        random::run(fixture, seed).await;
    }
}

/// The table that most cases use.
pub const THINGS: Table = Table::new("things");
/// A table beside it, with the same keys.
pub const OTHERS: Table = Table::new("others_2");

const NOW: Timestamp = Timestamp::from_unix_ms(10);

/// The record `key` of [`THINGS`].
#[must_use]
pub fn thing(key: &str) -> RecordKey {
    RecordKey { table: THINGS, key: key.to_owned() }
}

/// What puts a record.
#[must_use]
pub fn put(key: &str, expect: Expect, body: &str) -> RecordChange {
    RecordChange::Put { at: thing(key), expect, body: body.to_owned() }
}

/// What deletes a record.
#[must_use]
pub fn delete(key: &str, expect: Expect) -> RecordChange {
    RecordChange::Delete { at: thing(key), expect }
}

/// What only looks at a record.
#[must_use]
pub fn check(key: &str, expect: Expect) -> RecordChange {
    RecordChange::Check { at: thing(key), expect }
}

/// What adds to a counter.
#[must_use]
pub fn add(key: &str, numbers: &[i128]) -> RecordChange {
    RecordChange::Add { at: thing(key), numbers: numbers.to_vec() }
}

/// A payment of the wallet to the vendor.
#[must_use]
pub fn pay(id: u128, amount: u128) -> Step {
    Step::single(Command::Transfer(transfer(id, (WALLET, VENDOR), amount)))
}

/// Commits steps and changes.
///
/// # Errors
/// What the store says.
pub async fn commit(
    store: &(impl RecordStore + ?Sized),
    steps: Vec<Step>,
    records: Vec<RecordChange>,
) -> Result<Committed, StoreError> {
    store.commit(Work { now: NOW, steps, records }).await
}

/// Commits changes that have to be applied, and gives the commit's version.
async fn applied(store: &(impl RecordStore + ?Sized), records: Vec<RecordChange>) -> Version {
    match commit(store, Vec::new(), records.clone()).await {
        Ok(Committed::Applied { version, .. }) => version,
        other => panic!("{records:?} was to be applied: {other:?}"),
    }
}

/// A store whose wallet has `amount`.
async fn funded<F: Fixture>(fixture: &F, amount: u128) -> F::Store
where
    F::Store: RecordStore,
{
    let store = fixture.fresh().await;
    let done = commit(&store, opening(amount), Vec::new()).await.expect("the store answers");
    assert!(matches!(done, Committed::Applied { version: Version(1), .. }), "opening: {done:?}");
    store
}

/// One record.
///
/// # Panics
/// When the store does not answer.
pub async fn get(store: &(impl RecordStore + ?Sized), key: &str) -> Option<Record> {
    let found = store.records(&[thing(key)]).await.expect("the store answers");
    assert_eq!(found.len(), 1, "one answer a key");
    found.into_iter().next().flatten()
}

async fn body(store: &(impl RecordStore + ?Sized), key: &str) -> Option<String> {
    get(store, key).await.map(|record| record.body)
}

fn codes(outcomes: &[Outcome]) -> Vec<&'static str> {
    outcomes.iter().map(Outcome::code).collect()
}

async fn must_verify(store: &(impl RecordStore + ?Sized)) {
    store.verify().await.expect("the store answers").expect("the store is sound");
}
