//! A store that counts what is asked of it, and fails when it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use farthing_protocol::UnixMs;
use farthing_protocol::ports::{
    AdvanceError, Claim, ClaimId, ClaimOutcome, ClaimStep, ClaimStore, Listed, NewClaim, Page, StoreEpoch,
    StoreError, StoredAnswer,
};

pub struct CountingStore {
    pub inner: Arc<dyn ClaimStore>,
    pub calls: AtomicUsize,
    pub broken: AtomicBool,
    /// Another epoch than the store's own, once it is not 0.
    pub restored: AtomicUsize,
}

impl CountingStore {
    pub fn new(inner: Arc<dyn ClaimStore>) -> Self {
        Self {
            inner,
            calls: AtomicUsize::new(0),
            broken: AtomicBool::new(false),
            restored: AtomicUsize::new(0),
        }
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

    async fn answer(&self, id: &ClaimId) -> Result<Option<StoredAnswer>, StoreError> {
        self.count()?;
        self.inner.answer(id).await
    }

    async fn list(&self, listed: Listed, page: Page) -> Result<Vec<Claim>, StoreError> {
        self.count()?;
        self.inner.list(listed, page).await
    }

    /// Not counted: it is asked once, and changes nothing.
    async fn epoch(&self) -> Result<StoreEpoch, StoreError> {
        match self.restored.load(Ordering::SeqCst) {
            0 => self.inner.epoch().await,
            epoch => Ok(StoreEpoch(u32::try_from(epoch).unwrap())),
        }
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
