//! Webhooks: who is told of events, what is still to be told, and what became of it. Records and decisions; the sending is
//! `farthing-api`'s.
//!
//! # From an event to a delivery
//!
//! ```text
//! commit that happened ──▶ event + its twin in the outbox          one commit
//! fan-out: outbox twin ──▶ a delivery an endpoint, in its lane     one commit: none is lost, none is made twice
//! attempt: head of a lane ─▶ delivered | tried again later | dead  one commit an outcome
//! ```
//!
//! A *lane* is an endpoint and an ordering key (the customer an event is about). The deliveries of a lane go one after the
//! other, in the order in which their events were committed; a failing one holds up its own lane only.
//!
//! | record | key after the tenant | says |
//! |---|---|---|
//! | `webhook` | endpoint | [`Endpoint`] |
//! | `webhook_delivery` | endpoint, event | [`Delivery`] |
//! | `webhook_attempt` | endpoint, event, number | [`Attempt`] |
//! | `webhook_dead` | endpoint, event | that it is a dead letter |
//! | `webhook_queue` | endpoint, lane, commit, event | that it is still to be told |
//! | `webhook_lane` | endpoint, lane | when the lane's head is due |
//! | `webhook_due` | endpoint, time, lane | the same, in the order of time |
//!
//! A process that dies between an answer and the record of it delivers again, with the same `webhook-id`. Several processes may
//! work on one store: a [`lease`](Billing::hold_webhook_lease) keeps them from doing the same thing, the revisions of records
//! keep them right when it does not.

mod delivery;
mod endpoint;
mod fan_out;
mod lane;
mod lease;
mod outcome;
mod replay;
mod schedule;
mod secret;

#[cfg(test)]
mod tests;

pub(super) use delivery::DeadLetter;
pub use delivery::{Attempt, Delivery, DeliveryState, MAX_RESPONSE};
pub use endpoint::{Change, Endpoint, EndpointState, MAX_ENDPOINTS, NewEndpoint, SigningSecret};
pub use fan_out::FannedOut;
pub use lane::{Lane, LaneId, Letter, Pending};
pub use outcome::{Answer, Outcome};
pub use schedule::{DELAYS_MS, LONGEST_MS, Tries, next_ms};
pub use secret::{BadSecret, Secret};

#[allow(unused_imports, reason = "named by the documentation above")]
use super::Billing;
