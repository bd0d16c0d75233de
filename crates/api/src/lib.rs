//! The billing layer over HTTP: the `/v1` API, its OpenAPI document, live streams of balances, and webhooks.
//!
//! [`Api`] makes an axum router over [`Billing`]. Everything it does is a row of a table ([`Operation`]), from which the router
//! and the document are made; a row's function reads its input as a type, asks the service, and answers a type. Errors become
//! [`Problem`]s in one place.
//!
//! It has no rule about money, no clock and no randomness ([`World`] brings them), and knows neither rails nor chains.

use std::sync::{Arc, OnceLock};

use axum::Router;
use bytes::Bytes;
use farthing_billing::service::Billing;
use farthing_billing::service::deposit::Addresses;
use farthing_billing::service::topup::run::RuleName;
use tokio::sync::{Semaphore, watch};

pub mod access;
mod auth;
mod csv;
mod number;
pub mod openapi;
pub mod operation;
mod page;
pub mod problem;
mod rate;
mod read;
pub mod schema;
mod serve;
mod stream;
mod text;
pub mod v1;
pub mod webhook;
mod world;

pub use operation::Operation;
pub use problem::Problem;
pub use read::Nothing;
pub use world::{Settings, World};

/// The API. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    inner: Arc<Inner>,
    addresses: Option<Arc<dyn Addresses>>,
    topups: Option<LookAtRule>,
}

/// Has a rule for top-ups looked at soon. It must not wait.
pub type LookAtRule = Arc<dyn Fn(RuleName) + Send + Sync>;

struct Inner {
    billing: Billing,
    world: Arc<dyn World>,
    settings: Settings,
    keys: auth::Keys,
    rates: rate::Rates,
    places: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    hub: stream::Hub,
    stopping: watch::Sender<bool>,
    document: OnceLock<Bytes>,
}

impl Api {
    /// An API over `billing`, which hands out no deposit addresses.
    #[must_use]
    pub fn new(billing: Billing, world: Arc<dyn World>, settings: Settings) -> Self {
        let rates = rate::Rates::new(settings.rate, settings.burst);
        let places = Arc::new(Semaphore::new(settings.max_requests.min(Semaphore::MAX_PERMITS)));
        let streams = Arc::new(Semaphore::new(settings.max_streams.min(Semaphore::MAX_PERMITS)));
        let inner = Arc::new(Inner {
            billing,
            world,
            settings,
            keys: auth::Keys::default(),
            rates,
            places,
            streams,
            hub: stream::Hub::default(),
            stopping: watch::Sender::new(false),
            document: OnceLock::new(),
        });
        Self { inner, addresses: None, topups: None }
    }

    /// The same, with deposit addresses.
    #[must_use]
    pub fn with_addresses(self, addresses: Arc<dyn Addresses>) -> Self {
        Self { addresses: Some(addresses), ..self }
    }

    /// The same, which tells `look` of every rule for top-ups that was set or resumed here, so that nobody has to find it.
    #[must_use]
    pub fn with_topups(self, look: LookAtRule) -> Self {
        Self { topups: Some(look), ..self }
    }

    /// The router of everything that this crate offers.
    pub fn router(&self) -> Router {
        self.router_of(&v1::operations())
    }

    /// The router of these operations.
    pub fn router_of(&self, operations: &[Operation]) -> Router {
        serve::router(self, operations)
    }

    /// Ends all streams, which would go on for ever: before a server that waits for what is in flight.
    pub fn stop(&self) {
        self.inner.stopping.send_replace(true);
    }

    pub(crate) fn stopping(&self) -> watch::Receiver<bool> {
        self.inner.stopping.subscribe()
    }

    pub(crate) fn streams(&self) -> Arc<Semaphore> {
        Arc::clone(&self.inner.streams)
    }

    pub(crate) fn hub(&self) -> &stream::Hub {
        &self.inner.hub
    }

    pub(crate) fn billing(&self) -> &Billing {
        &self.inner.billing
    }

    pub(crate) fn world(&self) -> &dyn World {
        self.inner.world.as_ref()
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    pub(crate) fn keys(&self) -> &auth::Keys {
        &self.inner.keys
    }

    pub(crate) fn rates(&self) -> &rate::Rates {
        &self.inner.rates
    }

    pub(crate) fn places(&self) -> Arc<Semaphore> {
        Arc::clone(&self.inner.places)
    }

    pub(crate) fn addresses(&self) -> Option<&dyn Addresses> {
        self.addresses.as_deref()
    }

    /// Has this rule for top-ups looked at, where somebody looks.
    pub(crate) fn look_at_rule(&self, rule: RuleName) {
        if let Some(look) = &self.topups {
            look(rule);
        }
    }

    /// The OpenAPI document, made once.
    pub(crate) fn document(&self) -> Bytes {
        let made = self.inner.document.get_or_init(|| {
            let text = serde_json::to_vec_pretty(&openapi::document(&v1::operations()));
            text.unwrap_or_default().into()
        });
        made.clone()
    }
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}
