//! [`Flusher`]: makes what was committed durable, for as many batches at once as wait for it, and answers them then.
//!
//! A writer's commit stands in the database's log before it is on disk. A commit that waits for the disk, made afterwards on
//! another connection, waits for everything before it too, standbys included where the server is told to wait for them. It says how
//! far the ledger's log reached, and is visible to nobody before it is on disk: so readers, who look no further than what it says,
//! see nothing that could still be lost.
//!
//! Each batch has to be followed by the connection that was there before it. If the server crashes in between, that connection
//! is broken, and callers are told that the outcome is not known; never by a connection that was made after the crash.

use std::sync::Arc;

use farthing_ledger::journal::Sealed;
use farthing_ledger::record::{Committed, Version};
use farthing_ledger::store::StoreError;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::time::Instant;

use super::error::Failure;
use super::sql::{Session, Sql};
use super::view::SharedView;
use crate::books::row::signed;
use crate::postgres::connector::Connector;
use crate::postgres::error::PgError;
use crate::postgres::session::within;

/// The most batches that one sync makes durable.
const MOST: usize = 256;

/// How long a sync may take.
const SYNC: std::time::Duration = std::time::Duration::from_secs(12);

/// After a sync that many waited for, how long the next one is put off: those who were just answered come back at once, and with
/// those who wait already make one sync of two. Other processes' batches are in by then too.
const LINGER: std::time::Duration = std::time::Duration::from_millis(1);
const MANY: usize = 8;

/// Rows of the marks that processes share when all of the others are taken.
const SHARED_SLOT: i32 = 64;

pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// The connection that syncs, made again when it broke.
pub(super) type Syncing = Arc<Mutex<Connector<Sql>>>;

/// What waits to be durable.
pub(super) struct Flush {
    /// The connection that was there before it was committed, or before it was seen.
    pub(super) session: Arc<Session>,
    pub(super) seq: u64,
    pub(super) version: u64,
    pub(super) news: Vec<Sealed>,
    pub(super) waiting: Waiting,
}

/// Who waits for it.
pub(super) enum Waiting {
    Callers(Vec<(Reply<Committed>, Result<Committed, StoreError>)>),
    Reader(oneshot::Sender<Result<(), StoreError>>),
    Nobody,
}

/// What a connection is known to have made durable.
struct Known {
    session: Arc<Session>,
    slot: i32,
    seq: u64,
    version: u64,
    /// Nothing was marked over it yet.
    is_new: bool,
}

pub(super) struct Flusher {
    shard: i32,
    syncing: Syncing,
    view: SharedView,
    commits: watch::Sender<Version>,
    known: Option<Known>,
}

impl Flusher {
    pub(super) fn new(
        shard: i32,
        syncing: Syncing,
        view: SharedView,
        commits: watch::Sender<Version>,
    ) -> Self {
        Self { shard, syncing, view, commits, known: None }
    }

    /// Runs until every sender is gone.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Flush>) {
        let mut batch = Vec::new();
        let mut linger_until = Instant::now();
        while queue.recv_many(&mut batch, MOST).await > 0 {
            if linger_until > Instant::now() {
                tokio::time::sleep_until(linger_until).await;
                while batch.len() < MOST
                    && let Ok(more) = queue.try_recv()
                {
                    batch.push(more);
                }
            }
            let mut rest = std::mem::take(&mut batch);
            let callers: usize = rest.iter().map(Flush::callers).sum();
            while let Some(first) = rest.first() {
                let session = Arc::clone(&first.session);
                let (same, others) =
                    rest.into_iter().partition(|flush| Arc::ptr_eq(&flush.session, &session));
                rest = others;
                self.serve(&session, same).await;
            }
            if callers >= MANY {
                linger_until = Instant::now() + LINGER;
            }
        }
    }

    async fn serve(&mut self, session: &Arc<Session>, batch: Vec<Flush>) {
        let seq = batch.iter().map(|flush| flush.seq).max().unwrap_or_default();
        let version = batch.iter().map(|flush| flush.version).max().unwrap_or_default();
        match within(SYNC, "a sync", self.sync(session, seq, version)).await {
            Ok(()) => {
                for flush in &batch {
                    self.view.take(&flush.news);
                }
                self.commits.send_if_modified(|last| {
                    let is_later = version > last.0;
                    last.0 = version.max(last.0);
                    is_later
                });
                batch.into_iter().for_each(Flush::answer);
            }
            Err(error) => {
                tracing::warn!(%error, "what was committed could not be made durable; its outcome is not known");
                self.known = None;
                self.syncing.lock().await.forget_if(session);
                batch.into_iter().for_each(|flush| flush.fail(&error));
            }
        }
    }

    async fn sync(&mut self, session: &Arc<Session>, seq: u64, version: u64) -> Result<(), PgError> {
        let shard = self.shard;
        let known = match self.known.take().filter(|known| Arc::ptr_eq(&known.session, session)) {
            Some(known) => known,
            None => {
                let row = session.query(Sql::TakeSlot, &[&shard]).await?;
                let slot = row.first().map_or(Ok(SHARED_SLOT), |row| row.try_get(0))?;
                Known { session: Arc::clone(session), slot, seq: 0, version: 0, is_new: true }
            }
        };
        if seq > known.seq || version > known.version {
            let (signed_seq, signed_version) = (signed(seq), signed(version));
            let (slot, before) = (known.slot, signed(known.version));
            let params: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                [&shard, &slot, &before, &signed_seq, &signed_version];
            session.execute(Sql::Durable, &params).await?;
            if known.is_new {
                session.execute(Sql::ForgetMarks, &[&shard, &slot, &signed_version]).await?;
            }
        }
        let (seq, version) = (known.seq.max(seq), known.version.max(version));
        let is_new = known.is_new && version == 0;
        self.known = Some(Known { seq, version, is_new, ..known });
        Ok(())
    }
}

impl Flush {
    const fn callers(&self) -> usize {
        match &self.waiting {
            Waiting::Callers(callers) => callers.len(),
            Waiting::Reader(_) | Waiting::Nobody => 0,
        }
    }

    fn answer(self) {
        // A receiver that is gone has lost interest; that is its business.
        match self.waiting {
            Waiting::Callers(callers) => {
                for (reply, answer) in callers {
                    drop(reply.send(answer));
                }
            }
            Waiting::Reader(reply) => drop(reply.send(Ok(()))),
            Waiting::Nobody => {}
        }
    }

    /// Nobody knows whether it will survive. Who only wanted to read may ask again.
    pub(super) fn fail(self, error: &PgError) {
        match self.waiting {
            Waiting::Callers(callers) => {
                for (reply, _) in callers {
                    drop(reply.send(Err(Failure::Unknown(error.to_string()).answer())));
                }
            }
            Waiting::Reader(reply) => {
                drop(reply.send(Err(StoreError::Retryable(error.to_string().into()))));
            }
            Waiting::Nobody => {}
        }
    }
}
