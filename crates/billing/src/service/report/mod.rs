//! Reports: revenue, cost and margin by subject, customer, product or vendor, over days, months and in all, in one asset.
//!
//! They read counters that every event added to in its commit, and never an event. One thing over time is read by name; all
//! things in one window are a page of a table; the top ones of a window are picked from a bounded scan, which says whether it
//! saw all of them.

use farthing_ledger::record::Order;
use farthing_ledger::{Net, Timestamp};
use serde::{Deserialize, Serialize};

use super::document::{read_document, record_key};
use super::figures::Figures;
use super::names::Named;
use super::product::ProductDoc;
use super::subject::SubjectDoc;
use super::usage::counters::{self, By, CounterDoc, Over};
use super::vendor::{VendorDoc, vendor_id};
use super::{Billing, Cx, Document, Page, PageQuery, ServiceError, customer::Customer};
use crate::Window;
use crate::id::{CounterpartyId, CustomerId, ProductId, SubjectId};
use crate::usage::rollup::Tally;

/// The most windows of one series: a year of days, and a month more.
pub const MAX_WINDOWS: usize = 400;
/// The most counters that are looked at to find the top ones.
pub const MAX_SCANNED: usize = 20_000;
/// The most rows of a list of top ones.
pub const MAX_TOP: usize = 100;

/// Which window of which counters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ReportQuery {
    /// What is counted by.
    pub by: By,
    /// The code of the asset.
    pub asset: String,
    /// How long the window is.
    pub over: Over,
    /// An instant in the window, in milliseconds since the Unix epoch. Left out: now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_ms: Option<u64>,
}

/// What makes a thing a top one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TopBy {
    /// The most revenue.
    #[default]
    Revenue,
    /// The most cost.
    Cost,
    /// The most margin.
    Margin,
    /// The least margin: what loses most comes first.
    Loss,
    /// The most that was given back.
    Refunded,
    /// The most events.
    Events,
}

/// One thing in one window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReportRow {
    /// Its id; of a vendor, its name.
    pub id: String,
    /// What people call it; null when that is not known.
    pub name: Option<String>,
    /// Revenue, what was given back, cost, margin.
    #[serde(flatten)]
    pub figures: Figures,
}

/// A page of all things in one window, in no order that means anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Report {
    /// The first instant of the window, in milliseconds since the Unix epoch.
    pub start_ms: u64,
    /// The first instant after it; null when it never ends.
    pub end_ms: Option<u64>,
    /// The rows.
    #[serde(flatten)]
    pub rows: Page<ReportRow>,
}

/// The top ones of a window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Top {
    /// The first instant of the window, in milliseconds since the Unix epoch.
    pub start_ms: u64,
    /// The first instant after it; null when it never ends.
    pub end_ms: Option<u64>,
    /// The top ones, the first first.
    pub rows: Vec<ReportRow>,
    /// What all that were looked at come to together.
    pub total: Figures,
    /// How many were looked at.
    pub scanned: usize,
    /// Whether these were all. Otherwise the window has more than [`MAX_SCANNED`], and the rest was not looked at.
    pub complete: bool,
}

/// One thing in the windows of a stretch of time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Series {
    /// Its id; of a vendor, its name.
    pub id: String,
    /// The windows, the oldest first, those without events too.
    pub windows: Vec<SeriesWindow>,
    /// What they come to together.
    pub total: Figures,
}

/// One window of a series.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SeriesWindow {
    /// Its first instant, in milliseconds since the Unix epoch.
    pub start_ms: u64,
    /// Revenue, what was given back, cost, margin.
    #[serde(flatten)]
    pub figures: Figures,
}

/// Of what a series is, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SeriesQuery {
    /// What kind of thing it is.
    pub by: By,
    /// Its id; of a vendor, its name.
    pub id: String,
    /// The code of the asset.
    pub asset: String,
    /// How long the windows are.
    pub over: Over,
    /// An instant in the first window.
    pub from_ms: u64,
    /// An instant in the last window.
    pub to_ms: u64,
}

impl ReportQuery {
    fn window(&self, cx: &Cx) -> Window {
        self.over.period().window(self.at_ms.map_or(cx.now, Timestamp::from_unix_ms))
    }

    fn prefix(&self, window: &Window) -> String {
        counters::prefix((self.by, &self.asset), (self.over, window.start))
    }
}

impl Billing {
    /// A page of all things in one window.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] for the asset, and the store's.
    pub async fn report(
        &self,
        cx: &Cx,
        query: &ReportQuery,
        page: &PageQuery,
    ) -> Result<Report, ServiceError> {
        self.asset(cx, &query.asset).await?;
        let window = query.window(cx);
        let Page { data, next } = self.list::<CounterDoc>(cx, &query.prefix(&window), page).await?;
        let mut found = Vec::with_capacity(data.len());
        for counter in &data {
            found.push((last(&counter.key).to_owned(), counter.doc.tally()?));
        }
        let data = self.named(cx, query.by, found).await?;
        let (start_ms, end_ms) = (window.start.unix_ms(), window.end.map(Timestamp::unix_ms));
        Ok(Report { start_ms, end_ms, rows: Page { data, next } })
    }

    /// The top ones of a window, at most [`MAX_TOP`].
    ///
    /// # Errors
    /// [`ServiceError::Invalid`], [`ServiceError::NotFound`] for the asset, and the store's.
    pub async fn report_top(
        &self,
        cx: &Cx,
        query: &ReportQuery,
        (by, most): (TopBy, usize),
    ) -> Result<Top, ServiceError> {
        if !(1..=MAX_TOP).contains(&most) {
            return Err(ServiceError::invalid("top", format!("1 to {MAX_TOP}")));
        }
        self.asset(cx, &query.asset).await?;
        let window = query.window(cx);
        let (mut top, mut total, mut scanned) = (Vec::new(), Tally::default(), 0);
        let mut page = PageQuery { limit: 999, order: Order::Ascending, after: None };
        let complete = loop {
            let found = self.list::<CounterDoc>(cx, &query.prefix(&window), &page).await?;
            scanned += found.data.len();
            for counter in &found.data {
                let tally = counter.doc.tally()?;
                total = total.checked_add(tally)?;
                top.push((last(&counter.key).to_owned(), tally));
            }
            // What cannot be among the first any more is not kept.
            top.sort_by(|(_, a), (_, b)| order(by, b, a));
            top.truncate(most);
            match found.next {
                None => break true,
                Some(_) if scanned >= MAX_SCANNED => break false,
                Some(next) => page.after = Some(next),
            }
        };
        let rows = self.named(cx, query.by, top).await?;
        let (start_ms, end_ms) = (window.start.unix_ms(), window.end.map(Timestamp::unix_ms));
        Ok(Top { start_ms, end_ms, rows, total: total.into(), scanned, complete })
    }

    /// One thing, window by window, at most [`MAX_WINDOWS`] of them.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`], [`ServiceError::NotFound`] for the asset and for what is no id, and the store's.
    pub async fn report_series(&self, cx: &Cx, query: &SeriesQuery) -> Result<Series, ServiceError> {
        self.asset(cx, &query.asset).await?;
        let id = counter_id(query.by, &query.id)?;
        let starts = starts(query)?;
        let key = |start: &Timestamp| {
            let at = counters::key((query.by, &query.asset), (query.over, *start), &id);
            record_key::<CounterDoc>(cx.tenant, &at)
        };
        let found = self.store().records(&starts.iter().map(key).collect::<Vec<_>>()).await?;
        let (mut windows, mut total) = (Vec::with_capacity(starts.len()), Tally::default());
        for (start, record) in starts.iter().zip(&found) {
            let tally = match record {
                Some(record) => read_document::<CounterDoc>(record)?.tally()?,
                None => Tally::default(),
            };
            total = total.checked_add(tally)?;
            windows.push(SeriesWindow { start_ms: start.unix_ms(), figures: tally.into() });
        }
        Ok(Series { id: query.id.clone(), windows, total: total.into() })
    }

    /// Rows with the names of what they are about.
    async fn named(
        &self,
        cx: &Cx,
        by: By,
        found: Vec<(String, Tally)>,
    ) -> Result<Vec<ReportRow>, ServiceError> {
        let key = |(id, _): &(String, Tally)| match by {
            By::Subject => record_key::<SubjectDoc>(cx.tenant, &outside::<SubjectId>(id)),
            By::Customer => record_key::<Customer>(cx.tenant, &outside::<CustomerId>(id)),
            By::Product => record_key::<ProductDoc>(cx.tenant, &outside::<ProductId>(id)),
            By::Vendor => record_key::<VendorDoc>(cx.tenant, id),
        };
        let docs = self.store().records(&found.iter().map(key).collect::<Vec<_>>()).await?;
        let mut rows = Vec::with_capacity(found.len());
        for ((id, tally), doc) in found.into_iter().zip(&docs) {
            let doc = doc.as_ref();
            let (id, name) = match by {
                By::Subject => (outside::<SubjectId>(&id), read::<SubjectDoc>(doc)?.map(|doc| doc.name)),
                By::Customer => {
                    let name = read::<Customer>(doc)?.map(|doc| doc.name.unwrap_or(doc.external_id));
                    (outside::<CustomerId>(&id), name)
                }
                By::Product => (outside::<ProductId>(&id), read::<ProductDoc>(doc)?.map(|doc| doc.name)),
                By::Vendor => {
                    let name = read::<VendorDoc>(doc)?.map(|doc| doc.name);
                    (name.clone().unwrap_or(id), name)
                }
            };
            rows.push(ReportRow { id, name, figures: tally.into() });
        }
        Ok(rows)
    }
}

fn read<T: Document>(record: Option<&farthing_ledger::record::Record>) -> Result<Option<T>, ServiceError> {
    record.map(read_document::<T>).transpose()
}

/// The id in a counter's key.
fn last(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}

/// An id of a counter's key as it is written outside.
fn outside<T: Named>(hex: &str) -> String {
    format!("{}_{hex}", T::PREFIX)
}

/// An id from outside as counters' keys have it.
fn counter_id(by: By, id: &str) -> Result<String, ServiceError> {
    let hex = |bits: u128| CounterpartyId::from_u128(bits).to_string();
    Ok(match by {
        By::Subject => hex(SubjectId::read(id)?.bits()),
        By::Customer => hex(CustomerId::read(id)?.bits()),
        By::Product => hex(ProductId::read(id)?.bits()),
        By::Vendor => vendor_id(id)?.to_string(),
    })
}

/// The first instants of the windows of a series.
fn starts(query: &SeriesQuery) -> Result<Vec<Timestamp>, ServiceError> {
    let last = Timestamp::from_unix_ms(query.to_ms);
    let mut window = query.over.period().window(Timestamp::from_unix_ms(query.from_ms));
    let mut starts = Vec::new();
    while window.start <= last {
        starts.push(window.start);
        if starts.len() > MAX_WINDOWS {
            return Err(ServiceError::invalid(
                "to_ms",
                format!("at most {MAX_WINDOWS} windows after from_ms"),
            ));
        }
        let next = window.next();
        if next == window {
            break;
        }
        window = next;
    }
    if starts.is_empty() {
        return Err(ServiceError::invalid("to_ms", "not before from_ms"));
    }
    Ok(starts)
}

/// Which of two is the greater, by what makes a top one.
fn order(by: TopBy, a: &Tally, b: &Tally) -> std::cmp::Ordering {
    let margin = |tally: &Tally| match tally.net() {
        Net::Plus(amount) => (true, amount.base()),
        // The more is lost, the less it is.
        Net::Minus(amount) => (false, u128::MAX - amount.base()),
    };
    match by {
        TopBy::Revenue => a.revenue.cmp(&b.revenue),
        TopBy::Cost => a.cost.cmp(&b.cost),
        TopBy::Margin => margin(a).cmp(&margin(b)),
        TopBy::Loss => margin(b).cmp(&margin(a)),
        TopBy::Refunded => a.refunded.cmp(&b.refunded),
        TopBy::Events => a.events.cmp(&b.events),
    }
}

#[cfg(test)]
mod tests;
