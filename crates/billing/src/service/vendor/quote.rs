//! [`Billing::quote`]: what a vendor asks for is kept, compared and told, and then the call may be authorised, or not.

use farthing_ledger::Timestamp;
use farthing_ledger::record::Table;
use farthing_money::Amount;
use serde::{Deserialize, Serialize};

use super::{MAX_VENDOR, vendor_id};
use crate::id::{CustomerId, OfferId, ProductId, of_text};
use crate::margin::{Alert, Margin, PriceBook, Question, Quote, Quoted, Verdict};
use crate::pricing::{Measure, ProductError};
use crate::service::event::EventKind;
use crate::service::figures::Signed;
use crate::service::{
    ATTEMPTS, Billing, Cx, Document, Draft, Fate, Page, PageQuery, ServiceError, Stored, input, names,
};

/// How stale [`QuoteDoc::seen_ms`] may be: the same price asked for again within this time writes nothing.
pub const FRESH_MS: u64 = 60_000;

/// What a vendor asks for, before it is paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewQuote {
    /// The vendor, by the name by which the caller knows it.
    pub vendor: String,
    /// What is offered, as the caller tells offers of the vendor apart: a route.
    pub offer: String,
    /// The code of the asset in which it is asked.
    pub asset: String,
    /// How much is asked.
    pub amount: Amount,
    /// What the customer will pay for the call, in the same asset, when that is known before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Amount>,
    /// As what the call will be sold, instead of `price`: what the customer will pay follows from the product's price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sold: Option<SoldAs>,
}

/// As what a call will be sold, when what it costs is what was quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SoldAs {
    /// The product; its asset is the quote's.
    #[serde(with = "names::text")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::service::schema::IdText<ProductId>"))]
    pub product: ProductId,
    /// How many units.
    pub quantity: u64,
    /// To whom: where tiers count over a month, it is the customer's month. Left out, the call stands alone.
    #[serde(default, with = "names::maybe", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<crate::service::schema::IdText<CustomerId>>"))]
    pub customer: Option<CustomerId>,
}

/// What is known of one offer of a vendor, as it is kept and shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct QuoteDoc {
    /// The vendor.
    pub vendor: String,
    /// What is offered.
    pub offer: String,
    /// The asset.
    pub asset: String,
    /// What it asks for.
    pub amount: Amount,
    /// What was accepted: the same, unless a change waits for somebody.
    pub accepted: Amount,
    /// Since when it asks for that, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// When it did last, to the minute.
    pub seen_ms: u64,
    /// How often the price changed.
    pub changes: u64,
}

impl Document for QuoteDoc {
    const TABLE: Table = Table::new("quote");
    const NAME: &'static str = "quote";
}

/// A price that a vendor began to ask for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct QuoteChange {
    /// The vendor.
    pub vendor: String,
    /// What is offered.
    pub offer: String,
    /// The asset.
    pub asset: String,
    /// What it asked for before; none for the first price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Amount>,
    /// What it asks for from then on.
    pub after: Amount,
    /// When that was seen, in milliseconds since the Unix epoch.
    pub at_ms: u64,
}

impl Document for QuoteChange {
    const TABLE: Table = Table::new("quote_change");
    const NAME: &'static str = "quote change";
}

/// What somebody should know before the call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum AlertForm {
    /// The vendor asks for another price than before.
    PriceChanged {
        /// What it asked for.
        before: Amount,
        /// What it asks for now.
        after: Amount,
    },
    /// The call would leave less than the floor.
    MarginUnderFloor {
        /// What the customer pays.
        price: Amount,
        /// What the vendor takes.
        cost: Amount,
        /// What is left, which may be below zero.
        margin: Signed,
        /// The least, in millionths of the price.
        floor_millionths: u32,
    },
}

/// What follows from a quote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct QuoteVerdict {
    /// Whether the call may be authorised.
    pub may_call: bool,
    /// What the customer will pay for the call, when that is known: what to set aside for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Amount>,
    /// What was told.
    pub alerts: Vec<AlertForm>,
    /// What is known of the offer now.
    pub quote: QuoteDoc,
}

/// An alert as it is told: about which offer, and whether the call went on.
#[derive(Serialize)]
struct Told<'a> {
    vendor: &'a str,
    offer: &'a str,
    asset: &'a str,
    may_call: bool,
    alert: &'a AlertForm,
}

impl AlertForm {
    const fn kind(&self) -> EventKind {
        match self {
            Self::PriceChanged { .. } => EventKind::VendorPriceChanged,
            Self::MarginUnderFloor { .. } => EventKind::MarginUnderFloor,
        }
    }
}

impl From<&Alert> for AlertForm {
    fn from(alert: &Alert) -> Self {
        match *alert {
            Alert::PriceChanged { of: _, before, after } => Self::PriceChanged { before, after },
            Alert::MarginUnderFloor { of: _, margin, floor } => {
                let (Margin { price, cost }, floor_millionths) = (margin, floor.millionths);
                Self::MarginUnderFloor { price, cost, margin: Signed(margin.net()), floor_millionths }
            }
        }
    }
}

/// Which offer: it names the record too.
struct Offered {
    of: Quoted,
    key: String,
}

impl Offered {
    fn read(vendor: &str, offer: &str, asset: &str) -> Result<Self, ServiceError> {
        let vendor = vendor_id(vendor)?;
        input::text("offer", offer, MAX_VENDOR)?;
        input::text("asset", asset, MAX_VENDOR)?;
        // No name has a control character, so that no two pairs are one text.
        let offer = OfferId::from_u128(of_text("offer", &[], &format!("{asset}\n{offer}")));
        Ok(Self { of: Quoted { vendor, offer }, key: format!("{vendor}/{offer}") })
    }
}

impl QuoteDoc {
    fn book(&self, of: Quoted) -> PriceBook {
        let at = Timestamp::from_unix_ms;
        let latest = Quote { amount: self.amount, since: at(self.since_ms), seen: at(self.seen_ms) };
        PriceBook::restore(of, latest, self.accepted)
    }

    /// What the offer is after `book` was asked.
    fn after(&self, book: &PriceBook, of: &Quoted) -> Self {
        let mut doc = self.clone();
        if let Some(latest) = book.latest(of) {
            doc.changes += u64::from(latest.amount != self.amount);
            (doc.amount, doc.since_ms, doc.seen_ms) =
                (latest.amount, latest.since.unix_ms(), latest.seen.unix_ms());
        }
        doc.accepted = book.accepted(of).unwrap_or(doc.accepted);
        doc
    }

    /// Whether nothing is worth writing but when it was seen, and that was written a moment ago.
    fn is_fresh(&self, after: &Self) -> bool {
        let same = Self { seen_ms: self.seen_ms, ..after.clone() } == *self;
        same && after.seen_ms < self.seen_ms.saturating_add(FRESH_MS)
    }
}

impl Billing {
    /// Keeps what a vendor asks for and says whether the call may be authorised, after whoever should know is told. Ask before
    /// every payment.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`], [`ServiceError::Contention`], [`ServiceError::Store`].
    pub async fn quote(&self, cx: &Cx, new: &NewQuote) -> Result<QuoteVerdict, ServiceError> {
        let offered = Offered::read(&new.vendor, &new.offer, &new.asset)?;
        let policy = self.vendor_policy(cx, Some(&new.vendor)).await?.policy.into();
        let price = self.price_of(cx, new).await?;
        for _ in 0..ATTEMPTS {
            if let Some(done) = self.replay(cx).await? {
                return Ok(done);
            }
            let was = self.find::<QuoteDoc>(cx, &offered.key).await?;
            let mut book = was.as_ref().map_or_else(PriceBook::new, |was| was.doc.book(offered.of));
            let question = Question { of: offered.of, cost: new.amount, price, now: cx.now };
            let verdict = book.quote(&question, &policy);
            let quote = match &was {
                Some(was) => was.doc.after(&book, &offered.of),
                None => first(cx, new),
            };
            let fresh = was.as_ref().is_some_and(|was| was.doc.is_fresh(&quote));
            let quiet = fresh && verdict.alerts.is_empty() && cx.idempotency.is_none();
            let answer = answer(&verdict, price, quote);
            if quiet {
                return Ok(answer);
            }
            let mut draft = Draft::new();
            if was.is_none() {
                self.introduce_vendors(cx, &mut draft, &[&*new.vendor].into()).await?;
            }
            write(cx, &mut draft, (&offered.key, was.as_ref()), &answer)?;
            if let Fate::Applied { .. } = self.commit(cx, draft, &answer).await? {
                return Ok(answer);
            }
        }
        Err(ServiceError::Contention)
    }

    /// What the customer will pay for the call, as far as that is known: it is what recording the usage would come to now.
    async fn price_of(&self, cx: &Cx, new: &NewQuote) -> Result<Option<Amount>, ServiceError> {
        let Some(SoldAs { product, quantity, customer }) = new.sold else { return Ok(new.price) };
        if new.price.is_some() {
            return Err(ServiceError::invalid("sold", "either this or a price"));
        }
        let doc = self.stored_product(cx, product).await?.doc;
        if doc.asset != new.asset {
            let why = format!("a product in {}, the asset of the quote", new.asset);
            return Err(ServiceError::invalid("sold", why));
        }
        let price = self.price_at(cx, product, cx.now).await?.ok_or(ProductError::NoPrice)?.version()?.price;
        let before = match customer {
            Some(customer) => self.units_of_month(cx, (&doc, customer), cx.now).await?,
            None => 0,
        };
        Ok(Some(price.after(before, Measure { quantity, cost: new.amount })?))
    }

    /// Somebody accepts `amount` for an offer: calls at this price go on.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Invalid`], [`ServiceError::Contention`], [`ServiceError::Store`].
    pub async fn accept_quote(
        &self,
        cx: &Cx,
        (vendor, offer, asset): (&str, &str, &str),
        amount: Amount,
    ) -> Result<QuoteDoc, ServiceError> {
        let offered = Offered::read(vendor, offer, asset)?;
        for _ in 0..ATTEMPTS {
            if let Some(done) = self.replay(cx).await? {
                return Ok(done);
            }
            let was = self.get::<QuoteDoc>(cx, &offered.key).await?;
            let mut book = was.doc.book(offered.of);
            book.accept(offered.of, amount);
            let doc = was.doc.after(&book, &offered.of);
            let mut draft = Draft::new();
            draft.replace(cx, &was, &doc)?;
            if let Fate::Applied { .. } = self.commit(cx, draft, &doc).await? {
                return Ok(doc);
            }
        }
        Err(ServiceError::Contention)
    }

    /// A page of what vendors ask for: one vendor's offers, or everybody's.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`], [`ServiceError::Store`].
    pub async fn list_quotes(
        &self,
        cx: &Cx,
        vendor: Option<&str>,
        page: &PageQuery,
    ) -> Result<Page<QuoteDoc>, ServiceError> {
        let prefix =
            vendor.map(|name| Ok::<_, ServiceError>(format!("{}/", vendor_id(name)?))).transpose()?;
        Ok(self.list(cx, prefix.as_deref().unwrap_or(""), page).await?.docs())
    }

    /// A page of every price that a vendor asked for, or for one of its offers (its name and asset), by time within an offer.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`], [`ServiceError::Store`].
    pub async fn list_quote_changes(
        &self,
        cx: &Cx,
        (vendor, offer): (&str, Option<(&str, &str)>),
        page: &PageQuery,
    ) -> Result<Page<QuoteChange>, ServiceError> {
        let prefix = match offer {
            Some((offer, asset)) => format!("{}/", Offered::read(vendor, offer, asset)?.key),
            None => format!("{}/", vendor_id(vendor)?),
        };
        Ok(self.list(cx, &prefix, page).await?.docs())
    }
}

fn first(cx: &Cx, new: &NewQuote) -> QuoteDoc {
    let (at, NewQuote { vendor, offer, asset, amount, .. }) = (cx.now.unix_ms(), new.clone());
    QuoteDoc { vendor, offer, asset, amount, accepted: amount, since_ms: at, seen_ms: at, changes: 0 }
}

fn answer(verdict: &Verdict, price: Option<Amount>, quote: QuoteDoc) -> QuoteVerdict {
    let alerts = verdict.alerts.iter().map(AlertForm::from).collect();
    QuoteVerdict { may_call: verdict.may_call, price, alerts, quote }
}

/// The offer as it is now, the price that it began to ask for, and what is told of it.
fn write(
    cx: &Cx,
    draft: &mut Draft,
    (key, was): (&str, Option<&Stored<QuoteDoc>>),
    answer: &QuoteVerdict,
) -> Result<(), ServiceError> {
    let QuoteVerdict { may_call, price: _, alerts, quote } = answer;
    match was {
        Some(was) => draft.replace(cx, was, quote)?,
        None => draft.create(cx, key, quote)?,
    };
    let before = was.map(|was| was.doc.amount);
    if before != Some(quote.amount) {
        let change = QuoteChange {
            vendor: quote.vendor.clone(),
            offer: quote.offer.clone(),
            asset: quote.asset.clone(),
            before,
            after: quote.amount,
            at_ms: cx.now.unix_ms(),
        };
        draft.create(cx, &format!("{key}/{}", cx.id), &change)?;
    }
    let QuoteDoc { vendor, offer, asset, .. } = quote;
    for alert in alerts {
        draft.tell(cx, alert.kind(), &Told { vendor, offer, asset, may_call: *may_call, alert })?;
    }
    Ok(())
}
