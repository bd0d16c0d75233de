//! Fan-out: from events that nobody has been told of to a delivery for each endpoint that wants it.
//!
//! The outbox's twins are deleted in the commit that makes the deliveries, and both expect what was read: a process that dies
//! between leaves everything as it was, and of two that do it at once one finds that the other has.

use std::collections::{BTreeMap, BTreeSet};

use farthing_ledger::Timestamp;
use farthing_ledger::record::{Committed, Expect, Order, Record, RecordChange, RecordKey, Scan, Work};
use farthing_money::Id;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::super::document::record_key;
use super::super::event::{Event, OUTBOX};
use super::super::{ATTEMPTS, Billing, Document, ServiceError, Stored, TenantId};
use super::lane::cx;
use super::{Delivery, DeliveryState, Endpoint, LaneId};

/// Events that are looked at in one commit.
const EVENTS: usize = 128;

/// Changes after which a commit is full; one event more has to fit.
const CHANGES: usize = 900;

/// What a fan-out did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FannedOut {
    /// Events that were in the outbox.
    pub events: usize,
    /// Deliveries that were made.
    pub deliveries: usize,
    /// The endpoints they are for.
    pub endpoints: BTreeSet<(TenantId, String)>,
    /// Events that cannot be read, of a later version perhaps: they stay where they are.
    pub unreadable: usize,
    /// Whether the outbox has more.
    pub more: bool,
}

impl Billing {
    /// Makes deliveries of what is in the outbox, as much as goes into one commit.
    ///
    /// # Errors
    /// [`ServiceError::Store`], [`ServiceError::Unreadable`], [`ServiceError::Contention`].
    pub async fn fan_out(&self, now: Timestamp) -> Result<FannedOut, ServiceError> {
        for _ in 0..ATTEMPTS {
            // The outbox before the endpoints: an endpoint that was there when an event was committed is seen.
            let scan = Scan {
                table: OUTBOX,
                prefix: String::new(),
                after: None,
                order: Order::Ascending,
                limit: EVENTS,
            };
            let mut twins = self.store().scan(scan).await?;
            if twins.is_empty() {
                return Ok(FannedOut::default());
            }
            let full = twins.len() == EVENTS;
            // In the order in which they were committed.
            twins.sort_by(|a, b| (a.revision, &a.key).cmp(&(b.revision, &b.key)));
            let mut batch = Batch::new(now);
            self.fill(&mut batch, &twins).await?;
            let Batch { mut done, changes, .. } = batch;
            done.more = done.events > 0 && (full || done.events + done.unreadable < twins.len());
            let work = Work { now, steps: Vec::new(), records: changes };
            if let Committed::Applied { .. } = self.store().commit(work).await? {
                return Ok(done);
            }
        }
        Err(ServiceError::Contention)
    }

    async fn fill(&self, batch: &mut Batch, twins: &[Record]) -> Result<(), ServiceError> {
        for tenant in twins.iter().filter_map(tenant_of) {
            if !batch.endpoints.contains_key(&tenant) {
                let all = self.webhooks(&cx(tenant, batch.now, Id::from_parts(0, 0))).await?;
                batch.endpoints.insert(tenant, all);
            }
        }
        // What nobody is told of is not read.
        let told = twins.iter().filter(|twin| tenant_of(twin).is_some_and(|tenant| batch.tells(tenant)));
        let names: Vec<RecordKey> =
            told.map(|twin| RecordKey { table: Event::TABLE, key: twin.key.clone() }).collect();
        let mut events = self.records_if_any(&names).await?.into_iter();
        for twin in twins {
            if batch.changes.len() >= CHANGES {
                break;
            }
            let tenant = tenant_of(twin);
            if tenant.is_some_and(|tenant| !batch.tells(tenant)) {
                batch.forget(twin);
                continue;
            }
            let event = tenant.and_then(|_| events.next().flatten());
            let (Some(tenant), Some(event)) = (tenant, event.and_then(|event| read(&event))) else {
                batch.done.unreadable += 1;
                continue;
            };
            let lanes = batch.lanes_of(tenant, &event);
            let unseen: Vec<LaneId> =
                lanes.iter().filter(|lane| !batch.lanes.contains(*lane)).cloned().collect();
            let keys: Vec<RecordKey> = unseen.iter().map(LaneId::record_key).collect();
            let records = self.records_if_any(&keys).await?;
            for (lane, record) in unseen.into_iter().zip(records) {
                batch.join(lane, record.as_ref())?;
            }
            batch.deliver(twin, &event, &lanes)?;
        }
        Ok(())
    }

    /// The records of these names. The store is not asked for none: every question waits for an answer.
    async fn records_if_any(&self, names: &[RecordKey]) -> Result<Vec<Option<Record>>, ServiceError> {
        if names.is_empty() { Ok(Vec::new()) } else { Ok(self.store().records(names).await?) }
    }
}

/// What goes into one commit.
struct Batch {
    now: Timestamp,
    changes: Vec<RecordChange>,
    endpoints: BTreeMap<TenantId, Vec<Stored<Endpoint>>>,
    checked: BTreeSet<(TenantId, String)>,
    lanes: BTreeSet<LaneId>,
    done: FannedOut,
}

impl Batch {
    fn new(now: Timestamp) -> Self {
        let done =
            FannedOut { events: 0, deliveries: 0, endpoints: BTreeSet::new(), unreadable: 0, more: false };
        let (endpoints, checked, lanes) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        Self { now, changes: Vec::new(), endpoints, checked, lanes, done }
    }

    /// Whether this tenant is told of anything at all.
    fn tells(&self, tenant: TenantId) -> bool {
        self.endpoints.get(&tenant).is_some_and(|all| all.iter().any(|endpoint| endpoint.doc.is_enabled()))
    }

    /// The lanes that an event goes to.
    fn lanes_of(&self, tenant: TenantId, event: &Event) -> Vec<LaneId> {
        let key = ordering_key(&event.data);
        let wanting = self.endpoints[&tenant].iter().filter(|endpoint| endpoint.doc.wants(event.kind));
        wanting
            .map(|endpoint| LaneId { tenant, endpoint: endpoint.doc.id.clone(), key: key.clone() })
            .collect()
    }

    fn forget(&mut self, twin: &Record) {
        let at = RecordKey { table: OUTBOX, key: twin.key.clone() };
        self.changes.push(RecordChange::Delete { at, expect: Expect::Revision(twin.revision) });
        self.done.events += 1;
    }

    fn join(&mut self, lane: LaneId, record: Option<&Record>) -> Result<(), ServiceError> {
        self.changes.extend(lane.joined(record, self.now.unix_ms())?);
        // A delivery for an endpoint that is disabled meanwhile would wait for nothing.
        if self.checked.insert((lane.tenant, lane.endpoint.clone())) {
            let all = &self.endpoints[&lane.tenant];
            if let Some(endpoint) = all.iter().find(|endpoint| endpoint.doc.id == lane.endpoint) {
                let at = record_key::<Endpoint>(lane.tenant, &endpoint.key);
                self.changes.push(RecordChange::Check { at, expect: Expect::Revision(endpoint.revision) });
            }
        }
        self.lanes.insert(lane);
        Ok(())
    }

    fn deliver(&mut self, twin: &Record, event: &Event, lanes: &[LaneId]) -> Result<(), ServiceError> {
        self.forget(twin);
        for lane in lanes {
            let delivery = Delivery {
                endpoint: lane.endpoint.clone(),
                event: event.id.clone(),
                kind: event.kind,
                ordering_key: lane.key.clone(),
                commit: twin.revision.0,
                state: DeliveryState::Pending,
                reason: None,
                attempts: 0,
                tries: 0,
                queued_ms: self.now.unix_ms(),
                first_ms: None,
                next_ms: None,
                last_status: None,
            };
            let body = serde_json::to_string(&delivery)
                .map_err(|error| ServiceError::unreadable("delivery", &error))?;
            let at = record_key::<Delivery>(lane.tenant, &delivery.key());
            self.changes.push(RecordChange::Put { at, expect: Expect::Absent, body });
            let (at, body) = (delivery.queue_key(lane.tenant), "{}".to_owned());
            self.changes.push(RecordChange::Put { at, expect: Expect::Absent, body });
            self.done.deliveries += 1;
            self.done.endpoints.insert((lane.tenant, lane.endpoint.clone()));
        }
        Ok(())
    }
}

/// Whose event it is.
fn tenant_of(twin: &Record) -> Option<TenantId> {
    let (tenant, _) = twin.key.split_once('/')?;
    Some(TenantId::from_u128(u128::from_str_radix(tenant, 16).ok()?))
}

/// What it says.
fn read(event: &Record) -> Option<Event> {
    serde_json::from_str(&event.body).ok()
}

/// What an event is about: events about one thing are told in their order. The customer, or else the thing itself.
fn ordering_key(data: &Value) -> String {
    let named = ["customer", "id"].iter().find_map(|field| data.get(field)?.as_str());
    let Some(named) = named else { return "-".to_owned() };
    let plain =
        named.len() <= 64 && named.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if plain && !named.is_empty() {
        return named.to_owned();
    }
    let digest = Sha256::digest(named.as_bytes());
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::ordering_key;

    #[test]
    fn the_ordering_key_is_the_customer_or_else_the_thing() {
        assert_eq!(ordering_key(&json!({ "customer": "cus_1", "id": "hold_2" })), "cus_1");
        assert_eq!(ordering_key(&json!({ "id": "prod_2" })), "prod_2");
        assert_eq!(ordering_key(&json!({ "customer": null, "id": "prod_2" })), "prod_2");
        assert_eq!(ordering_key(&json!([])), "-");
        let odd = ordering_key(&json!({ "customer": "a/b" }));
        assert!(odd.len() == 32 && !odd.contains('/'), "no key can reach into another's lane");
    }
}
