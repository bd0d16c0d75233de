//! A forward proxy on this machine that pays for any program: `HTTPS_PROXY` and a certificate are all that a program needs to
//! know. Origins that the policy names are opened, and a 402 there is paid as `farthing request` would; everything else
//! goes through untouched, or not at all.
//!
//! It is not a second agent: whether, what and how often to pay is decided by [`farthing_client::Agent`].

use std::fmt;
use std::sync::Arc;

use farthing_protocol::flow::payer::Refusal;
use tokio::sync::Semaphore;
use url::Url;

mod answer;
pub mod ca;
mod connect;
pub mod environment;
mod forward;
pub mod guard;
mod headers;
pub mod leaf;
pub mod listener;
pub mod origins;
mod relay;
pub mod report;
mod seen;
pub mod token;
mod upgrade;
pub mod upstream;

use guard::Guard;
use leaf::Leaves;
use report::Report;
use token::ProxyToken;
use upstream::Upstream;

/// Whether a payment may be made at an origin; why not, where not.
pub type Judge = Box<dyn Fn(&Url) -> Result<(), Refusal> + Send + Sync>;

/// What becomes of origins that are not paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Others {
    /// They go through untouched.
    #[default]
    Pass,
    /// They are refused.
    Refuse,
}

/// A proxy's parts.
pub struct Proxy {
    /// Which origins are paid.
    pub judge: Judge,
    /// What becomes of the others.
    pub others: Others,
    /// Which addresses are connected to.
    pub guard: Guard,
    /// Certificates for origins that are paid.
    pub leaves: Leaves,
    /// The way to servers.
    pub upstream: Upstream,
    /// What a program must say to be served.
    pub token: Option<ProxyToken>,
    /// The longest request body that is kept to be sent again, in bytes.
    pub max_body_bytes: usize,
    /// Kibibytes that all bodies in flight may take together.
    pub body_memory: Arc<Semaphore>,
    /// Where payments are told.
    pub report: Report,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("guard", &self.guard).finish_non_exhaustive()
    }
}

/// Kibibytes for the bodies in flight: of eight calls at least.
pub fn body_memory(max_body_bytes: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(
        max_body_bytes.div_ceil(1024).saturating_mul(8).clamp(64 * 1024, Semaphore::MAX_PERMITS),
    ))
}
