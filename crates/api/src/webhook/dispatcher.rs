//! [`Dispatcher`]: takes what is due and sends it, for as long as it is let. Of several on one store, one works and the others wait for
//! its lease to end.
//!
//! It keeps nothing that matters: what it has in memory is which endpoints have something due, and that is read again every few
//! seconds. Ending it at any point loses nothing; what was sent and not yet recorded is sent again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use farthing_billing::service::webhook::{LaneId, Outcome, Pending};
use farthing_billing::service::{Billing, ServiceError, TenantId};
use farthing_ledger::Timestamp;
use farthing_ledger::record::Version;
use futures_util::future::join_all;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Sender;
use crate::World;

/// How often what is due is read anew, although nothing is known to have changed.
const REFRESH: Duration = Duration::from_secs(5);

/// How long changes of the store are gathered before they are looked at.
const GATHER: Duration = Duration::from_millis(10);

/// How long to wait after the store did not answer.
const STORE_DOWN: Duration = Duration::from_secs(1);

/// How much is done at once.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Requests in all.
    pub in_flight: usize,
    /// Requests to one endpoint.
    pub per_endpoint: usize,
    /// How long a lease lasts that is not prolonged: another process takes over after this time.
    pub lease: Duration,
}

impl Default for Load {
    fn default() -> Self {
        Self { in_flight: 64, per_endpoint: 8, lease: Duration::from_secs(30) }
    }
}

/// Whose endpoint.
type EndpointKey = (TenantId, String);

/// Sends what is due.
pub struct Dispatcher {
    billing: Billing,
    sender: Sender,
    world: Arc<dyn World>,
    load: Load,
    /// Who this is, in the lease.
    name: String,
}

impl std::fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dispatcher")
            .field("name", &self.name)
            .field("load", &self.load)
            .finish_non_exhaustive()
    }
}

/// What is under way, and what is known to be due.
#[derive(Default)]
struct Round {
    sending: JoinSet<(LaneId, Option<Outcome>)>,
    /// Lanes whose head is being sent.
    lanes: BTreeSet<LaneId>,
    busy: BTreeMap<EndpointKey, usize>,
    due: BTreeMap<EndpointKey, u64>,
    /// For whom something was started last.
    last: Option<EndpointKey>,
    refreshed: Option<Instant>,
    leased: Option<Instant>,
    version: Version,
}

impl Dispatcher {
    /// A dispatcher of `billing`'s webhooks.
    #[must_use]
    pub fn new(billing: Billing, sender: Sender, world: Arc<dyn World>, load: Load) -> Self {
        let name = format!("{:032x}", world.id().as_u128());
        Self { billing, sender, world, load, name }
    }

    /// Works until `stop` is ready; then lets what is under way end, and lets go of the lease.
    pub async fn run(self, stop: impl Future<Output = ()> + Send) {
        let mut stop = std::pin::pin!(stop);
        let mut round = Round::default();
        loop {
            let pause = match self.work(&mut round).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::warn!(%error, code = error.code(), "webhooks cannot be dispatched now");
                    STORE_DOWN
                }
            };
            let version = round.version;
            tokio::select! {
                () = &mut stop => break,
                () = tokio::time::sleep(pause) => {}
                Some(done) = round.sending.join_next() => self.finish(&mut round, done).await,
                changed = self.billing.store().changed(version), if round.leased.is_some() => {
                    // Without an answer it is looked at again after the pause.
                    match changed {
                        Ok(version) => {
                            round.version = version;
                            tokio::time::sleep(GATHER).await;
                        }
                        Err(_) => tokio::time::sleep(STORE_DOWN).await,
                    }
                }
            }
        }
        while let Some(done) = round.sending.join_next().await {
            self.finish(&mut round, done).await;
        }
        let now = self.world.now();
        if round.leased.is_some() && self.billing.hold_webhook_lease(&self.name, now, now).await.is_err() {
            tracing::warn!("the lease of webhooks could not be given back; it runs out by itself");
        }
    }

    /// Does what can be done now. How long it can wait when nothing happens meanwhile.
    async fn work(&self, round: &mut Round) -> Result<Duration, ServiceError> {
        if !self.lease(round).await? {
            round.due.clear();
            return Ok(self.load.lease / 3);
        }
        // All of the outbox before anything is sent: the order of a lane is that of the commits.
        loop {
            let done = self.billing.fan_out(self.world.now()).await?;
            if done.unreadable > 0 {
                tracing::warn!(events = done.unreadable, "events that cannot be read are not told");
            }
            round.due.extend(done.endpoints.into_iter().map(|endpoint| (endpoint, 0)));
            if !done.more {
                break;
            }
            self.lease(round).await?;
        }
        if round.refreshed.is_none_or(|at| at.elapsed() >= REFRESH) {
            for Pending { tenant, endpoint, .. } in self.billing.pending_webhooks().await? {
                round.due.insert((tenant, endpoint), 0);
            }
            round.refreshed = Some(Instant::now());
        }
        let now_ms = self.world.now().unix_ms();
        let mut ready: Vec<EndpointKey> =
            round.due.iter().filter(|(_, due)| **due <= now_ms).map(|(key, _)| key.clone()).collect();
        // Each in its turn: an endpoint with much to be told takes no place from the others.
        let turn = ready.partition_point(|endpoint| Some(endpoint) <= round.last.as_ref());
        ready.rotate_left(turn);
        for endpoint in ready {
            if self.room(round) == 0 {
                // When a request ends, there is.
                return Ok((self.load.lease / 3).min(REFRESH));
            }
            self.start(round, endpoint).await?;
        }
        let next = round.due.values().min().map_or(u64::MAX, |due| due.saturating_sub(now_ms).max(1));
        Ok(Duration::from_millis(next).min(self.load.lease / 3).min(REFRESH))
    }

    /// How many requests more can be under way.
    fn room(&self, round: &Round) -> usize {
        self.load.in_flight.saturating_sub(round.lanes.len())
    }

    /// Whether this one holds the lease, which it prolongs in time.
    async fn lease(&self, round: &mut Round) -> Result<bool, ServiceError> {
        if round.leased.is_some_and(|at| at.elapsed() < self.load.lease / 3) {
            return Ok(true);
        }
        let now = self.world.now();
        let length = u64::try_from(self.load.lease.as_millis()).unwrap_or(u64::MAX);
        let until = Timestamp::from_unix_ms(now.unix_ms().saturating_add(length));
        let held = self.billing.hold_webhook_lease(&self.name, now, until).await?;
        round.leased = held.then(Instant::now);
        Ok(held)
    }

    /// Starts to send what is due for an endpoint, as far as there is room.
    async fn start(&self, round: &mut Round, endpoint: EndpointKey) -> Result<(), ServiceError> {
        let busy = round.busy.get(&endpoint).copied().unwrap_or(0);
        let room = self.load.per_endpoint.saturating_sub(busy).min(self.room(round));
        // Lanes whose head is being sent stand first: they are still due.
        let lanes = self.billing.webhook_lanes(endpoint.0, &endpoint.1, busy + room + 1).await?;
        let now = self.world.now();
        let mut started = 0;
        // Until something is known to be due: when a request ends, when something joins, and every few seconds.
        let mut next = u64::MAX;
        for lane in lanes {
            if round.lanes.contains(&lane.id) {
                continue;
            }
            if lane.due_ms > now.unix_ms() {
                next = lane.due_ms;
                break;
            }
            if started == room {
                break;
            }
            started += 1;
            round.lanes.insert(lane.id.clone());
            *round.busy.entry(endpoint.clone()).or_default() += 1;
            round.sending.spawn(deliver(
                self.billing.clone(),
                self.sender.clone(),
                Arc::clone(&self.world),
                lane.id,
            ));
        }
        round.due.insert(endpoint.clone(), next);
        round.last = Some(endpoint);
        Ok(())
    }

    /// Records what came of requests: this one and all others that have ended.
    async fn finish(
        &self,
        round: &mut Round,
        first: Result<(LaneId, Option<Outcome>), tokio::task::JoinError>,
    ) {
        let mut ended = vec![first];
        while let Some(done) = round.sending.try_join_next() {
            ended.push(done);
        }
        let mut outcomes = Vec::new();
        for done in ended {
            let Ok((lane, outcome)) = done else {
                // Which one is not known: all that are not under way any more are found again.
                tracing::error!("sending a webhook panicked");
                round.lanes.clear();
                round.busy.clear();
                continue;
            };
            round.lanes.remove(&lane);
            let endpoint = (lane.tenant, lane.endpoint);
            if let Some(busy) = round.busy.get_mut(&endpoint) {
                *busy = busy.saturating_sub(1);
            }
            round.busy.retain(|_, busy| *busy > 0);
            round.due.insert(endpoint, 0);
            outcomes.extend(outcome);
        }
        let settling = outcomes.iter().map(|outcome| {
            tracing::debug!(event = outcome.event, status = outcome.attempt.status, "a webhook was sent");
            self.billing.settle_webhook(self.world.now(), self.world.id(), outcome)
        });
        let settled: Vec<Result<(), ServiceError>> = join_all(settling).await;
        for (outcome, settled) in outcomes.iter().zip(settled) {
            if let Err(error) = settled {
                tracing::warn!(%error, code = error.code(), "an attempt could not be recorded; it is sent again");
                // Not at once: the endpoint did nothing wrong. The next refresh finds it.
                round.due.insert((outcome.lane.tenant, outcome.lane.endpoint.clone()), u64::MAX);
            }
        }
    }
}

/// Sends the head of a lane.
async fn deliver(
    billing: Billing,
    sender: Sender,
    world: Arc<dyn World>,
    lane: LaneId,
) -> (LaneId, Option<Outcome>) {
    let letter = match billing.next_webhook(world.now(), &lane).await {
        Ok(Some(letter)) => letter,
        Ok(None) => return (lane, None),
        Err(error) => {
            tracing::warn!(%error, code = error.code(), "a webhook cannot be read; it is tried again");
            tokio::time::sleep(STORE_DOWN).await;
            return (lane, None);
        }
    };
    let (attempt, answer) = sender.send(&letter, world.now()).await;
    let jitter = world.random()[0];
    let outcome = Outcome { lane: lane.clone(), event: letter.event.id, attempt, answer, jitter };
    (lane, Some(outcome))
}
