//! What customers used, as it is told, kept and shown. Each event is priced, charged and costed in one commit, once.
//!
//! | record | key | says |
//! |---|---|---|
//! | `usage` | the event, by the time it was told | all that is known of it |
//! | `usage_by_event_id` | a hash of the caller's id | which event that is: it is what makes it happen once |
//! | `usage_by_subject`, `usage_by_customer` | subject or customer, time of occurrence | the events beneath |
//! | `usage_by_product` | product, time of occurrence | what a simulation needs of it |
//! | `usage_by_hold` | hold, event | the events that were captured from it, of which not all is given back |
//! | `usage_units` | product, customer, month | the units so far, when tiers count over the month |
//! | `counter` | see `counters` | revenue, cost and what was given back, added up |
//!
//! The pure half decides: [`crate::usage`] makes the linked group, [`crate::pricing`] the price, [`crate::usage::rollup`] what
//! is added to which counter.

mod batch;
mod charge;
pub(super) mod counters;
mod index;
mod record;
mod refund;
mod sale;

use std::collections::BTreeMap;

use farthing_ledger::record::Table;
use farthing_money::{Amount, id_128};
use serde::{Deserialize, Serialize};

use super::figures::Signed;
use super::names::{self, HoldId};
use super::subject::Called;
use super::{Document, Named, ServiceError, input};
use crate::id::{CustomerId, ProductId, SubjectId};

pub use batch::{MAX_BATCH, Told};
pub use counters::{By, Over};
pub(super) use index::{UsageByProduct, UsageBySubject};
pub use refund::UsageRefund;
pub use sale::NewSale;

/// The longest id that a caller gives an event, in characters.
pub const MAX_EVENT_ID: usize = 256;
/// The longest name of a subject, in characters.
pub const MAX_SUBJECT: usize = 200;

id_128! {
    /// The name of a usage event. It is the name of its group in the ledger too, so its last byte is zero.
    UsageId
}

impl Named for UsageId {
    const PREFIX: &'static str = "use";
    const WHAT: &'static str = "usage event";

    fn of_bits(bits: u128) -> Self {
        Self::from_u128(bits)
    }

    fn bits(self) -> u128 {
        self.as_u128()
    }
}

/// What a vendor took for an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CostForm {
    /// The vendor, by the name by which the caller knows it.
    pub vendor: String,
    /// How much, in the product's asset.
    pub amount: Amount,
}

/// What happens to the rest of a hold from which an event is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Rest {
    /// It goes back.
    #[default]
    Release,
    /// It stays aside for more.
    Keep,
}

/// Something that a customer used, as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewUsage {
    /// The caller's name for it, at most [`MAX_EVENT_ID`] characters: the same one is the same event, whenever it is told.
    pub event_id: String,
    /// Who used it.
    #[serde(with = "names::text")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::service::schema::IdText<CustomerId>"))]
    pub customer: CustomerId,
    /// Under which unit of work it rolls up, as the customer calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The unit of work that the subject is a part of, as the customer calls it: it is there already. What a subject is a part of is
    /// said once, and stays; left out, it is what it was, or nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_parent: Option<String>,
    /// What is sold.
    #[serde(with = "names::text")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::service::schema::IdText<ProductId>"))]
    pub product: ProductId,
    /// What kind of thing happened, such as `search`.
    pub event_type: String,
    /// What else is known of it: names and values.
    #[serde(default)]
    pub dimensions: BTreeMap<String, String>,
    /// How many units were used.
    pub quantity: u64,
    /// What the vendors took.
    #[serde(default)]
    pub costs: Vec<CostForm>,
    /// When, in milliseconds since the Unix epoch. Left out: now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_ms: Option<u64>,
    /// The hold from which it is paid. Left out: from the wallet.
    #[serde(default, with = "names::maybe", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::service::schema::IdText<HoldId>>"))]
    pub hold: Option<HoldId>,
    /// What happens to the rest of that hold.
    #[serde(default)]
    pub rest: Rest,
}

/// A usage event, as it is kept and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UsageDoc {
    /// Its name here.
    #[serde(with = "names::text")]
    pub id: UsageId,
    /// The caller's name for it.
    pub event_id: String,
    /// Who used it.
    #[serde(with = "names::text")]
    pub customer: CustomerId,
    /// Under which unit of work it rolls up.
    #[serde(default, with = "names::maybe", skip_serializing_if = "Option::is_none")]
    pub subject: Option<SubjectId>,
    /// The product.
    #[serde(with = "names::text")]
    pub product: ProductId,
    /// The version of the price that counted when it occurred.
    pub version: u32,
    /// What kind of thing happened.
    pub event_type: String,
    /// What else is known of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dimensions: BTreeMap<String, String>,
    /// How many units were used.
    pub quantity: u64,
    /// How many units were charged before it in the month, when tiers count over the month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units_before: Option<u64>,
    /// The code of the asset of all amounts.
    pub asset: String,
    /// What the customer pays.
    pub price: Amount,
    /// What the vendors took together.
    pub cost: Amount,
    /// What of the price was given back.
    #[serde(default)]
    pub refunded: Amount,
    /// What is left of the price after what was given back and the cost; it may be below zero.
    pub margin: Signed,
    /// What each vendor took.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub costs: Vec<CostForm>,
    /// The hold from which it was paid.
    #[serde(default, with = "names::maybe", skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldId>,
    /// When it occurred, in milliseconds since the Unix epoch.
    pub occurred_ms: u64,
    /// When it was told.
    pub recorded_ms: u64,
}

impl Document for UsageDoc {
    const TABLE: Table = Table::new("usage");
    const NAME: &'static str = "usage event";
}

/// The answer to an event that was told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Recorded {
    /// Whether it is new.
    pub status: RecordedAs,
    /// The event.
    #[serde(flatten)]
    pub usage: UsageDoc,
}

/// Whether an event is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RecordedAs {
    /// It was priced, charged and costed now.
    Recorded,
    /// It was before, with the same content: nothing changed.
    Exists,
}

impl NewUsage {
    fn check(&self) -> Result<(), ServiceError> {
        input::text("event_id", &self.event_id, MAX_EVENT_ID)?;
        input::maybe("subject", self.subject.as_ref(), MAX_SUBJECT)?;
        input::maybe("subject_parent", self.subject_parent.as_ref(), MAX_SUBJECT)?;
        if self.subject.is_none() && self.subject_parent.is_some() {
            return Err(ServiceError::invalid("subject_parent", "of a subject: left out without one"));
        }
        Ok(())
    }

    /// The unit of work as it is called.
    fn subject_called(&self) -> Option<Called<'_>> {
        let (customer, parent) = (self.customer, self.subject_parent.as_deref());
        self.subject.as_deref().map(|name| Called { customer, name, parent })
    }

    /// The unit of work.
    fn subject_id(&self) -> Option<SubjectId> {
        self.subject.as_ref().map(|name| SubjectId::named(self.customer, name))
    }

    /// Whether `doc` is this event. When it occurred is compared when the caller says when.
    fn is(&self, doc: &UsageDoc) -> bool {
        doc.customer == self.customer
            && doc.subject == self.subject_id()
            && doc.product == self.product
            && doc.event_type == self.event_type
            && doc.dimensions == self.dimensions
            && doc.quantity == self.quantity
            && doc.costs == self.costs
            && doc.hold == self.hold
            && self.occurred_ms.is_none_or(|at| at == doc.occurred_ms)
    }
}

#[cfg(test)]
mod tests;
