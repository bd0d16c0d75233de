//! Where events are found: by the caller's id, and in the order in which they occurred by subject, customer and product.

use farthing_ledger::Timestamp;
use farthing_ledger::record::Table;
use farthing_money::Amount;
use serde::{Deserialize, Serialize};

use super::{NewUsage, UsageDoc, UsageId};
use crate::Period;
use crate::id::{CustomerId, ProductId, of_text};
use crate::service::document::{record_key, stored};
use crate::service::product::{ProductDoc, TiersOver};
use crate::service::{
    Billing, Cx, Document, Draft, HoldId, Named as _, Page, PageQuery, ServiceError, Stored, names,
};

/// Which event has an id of the caller's.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct UsageByEventId {
    #[serde(with = "names::text")]
    pub(super) id: UsageId,
}

impl Document for UsageByEventId {
    const TABLE: Table = Table::new("usage_by_event_id");
    const NAME: &'static str = "usage event";
}

macro_rules! by_time {
    ($(#[$doc:meta] $name:ident $table:literal)*) => {
        $(#[$doc]
        #[derive(Debug, Clone, Serialize, Deserialize)]
        pub(crate) struct $name {
            #[serde(with = "names::text")]
            id: UsageId,
        }

        impl Document for $name {
            const TABLE: Table = Table::new($table);
            const NAME: &'static str = "usage event";
        }

        impl From<$name> for UsageId {
            fn from(at: $name) -> Self {
                at.id
            }
        })*
    };
}

by_time! {
    /// The events of a hold of which not all was given back: by id, which is the order in which they were told.
    UsageByHold "usage_by_hold"
    /// The events of a subject.
    UsageBySubject "usage_by_subject"
    /// The events of a customer.
    UsageByCustomer "usage_by_customer"
}

/// What a simulation needs of an event.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct UsageByProduct {
    pub(crate) quantity: u64,
    pub(crate) before: u64,
    pub(crate) cost: Amount,
    pub(crate) price: Amount,
}

impl Document for UsageByProduct {
    const TABLE: Table = Table::new("usage_by_product");
    const NAME: &'static str = "usage event";
}

/// The units that a customer used of a product in a month.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Units {
    pub(super) units: u64,
}

impl Document for Units {
    const TABLE: Table = Table::new("usage_units");
    const NAME: &'static str = "units of a month";
}

/// Of which month units are counted together with those at `at`.
pub(crate) fn month_key((product, customer): (ProductId, CustomerId), at: Timestamp) -> String {
    format!("{product}/{customer}/{:012x}", Period::Month.window(at).start.unix_ms())
}

/// The caller's id may have any character and be longer than a key: it is found by its hash.
pub(super) fn event_key(event_id: &str) -> String {
    format!("{:032x}", of_text("usage event", &[], event_id))
}

/// Where an event that occurred at `at` stands among those of `whose`.
fn time_key(whose: impl std::fmt::Display, at: u64, id: UsageId) -> String {
    format!("{whose}/{at:012x}/{id}")
}

/// Where an event stands among those of its hold.
pub(super) fn hold_key(hold: HoldId, id: UsageId) -> String {
    format!("{hold}/{id}")
}

/// Writes an event and everything by which it is found.
pub(super) fn write(cx: &Cx, draft: &mut Draft, doc: &UsageDoc) -> Result<(), ServiceError> {
    let (id, at) = (doc.id, doc.occurred_ms);
    draft.create(cx, &event_key(&doc.event_id), &UsageByEventId { id })?;
    draft.create(cx, &id.text(), doc)?;
    if let Some(subject) = doc.subject {
        draft.create(cx, &time_key(subject, at, id), &UsageBySubject { id })?;
    }
    draft.create(cx, &time_key(doc.customer, at, id), &UsageByCustomer { id })?;
    if let Some(hold) = doc.hold.filter(|_| !doc.price.is_zero()) {
        draft.create(cx, &hold_key(hold, id), &UsageByHold { id })?;
    }
    let before = doc.units_before.unwrap_or(0);
    let measured = UsageByProduct { quantity: doc.quantity, before, cost: doc.cost, price: doc.price };
    draft.create(cx, &time_key(doc.product, at, id), &measured)?;
    Ok(())
}

impl Billing {
    /// The units that a customer used of a product in the month of `at`, where its tiers count over the month.
    pub(in crate::service) async fn units_of_month(
        &self,
        cx: &Cx,
        (product, customer): (&ProductDoc, CustomerId),
        at: Timestamp,
    ) -> Result<u64, ServiceError> {
        if product.tiers_over == TiersOver::Event {
            return Ok(0);
        }
        let found = self.find::<Units>(cx, &month_key((product.id, customer), at)).await?;
        Ok(found.map_or(0, |found| found.doc.units))
    }

    /// The event that was told under the caller's id of `new`.
    ///
    /// # Errors
    /// [`ServiceError::AlreadyExists`] when it has other content; the store's.
    pub(super) async fn told_before(
        &self,
        cx: &Cx,
        new: &NewUsage,
    ) -> Result<Option<UsageDoc>, ServiceError> {
        let Some(found) = self.find::<UsageByEventId>(cx, &event_key(&new.event_id)).await? else {
            return Ok(None);
        };
        let doc = self.get::<UsageDoc>(cx, &found.doc.id.text()).await?.doc;
        if !new.is(&doc) {
            return Err(ServiceError::AlreadyExists { what: UsageDoc::NAME, id: new.event_id.clone() });
        }
        if let Some(called) = new.subject_called().filter(|called| called.parent.is_some()) {
            // It is there; under another parent this is another event.
            self.introduce_subject(cx, &mut Draft::new(), called).await?;
        }
        Ok(Some(doc))
    }

    /// A page of a customer's events, by the time at which they occurred.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], and the store's.
    pub async fn list_customer_usage(
        &self,
        cx: &Cx,
        customer: CustomerId,
        page: &PageQuery,
    ) -> Result<Page<UsageDoc>, ServiceError> {
        self.customer(cx, customer).await?;
        self.indexed::<UsageByCustomer>(cx, &format!("{customer}/"), page).await
    }

    /// The events to which a page of an index points.
    pub(in crate::service) async fn indexed<T: Document + Into<UsageId>>(
        &self,
        cx: &Cx,
        prefix: &str,
        page: &PageQuery,
    ) -> Result<Page<UsageDoc>, ServiceError> {
        let Page { data, next } = self.list::<T>(cx, prefix, page).await?;
        let keys: Vec<_> =
            data.into_iter().map(|at| record_key::<UsageDoc>(cx.tenant, &at.doc.into().text())).collect();
        let found = self.store().records(&keys).await?;
        let read = |record| stored::<UsageDoc>(cx.tenant, record).map(|Stored { doc, .. }| doc);
        let data = found.iter().flatten().map(read).collect::<Result<_, _>>()?;
        Ok(Page { data, next })
    }
}
