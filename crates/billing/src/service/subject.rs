//! Subjects: the units of work that a customer recognises, with what was used for each: "research task #47: 4.20 USD", and the
//! calls beneath.
//!
//! A subject is named by its customer and the text by which the customer knows it. It comes into being with its first event;
//! its totals are counters, and its events an index by time.

use farthing_ledger::Timestamp;
use farthing_ledger::record::Table;
use serde::{Deserialize, Serialize};

use super::document::record_key;
use super::figures::Figures;
use super::names::{self, Named as _};
use super::usage::counters::{self, By, CounterDoc, Over};
use super::usage::{UsageBySubject, UsageDoc};
use super::{Billing, Cx, Document, Draft, Page, PageQuery, ServiceError};
use crate::id::{CustomerId, SubjectId};

/// A unit of work, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SubjectDoc {
    /// Its name here.
    #[serde(with = "names::text")]
    pub id: SubjectId,
    /// Whose.
    #[serde(with = "names::text")]
    pub customer: CustomerId,
    /// As the customer calls it.
    pub name: String,
    /// When it was heard of first, in milliseconds since the Unix epoch.
    pub created_ms: u64,
}

impl Document for SubjectDoc {
    const TABLE: Table = Table::new("subject");
    const NAME: &'static str = "subject";
}

/// A subject among those of its customer, by the time at which it was heard of.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct SubjectByCustomer(SubjectDoc);

impl Document for SubjectByCustomer {
    const TABLE: Table = Table::new("subject_by_customer");
    const NAME: &'static str = "subject";
}

/// A unit of work with what was used for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Subject {
    /// Which.
    #[serde(flatten)]
    pub subject: SubjectDoc,
    /// What was used for it in all, in each asset in which anything was.
    pub totals: Vec<SubjectTotal>,
}

/// What was used for a subject in one asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SubjectTotal {
    /// The asset's code.
    pub asset: String,
    /// Revenue, what was given back, cost, margin.
    #[serde(flatten)]
    pub figures: Figures,
}

impl Billing {
    /// The subject with its totals.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], and the store's.
    pub async fn subject(&self, cx: &Cx, id: SubjectId) -> Result<Subject, ServiceError> {
        let doc = self.find::<SubjectDoc>(cx, &id.text()).await?.ok_or_else(|| no_subject(id))?.doc;
        let mut found = self.with_totals(cx, vec![doc]).await?;
        found.pop().ok_or_else(|| no_subject(id))
    }

    /// A page of a customer's subjects with their totals, by the time at which they were heard of.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_subjects(
        &self,
        cx: &Cx,
        customer: CustomerId,
        page: &PageQuery,
    ) -> Result<Page<Subject>, ServiceError> {
        let Page { data, next } = self.list::<SubjectByCustomer>(cx, &format!("{customer}/"), page).await?;
        let docs = data.into_iter().map(|found| found.doc.0).collect();
        Ok(Page { data: self.with_totals(cx, docs).await?, next })
    }

    /// A page of the events of a subject, by the time at which they occurred.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], and the store's.
    pub async fn list_subject_usage(
        &self,
        cx: &Cx,
        id: SubjectId,
        page: &PageQuery,
    ) -> Result<Page<UsageDoc>, ServiceError> {
        if self.find::<SubjectDoc>(cx, &id.text()).await?.is_none() {
            return Err(no_subject(id));
        }
        self.indexed::<UsageBySubject>(cx, &format!("{id}/"), page).await
    }

    /// Writes down a subject that was not heard of before.
    pub(super) async fn introduce_subject(
        &self,
        cx: &Cx,
        draft: &mut Draft,
        (customer, name): (CustomerId, Option<&str>),
    ) -> Result<(), ServiceError> {
        let Some(name) = name else { return Ok(()) };
        let id = SubjectId::named(customer, name);
        if self.find::<SubjectDoc>(cx, &id.text()).await?.is_some() {
            return Ok(());
        }
        let doc = SubjectDoc { id, customer, name: name.to_owned(), created_ms: cx.now.unix_ms() };
        draft.create(cx, &id.text(), &doc)?;
        let at = format!("{customer}/{:012x}/{id}", doc.created_ms);
        draft.create(cx, &at, &SubjectByCustomer(doc))?;
        Ok(())
    }

    /// Reads the counters of many subjects, in every asset of the tenant, at once.
    async fn with_totals(&self, cx: &Cx, docs: Vec<SubjectDoc>) -> Result<Vec<Subject>, ServiceError> {
        let assets = self.list_assets(cx, &PageQuery::default()).await?.data;
        let codes: Vec<&str> = assets.iter().map(|asset| asset.asset.code()).collect();
        let all = (Over::All, Timestamp::EPOCH);
        let mut subjects = Vec::with_capacity(docs.len());
        for doc in docs {
            let key = |code: &&str| {
                let at = counters::key((By::Subject, code), all, &doc.id.to_string());
                record_key::<CounterDoc>(cx.tenant, &at)
            };
            let found = self.store().records(&codes.iter().map(key).collect::<Vec<_>>()).await?;
            let mut totals = Vec::new();
            for (code, record) in codes.iter().zip(&found) {
                let Some(record) = record else { continue };
                let tally = super::document::read_document::<CounterDoc>(record)?.tally()?;
                totals.push(SubjectTotal { asset: (*code).to_owned(), figures: tally.into() });
            }
            subjects.push(Subject { subject: doc, totals });
        }
        Ok(subjects)
    }
}

fn no_subject(id: SubjectId) -> ServiceError {
    ServiceError::NotFound { what: SubjectDoc::NAME, id: id.text() }
}
