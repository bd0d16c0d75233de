//! The seller's side: puts an HTTP service behind a `402 Payment Required` (C1) and serves what was paid for, exactly once.
//!
//! - [`Gate`] decides about one request; [`GateLayer`] wraps any tower service with it; [`proxy::Proxy`] is a service that
//!   forwards to an upstream; [`server`] puts both behind a listener.
//! - [`Gate::recover`] runs before serving, [`Gate::resolver`] beside it: no payment stays unresolved, no reservation abandoned,
//!   and what is to be given back is.
//! - A paid call is delivered once its last byte was handed over. Before that its payer has the call to come, the answer that it
//!   left ([`AnswerOptions`]), or its money back ([`ServiceTerms`]). A route settles before or after the service.
//! - Any number of processes serve one store: whoever holds a claim's lease serves it.
//!
//! It knows no chain and no database: rails arrive as [`farthing_protocol::ports::Verifier`], the store as
//! [`farthing_protocol::ports::ClaimStore`], the time as [`farthing_protocol::ports::Clock`]. Credentials are never logged,
//! and never reach the service behind it (C19).

mod address;
mod answer;
mod attempts;
mod body;
mod builder;
mod credential;
mod delivery;
mod drive;
mod epoch;
mod gate;
mod idempotency;
mod joined;
mod kept;
mod layer;
mod lease;
pub mod observe;
mod pace;
mod passing;
mod path;
mod permit;
pub mod proxy;
mod rate;
mod recover;
mod refunds;
mod reserved;
mod route;
pub mod server;
mod settle;
mod shared;
mod unpaid;
mod waits;

pub use address::PrivateAddresses;
pub use body::{BoundBodyLimits, BoxError, GateBody};
pub use builder::{BuildError, GateBuilder, Unmatched};
pub use delivery::PaidBy;
pub use gate::Gate;
pub use kept::AnswerOptions;
pub use layer::{GateFuture, GateLayer, GateService};
pub use passing::{DeliveryBody, GateResponseBody, KeptBody};
pub use path::{NormalPath, PathError};
pub use permit::{Decision, Permit};
pub use rate::{Rate, RateLimiter, RateLimits};
pub use recover::{Recovered, ResolverOptions};
pub use route::{
    Access, BindBody, Match, Pattern, PatternError, Route, RouteError, RouteOffer, RouteTable, ServiceTerms,
};
