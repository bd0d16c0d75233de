//! [`Shared`]: what gates over one store have in common when one takes the place of another, as at a reload. Claims and credits
//! live in the store; this is what lives in the process beside it.
//!
//! It is not the gates' configuration: routes, prices, secrets and limits are each gate's own.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::attempts::Attempts;
use crate::builder::GateBuilder;
use crate::gate::Gate;
use crate::lease::InFlight;
use crate::rate::RateLimiter;

/// The parts that outlive a gate.
#[derive(Clone)]
pub(crate) struct Shared {
    /// Claims that this process is delivering: two gates that kept their own would deliver one payment twice.
    pub(crate) in_flight: Arc<InFlight>,
    /// Refused payments by challenge: a reload gives nobody new attempts.
    pub(crate) attempts: Arc<Attempts>,
    /// The count of challenges and leases: with one each, two gates with one random number would issue one id twice.
    pub(crate) nonce_low: Arc<AtomicU64>,
    /// Tokens by address.
    pub(crate) rates: Option<Arc<RateLimiter>>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            in_flight: Arc::default(),
            attempts: Arc::new(Attempts::new()),
            nonce_low: Arc::default(),
            rates: None,
        }
    }
}

impl GateBuilder {
    /// Takes the place of `before`, over the same store and in the same process: calls that `before` is serving are served once,
    /// and challenges that it issued stay good as long as realm, secret, route and terms are the same.
    #[must_use]
    pub fn succeeds(mut self, before: &Gate) -> Self {
        self.shared = before.shared();
        self
    }

    /// Limits how often one address may ask. Nobody is limited without. Where requests come from has to be known: see
    /// [`crate::proxy::ClientAddr`].
    #[must_use]
    pub fn rate_limiter(mut self, limiter: Arc<RateLimiter>) -> Self {
        self.shared.rates = Some(limiter);
        self
    }
}

impl Gate {
    fn shared(&self) -> Shared {
        let inner = self.inner();
        Shared {
            in_flight: Arc::clone(&inner.in_flight),
            attempts: Arc::clone(&inner.attempts),
            nonce_low: Arc::clone(&inner.nonce_low),
            rates: inner.rates.clone(),
        }
    }
}
