//! [`PaymentJournal`]: what happened to every payment, written before each step is taken. It decides nothing.
//!
//! A payment whose last entry is not a final one ([`PaymentState::is_final`]) has an unknown outcome, whatever ended the
//! process. That is the whole recovery: nothing needs to be written for a crash to be visible.
//!
//! # Credentials
//!
//! A credential is written in clear only where losing it loses money: before the broadcast for a payment that the rail moves
//! itself (mode `push`), and when the outcome is unknown for one that the seller takes (mode `pull`); never for a
//! proof of identity, and never for a payment that went well. With it the same payment can be presented again instead of a
//! second one. It is readable in the owner's file (0600) because a key to hide it would lie beside it; all that it can do is
//! pay what was agreed to whom it was agreed, or be served the one call in the owner's place. When a later entry is final, it is
//! removed. It is in no line of the journal itself, no `Debug` and no log.

mod entry;
mod file;
mod id;

pub use entry::{Agreed, JournalEntry, PaymentRecord, PaymentState, Step, StoredCredential, Target};
pub use file::FileJournal;
pub use id::PaymentId;

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
}

impl JournalError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Storage { .. } => "journal_failed",
            Self::Damaged { .. } => "journal_damaged",
        }
    }
}

/// Keeps the life of every payment. Every method may block on a file.
pub trait PaymentJournal: Send + Sync {
    /// Writes one entry, durably, before it returns.
    ///
    /// # Errors
    /// [`JournalError`].
    fn record(&self, entry: &JournalEntry) -> Result<(), JournalError>;

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
/// [`MemoryJournal::KEPT`]; an unknown outcome is never forgotten.
#[derive(Debug, Default)]
pub struct MemoryJournal {
    records: Mutex<Vec<PaymentRecord>>,
}

impl MemoryJournal {
    /// How many payments are kept at least.
    pub const KEPT: usize = 10_000;

    /// An empty journal.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl PaymentJournal for MemoryJournal {
    fn record(&self, entry: &JournalEntry) -> Result<(), JournalError> {
        // An entry is folded in without a step that can fail: a panic elsewhere leaves the records whole.
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        entry.fold_into(&mut records);
        // At twice the number, so that forgetting costs next to nothing a payment.
        if records.len() >= 2 * Self::KEPT {
            let mut excess = records.len() - Self::KEPT;
            records.retain(|record| {
                let forget = excess > 0 && record.state.is_final();
                excess -= usize::from(forget);
                !forget
            });
        }
        Ok(())
    }

    fn payments(&self) -> Result<Vec<PaymentRecord>, JournalError> {
        Ok(self.records.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

#[cfg(test)]
mod tests;
