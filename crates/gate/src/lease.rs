//! Who serves a call: a place in this process, a lease in the store that is renewed as long as the call lasts, and the step
//! that ends it.
//!
//! A lease is short, so that another process takes over soon when this one has gone. While the call lasts it is renewed at a
//! third of its length, late renewals included: as long as nobody else has taken the call, it is still ours. Once somebody has,
//! the store takes no step of ours any more. [`InFlight`] refuses every other copy in this process whatever the lease says.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use farthing_protocol::ports::{AdvanceError, ClaimId, ClaimStep, ClaimStore, Clock, Lease, LeaseHolder};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::observe::{GateEvent, Observer};

/// Claims that this process is serving.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    ids: Mutex<HashSet<ClaimId>>,
    idle: Notify,
}

/// A place in [`InFlight`], given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    all: Arc<InFlight>,
    pub(crate) id: ClaimId,
}

impl InFlight {
    /// The only service of `id`, unless there is one.
    pub(crate) fn enter(self: &Arc<Self>, id: &ClaimId) -> Option<Slot> {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.insert(id.clone()).then(|| Slot { all: Arc::clone(self), id: id.clone() })
    }

    /// Waits until nothing is being served or recorded.
    pub(crate) async fn idle(&self) {
        loop {
            let woken = self.idle.notified();
            if self.ids.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
                return;
            }
            woken.await;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut ids = self.all.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.remove(&self.id);
        if ids.is_empty() {
            self.all.idle.notify_waiters();
        }
    }
}

/// What recording needs.
#[derive(Clone)]
pub(crate) struct Recorder {
    pub(crate) store: Arc<dyn ClaimStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) lease_ms: u64,
}

impl Recorder {
    /// Attempts at a last step before the lease is left to run out.
    const ATTEMPTS: u32 = 6;

    /// Takes one step, once.
    pub(crate) async fn advance(&self, id: &ClaimId, step: ClaimStep) -> Result<(), AdvanceError> {
        let taken = self.store.advance(id, step, self.clock.now()).await;
        if let Err(error) = &taken {
            if matches!(error, AdvanceError::Store(_)) {
                self.observer.observe(GateEvent::StoreError { during: "advance" });
            }
            tracing::warn!(claim = %id, %error, "a step was not taken");
        }
        taken
    }

    /// Records how a call ended. A store that does not answer is asked again; in the end the lease decides.
    async fn record(&self, id: &ClaimId, step: ClaimStep) {
        for attempt in 0..Self::ATTEMPTS {
            match self.advance(id, step.clone()).await {
                Ok(()) => return,
                Err(AdvanceError::Store(_)) => {
                    tokio::time::sleep(Duration::from_millis(100 << attempt)).await
                }
                // An attempt before this one was written after all, or somebody else has taken the call.
                Err(_) => return,
            }
        }
        tracing::error!(claim = %id, "the end of a call was not recorded; its payer may be served again");
    }

    /// Renews the lease until it is told to stop. Stops between renewals, never within one: a renewal that arrived after
    /// the last step would open the call again.
    async fn keep_lease(self, id: ClaimId, holder: LeaseHolder, stop: Arc<Notify>) {
        let mut wait_ms = self.lease_ms / 3;
        loop {
            tokio::select! {
                () = stop.notified() => return,
                () = tokio::time::sleep(Duration::from_millis(wait_ms)) => {}
            }
            let now = self.clock.now();
            let step = ClaimStep::Renew(Lease { holder, until: now.plus_ms(self.lease_ms) });
            wait_ms = match self.store.advance(&id, step, now).await {
                Ok(()) => self.lease_ms / 3,
                Err(AdvanceError::Store(_)) => (self.lease_ms / 10).max(50),
                Err(error) => {
                    tracing::warn!(claim = %id, %error, "a lease was lost: somebody else serves the call");
                    return;
                }
            };
        }
    }
}

/// The right to serve a call, held. Dropped without an end, the lease runs out.
pub(crate) struct Holding {
    recorder: Recorder,
    slot: Slot,
    holder: LeaseHolder,
    keeper: Option<(JoinHandle<()>, Arc<Notify>)>,
    runtime: Handle,
}

impl Holding {
    /// Takes over a call whose lease has been recorded.
    pub(crate) fn begin(recorder: Recorder, slot: Slot, holder: LeaseHolder) -> Self {
        let mut holding = Self { recorder, slot, holder, keeper: None, runtime: Handle::current() };
        holding.resume();
        holding
    }

    pub(crate) const fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    pub(crate) const fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Renews the lease from now on.
    pub(crate) fn resume(&mut self) {
        let stop = Arc::new(Notify::new());
        let keeper = self.recorder.clone().keep_lease(self.slot.id.clone(), self.holder, Arc::clone(&stop));
        self.keeper = Some((self.runtime.spawn(keeper), stop));
    }

    /// Renews it no more; no renewal is under way when this returns.
    pub(crate) async fn pause(&mut self) {
        if let Some((keeper, stop)) = self.keeper.take() {
            stop.notify_one();
            let _ = keeper.await;
        }
    }

    /// Ends the call with this step. The task that records it runs to its end whether it is awaited or not, and `with` is dropped
    /// behind it.
    pub(crate) fn end<T: Send + 'static>(mut self, step: ClaimStep, with: T) -> JoinHandle<()> {
        let runtime = self.runtime.clone();
        runtime.spawn(async move {
            // Never after our step: a late renewal would lead from the credit back to a delivery that nobody makes.
            self.pause().await;
            self.recorder.record(&self.slot.id, step).await;
            drop((self, with));
        })
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        if let Some((_, stop)) = self.keeper.take() {
            stop.notify_one();
        }
    }
}
