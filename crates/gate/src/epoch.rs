//! Which history the store has, as this process knows it: challenges carry it, and those of another history are not honoured, so
//! that restoring a backup revives no credential.

use std::sync::atomic::{AtomicU64, Ordering};

use farthing_protocol::ports::{StoreEpoch, StoreError};

use crate::gate::Inner;
use crate::observe::GateEvent;

/// The epoch, once it is known.
#[derive(Debug, Default)]
pub(crate) struct Epoch(AtomicU64);

impl Epoch {
    /// Above every epoch: set once one is known.
    const KNOWN: u64 = 1 << 32;

    fn get(&self) -> Option<StoreEpoch> {
        let value = self.0.load(Ordering::Relaxed);
        let low = u32::try_from(value & u64::from(u32::MAX)).unwrap_or_default();
        (value >= Self::KNOWN).then_some(StoreEpoch(low))
    }

    fn set(&self, epoch: StoreEpoch) -> Option<StoreEpoch> {
        let before = self.get();
        self.0.store(Self::KNOWN | u64::from(epoch.0), Ordering::Relaxed);
        before
    }
}

impl Inner {
    /// The epoch, when the store need not be asked.
    pub(crate) fn known_epoch(&self) -> Option<StoreEpoch> {
        self.epoch.get()
    }

    /// The epoch; the store is asked the first time only.
    pub(crate) async fn epoch(&self) -> Result<StoreEpoch, StoreError> {
        match self.epoch.get() {
            Some(epoch) => Ok(epoch),
            None => self.ask_epoch().await,
        }
    }

    /// The epoch that the store has now.
    pub(crate) async fn ask_epoch(&self) -> Result<StoreEpoch, StoreError> {
        let epoch = self.store.epoch().await.inspect_err(|error| {
            self.observer.observe(GateEvent::StoreError { during: "epoch" });
            tracing::error!(%error, "the store's epoch is not known");
        })?;
        if self.epoch.set(epoch).is_some_and(|before| before != epoch) {
            tracing::warn!("the store was restored from a backup: challenges from before are not honoured");
        }
        Ok(epoch)
    }
}
