//! Replay: a delivery is sent again, because somebody asks for it.

use farthing_ledger::record::{Expect, Order, RecordChange};

use super::super::{ATTEMPTS, Billing, Cx, Draft, Fate, PageQuery, ServiceError, Stored};
use super::delivery::{DeadLetter, delivery_key};
use super::{Delivery, DeliveryState, EndpointState};

/// Dead letters that one call sends again.
const AT_ONCE: usize = 100;

impl Billing {
    /// Sends a delivery again, whatever became of it: with the same `webhook-id`, for another three days, in its old place of its lane.
    /// One that waits to be tried again is tried now.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; [`ServiceError::WrongState`] when its endpoint is disabled; [`ServiceError::Store`].
    pub async fn replay_webhook(
        &self,
        cx: &Cx,
        endpoint: &str,
        event: &str,
    ) -> Result<Delivery, ServiceError> {
        for _ in 0..ATTEMPTS {
            if let Some(done) = self.replay(cx).await? {
                return Ok(done);
            }
            let mut draft = Draft::new();
            self.check_enabled(cx, endpoint, &mut draft).await?;
            let was = self.get::<Delivery>(cx, &delivery_key(endpoint, event)).await?;
            let delivery = self.queue_again(cx, &was, &mut draft).await?;
            if let Fate::Applied { .. } = self.commit(cx, draft, &delivery).await? {
                return Ok(delivery);
            }
        }
        Err(ServiceError::Contention)
    }

    /// Sends an endpoint's dead letters again, the oldest first, at most 100 of them. How many there were: ask again until it is 0.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; [`ServiceError::WrongState`] when the endpoint is disabled; [`ServiceError::Store`].
    pub async fn replay_dead_letters(&self, cx: &Cx, endpoint: &str) -> Result<usize, ServiceError> {
        if let Some(done) = self.replay(cx).await? {
            return Ok(done);
        }
        self.check_enabled(cx, endpoint, &mut Draft::new()).await?;
        let page = PageQuery { after: None, limit: AT_ONCE, order: Order::Ascending };
        let dead = self.list::<DeadLetter>(cx, &format!("{endpoint}/"), &page).await?.data;
        for letter in &dead {
            self.replay_dead(cx, endpoint, &letter.key).await?;
        }
        let count = dead.len();
        // What it did is done; this keeps the answer for whoever asks again under the same key.
        self.commit(cx, Draft::new(), &count).await?;
        Ok(count)
    }

    async fn replay_dead(&self, cx: &Cx, endpoint: &str, key: &str) -> Result<(), ServiceError> {
        let cx = Cx { idempotency: None, ..cx.clone() };
        for _ in 0..ATTEMPTS {
            let mut draft = Draft::new();
            self.check_enabled(&cx, endpoint, &mut draft).await?;
            let Some(was) = self.find::<Delivery>(&cx, key).await? else { return Ok(()) };
            if was.doc.state != DeliveryState::Dead {
                return Ok(());
            }
            self.queue_again(&cx, &was, &mut draft).await?;
            if let Fate::Applied { .. } = self.commit(&cx, draft, &()).await? {
                return Ok(());
            }
        }
        Err(ServiceError::Contention)
    }

    /// Nothing is queued for an endpoint that is told nothing.
    async fn check_enabled(&self, cx: &Cx, endpoint: &str, draft: &mut Draft) -> Result<(), ServiceError> {
        let endpoint = self.webhook(cx, endpoint).await?;
        let state = match endpoint.doc.state {
            EndpointState::Enabled => {
                draft.check(cx, &endpoint);
                return Ok(());
            }
            EndpointState::Disabled => "disabled",
            EndpointState::Gone => "gone",
        };
        Err(ServiceError::WrongState { what: "webhook endpoint", state, why: "enable it first" })
    }

    async fn queue_again(
        &self,
        cx: &Cx,
        was: &Stored<Delivery>,
        draft: &mut Draft,
    ) -> Result<Delivery, ServiceError> {
        let (lane, now) = (was.doc.lane(cx.tenant), cx.now.unix_ms());
        let record = self.lane_record(&lane).await?;
        draft.records.extend(lane.moved(record.as_ref(), Some(now))?);
        if was.doc.state == DeliveryState::Pending {
            draft.check(cx, was);
            return Ok(was.doc.clone());
        }
        let delivery = Delivery {
            state: DeliveryState::Pending,
            reason: None,
            tries: 0,
            queued_ms: now,
            first_ms: None,
            next_ms: None,
            ..was.doc.clone()
        };
        draft.replace(cx, was, &delivery)?;
        let (at, body) = (delivery.queue_key(cx.tenant), "{}".to_owned());
        draft.records.push(RecordChange::Put { at, expect: Expect::Absent, body });
        let at = super::super::document::record_key::<DeadLetter>(cx.tenant, &was.key);
        draft.records.push(RecordChange::Delete { at, expect: Expect::Anything });
        Ok(delivery)
    }
}
