//! [`Writer`]: takes whatever is queued, has it decided and written as one transaction ([`super::batch`]), hands it to the
//! flusher, and goes on with what was queued meanwhile. There is one in a process; processes take turns at the end of the log.

use std::sync::Arc;
use std::time::Duration;

use farthing_ledger::record::{Committed, Work};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::batch::{self, Done, Progress};
use super::error::Failure;
use super::flush::{Flush, Reply, Syncing, Waiting};
use super::log::Log;
use super::recover;
use super::sql::{Session, Sql};
use super::view::{SharedView, View};
use crate::books::Tuning;
use crate::postgres::PgUrl;
use crate::postgres::connector::{Connector, PATIENCE};
use crate::postgres::error::PgError;
use crate::postgres::session::{self, Access, within};

/// The most works, and about the most steps, changes and bytes of records, of one transaction.
const MAX_WORKS: usize = 2_048;
const MAX_STEPS: usize = farthing_ledger::store::MAX_STEPS;
const MAX_BYTES: usize = 8 << 20;

/// How long a transaction may take, and reading the books.
const TRANSACTION: Duration = Duration::from_secs(15);
const RECOVERY: Duration = Duration::from_secs(600);

/// How often a batch is tried again where nothing of it was written.
const ATTEMPTS: u32 = 6;

/// What is asked of a writer.
pub(super) struct Request {
    pub(super) work: Work,
    pub(super) reply: Reply<Committed>,
}

/// Where a ledger is.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) url: Arc<PgUrl>,
    pub(super) shard: i32,
    pub(super) tuning: Tuning,
}

/// Reads the books anew, and makes durable what they say.
#[derive(Clone)]
pub(super) struct Recovery {
    pub(super) place: Place,
    pub(super) syncing: Syncing,
    pub(super) flusher: mpsc::Sender<Flush>,
}

impl Recovery {
    pub(super) async fn run(&self) -> Result<Log, Failure> {
        let Place { url, shard, tuning } = &self.place;
        // First the connection that will make it durable: see `flush`.
        let session = self.syncing.lock().await.session().await?;
        let reading = async {
            let client = session::connect(url, Access::Read).await?;
            Ok(recover::recover(&client, *shard, *tuning).await)
        };
        let log = within(RECOVERY, "reading the books", reading).await??;
        self.secure(session, &log).await?;
        Ok(log)
    }

    /// Waits until all that the books say is on disk.
    pub(super) async fn secure(&self, session: Arc<Session>, log: &Log) -> Result<(), Failure> {
        let (reply, answer) = oneshot::channel();
        let (seq, version) = (log.head().seq, log.marks.version);
        let flush = Flush { session, seq, version, news: Vec::new(), waiting: Waiting::Reader(reply) };
        let lost = || PgError::Broken("what was read could not be made durable".into());
        self.flusher.send(flush).await.map_err(|_| lost())?;
        answer.await.map_err(|_| lost())?.map_err(|_| lost())?;
        Ok(())
    }
}

pub(super) struct Writer {
    appending: Connector<Sql>,
    recovery: Recovery,
    view: SharedView,
    log: Option<Log>,
}

impl Writer {
    pub(super) fn new(log: Log, appending: Connector<Sql>, recovery: Recovery, view: SharedView) -> Self {
        Self { appending, recovery, view, log: Some(log) }
    }

    /// Runs until every sender is gone and everything that was queued is answered.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        let mut requests = Vec::new();
        while queue.recv_many(&mut requests, MAX_WORKS).await > 0 {
            let mut waiting = requests.drain(..).peekable();
            while waiting.peek().is_some() {
                let (mut batch, mut steps, mut bytes) = (Vec::new(), 0, 0);
                while steps < MAX_STEPS
                    && bytes < MAX_BYTES
                    && let Some(request) = waiting.next()
                {
                    let (more, heavier) = weight(&request.work);
                    (steps, bytes) = (steps + more, bytes + heavier);
                    batch.push(request);
                }
                self.serve(batch).await;
            }
        }
    }

    /// Carries requests out as one transaction, and has them answered.
    async fn serve(&mut self, requests: Vec<Request>) {
        let works: Vec<&Work> = requests.iter().map(|request| &request.work).collect();
        match self.carry_out(&works).await {
            Ok((session, Done { answers, news, seq, version })) => {
                let callers = requests.into_iter().map(|request| request.reply).zip(answers).collect();
                let waiting = Waiting::Callers(callers);
                let flush = Flush { session, seq, version, news, waiting };
                if let Err(lost) = self.recovery.flusher.send(flush).await {
                    lost.0.fail(&PgError::Refused("the ledger is closed".into()));
                }
            }
            Err(failure) => {
                tracing::error!(%failure, works = requests.len(), "a batch of the ledger failed");
                for request in requests {
                    drop(request.reply.send(Err(failure.answer())));
                }
            }
        }
    }

    /// Runs a transaction, again where nothing was written and it may go well.
    async fn carry_out(&mut self, works: &[&Work]) -> Result<(Arc<Session>, Done), Failure> {
        let begun = Instant::now();
        let mut attempt = 0;
        loop {
            // First the connection that will make it durable: see `flush`.
            let syncing = self.recovery.syncing.lock().await.session().await?;
            let session = self.appending.session().await?;
            let failure = match self.attempt(&session, works).await {
                Ok(done) => return Ok((syncing, done)),
                Err(failure) => failure,
            };
            attempt += 1;
            let may_retry = attempt < ATTEMPTS && begun.elapsed() < PATIENCE;
            match failure {
                Failure::Behind if may_retry => {}
                Failure::Diverged if may_retry => {
                    tracing::warn!("the log is another one than before; the books are read again");
                    self.log = None;
                }
                Failure::Before(PgError::Broken(_)) if may_retry => {
                    tracing::debug!(%failure, attempt, "a connection broke; a batch is begun anew");
                    tokio::time::sleep(Duration::from_millis(rand::random_range(1..=20))).await;
                }
                failure => return Err(failure),
            }
        }
    }

    async fn attempt(&mut self, session: &Arc<Session>, works: &[&Work]) -> Result<Done, Failure> {
        let shard = self.recovery.place.shard;
        if self.log.is_none() {
            let log = self.recovery.run().await?;
            *self.view.write() = View::of(&log.books);
            self.log = Some(log);
        }
        let Some(log) = &mut self.log else { return Err(Failure::Diverged) };
        let progress = Progress::default();
        let running = async { Ok(batch::run(session, shard, log, works, &progress).await) };
        let result = match within(TRANSACTION, "a transaction", running).await {
            Ok(result) => result,
            Err(error) => {
                log.books.engine.roll_back();
                Err(progress.given_up(error))
            }
        };
        match &result {
            Ok(_) => {}
            Err(Failure::Unknown(_) | Failure::Before(PgError::Broken(_) | PgError::Unknown(_))) => {
                self.appending.forget();
            }
            Err(failure) => {
                if matches!(failure, Failure::Damaged(_)) {
                    self.log = None;
                }
                if within(TRANSACTION, "rolling back", session.roll_back()).await.is_err() {
                    self.appending.forget();
                }
            }
        }
        if let (Err(Failure::Behind), Some(log)) = (&result, &mut self.log) {
            let mut news = Vec::new();
            batch::catch_up(session, shard, log, &mut news).await?;
        }
        result
    }
}

/// How many steps and changes a work has, and about how many bytes its records.
fn weight(work: &Work) -> (usize, usize) {
    use farthing_ledger::record::RecordChange;
    let bytes = work.records.iter().map(|change| match change {
        RecordChange::Put { at, body, .. } => at.key.len() + body.len(),
        other => other.at().key.len(),
    });
    (work.steps.len() + work.records.len() + 1, bytes.sum())
}
