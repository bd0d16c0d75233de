//! The stores in memory pass the suites that every store has to pass.

use farthing_ledger::testkit::{Fixture, MemoryLedger, MemoryStore, conformance, records};

struct Memory;

#[async_trait::async_trait]
impl Fixture for Memory {
    type Store = MemoryLedger;

    async fn fresh(&self) -> MemoryLedger {
        MemoryLedger::new()
    }

    async fn reopen(&self, store: MemoryLedger) -> MemoryLedger {
        store
    }
}

#[tokio::test]
async fn the_model_keeps_the_contract() {
    conformance::run(&Memory).await;
}

/// A store whose ledger is the model, or the engine.
struct Store(fn() -> MemoryStore);

#[async_trait::async_trait]
impl Fixture for Store {
    type Store = MemoryStore;

    async fn fresh(&self) -> MemoryStore {
        (self.0)()
    }

    async fn reopen(&self, store: MemoryStore) -> MemoryStore {
        store
    }
}

#[tokio::test]
async fn the_stores_in_memory_keep_the_contract() {
    for store in [Store(MemoryStore::new), Store(MemoryStore::reference)] {
        conformance::run(&store).await;
    }
}

#[tokio::test]
async fn the_stores_in_memory_keep_the_contract_of_records() {
    for store in [Store(MemoryStore::new), Store(MemoryStore::reference)] {
        records::run(&store).await;
    }
}
