//! What vendors ask for: every quote of a 402 is kept, and what follows from it is said, and told, before the call is
//! authorised.
//!
//! | record | key | says |
//! |---|---|---|
//! | `vendor` | the vendor | by which name callers know it |
//! | `vendor_policy` | the vendor, or `default` | what happens when its price changes or a margin is thin |
//! | `quote` | vendor and offer | what it asks for now, since when, and what was accepted |
//! | `quote_change` | vendor, offer, time | every price that it ever asked for |
//!
//! The decisions are [`crate::margin::PriceBook`]'s; here they are read, kept and told. It asks no vendor and pays none.

mod policy;
mod quote;

use std::collections::BTreeSet;

use farthing_ledger::record::Table;
use serde::{Deserialize, Serialize};

use super::{Billing, Cx, Document, Draft, Page, PageQuery, ServiceError, input};
use crate::id::CounterpartyId;

pub use policy::{OnAlertForm, PolicyDoc, PolicyForm};
pub use quote::{AlertForm, NewQuote, QuoteChange, QuoteDoc, QuoteVerdict, SoldAs};

/// The longest name of a vendor, or of an offer, in characters.
pub const MAX_VENDOR: usize = 256;

/// Somebody who is paid for calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VendorDoc {
    /// The name by which callers know it: a host, best.
    pub name: String,
    /// When it was first heard of, in milliseconds since the Unix epoch.
    pub created_ms: u64,
}

impl Document for VendorDoc {
    const TABLE: Table = Table::new("vendor");
    const NAME: &'static str = "vendor";
}

/// The vendor whom callers call `name`.
pub(super) fn vendor_id(name: &str) -> Result<CounterpartyId, ServiceError> {
    input::text("vendor", name, MAX_VENDOR)?;
    Ok(CounterpartyId::named(name))
}

impl Billing {
    /// A page of the vendors that were heard of.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn list_vendors(&self, cx: &Cx, page: &PageQuery) -> Result<Page<VendorDoc>, ServiceError> {
        Ok(self.list(cx, "", page).await?.docs())
    }

    /// Writes down the names of vendors that were not heard of before.
    pub(super) async fn introduce_vendors(
        &self,
        cx: &Cx,
        draft: &mut Draft,
        names: &BTreeSet<&str>,
    ) -> Result<(), ServiceError> {
        for name in names {
            let key = vendor_id(name)?.to_string();
            if self.find::<VendorDoc>(cx, &key).await?.is_none() {
                let doc = VendorDoc { name: (*name).to_owned(), created_ms: cx.now.unix_ms() };
                draft.create(cx, &key, &doc)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
