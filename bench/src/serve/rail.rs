//! The example rail, which takes as long to settle as it is told: what a settled charge costs beside the chain's own time.

use std::time::Duration;

use async_trait::async_trait;
use farthing_money::Asset;
use farthing_protocol::ports::{
    ClaimKey, OfferError, Price, Resolution, SettleError, Settled, SettlementPlan, Verified, Verifier,
    VerifyError, VerifyRequest,
};
use farthing_protocol::{Credential, EncodedJson, Intent, MethodId, Problem, UnixMs};
use farthing_rails::example::ExampleVerifier;

/// An example rail with a delay.
#[derive(Debug)]
pub(super) struct Patient {
    pub(super) inner: ExampleVerifier,
    pub(super) settles_after: Duration,
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
        if !self.settles_after.is_zero() {
            tokio::time::sleep(self.settles_after).await;
        }
        self.inner.settle(plan, now).await
    }

    async fn resolve(&self, plan: &SettlementPlan, now: UnixMs) -> Result<Resolution, String> {
        self.inner.resolve(plan, now).await
    }
}
