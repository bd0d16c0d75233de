//! Forgetting what nobody asks for any more: answers under idempotency keys, and the log of webhooks. A worker asks for it; nothing
//! depends on when.
//!
//! Neither has a list by age: that would be one more record in every commit of every call. Each table is walked from one end to the
//! other instead, a page at a time, and rests between two walks. How far a walk has come is a record that moves in the commit that
//! removes something: any number of processes walk together.
//!
//! | what | is removed | what tells the same call afterwards |
//! |---|---|---|
//! | an answer | after [`Retention::answers_ms`] | `event_id` of usage and sales, the id of a hold that the caller chose, `external_id` of a customer: those are for good. Nothing else: a credit or a refund that is sent again so late happens again |
//! | an answer about a product | never | products have no name of the caller's: gateways make theirs under a key |
//! | a delivery that was taken, and its attempts | after [`Retention::delivered_ms`] | it is not sent again, and cannot be replayed |
//! | a dead letter | after [`Retention::dead_ms`] | the same |

use farthing_ledger::record::{Expect, Order, Record, RecordChange, RecordKey, Scan, Table};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cx::IDEMPOTENCY;
use super::product::ProductDoc;
use super::webhook::{Attempt, DeadLetter, Delivery, DeliveryState, Endpoint};
use super::{Billing, Cx, Document, Draft, Fate, Named as _, ServiceError, TenantId};
use crate::id::ProductId;

const DAY_MS: u64 = 86_400_000;
/// How long a table is left alone after it was walked through.
const REST_MS: u64 = 3_600_000;
/// The most records of one round.
const PAGE: usize = 200;
/// The most changes of one commit of a walk.
const CHANGES: usize = 800;
/// The most attempts of a delivery that are removed at once.
const ATTEMPTS_AT_ONCE: usize = 500;

/// How long is kept what is not kept for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Answers under idempotency keys.
    pub answers_ms: u64,
    /// Deliveries that endpoints took, since they were to be sent.
    pub delivered_ms: u64,
    /// Dead letters, since they were to be sent.
    pub dead_ms: u64,
}

impl Default for Retention {
    /// 30 days, and 90 for dead letters.
    fn default() -> Self {
        Self { answers_ms: 30 * DAY_MS, delivered_ms: 30 * DAY_MS, dead_ms: 90 * DAY_MS }
    }
}

/// What a round came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Forgotten {
    /// How many answers and deliveries were removed.
    pub removed: usize,
    /// Whether a walk goes on: ask again soon.
    pub more: bool,
}

/// How far a walk has come.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Walk {
    /// The last key that was looked at.
    after: Option<String>,
    /// Until then there is nothing to do.
    rests_until_ms: u64,
}

impl Document for Walk {
    const TABLE: Table = Table::new("retention");
    const NAME: &'static str = "walk through what is old";
}

/// The part of an answer by which it is judged.
#[derive(Deserialize)]
struct KeptAnswer {
    at_ms: u64,
    answer: Value,
}

/// What a page of a table comes to.
#[derive(Default)]
struct Round {
    draft: Draft,
    removed: usize,
    /// How many records were dealt with.
    seen: usize,
}

impl Billing {
    /// Removes what is old among the next records of each table. Every tenant's.
    ///
    /// # Errors
    /// [`ServiceError::Store`], [`ServiceError::Unreadable`].
    pub async fn forget_old(&self, cx: &Cx, keep: &Retention) -> Result<Forgotten, ServiceError> {
        let cx = &cx.operator();
        let answers = self.walk(cx, keep, IDEMPOTENCY).await?;
        let deliveries = self.walk(cx, keep, Delivery::TABLE).await?;
        Ok(Forgotten { removed: answers.removed + deliveries.removed, more: answers.more || deliveries.more })
    }

    async fn walk(&self, cx: &Cx, keep: &Retention, table: Table) -> Result<Forgotten, ServiceError> {
        let was = self.find::<Walk>(cx, table.name()).await?;
        let at = was.as_ref().map(|was| was.doc.clone()).unwrap_or_default();
        if cx.now.unix_ms() < at.rests_until_ms {
            return Ok(Forgotten::default());
        }
        let (prefix, after) = (String::new(), at.after.clone());
        let scan = Scan { table, prefix, after, order: Order::Ascending, limit: PAGE };
        let found = self.store().scan(scan).await?;
        let mut round = if table == IDEMPOTENCY {
            old_answers(cx, keep, &found)
        } else {
            self.old_deliveries(cx, keep, &found).await?
        };
        let whole = round.seen == found.len();
        let next = if whole && found.len() < PAGE {
            Walk { after: None, rests_until_ms: cx.now.unix_ms().saturating_add(REST_MS) }
        } else {
            let last = round.seen.checked_sub(1).and_then(|last| found.get(last));
            Walk { after: last.map(|last| last.key.clone()).or(at.after), rests_until_ms: 0 }
        };
        let more = next.rests_until_ms == 0;
        match &was {
            Some(was) => round.draft.replace(cx, was, &next)?,
            None => round.draft.create(cx, table.name(), &next)?,
        };
        Ok(match self.commit(cx, round.draft, &()).await? {
            Fate::Applied { .. } => Forgotten { removed: round.removed, more },
            // Another process walked, or somebody replays a delivery.
            Fate::Refused { .. } | Fate::Again => Forgotten { removed: 0, more: true },
        })
    }

    async fn old_deliveries(
        &self,
        cx: &Cx,
        keep: &Retention,
        found: &[Record],
    ) -> Result<Round, ServiceError> {
        let mut round = Round::default();
        for record in found {
            if let Some(was) = self.old_delivery(cx, keep, record).await? {
                let (attempts, all) = self.attempts_of(record).await?;
                if round.draft.records.len() + attempts.len() + 2 > CHANGES {
                    break;
                }
                round.draft.records.extend(attempts);
                if !all {
                    break;
                }
                round.draft.records.push(gone(Delivery::TABLE, record));
                if was.state == DeliveryState::Dead {
                    let at = RecordKey { table: DeadLetter::TABLE, key: record.key.clone() };
                    round.draft.records.push(RecordChange::Delete { at, expect: Expect::Anything });
                }
                round.removed += 1;
            }
            round.seen += 1;
        }
        Ok(round)
    }

    /// The delivery, when nobody asks for it any more. What is still to be told is kept as long as there is whom to tell.
    async fn old_delivery(
        &self,
        cx: &Cx,
        keep: &Retention,
        record: &Record,
    ) -> Result<Option<Delivery>, ServiceError> {
        let Ok(delivery) = serde_json::from_str::<Delivery>(&record.body) else { return Ok(None) };
        let kept_ms = match delivery.state {
            DeliveryState::Delivered => keep.delivered_ms,
            DeliveryState::Dead | DeliveryState::Pending => keep.dead_ms,
        };
        if cx.now.unix_ms() < delivery.queued_ms.saturating_add(kept_ms) {
            return Ok(None);
        }
        if delivery.state == DeliveryState::Pending {
            let Some(tenant) = tenant_of(&record.key) else { return Ok(None) };
            if self.find::<Endpoint>(&cx.of(tenant), &delivery.endpoint).await?.is_some() {
                return Ok(None);
            }
        }
        Ok(Some(delivery))
    }

    /// What removes the attempts of a delivery, and whether these are all.
    async fn attempts_of(&self, delivery: &Record) -> Result<(Vec<RecordChange>, bool), ServiceError> {
        let scan = Scan {
            table: Attempt::TABLE,
            prefix: format!("{}/", delivery.key),
            after: None,
            order: Order::Ascending,
            limit: ATTEMPTS_AT_ONCE,
        };
        let found = self.store().scan(scan).await?;
        let all = found.len() < ATTEMPTS_AT_ONCE;
        Ok((found.iter().map(|attempt| gone(Attempt::TABLE, attempt)).collect(), all))
    }
}

fn old_answers(cx: &Cx, keep: &Retention, found: &[Record]) -> Round {
    let mut round = Round { seen: found.len(), ..Round::default() };
    for record in found {
        let Ok(kept) = serde_json::from_str::<KeptAnswer>(&record.body) else { continue };
        let old = kept.at_ms.saturating_add(keep.answers_ms) <= cx.now.unix_ms();
        if old && !is_lasting(&kept.answer) {
            round.draft.records.push(gone(IDEMPOTENCY, record));
            round.removed += 1;
        }
    }
    round
}

/// Whether an answer is about a thing that its key alone makes once.
fn is_lasting(answer: &Value) -> bool {
    let id = answer.get("id").and_then(Value::as_str);
    id.is_some_and(|id| ProductId::read(id).is_ok())
        && serde_json::from_value::<ProductDoc>(answer.clone()).is_ok()
}

fn gone(table: Table, record: &Record) -> RecordChange {
    let at = RecordKey { table, key: record.key.clone() };
    RecordChange::Delete { at, expect: Expect::Revision(record.revision) }
}

/// Whose record it is.
fn tenant_of(key: &str) -> Option<TenantId> {
    let (tenant, _) = key.split_once('/')?;
    u128::from_str_radix(tenant, 16).ok().map(TenantId::from_u128)
}
