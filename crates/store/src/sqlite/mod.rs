//! [`SqliteClaims`]: claims in a SQLite file that one process owns.
//!
//! WAL, synced at every commit. Writes go through one thread that commits whatever waits as one transaction
//! ([`writer`]); reads have a connection of their own. It is not for several processes: a second one is refused.

use std::path::Path;
use std::thread::JoinHandle;

use async_trait::async_trait;
use farthing_protocol::UnixMs;
use farthing_protocol::ports::{
    AdvanceError, Claim, ClaimId, ClaimOutcome, ClaimStep, ClaimStore, Listed, NewClaim, Page, StoreEpoch,
    StoreError, StoredAnswer,
};
use tokio::sync::{mpsc, oneshot};

use crate::epoch::UNNAMED;
use crate::limits::{check_new, check_step};
use crate::owned_file::{Lock, OpenError};
use crate::report::Report;

mod budget;
mod check;
mod history;
mod open;
mod row;
mod sql;
mod steps;
mod writer;

#[cfg(test)]
mod tests;

use writer::{Command, Reply, Worker};

/// The longest queue: past it, callers wait for a place.
const QUEUE: usize = 4096;

/// Claims in a SQLite file, or in memory. Dropping it waits until what is queued is written.
#[derive(Debug)]
pub struct SqliteClaims {
    epoch: StoreEpoch,
    writer: Option<mpsc::Sender<Command>>,
    reader: Option<mpsc::Sender<Command>>,
    threads: Vec<JoinHandle<()>>,
}

impl SqliteClaims {
    /// Opens the file, makes it when there is none, and brings its schema up to date. The file and those beside it
    /// (`-wal`, `-shm`, `.lock`, `.witness`) are readable by their owner only. Blocks; call it before serving.
    ///
    /// # Errors
    /// [`OpenError`]: another process owns it, another program made it, the disk refuses.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let lock = Lock::take(path)?;
        let (db, found) = open::writer(path)?;
        let (epoch, witness) = history::open(&db, path, found)?;
        let writer = Worker::writer(db, lock, witness);
        let reader = Worker::new(open::reader(path)?);
        let (writer, writer_thread) = start(writer, "farthing-claims", path)?;
        let (reader, reader_thread) = start(reader, "farthing-claims-read", path)?;
        let threads = vec![writer_thread, reader_thread];
        Ok(Self { epoch, writer: Some(writer), reader: Some(reader), threads })
    }

    /// Opens the file for reading only, whoever owns it: every method that writes fails.
    ///
    /// # Errors
    /// [`OpenError`]: there is none, another program or another version made it.
    pub fn open_to_look(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let db = open::looker(path)?;
        let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
        let epoch = history::look(&db).map_err(sqlite)?.unwrap_or(UNNAMED);
        let (reader, thread) = start(Worker::new(db), "farthing-claims-read", path)?;
        Ok(Self { epoch, writer: None, reader: Some(reader), threads: vec![thread] })
    }

    /// Gives the file another epoch: credentials of challenges that were issued before are not honoured any more. For backups
    /// whose restoring cannot be seen. No process may have it open.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn fence(path: impl AsRef<Path>) -> Result<StoreEpoch, OpenError> {
        let path = path.as_ref();
        let _lock = Lock::take(path)?;
        let (db, found) = open::writer(path)?;
        let (_, witness) = history::open(&db, path, found)?;
        history::fence(&db, path, &witness)
    }

    /// A store in memory, gone when it is dropped: the same code without a file.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_in_memory() -> Result<Self, OpenError> {
        let path = Path::new(":memory:");
        let db = open::in_memory()?;
        let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
        let epoch = history::look(&db).map_err(sqlite)?.unwrap_or(UNNAMED);
        let (writer, thread) = start(Worker::new(db), "farthing-claims", path)?;
        Ok(Self { epoch, writer: Some(writer), reader: None, threads: vec![thread] })
    }

    /// Looks over the whole store. Takes as long as it is large.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn check(&self) -> Result<Report, StoreError> {
        self.read(|reply| Command::Check { reply }).await
    }

    async fn write<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, StoreError> {
        ask(self.writer.as_ref(), command).await
    }

    async fn read<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, StoreError> {
        ask(self.reader.as_ref().or(self.writer.as_ref()), command).await
    }
}

fn start(
    worker: Worker,
    name: &str,
    path: &Path,
) -> Result<(mpsc::Sender<Command>, JoinHandle<()>), OpenError> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let thread =
        worker.spawn(name, receiver).map_err(|source| OpenError::Io { path: path.to_owned(), source })?;
    Ok((sender, thread))
}

async fn ask<T>(
    queue: Option<&mpsc::Sender<Command>>,
    command: impl FnOnce(Reply<T>) -> Command,
) -> Result<T, StoreError> {
    let gone = || StoreError { detail: "the store is closed, or open for reading only".into() };
    let (reply, answer) = oneshot::channel();
    queue.ok_or_else(gone)?.send(command(reply)).await.map_err(|_| gone())?;
    answer.await.map_err(|_| gone())?
}

impl Drop for SqliteClaims {
    fn drop(&mut self) {
        // The threads end when their queues are closed and empty; the lock is free once the writer has ended.
        self.writer = None;
        self.reader = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store panicked");
            }
        }
    }
}

#[async_trait]
impl ClaimStore for SqliteClaims {
    async fn claim(&self, claim: NewClaim, now: UnixMs) -> Result<ClaimOutcome, StoreError> {
        check_new(&claim, now)?;
        self.write(|reply| Command::Claim { new: Box::new(claim), now, reply }).await
    }

    async fn advance(&self, id: &ClaimId, step: ClaimStep, now: UnixMs) -> Result<(), AdvanceError> {
        check_step(&step, now)?;
        self.write(|reply| Command::Advance { id: id.clone(), step: Box::new(step), now, reply }).await?
    }

    async fn get(&self, id: &ClaimId) -> Result<Option<Claim>, StoreError> {
        self.read(|reply| Command::Get { id: id.clone(), reply }).await
    }

    async fn answer(&self, id: &ClaimId) -> Result<Option<StoredAnswer>, StoreError> {
        self.read(|reply| Command::Answer { id: id.clone(), reply }).await
    }

    async fn list(&self, listed: Listed, page: Page) -> Result<Vec<Claim>, StoreError> {
        self.read(|reply| Command::List { listed, page, reply }).await
    }

    async fn release_leases(&self, now: UnixMs) -> Result<usize, StoreError> {
        self.write(|reply| Command::Release { now, reply }).await
    }

    async fn prune(&self, expired_before: UnixMs, limit: usize) -> Result<usize, StoreError> {
        self.write(|reply| Command::Prune { expired_before, limit, reply }).await
    }

    async fn epoch(&self) -> Result<StoreEpoch, StoreError> {
        Ok(self.epoch)
    }
}
