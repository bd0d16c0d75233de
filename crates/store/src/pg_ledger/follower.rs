//! [`Follower`]: keeps the view up to date for whoever reads. However many ask at once, the log is asked once, and what others
//! appended is added to the view; the answers then come from memory.

use std::sync::Arc;
use std::time::Duration;

use farthing_ledger::record::Version;
use farthing_ledger::store::StoreError;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::Instant;

use super::error::Failure;
use super::flush::{Flush, Waiting};
use super::look::{Ends, Look, Seen};
use super::sql::{Session, Sql};
use super::view::View;
use super::writer::Recovery;
use crate::postgres::connector::Connector;
use crate::postgres::error::PgError;
use crate::postgres::session::{READ, within};

/// How often the log is looked at while somebody waits for a change.
const TICK: Duration = Duration::from_millis(200);

/// How long what others committed may stay without a mark before it is made durable here: they may have ended in between.
pub(super) const ORPHANED: Duration = Duration::from_millis(100);

/// The connection that reads, made again when it broke.
pub(super) type Reading = Arc<Mutex<Connector<Sql>>>;

/// Somebody waits for the view to be as the log is now.
pub(super) type Fresh = oneshot::Sender<Result<(), StoreError>>;

pub(super) struct Follower {
    pub(super) recovery: Recovery,
    pub(super) reading: Reading,
    pub(super) look: Look,
    /// What was committed and is not marked durable, and since when.
    pub(super) unmarked: Option<(u64, u64, Instant)>,
}

impl Follower {
    /// Runs until every sender is gone.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Fresh>) {
        let mut waiting = Vec::new();
        loop {
            tokio::select! {
                count = queue.recv_many(&mut waiting, 4_096) => if count == 0 { return },
                () = tokio::time::sleep(TICK) => if self.look.commits.receiver_count() == 0 { continue },
            }
            let result = self.refresh().await;
            for reply in waiting.drain(..) {
                let answer = result.as_ref().copied().map_err(Failure::answer);
                drop(reply.send(answer));
            }
        }
    }

    async fn refresh(&mut self) -> Result<(), Failure> {
        for attempt in 0.. {
            let session = self.reading.lock().await.session().await?;
            let following = async { Ok(self.follow(&session).await) };
            let failure = match within(READ, "reading the log", following).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(failure)) => failure,
                Err(error) => error.into(),
            };
            match failure {
                Failure::Before(PgError::Broken(_)) if attempt < 3 => {
                    self.reading.lock().await.forget_if(&session);
                }
                Failure::Diverged if attempt < 3 => {
                    tracing::warn!("the log is another one than was shown; it is read again");
                    let log = self.recovery.run().await?;
                    *self.look.view.write() = View::of(&log.books);
                    self.look.commits.send_replace(Version(log.marks.version));
                }
                failure => return Err(failure),
            }
        }
        Err(Failure::Diverged)
    }

    async fn follow(&mut self, session: &Session) -> Result<(), Failure> {
        loop {
            if let Seen::All(ends) = self.look.look(session).await? {
                return self.adopt(session, &ends).await;
            }
        }
    }

    /// Makes durable what somebody committed who does not seem to do so.
    async fn adopt(&mut self, session: &Session, marks: &Ends) -> Result<(), Failure> {
        if marks.is_durable() {
            self.unmarked = None;
            return Ok(());
        }
        match self.unmarked {
            Some((seq, version, since)) if marks.durable_seq < seq || marks.durable_version < version => {
                if since.elapsed() < ORPHANED {
                    return Ok(());
                }
                self.unmarked = None;
                // Only what is seen after that connection was there: see `flush`.
                let syncing = self.recovery.syncing.lock().await.session().await?;
                let Ends { seq, version, .. } = Ends::read(session, self.look.shard).await?;
                let flush =
                    Flush { session: syncing, seq, version, news: Vec::new(), waiting: Waiting::Nobody };
                drop(self.recovery.flusher.try_send(flush));
            }
            _ => self.unmarked = Some((marks.seq, marks.version, Instant::now())),
        }
        Ok(())
    }
}
