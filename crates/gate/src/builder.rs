//! [`GateBuilder`]: everything a gate has to know, checked before it serves.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use farthing_protocol::dialect::mpp::{OfferTerms, PreparedOffer};
use farthing_protocol::flow::gate::GateFlow;
use farthing_protocol::ports::{Amends, ClaimStore, Clock, OfferError, Refunder, Verifier};
use farthing_protocol::{Binder, CredentialHeader, EncodedJson, FormatError, PreparedProblem};
use tokio::sync::Semaphore;

use crate::body::{BodyReader, BoundBodyLimits};
use crate::epoch::Epoch;
use crate::gate::{Gate, Inner, PreparedRoute, Priced, Way};
use crate::kept::{AnswerOptions, Copies};
use crate::lease::Recorder;
use crate::observe::{Observer, Unobserved};
use crate::route::{Access, Route, RouteError, RouteTable};
use crate::shared::Shared;

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
    /// A route promises money back on a rail that nobody gives it back on.
    #[error("route `{route}` gives money back, and no refunder is there for the rail `{rail}`")]
    NoRefunder {
        /// The route's name.
        route: String,
        /// The rail.
        rail: String,
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
            Self::NoRefunder { .. } => "route_no_refunder",
        }
    }
}

/// Builds a [`Gate`].
pub struct GateBuilder {
    realm: String,
    binder: Binder,
    store: Arc<dyn ClaimStore>,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
    boot_nonce: u64,
    routes: Vec<Route>,
    rails: Vec<Arc<dyn Verifier>>,
    refunders: Vec<Arc<dyn Refunder>>,
    answers: AnswerOptions,
    service_timeout_ms: u64,
    unmatched: Unmatched,
    header: CredentialHeader,
    challenge_lifetime_ms: u64,
    lease_ms: u64,
    bound_bodies: BoundBodyLimits,
    max_verifications: usize,
    pub(crate) shared: Shared,
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
    /// How long a call may go without a sign of life: 15 seconds.
    pub const LEASE_MS: u64 = 15_000;
    /// How long a service may take to answer, if nothing else is said: two minutes.
    pub const SERVICE_TIMEOUT_MS: u64 = 120_000;
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
            observer: Arc::new(Unobserved),
            boot_nonce: 0,
            routes: Vec::new(),
            rails: Vec::new(),
            refunders: Vec::new(),
            answers: AnswerOptions::default(),
            service_timeout_ms: Self::SERVICE_TIMEOUT_MS,
            unmatched: Unmatched::default(),
            header: CredentialHeader::default(),
            challenge_lifetime_ms: Self::CHALLENGE_LIFETIME_MS,
            lease_ms: Self::LEASE_MS,
            bound_bodies: BoundBodyLimits::default(),
            max_verifications: Self::MAX_VERIFICATIONS,
            shared: Shared::default(),
        }
    }

    /// A random number of this start of the process: makes every challenge's nonce unique over restarts. Required in
    /// production; without it two starts could issue one id twice.
    #[must_use]
    pub const fn boot_nonce(mut self, random: u64) -> Self {
        self.boot_nonce = random;
        self
    }

    /// Who is told what the gate does. Nobody, if nothing is said.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observer = observer;
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

    /// Gives payments of its rail back, for routes with [`Amends::Refund`]: [`Gate::resolver`] does it.
    #[must_use]
    pub fn refunder(mut self, refunder: Arc<dyn Refunder>) -> Self {
        self.refunders.push(refunder);
        self
    }

    /// How answers of paid calls are kept.
    #[must_use]
    pub const fn answers(mut self, options: AnswerOptions) -> Self {
        self.answers = options;
        self
    }

    /// The longest that the service takes to answer, in milliseconds, with everything around it. Nothing is ended by it: on routes
    /// that settle after the service, a payment that cannot be settled so late is settled before.
    #[must_use]
    pub const fn service_timeout_ms(mut self, ms: u64) -> Self {
        self.service_timeout_ms = ms;
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

    /// How long a call may go without a sign of life before another process may serve it, in milliseconds. It is renewed at a
    /// third of that, however long the call lasts: keep it well above the longest pause of a process or of the store.
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
        let answers = self.answers;
        in_range("answers.max_bytes", bytes(answers.max_bytes), 0, 64 << 20)?;
        in_range("answers.budget_bytes", bytes(answers.budget_bytes), bytes(answers.max_bytes), 1 << 40)?;
        in_range("answers.redeliveries", u64::from(answers.redeliveries), 0, 1_000)?;
        in_range("answers.finish_ms", answers.finish_ms, 1, 3_600_000)?;
        in_range("answers.hold_ms", answers.hold_ms, 0, 3_600_000)?;
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
        let mut refunders: BTreeMap<String, Arc<dyn Refunder>> = BTreeMap::new();
        for refunder in self.refunders {
            refunders.entry(refunder.rail().to_owned()).or_insert(refunder);
        }
        refuse_unrefundable(&self.routes, &refunders)?;
        let recorder = Recorder {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            observer: Arc::clone(&self.observer),
            lease_ms: self.lease_ms,
        };
        Ok(Gate::from_inner(Inner {
            realm: self.realm,
            binder: self.binder,
            store: self.store,
            clock: self.clock,
            observer: self.observer,
            table,
            routes: prepared,
            rails,
            unmatched: self.unmatched,
            challenge_lifetime_ms: self.challenge_lifetime_ms,
            lease_ms: self.lease_ms,
            bodies: BodyReader::new(self.bound_bodies),
            epoch: Epoch::default(),
            boot: self.boot_nonce,
            copies: Arc::new(Copies::new(answers)),
            refunders,
            service_ms: self.service_timeout_ms,
            nonce_low: self.shared.nonce_low,
            in_flight: self.shared.in_flight,
            verifications: Semaphore::new(self.max_verifications),
            attempts: self.shared.attempts,
            rates: self.shared.rates,
            no_request,
            unpaid: PreparedProblem::new(GateFlow::unpaid()),
            recorder,
        }))
    }

    fn prepare(&self, route: &Route) -> Result<PreparedRoute, BuildError> {
        let name = route.name();
        let Access::Priced { offers, bind_body, service } = &route.access else {
            return Ok(PreparedRoute { name: name.into(), priced: None });
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
            let prepared = prepared.bound_by(&self.binder);
            ways.push(Way { prepared, verifier: Arc::clone(&offer.verifier) });
        }
        Ok(PreparedRoute {
            name: name.into(),
            priced: Some(Priced { ways, bind_body: *bind_body, service: *service }),
        })
    }
}

/// A promise to give money back is kept on every rail of the route, or not made.
fn refuse_unrefundable(
    routes: &[Route],
    refunders: &BTreeMap<String, Arc<dyn Refunder>>,
) -> Result<(), BuildError> {
    for route in routes {
        let Access::Priced { offers, service, .. } = &route.access else { continue };
        let mut rails = offers.iter().map(|offer| offer.verifier.rail());
        if service.on_failure == Amends::Refund
            && let Some(rail) = rails.find(|rail| !refunders.contains_key(*rail))
        {
            return Err(BuildError::NoRefunder { route: route.name(), rail: rail.to_owned() });
        }
    }
    Ok(())
}

fn in_range(name: &'static str, given: u64, min: u64, max: u64) -> Result<(), BuildError> {
    if (min..=max).contains(&given) { Ok(()) } else { Err(BuildError::OutOfRange { name, given, min, max }) }
}
