//! [`Draft`]: ledger steps, records and events that one call wants to happen together; and [`Fate`]: what became of it.

use farthing_ledger::record::{Expect, RecordChange, RecordKey, Version};
use farthing_ledger::{Outcome, Step};

use super::document::{Document, Stored, record_key};
use super::event::{self, Event, EventKind};
use super::{Cx, ServiceError};

/// What is to happen as one.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    /// Asked of the ledger, in order.
    pub steps: Vec<Step>,
    /// Written beside it.
    pub records: Vec<RecordChange>,
}

/// What became of a [`Draft`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// All of it is durable.
    Applied {
        /// One outcome a step.
        outcomes: Vec<Outcome>,
        /// The commit.
        version: Version,
    },
    /// The ledger rejected a step; no record changed.
    Refused {
        /// One outcome a step.
        outcomes: Vec<Outcome>,
    },
    /// Something that was read has changed: nothing happened. Read again, and make another draft.
    Again,
}

impl Draft {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks something of the ledger.
    pub fn steps(&mut self, steps: impl IntoIterator<Item = Step>) -> &mut Self {
        self.steps.extend(steps);
        self
    }

    /// Writes a document that must not exist.
    ///
    /// # Errors
    /// [`ServiceError::Unreadable`] when it cannot be written as JSON.
    pub fn create<T: Document>(&mut self, cx: &Cx, key: &str, doc: &T) -> Result<&mut Self, ServiceError> {
        self.put(record_key::<T>(cx.tenant, key), Expect::Absent, doc)
    }

    /// Replaces a document that was read, and has not changed since.
    ///
    /// # Errors
    /// As [`Draft::create`].
    pub fn replace<T: Document>(
        &mut self,
        cx: &Cx,
        was: &Stored<T>,
        doc: &T,
    ) -> Result<&mut Self, ServiceError> {
        self.put(record_key::<T>(cx.tenant, &was.key), Expect::Revision(was.revision), doc)
    }

    /// Writes a document whatever was there.
    ///
    /// # Errors
    /// As [`Draft::create`].
    pub fn write<T: Document>(&mut self, cx: &Cx, key: &str, doc: &T) -> Result<&mut Self, ServiceError> {
        self.put(record_key::<T>(cx.tenant, key), Expect::Anything, doc)
    }

    /// Depends on a document that was read: when it has changed, nothing happens.
    pub fn check<T: Document>(&mut self, cx: &Cx, was: &Stored<T>) -> &mut Self {
        let at = record_key::<T>(cx.tenant, &was.key);
        self.records.push(RecordChange::Check { at, expect: Expect::Revision(was.revision) });
        self
    }

    /// Deletes a document that was read, and has not changed since.
    pub fn delete<T: Document>(&mut self, cx: &Cx, was: &Stored<T>) -> &mut Self {
        let at = record_key::<T>(cx.tenant, &was.key);
        self.records.push(RecordChange::Delete { at, expect: Expect::Revision(was.revision) });
        self
    }

    /// Deletes a document, whatever it says, if it is there.
    pub fn forget<T: Document>(&mut self, cx: &Cx, key: &str) {
        let at = record_key::<T>(cx.tenant, key);
        self.records.push(RecordChange::Delete { at, expect: Expect::Anything });
    }

    /// Adds to a counter.
    pub(super) fn add<T: Document>(&mut self, cx: &Cx, key: &str, numbers: Vec<i128>) {
        let at = record_key::<T>(cx.tenant, key);
        self.records.push(RecordChange::Add { at, numbers });
    }

    /// Tells the world: an event, which streams and lists are made from, and its twin in the outbox, which webhooks are made from.
    ///
    /// # Errors
    /// As [`Draft::create`].
    pub fn tell<T: serde::Serialize>(
        &mut self,
        cx: &Cx,
        kind: EventKind,
        data: &T,
    ) -> Result<&mut Self, ServiceError> {
        let at = self.records.len();
        let (key, body) = event::new(cx, (kind, at), data)?;
        let at = record_key::<Event>(cx.tenant, &key);
        self.records.push(event::undispatched(&at));
        self.records.push(RecordChange::Put { at, expect: Expect::Absent, body });
        Ok(self)
    }

    fn put<T: Document>(
        &mut self,
        at: RecordKey,
        expect: Expect,
        doc: &T,
    ) -> Result<&mut Self, ServiceError> {
        let body = serde_json::to_string(doc).map_err(|error| ServiceError::unreadable(T::NAME, &error))?;
        self.records.push(RecordChange::Put { at, expect, body });
        Ok(self)
    }
}
