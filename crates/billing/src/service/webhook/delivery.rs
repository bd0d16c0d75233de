//! [`Delivery`]: one event for one endpoint, and what became of it; [`Attempt`]: one try of it.

use farthing_ledger::record::{RecordKey, Table, Version};
use serde::{Deserialize, Serialize};

use super::super::event::EventKind;
use super::super::{Billing, Cx, Document, Page, PageQuery, ServiceError, Stored, TenantId};
use super::LaneId;

/// The most that is kept of an answer's body, in bytes.
pub const MAX_RESPONSE: usize = 2_048;

/// Where a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It is still to be told.
    Pending,
    /// The endpoint took it.
    Delivered,
    /// It is a dead letter: nothing happens to it until somebody replays it.
    Dead,
}

/// One event for one endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Delivery {
    /// The endpoint.
    pub endpoint: String,
    /// The event, whose name is the `webhook-id`.
    pub event: String,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// Deliveries with one ordering key go one after the other.
    pub ordering_key: String,
    /// The commit that the event was part of: the order of a lane.
    pub commit: u64,
    /// Where it stands.
    pub state: DeliveryState,
    /// Why it is dead: `attempts_exhausted`, `endpoint_gone`, `endpoint_disabled`.
    pub reason: Option<String>,
    /// How often it was tried, replays included.
    pub attempts: u32,
    /// How often since it was queued.
    pub tries: u32,
    /// Since when it was to be sent; a replay begins anew.
    pub queued_ms: u64,
    /// The first attempt since.
    pub first_ms: Option<u64>,
    /// When it is tried again, after a failure.
    pub next_ms: Option<u64>,
    /// The status of the last answer.
    pub last_status: Option<u16>,
}

impl Document for Delivery {
    const TABLE: Table = Table::new("webhook_delivery");
    const NAME: &'static str = "delivery";
}

impl Delivery {
    /// Its key within the tenant.
    #[must_use]
    pub fn key(&self) -> String {
        delivery_key(&self.endpoint, &self.event)
    }

    pub(super) fn lane(&self, tenant: TenantId) -> LaneId {
        LaneId { tenant, endpoint: self.endpoint.clone(), key: self.ordering_key.clone() }
    }

    /// Its place in its lane.
    pub(super) fn queue_key(&self, tenant: TenantId) -> RecordKey {
        self.lane(tenant).queue_key(Version(self.commit), &self.event)
    }
}

pub(super) fn delivery_key(endpoint: &str, event: &str) -> String {
    format!("{endpoint}/{event}")
}

/// One try of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Attempt {
    /// When it began.
    pub at_ms: u64,
    /// How long it took.
    pub duration_ms: u64,
    /// The status of the answer, when there was one.
    pub status: Option<u16>,
    /// Why there was none: a stable code and a sentence.
    pub error: Option<String>,
    /// The beginning of the answer's body, at most [`MAX_RESPONSE`] bytes.
    pub response: String,
}

impl Document for Attempt {
    const TABLE: Table = Table::new("webhook_attempt");
    const NAME: &'static str = "delivery attempt";
}

/// That a delivery is a dead letter: an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::service) struct DeadLetter {
    pub(super) since_ms: u64,
}

impl Document for DeadLetter {
    const TABLE: Table = Table::new("webhook_dead");
    const NAME: &'static str = "dead letter";
}

impl Billing {
    /// A page of an endpoint's deliveries.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] when there is no such endpoint; [`ServiceError::Store`].
    pub async fn webhook_deliveries(
        &self,
        cx: &Cx,
        endpoint: &str,
        page: &PageQuery,
    ) -> Result<Page<Delivery>, ServiceError> {
        self.webhook(cx, endpoint).await?;
        let Page { data, next } = self.list::<Delivery>(cx, &format!("{endpoint}/"), page).await?;
        Ok(Page { data: data.into_iter().map(|stored| stored.doc).collect(), next })
    }

    /// A page of an endpoint's dead letters.
    ///
    /// # Errors
    /// As [`Billing::webhook_deliveries`].
    pub async fn webhook_dead_letters(
        &self,
        cx: &Cx,
        endpoint: &str,
        page: &PageQuery,
    ) -> Result<Page<Delivery>, ServiceError> {
        self.webhook(cx, endpoint).await?;
        let Page { data, next } = self.list::<DeadLetter>(cx, &format!("{endpoint}/"), page).await?;
        let keys: Vec<String> = data.into_iter().map(|stored| stored.key).collect();
        let found = self.deliveries(cx, &keys).await?;
        Ok(Page { data: found.into_iter().map(|stored| stored.doc).collect(), next })
    }

    /// A delivery, and every attempt of it, the oldest first.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Store`].
    pub async fn webhook_delivery(
        &self,
        cx: &Cx,
        endpoint: &str,
        event: &str,
    ) -> Result<(Delivery, Vec<Attempt>), ServiceError> {
        let key = delivery_key(endpoint, event);
        let delivery = self.get::<Delivery>(cx, &key).await?.doc;
        let order = farthing_ledger::record::Order::Ascending;
        let page = PageQuery { after: None, limit: 500, order };
        let attempts = self.list::<Attempt>(cx, &format!("{key}/"), &page).await?;
        Ok((delivery, attempts.data.into_iter().map(|stored| stored.doc).collect()))
    }

    /// The deliveries under these keys; those that are there.
    pub(super) async fn deliveries(
        &self,
        cx: &Cx,
        keys: &[String],
    ) -> Result<Vec<Stored<Delivery>>, ServiceError> {
        self.find_all::<Delivery>(cx, keys).await.map(|found| found.into_iter().flatten().collect())
    }
}
