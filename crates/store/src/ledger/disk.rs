//! [`Disk`]: owns the file. It writes a batch as one transaction, shows it, and answers after the commit (group commit): one sync
//! of the disk serves everybody in it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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

/// What the writer keeps in memory, as the file has it.
pub(super) type Read = (Books, Shelf);

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

    /// Set once a batch did not get there, until everything has been read again.
    pub(super) fn has_failed(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.has_failed)
    }

    pub(super) fn view(&self) -> SharedView {
        self.view.clone()
    }

    /// Writes a batch, shows it, answers, and empties it.
    pub(super) fn serve(&mut self, batch: &mut Batch) {
        let written = if batch.has_rows() { self.persist(batch) } else { Ok(()) };
        match written {
            Ok(()) => {
                self.show(batch);
                batch.answers.drain(..).for_each(|answer| answer.give(&self.view));
            }
            Err(failure) => {
                tracing::error!(error = %failure.error(), "the ledger could not be written");
                // Before anybody hears of it: whoever asks again finds the ledger as it is on disk.
                self.has_failed.store(true, Ordering::Release);
                batch.answers.drain(..).for_each(|answer| answer.fail(&failure));
            }
        }
        batch.clear();
    }

    fn show(&self, batch: &Batch) {
        let Some(head) = batch.head.filter(|_| batch.has_rows()) else { return };
        self.view.write().update(head, &batch.shown);
        if let Some(announce) = &self.announce {
            announce.send_replace(batch.version);
        }
    }

    fn persist(&self, batch: &Batch) -> Result<(), Failure> {
        write(&self.db, batch).map_err(Failure::Before)?;
        let commit = || -> Result<(), Sql> {
            self.db.prepare_cached("COMMIT")?.execute([])?;
            Ok(())
        };
        commit().map_err(Failure::AtCommit)
    }

    pub(super) fn reopen(&mut self) -> Result<Read, Sql> {
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
    pub(super) fn close(&mut self) {
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
