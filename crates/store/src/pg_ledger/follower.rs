//! [`Follower`]: keeps the view up to date for whoever reads. However many ask at once, the log is asked once, and what others
//! appended is added to the view; the answers then come from memory.

use std::sync::Arc;
use std::time::Duration;

use farthing_ledger::journal::Head;
use farthing_ledger::record::Version;
use farthing_ledger::store::StoreError;
use futures_util::future::join;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::error::Failure;
use super::flush::{Flush, Waiting};
use super::row::{self, number};
use super::sql::{Session, Sql};
use super::view::{SharedView, Step, View};
use super::writer::Recovery;
use crate::books::row::signed;
use crate::postgres::connector::Connector;
use crate::postgres::error::PgError;
use crate::postgres::session::{READ, within};

/// Entries that are read at once.
const PAGE: i64 = 2_048;

/// How often the log is looked at while somebody waits for a change.
const TICK: Duration = Duration::from_millis(200);

/// How long what others committed may stay without a mark before it is made durable here: they may have ended in between.
const ORPHANED: Duration = Duration::from_millis(100);

/// The connection that reads, made again when it broke.
pub(super) type Reading = Arc<Mutex<Connector<Sql>>>;

/// Somebody waits for the view to be as the log is now.
pub(super) type Fresh = oneshot::Sender<Result<(), StoreError>>;

pub(super) struct Follower {
    pub(super) recovery: Recovery,
    pub(super) reading: Reading,
    pub(super) view: SharedView,
    pub(super) commits: watch::Sender<Version>,
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
                () = tokio::time::sleep(TICK) => if self.commits.receiver_count() == 0 { continue },
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
                    *self.view.write() = View::of(&log.books);
                    self.commits.send_replace(Version(log.marks.version));
                }
                failure => return Err(failure),
            }
        }
        Err(Failure::Diverged)
    }

    async fn follow(&mut self, session: &Session) -> Result<(), Failure> {
        let shard = self.recovery.place.shard;
        loop {
            let head = self.view.read().head();
            let from = signed(head.seq);
            let (ends, rows) =
                join(Ends::read(session, shard), session.query(Sql::DurableTail, &[&shard, &from, &PAGE]))
                    .await;
            let (ends, rows) = (ends?, rows?);
            self.take(head, &rows)?;
            if rows.len() >= usize::try_from(PAGE).unwrap_or(usize::MAX) {
                continue;
            }
            let durable = ends.durable_version;
            self.commits.send_if_modified(|last| {
                let is_later = durable > last.0;
                last.0 = durable.max(last.0);
                is_later
            });
            return self.adopt(session, &ends).await;
        }
    }

    /// Takes rows over that begin with the entry that `head` is.
    fn take(&self, head: Head, rows: &[tokio_postgres::Row]) -> Result<(), Failure> {
        let mut rows = rows.iter();
        if head.seq > 0 {
            let own = rows.next().ok_or(Failure::Diverged)?;
            if row::body_and_hash(own, 1)?.1 != head.hash {
                return Err(Failure::Diverged);
            }
        }
        for row in rows {
            let sealed = row::sealed(row, 1)?;
            if self.view.write().take(&sealed) == Step::Diverged {
                return Err(Failure::Diverged);
            }
        }
        Ok(())
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
                let Ends { seq, version, .. } = Ends::read(session, self.recovery.place.shard).await?;
                let flush =
                    Flush { session: syncing, seq, version, news: Vec::new(), waiting: Waiting::Nobody };
                drop(self.recovery.flusher.try_send(flush));
            }
            _ => self.unmarked = Some((marks.seq, marks.version, Instant::now())),
        }
        Ok(())
    }
}

/// The end of the log, and how far it is known to be on disk.
pub(super) struct Ends {
    pub(super) seq: u64,
    pub(super) version: u64,
    durable_seq: u64,
    pub(super) durable_version: u64,
}

impl Ends {
    pub(super) async fn read(session: &Session, shard: i32) -> Result<Self, Failure> {
        let rows = session.query(Sql::Marks, &[&shard]).await?;
        let row = rows.first().ok_or(Failure::Diverged)?;
        Ok(Self {
            seq: number(row, 0)?,
            version: number(row, 1)?,
            durable_seq: number(row, 2)?,
            durable_version: number(row, 3)?,
        })
    }

    const fn is_durable(&self) -> bool {
        self.seq <= self.durable_seq && self.version <= self.durable_version
    }
}
