//! [`GateBuilder`]: everything a gate has to know, checked before it serves.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use farthing_protocol::dialect::mpp::{OfferTerms, PreparedOffer};
use farthing_protocol::ports::{ClaimStore, Clock, OfferError, Verifier};
use farthing_protocol::{Binder, CredentialHeader, EncodedJson, FormatError};
use tokio::sync::Semaphore;

use crate::attempts::Attempts;
use crate::body::{BodyReader, BoundBodyLimits};
use crate::delivery::{InFlight, Recorder};
use crate::gate::{Gate, Inner, PreparedRoute, Priced, Way};
use crate::route::{Access, Route, RouteError, RouteTable};

/// What happens to a request that no route matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unmatched {
    /// 404, or 405 when the path is known: what is not listed is not served. For proxies.
    #[default]
    Refuse,
    /// The inner service gets it as it is. For layers around a service with routes of its own.
    PassThrough,
}

/// Why a gate cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The routes do not go together.
    #[error(transparent)]
    Route(#[from] RouteError),
    /// A route's price cannot be asked for.
    #[error("route `{route}`: {source}")]
    Offer {
        /// The route's name.
        route: String,
        /// Why.
        source: OfferError,
    },
    /// The realm, or a route's name or description, cannot be written into a challenge.
    #[error("route `{route}`: {source}")]
    Challenge {
        /// The route's name.
        route: String,
        /// Why.
        source: FormatError,
    },
    /// A duration or size that makes no sense.
    #[error("`{name}` is {given}; it has to be from {min} to {max}")]
    OutOfRange {
        /// Which setting.
        name: &'static str,
        /// What was given.
        given: u64,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
    },
    /// A route offers the same thing twice.
    #[error("route `{route}` makes the same offer twice")]
    SameOffer {
        /// The route's name.
        route: String,
    },
}

impl BuildError {
    /// The stable code of the broken rule, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Route(error) => error.code(),
            Self::Offer { .. } => "offer_refused",
            Self::Challenge { source, .. } => source.code(),
            Self::OutOfRange { .. } => "setting_out_of_range",
            Self::SameOffer { .. } => "offer_twice",
        }
    }
}

/// Builds a [`Gate`].
pub struct GateBuilder {
    realm: String,
    binder: Binder,
    store: Arc<dyn ClaimStore>,
    clock: Arc<dyn Clock>,
    boot_nonce: u64,
    routes: Vec<Route>,
    rails: Vec<Arc<dyn Verifier>>,
    unmatched: Unmatched,
    header: CredentialHeader,
    challenge_lifetime_ms: u64,
    lease_ms: u64,
    bound_bodies: BoundBodyLimits,
    max_verifications: usize,
}

impl std::fmt::Debug for GateBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GateBuilder")
            .field("realm", &self.realm)
            .field("routes", &self.routes)
            .finish_non_exhaustive()
    }
}

impl GateBuilder {
    /// How long a challenge lives if nothing else is said: five minutes.
    pub const CHALLENGE_LIFETIME_MS: u64 = 300_000;
    /// How long a delivery may go without a sign of life: one minute.
    pub const LEASE_MS: u64 = 60_000;
    /// Payments that are verified and settled at once.
    pub const MAX_VERIFICATIONS: usize = 256;

    pub(crate) fn new(
        realm: String,
        binder: Binder,
        store: Arc<dyn ClaimStore>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            realm,
            binder,
            store,
            clock,
            boot_nonce: 0,
            routes: Vec::new(),
            rails: Vec::new(),
            unmatched: Unmatched::default(),
            header: CredentialHeader::default(),
            challenge_lifetime_ms: Self::CHALLENGE_LIFETIME_MS,
            lease_ms: Self::LEASE_MS,
            bound_bodies: BoundBodyLimits::default(),
            max_verifications: Self::MAX_VERIFICATIONS,
        }
    }

    /// A random number of this start of the process: makes every challenge's nonce unique over restarts. Required in
    /// production; without it two starts could issue one id twice.
    #[must_use]
    pub const fn boot_nonce(mut self, random: u64) -> Self {
        self.boot_nonce = random;
        self
    }

    /// Adds a route.
    #[must_use]
    pub fn route(mut self, route: Route) -> Self {
        self.routes.push(route);
        self
    }

    /// Adds routes.
    #[must_use]
    pub fn routes(mut self, routes: impl IntoIterator<Item = Route>) -> Self {
        self.routes.extend(routes);
        self
    }

    /// A rail that no route offers any more, whose unresolved payments are still to be resolved, and whose credits are still to be
    /// redeemed: without it, a credit of such a rail is not recognised.
    #[must_use]
    pub fn retired_rail(mut self, rail: Arc<dyn Verifier>) -> Self {
        self.rails.push(rail);
        self
    }

    /// What happens to a request that no route matches.
    #[must_use]
    pub const fn unmatched(mut self, unmatched: Unmatched) -> Self {
        self.unmatched = unmatched;
        self
    }

    /// The header that challenges ask for the credential in. Both are always read.
    #[must_use]
    pub const fn credential_header(mut self, header: CredentialHeader) -> Self {
        self.header = header;
        self
    }

    /// How long a challenge lives, in milliseconds.
    #[must_use]
    pub const fn challenge_lifetime_ms(mut self, ms: u64) -> Self {
        self.challenge_lifetime_ms = ms;
        self
    }

    /// How long a delivery may go without a sign of life before somebody else may make it, in milliseconds.
    #[must_use]
    pub const fn lease_ms(mut self, ms: u64) -> Self {
        self.lease_ms = ms;
        self
    }

    /// The longest body that is read for a route with [`crate::BindBody::Yes`].
    #[must_use]
    pub const fn max_bound_body_bytes(mut self, bytes: usize) -> Self {
        self.bound_bodies.max_bytes = bytes;
        self
    }

    /// How bodies are read for routes with [`crate::BindBody::Yes`].
    #[must_use]
    pub const fn bound_bodies(mut self, limits: BoundBodyLimits) -> Self {
        self.bound_bodies = limits;
        self
    }

    /// How many payments are verified and settled at once, over all rails. One more is told to come again (503 `gate_busy`),
    /// and nothing is done with its payment.
    #[must_use]
    pub const fn max_verifications(mut self, payments: usize) -> Self {
        self.max_verifications = payments;
        self
    }

    /// Checks everything and builds the gate.
    ///
    /// # Errors
    /// [`BuildError`]: the first rule that is broken.
    pub fn build(self) -> Result<Gate, BuildError> {
        in_range("challenge_lifetime_ms", self.challenge_lifetime_ms, 1_000, 86_400_000)?;
        in_range("lease_ms", self.lease_ms, 50, 86_400_000)?;
        let bodies = self.bound_bodies;
        let bytes = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        in_range("max_bound_body_bytes", bytes(bodies.max_bytes), 1, 1 << 30)?;
        in_range("bound_bodies.idle_timeout_ms", bodies.idle_timeout_ms, 10, 3_600_000)?;
        in_range("bound_bodies.timeout_ms", bodies.timeout_ms, 10, 3_600_000)?;
        // One body of the longest kind has to fit.
        in_range("bound_bodies.budget_bytes", bytes(bodies.budget_bytes), bytes(bodies.max_bytes), 1 << 40)?;
        let verifications = u64::try_from(self.max_verifications).unwrap_or(u64::MAX);
        in_range("max_verifications", verifications, 1, 1 << 20)?;
        let no_request = EncodedJson::encode(&serde_json::Map::new())
            .map_err(|source| BuildError::Challenge { route: String::new(), source })?;
        let table = RouteTable::new(&self.routes)?;
        let mut rails: BTreeMap<String, Arc<dyn Verifier>> = BTreeMap::new();
        let mut prepared = Vec::with_capacity(self.routes.len());
        for route in &self.routes {
            prepared.push(self.prepare(route)?);
            if let Access::Priced { offers, .. } = &route.access {
                for offer in offers {
                    rails
                        .entry(offer.verifier.rail().to_owned())
                        .or_insert_with(|| Arc::clone(&offer.verifier));
                }
            }
        }
        for rail in self.rails {
            rails.entry(rail.rail().to_owned()).or_insert(rail);
        }
        let recorder = Recorder {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            lease_ms: self.lease_ms,
        };
        Ok(Gate::from_inner(Inner {
            realm: self.realm,
            binder: self.binder,
            store: self.store,
            clock: self.clock,
            table,
            routes: prepared,
            rails,
            unmatched: self.unmatched,
            challenge_lifetime_ms: self.challenge_lifetime_ms,
            lease_ms: self.lease_ms,
            bodies: BodyReader::new(self.bound_bodies),
            nonce_high: u128::from(self.boot_nonce) << 64,
            nonce_low: AtomicU64::new(0),
            in_flight: Arc::new(InFlight::default()),
            verifications: Semaphore::new(self.max_verifications),
            attempts: Attempts::new(),
            no_request,
            recorder,
        }))
    }

    fn prepare(&self, route: &Route) -> Result<PreparedRoute, BuildError> {
        let name = route.name();
        let Access::Priced { offers, bind_body } = &route.access else {
            return Ok(PreparedRoute { name, priced: None });
        };
        let mut seen = HashSet::new();
        let mut ways = Vec::with_capacity(offers.len());
        for offer in offers {
            let (method, intent) = (offer.verifier.method(), offer.verifier.intent());
            let request = offer
                .verifier
                .offer(&offer.price)
                .map_err(|source| BuildError::Offer { route: name.clone(), source })?;
            // The flow finds a credential's offer by these three; two alike could not be told apart.
            if !seen.insert((method.clone(), intent.clone(), request.as_str().to_owned())) {
                return Err(BuildError::SameOffer { route: name });
            }
            let terms = OfferTerms {
                realm: &self.realm,
                scope: &name,
                method,
                intent,
                request: &request,
                description: offer.price.description.as_deref(),
                header: self.header,
            };
            let prepared = PreparedOffer::new(&terms)
                .map_err(|source| BuildError::Challenge { route: name.clone(), source })?;
            ways.push(Way {
                prepared,
                verifier: Arc::clone(&offer.verifier),
                money: offer.price.money.clone(),
            });
        }
        Ok(PreparedRoute { name, priced: Some(Priced { ways, bind_body: *bind_body }) })
    }
}

fn in_range(name: &'static str, given: u64, min: u64, max: u64) -> Result<(), BuildError> {
    if (min..=max).contains(&given) { Ok(()) } else { Err(BuildError::OutOfRange { name, given, min, max }) }
}
