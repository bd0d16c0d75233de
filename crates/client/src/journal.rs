//! [`PaymentJournal`]: what happened to every payment, written before each step is taken. It decides nothing.
//!
//! A payment whose last entry is not a final one ([`PaymentState::is_final`]) is open, whatever ended the process. That is the
//! whole recovery: nothing needs to be written for a crash to be visible. A process that is at work on a payment says so
//! ([`PaymentJournal::enter`]) in a way that ends with the process; an open payment that nobody is at work on was abandoned,
//! and may be taken up by anybody ([`PaymentJournal::adopt`]), by one at a time.
//!
//! An entry for a payment that is closed is refused. So a process that was thought dead and is not cannot send what somebody
//! else has written off meanwhile: it fails to write that it is about to.
//!
//! # Credentials
//!
//! A credential is written in clear before anything can be paid with it: before the broadcast for a payment that the rail
//! moves itself (mode `push`), before it is sent for one that the seller takes (mode `pull`); never for a proof of identity.
//! With it the same payment can be presented again instead of a second one. It is readable in the owner's file (0600)
//! because a key to hide it would lie beside it; all that it can do is pay what was agreed to whom it was agreed, or be served
//! the one call in the owner's place. When a later entry is final, it is removed. It is in no line of the journal itself, no
//! `Debug` and no log.

mod entry;
mod file;
mod id;
mod record;

pub use entry::{Agreed, AgreedShare, DecidedBy, JournalEntry, Step, StoredCredential, Target};
pub use file::FileJournal;
pub use id::PaymentId;
pub use record::{PaymentRecord, PaymentState};

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Why a journal did not write or answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The file could not be read or written.
    #[error("the payment journal {path} cannot be used: {why}")]
    Storage {
        /// Where it is.
        path: String,
        /// What went wrong.
        why: String,
    },
    /// A line that is not an entry.
    #[error("the payment journal {path} is damaged at line {line}: {why}")]
    Damaged {
        /// Where it is.
        path: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong, without the content.
        why: String,
    },
    /// The payment is closed, or was never begun: nothing more can happen to it.
    #[error("the payment {payment} is closed in the payment journal")]
    Closed {
        /// Which payment.
        payment: PaymentId,
    },
    /// Somebody else is at work on the payment.
    #[error("the payment {payment} is being worked on by another call")]
    InFlight {
        /// Which payment.
        payment: PaymentId,
    },
}

impl JournalError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Storage { .. } => "journal_failed",
            Self::Damaged { .. } => "journal_damaged",
            Self::Closed { .. } => "payment_closed",
            Self::InFlight { .. } => "payment_in_flight",
        }
    }
}

/// Keeps the life of every payment. Every method may block on a file.
pub trait PaymentJournal: Send + Sync {
    /// This process is at work on a payment that is about to begin, until [`PaymentJournal::leave`] or its own end.
    ///
    /// # Errors
    /// [`JournalError`].
    fn enter(&self, payment: &PaymentId) -> Result<(), JournalError>;

    /// Takes up an open payment that nobody is at work on, as [`PaymentJournal::enter`] does; none when it is closed, or
    /// somebody is.
    ///
    /// # Errors
    /// [`JournalError`].
    fn adopt(&self, payment: &PaymentId) -> Result<Option<PaymentRecord>, JournalError>;

    /// This process is no longer at work on the payment.
    fn leave(&self, payment: &PaymentId);

    /// Whether somebody is at work on the payment.
    ///
    /// # Errors
    /// [`JournalError`].
    fn is_in_flight(&self, payment: &PaymentId) -> Result<bool, JournalError>;

    /// Writes one entry, durably, before it returns. A payment begins with [`Step::Intended`].
    ///
    /// # Errors
    /// [`JournalError`]; [`JournalError::Closed`] when the payment is closed.
    fn record(&self, entry: &JournalEntry) -> Result<(), JournalError>;

    /// The open payments, the oldest first. Costs as much as there are of them, however long the journal is.
    ///
    /// # Errors
    /// [`JournalError`].
    fn open(&self) -> Result<Vec<PaymentRecord>, JournalError>;

    /// Every payment, in the order in which they began.
    ///
    /// # Errors
    /// [`JournalError`].
    fn payments(&self) -> Result<Vec<PaymentRecord>, JournalError>;

    /// One payment.
    ///
    /// # Errors
    /// [`JournalError`].
    fn payment(&self, id: &PaymentId) -> Result<Option<PaymentRecord>, JournalError> {
        Ok(self.payments()?.into_iter().find(|record| record.id == *id))
    }
}

/// A journal that lives as long as the process. It forgets the oldest payments that ended well, or never began, past
/// [`MemoryJournal::KEPT`]; an open one is never forgotten.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    state: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    records: Vec<PaymentRecord>,
    in_flight: BTreeSet<PaymentId>,
}

impl MemoryJournal {
    /// How many payments are kept at least.
    pub const KEPT: usize = 10_000;

    /// An empty journal.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn with<T>(&self, act: impl FnOnce(&mut Memory) -> T) -> T {
        // An entry is folded in without a step that can fail: a panic elsewhere leaves the records whole.
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Memory {
    /// At twice the number, so that forgetting costs next to nothing a payment.
    fn forget(&mut self) {
        if self.records.len() >= 2 * MemoryJournal::KEPT {
            let mut excess = self.records.len() - MemoryJournal::KEPT;
            self.records.retain(|record| {
                let forget = excess > 0 && record.state.is_final();
                excess -= usize::from(forget);
                !forget
            });
        }
    }

    fn open_record(&self, payment: &PaymentId) -> Option<&PaymentRecord> {
        // Open payments are young: look from the end.
        self.records.iter().rev().find(|record| record.id == *payment && !record.state.is_final())
    }
}

impl PaymentJournal for MemoryJournal {
    fn enter(&self, payment: &PaymentId) -> Result<(), JournalError> {
        let entered = self.with(|memory| memory.in_flight.insert(payment.clone()));
        if entered { Ok(()) } else { Err(JournalError::InFlight { payment: payment.clone() }) }
    }

    fn adopt(&self, payment: &PaymentId) -> Result<Option<PaymentRecord>, JournalError> {
        Ok(self.with(|memory| {
            let record = memory.open_record(payment).cloned()?;
            memory.in_flight.insert(payment.clone()).then_some(record)
        }))
    }

    fn leave(&self, payment: &PaymentId) {
        self.with(|memory| memory.in_flight.remove(payment));
    }

    fn is_in_flight(&self, payment: &PaymentId) -> Result<bool, JournalError> {
        Ok(self.with(|memory| memory.in_flight.contains(payment)))
    }

    fn record(&self, entry: &JournalEntry) -> Result<(), JournalError> {
        self.with(|memory| {
            let begins = matches!(entry.step, Step::Intended { .. });
            if !begins && memory.open_record(&entry.payment).is_none() {
                return Err(JournalError::Closed { payment: entry.payment.clone() });
            }
            entry.fold_into(&mut memory.records);
            memory.forget();
            Ok(())
        })
    }

    fn open(&self) -> Result<Vec<PaymentRecord>, JournalError> {
        Ok(self.with(|memory| {
            let open = memory.records.iter().filter(|record| !record.state.is_final());
            let told = open.map(|record| PaymentRecord {
                in_flight: memory.in_flight.contains(&record.id),
                ..record.clone()
            });
            told.collect()
        }))
    }

    fn payments(&self) -> Result<Vec<PaymentRecord>, JournalError> {
        Ok(self.with(|memory| memory.records.clone()))
    }
}

#[cfg(test)]
mod tests;
