//! What proves a store, for its own tests: a reference model, a suite that every store has to pass, and random histories
//! with an auditor. None of it is for production, and none of it shares code with the engine's rules.

pub mod conformance;
pub mod memory;
pub mod model;
pub mod records;
pub mod store;

pub use conformance::Fixture;
pub use memory::MemoryLedger;
pub use model::{Auditor, Workload};
pub use store::MemoryStore;
