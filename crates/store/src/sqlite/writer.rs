//! The writer: one thread that owns the writing connection, takes whatever is queued, writes it as ONE transaction, and
//! answers only after the commit (group commit). A disk sync then serves everybody who waited for the last one.

use std::thread::JoinHandle;

use farthing_protocol::UnixMs;
use farthing_protocol::ports::{
    AdvanceError, Claim, ClaimId, ClaimOutcome, ClaimStep, Listed, NewClaim, Page, StoreError, StoredAnswer,
};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::budget::Budgets;
use super::history::Witness;
use super::row::SqlError;
use super::{check, sql, steps};
use crate::owned_file::Lock;
use crate::report::Report;

/// The most commands of one transaction.
const MAX_BATCH: usize = 1024;

/// Where an answer goes. Nobody may be waiting any more; the step is taken all the same.
pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What can be asked of a connection.
pub(super) enum Command {
    Claim { new: Box<NewClaim>, now: UnixMs, reply: Reply<ClaimOutcome> },
    Advance { id: ClaimId, step: Box<ClaimStep>, now: UnixMs, reply: Reply<Result<(), AdvanceError>> },
    Get { id: ClaimId, reply: Reply<Option<Claim>> },
    Answer { id: ClaimId, reply: Reply<Option<StoredAnswer>> },
    List { listed: Listed, page: Page, reply: Reply<Vec<Claim>> },
    Check { reply: Reply<Report> },
    Release { now: UnixMs, reply: Reply<usize> },
    Prune { expired_before: UnixMs, limit: usize, reply: Reply<usize> },
}

/// What a command came to, kept until it is durable.
enum Answer {
    Claim(ClaimOutcome),
    Advance(Result<(), AdvanceError>),
    Get(Option<Box<Claim>>),
    Kept(Option<StoredAnswer>),
    List(Vec<Claim>),
    Report(Box<Report>),
    Count(usize),
}

/// A connection and what is remembered beside it.
pub(super) struct Worker {
    db: Connection,
    budgets: Budgets,
    witness: Option<Witness>,
    _lock: Option<Lock>,
}

impl Worker {
    /// The one that writes, with what it owns.
    pub(super) fn writer(db: Connection, lock: Lock, witness: Witness) -> Self {
        Self { db, budgets: Budgets::default(), witness: Some(witness), _lock: Some(lock) }
    }

    /// One that owns no file: a reader, or a store in memory.
    pub(super) fn new(db: Connection) -> Self {
        Self { db, budgets: Budgets::default(), witness: None, _lock: None }
    }

    /// Runs until every sender is gone.
    pub(super) fn spawn(
        mut self,
        name: &str,
        mut queue: mpsc::Receiver<Command>,
    ) -> std::io::Result<JoinHandle<()>> {
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let mut batch = Vec::with_capacity(MAX_BATCH);
            while queue.blocking_recv_many(&mut batch, MAX_BATCH) > 0 {
                self.serve(std::mem::take(&mut batch));
            }
        })
    }

    fn serve(&mut self, batch: Vec<Command>) {
        match self.transact(&batch) {
            Ok(answers) => {
                for (command, answer) in batch.into_iter().zip(answers) {
                    command.answer(Ok(answer));
                }
            }
            // One command that cannot be carried out must not fail the others that happened to wait beside it.
            Err(Failure::Command(error)) if batch.len() > 1 => {
                tracing::debug!(%error, commands = batch.len(), "a batch failed; its commands are run one by one");
                for command in batch {
                    self.serve(vec![command]);
                }
            }
            Err(Failure::Command(error) | Failure::Transaction(error)) => {
                let error = StoreError::from(error);
                tracing::error!(%error, "the store failed");
                for command in batch {
                    command.answer(Err(error.clone()));
                }
            }
        }
    }

    fn transact(&mut self, batch: &[Command]) -> Result<Vec<Answer>, Failure> {
        if batch.iter().all(Command::only_reads) {
            return batch.iter().map(|command| self.run(command).map_err(Failure::Command)).collect();
        }
        self.db.execute_batch("BEGIN IMMEDIATE").map_err(|e| Failure::Transaction(e.into()))?;
        let answers: Result<Vec<Answer>, Failure> =
            batch.iter().map(|command| self.run(command).map_err(Failure::Command)).collect();
        let result = answers.and_then(|answers| {
            let commits = self.count().map_err(|e| Failure::Transaction(e.into()))?;
            self.db.execute_batch("COMMIT").map_err(|e| Failure::Transaction(e.into()))?;
            if let Some(witness) = &self.witness {
                witness.saw(commits);
            }
            Ok(answers)
        });
        if result.is_err() {
            self.budgets.clear();
            if !self.db.is_autocommit()
                && let Err(error) = self.db.execute_batch("ROLLBACK")
            {
                tracing::error!(%error, "a transaction could not be rolled back");
            }
        }
        result
    }

    /// Counts this batch.
    fn count(&self) -> Result<i64, rusqlite::Error> {
        self.db.prepare_cached(sql::COMMITTED)?.query_row([], |row| row.get(0))
    }

    fn run(&mut self, command: &Command) -> Result<Answer, SqlError> {
        let (db, budgets) = (&self.db, &mut self.budgets);
        Ok(match command {
            Command::Claim { new, now, .. } => Answer::Claim(steps::claim(db, budgets, new, *now)?),
            Command::Advance { id, step, now, .. } => {
                Answer::Advance(steps::advance(db, budgets, id, step, *now)?)
            }
            Command::Get { id, .. } => Answer::Get(steps::get(db, id)?.map(Box::new)),
            Command::Answer { id, .. } => Answer::Kept(steps::answer(db, id)?),
            Command::List { listed, page, .. } => Answer::List(steps::list(db, *listed, page)?),
            Command::Check { .. } => Answer::Report(Box::new(check::check(db)?)),
            Command::Release { now, .. } => Answer::Count(steps::release(db, budgets, *now)?),
            Command::Prune { expired_before, limit, .. } => {
                Answer::Count(steps::prune(db, budgets, *expired_before, *limit)?)
            }
        })
    }
}

/// Where a batch failed.
enum Failure {
    /// One of its commands: the others may go well alone.
    Command(SqlError),
    /// The transaction itself.
    Transaction(SqlError),
}

impl Command {
    const fn only_reads(&self) -> bool {
        matches!(self, Self::Get { .. } | Self::Answer { .. } | Self::List { .. } | Self::Check { .. })
    }

    fn answer(self, answer: Result<Answer, StoreError>) {
        // A receiver that is gone has lost interest; that is its business.
        match (self, answer) {
            (Self::Claim { reply, .. }, Ok(Answer::Claim(outcome))) => drop(reply.send(Ok(outcome))),
            (Self::Advance { reply, .. }, Ok(Answer::Advance(result))) => drop(reply.send(Ok(result))),
            (Self::Get { reply, .. }, Ok(Answer::Get(claim))) => {
                drop(reply.send(Ok(claim.map(|claim| *claim))))
            }
            (Self::Answer { reply, .. }, Ok(Answer::Kept(kept))) => drop(reply.send(Ok(kept))),
            (Self::List { reply, .. }, Ok(Answer::List(list))) => drop(reply.send(Ok(list))),
            (Self::Check { reply }, Ok(Answer::Report(report))) => drop(reply.send(Ok(*report))),
            (Self::Release { reply, .. } | Self::Prune { reply, .. }, Ok(Answer::Count(n))) => {
                drop(reply.send(Ok(n)));
            }
            (command, answer) => {
                let mismatch = || StoreError { detail: "the writer answered another question".into() };
                command.fail(answer.err().unwrap_or_else(mismatch));
            }
        }
    }

    fn fail(self, error: StoreError) {
        match self {
            Self::Claim { reply, .. } => drop(reply.send(Err(error))),
            Self::Advance { reply, .. } => drop(reply.send(Err(error))),
            Self::Get { reply, .. } => drop(reply.send(Err(error))),
            Self::Answer { reply, .. } => drop(reply.send(Err(error))),
            Self::List { reply, .. } => drop(reply.send(Err(error))),
            Self::Check { reply } => drop(reply.send(Err(error))),
            Self::Release { reply, .. } | Self::Prune { reply, .. } => drop(reply.send(Err(error))),
        }
    }
}
