//! [`PgLedger`]: a ledger with records in PostgreSQL, for any number of processes at once. The journal is a log that they share.
//!
//! Every process keeps all balances in memory and follows the log. A batch locks the end of the log, reads what others appended,
//! decides in memory with [`farthing_ledger::Engine`], appends and commits: two round trips, one writer in a process, and
//! processes take turns (`batch`). The commit is then made durable for many batches at once, and only then anybody is answered
//! or shown what was written (`flush`). Readers are answered from memory, once the log was asked whether it has moved
//! (`look`): by themselves, where they ask (`direct`), or once for many (`follower`). Whatever goes wrong, the log tells: books that
//! differ from it are read again.
//!
//! No row of an account is locked and none is read while serving; nothing rests on which process answered, nor on an isolation
//! level. It decides nothing itself.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use farthing_ledger::journal::{Head, Sealed};
use farthing_ledger::record::{Committed, Record, RecordKey, RecordStore, Scan, Version, Work};
use farthing_ledger::store::{HistoryQuery, LedgerStore, Page, StoreError};
use farthing_ledger::verify::{Fault, Report};
use farthing_ledger::{Account, AccountId, AssetId, Known, Outcome, Step, Timestamp, TransferId};
use farthing_money::Asset;
use futures_util::future::join;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::books::Tuning;
use crate::owned_file::OpenError;
use crate::postgres::connector::Connector;
use crate::postgres::error::PgError;
use crate::postgres::session::{self, Access, within};
use crate::postgres::{PgUrl, open_error, schema};

mod append;
mod audit;
mod batch;
mod desk;
mod direct;
mod error;
mod flush;
mod follower;
mod home;
mod log;
mod look;
mod plan;
mod reader;
mod recover;
mod row;
mod sql;
mod view;
mod writer;

#[cfg(test)]
mod tests;

use direct::Direct;
use error::Failure;
use flush::{Flush, Flusher, Syncing, Waiting};
use follower::{Follower, Fresh, Reading};
use home::Home;
use look::{Ends, Look};
use reader::{Reader, Shown, Used};
use sql::{Session, Sql};
use view::{SharedView, View};
use writer::{Place, Recovery, Request, Writer};

/// The longest queues: past them, callers wait for a place.
const WRITES: usize = 8_192;
const READS: usize = 8_192;
const FLUSHES: usize = 64;

/// How long a question may take.
const READ: Duration = session::READ;

/// The tables of the ledger, whose version is their own: claims may lie beside them.
const TABLES: schema::Tables = schema::Tables {
    version: "ledger_version",
    first: "ledger_head",
    migrations: &[
        include_str!("../../migrations/postgres/ledger_0001.sql"),
        include_str!("../../migrations/postgres/ledger_0002.sql"),
    ],
};

/// A ledger in a PostgreSQL database that other processes may have open too.
///
/// Needs a tokio runtime with time and IO. [`close`](Self::close) waits until what is queued is answered; dropping it does not.
pub struct PgLedger {
    place: Place,
    queue: Option<mpsc::Sender<Request>>,
    fresh: Option<mpsc::Sender<Fresh>>,
    direct: Direct,
    flusher: Option<mpsc::Sender<Flush>>,
    reading: Reading,
    syncing: Syncing,
    view: SharedView,
    commits: watch::Sender<Version>,
    tasks: Vec<JoinHandle<()>>,
    /// Dropped last: what is read over is served there.
    _home: Home,
}

impl std::fmt::Debug for PgLedger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Place { url, shard, .. } = &self.place;
        f.debug_struct("PgLedger").field("url", url).field("shard", shard).finish_non_exhaustive()
    }
}

impl PgLedger {
    /// Connects, makes the tables or brings them up to date, and reads the books of the first log.
    ///
    /// `seed` should be random: it keeps callers, who choose ids, from choosing slow ones.
    ///
    /// # Errors
    /// [`OpenError`]: the server cannot be reached or refuses, the schema is another program's or a newer version's, or what is
    /// stored is damaged.
    pub async fn open(url: PgUrl, seed: u64) -> Result<Self, OpenError> {
        Self::open_shard(url, 0, seed).await
    }

    /// The same for the log with this number: several may share a database, and know nothing of each other.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open_shard(url: PgUrl, shard: i32, seed: u64) -> Result<Self, OpenError> {
        Self::open_tuned(url, shard, Tuning::new(seed)).await
    }

    async fn open_tuned(url: PgUrl, shard: i32, tuning: Tuning) -> Result<Self, OpenError> {
        let shown = url.clone();
        let failed = |error: PgError| open_error(&shown, error.into());
        let broken = |failure: Failure| match failure {
            Failure::Before(error) => open_error(&shown, error.into()),
            other => OpenError::Database { server: shown.to_string(), why: other.to_string() },
        };
        let client = session::connect(&url, Access::Write).await.map_err(failed)?;
        schema::migrate(&client, &TABLES).await.map_err(|error| open_error(&shown, error))?;
        recover::begin_log(&client, shard).await.map_err(broken)?;
        // What others have committed and not made durable yet is made durable by this: see `flush`.
        let syncing = Session::open(&url, Access::Write).await.map_err(failed)?;
        let log = recover::recover(&client, shard, tuning).await.map_err(broken)?;
        let place = Place { url: Arc::new(url), shard, tuning };
        Self::start(place, log, syncing).await.map_err(broken)
    }

    async fn start(place: Place, log: log::Log, first: Session) -> Result<Self, Failure> {
        let home = Home::start().map_err(|error| Failure::Before(PgError::Broken(error.to_string())))?;
        let connector = |access, session| Connector::<Sql>::new(Arc::clone(&place.url), access, session);
        // Those that read are served beside the callers; the others where the callers are, who wait for them anyway.
        let elsewhere = home.handle().clone();
        let reader = || Arc::new(Mutex::new(connector(Access::Read, None).served_by(elsewhere.clone())));
        let view = SharedView::new(View::of(&log.books));
        let commits = watch::Sender::new(Version(0));
        let syncing = connector(Access::Write, Some(first)).served_by(Handle::current());
        let syncing: Syncing = Arc::new(Mutex::new(syncing));
        let (flusher, flushes) = mpsc::channel(FLUSHES);
        let (queue, requests) = mpsc::channel(WRITES);
        let (fresh, asked) = mpsc::channel(READS);
        let flushing = Flusher::new(place.shard, Arc::clone(&syncing), view.clone(), commits.clone());
        let flushing = tokio::spawn(flushing.run(flushes));
        let recovery =
            Recovery { place: place.clone(), syncing: Arc::clone(&syncing), flusher: flusher.clone() };
        let session = syncing.lock().await.session().await?;
        recovery.secure(session, &log).await?;
        let writer = Writer::new(log, connector(Access::Write, None), recovery.clone(), view.clone());
        let look = Look { shard: place.shard, view: view.clone(), commits: commits.clone() };
        let direct = Direct::new(Arc::clone(&place.url), look.clone());
        let follower = Follower { recovery, reading: reader(), look, unmarked: None };
        let reading = reader();
        let following = home.handle().spawn(follower.run(asked));
        let tasks = vec![flushing, tokio::spawn(writer.run(requests)), following];
        let (queue, fresh, flusher) = (Some(queue), Some(fresh), Some(flusher));
        Ok(Self { place, queue, fresh, direct, flusher, reading, syncing, view, commits, tasks, _home: home })
    }

    /// Answers what is queued, and ends.
    pub async fn close(mut self) {
        (self.queue, self.fresh, self.flusher) = (None, None, None);
        for task in self.tasks.drain(..) {
            if task.await.is_err() {
                tracing::error!("a task of the ledger panicked");
            }
        }
    }

    async fn submit(&self, work: Work) -> Result<Committed, StoreError> {
        let (reply, answer) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or(StoreError::Closed)?;
        queue.send(Request { work, reply }).await.map_err(|_| StoreError::Closed)?;
        // A writer that ended with a request in hand may have written it.
        answer.await.map_err(|lost| StoreError::Unknown(Box::new(lost)))?
    }

    /// Waits until the view is what the log is now, as far as that is on disk.
    async fn refresh(&self) -> Result<(), StoreError> {
        self.direct.refresh(self.fresh.as_ref().ok_or(StoreError::Closed)?).await
    }

    /// Asks, and once more on another connection where the first one broke.
    async fn ask<T, F>(&self, question: impl Fn(Reader) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Failure>> + Send,
    {
        let shard = self.place.shard;
        let mut last = Failure::Diverged;
        for _ in 0..2 {
            let session = self.reading.lock().await.session().await.map_err(Failure::from)?;
            let asking = question(Reader { session: Arc::clone(&session), shard });
            let asking = async { Ok(asking.await) };
            match within(READ, "a question", asking).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failure @ Failure::Before(PgError::Broken(_)))) => last = failure,
                Ok(Err(failure)) => return Err(failure.into()),
                Err(error) => last = error.into(),
            }
            self.reading.lock().await.forget_if(&session);
        }
        Err(last.into())
    }

    /// Reads records, and waits until what they say is on disk.
    async fn durably<T: Send, F>(
        &self,
        question: impl Fn(Reader) -> F,
        last: impl Fn(&T) -> u64,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Failure>> + Send,
    {
        // Before what it is to make durable is seen: see `flush`.
        let syncing = self.syncing.lock().await.session().await.map_err(Failure::from)?;
        let shard = self.place.shard;
        let asking = self.ask(|reader| {
            let session = Arc::clone(&reader.session);
            let found = question(reader);
            async move {
                let (found, ends) = join(found, Ends::read(&session, shard)).await;
                Ok((found?, ends?))
            }
        });
        let (found, ends) = asking.await?;
        if last(&found) > ends.durable_version {
            let (reply, answer) = oneshot::channel();
            let waiting = Waiting::Reader(reply);
            // The entries of the same commits with them: whoever sees a record finds what moved with it.
            let Ends { seq, version, .. } = ends;
            let flush = Flush { session: syncing, seq, version, news: Vec::new(), waiting };
            let queue = self.flusher.as_ref().ok_or(StoreError::Closed)?;
            queue.send(flush).await.map_err(|_| StoreError::Closed)?;
            answer.await.map_err(|_| StoreError::Closed)??;
        }
        Ok(found)
    }
}

/// Proves the ledger in a database, whether or not processes have it open, and without changing it.
///
/// # Errors
/// [`OpenError`] when it cannot be read. That the ledger is broken is an answer, not an error.
pub async fn verify_database(url: &PgUrl, shard: i32) -> Result<Result<Report, Fault>, OpenError> {
    let failed = |error: PgError| open_error(url, error.into());
    let client = session::connect(url, Access::Read).await.map_err(failed)?;
    schema::check(&client, &TABLES).await.map_err(|error| open_error(url, error))?;
    audit::audit(&client, shard, None).await.map_err(|failure| match failure {
        Failure::Before(error) => open_error(url, error.into()),
        other => OpenError::Database { server: url.to_string(), why: other.to_string() },
    })
}

#[async_trait]
impl LedgerStore for PgLedger {
    async fn transact(&self, now: Timestamp, steps: Vec<Step>) -> Result<Vec<Outcome>, StoreError> {
        let work = Work { now, steps, records: Vec::new() };
        match self.commit(work).await? {
            Committed::Applied { outcomes, .. } | Committed::Refused { outcomes } => Ok(outcomes),
            Committed::Conflict { .. } => {
                Err(StoreError::Damaged { what: "a conflict without records".to_owned() })
            }
        }
    }

    async fn accounts(&self, ids: &[AccountId]) -> Result<Vec<Option<Account>>, StoreError> {
        self.refresh().await?;
        let view = self.view.read();
        Ok(ids.iter().map(|id| view.account(*id).map(|(account, _)| account)).collect())
    }

    async fn account_at(&self, id: AccountId, at: Timestamp) -> Result<Option<Account>, StoreError> {
        self.refresh().await?;
        let shown = self.view.read().account(id);
        match shown {
            Some((account, last_seq)) => {
                let shown = Shown { account, last_seq };
                self.ask(|reader| async move { reader.account_at(shown, at).await }).await
            }
            None => Ok(None),
        }
    }

    async fn asset(&self, id: AssetId) -> Result<Option<Asset>, StoreError> {
        self.refresh().await?;
        Ok(self.view.read().asset(id).cloned())
    }

    async fn known(&self, id: TransferId) -> Result<Option<Known>, StoreError> {
        // A hold that ends, or is placed, between the two looks is found by the next.
        for _ in 0..500 {
            self.refresh().await?;
            let (open, shown) = {
                let view = self.view.read();
                (view.open_hold(id), view.head().seq)
            };
            if open.is_some() {
                return Ok(open);
            }
            match self.ask(|reader| async move { reader.known(id).await }).await? {
                Used::Never => return Ok(None),
                Used::Known { known, seq } if seq <= shown => return Ok(Some(*known)),
                Used::Known { .. } | Used::Open => tokio::time::sleep(Duration::from_millis(2)).await,
            }
        }
        Err(StoreError::Retryable("what became of an id changes faster than it can be read".into()))
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<TransferId>, StoreError> {
        self.refresh().await?;
        Ok(self.view.read().due(now, limit))
    }

    async fn history(&self, query: HistoryQuery) -> Result<Page, StoreError> {
        self.refresh().await?;
        let (query, last) = (&query, self.view.read().account(query.account).map_or(0, |(_, last)| last));
        self.ask(|reader| async move { reader.history(query, last).await }).await
    }

    async fn journal(&self, seq: u64, limit: usize) -> Result<Vec<Sealed>, StoreError> {
        self.refresh().await?;
        let last = self.view.read().head().seq;
        self.ask(|reader| async move { reader.journal(seq, last, limit).await }).await
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.refresh().await?;
        Ok(self.view.read().head())
    }

    /// Reads everything, on a connection of its own.
    async fn verify(&self) -> Result<Result<Report, Fault>, StoreError> {
        self.refresh().await?;
        let shown = {
            let view = self.view.read();
            audit::Shown { head: view.head(), accounts: view.accounts() }
        };
        let client = session::connect(&self.place.url, Access::Read).await.map_err(Failure::from)?;
        Ok(audit::audit(&client, self.place.shard, Some(&shown)).await?)
    }
}

#[async_trait]
impl RecordStore for PgLedger {
    async fn commit(&self, work: Work) -> Result<Committed, StoreError> {
        work.check()?;
        self.submit(work).await
    }

    async fn records(&self, keys: &[RecordKey]) -> Result<Vec<Option<Record>>, StoreError> {
        let last = |found: &Vec<Option<Record>>| {
            found.iter().flatten().map(|record| record.revision.0).max().unwrap_or_default()
        };
        self.durably(|reader| async move { reader.records(keys).await }, last).await
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<Record>, StoreError> {
        let scan = &scan;
        let last =
            |found: &Vec<Record>| found.iter().map(|record| record.revision.0).max().unwrap_or_default();
        self.durably(|reader| async move { reader.scan(scan).await }, last).await
    }

    async fn changed(&self, version: Version) -> Result<Version, StoreError> {
        let mut commits = self.commits.subscribe();
        // What others committed before is not known until the log is looked at.
        self.refresh().await?;
        let last = commits.wait_for(|last| *last > version).await;
        last.map(|last| *last).map_err(|_| StoreError::Closed)
    }
}
