//! [`FileBook`]: a book in a file, shared by any number of processes: one lock, one small JSON document, replaced whole.
//!
//! The document is followed by a line with its SHA-256, so that damage is seen and never counted with. The lock's file says
//! that there was a book, so that a deleted one is not taken for a fresh start.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use farthing_protocol::UnixMs;
use sha2::{Digest, Sha256};

use super::counters::Counters;
use super::{Draw, SpendBook, SpendError, Spending, Spent};
use crate::PaymentId;
use crate::file::{self, Guarded};

/// What the lock's file says once there is a book.
const THERE_IS_A_BOOK: &[u8] = b"there is a book beside this file\n";
/// The start of the line that follows the document.
const SEAL: &[u8] = b"\nsha256 ";

/// A book in a file. Every step takes the lock beside it, reads, decides, and replaces the file durably.
#[derive(Debug)]
pub struct FileBook {
    path: PathBuf,
    witness: Option<PathBuf>,
}

impl FileBook {
    /// The book at `path`; the file is made by the first payment.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), witness: None }
    }

    /// Names a file that only ever exists when payments were made, such as a payment journal: where it is, a book that is not
    /// there was deleted.
    #[must_use]
    pub fn witnessed_by(mut self, path: impl Into<PathBuf>) -> Self {
        self.witness = Some(path.into());
        self
    }

    /// Where the book is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Counts anew from nothing but `spendings`, in the place of whatever is there.
    ///
    /// # Errors
    /// [`SpendError::Storage`].
    pub fn recount(&self, spendings: Vec<Spending>, now: UnixMs) -> Result<(), SpendError> {
        let mut lock = Guarded::exclusive(&self.path).map_err(|error| self.storage(&error))?;
        let mut counters = Counters::default();
        for spending in spendings {
            counters.recall(spending);
        }
        counters.tidy(now);
        self.write(&counters).and_then(|()| mark(&mut lock)).map_err(|error| self.storage(&error))
    }

    fn read(&self) -> Result<Counters, SpendError> {
        let bytes = file::read(&self.path).map_err(|error| self.storage(&error))?;
        match bytes {
            Some(bytes) => unseal(&bytes)
                .map_err(|why| SpendError::Damaged { path: self.path.display().to_string(), why }),
            None if self.was_there() => Err(SpendError::Missing { path: self.path.display().to_string() }),
            None => Ok(Counters::default()),
        }
    }

    /// Whether something shows that there was a book.
    fn was_there(&self) -> bool {
        let marked = file::read(&file::lock_path(&self.path)).ok().flatten();
        marked.is_some_and(|bytes| !bytes.is_empty())
            || self.witness.as_ref().is_some_and(|witness| witness.exists())
    }

    fn change<T>(
        &self,
        decide: impl FnOnce(&mut Counters) -> Result<T, SpendError>,
    ) -> Result<T, SpendError> {
        let mut lock = Guarded::exclusive(&self.path).map_err(|error| self.storage(&error))?;
        let before = self.read()?;
        let mut after = before.clone();
        let answer = decide(&mut after)?;
        if after != before || !self.path.exists() {
            // The book first: a marker without a book says that it was deleted.
            self.write(&after).and_then(|()| mark(&mut lock)).map_err(|error| self.storage(&error))?;
        }
        Ok(answer)
    }

    fn write(&self, counters: &Counters) -> io::Result<()> {
        file::replace(&self.path, &seal(serde_json::to_vec(counters)?))
    }

    fn storage(&self, error: &io::Error) -> SpendError {
        SpendError::Storage { why: format!("the spend book {} cannot be used: {error}", self.path.display()) }
    }
}

/// Says in the lock's file that there is a book.
fn mark(lock: &mut Guarded) -> io::Result<()> {
    let file = lock.file();
    if file.metadata()?.len() > 0 {
        return Ok(());
    }
    file.write_all(THERE_IS_A_BOOK)?;
    file.sync_data()
}

fn seal(mut document: Vec<u8>) -> Vec<u8> {
    let digest = hex::encode(Sha256::digest(&document));
    document.extend_from_slice(SEAL);
    document.extend_from_slice(digest.as_bytes());
    document.push(b'\n');
    document
}

fn unseal(bytes: &[u8]) -> Result<Counters, String> {
    let broken = || "its checksum is missing: it was cut short, or written by something else".to_owned();
    let at = bytes.windows(SEAL.len()).rposition(|window| window == SEAL).ok_or_else(broken)?;
    let (document, rest) = bytes.split_at(at);
    let digest = rest.get(SEAL.len()..rest.len() - 1).ok_or_else(broken)?;
    if digest != hex::encode(Sha256::digest(document)).as_bytes() {
        return Err("its checksum does not fit its content".to_owned());
    }
    serde_json::from_slice(document).map_err(|error| error.to_string())
}

impl SpendBook for FileBook {
    fn hold(&self, payment: &PaymentId, draws: &[Draw], now: UnixMs) -> Result<(), SpendError> {
        match self.change(|counters| counters.hold(payment, draws, now)) {
            // Nothing is to be counted: a book that is gone is told by the first payment that is.
            Err(SpendError::Missing { .. }) if draws.is_empty() => Ok(()),
            held => held,
        }
    }

    fn check(&self, draws: &[Draw], now: UnixMs) -> Result<(), SpendError> {
        // The file is replaced whole, so that a reader needs no lock.
        self.read()?.check(draws, now)
    }

    fn confirm(&self, payment: &PaymentId, now: UnixMs) -> Result<(), SpendError> {
        self.change(|counters| {
            counters.confirm(payment, now);
            Ok(())
        })
    }

    fn release(&self, payment: &PaymentId) -> Result<(), SpendError> {
        self.change(|counters| {
            counters.release(payment);
            Ok(())
        })
    }

    fn spent(&self, counter: &str, now: UnixMs) -> Result<Spent, SpendError> {
        Ok(self.read()?.spent(counter, now))
    }

    fn held(&self) -> Result<Vec<PaymentId>, SpendError> {
        Ok(self.read()?.held())
    }
}
