//! [`Outcome`]: what came of an attempt, and what follows from it.

use farthing_ledger::Timestamp;
use farthing_ledger::record::{Committed, Expect, RecordChange, Work};
use farthing_money::Id;

use super::super::event::EventKind;
use super::super::{ATTEMPTS, Billing, Cx, Draft, ServiceError};
use super::delivery::{DeadLetter, delivery_key};
use super::lane::cx;
use super::schedule::{Tries, next_ms};
use super::{Attempt, Delivery, DeliveryState, Endpoint, EndpointState, LaneId};

/// What the endpoint said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It took it: any 2xx.
    Taken,
    /// It did not, or did not answer.
    Failed {
        /// How long it asks us to wait.
        retry_after_ms: Option<u64>,
    },
    /// It wants nothing any more: 410.
    Gone,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The lane.
    pub lane: LaneId,
    /// The event that was told.
    pub event: String,
    /// The attempt, for the log.
    pub attempt: Attempt,
    /// What the endpoint said.
    pub answer: Answer,
    /// A random byte: spreads what is tried again.
    pub jitter: u8,
}

impl Billing {
    /// Records what came of an attempt: the log, the delivery, and when its lane goes on. An attempt whose delivery somebody else has
    /// finished meanwhile changes nothing. `id` is fresh: it names the event when the endpoint is gone.
    ///
    /// # Errors
    /// [`ServiceError::Store`], [`ServiceError::Unreadable`], [`ServiceError::Contention`].
    pub async fn settle_webhook(
        &self,
        now: Timestamp,
        id: Id,
        outcome: &Outcome,
    ) -> Result<(), ServiceError> {
        let cx = cx(outcome.lane.tenant, now, id);
        for _ in 0..ATTEMPTS {
            let Some(draft) = self.settlement(&cx, outcome).await? else { return Ok(()) };
            let work = Work { now, steps: draft.steps, records: draft.records };
            match self.store().commit(work).await? {
                Committed::Applied { .. } | Committed::Refused { .. } => return Ok(()),
                Committed::Conflict { .. } => {}
            }
        }
        Err(ServiceError::Contention)
    }

    pub(super) async fn settlement(&self, cx: &Cx, outcome: &Outcome) -> Result<Option<Draft>, ServiceError> {
        let key = delivery_key(&outcome.lane.endpoint, &outcome.event);
        let Some(was) = self.find::<Delivery>(cx, &key).await? else { return Ok(None) };
        let Some(lane) = self.lane_record(&outcome.lane).await? else { return Ok(None) };
        if was.doc.state != DeliveryState::Pending {
            return Ok(None);
        }
        let mut draft = Draft::new();
        let delivery = after(&was.doc, outcome, cx.now.unix_ms());
        draft.create(cx, &format!("{key}/{:06}", delivery.attempts), &outcome.attempt)?;
        draft.replace(cx, &was, &delivery)?;
        let due = if delivery.state == DeliveryState::Pending {
            delivery.next_ms
        } else {
            let mine = delivery.queue_key(cx.tenant);
            // The next one of the lane goes at once.
            let queued = self.queued(&outcome.lane, 2).await?;
            let next = queued.iter().any(|(at, _)| *at != mine).then_some(cx.now.unix_ms());
            draft.records.push(RecordChange::Delete { at: mine, expect: Expect::Present });
            next
        };
        if delivery.state == DeliveryState::Dead {
            draft.write(cx, &key, &DeadLetter { since_ms: cx.now.unix_ms() })?;
        }
        draft.records.extend(outcome.lane.moved(Some(&lane), due)?);
        if outcome.answer == Answer::Gone {
            self.disable(cx, &outcome.lane.endpoint, &mut draft).await?;
        }
        Ok(Some(draft))
    }

    async fn disable(&self, cx: &Cx, id: &str, draft: &mut Draft) -> Result<(), ServiceError> {
        let Some(was) = self.find::<Endpoint>(cx, id).await? else { return Ok(()) };
        if was.doc.state != EndpointState::Enabled {
            return Ok(());
        }
        let gone = Endpoint { state: EndpointState::Gone, updated_ms: cx.now.unix_ms(), ..was.doc.clone() };
        draft.replace(cx, &was, &gone)?;
        let told = serde_json::json!({ "id": gone.id, "url": gone.url, "state": gone.state });
        draft.tell(cx, EventKind::WebhookDisabled, &told)?;
        Ok(())
    }
}

/// The delivery after the attempt.
fn after(was: &Delivery, outcome: &Outcome, now_ms: u64) -> Delivery {
    let first_ms = was.first_ms.unwrap_or(outcome.attempt.at_ms);
    let mut delivery = Delivery {
        attempts: was.attempts + 1,
        tries: was.tries + 1,
        first_ms: Some(first_ms),
        next_ms: None,
        last_status: outcome.attempt.status,
        ..was.clone()
    };
    match outcome.answer {
        Answer::Taken => delivery.state = DeliveryState::Delivered,
        Answer::Gone => {
            delivery.state = DeliveryState::Dead;
            delivery.reason = Some("endpoint_gone".to_owned());
        }
        Answer::Failed { retry_after_ms } => {
            let tries = Tries { queued_ms: was.queued_ms, first_ms, made: delivery.tries };
            delivery.next_ms = next_ms(tries, now_ms, retry_after_ms, outcome.jitter);
            if delivery.next_ms.is_none() {
                delivery.state = DeliveryState::Dead;
                delivery.reason = Some("attempts_exhausted".to_owned());
            }
        }
    }
    delivery
}
