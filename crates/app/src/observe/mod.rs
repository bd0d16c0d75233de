//! What an operator sees of a gateway: metrics, an access log, traces, and the listener that shows them. Credentials, keys and
//! what clients send besides are in none of it.
//!
//! The gate tells what happens ([`farthing_gate::observe::Observer`]); nothing here decides anything about a request.

use std::sync::Arc;

use farthing_gate::observe::{GateEvent, Lasting, Observer, TraceParent};

pub mod access;
mod admin;
mod exported;
mod metrics;
mod otlp;
mod panics;
mod start;
mod text;
pub mod trace;

use access::Payers;
use exported::Exported;
use metrics::Gauge;
pub use start::{Observers, Watched};

/// Told what the gate does: counts it, logs it, and knows where in a trace it happens.
pub struct Watch {
    exported: Arc<Exported>,
    /// Of what [`Lasting`] names, in this order: these change with every request and are not looked up.
    in_flight: [Arc<Gauge>; 4],
    payers: Payers,
}

impl Watch {
    /// A watch that counts into `exported`.
    pub fn new(exported: Arc<Exported>, payers: Payers) -> Self {
        let gauge = |what: Lasting| exported.in_flight.with([what.name()]);
        let lasting = [Lasting::Connection, Lasting::Request, Lasting::Verification, Lasting::Delivery];
        Self { in_flight: lasting.map(gauge), exported, payers }
    }

    fn lasts(&self, what: Lasting, change: i64) {
        let [connections, requests, verifications, deliveries] = &self.in_flight;
        let gauge = match what {
            Lasting::Connection => connections,
            Lasting::Request => requests,
            Lasting::Verification => verifications,
            Lasting::Delivery => deliveries,
            // What a later gate tells is not counted before it has a name here.
            _ => return,
        };
        gauge.add(change);
    }
}

impl Observer for Watch {
    fn observe(&self, event: GateEvent<'_>) {
        match event {
            GateEvent::Entered { what } => self.lasts(what, 1),
            GateEvent::Left { what } => self.lasts(what, -1),
            _ => self.exported.count(&event),
        }
        if let GateEvent::Ended(end) = event {
            access::log(end, self.payers);
        }
    }

    fn trace_parent(&self) -> Option<TraceParent> {
        trace::current()
    }
}
