//! [`Line`]: from the thread that decides to the one that writes. While a batch is written, the writer decides the next one; it is
//! written only when this one is durable, so that nothing is ever written that rests on something which is not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use super::batch::Batch;
use super::disk::{Disk, Read};
use super::sql::Sql;

/// How long to wait at a time; whoever is waited for wakes the waiting one.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

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
    /// A batch did not get there: what was decided since rests on nothing.
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
    /// A batch was not written.
    Failed,
}

impl Line {
    /// Starts the thread that writes to `disk`, which runs until the line is dropped.
    pub(super) fn to(disk: Disk) -> std::io::Result<(Self, JoinHandle<()>)> {
        let has_failed = disk.has_failed();
        let (desk, work) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { desk, work, disk: Mutex::new(disk), has_failed });
        let line = Self(Arc::clone(&shared));
        let work = move || {
            let _broken = Broken(&shared);
            while shared.work() == Goes::On {}
        };
        let thread = std::thread::Builder::new().name("ledger-disk".to_owned());
        Ok((line, thread.spawn(work)?))
    }

    /// Whether a batch was not written: nothing is to be decided before [`Line::reopen`]. It is asked for every request.
    pub(super) fn has_failed(&self) -> bool {
        self.0.has_failed()
    }

    pub(super) fn look(&self) -> Look {
        match (self.has_failed(), self.0.desk().is_busy) {
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
            if self.has_failed() || until(&desk) {
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
        if let Some(mut batch) = desk.next.take() {
            // One that rests on one that failed is refused: perhaps nobody asks the writer anything any more.
            let has_failed = self.has_failed();
            desk.wake_writer();
            drop(desk);
            if has_failed {
                batch.refuse()
            } else {
                self.disk().serve(&mut batch)
            }
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use farthing_ledger::record::{Committed, Version};
    use farthing_ledger::store::StoreError;
    use tempfile::TempDir;
    use tokio::sync::{oneshot, watch};

    use super::super::batch::{Answer, EntryRow};
    use super::super::open;
    use super::super::recover::{Tuning, recover};
    use super::super::shelf::Shelf;
    use super::*;
    use crate::owned_file::Lock;

    fn line(folder: &TempDir) -> (Line, JoinHandle<()>, watch::Receiver<Version>) {
        let path = folder.path().join("ledger.db");
        let lock = Lock::take(&path).unwrap();
        let db = open::writer(&path).unwrap();
        let tuning = Tuning::new(1);
        let (books, shelf) = (recover(&db, tuning).unwrap(), Shelf::of(&db).unwrap());
        let disk = Disk::new((db, lock), (path, tuning), (&books, &shelf));
        let commits = disk.commits();
        let (line, thread) = Line::to(disk).unwrap();
        (line, thread, commits)
    }

    /// A batch of an entry whose body is `body`.
    fn batch(seq: i64, body: std::ops::Range<usize>) -> Box<Batch> {
        let row = EntryRow { seq, body, hash: [0; 32], id: None, ends: None, prev: None, version: 1 };
        Box::new(Batch { entries: vec![row], ..Batch::default() })
    }

    /// What rests on a batch that failed is refused, also when nobody asks for anything any more.
    #[test]
    fn what_was_decided_after_a_failure_is_answered() {
        let folder = TempDir::new().unwrap();
        let (line, _thread, _commits) = line(&folder);
        for seq in [1, 1, 2] {
            let mut batch = batch(seq, 0..0);
            let (reply, answer) = oneshot::channel();
            batch.answers.push(Answer::Work(reply, Ok(Committed::Conflict { at: 0 })));
            line.put(batch);
            match (seq, answer.blocking_recv().unwrap()) {
                (1, Ok(Committed::Conflict { .. })) => line.drain(),
                // The second one has the first one's place.
                (1 | 2, Err(StoreError::Retryable(_))) => assert_eq!(line.look(), Look::Failed),
                (seq, other) => panic!("{seq}: {other:?}"),
            }
        }
    }

    /// A panic of the disk's thread is told: nobody waits for it for ever, and nothing is decided any more.
    #[test]
    fn a_disk_that_breaks_is_told() {
        let folder = TempDir::new().unwrap();
        let (line, thread, commits) = line(&folder);
        // No bytes are where it says that its body is.
        line.put(batch(1, 0..1));
        line.drain();
        line.wait_for_room();
        assert_eq!(line.look(), Look::Failed);
        assert!(line.reopen().is_err());
        assert!(commits.has_changed().is_err(), "nobody waits for a commit");
        assert!(thread.join().is_err());
    }
}
