//! A store that counts what is asked of it, and fails when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use farthing_protocol::UnixMs;
use farthing_protocol::ports::{
    AdvanceError, Claim, ClaimId, ClaimOutcome, ClaimStep, ClaimStore, NewClaim, StoreError,
};

pub struct CountingStore {
    pub inner: Arc<dyn ClaimStore>,
    pub calls: AtomicUsize,
    pub broken: AtomicBool,
}

impl CountingStore {
    pub fn new(inner: Arc<dyn ClaimStore>) -> Self {
        Self { inner, calls: AtomicUsize::new(0), broken: AtomicBool::new(false) }
    }

    fn count(&self) -> Result<(), StoreError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.broken.load(Ordering::SeqCst) {
            return Err(StoreError { detail: "the script says so".into() });
        }
        Ok(())
    }
}

#[async_trait]
impl ClaimStore for CountingStore {
    async fn claim(&self, claim: NewClaim, now: UnixMs) -> Result<ClaimOutcome, StoreError> {
        self.count()?;
        self.inner.claim(claim, now).await
    }

    async fn advance(&self, id: &ClaimId, step: ClaimStep, now: UnixMs) -> Result<(), AdvanceError> {
        self.count()?;
        self.inner.advance(id, step, now).await
    }

    async fn get(&self, id: &ClaimId) -> Result<Option<Claim>, StoreError> {
        self.count()?;
        self.inner.get(id).await
    }

    async fn unresolved(&self, before: UnixMs, limit: usize) -> Result<Vec<Claim>, StoreError> {
        self.count()?;
        self.inner.unresolved(before, limit).await
    }

    async fn release_leases(&self, now: UnixMs) -> Result<usize, StoreError> {
        self.count()?;
        self.inner.release_leases(now).await
    }

    async fn prune(&self, expired_before: UnixMs, limit: usize) -> Result<usize, StoreError> {
        self.count()?;
        self.inner.prune(expired_before, limit).await
    }
}
