//! The disk's side of the writer: one thread that owns the file. It writes a batch as one transaction, and answers after the
//! commit (group commit): one sync of the disk serves everybody in it. Meanwhile the writer decides the next batch; it hands that
//! over only when this one is durable, so that nothing is ever written that rests on something which is not.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use farthing_ledger::record::Version;
use farthing_ledger::store::StoreError;
use rusqlite::{Connection, params};
use tokio::sync::watch;

use super::batch::{Answer, Batch, Beside, EntryRow, RecordRow};
use super::open;
use super::recover::{Books, Tuning, recover};
use super::shelf::{Content, Shelf};
use super::sql::{self, Sql};
use super::view::{SharedView, View};
use crate::owned_file::Lock;

/// How long to wait at a time; whoever is waited for wakes the waiting one.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// What the writer keeps in memory, as the file has it.
pub(super) type Read = (Books, Shelf);

/// What lies between the two threads.
#[derive(Default)]
struct Desk {
    /// To be written next. Until it is taken, the writer may take it back and add to it.
    next: Option<Box<Batch>>,
    /// The disk's thread is at work, or about to be.
    is_busy: bool,
    /// The writer has ended.
    is_over: bool,
    /// The disk's thread has ended in the middle of something.
    is_broken: bool,
    /// The last batch, emptied, for its room.
    spare: Option<Box<Batch>>,
    /// Whom to wake when a batch was taken or is written.
    writer: Option<Thread>,
}

struct Shared {
    desk: Mutex<Desk>,
    work: Condvar,
    disk: Mutex<Disk>,
    /// See [`Disk::has_failed`].
    has_failed: Arc<AtomicBool>,
}

impl Shared {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        // What lies on it is whole after every change.
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        // After a panic in the middle of a transaction the next one cannot begin, which is a failure like any other.
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }
}

/// The writer's end of the line to the disk. When it is dropped, the disk's thread writes what lies there and ends.
pub(super) struct Line(Arc<Shared>);

/// What the writer is told when it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// The disk waits for a batch.
    Idle,
    Busy,
    /// A batch was not written. Nothing is to be decided before [`Line::reopen`].
    Failed,
}

impl Line {
    pub(super) fn look(&self) -> Look {
        match (self.0.has_failed(), self.0.desk().is_busy) {
            (true, _) => Look::Failed,
            (false, true) => Look::Busy,
            (false, false) => Look::Idle,
        }
    }

    /// Puts down a batch, which the disk takes as soon as it can; gives another one, empty. There must be none.
    pub(super) fn put(&self, batch: Box<Batch>) -> Box<Batch> {
        let mut desk = self.0.desk();
        desk.next = Some(batch);
        if !std::mem::replace(&mut desk.is_busy, true) {
            self.0.work.notify_one();
        }
        desk.spare.take().unwrap_or_default()
    }

    /// Takes back the batch that was put down, if the disk has not taken it, in exchange for an empty one.
    pub(super) fn take_back(&self, empty: &mut Box<Batch>) {
        let mut desk = self.0.desk();
        if let Some(batch) = desk.next.take() {
            desk.spare = Some(std::mem::replace(empty, batch));
        }
    }

    /// Waits until the batch that was put down is taken, or something has failed.
    pub(super) fn wait_for_room(&self) {
        self.wait(|desk| desk.next.is_none());
    }

    /// Waits until the disk waits, or something has failed.
    pub(super) fn drain(&self) {
        self.wait(|desk| !desk.is_busy);
    }

    fn wait(&self, until: impl Fn(&Desk) -> bool) {
        loop {
            let mut desk = self.0.desk();
            if self.0.has_failed() || until(&desk) {
                return;
            }
            desk.writer.get_or_insert_with(std::thread::current);
            drop(desk);
            std::thread::park_timeout(LOOK_AGAIN);
        }
    }

    /// Looks away until the disk has taken or written something, `most` at most.
    pub(super) fn glance(&self, most: Duration) {
        self.0.desk().writer.get_or_insert_with(std::thread::current);
        std::thread::park_timeout(most);
    }

    /// Writes a batch on this thread. The disk waits.
    pub(super) fn write_here(&self, batch: &mut Batch) {
        self.0.disk().serve(batch);
        batch.clear();
    }

    /// Reads everything again: what is on disk is what counts.
    pub(super) fn reopen(&self) -> Result<Read, Sql> {
        let mut disk = self.0.disk();
        if self.0.desk().is_broken {
            disk.close();
            return Err(Sql::Damaged("the thread that writes has ended".to_owned()));
        }
        disk.reopen()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.0.desk().is_over = true;
        self.0.work.notify_one();
    }
}

impl Desk {
    fn wake_writer(&self) {
        if let Some(writer) = &self.writer {
            writer.unpark();
        }
    }
}

impl Shared {
    /// Writes what lies on the desk, or waits until something does.
    fn work(&self) -> Goes {
        let mut desk = self.desk();
        if !self.has_failed()
            && let Some(mut batch) = desk.next.take()
        {
            desk.wake_writer();
            drop(desk);
            self.disk().serve(&mut batch);
            batch.clear();
            self.desk().spare = Some(batch);
            return Goes::On;
        }
        if desk.is_over {
            return Goes::Home;
        }
        desk.is_busy = false;
        desk.wake_writer();
        drop(self.work.wait(desk));
        Goes::On
    }
}

/// Tells the writer when the disk's thread panics: nobody may wait for it for ever.
struct Broken<'a>(&'a Shared);

impl Drop for Broken<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut desk = self.0.desk();
            desk.is_broken = true;
            self.0.has_failed.store(true, Ordering::Release);
            desk.wake_writer();
        }
    }
}

/// Whether the disk's thread goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goes {
    On,
    Home,
}

/// Where a batch failed.
enum Failure {
    /// Before the commit: nothing was written.
    Before(Sql),
    /// At the commit: it may have been written.
    AtCommit(Sql),
}

impl Failure {
    const fn error(&self) -> &Sql {
        match self {
            Self::Before(error) | Self::AtCommit(error) => error,
        }
    }

    fn answer(&self) -> StoreError {
        let text = self.error().to_string();
        match self {
            Self::Before(_) => StoreError::Retryable(text.into()),
            Self::AtCommit(_) => StoreError::Unknown(text.into()),
        }
    }
}

pub(super) struct Disk {
    db: Connection,
    path: PathBuf,
    tuning: Tuning,
    view: SharedView,
    /// The last commit that is durable; gone when the ledger is lost, so that nobody waits for ever.
    announce: Option<watch::Sender<Version>>,
    /// A batch did not get there: what was decided since rests on nothing.
    has_failed: Arc<AtomicBool>,
    _lock: Lock,
}

impl Disk {
    /// The disk behind `db`, which `lock` locks, and whose books were just read.
    pub(super) fn new(
        (db, lock): (Connection, Lock),
        (path, tuning): (PathBuf, Tuning),
        (books, shelf): (&Books, &Shelf),
    ) -> Self {
        let announce = Some(watch::Sender::new(shelf.version));
        let view = SharedView::of(books);
        Self { db, path, tuning, view, announce, has_failed: Arc::default(), _lock: lock }
    }

    /// The last commit that is durable, as it changes.
    pub(super) fn commits(&self) -> watch::Receiver<Version> {
        match &self.announce {
            Some(announce) => announce.subscribe(),
            None => watch::Sender::new(Version(0)).subscribe(),
        }
    }

    pub(super) fn view(&self) -> SharedView {
        self.view.clone()
    }

    /// Starts the thread, which runs until the line is dropped.
    pub(super) fn spawn(self) -> std::io::Result<(Line, JoinHandle<()>)> {
        let has_failed = Arc::clone(&self.has_failed);
        let (desk, work) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { desk, work, disk: Mutex::new(self), has_failed });
        let line = Line(Arc::clone(&shared));
        let thread = std::thread::Builder::new().name("ledger-disk".to_owned());
        let work = move || {
            let _broken = Broken(&shared);
            while shared.work() == Goes::On {}
        };
        Ok((line, thread.spawn(work)?))
    }

    /// Writes a batch, shows it, and answers.
    fn serve(&mut self, batch: &mut Batch) {
        let written = if batch.has_rows() { self.persist(batch) } else { Ok(()) };
        if let Err(failure) = written {
            tracing::error!(error = %failure.error(), "the ledger could not be written");
            // Before anybody hears of it: whoever asks again finds the ledger as it is on disk.
            self.has_failed.store(true, Ordering::Release);
            batch.answers.drain(..).for_each(|answer| answer.fail(&failure));
            return;
        }
        if let Some(head) = batch.head.filter(|_| batch.has_rows()) {
            self.view.write().update(head, &batch.shown);
            if let Some(announce) = &self.announce {
                announce.send_replace(batch.version);
            }
        }
        batch.answers.drain(..).for_each(|answer| answer.give(&self.view));
    }

    fn persist(&self, batch: &Batch) -> Result<(), Failure> {
        write(&self.db, batch).map_err(Failure::Before)?;
        let commit = || -> Result<(), Sql> {
            self.db.prepare_cached("COMMIT")?.execute([])?;
            Ok(())
        };
        commit().map_err(Failure::AtCommit)
    }

    fn reopen(&mut self) -> Result<Read, Sql> {
        if !self.db.is_autocommit()
            && let Err(error) = self.db.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a transaction could not be rolled back");
        }
        let read = self.read_again();
        match &read {
            Ok((books, shelf)) => {
                *self.view.write() = View::of(books);
                if let Some(announce) = &self.announce {
                    announce.send_replace(shelf.version);
                }
                self.has_failed.store(false, Ordering::Release);
            }
            Err(error) => {
                tracing::error!(%error, "the ledger could not be read back; it is closed");
                self.close();
            }
        }
        read
    }

    /// Lets nobody wait for a commit any more.
    fn close(&mut self) {
        self.announce = None;
    }

    fn read_again(&mut self) -> Result<Read, Sql> {
        let db = open::writer(&self.path).map_err(|error| Sql::Damaged(error.to_string()))?;
        let books = recover(&db, self.tuning)?;
        let shelf = Shelf::of(&db)?;
        self.db = db;
        Ok((books, shelf))
    }
}

impl Answer {
    /// Answers what was decided. A receiver that is gone has lost interest; that is its business.
    fn give(self, view: &SharedView) {
        match self {
            Self::Work(reply, answer) => drop(reply.send(answer)),
            Self::Known(reply, answer) => drop(reply.send(answer)),
            Self::Due(reply, due) => drop(reply.send(Ok(due))),
            Self::Snapshot(reply) => {
                let view = view.read();
                drop(reply.send(Ok((view.head, view.accounts()))));
            }
        }
    }

    fn fail(self, failure: &Failure) {
        match self {
            Self::Work(reply, _) => drop(reply.send(Err(failure.answer()))),
            other => other.refuse(|| StoreError::Retryable(failure.error().to_string().into())),
        }
    }

    /// Answers with an error.
    pub(super) fn refuse(self, why: impl FnOnce() -> StoreError) {
        match self {
            Self::Work(reply, _) => drop(reply.send(Err(why()))),
            Self::Known(reply, _) => drop(reply.send(Err(why()))),
            Self::Due(reply, _) => drop(reply.send(Err(why()))),
            Self::Snapshot(reply) => drop(reply.send(Err(why()))),
        }
    }
}

/// Writes a batch in a transaction, and leaves that open.
fn write(db: &Connection, batch: &Batch) -> Result<(), Sql> {
    db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let mut insert = db.prepare_cached(
        "INSERT INTO journal (seq, body, hash, id, ends, prev_debit, prev_credit, version)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for EntryRow { seq, body, hash, id, ends, prev, version } in &batch.entries {
        let (debit, credit) = (prev.map(|prev| prev.0), prev.map(|prev| prev.1));
        let body = &batch.bodies[body.clone()];
        insert.execute(params![seq, body, hash, id, ends, debit, credit, version])?;
    }
    drop(insert);
    batch.beside.iter().try_for_each(|change| beside(db, change))?;
    write_records(db, batch)
}

fn beside(db: &Connection, change: &Beside) -> Result<(), Sql> {
    match change {
        Beside::Asset { id, seq } => {
            db.prepare_cached("INSERT INTO asset VALUES (?1, ?2)")?.execute(params![id, seq])?
        }
        Beside::Opened { place, new, at, seq } => db
            .prepare_cached(
                "INSERT INTO account (place, id, asset, guard, opened_ms, totals, last_seq, as_of)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, ?7)",
            )?
            .execute(params![
                place,
                new.id.as_u128().to_be_bytes(),
                new.asset.as_u32(),
                sql::limit_number(new.limit),
                sql::signed(at.unix_ms()),
                [0_u8; 64],
                seq,
            ])?,
        Beside::Closed { id, at } => db
            .prepare_cached("UPDATE account SET closed_ms = ?2 WHERE id = ?1")?
            .execute(params![id.as_u128().to_be_bytes(), sql::signed(at.unix_ms())])?,
        Beside::Totals { place, totals, last_seq, as_of } => db
            .prepare_cached("UPDATE account SET totals = ?2, last_seq = ?3, as_of = ?4 WHERE place = ?1")?
            .execute(params![place, totals, last_seq, as_of])?,
        Beside::OldHold { id, seq, left } => {
            db.prepare_cached("INSERT INTO old_hold VALUES (?1, ?2, ?3)")?.execute(params![id, seq, left])?
        }
        Beside::HoldLeft { id, left } => db
            .prepare_cached("UPDATE old_hold SET remaining = ?2 WHERE id = ?1")?
            .execute(params![id, left])?,
        Beside::HoldEnded { id } => {
            db.prepare_cached("DELETE FROM old_hold WHERE id = ?1")?.execute(params![id])?
        }
        Beside::ReplayFrom { seq } => db.prepare_cached("UPDATE replay_from SET seq = ?1")?.execute([seq])?,
    };
    Ok(())
}

fn write_records(db: &Connection, batch: &Batch) -> Result<(), Sql> {
    if batch.records.is_empty() {
        return Ok(());
    }
    // In the order of the keys, and of the changes of one, of which the last counts.
    let mut order: Vec<usize> = (0..batch.records.len()).collect();
    order.sort_by_key(|place| &batch.records[*place].at);
    let is_last = |at: usize| match order.get(at + 1) {
        Some(next) => batch.records[*next].at != batch.records[order[at]].at,
        None => true,
    };
    let last = (0..order.len()).filter(|at| is_last(*at)).map(|at| &batch.records[order[at]]);
    let mut put = db.prepare_cached("INSERT OR REPLACE INTO record VALUES (?1, ?2, ?3, ?4, ?5)")?;
    let mut delete = db.prepare_cached("DELETE FROM record WHERE kind = ?1 AND key = ?2")?;
    for RecordRow { at, content } in last {
        let (table, key) = (at.table.name(), &at.key);
        match content {
            Some(Content { revision, body }) => {
                let proof = sql::record_proof(table, key, (*revision, body));
                put.execute(params![table, key, sql::signed(revision.0), body, proof])?
            }
            None => delete.execute(params![table, key])?,
        };
    }
    let last = sql::signed(batch.version.0);
    db.prepare_cached("UPDATE record_version SET version = ?1")?.execute([last])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use tempfile::TempDir;

    use super::*;

    /// A panic of the disk's thread is told: nobody waits for it for ever, and nothing is decided any more.
    #[test]
    fn a_disk_that_breaks_is_told() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("ledger.db");
        let lock = Lock::take(&path).unwrap();
        let db = open::writer(&path).unwrap();
        let tuning = Tuning::new(1);
        let (books, shelf) = (recover(&db, tuning).unwrap(), Shelf::of(&db).unwrap());
        let disk = Disk::new((db, lock), (path, tuning), (&books, &shelf));
        let commits = disk.commits();
        let (line, thread) = disk.spawn().unwrap();
        let mut batch = Box::<Batch>::default();
        // No bytes are where it says that its body is.
        batch.entries.push(EntryRow {
            seq: 1,
            body: 0..1,
            hash: [0; 32],
            id: None,
            ends: None,
            prev: None,
            version: 1,
        });
        line.put(batch);
        line.drain();
        line.wait_for_room();
        assert_eq!(line.look(), Look::Failed);
        assert!(line.reopen().is_err());
        assert!(commits.has_changed().is_err(), "nobody waits for a commit");
        assert!(thread.join().is_err());
    }
}
