//! [`LaneId`]: an endpoint and an ordering key. What a lane holds, when its head is due, and what is to be sent next.

use farthing_ledger::record::{
    Committed, Expect, Order, Record, RecordChange, RecordKey, Scan, Table, Version, Work,
};
use farthing_ledger::{Timestamp, store::MAX_PAGE};
use farthing_money::Id;
use serde::{Deserialize, Serialize};

use super::super::event::Event;
use super::super::{Billing, Cx, Document, Draft, ServiceError, TenantId};
use super::delivery::{DeadLetter, delivery_key};
use super::{Delivery, DeliveryState, Endpoint, EndpointState};

const QUEUE: Table = Table::new("webhook_queue");
const LANE: Table = Table::new("webhook_lane");
const DUE: Table = Table::new("webhook_due");

/// How many deliveries of an endpoint that is told nothing any more become dead letters in one commit.
const BURIED: usize = 200;

/// Deliveries of one endpoint that go one after the other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId {
    /// Whose.
    pub tenant: TenantId,
    /// The endpoint.
    pub endpoint: String,
    /// The ordering key.
    pub key: String,
}

/// A lane, and when its head is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// Which.
    pub id: LaneId,
    /// When.
    pub due_ms: u64,
}

/// An endpoint for which something is to be sent, and when the first of it is due.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pending {
    /// Whose.
    pub tenant: TenantId,
    /// The endpoint.
    pub endpoint: String,
    /// When.
    pub due_ms: u64,
}

/// What is to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    /// The lane whose head it is.
    pub lane: LaneId,
    /// To whom.
    pub endpoint: Endpoint,
    /// What happened.
    pub event: Event,
    /// What became of it so far.
    pub delivery: Delivery,
}

#[derive(Serialize, Deserialize)]
struct LaneBody {
    due_ms: u64,
}

impl LaneId {
    fn text(&self) -> String {
        format!("{}/{}/{}", self.tenant, self.endpoint, self.key)
    }

    pub(super) fn record_key(&self) -> RecordKey {
        RecordKey { table: LANE, key: self.text() }
    }

    pub(super) fn queue_key(&self, commit: Version, event: &str) -> RecordKey {
        RecordKey { table: QUEUE, key: format!("{}/{:016x}/{event}", self.text(), commit.0) }
    }

    fn due_key(&self, due_ms: u64) -> RecordKey {
        RecordKey { table: DUE, key: format!("{}/{}/{due_ms:016x}/{}", self.tenant, self.endpoint, self.key) }
    }

    /// Reads a key of [`DUE`].
    fn read_due(key: &str) -> Option<Lane> {
        let mut parts = key.splitn(4, '/');
        let tenant = TenantId::from_u128(u128::from_str_radix(parts.next()?, 16).ok()?);
        let endpoint = parts.next()?.to_owned();
        let due_ms = u64::from_str_radix(parts.next()?, 16).ok()?;
        Some(Lane { id: Self { tenant, endpoint, key: parts.next()?.to_owned() }, due_ms })
    }

    /// What changes when the lane's head is due at another time, or when it is empty (`None`).
    ///
    /// # Errors
    /// [`ServiceError::Unreadable`].
    pub(super) fn moved(
        &self,
        lane: Option<&Record>,
        due_ms: Option<u64>,
    ) -> Result<Vec<RecordChange>, ServiceError> {
        let unreadable = |error: serde_json::Error| ServiceError::unreadable("lane", &error);
        let (expect, before) = match lane {
            Some(record) => {
                let LaneBody { due_ms } = serde_json::from_str(&record.body).map_err(unreadable)?;
                (Expect::Revision(record.revision), Some(due_ms))
            }
            None => (Expect::Absent, None),
        };
        let at = self.record_key();
        let mut changes = Vec::new();
        match due_ms {
            Some(due_ms) => {
                // Written also when nothing changes: whoever is about to remove an empty lane has to notice.
                let body = serde_json::to_string(&LaneBody { due_ms }).map_err(unreadable)?;
                changes.push(RecordChange::Put { at, expect, body });
            }
            None => changes.push(RecordChange::Delete { at, expect }),
        }
        if before == due_ms {
            return Ok(changes);
        }
        if let Some(before) = before {
            changes.push(RecordChange::Delete { at: self.due_key(before), expect: Expect::Anything });
        }
        if let Some(due_ms) = due_ms {
            let body = "{}".to_owned();
            changes.push(RecordChange::Put { at: self.due_key(due_ms), expect: Expect::Anything, body });
        }
        Ok(changes)
    }

    /// What changes when something joins the lane: it is due now when it was empty, and as before when it was not.
    pub(super) fn joined(
        &self,
        lane: Option<&Record>,
        now_ms: u64,
    ) -> Result<Vec<RecordChange>, ServiceError> {
        let due_ms = match lane {
            Some(record) => {
                let read = serde_json::from_str::<LaneBody>(&record.body);
                read.map_err(|error| ServiceError::unreadable("lane", &error))?.due_ms
            }
            None => now_ms,
        };
        self.moved(lane, Some(due_ms))
    }
}

/// A context for what nobody asked for.
pub(super) fn cx(tenant: TenantId, now: Timestamp, id: Id) -> Cx {
    Cx { tenant, now, id, idempotency: None }
}

impl Billing {
    /// Every endpoint for which something is to be sent. It reads one key for each of them.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn pending_webhooks(&self) -> Result<Vec<Pending>, ServiceError> {
        let mut pending = Vec::new();
        let mut after = None;
        loop {
            let scan = Scan { table: DUE, prefix: String::new(), after, order: Order::Ascending, limit: 1 };
            let Some(record) = self.store().scan(scan).await?.into_iter().next() else { return Ok(pending) };
            let Some(Lane { id, due_ms }) = LaneId::read_due(&record.key) else {
                after = Some(record.key);
                continue;
            };
            // Past every time of this endpoint: times begin with a hexadecimal digit.
            after = Some(format!("{}/{}/~", id.tenant, id.endpoint));
            pending.push(Pending { tenant: id.tenant, endpoint: id.endpoint, due_ms });
        }
    }

    /// The lanes of an endpoint for which something is to be sent, the longest due first.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn webhook_lanes(
        &self,
        tenant: TenantId,
        endpoint: &str,
        limit: usize,
    ) -> Result<Vec<Lane>, ServiceError> {
        let prefix = format!("{tenant}/{endpoint}/");
        let limit = limit.clamp(1, MAX_PAGE);
        let scan = Scan { table: DUE, prefix, after: None, order: Order::Ascending, limit };
        let found = self.store().scan(scan).await?;
        Ok(found.iter().filter_map(|record| LaneId::read_due(&record.key)).collect())
    }

    /// What is to be sent next of a lane. When its endpoint is told nothing any more, its deliveries become dead letters
    /// instead, some at a time; those of an endpoint that was deleted are forgotten.
    ///
    /// # Errors
    /// [`ServiceError::Store`], [`ServiceError::Unreadable`].
    pub async fn next_webhook(&self, now: Timestamp, lane: &LaneId) -> Result<Option<Letter>, ServiceError> {
        let cx = cx(lane.tenant, now, Id::from_parts(0, 0));
        let endpoint = self.find::<Endpoint>(&cx, &lane.endpoint).await?.map(|stored| stored.doc);
        let head = self.queued(lane, 1).await?.into_iter().next();
        match (endpoint, head) {
            (Some(endpoint), Some((_, event))) if endpoint.state == EndpointState::Enabled => {
                let delivery = self.find::<Delivery>(&cx, &delivery_key(&lane.endpoint, &event)).await?;
                let event = self.find::<Event>(&cx, &event).await?;
                let (Some(delivery), Some(event)) = (delivery, event) else {
                    self.bury(&cx, lane, None).await?;
                    return Ok(None);
                };
                let (delivery, event) = (delivery.doc, event.doc);
                Ok(Some(Letter { lane: lane.clone(), endpoint, event, delivery }))
            }
            (endpoint, _) => {
                self.bury(&cx, lane, endpoint.as_ref()).await?;
                Ok(None)
            }
        }
    }

    /// At most `limit` deliveries of a lane, the first first: their keys and their events.
    pub(super) async fn queued(
        &self,
        lane: &LaneId,
        limit: usize,
    ) -> Result<Vec<(RecordKey, String)>, ServiceError> {
        let prefix = format!("{}/", lane.text());
        let scan = Scan { table: QUEUE, prefix, after: None, order: Order::Ascending, limit };
        let found = self.store().scan(scan).await?;
        let named = found.into_iter().filter_map(|record| {
            let event = record.key.rsplit_once('/')?.1.to_owned();
            Some((RecordKey { table: QUEUE, key: record.key }, event))
        });
        Ok(named.collect())
    }

    pub(super) async fn lane_record(&self, lane: &LaneId) -> Result<Option<Record>, ServiceError> {
        Ok(self.store().records(&[lane.record_key()]).await?.into_iter().next().flatten())
    }

    /// Takes a lane's deliveries out of the queue: dead letters of the endpoint, when there still is one.
    async fn bury(&self, cx: &Cx, lane: &LaneId, endpoint: Option<&Endpoint>) -> Result<(), ServiceError> {
        let Some(record) = self.lane_record(lane).await? else { return Ok(()) };
        let queued = self.queued(lane, BURIED).await?;
        let mut draft = Draft::new();
        if let Some(endpoint) = endpoint {
            let keys: Vec<String> =
                queued.iter().map(|(_, event)| delivery_key(&lane.endpoint, event)).collect();
            for was in self.deliveries(cx, &keys).await? {
                let reason = match endpoint.state {
                    EndpointState::Gone => "endpoint_gone",
                    EndpointState::Enabled | EndpointState::Disabled => "endpoint_disabled",
                };
                let dead = Delivery {
                    state: DeliveryState::Dead,
                    reason: Some(reason.to_owned()),
                    next_ms: None,
                    ..was.doc.clone()
                };
                draft.replace(cx, &was, &dead)?;
                draft.write(cx, &was.key, &DeadLetter { since_ms: cx.now.unix_ms() })?;
            }
        }
        let left = (queued.len() == BURIED).then_some(cx.now.unix_ms());
        draft
            .records
            .extend(queued.into_iter().map(|(at, _)| RecordChange::Delete { at, expect: Expect::Present }));
        draft.records.extend(lane.moved(Some(&record), left)?);
        let work = Work { now: cx.now, steps: draft.steps, records: draft.records };
        // When others changed it meanwhile, the next round sees it as it is then.
        let (Committed::Applied { .. } | Committed::Refused { .. } | Committed::Conflict { .. }) =
            self.store().commit(work).await?;
        Ok(())
    }
}

impl Billing {
    /// Documents under these keys, in their order.
    pub(super) async fn find_all<T: Document>(
        &self,
        cx: &Cx,
        keys: &[String],
    ) -> Result<Vec<Option<super::super::Stored<T>>>, ServiceError> {
        let names: Vec<RecordKey> =
            keys.iter().map(|key| super::super::document::record_key::<T>(cx.tenant, key)).collect();
        let found = self.store().records(&names).await?;
        let read = |record: Option<Record>| {
            record.map(|record| super::super::document::stored(cx.tenant, &record)).transpose()
        };
        found.into_iter().map(read).collect()
    }
}
