//! Products and their prices: made, published from an instant on, listed, and simulated over past usage before they count.
//!
//! A product's record says what it is called and how its usage is counted; each version of its price is a record of its own, so
//! that a product with a long history is not read whole to price one event. Whoever prices reads both and depends on the
//! product's record, which every publication changes: no event is priced by a version that was replaced meanwhile.
//!
//! It records no usage: see [`super::usage`].

mod form;
mod simulation;

use farthing_ledger::Timestamp;
use farthing_ledger::record::{Order, Table};
use serde::{Deserialize, Serialize};

use super::{
    ATTEMPTS, Billing, Cx, Document, Draft, Fate, Named as _, Page, PageQuery, ServiceError, Stored, input,
    names,
};
use crate::id::ProductId;
use crate::pricing::{Lateness, Price, Product, Version};

pub use form::{ModelForm, PriceForm, RoundingForm, TierForm};
pub use simulation::{MAX_SIMULATED, SimulationQuery, SimulationResult};

/// The longest name of a product, in characters.
pub const MAX_NAME: usize = 200;
/// The longest time after which usage may still be told: 400 days.
pub const MAX_GRACE_MS: u64 = 400 * 86_400_000;
/// The longest time ahead of which usage may be told: a day.
pub const MAX_SKEW_MS: u64 = 86_400_000;
/// The time after which usage may be told unless the product says otherwise: 3 days.
pub const GRACE_MS: u64 = 3 * 86_400_000;
/// The time ahead of which usage may be told unless the product says otherwise: 5 minutes.
pub const SKEW_MS: u64 = 300_000;

/// Over what a price's tiers, and its begun packages, count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TiersOver {
    /// Each event by itself.
    #[default]
    Event,
    /// All units that a customer uses in a month of the calendar (UTC), so that the events of a month add up to the price of
    /// the whole. The months are those in which the usage occurred.
    Month,
}

/// Something that is sold, as it is kept and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProductDoc {
    /// Its name.
    #[serde(with = "names::text")]
    pub id: ProductId,
    /// What people call it.
    pub name: String,
    /// The code of the asset in which it is priced.
    pub asset: String,
    /// Over what tiers count.
    pub tiers_over: TiersOver,
    /// So long after it occurred may usage be told, in milliseconds.
    pub grace_ms: u64,
    /// So long before, because clocks differ, in milliseconds.
    pub skew_ms: u64,
    /// How many prices were published; the number of the last one.
    pub versions: u32,
    /// When it was made, in milliseconds since the Unix epoch.
    pub created_ms: u64,
}

impl Document for ProductDoc {
    const TABLE: Table = Table::new("product");
    const NAME: &'static str = "product";
}

/// A price that was published, as it is kept and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PriceVersion {
    /// The product.
    #[serde(with = "names::text")]
    pub product: ProductId,
    /// 1 for the first.
    pub number: u32,
    /// From when on it counts, in milliseconds since the Unix epoch.
    pub from_ms: u64,
    /// The price.
    pub price: PriceForm,
    /// Quantities after which one unit more makes all of them cheaper: where a volume price falls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drops: Vec<u64>,
}

impl Document for PriceVersion {
    const TABLE: Table = Table::new("price");
    const NAME: &'static str = "price";
}

/// A product to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewProduct {
    /// What people call it: 1 to [`MAX_NAME`] characters.
    pub name: String,
    /// The code of the asset in which it is priced.
    pub asset: String,
    /// Over what tiers count.
    #[serde(default)]
    pub tiers_over: TiersOver,
    /// How late usage may be told, at most [`MAX_GRACE_MS`].
    #[serde(default = "grace_ms")]
    pub grace_ms: u64,
    /// How early, at most [`MAX_SKEW_MS`].
    #[serde(default = "skew_ms")]
    pub skew_ms: u64,
    /// The first price, from now on. Without one nothing can be sold yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceForm>,
}

/// A price to be published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewPrice {
    /// The price.
    pub price: PriceForm,
    /// From when on it counts, in milliseconds since the Unix epoch: not before now. Left out: from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_ms: Option<u64>,
}

const fn grace_ms() -> u64 {
    GRACE_MS
}

const fn skew_ms() -> u64 {
    SKEW_MS
}

impl ProductDoc {
    /// How late and early usage may be told.
    #[must_use]
    pub const fn lateness(&self) -> Lateness {
        Lateness { grace_ms: self.grace_ms, skew_ms: self.skew_ms }
    }
}

impl NewProduct {
    fn check(&self) -> Result<(), ServiceError> {
        input::text("name", &self.name, MAX_NAME)?;
        if self.grace_ms > MAX_GRACE_MS {
            return Err(ServiceError::invalid("grace_ms", format!("at most {MAX_GRACE_MS}")));
        }
        if self.skew_ms > MAX_SKEW_MS {
            return Err(ServiceError::invalid("skew_ms", format!("at most {MAX_SKEW_MS}")));
        }
        Ok(())
    }
}

impl PriceVersion {
    /// As the pure half knows it.
    ///
    /// # Errors
    /// [`ServiceError::Price`] never for a record that was published.
    pub(super) fn version(&self) -> Result<Version, ServiceError> {
        let price = Price::try_from(&self.price)?;
        Ok(Version { number: self.number, from: Timestamp::from_unix_ms(self.from_ms), price })
    }

    fn key(&self) -> String {
        price_key(self.product, self.from_ms)
    }
}

fn price_key(product: ProductId, from_ms: u64) -> String {
    format!("{product}/{from_ms:016x}")
}

fn no_product(id: ProductId) -> ServiceError {
    ServiceError::NotFound { what: ProductDoc::NAME, id: id.text() }
}

impl Billing {
    /// Makes a product, with its first price when it has one.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`], [`ServiceError::NotFound`] for the asset, [`ServiceError::Price`], [`ServiceError::Store`].
    pub async fn create_product(&self, cx: &Cx, new: &NewProduct) -> Result<ProductDoc, ServiceError> {
        new.check()?;
        for _ in 0..ATTEMPTS {
            if let Some(done) = self.replay(cx).await? {
                return Ok(done);
            }
            // An asset is never gone: once seen, it needs no check in the commit.
            self.asset(cx, &new.asset).await?;
            let mut draft = Draft::new();
            let doc = ProductDoc {
                id: ProductId::from(cx.id),
                name: new.name.clone(),
                asset: new.asset.clone(),
                tiers_over: new.tiers_over,
                grace_ms: new.grace_ms,
                skew_ms: new.skew_ms,
                versions: u32::from(new.price.is_some()),
                created_ms: cx.now.unix_ms(),
            };
            if let Some(price) = &new.price {
                let first = NewPrice { price: price.clone(), from_ms: None };
                let version = publish(cx, doc.id, Vec::new(), &first)?;
                draft.create(cx, &version.key(), &version)?;
            }
            draft.create(cx, &doc.id.text(), &doc)?;
            if let Fate::Applied { .. } = self.commit(cx, draft, &doc).await? {
                return Ok(doc);
            }
        }
        Err(ServiceError::Contention)
    }

    /// The product `id`.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Store`].
    pub async fn product(&self, cx: &Cx, id: ProductId) -> Result<ProductDoc, ServiceError> {
        Ok(self.stored_product(cx, id).await?.doc)
    }

    /// A page of the tenant's products.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn list_products(&self, cx: &Cx, page: &PageQuery) -> Result<Page<ProductDoc>, ServiceError> {
        Ok(self.list(cx, "", page).await?.docs())
    }

    /// Publishes a price from now, or a later instant, on. What was sold before keeps its price.
    ///
    /// # Errors
    /// [`ServiceError::Price`], [`ServiceError::Product`], [`ServiceError::NotFound`], [`ServiceError::Contention`],
    /// [`ServiceError::Store`].
    pub async fn publish_price(
        &self,
        cx: &Cx,
        product: ProductId,
        new: &NewPrice,
    ) -> Result<PriceVersion, ServiceError> {
        for _ in 0..ATTEMPTS {
            if let Some(done) = self.replay(cx).await? {
                return Ok(done);
            }
            let was = self.stored_product(cx, product).await?;
            let last = PageQuery { limit: 1, ..PageQuery::default() };
            let last = self.list::<PriceVersion>(cx, &format!("{product}/"), &last).await?;
            let last = last.data.iter().map(|last| last.doc.version()).collect::<Result<_, _>>()?;
            let version = publish(cx, product, last, new)?;
            let doc = ProductDoc { versions: version.number, ..was.doc.clone() };
            let mut draft = Draft::new();
            draft.replace(cx, &was, &doc)?.create(cx, &version.key(), &version)?;
            if let Fate::Applied { .. } = self.commit(cx, draft, &version).await? {
                return Ok(version);
            }
        }
        Err(ServiceError::Contention)
    }

    /// A page of the prices of a product, by the instant from which they count.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Store`].
    pub async fn list_prices(
        &self,
        cx: &Cx,
        product: ProductId,
        page: &PageQuery,
    ) -> Result<Page<PriceVersion>, ServiceError> {
        self.stored_product(cx, product).await?;
        Ok(self.list(cx, &format!("{product}/"), page).await?.docs())
    }

    /// The price of a product that counts at `at`; `None` when none did, or there is no such product.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn price_at(
        &self,
        cx: &Cx,
        product: ProductId,
        at: Timestamp,
    ) -> Result<Option<PriceVersion>, ServiceError> {
        let after = Some(price_key(product, at.unix_ms().saturating_add(1)));
        let page = PageQuery { after, limit: 1, order: Order::Descending };
        let found = self.list::<PriceVersion>(cx, &format!("{product}/"), &page).await?.docs();
        Ok(found.data.into_iter().next())
    }

    pub(super) async fn stored_product(
        &self,
        cx: &Cx,
        id: ProductId,
    ) -> Result<Stored<ProductDoc>, ServiceError> {
        self.find(cx, &id.text()).await?.ok_or_else(|| no_product(id))
    }
}

/// The version that `new` becomes after `last`.
fn publish(
    cx: &Cx,
    product: ProductId,
    last: Vec<Version>,
    new: &NewPrice,
) -> Result<PriceVersion, ServiceError> {
    let price = Price::try_from(&new.price)?;
    let drops = price.drops()?;
    let from = new.from_ms.map_or(cx.now, Timestamp::from_unix_ms);
    let mut history = Product::of(last);
    let Version { number, from, .. } = *history.publish(price, from, cx.now)?;
    Ok(PriceVersion { product, number, from_ms: from.unix_ms(), price: new.price.clone(), drops })
}

#[cfg(test)]
mod tests;
