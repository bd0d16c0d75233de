//! The writer: one thread that owns the file and the books. It takes whatever is queued, decides it in memory, writes it as
//! one transaction, and answers after the commit (group commit): one sync of the disk serves everybody who waited for the
//! last one.

use std::ops::Range;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

use farthing_ledger::journal::Head;
use farthing_ledger::record::{Committed, Version, Work};
use farthing_ledger::store::StoreError;
use farthing_ledger::{
    Account, Command, Decision, Known, Memory, NewHold, Outcome, Step, Timestamp, TransferId,
};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use super::recover::{Books, Tuning, recover};
use super::shelf::Shelf;
use super::sql::{self, Sql};
use super::view::{SharedView, View};
use super::{batch, open};
use crate::owned_file::Lock;

/// The most requests, and about the most steps and changes, and bytes of records, of one transaction.
const MAX_REQUESTS: usize = 4_096;
const MAX_STEPS: usize = farthing_ledger::store::MAX_STEPS;
const MAX_BYTES: usize = 32 << 20;

/// How long the writer waits for the callers of the last batch at a time, and how often. A sync of the disk takes several times
/// as long.
const PAUSE: Duration = Duration::from_micros(20);
const PAUSES: usize = 16;

/// Where an answer goes. Nobody may be waiting any more; what was asked happens all the same.
pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What can be asked of the writer.
pub(super) enum Request {
    Work { work: Work, reply: Reply<Committed> },
    Known { id: TransferId, reply: Reply<Option<Known>> },
    Due { now: Timestamp, limit: usize, reply: Reply<Vec<TransferId>> },
    Snapshot { reply: Reply<(Head, Vec<Account>)> },
}

pub(super) struct Writer {
    db: Connection,
    books: Books,
    shelf: Shelf,
    decision: Decision,
    /// For every entry of the decision, the commit that it belongs to.
    versions: Vec<Version>,
    view: SharedView,
    /// The last commit that is durable; gone when the writer is lost, so that nobody waits for ever.
    announce: Option<watch::Sender<Version>>,
    path: PathBuf,
    _lock: Lock,
}

/// Waits a moment for those who were answered with the last batch, as long as more of them come: callers who call again and
/// again would otherwise fall apart into a few who are written at once and many who wait for them, and each commit costs a
/// sync of the disk.
fn gather(queue: &mut mpsc::Receiver<Request>, requests: &mut Vec<Request>, last: usize) {
    for _ in 0..PAUSES {
        let before = requests.len();
        if before >= last {
            return;
        }
        std::thread::sleep(PAUSE);
        while requests.len() < MAX_REQUESTS
            && let Ok(request) = queue.try_recv()
        {
            requests.push(request);
        }
        if requests.len() == before {
            return;
        }
    }
}

/// What becomes of a work when its batch is durable.
enum Verdict {
    Decided { outcomes: Range<usize>, version: Version, is_refused: bool },
    Conflict { at: usize },
    Failed(StoreError),
}

/// Whether the writer can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Sound,
    /// What is on disk could not be established: nothing more is decided.
    Lost,
}

impl Writer {
    /// A writer for the file behind `db`, which `lock` locks.
    pub(super) fn new((db, lock): (Connection, Lock), path: PathBuf, tuning: Tuning) -> Result<Self, Sql> {
        let books = recover(&db, tuning)?;
        let view = SharedView::of(&books);
        let shelf = Shelf::of(&db)?;
        let announce = Some(watch::Sender::new(shelf.version));
        let (decision, versions) = (Decision::default(), Vec::new());
        Ok(Self { db, books, shelf, decision, versions, view, announce, path, _lock: lock })
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

    /// Runs until every sender is gone.
    pub(super) fn spawn(mut self, mut queue: mpsc::Receiver<Request>) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("ledger-writer".to_owned()).spawn(move || {
            let mut requests = Vec::with_capacity(MAX_REQUESTS);
            let mut health = Health::Sound;
            let mut last = 0;
            while queue.blocking_recv_many(&mut requests, MAX_REQUESTS) > 0 {
                gather(&mut queue, &mut requests, last);
                last = requests.len();
                let mut waiting = requests.drain(..).peekable();
                while waiting.peek().is_some() && health == Health::Sound {
                    health = self.serve(&mut waiting);
                }
                waiting.for_each(Request::refuse);
            }
        })
    }

    /// Decides, writes and answers as many of the waiting requests as go into one transaction.
    fn serve(&mut self, waiting: &mut impl Iterator<Item = Request>) -> Health {
        let mut pending: Vec<(Reply<Committed>, Verdict)> = Vec::new();
        let mut weight = 0;
        for request in waiting {
            match request {
                Request::Work { work, reply } => {
                    weight += work.steps.len() + work.records.len();
                    let verdict = self.decide(work).unwrap_or_else(|error| Verdict::Failed(error.into()));
                    pending.push((reply, verdict));
                }
                // What is asked sees all that was decided before it: it is answered after the commit, like the rest.
                read => {
                    let health = self.finish(pending);
                    if health == Health::Sound {
                        self.answer(read);
                    } else {
                        read.refuse();
                    }
                    return health;
                }
            }
            if weight >= MAX_STEPS || self.shelf.unwritten_size() >= MAX_BYTES {
                break;
            }
        }
        self.finish(pending)
    }

    /// Decides one work: what its records have to be, then its steps, then what becomes of the records. After an error nothing
    /// of it happened.
    fn decide(&mut self, work: Work) -> Result<Verdict, Sql> {
        let Work { now, steps, records } = work;
        let shelf = &mut self.shelf;
        shelf.fetch(&self.db, &records)?;
        if let Some(at) = shelf.conflict(&records) {
            return Ok(Verdict::Conflict { at });
        }
        let records = shelf.work_out(records)?;
        self.load(&steps)?;
        let start = self.decision.outcomes.len();
        self.books.engine.decide(now, &steps, &mut self.decision);
        let outcomes = start..self.decision.outcomes.len();
        let is_rejected = |outcome: &Outcome| matches!(outcome, Outcome::Rejected(_));
        let is_refused = self.decision.outcomes[start..].iter().any(is_rejected);
        let version = Version(self.shelf.version.0 + 1);
        let entries = self.decision.entries.len();
        let mut has_changed = entries > self.versions.len();
        if !is_refused {
            for (at, becomes) in records {
                has_changed |= self.shelf.change(at, becomes, version);
            }
        }
        if has_changed {
            self.versions.resize(entries, version);
            self.shelf.version = version;
        }
        Ok(Verdict::Decided { outcomes, version: self.shelf.version, is_refused })
    }

    /// Gives the engine what the file knows about ids that it has forgotten.
    fn load(&mut self, steps: &[Step]) -> Result<(), Sql> {
        for step in steps {
            let ids = match &step.command {
                Command::Transfer(transfer) | Command::Hold(NewHold { transfer, .. }) => {
                    [Some(transfer.id), None]
                }
                Command::Post(post) => [Some(post.id), Some(post.hold)],
                Command::Void(void) => [Some(void.id), Some(void.hold)],
                Command::Expire(hold) => [Some(*hold), None],
                Command::DefineAsset(_) | Command::OpenAccount(_) | Command::CloseAccount(_) => [None, None],
            };
            for id in ids.into_iter().flatten() {
                if self.books.engine.memory(id) == Memory::Unsure
                    && let Some(known) = sql::known(&self.db, id)?
                {
                    self.books.engine.load(known).map_err(|error| Sql::Damaged(error.to_string()))?;
                }
            }
        }
        Ok(())
    }

    /// Writes what was decided, and answers.
    fn finish(&mut self, pending: Vec<(Reply<Committed>, Verdict)>) -> Health {
        let health = match self.persist() {
            Ok(()) => {
                for (reply, verdict) in pending {
                    // A receiver that is gone has lost interest; that is its business.
                    drop(reply.send(verdict.answer(&self.decision.outcomes)));
                }
                Health::Sound
            }
            Err(failure) => {
                tracing::error!(error = %failure.error(), "the ledger could not be written");
                let health = self.reopen();
                for (reply, _) in pending {
                    drop(reply.send(Err(failure.answer())));
                }
                health
            }
        };
        self.decision.clear();
        self.versions.clear();
        health
    }

    fn persist(&mut self) -> Result<(), Failure> {
        let (books, shelf) = (&mut self.books, &mut self.shelf);
        if self.decision.entries.is_empty() && !shelf.has_changes() {
            // Nothing was accepted, so nothing changed.
            books.engine.commit();
            return Ok(());
        }
        let entries = (self.decision.entries.as_slice(), self.versions.as_slice());
        batch::write(&self.db, (books, shelf), entries).map_err(Failure::Before)?;
        batch::commit(&self.db).map_err(Failure::AtCommit)?;
        let changed = books.engine.changed();
        books.engine.commit();
        self.view.write().update(books, &changed);
        books.engine.forget(books.tuning.remembered);
        shelf.tidy();
        self.announce();
        Ok(())
    }

    fn announce(&self) {
        if let Some(announce) = &self.announce {
            announce.send_replace(self.shelf.version);
        }
    }

    /// Forgets everything and reads it back from the file: what is on disk is what counts.
    fn reopen(&mut self) -> Health {
        let again = || -> Result<(Connection, Books, Shelf), Sql> {
            let db = open::writer(&self.path).map_err(|error| Sql::Damaged(error.to_string()))?;
            let books = recover(&db, self.books.tuning)?;
            let shelf = Shelf::of(&db)?;
            Ok((db, books, shelf))
        };
        if !self.db.is_autocommit()
            && let Err(error) = self.db.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a transaction could not be rolled back");
        }
        match again() {
            Ok((db, books, shelf)) => {
                self.db = db;
                self.books = books;
                self.shelf = shelf;
                *self.view.write() = View::of(&self.books);
                self.announce();
                Health::Sound
            }
            Err(error) => {
                tracing::error!(%error, "the ledger could not be read back; it is closed");
                self.announce = None;
                Health::Lost
            }
        }
    }

    fn answer(&self, request: Request) {
        match request {
            Request::Known { id, reply } => {
                let known = match self.books.engine.memory(id) {
                    Memory::Known => Ok(self.books.engine.known(id).copied()),
                    Memory::New => Ok(None),
                    Memory::Unsure => sql::known(&self.db, id).map_err(StoreError::from),
                };
                drop(reply.send(known));
            }
            Request::Due { now, limit, reply } => drop(reply.send(Ok(self.books.engine.due(now, limit)))),
            Request::Snapshot { reply } => {
                let view = self.view.read();
                drop(reply.send(Ok((view.head, view.accounts()))));
            }
            Request::Work { reply, .. } => drop(reply.send(Err(StoreError::Closed))),
        }
    }
}

impl Verdict {
    fn answer(self, all: &[Outcome]) -> Result<Committed, StoreError> {
        match self {
            Self::Decided { outcomes, version, is_refused } => {
                let outcomes = all[outcomes].to_vec();
                Ok(if is_refused {
                    Committed::Refused { outcomes }
                } else {
                    Committed::Applied { outcomes, version }
                })
            }
            Self::Conflict { at } => Ok(Committed::Conflict { at }),
            Self::Failed(error) => Err(error),
        }
    }
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

impl Request {
    /// Answers that the ledger is closed.
    fn refuse(self) {
        match self {
            Self::Work { reply, .. } => drop(reply.send(Err(StoreError::Closed))),
            Self::Known { reply, .. } => drop(reply.send(Err(StoreError::Closed))),
            Self::Due { reply, .. } => drop(reply.send(Err(StoreError::Closed))),
            Self::Snapshot { reply } => drop(reply.send(Err(StoreError::Closed))),
        }
    }
}
