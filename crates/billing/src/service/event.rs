//! [`Event`]: something that happened and that somebody may want to be told. Written in the commit in which it happened (the
//! outbox), so that none is lost and none is told that did not happen.

use farthing_ledger::record::{Expect, RecordChange, RecordKey, Table};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Cx, Document, ServiceError, id_text};

/// What happened. The text of each is what webhooks carry as `type`, and never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub enum EventKind {
    /// A customer was made.
    #[serde(rename = "customer.created")]
    CustomerCreated,
    /// A customer was changed.
    #[serde(rename = "customer.updated")]
    CustomerUpdated,
    /// Money came into a wallet: a deposit, a top-up, a credit.
    #[serde(rename = "wallet.credited")]
    WalletCredited,
    /// Money left a wallet other than by spending: an adjustment, a chargeback.
    #[serde(rename = "wallet.debited")]
    WalletDebited,
    /// A grant was given.
    #[serde(rename = "grant.created")]
    GrantCreated,
    /// A grant ran out, and what was left of it is gone.
    #[serde(rename = "grant.expired")]
    GrantExpired,
    /// A hold was placed.
    #[serde(rename = "hold.placed")]
    HoldPlaced,
    /// A hold was captured, wholly or partly.
    #[serde(rename = "hold.captured")]
    HoldCaptured,
    /// A hold was voided.
    #[serde(rename = "hold.voided")]
    HoldVoided,
    /// A hold ran out.
    #[serde(rename = "hold.expired")]
    HoldExpired,
    /// A capture was given back.
    #[serde(rename = "hold.refunded")]
    HoldRefunded,
    /// A budget was made.
    #[serde(rename = "budget.created")]
    BudgetCreated,
    /// A budget's limits were changed.
    #[serde(rename = "budget.updated")]
    BudgetUpdated,
    /// A budget was closed.
    #[serde(rename = "budget.closed")]
    BudgetClosed,
    /// Usage was priced and charged.
    #[serde(rename = "usage.recorded")]
    UsageRecorded,
    /// What was charged for usage was given back, wholly or partly.
    #[serde(rename = "usage.refunded")]
    UsageRefunded,
    /// A vendor asks for another price than before.
    #[serde(rename = "vendor.price_changed")]
    VendorPriceChanged,
    /// A call would leave less than the floor.
    #[serde(rename = "margin.under_floor")]
    MarginUnderFloor,
    /// A top-up brought money.
    #[serde(rename = "topup.succeeded")]
    TopUpSucceeded,
    /// A top-up was declined, and will be tried again.
    #[serde(rename = "topup.declined")]
    TopUpDeclined,
    /// A rule tops up no more until a person resumes it.
    #[serde(rename = "topup.paused")]
    TopUpPaused,
    /// The cap of the day is reached.
    #[serde(rename = "topup.cap_reached")]
    TopUpCapReached,
    /// A transfer on a chain was credited.
    #[serde(rename = "deposit.credited")]
    DepositCredited,
    /// A transfer on a chain was taken back by it.
    #[serde(rename = "deposit.reversed")]
    DepositReversed,
    /// A transfer on a chain that nobody could be credited for, or too little of it.
    #[serde(rename = "deposit.exception")]
    DepositException,
    /// A webhook endpoint said that it is gone, and is told nothing any more.
    #[serde(rename = "webhook.disabled")]
    WebhookDisabled,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Event {
    /// Its name: `evt_…`.
    pub id: String,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: EventKind,
    /// When, in milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// The thing it happened to, as the API shows it.
    pub data: Value,
}

impl Document for Event {
    const TABLE: Table = Table::new("event");
    const NAME: &'static str = "event";
}

/// Events that nobody has fanned out yet, under the keys of the events. Keys of events are ordered by a time that was read before
/// the commit, so whoever remembered how far it had read would miss what was committed late; what is still here was not seen.
pub(super) const OUTBOX: Table = Table::new("outbox");

/// The twin of the event at `at` in the outbox.
pub(super) fn undispatched(at: &RecordKey) -> RecordChange {
    let at = RecordKey { table: OUTBOX, key: at.key.clone() };
    RecordChange::Put { at, expect: Expect::Absent, body: "{}".to_owned() }
}

/// An [`Event`] as it is written, whatever its data is.
#[derive(Serialize)]
struct Told<'a, T> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: EventKind,
    created_ms: u64,
    data: &'a T,
}

/// The name and the text of an event of this call, the one of the change at `at`. Keys are ordered by time.
pub(super) fn new<T: Serialize>(
    cx: &Cx,
    (kind, at): (EventKind, usize),
    data: &T,
) -> Result<(String, String), ServiceError> {
    // The last bits of a time-ordered id are random: events of one call differ in them and stay in order.
    let bits = (cx.id.as_u128() & !0x3ff) | (u128::try_from(at).unwrap_or(0) & 0x3ff);
    let id = id_text("evt", bits);
    let told = Told { id: &id, kind, created_ms: cx.now.unix_ms(), data };
    let body = serde_json::to_string(&told).map_err(|error| ServiceError::unreadable("event", &error))?;
    Ok((id, body))
}
