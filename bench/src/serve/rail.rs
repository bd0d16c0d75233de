//! The example rail, which takes as long to settle as it is told: what a settled charge costs beside the chain's own time.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use farthing_money::Asset;
use farthing_protocol::ports::{
    ClaimKey, OfferError, Price, Resolution, SettleError, Settled, SettlementPlan, Verified, Verifier,
    VerifyError, VerifyRequest,
};
use farthing_protocol::{Credential, EncodedJson, Intent, MethodId, Problem, UnixMs};
use farthing_rails::example::ExampleVerifier;
use tokio::sync::oneshot;

/// An example rail with a delay.
#[derive(Debug)]
pub(super) struct Patient {
    inner: ExampleVerifier,
    delay: Option<Delay>,
}

impl Patient {
    /// Settles at once when the time is zero.
    pub(super) fn new(inner: ExampleVerifier, settles_after: Duration) -> Self {
        let delay = (!settles_after.is_zero()).then(|| Delay::new(settles_after));
        Self { inner, delay }
    }
}

/// Waits exactly so long: the runtime's own timers ring up to two milliseconds late, which would be taken for the gateway's.
#[derive(Debug)]
struct Delay {
    lasts: Duration,
    waiting: mpsc::Sender<(Instant, oneshot::Sender<()>)>,
}

impl Delay {
    fn new(lasts: Duration) -> Self {
        let (waiting, due) = mpsc::channel::<(Instant, oneshot::Sender<()>)>();
        std::thread::spawn(move || {
            // All wait equally long, so that the first to come is the first to be due.
            for (at, waker) in due {
                std::thread::sleep(at.saturating_duration_since(Instant::now()));
                let _ = waker.send(());
            }
        });
        Self { lasts, waiting }
    }

    async fn wait(&self) {
        let (waker, woken) = oneshot::channel();
        if self.waiting.send((Instant::now() + self.lasts, waker)).is_ok() {
            let _ = woken.await;
        }
    }
}

#[async_trait]
impl Verifier for Patient {
    fn method(&self) -> &MethodId {
        self.inner.method()
    }

    fn intent(&self) -> &Intent {
        self.inner.intent()
    }

    fn rail(&self) -> &str {
        self.inner.rail()
    }

    fn asset(&self) -> &Asset {
        self.inner.asset()
    }

    fn offer(&self, price: &Price) -> Result<EncodedJson, OfferError> {
        self.inner.offer(price)
    }

    fn keys(&self, credential: &Credential<'_>) -> Result<Vec<ClaimKey>, Problem> {
        self.inner.keys(credential)
    }

    async fn verify(&self, request: VerifyRequest<'_>) -> Result<Verified, VerifyError> {
        self.inner.verify(request).await
    }

    async fn settle(&self, plan: &SettlementPlan, now: UnixMs) -> Result<Settled, SettleError> {
        if let Some(delay) = &self.delay {
            delay.wait().await;
        }
        self.inner.settle(plan, now).await
    }

    async fn resolve(&self, plan: &SettlementPlan, now: UnixMs) -> Result<Resolution, String> {
        self.inner.resolve(plan, now).await
    }
}
