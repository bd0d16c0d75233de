//! [`Observer`]: told what a gate does, for metrics, access logs and traces. Every event carries names of routes and rails, stable
//! codes, and times: a set of values that the configuration bounds. Paths, queries, headers, credentials and bodies are not in
//! any event, so that no observer can leak them (C19).
//!
//! It is not a log and not a registry: whoever builds the gate brings those. Times are monotonic and measured here; the gate
//! reads no clock.

use std::sync::Arc;
use std::time::Duration;

use farthing_money::Money;
use http::Method;

mod ending;
mod trace;

pub(crate) use ending::{Ending, Told, turned_away};
pub use trace::{SPANS, TraceParent};
pub(crate) use trace::{enter, propagate, request_span};

/// Told what a gate does. Called on the path of requests: it must neither block nor wait.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn observe(&self, event: GateEvent<'_>);

    /// The current span, for the upstream. None when nothing is traced: what the client sent is then passed on as it is.
    fn trace_parent(&self) -> Option<TraceParent> {
        None
    }
}

/// The observer that a gate has when it is given none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn observe(&self, _: GateEvent<'_>) {}
}

/// What a gate did. `route` is the route's name ([`crate::Route::name`]), `rail` the rail's, `code` a code of docs/errors.md.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum GateEvent<'a> {
    /// A 402 with challenges went out.
    Offered {
        /// The route.
        route: &'a str,
        /// Why: `payment_required` when nothing was sent.
        code: &'static str,
    },
    /// Another answer of the gate's own went out.
    Refused {
        /// The route, where one matched.
        route: Option<&'a str>,
        /// Why.
        code: &'static str,
    },
    /// A limit on how often somebody may ask was reached.
    RateLimited {
        /// The route, where one matched.
        route: Option<&'a str>,
        /// Which limit.
        code: &'static str,
    },
    /// A payment satisfies its challenge.
    Verified {
        /// The route.
        route: &'a str,
        /// The rail.
        rail: &'a str,
        /// How long the rail took.
        took: Duration,
    },
    /// A payment was not verified.
    VerifyFailed {
        /// The route.
        route: &'a str,
        /// The rail.
        rail: &'a str,
        /// Why; `replayed` and `unavailable` for the two that have no code of their own.
        code: &'static str,
        /// How long the rail took.
        took: Duration,
    },
    /// The store was asked to claim a payment.
    Claimed {
        /// The route.
        route: &'a str,
        /// The rail.
        rail: &'a str,
        /// What it said.
        outcome: Claiming,
        /// How long the store took.
        took: Duration,
    },
    /// Money moved.
    Settled {
        /// The route.
        route: &'a str,
        /// The rail.
        rail: &'a str,
        /// How much, as the rail verified it.
        money: Option<&'a Money>,
        /// How long the rail took.
        took: Duration,
    },
    /// Money did not move and will not.
    SettleFailed {
        /// The route.
        route: &'a str,
        /// The rail.
        rail: &'a str,
        /// Why.
        code: &'static str,
        /// How long the rail took.
        took: Duration,
    },
    /// Money may have moved.
    OutcomeUnknown {
        /// The route.
        route: &'a str,
        /// The rail.
        rail: &'a str,
        /// How long the rail took.
        took: Duration,
    },
    /// A paid call was served, to its last byte or as far as its reader wanted it.
    Delivered {
        /// The route.
        route: &'a str,
        /// The answer's status.
        status: u16,
        /// From the service being called to the end of its answer.
        upstream: Duration,
    },
    /// A paid call was not served: the payer has a call to come.
    Credited {
        /// The route.
        route: &'a str,
        /// Why.
        why: Undelivered,
    },
    /// The service failed a call that was to be settled after it: nothing was charged.
    Uncharged {
        /// The route.
        route: &'a str,
        /// Why.
        why: Undelivered,
    },
    /// A stored answer was served again.
    ReplayServed {
        /// The route.
        route: &'a str,
    },
    /// Money went back.
    Refunded {
        /// The route.
        route: &'a str,
        /// The rail.
        rail: &'a str,
        /// How much.
        money: Option<&'a Money>,
    },
    /// A payment whose outcome was unknown was asked about.
    Resolved {
        /// The rail.
        rail: &'a str,
        /// What became of it.
        fate: Resolved,
    },
    /// The upstream was asked.
    Upstream {
        /// The route, where the request came through a gate.
        route: Option<&'a str>,
        /// What it answered.
        answer: UpstreamAnswer,
        /// Until the answer's head, or the failure.
        head: Duration,
    },
    /// The store failed.
    StoreError {
        /// What it was asked to do.
        during: &'static str,
    },
    /// One more of something that lasts.
    Entered {
        /// Of what.
        what: Lasting,
    },
    /// One less of something that lasts.
    Left {
        /// Of what.
        what: Lasting,
    },
    /// A request has ended, with its answer's last byte or without it. The one event that names a single payment: for a line in
    /// a log, never for a label.
    Ended(&'a RequestEnd<'a>),
}

/// How a request ended.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct RequestEnd<'a> {
    /// The method.
    pub method: &'a Method,
    /// The route, where one matched.
    pub route: Option<&'a str>,
    /// The answer's status; 499 when the client left before there was one.
    pub status: u16,
    /// The code of an answer of the gate's or the proxy's own, or `body_broke`.
    pub code: Option<&'static str>,
    /// From the request's head to the answer's last byte.
    pub took: Duration,
    /// Until the upstream's head, where it was asked.
    pub upstream: Option<Duration>,
    /// What was paid, where it is known.
    pub paid: Option<&'a Money>,
    /// The receipt's reference, such as a transaction's hash. Public on its chain.
    pub reference: Option<&'a str>,
    /// Who paid.
    pub payer: Option<&'a str>,
}

/// What the store said to a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Claiming {
    /// It is new.
    New,
    /// It was there.
    Existing,
    /// Its money belongs to another challenge.
    Taken,
    /// It does not fit its budget.
    OverBudget,
    /// The store failed.
    Failed,
}

/// Why a paid call was not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Undelivered {
    /// The service answered with an error status.
    Status(u16),
    /// The service gave no answer.
    NoAnswer,
    /// The answer's body broke.
    BodyBroke,
    /// The call was dropped before it had an answer.
    Dropped,
    /// The client left before the answer's last byte.
    ClientLeft,
    /// The process that delivered it has gone.
    Gone,
}

/// What became of a payment whose outcome was unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resolved {
    /// It happened: a credit.
    Settled,
    /// It did not happen.
    Failed,
    /// Still not known.
    Pending,
}

/// What came of a request to the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UpstreamAnswer {
    /// It answered with this status.
    Status(u16),
    /// It gave no answer that can be used.
    Failed {
        /// Why.
        code: &'static str,
    },
}

/// What there is a number of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lasting {
    /// Open connections.
    Connection,
    /// Requests that are being answered.
    Request,
    /// Payments that are being verified and settled.
    Verification,
    /// Paid calls that are being served.
    Delivery,
}

macro_rules! names {
    ($of:ident { $($variant:pat => $name:literal),+ $(,)? }) => {
        impl $of {
            /// Its stable name, for labels and logs.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                match self { $($variant => $name),+ }
            }
        }
    };
}

names!(Claiming {
    Self::New => "new", Self::Existing => "existing", Self::Taken => "taken",
    Self::OverBudget => "over_budget", Self::Failed => "failed",
});
names!(Undelivered {
    Self::Status(_) => "status", Self::NoAnswer => "no_answer", Self::BodyBroke => "body_broke",
    Self::Dropped => "dropped", Self::ClientLeft => "client_left", Self::Gone => "gone",
});
names!(Resolved { Self::Settled => "settled", Self::Failed => "failed", Self::Pending => "pending" });
names!(Lasting {
    Self::Connection => "connections", Self::Request => "requests", Self::Verification => "verifications",
    Self::Delivery => "deliveries",
});

/// Something that lasts as long as this value.
pub(crate) struct Present {
    observer: Arc<dyn Observer>,
    what: Lasting,
}

impl Present {
    pub(crate) fn begin(observer: &Arc<dyn Observer>, what: Lasting) -> Self {
        observer.observe(GateEvent::Entered { what });
        Self { observer: Arc::clone(observer), what }
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.observer.observe(GateEvent::Left { what: self.what });
    }
}
