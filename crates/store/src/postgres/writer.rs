//! The writers: each has a connection, takes whatever is queued, and carries it out as ONE transaction (group commit). They share
//! one queue. Which of them, or which process, carries out a command makes no difference.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use farthing_protocol::UnixMs;
use farthing_protocol::ports::{AdvanceError, ClaimOutcome, StoreError};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::Instant;

use super::batch::{self, Answer, Progress, Request};
use super::connector::{Connector, PATIENCE};
use super::error::PgError;
use super::session::{Session, within};
use super::sql::Sql;
use super::upkeep;
use crate::limits::Limits;

/// The most commands of one transaction.
const MAX_BATCH: usize = 1024;

/// About how many bytes one transaction writes; the command that reaches it is its last.
const BATCH_BYTES: usize = 8 * 1024 * 1024;

/// How long a transaction may take.
const TRANSACTION: Duration = Duration::from_secs(20);

/// How often a transaction is begun anew when others were faster.
const ATTEMPTS: u32 = 12;

/// Leases that one transaction gives back.
const LEASES: usize = 500;

pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What a writer is asked for.
pub(super) enum Command {
    Claim { request: Request, reply: Reply<ClaimOutcome> },
    Advance { request: Request, reply: Reply<Result<(), AdvanceError>> },
    Release { now: UnixMs, reply: Reply<usize> },
    Prune { expired_before: UnixMs, limit: usize, reply: Reply<usize> },
}

/// The history that callers were told of.
#[derive(Debug, Default)]
pub(super) struct Told(AtomicU64);

impl Told {
    /// Above every epoch: set once somebody was told.
    const KNOWN: u64 = 1 << 32;

    pub(super) fn set(&self, epoch: u32) {
        self.0.store(Self::KNOWN | u64::from(epoch), Ordering::Release);
    }

    pub(super) fn get(&self) -> Option<u32> {
        let value = self.0.load(Ordering::Acquire);
        if value < Self::KNOWN { None } else { u32::try_from(value & u64::from(u32::MAX)).ok() }
    }
}

/// One of the writers.
pub(super) struct Writer {
    connector: Connector<Sql>,
    told: Arc<Told>,
}

impl Writer {
    pub(super) fn new(connector: Connector<Sql>, told: Arc<Told>) -> Self {
        Self { connector, told }
    }

    /// Runs until every sender is gone and everything that was queued is answered.
    pub(super) async fn run(mut self, queue: Arc<Mutex<mpsc::Receiver<Command>>>) {
        loop {
            let mut batch = Vec::new();
            if queue.lock().await.recv_many(&mut batch, MAX_BATCH).await == 0 {
                return;
            }
            self.serve(batch).await;
        }
    }

    async fn serve(&mut self, commands: Vec<Command>) {
        let mut asked = Vec::new();
        let mut bytes = 0;
        for command in commands {
            match command {
                Command::Release { now, reply } => drop(reply.send(self.release(now).await)),
                Command::Prune { expired_before, limit, reply } => {
                    drop(reply.send(self.prune(expired_before, limit).await));
                }
                command => {
                    bytes += command.request().map_or(0, weight);
                    asked.push(command);
                    if bytes > BATCH_BYTES {
                        self.carry_out(std::mem::take(&mut asked)).await;
                        bytes = 0;
                    }
                }
            }
        }
        if !asked.is_empty() {
            self.carry_out(asked).await;
        }
    }

    /// Carries commands out as one transaction, and answers them.
    async fn carry_out(&mut self, commands: Vec<Command>) {
        match self.try_out(&commands).await {
            Ok(answers) => {
                for (command, answer) in commands.into_iter().zip(answers) {
                    command.answer(answer);
                }
            }
            // One command that cannot be carried out must not fail the others that happened to wait beside it.
            Err(error @ (PgError::Refused(_) | PgError::Store(_))) if commands.len() > 1 => {
                tracing::debug!(%error, commands = commands.len(), "a batch failed; its commands are run one by one");
                for command in commands {
                    match self.try_out(std::slice::from_ref(&command)).await {
                        Ok(mut answers) => command.answer(answers.pop().unwrap_or_else(|| Err(mismatch()))),
                        Err(error) => fail(vec![command], error),
                    }
                }
            }
            Err(error) => fail(commands, error),
        }
    }

    async fn try_out(&mut self, commands: &[Command]) -> Result<Vec<Result<Answer, StoreError>>, PgError> {
        let requests = commands.iter().filter_map(Command::request).collect();
        match self.transact(&Work::Batch(requests)).await? {
            Done::Answers(answers) => Ok(answers),
            Done::Count(_) => Err(PgError::Store(mismatch())),
        }
    }

    async fn release(&mut self, now: UnixMs) -> Result<usize, StoreError> {
        let mut released = 0;
        loop {
            let some = self.count(Work::Release { now }).await?;
            released += some;
            if some < LEASES {
                return Ok(released);
            }
        }
    }

    async fn prune(&mut self, expired_before: UnixMs, limit: usize) -> Result<usize, StoreError> {
        let limit = limit.min(Limits::PAGE);
        let forgotten = self.count(Work::ForgetClaims { expired_before, limit }).await?;
        let old = || Work::ForgetReservations { ended_before: expired_before };
        while self.count(old()).await? == upkeep::RESERVATIONS {}
        Ok(forgotten)
    }

    async fn count(&mut self, work: Work<'_>) -> Result<usize, StoreError> {
        match self.transact(&work).await? {
            Done::Count(count) => Ok(count),
            Done::Answers(_) => Err(mismatch()),
        }
    }

    /// Runs a transaction, again where it was not committed and may go well. Nothing is run again whose outcome is unknown.
    async fn transact(&mut self, work: &Work<'_>) -> Result<Done, PgError> {
        let begun = Instant::now();
        let mut attempt = 0;
        loop {
            let session = self.connector.session().await?;
            let (progress, told) = (Progress::default(), self.told.get());
            let error = match within(TRANSACTION, "a transaction", work.run(&session, told, &progress)).await
            {
                Ok(done) => return Ok(done),
                Err(error @ PgError::Broken(_)) => progress.given_up(error),
                Err(error) => error,
            };
            attempt += 1;
            match error {
                PgError::Again(_) if attempt < ATTEMPTS => {
                    tracing::debug!(%error, attempt, "a transaction is begun anew");
                    self.end(&session).await;
                    tokio::time::sleep(jitter(attempt)).await;
                }
                PgError::Broken(_) if begun.elapsed() < PATIENCE && attempt < ATTEMPTS => {
                    tracing::debug!(%error, attempt, "the connection broke; a transaction is begun anew");
                    self.connector.forget();
                    tokio::time::sleep(jitter(attempt)).await;
                }
                PgError::Broken(_) | PgError::Unknown(_) => {
                    self.connector.forget();
                    return Err(error);
                }
                _ => {
                    self.end(&session).await;
                    return Err(error);
                }
            }
        }
    }

    /// Ends what a transaction that failed has begun.
    async fn end(&mut self, session: &Session<Sql>) {
        if within(TRANSACTION, "rolling back", session.roll_back()).await.is_err() {
            self.connector.forget();
        }
    }
}

/// One transaction.
enum Work<'a> {
    Batch(Vec<&'a Request>),
    Release { now: UnixMs },
    ForgetClaims { expired_before: UnixMs, limit: usize },
    ForgetReservations { ended_before: UnixMs },
}

/// What it came to.
enum Done {
    Answers(Vec<Result<Answer, StoreError>>),
    Count(usize),
}

impl Work<'_> {
    async fn run(
        &self,
        session: &Session<Sql>,
        told: Option<u32>,
        progress: &Progress,
    ) -> Result<Done, PgError> {
        match self {
            Self::Batch(requests) => batch::run(session, requests, told, progress).await.map(Done::Answers),
            Self::Release { now } => batch::release(session, *now, LEASES, progress).await.map(Done::Count),
            Self::ForgetClaims { expired_before, limit } => {
                upkeep::forget_claims(session, *expired_before, *limit, progress).await.map(Done::Count)
            }
            Self::ForgetReservations { ended_before } => {
                upkeep::forget_reservations(session, *ended_before, progress).await.map(Done::Count)
            }
        }
    }
}

fn mismatch() -> StoreError {
    StoreError { detail: "the writer answered another question".into() }
}

fn fail(commands: Vec<Command>, error: PgError) {
    let error = StoreError::from(error);
    tracing::error!(%error, commands = commands.len(), "the store failed");
    for command in commands {
        command.answer(Err(error.clone()));
    }
}

/// A pause before the next attempt, so that two that met do not meet again.
fn jitter(attempt: u32) -> Duration {
    Duration::from_micros(rand::random_range(0..=1_000_u64 << attempt.min(7)))
}

/// About how many bytes a request writes.
fn weight(request: &Request) -> usize {
    match request {
        Request::Claim { new, .. } => 512 + crate::limits::json(&new.plan).map_or(0, |plan| plan.len()),
        Request::Advance { step, .. } => {
            512 + crate::transition::answer_of(step).map_or(0, |answer| answer.body.len())
        }
    }
}

impl Command {
    const fn request(&self) -> Option<&Request> {
        match self {
            Self::Claim { request, .. } | Self::Advance { request, .. } => Some(request),
            Self::Release { .. } | Self::Prune { .. } => None,
        }
    }

    fn answer(self, answer: Result<Answer, StoreError>) {
        // A receiver that is gone has lost interest; that is its business.
        match (self, answer) {
            (Self::Claim { reply, .. }, Ok(Answer::Claim(outcome))) => drop(reply.send(Ok(outcome))),
            (Self::Advance { reply, .. }, Ok(Answer::Advance(result))) => drop(reply.send(Ok(result))),
            (Self::Claim { reply, .. }, answer) => {
                drop(reply.send(Err(answer.err().unwrap_or_else(mismatch))));
            }
            (Self::Advance { reply, .. }, answer) => {
                drop(reply.send(Err(answer.err().unwrap_or_else(mismatch))));
            }
            (Self::Release { reply, .. } | Self::Prune { reply, .. }, answer) => {
                drop(reply.send(Err(answer.err().unwrap_or_else(mismatch))));
            }
        }
    }
}
