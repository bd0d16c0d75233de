//! The reference model passes the suite that every store has to pass.

use farthing_ledger::testkit::{Fixture, MemoryLedger, conformance};

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
