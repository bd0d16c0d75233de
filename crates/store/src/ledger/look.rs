//! [`LedgerLooker`]: the records of a ledger's file, read beside the process that has it open, or without one. It takes no lock,
//! changes nothing, and knows no balances: those live in the memory of the process that owns the file.

use std::path::Path;
use std::thread::JoinHandle;

use async_trait::async_trait;
use farthing_ledger::journal::{Head, Sealed};
use farthing_ledger::record::{Committed, Record, RecordKey, RecordStore, Scan, Version, Work};
use farthing_ledger::store::{HistoryQuery, LedgerStore, Page, StoreError};
use farthing_ledger::verify::{Fault, Report};
use farthing_ledger::{Account, AccountId, AssetId, Known, Outcome, Step, Timestamp, TransferId};
use farthing_money::Asset;
use tokio::sync::mpsc;

use super::open::LedgerOpenError;
use super::{Read, SqliteLedger, open, read_with, reader};
use crate::OpenError;

/// A ledger in a SQLite file that is only looked at: its records, assets and journal. Everything else answers
/// [`StoreError::OnlyLooked`].
#[derive(Debug)]
pub struct LedgerLooker {
    questions: Option<mpsc::Sender<Read>>,
    thread: Option<JoinHandle<()>>,
}

impl LedgerLooker {
    /// Opens the file for reading. Blocks.
    ///
    /// # Errors
    /// [`LedgerOpenError`]: there is no such file, it is no ledger, or it is of another version.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, LedgerOpenError> {
        let path = path.as_ref();
        let (questions, thread) = read_with(open::looker(path)?)
            .map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
        Ok(Self { questions: Some(questions), thread: Some(thread) })
    }
}

impl Drop for LedgerLooker {
    fn drop(&mut self) {
        self.questions = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("a thread of the ledger panicked");
        }
    }
}

#[async_trait]
impl LedgerStore for LedgerLooker {
    async fn transact(&self, _: Timestamp, _: Vec<Step>) -> Result<Vec<Outcome>, StoreError> {
        Err(StoreError::OnlyLooked)
    }

    async fn accounts(&self, _: &[AccountId]) -> Result<Vec<Option<Account>>, StoreError> {
        Err(StoreError::OnlyLooked)
    }

    async fn account_at(&self, _: AccountId, _: Timestamp) -> Result<Option<Account>, StoreError> {
        Err(StoreError::OnlyLooked)
    }

    async fn asset(&self, id: AssetId) -> Result<Option<Asset>, StoreError> {
        SqliteLedger::question(self.questions.as_ref(), move |db| reader::asset(db, id)).await
    }

    async fn known(&self, _: TransferId) -> Result<Option<Known>, StoreError> {
        Err(StoreError::OnlyLooked)
    }

    async fn due(&self, _: Timestamp, _: usize) -> Result<Vec<TransferId>, StoreError> {
        Err(StoreError::OnlyLooked)
    }

    async fn history(&self, _: HistoryQuery) -> Result<Page, StoreError> {
        Err(StoreError::OnlyLooked)
    }

    async fn journal(&self, seq: u64, limit: usize) -> Result<Vec<Sealed>, StoreError> {
        SqliteLedger::question(self.questions.as_ref(), move |db| reader::journal(db, seq, limit)).await
    }

    async fn head(&self) -> Result<Head, StoreError> {
        Err(StoreError::OnlyLooked)
    }

    async fn verify(&self) -> Result<Result<Report, Fault>, StoreError> {
        Err(StoreError::OnlyLooked)
    }
}

#[async_trait]
impl RecordStore for LedgerLooker {
    async fn commit(&self, _: Work) -> Result<Committed, StoreError> {
        Err(StoreError::OnlyLooked)
    }

    async fn records(&self, keys: &[RecordKey]) -> Result<Vec<Option<Record>>, StoreError> {
        let keys = keys.to_vec();
        SqliteLedger::question(self.questions.as_ref(), move |db| reader::records(db, &keys)).await
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<Record>, StoreError> {
        SqliteLedger::question(self.questions.as_ref(), move |db| reader::scan(db, &scan)).await
    }

    async fn changed(&self, _: Version) -> Result<Version, StoreError> {
        Err(StoreError::OnlyLooked)
    }
}
