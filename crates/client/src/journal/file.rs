//! [`FileJournal`]: a journal in an append-only file of JSON lines (0600), shared by any number of processes.
//!
//! Every entry is appended under a lock and synced. A line that a crash cut short is passed over, and the next entry starts
//! on a line of its own. Credentials lie in a folder beside it (`<name>.credentials`, 0700), one file for each open payment.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::{JournalEntry, JournalError, PaymentId, PaymentJournal, PaymentRecord, StoredCredential};
use crate::file::{self, Guarded};

/// A journal in a file.
#[derive(Debug)]
pub struct FileJournal {
    path: PathBuf,
}

impl FileJournal {
    /// The journal at `path`; the file is made by the first payment.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Where the journal is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn append(&self, entry: &JournalEntry) -> io::Result<()> {
        let mut line = serde_json::to_vec(entry)?;
        line.push(b'\n');
        let existed = self.path.exists();
        let mut file = file::private().create(true).append(true).read(true).open(&self.path)?;
        if ends_mid_line(&mut file)? {
            line.insert(0, b'\n');
        }
        file.write_all(&line)?;
        file.sync_data()?;
        if existed { Ok(()) } else { file::sync_directory(file::parent(&self.path)) }
    }

    fn entries(&self) -> Result<Vec<JournalEntry>, JournalError> {
        let bytes = file::read(&self.path).map_err(|error| self.storage(&error))?.unwrap_or_default();
        let mut entries = Vec::new();
        for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
            match serde_json::from_slice(line) {
                Ok(entry) => entries.push(entry),
                // Cut short by a crash: the step that it announces was never taken.
                Err(error) if error.is_eof() => {}
                Err(error) => {
                    return Err(JournalError::Damaged {
                        path: self.path.display().to_string(),
                        line: index + 1,
                        // Without serde's words, which may repeat the content.
                        why: format!("column {} is not what an entry has there", error.column()),
                    });
                }
            }
        }
        Ok(entries)
    }

    /// Where the credential of an open payment is kept: a file of its own, which is removed when the payment ends.
    fn credential_path(&self, payment: &PaymentId) -> PathBuf {
        let mut folder = self.path.file_name().unwrap_or_default().to_owned();
        folder.push(".credentials");
        self.path.with_file_name(folder).join(payment.as_str())
    }

    fn keep_credential(&self, payment: &PaymentId, credential: &StoredCredential) -> io::Result<()> {
        let json = Zeroizing::new(serde_json::to_vec(credential)?);
        file::replace(&self.credential_path(payment), &json)
    }

    fn forget_credential(&self, payment: &PaymentId) -> io::Result<()> {
        match fs::remove_file(self.credential_path(payment)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn kept_credential(&self, payment: &PaymentId) -> Result<Option<StoredCredential>, JournalError> {
        let path = self.credential_path(payment);
        let Some(bytes) = file::read(&path).map_err(|error| self.storage(&error))? else { return Ok(None) };
        let bytes = Zeroizing::new(bytes);
        serde_json::from_slice(&bytes).map(Some).map_err(|error| JournalError::Damaged {
            path: path.display().to_string(),
            line: error.line(),
            why: "it is not a stored credential".to_owned(),
        })
    }

    fn storage(&self, error: &io::Error) -> JournalError {
        JournalError::Storage { path: self.path.display().to_string(), why: error.to_string() }
    }
}

fn ends_mid_line(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0_u8; 1];
    file.read_exact(&mut last)?;
    Ok(last[0] != b'\n')
}

impl PaymentJournal for FileJournal {
    fn record(&self, entry: &JournalEntry) -> Result<(), JournalError> {
        let write = || -> io::Result<()> {
            let _lock = Guarded::exclusive(&self.path)?;
            // The credential first: an entry never promises one that is not there.
            if let Some(credential) = entry.step.credential() {
                self.keep_credential(&entry.payment, credential)?;
            }
            self.append(entry)?;
            if entry.step.is_final() { self.forget_credential(&entry.payment) } else { Ok(()) }
        };
        write().map_err(|error| self.storage(&error))
    }

    fn payments(&self) -> Result<Vec<PaymentRecord>, JournalError> {
        let mut records = Vec::new();
        for entry in self.entries()? {
            entry.fold_into(&mut records);
        }
        for record in records.iter_mut().filter(|record| !record.state.is_final()) {
            record.credential = self.kept_credential(&record.id)?;
        }
        Ok(records)
    }
}
