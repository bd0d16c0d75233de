//! [`SqliteLedger`]: a ledger in a SQLite file that one process owns.
//!
//! One thread owns the file and keeps every balance in memory. It drains its queue, decides the whole batch with
//! [`farthing_ledger::Engine`], appends the entries to the journal as one transaction (WAL, synced at every commit), and
//! answers after the commit. The journal is the truth; account rows are checkpoints that follow a few at a time, and
//! start-up reads the checkpoints and the tail of the journal, whatever the ledger's age.
//!
//! Balances are read from memory, as of the last commit, without waiting for the writer. It decides nothing itself, and it
//! is not for several processes: a second one is refused.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use async_trait::async_trait;
use farthing_ledger::journal::{Head, Sealed};
use farthing_ledger::store::{HistoryQuery, LedgerStore, MAX_STEPS, Page, StoreError};
use farthing_ledger::verify::{Fault, Report};
use farthing_ledger::{Account, AccountId, AssetId, Known, Outcome, Step, Timestamp, TransferId};
use farthing_money::Asset;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::owned_file::Lock;

mod audit;
mod batch;
mod open;
mod reader;
mod recover;
mod sql;
mod view;
mod writer;

#[cfg(test)]
mod tests;

pub use open::LedgerOpenError;
use recover::Tuning;
use sql::Sql;
use view::SharedView;
use writer::{Reply, Request, Writer};

/// The longest queues: past them, callers wait for a place.
const WRITES: usize = 8_192;
const READS: usize = 1_024;

/// A question for the reading connection.
type Read = Box<dyn FnOnce(&Connection) + Send>;

/// A ledger in a SQLite file. Dropping it waits until what is queued is written.
#[derive(Debug)]
pub struct SqliteLedger {
    path: PathBuf,
    view: SharedView,
    writer: Option<mpsc::Sender<Request>>,
    reader: Option<mpsc::Sender<Read>>,
    threads: Vec<JoinHandle<()>>,
}

impl SqliteLedger {
    /// Opens the file, makes it when there is none, and reads the books. The file and those beside it (`-wal`, `-shm`,
    /// `.lock`) are readable by their owner only. Blocks; call it before serving.
    ///
    /// `seed` should be random: it keeps callers, who choose ids, from choosing slow ones.
    ///
    /// # Errors
    /// [`LedgerOpenError`]: another process owns it, another program made it, the disk refuses, or it is damaged.
    pub fn open(path: impl AsRef<Path>, seed: u64) -> Result<Self, LedgerOpenError> {
        Self::open_tuned(path.as_ref().to_owned(), Tuning::new(seed))
    }

    fn open_tuned(path: PathBuf, tuning: Tuning) -> Result<Self, LedgerOpenError> {
        let broken = |error: Sql| match error {
            Sql::Sqlite(source) => crate::OpenError::Sqlite { path: path.clone(), source }.into(),
            Sql::Damaged(what) => LedgerOpenError::Damaged { path: path.clone(), what },
        };
        let io = |source| crate::OpenError::Io { path: path.clone(), source };
        let lock = Lock::take(&path)?;
        let db = open::writer(&path)?;
        let reader = open::reader(&path).map_err(broken)?;
        let writer = Writer::new((db, lock), path.clone(), tuning).map_err(broken)?;
        let view = writer.view();
        let (write, writes) = mpsc::channel(WRITES);
        let (read, mut reads) = mpsc::channel::<Read>(READS);
        let read_thread =
            std::thread::Builder::new().name("farthing-ledger-read".to_owned()).spawn(move || {
                while let Some(job) = reads.blocking_recv() {
                    job(&reader);
                }
            });
        let threads = vec![writer.spawn(writes).map_err(io)?, read_thread.map_err(io)?];
        Ok(Self { path, view, writer: Some(write), reader: Some(read), threads })
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let queue = self.writer.as_ref().ok_or(StoreError::Closed)?;
        queue.send(request(reply)).await.map_err(|_| StoreError::Closed)?;
        // A writer that ended with a request in hand may have written it.
        answer.await.map_err(|lost| StoreError::Unknown(Box::new(lost)))?
    }

    async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, Sql> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let queue = self.reader.as_ref().ok_or(StoreError::Closed)?;
        let job: Read = Box::new(move |db| drop(reply.send(question(db))));
        queue.send(job).await.map_err(|_| StoreError::Closed)?;
        Ok(answer.await.map_err(|lost| StoreError::Retryable(Box::new(lost)))??)
    }
}

/// Proves the ledger in a file, whether or not a process has it open, and without changing it.
///
/// # Errors
/// [`LedgerOpenError`] when there is no file to read. That the ledger is broken is an answer, not an error.
pub fn verify_file(path: impl AsRef<Path>) -> Result<Result<Report, Fault>, LedgerOpenError> {
    let path = path.as_ref();
    if let Err(source) = std::fs::metadata(path) {
        return Err(crate::OpenError::Io { path: path.to_owned(), source }.into());
    }
    let storage = |error: Sql| Fault::Storage { what: error.to_string() };
    Ok(open::reader(path).map_err(storage).and_then(|db| audit::audit(&db, None)))
}

impl Drop for SqliteLedger {
    fn drop(&mut self) {
        // The threads end when their queues are closed and empty; the lock is free once the writer has ended.
        self.writer = None;
        self.reader = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the ledger panicked");
            }
        }
    }
}

#[async_trait]
impl LedgerStore for SqliteLedger {
    async fn transact(&self, now: Timestamp, steps: Vec<Step>) -> Result<Vec<Outcome>, StoreError> {
        if steps.len() > MAX_STEPS {
            return Err(StoreError::BatchTooLong { steps: steps.len(), max: MAX_STEPS });
        }
        self.ask(|reply| Request::Transact { now, steps, reply }).await
    }

    async fn accounts(&self, ids: &[AccountId]) -> Result<Vec<Option<Account>>, StoreError> {
        let view = self.view.read();
        Ok(ids.iter().map(|id| view.get(*id).map(|shown| shown.account)).collect())
    }

    async fn account_at(&self, id: AccountId, at: Timestamp) -> Result<Option<Account>, StoreError> {
        let shown = self.view.read().get(id);
        match shown {
            Some(shown) => self.read(move |db| reader::account_at(db, shown, at)).await,
            None => Ok(None),
        }
    }

    async fn asset(&self, id: AssetId) -> Result<Option<Asset>, StoreError> {
        self.read(move |db| reader::asset(db, id)).await
    }

    async fn known(&self, id: TransferId) -> Result<Option<Known>, StoreError> {
        self.ask(|reply| Request::Known { id, reply }).await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<TransferId>, StoreError> {
        self.ask(|reply| Request::Due { now, limit, reply }).await
    }

    async fn history(&self, query: HistoryQuery) -> Result<Page, StoreError> {
        let last = self.view.read().get(query.account).map_or(0, |shown| shown.last_seq);
        self.read(move |db| reader::history(db, &query, last)).await
    }

    async fn journal(&self, seq: u64, limit: usize) -> Result<Vec<Sealed>, StoreError> {
        self.read(move |db| reader::journal(db, seq, limit)).await
    }

    async fn head(&self) -> Result<Head, StoreError> {
        Ok(self.view.read().head)
    }

    async fn verify(&self) -> Result<Result<Report, Fault>, StoreError> {
        let (head, accounts) = self.ask(|reply| Request::Snapshot { reply }).await?;
        let shown = audit::Shown { head, accounts };
        let path = self.path.clone();
        let (reply, answer) = oneshot::channel();
        // It reads everything: on a thread of its own, so that no other question waits for it.
        let thread = std::thread::Builder::new().name("farthing-ledger-verify".to_owned());
        let spawned = thread.spawn(move || {
            let result = open::reader(&path).map(|db| audit::audit(&db, Some(&shown)));
            drop(reply.send(result));
        });
        spawned.map_err(|error| StoreError::Retryable(Box::new(error)))?;
        Ok(answer.await.map_err(|lost| StoreError::Retryable(Box::new(lost)))??)
    }
}
