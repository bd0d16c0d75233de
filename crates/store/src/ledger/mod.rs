//! [`SqliteLedger`]: a ledger in a SQLite file that one process owns.
//!
//! One thread keeps every balance in memory. It drains its queue and decides the whole batch with [`farthing_ledger::Engine`];
//! another owns the file, appends the entries to the journal as one transaction (WAL, synced at every commit), and answers after
//! the commit, while the first decides the next batch. The journal is the truth; account rows are checkpoints that follow a few at a time, and
//! start-up reads the checkpoints and the tail of the journal, whatever the ledger's age.
//!
//! Records stand in a table of the same file and change in the same transaction as the journal.
//!
//! Balances are read from memory, as of the last commit, without waiting for the writer; records from the file, on a connection
//! that sees every commit that was answered. It decides nothing itself, and it
//! is not for several processes: a second one is refused.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use async_trait::async_trait;
use farthing_ledger::journal::{Head, Sealed};
use farthing_ledger::record::{Committed, Record, RecordKey, RecordStore, Scan, Version, Work};
use farthing_ledger::store::{HistoryQuery, LedgerStore, MAX_STEPS, Page, StoreError};
use farthing_ledger::verify::{Fault, Report};
use farthing_ledger::{Account, AccountId, AssetId, Known, Outcome, Step, Timestamp, TransferId};
use farthing_money::Asset;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use crate::owned_file::Lock;

mod audit;
mod batch;
mod disk;
mod line;
mod look;
mod open;
mod reader;
mod recover;
mod shelf;
mod sql;
mod view;
mod writer;

#[cfg(test)]
mod tests;

use disk::Disk;
use line::Line;
pub use look::LedgerLooker;
pub use open::LedgerOpenError;
use recover::{Tuning, recover};
use shelf::Shelf;
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
    /// Answers at once: records and assets.
    reader: Option<mpsc::Sender<Read>>,
    /// Answers that may take long: histories and balances of the past.
    past: Option<mpsc::Sender<Read>>,
    commits: watch::Receiver<Version>,
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
        let readers = (open::reader(&path).map_err(broken)?, open::reader(&path).map_err(broken)?);
        let books = recover(&db, tuning).map_err(broken)?;
        let shelf = Shelf::of(&db).map_err(broken)?;
        let disk = Disk::new((db, lock), (path.clone(), tuning), (&books, &shelf));
        let (view, commits) = (disk.view(), disk.commits());
        let (line, disk) = Line::to(disk).map_err(io)?;
        let writer = Writer::new((books, shelf), path.clone(), line).map_err(broken)?;
        let (write, writes) = mpsc::channel(WRITES);
        let (read, reading) = read_with(readers.0).map_err(io)?;
        let (past, reading_past) = read_with(readers.1).map_err(io)?;
        let threads = vec![writer.spawn(writes).map_err(io)?, disk, reading, reading_past];
        let (writer, reader, past) = (Some(write), Some(read), Some(past));
        Ok(Self { path, view, writer, reader, past, commits, threads })
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
        Self::question(self.reader.as_ref(), question).await
    }

    async fn read_past<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection) -> Result<T, Sql> + Send + 'static,
    ) -> Result<T, StoreError> {
        Self::question(self.past.as_ref(), question).await
    }

    async fn question<T: Send + 'static>(
        queue: Option<&mpsc::Sender<Read>>,
        question: impl FnOnce(&Connection) -> Result<T, Sql> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let queue = queue.ok_or(StoreError::Closed)?;
        let job: Read = Box::new(move |db| drop(reply.send(question(db))));
        queue.send(job).await.map_err(|_| StoreError::Closed)?;
        Ok(answer.await.map_err(|lost| StoreError::Retryable(Box::new(lost)))??)
    }
}

/// A thread that answers questions from `db`, until nobody can ask any more.
fn read_with(db: Connection) -> std::io::Result<(mpsc::Sender<Read>, JoinHandle<()>)> {
    let (ask, mut questions) = mpsc::channel::<Read>(READS);
    let thread = std::thread::Builder::new().name("ledger-reader".to_owned()).spawn(move || {
        while let Some(question) = questions.blocking_recv() {
            question(&db);
        }
    })?;
    Ok((ask, thread))
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
        self.past = None;
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
        let work = Work { now, steps, records: Vec::new() };
        match self.ask(|reply| Request::Work { work, reply }).await? {
            Committed::Applied { outcomes, .. } | Committed::Refused { outcomes } => Ok(outcomes),
            Committed::Conflict { .. } => Err(Sql::Damaged("a conflict without records".to_owned()).into()),
        }
    }

    async fn accounts(&self, ids: &[AccountId]) -> Result<Vec<Option<Account>>, StoreError> {
        let view = self.view.read();
        Ok(ids.iter().map(|id| view.get(*id).map(|shown| shown.account)).collect())
    }

    async fn account_at(&self, id: AccountId, at: Timestamp) -> Result<Option<Account>, StoreError> {
        let shown = self.view.read().get(id);
        match shown {
            Some(shown) => self.read_past(move |db| reader::account_at(db, shown, at)).await,
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
        self.read_past(move |db| reader::history(db, &query, last)).await
    }

    async fn journal(&self, seq: u64, limit: usize) -> Result<Vec<Sealed>, StoreError> {
        self.read_past(move |db| reader::journal(db, seq, limit)).await
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
        let thread = std::thread::Builder::new().name("ledger-verify".to_owned());
        let spawned = thread.spawn(move || {
            let result = open::reader(&path).map(|db| audit::audit(&db, Some(&shown)));
            drop(reply.send(result));
        });
        spawned.map_err(|error| StoreError::Retryable(Box::new(error)))?;
        Ok(answer.await.map_err(|lost| StoreError::Retryable(Box::new(lost)))??)
    }
}

#[async_trait]
impl RecordStore for SqliteLedger {
    async fn commit(&self, work: Work) -> Result<Committed, StoreError> {
        work.check()?;
        self.ask(|reply| Request::Work { work, reply }).await
    }

    async fn records(&self, keys: &[RecordKey]) -> Result<Vec<Option<Record>>, StoreError> {
        let keys = keys.to_vec();
        self.read(move |db| reader::records(db, &keys)).await
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<Record>, StoreError> {
        self.read(move |db| reader::scan(db, &scan)).await
    }

    async fn changed(&self, version: Version) -> Result<Version, StoreError> {
        let mut commits = self.commits.clone();
        let last = commits.wait_for(|last| *last > version).await;
        last.map(|last| *last).map_err(|_| StoreError::Closed)
    }
}
