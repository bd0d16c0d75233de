//! Many events at once, each with its own answer. They share nothing but the call: one that is refused leaves the others alone.

use std::collections::BTreeSet;

use farthing_money::Id;
use futures_util::{StreamExt as _, stream};

use super::{NewUsage, Recorded};
use crate::service::{Billing, Cx, ServiceError};

/// The most events of one batch.
pub const MAX_BATCH: usize = 256;
/// How many of them are under way at once; the store commits those together.
const AT_ONCE: usize = 64;

/// The answer to one event of a batch.
pub type Told = Result<Recorded, ServiceError>;

impl Billing {
    /// Records many events, and answers each in its place. They have no order among each other, but that an id which is there
    /// twice is told in the order in which it stands. The call may be told again as a whole or in part: each event has its own id,
    /// so that the idempotency key of the call does not matter here.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for the number of events.
    pub async fn record_usages(&self, cx: &Cx, events: &[NewUsage]) -> Result<Vec<Told>, ServiceError> {
        if !(1..=MAX_BATCH).contains(&events.len()) {
            return Err(ServiceError::invalid("events", format!("1 to {MAX_BATCH} events")));
        }
        // Owned, so that the future is `Send` whatever the lifetimes of what it is made of.
        let record = |(at, new): (u128, NewUsage)| async move {
            let cx = nth(cx, at);
            (at, self.record_usage(&cx, &new).await)
        };
        let (mut seen, mut first, mut again) = (BTreeSet::new(), Vec::new(), Vec::new());
        for (at, new) in (0..).zip(events) {
            let told = if seen.insert(&*new.event_id) { &mut first } else { &mut again };
            told.push((at, new.clone()));
        }
        let mut told: Vec<(u128, Told)> =
            stream::iter(first).map(record).buffer_unordered(AT_ONCE).collect().await;
        for event in again {
            told.push(record(event).await);
        }
        told.sort_by_key(|(at, _)| *at);
        Ok(told.into_iter().map(|(_, told)| told).collect())
    }
}

/// The call of the event at `at` in a batch: with an id of its own, as old as the batch's.
fn nth(cx: &Cx, at: u128) -> Cx {
    let bits = cx.id.as_u128();
    let unix_ms = u64::try_from(bits >> 80).unwrap_or(0);
    // The lowest bits tell legs and events of one call apart; these are random and above them.
    let id = Id::from_parts(unix_ms, bits ^ (at << 16));
    Cx { id, idempotency: None, ..cx.clone() }
}
