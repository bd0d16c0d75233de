//! Subjects: the units of work that a customer recognises, with what was used for each: "research task #47: 4.20 USD", and the
//! calls beneath.
//!
//! A subject is named by its customer and the text by which the customer knows it. It comes into being with its first event, or is
//! made; its totals are counters, and its events an index by time.
//!
//! A subject may have a parent, which is said when it comes into being and never changes: so what is above one is known from its
//! record alone, and nothing can go in circles, because a parent is there before its child. Every event and every refund adds to the
//! counter of what is beneath each ancestor, in its commit: a tree's total is two counters, however many events it has.

use farthing_ledger::Timestamp;
use farthing_ledger::record::{Record, Table};
use serde::{Deserialize, Serialize};

use super::document::record_key;
use super::figures::Figures;
use super::names::{self, Named as _};
use super::usage::counters::{self, By, CounterDoc, Over};
use super::usage::{MAX_SUBJECT, UsageBySubject, UsageDoc};
use super::{ATTEMPTS, Billing, Cx, Document, Draft, Fate, Page, PageQuery, ServiceError, input};
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
    /// The one that it is a part of, then the one above that, and so on.
    #[serde(default, with = "names::many", skip_serializing_if = "Vec::is_empty")]
    pub ancestors: Vec<SubjectId>,
    /// When it was heard of first, in milliseconds since the Unix epoch.
    pub created_ms: u64,
}

impl Document for SubjectDoc {
    const TABLE: Table = Table::new("subject");
    const NAME: &'static str = "subject";
}

macro_rules! by_time {
    ($(#[$doc:meta] $name:ident $table:literal)*) => {
        $(#[$doc]
        #[derive(Debug, Clone, Serialize, Deserialize)]
        struct $name(SubjectDoc);

        impl Document for $name {
            const TABLE: Table = Table::new($table);
            const NAME: &'static str = "subject";
        }

        impl From<$name> for SubjectDoc {
            fn from(found: $name) -> Self {
                found.0
            }
        })*
    };
}

by_time! {
    /// A subject among those of its customer, by the time at which it was heard of.
    SubjectByCustomer "subject_by_customer"
    /// A subject among those right under its parent, by the same time.
    SubjectByParent "subject_by_parent"
}

/// The deepest a subject can be: with its ancestors it is at most so many.
pub const MAX_SUBJECTS_DEEP: usize = 8;

/// A unit of work to be made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewSubject {
    /// As the customer calls it, at most [`MAX_SUBJECT`] characters: no two of a customer's have one name.
    pub name: String,
    /// The one that it is a part of, as the customer calls it. It is there already, and stays the parent for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
}

/// A unit of work with what was used for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Subject {
    /// Which.
    #[serde(flatten)]
    pub subject: SubjectDoc,
    /// What was used for it and all beneath it, in each asset in which anything was.
    pub totals: Vec<SubjectTotal>,
}

/// What was used for a subject in one asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SubjectTotal {
    /// The asset's code.
    pub asset: String,
    /// Its own events: revenue, what was given back, cost, margin.
    #[serde(flatten)]
    pub figures: Figures,
    /// Its own and those of all beneath it.
    pub rolled_up: Figures,
}

/// A subject as somebody names it: whose, what it is called, and its parent when that is said.
#[derive(Debug, Clone, Copy)]
pub(super) struct Called<'a> {
    pub(super) customer: CustomerId,
    pub(super) name: &'a str,
    pub(super) parent: Option<&'a str>,
}

impl Billing {
    /// The subject with its totals.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], and the store's.
    pub async fn subject(&self, cx: &Cx, id: SubjectId) -> Result<Subject, ServiceError> {
        let doc = self.subject_doc(cx, id).await?;
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
        self.subjects_of::<SubjectByCustomer>(cx, &format!("{customer}/"), page).await
    }

    /// A page of the subjects right under one, with their totals, by the time at which they were heard of.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], and the store's.
    pub async fn list_subjects_under(
        &self,
        cx: &Cx,
        parent: SubjectId,
        page: &PageQuery,
    ) -> Result<Page<Subject>, ServiceError> {
        self.subject_doc(cx, parent).await?;
        self.subjects_of::<SubjectByParent>(cx, &format!("{parent}/"), page).await
    }

    /// Makes a subject. One that is there with the same parent is given back as it is.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`], [`ServiceError::NotFound`] for the customer and the parent; [`ServiceError::AlreadyExists`] when it
    /// has another parent; and the store's.
    pub async fn create_subject(
        &self,
        cx: &Cx,
        customer: CustomerId,
        new: &NewSubject,
    ) -> Result<Subject, ServiceError> {
        input::text("name", &new.name, MAX_SUBJECT)?;
        input::maybe("parent", new.parent.as_ref(), MAX_SUBJECT)?;
        let called = Called { customer, name: &new.name, parent: new.parent.as_deref() };
        for _ in 0..ATTEMPTS {
            if let Some(done) = self.replay(cx).await? {
                return Ok(done);
            }
            self.customer(cx, customer).await?;
            let mut draft = Draft::new();
            let doc = self.introduce_subject(cx, &mut draft, called).await?;
            if new.parent.is_none() && !doc.ancestors.is_empty() {
                return Err(other_parent(&new.name));
            }
            let made =
                self.with_totals(cx, vec![doc.clone()]).await?.pop().ok_or_else(|| no_subject(doc.id))?;
            if let Fate::Applied { .. } = self.commit(cx, draft, &made).await? {
                return Ok(made);
            }
        }
        Err(ServiceError::Contention)
    }

    async fn subjects_of<T: Document + Into<SubjectDoc>>(
        &self,
        cx: &Cx,
        prefix: &str,
        page: &PageQuery,
    ) -> Result<Page<Subject>, ServiceError> {
        let Page { data, next } = self.list::<T>(cx, prefix, page).await?;
        let docs = data.into_iter().map(|found| found.doc.into()).collect();
        Ok(Page { data: self.with_totals(cx, docs).await?, next })
    }

    async fn subject_doc(&self, cx: &Cx, id: SubjectId) -> Result<SubjectDoc, ServiceError> {
        Ok(self.find::<SubjectDoc>(cx, &id.text()).await?.ok_or_else(|| no_subject(id))?.doc)
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
        self.subject_doc(cx, id).await?;
        self.indexed::<UsageBySubject>(cx, &format!("{id}/"), page).await
    }

    /// The subject that is called so; one that was not heard of before is written down.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] for a parent that is not there; [`ServiceError::AlreadyExists`] when it has another;
    /// [`ServiceError::Invalid`] when it would be too deep; and the store's.
    pub(super) async fn introduce_subject(
        &self,
        cx: &Cx,
        draft: &mut Draft,
        called: Called<'_>,
    ) -> Result<SubjectDoc, ServiceError> {
        let Called { customer, name, parent } = called;
        let id = SubjectId::named(customer, name);
        let parent_id = parent.map(|parent| SubjectId::named(customer, parent));
        if let Some(found) = self.find::<SubjectDoc>(cx, &id.text()).await? {
            let same = parent_id.is_none_or(|parent| found.doc.ancestors.first() == Some(&parent));
            return if same { Ok(found.doc) } else { Err(other_parent(name)) };
        }
        let ancestors = match parent_id {
            Some(parent) => {
                let above = self.subject_doc(cx, parent).await?;
                std::iter::once(parent).chain(above.ancestors).collect()
            }
            None => Vec::new(),
        };
        if ancestors.len() >= MAX_SUBJECTS_DEEP {
            let why = format!("at most {MAX_SUBJECTS_DEEP} units of work are in one another");
            return Err(ServiceError::invalid("parent", why));
        }
        let doc = SubjectDoc { id, customer, name: name.to_owned(), ancestors, created_ms: cx.now.unix_ms() };
        draft.create(cx, &id.text(), &doc)?;
        let at = format!("{:012x}/{id}", doc.created_ms);
        draft.create(cx, &format!("{customer}/{at}"), &SubjectByCustomer(doc.clone()))?;
        if let Some(parent) = parent_id {
            draft.create(cx, &format!("{parent}/{at}"), &SubjectByParent(doc.clone()))?;
        }
        Ok(doc)
    }

    /// What is above a subject that an event has.
    pub(super) async fn ancestors(&self, cx: &Cx, id: SubjectId) -> Result<Vec<SubjectId>, ServiceError> {
        Ok(self.subject_doc(cx, id).await?.ancestors)
    }

    /// Reads the counters of many subjects, in every asset of the tenant, at once.
    async fn with_totals(&self, cx: &Cx, docs: Vec<SubjectDoc>) -> Result<Vec<Subject>, ServiceError> {
        let assets = self.list_assets(cx, &PageQuery::default()).await?.data;
        let codes: Vec<&str> = assets.iter().map(|asset| asset.asset.code()).collect();
        let all = (Over::All, Timestamp::EPOCH);
        let mut subjects = Vec::with_capacity(docs.len());
        for doc in docs {
            let hex = doc.id.to_string();
            let own = |code: &&str| counters::key((By::Subject, code), all, &hex);
            let beneath = |code: &&str| counters::beneath_key(code, doc.id);
            let keys = codes.iter().map(own).chain(codes.iter().map(beneath));
            let keys: Vec<_> = keys.map(|key| record_key::<CounterDoc>(cx.tenant, &key)).collect();
            let found = self.store().records(&keys).await?;
            let read = |record: &Option<Record>| match record {
                Some(record) => super::document::read_document::<CounterDoc>(record)?.tally().map(Some),
                None => Ok(None),
            };
            let (own, beneath) = found.split_at(codes.len().min(found.len()));
            let mut totals = Vec::new();
            for (code, (own, beneath)) in codes.iter().zip(own.iter().zip(beneath)) {
                let (own, beneath) = (read(own)?, read(beneath)?);
                if own.is_some() || beneath.is_some() {
                    let (own, beneath) = (own.unwrap_or_default(), beneath.unwrap_or_default());
                    let (figures, rolled_up) = (own.into(), own.checked_add(beneath)?.into());
                    totals.push(SubjectTotal { asset: (*code).to_owned(), figures, rolled_up });
                }
            }
            subjects.push(Subject { subject: doc, totals });
        }
        Ok(subjects)
    }
}

fn other_parent(name: &str) -> ServiceError {
    ServiceError::AlreadyExists { what: "subject, with another parent:", id: name.to_owned() }
}

fn no_subject(id: SubjectId) -> ServiceError {
    ServiceError::NotFound { what: SubjectDoc::NAME, id: id.text() }
}

#[cfg(test)]
mod tests;
