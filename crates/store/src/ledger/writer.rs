//! The writer: one thread that owns the file and the books. It takes whatever is queued, decides it in memory, writes it as
//! one transaction, and answers after the commit (group commit): one sync of the disk serves everybody who waited for the
//! last one.

use std::ops::Range;
use std::path::PathBuf;
use std::thread::JoinHandle;

use farthing_ledger::journal::Head;
use farthing_ledger::store::StoreError;
use farthing_ledger::{
    Account, Command, Decision, Known, Memory, NewHold, Outcome, Step, Timestamp, TransferId,
};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::recover::{Books, Tuning, recover};
use super::sql::{self, Sql};
use super::view::{SharedView, View};
use super::{batch, open};
use crate::owned_file::Lock;

/// The most requests, and about the most steps, of one transaction.
const MAX_REQUESTS: usize = 4_096;
const MAX_STEPS: usize = farthing_ledger::store::MAX_STEPS;

/// Where an answer goes. Nobody may be waiting any more; what was asked happens all the same.
pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What can be asked of the writer.
pub(super) enum Request {
    Transact { now: Timestamp, steps: Vec<Step>, reply: Reply<Vec<Outcome>> },
    Known { id: TransferId, reply: Reply<Option<Known>> },
    Due { now: Timestamp, limit: usize, reply: Reply<Vec<TransferId>> },
    Snapshot { reply: Reply<(Head, Vec<Account>)> },
}

pub(super) struct Writer {
    db: Connection,
    books: Books,
    decision: Decision,
    view: SharedView,
    path: PathBuf,
    _lock: Lock,
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
        Ok(Self { db, books, decision: Decision::default(), view, path, _lock: lock })
    }

    pub(super) fn view(&self) -> SharedView {
        self.view.clone()
    }

    /// Runs until every sender is gone.
    pub(super) fn spawn(mut self, mut queue: mpsc::Receiver<Request>) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name("farthing-ledger".to_owned()).spawn(move || {
            let mut requests = Vec::with_capacity(MAX_REQUESTS);
            let mut health = Health::Sound;
            while queue.blocking_recv_many(&mut requests, MAX_REQUESTS) > 0 {
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
        self.decision.clear();
        let mut pending: Vec<(Reply<Vec<Outcome>>, Range<usize>)> = Vec::new();
        for request in waiting {
            match request {
                Request::Transact { now, steps, reply } => match self.load(&steps) {
                    Ok(()) => {
                        let start = self.decision.outcomes.len();
                        self.books.engine.decide(now, &steps, &mut self.decision);
                        pending.push((reply, start..self.decision.outcomes.len()));
                    }
                    Err(error) => drop(reply.send(Err(error.into()))),
                },
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
            if self.decision.outcomes.len() >= MAX_STEPS {
                break;
            }
        }
        self.finish(pending)
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
    fn finish(&mut self, pending: Vec<(Reply<Vec<Outcome>>, Range<usize>)>) -> Health {
        let health = match self.persist() {
            Ok(()) => {
                for (reply, range) in pending {
                    // A receiver that is gone has lost interest; that is its business.
                    drop(reply.send(Ok(self.decision.outcomes[range].to_vec())));
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
        health
    }

    fn persist(&mut self) -> Result<(), Failure> {
        if self.decision.entries.is_empty() {
            // Nothing was accepted, so nothing changed.
            self.books.engine.commit();
            return Ok(());
        }
        batch::write(&self.db, &mut self.books, &self.decision.entries).map_err(Failure::Before)?;
        batch::commit(&self.db).map_err(Failure::AtCommit)?;
        let changed = self.books.engine.changed();
        self.books.engine.commit();
        self.view.write().update(&self.books, &changed);
        self.books.engine.forget(self.books.tuning.remembered);
        Ok(())
    }

    /// Forgets everything and reads it back from the file: what is on disk is what counts.
    fn reopen(&mut self) -> Health {
        let again = || -> Result<(Connection, Books), Sql> {
            let db = open::writer(&self.path).map_err(|error| Sql::Damaged(error.to_string()))?;
            let books = recover(&db, self.books.tuning)?;
            Ok((db, books))
        };
        if !self.db.is_autocommit()
            && let Err(error) = self.db.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a transaction could not be rolled back");
        }
        match again() {
            Ok((db, books)) => {
                self.db = db;
                self.books = books;
                *self.view.write() = View::of(&self.books);
                Health::Sound
            }
            Err(error) => {
                tracing::error!(%error, "the ledger could not be read back; it is closed");
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
            Request::Transact { reply, .. } => drop(reply.send(Err(StoreError::Closed))),
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
            Self::Transact { reply, .. } => drop(reply.send(Err(StoreError::Closed))),
            Self::Known { reply, .. } => drop(reply.send(Err(StoreError::Closed))),
            Self::Due { reply, .. } => drop(reply.send(Err(StoreError::Closed))),
            Self::Snapshot { reply } => drop(reply.send(Err(StoreError::Closed))),
        }
    }
}
