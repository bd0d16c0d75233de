//! [`FileBook`]: a book in a file, shared by any number of processes: one lock, one small JSON document, replaced whole.

use std::path::{Path, PathBuf};

use super::counters::Counters;
use super::{Draw, SpendBook, SpendError, Spent};
use crate::PaymentId;
use crate::file::{self, Guarded};

/// A book in a file. Every step takes the lock beside it, reads, decides, and replaces the file durably.
#[derive(Debug)]
pub struct FileBook {
    path: PathBuf,
}

impl FileBook {
    /// The book at `path`; the file is made by the first payment.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where the book is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn read(&self) -> Result<Counters, SpendError> {
        let Some(bytes) = file::read(&self.path).map_err(|error| self.storage(&error))? else {
            return Ok(Counters::default());
        };
        serde_json::from_slice(&bytes).map_err(|error| SpendError::Storage {
            why: format!(
                "the spend book {} is damaged ({error}); restore it, or move it away to start counting from nothing",
                self.path.display()
            ),
        })
    }

    fn change<T>(
        &self,
        decide: impl FnOnce(&mut Counters) -> Result<T, SpendError>,
    ) -> Result<T, SpendError> {
        let _lock = Guarded::exclusive(&self.path).map_err(|error| self.storage(&error))?;
        let before = self.read()?;
        let mut after = before.clone();
        let answer = decide(&mut after)?;
        if after != before {
            let json =
                serde_json::to_vec(&after).map_err(|error| SpendError::Storage { why: error.to_string() })?;
            file::replace(&self.path, &json).map_err(|error| self.storage(&error))?;
        }
        Ok(answer)
    }

    fn storage(&self, error: &std::io::Error) -> SpendError {
        SpendError::Storage { why: format!("the spend book {} cannot be used: {error}", self.path.display()) }
    }
}

impl SpendBook for FileBook {
    fn hold(&self, payment: &PaymentId, draws: &[Draw]) -> Result<(), SpendError> {
        self.change(|counters| counters.hold(payment, draws))
    }

    fn check(&self, draws: &[Draw]) -> Result<(), SpendError> {
        // The file is replaced whole, so that a reader needs no lock.
        self.read()?.check(draws)
    }

    fn confirm(&self, payment: &PaymentId) -> Result<(), SpendError> {
        self.change(|counters| {
            counters.confirm(payment);
            Ok(())
        })
    }

    fn release(&self, payment: &PaymentId) -> Result<(), SpendError> {
        self.change(|counters| {
            counters.release(payment);
            Ok(())
        })
    }

    fn spent(&self, counter: &str) -> Result<Spent, SpendError> {
        Ok(self.read()?.spent(counter))
    }
}
