//! [`FileJournal`]: a journal in an append-only file of JSON lines (0600), shared by any number of processes.
//!
//! Every entry is appended under a lock and synced. A line that a crash cut short is passed over, and the next entry starts
//! on a line of its own. Open payments lie in a folder beside it (`<name>.open`, 0700): `<id>.json` holds a payment's entries and
//! its credential, and is there as long as the payment is open; `<id>.live` is locked by the process that is at work on it.
//!
//! The open file is written before the line, and what it says goes before what lines say: a crash between the two loses
//! nothing. With a final entry it is written once more, without the credential, and removed after the line.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{JournalEntry, JournalError, PaymentId, PaymentJournal, PaymentRecord, Step, StoredCredential};
use crate::file::{self, Guarded};

/// A journal in a file.
#[derive(Debug)]
pub struct FileJournal {
    path: PathBuf,
    /// The locks of the payments that this journal is at work on.
    flights: Mutex<BTreeMap<PaymentId, File>>,
}

/// What is kept of an open payment.
#[derive(Serialize, Deserialize)]
struct OpenPayment {
    /// One of a kind, in the order in which they were first written.
    entries: Vec<JournalEntry>,
    credential: Option<StoredCredential>,
}

impl OpenPayment {
    fn take(&mut self, entry: &JournalEntry) {
        let kind = std::mem::discriminant(&entry.step);
        // A payment that is presented again and again would grow. What to look for on the rail is said once.
        let mut entry = entry.clone();
        if let Step::Unknown { reference, .. } = &mut entry.step {
            let said = self.entries.iter().find_map(|other| match &other.step {
                Step::Unknown { reference, .. } => reference.clone(),
                _ => None,
            });
            *reference = reference.take().or(said);
        }
        self.entries.retain(|other| std::mem::discriminant(&other.step) != kind);
        self.entries.push(entry.clone());
        if let Some(credential) = entry.step.credential() {
            self.credential = Some(credential.clone());
        }
        if entry.step.is_final() {
            self.credential = None;
        }
    }

    fn record(&self) -> Option<PaymentRecord> {
        let mut entries = self.entries.iter();
        let mut record = entries.next()?.begins()?;
        entries.for_each(|entry| record.take(entry));
        if !record.state.is_final() {
            record.credential.clone_from(&self.credential);
        }
        Some(record)
    }
}

impl FileJournal {
    /// The journal at `path`; the file is made by the first payment.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), flights: Mutex::default() }
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
                // Cut short by a crash: the step that it announces was never taken, or is in the open file.
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

    /// Where open payments are.
    fn folder(&self) -> PathBuf {
        let mut folder = self.path.file_name().unwrap_or_default().to_owned();
        folder.push(".open");
        self.path.with_file_name(folder)
    }

    fn open_path(&self, payment: &PaymentId) -> PathBuf {
        self.folder().join(format!("{payment}.json"))
    }

    fn live_path(&self, payment: &PaymentId) -> PathBuf {
        self.folder().join(format!("{payment}.live"))
    }

    fn read_open(&self, path: &Path) -> Result<Option<OpenPayment>, JournalError> {
        let Some(bytes) = file::read(path).map_err(|error| self.storage(&error))? else { return Ok(None) };
        let bytes = Zeroizing::new(bytes);
        serde_json::from_slice(&bytes).map(Some).map_err(|error| JournalError::Damaged {
            path: path.display().to_string(),
            line: error.line(),
            why: "it is not what is kept of an open payment".to_owned(),
        })
    }

    fn write_open(&self, payment: &PaymentId, open: &OpenPayment) -> Result<(), JournalError> {
        let write = || file::replace(&self.open_path(payment), &Zeroizing::new(serde_json::to_vec(open)?));
        write().map_err(|error| self.storage(&error))
    }

    /// Waits for every other user of the journal.
    fn lock(&self) -> Result<Guarded, JournalError> {
        Guarded::exclusive(&self.path).map_err(|error| self.storage(&error))
    }

    /// Locks the payment for this process; false when somebody is at work on it. The journal is locked.
    fn try_enter(&self, payment: &PaymentId) -> Result<bool, JournalError> {
        let enter = || -> io::Result<bool> {
            file::make_directory(&self.folder())?;
            let live = file::private().create(true).append(true).open(self.live_path(payment))?;
            match live.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(false),
                Err(TryLockError::Error(error)) => return Err(error),
            }
            self.flights.lock().unwrap_or_else(PoisonError::into_inner).insert(payment.clone(), live);
            Ok(true)
        };
        enter().map_err(|error| self.storage(&error))
    }

    /// Whether somebody holds the payment's lock. The journal is locked.
    fn is_live(&self, payment: &PaymentId) -> Result<bool, JournalError> {
        let look = || match file::private().append(true).open(self.live_path(payment)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
            Ok(live) => match live.try_lock() {
                // It is let go of when the file is closed, here.
                Ok(()) => Ok(false),
                Err(TryLockError::WouldBlock) => Ok(true),
                Err(TryLockError::Error(error)) => Err(error),
            },
        };
        look().map_err(|error| self.storage(&error))
    }

    /// Every open file, by payment.
    fn open_files(&self) -> Result<BTreeMap<PaymentId, OpenPayment>, JournalError> {
        let mut found = BTreeMap::new();
        let listed = match fs::read_dir(self.folder()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
            listed => listed.map_err(|error| self.storage(&error))?,
        };
        for entry in listed {
            let name = entry.map_err(|error| self.storage(&error))?.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".json")).and_then(PaymentId::parse);
            let Some(id) = id else { continue };
            // It may have been closed meanwhile.
            if let Some(open) = self.read_open(&self.open_path(&id))? {
                found.insert(id, open);
            }
        }
        Ok(found)
    }

    /// Removes what was locked for payments that never began, by processes that died. The journal is locked, so that nobody
    /// is between making such a file and locking it.
    fn remove_left_locks(&self) -> Result<(), JournalError> {
        let Ok(listed) = fs::read_dir(self.folder()) else { return Ok(()) };
        for entry in listed.flatten() {
            let name = entry.file_name();
            let id = name.to_str().and_then(|name| name.strip_suffix(".live")).and_then(PaymentId::parse);
            if let Some(id) = id
                && !self.open_path(&id).exists()
                && !self.is_live(&id)?
            {
                // Left, it does no harm.
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }

    /// Ends what a crash left half closed: the line, then the file. The journal is locked.
    fn finish_closing(&self, payment: &PaymentId, open: &OpenPayment) -> Result<(), JournalError> {
        let last = open.entries.last().map_or(Ok(()), |entry| self.append(entry));
        last.and_then(|()| fs::remove_file(self.open_path(payment))).map_err(|error| self.storage(&error))
    }

    /// The open payment as lines alone tell it: somebody has removed its file.
    fn lines_of(&self, payment: &PaymentId) -> Result<Option<OpenPayment>, JournalError> {
        let mut open = OpenPayment { entries: Vec::new(), credential: None };
        for entry in self.entries()?.into_iter().filter(|entry| entry.payment == *payment) {
            open.take(&entry);
        }
        Ok(open.record().is_some_and(|record| !record.state.is_final()).then_some(open))
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
    fn enter(&self, payment: &PaymentId) -> Result<(), JournalError> {
        let _lock = self.lock()?;
        if self.try_enter(payment)? {
            Ok(())
        } else {
            Err(JournalError::InFlight { payment: payment.clone() })
        }
    }

    fn adopt(&self, payment: &PaymentId) -> Result<Option<PaymentRecord>, JournalError> {
        let _lock = self.lock()?;
        let open = match self.read_open(&self.open_path(payment))? {
            Some(open) => open,
            None => match self.lines_of(payment)? {
                Some(open) => {
                    self.write_open(payment, &open)?;
                    open
                }
                None => return Ok(None),
            },
        };
        match open.record().filter(|record| !record.state.is_final()) {
            Some(record) if self.try_enter(payment)? => Ok(Some(record)),
            _ => Ok(None),
        }
    }

    fn leave(&self, payment: &PaymentId) {
        let live = self.flights.lock().unwrap_or_else(PoisonError::into_inner).remove(payment);
        // Removed under the lock that everybody enters under, so that nobody locks a file that is no longer there. Where that
        // fails, an unlocked file stays behind and says as much.
        if let (Some(_live), Ok(_lock)) = (live, self.lock()) {
            let _ = fs::remove_file(self.live_path(payment));
        }
    }

    fn is_in_flight(&self, payment: &PaymentId) -> Result<bool, JournalError> {
        let _lock = self.lock()?;
        self.is_live(payment)
    }

    fn record(&self, entry: &JournalEntry) -> Result<(), JournalError> {
        let _lock = self.lock()?;
        let closed = || JournalError::Closed { payment: entry.payment.clone() };
        let path = self.open_path(&entry.payment);
        let begins = matches!(entry.step, Step::Intended { .. });
        let mut open = match self.read_open(&path)? {
            _ if begins => OpenPayment { entries: Vec::new(), credential: None },
            Some(open) if open.entries.iter().all(|entry| !entry.step.is_final()) => open,
            Some(_) | None => return Err(closed()),
        };
        open.take(entry);
        // The credential lies in the open file: an entry never promises one that is not there.
        self.write_open(&entry.payment, &open)?;
        if entry.step.is_final() {
            return self.finish_closing(&entry.payment, &open);
        }
        self.append(entry).map_err(|error| self.storage(&error))
    }

    fn open(&self) -> Result<Vec<PaymentRecord>, JournalError> {
        let _lock = self.lock()?;
        let mut records = Vec::new();
        for (id, open) in self.open_files()? {
            let Some(mut record) = open.record() else { continue };
            if record.state.is_final() {
                self.finish_closing(&id, &open)?;
                continue;
            }
            record.in_flight = self.is_live(&id)?;
            records.push(record);
        }
        self.remove_left_locks()?;
        records.sort_by_key(|record| record.began);
        Ok(records)
    }

    fn payments(&self) -> Result<Vec<PaymentRecord>, JournalError> {
        // The open files first: one that is closed meanwhile is in the lines by then.
        let mut open = self.open_files()?;
        let mut records: Vec<PaymentRecord> = Vec::new();
        let mut places: BTreeMap<PaymentId, usize> = BTreeMap::new();
        for entry in self.entries()? {
            match (entry.begins(), places.get(&entry.payment)) {
                (Some(record), _) => {
                    places.insert(entry.payment.clone(), records.len());
                    records.push(record);
                }
                (None, Some(place)) => records[*place].take(&entry),
                (None, None) => {}
            }
        }
        for record in records.iter_mut().filter(|record| !record.state.is_final()) {
            if let Some(newer) = open.remove(&record.id).and_then(|open| open.record()) {
                *record = newer;
            }
            record.in_flight = !record.state.is_final() && self.is_in_flight(&record.id)?;
        }
        // Begun, and cut short before the first line.
        let missing = open.into_iter().filter(|(id, _)| !places.contains_key(id));
        for record in missing.filter_map(|(_, open)| open.record()) {
            let in_flight = !record.state.is_final() && self.is_in_flight(&record.id)?;
            records.push(PaymentRecord { in_flight, ..record });
        }
        Ok(records)
    }
}
