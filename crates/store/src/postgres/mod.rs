//! [`PgClaims`]: claims in PostgreSQL, for any number of processes at once.
//!
//! Group commit as in SQLite, with the database's locks instead of one owner ([`batch`] says which). Each process has a few
//! writing connections, which share a queue, and one for reading. Connections that break are made again; a step whose commit was
//! not answered is answered as a failure of the store, because whether it was taken is not known.

use std::sync::Arc;

use async_trait::async_trait;
use farthing_protocol::UnixMs;
use farthing_protocol::ports::{
    AdvanceError, Claim, ClaimId, ClaimOutcome, ClaimStep, ClaimStore, Listed, NewClaim, Page, StoreEpoch,
    StoreError, StoredAnswer,
};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::limits::{Limits, check_new, check_step};
use crate::owned_file::OpenError;
use crate::report::Report;
use crate::row::ms;

mod batch;
mod budget;
mod check;
pub(crate) mod connector;
pub(crate) mod error;
mod row;
pub(crate) mod schema;
pub(crate) mod serving;
pub(crate) mod session;
mod sql;
mod tls;
mod upkeep;
mod url;
mod wide;
mod world;
mod writer;

#[cfg(test)]
mod tests;

pub use url::{PgUrl, PgUrlError};

use batch::Request;
use connector::Connector;
use error::PgError;
use session::{Access, Session};
use sql::Sql;
use writer::{Command, Reply, Told, Writer};

/// The longest queue: past it, callers wait for a place.
const QUEUE: usize = 4096;

/// Writing connections of a process: while one waits for the disk, the other's batch is decided.
const WRITERS: usize = 2;

/// Claims in a PostgreSQL database that other processes may have open too.
///
/// Needs a tokio runtime with time and IO. [`close`](Self::close) waits until what is queued is answered; dropping it does not.
pub struct PgClaims {
    url: Arc<PgUrl>,
    queue: Option<mpsc::Sender<Command>>,
    reader: Mutex<Connector<Sql>>,
    told: Arc<Told>,
    writers: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for PgClaims {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PgClaims").field("url", &self.url).finish_non_exhaustive()
    }
}

impl PgClaims {
    /// Connects, makes the tables or brings them up to date, and finds out which history they have.
    ///
    /// # Errors
    /// [`OpenError`]: the server cannot be reached or refuses, the schema is another program's or a newer version's.
    pub async fn open(url: PgUrl) -> Result<Self, OpenError> {
        let failed = |error: PgError| open_error(&url, error.into());
        let client = session::connect(&url, Access::Write).await.map_err(failed)?;
        schema::migrate(&client, &schema::CLAIMS).await.map_err(|error| open_error(&url, error))?;
        schema::history(&client).await.map_err(failed)?;
        let first = Session::new(client).await.map_err(failed)?;
        let (url, told) = (Arc::new(url), Arc::new(Told::default()));
        let (sender, receiver) = mpsc::channel(QUEUE);
        let receiver = Arc::new(Mutex::new(receiver));
        let mut first = Some(first);
        let writers = (0..WRITERS)
            .map(|_| {
                let connector = Connector::new(Arc::clone(&url), Access::Write, first.take());
                tokio::spawn(Writer::new(connector, Arc::clone(&told)).run(Arc::clone(&receiver)))
            })
            .collect();
        let reader = Mutex::new(Connector::new(Arc::clone(&url), Access::Read, None));
        Ok(Self { url, queue: Some(sender), reader, told, writers })
    }

    /// Opens the store for reading only: every method that writes fails.
    ///
    /// # Errors
    /// [`OpenError`]: likewise, and a schema of an older version.
    pub async fn open_to_look(url: PgUrl) -> Result<Self, OpenError> {
        let failed = |error: PgError| open_error(&url, error.into());
        let client = session::connect(&url, Access::Read).await.map_err(failed)?;
        schema::check(&client, &schema::CLAIMS).await.map_err(|error| open_error(&url, error))?;
        let first = Session::new(client).await.map_err(failed)?;
        let url = Arc::new(url);
        let reader = Mutex::new(Connector::new(Arc::clone(&url), Access::Read, Some(first)));
        Ok(Self { url, queue: None, reader, told: Arc::default(), writers: Vec::new() })
    }

    /// Gives the store another epoch: credentials of challenges that were issued before are not honoured any more. For backups
    /// whose restoring cannot be seen. Gateways that run find out by themselves.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn fence(url: &PgUrl) -> Result<StoreEpoch, OpenError> {
        let failed = |error: PgError| open_error(url, error.into());
        let client = session::connect(url, Access::Write).await.map_err(failed)?;
        schema::migrate(&client, &schema::CLAIMS).await.map_err(|error| open_error(url, error))?;
        schema::history(&client).await.map_err(failed)?;
        schema::fence(&client).await.map_err(failed)
    }

    /// Looks over the whole store. Takes as long as it is large, on a connection of its own.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn check(&self) -> Result<Report, StoreError> {
        let client = session::connect(&self.url, Access::Read).await?;
        Ok(check::check(&client).await?)
    }

    /// Answers what is queued, and ends.
    pub async fn close(mut self) {
        self.queue = None;
        for writer in self.writers.drain(..) {
            if writer.await.is_err() {
                tracing::error!("a writer of the store panicked");
            }
        }
    }

    async fn write<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, StoreError> {
        let gone = || StoreError { detail: "the store is closed, or open for reading only".into() };
        let (reply, answer) = oneshot::channel();
        self.queue.as_ref().ok_or_else(gone)?.send(command(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Reads, and once more on another connection where the first one broke.
    async fn read(&self, sql: Sql, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        let mut last = StoreError { detail: "the database does not answer".into() };
        for _ in 0..2 {
            let session = self.reader.lock().await.session().await?;
            match session::within(session::READ, "a query", session.query(sql, params)).await {
                Err(error @ PgError::Broken(_)) => last = error.into(),
                result => return Ok(result?),
            }
            self.reader.lock().await.forget_if(&session);
        }
        Err(last)
    }
}

/// Why a store was not opened.
pub(crate) fn open_error(url: &PgUrl, error: schema::SchemaError) -> OpenError {
    let (path, server) = (url.to_string().into(), url.to_string());
    match error {
        schema::SchemaError::TooNew { found, known } => OpenError::TooNew { path, found, known },
        schema::SchemaError::TooOld { found, known } => OpenError::TooOld { path, found, known },
        schema::SchemaError::NotOurs => OpenError::NotOurs { path },
        schema::SchemaError::Pg(error @ PgError::Broken(_)) => {
            OpenError::Unreachable { server, why: error.to_string() }
        }
        schema::SchemaError::Pg(error) => OpenError::Database { server, why: error.to_string() },
    }
}

#[async_trait]
impl ClaimStore for PgClaims {
    async fn claim(&self, claim: NewClaim, now: UnixMs) -> Result<ClaimOutcome, StoreError> {
        check_new(&claim, now)?;
        let request = Request::Claim { new: Box::new(claim), now };
        self.write(|reply| Command::Claim { request, reply }).await
    }

    async fn advance(&self, id: &ClaimId, step: ClaimStep, now: UnixMs) -> Result<(), AdvanceError> {
        check_step(&step, now)?;
        let request = Request::Advance { id: id.clone(), step: Box::new(step), now };
        self.write(|reply| Command::Advance { request, reply }).await?
    }

    async fn get(&self, id: &ClaimId) -> Result<Option<Claim>, StoreError> {
        let rows = self.read(Sql::Get, &[&id.0]).await?;
        Ok(rows.first().map(row::read).transpose()?.map(|stored| stored.claim))
    }

    async fn answer(&self, id: &ClaimId) -> Result<Option<StoredAnswer>, StoreError> {
        let rows = self.read(Sql::Answer, &[&id.0]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(Some(row::answer(id, row)?))
    }

    async fn list(&self, listed: Listed, page: Page) -> Result<Vec<Claim>, StoreError> {
        let statement = match listed {
            Listed::Settling => Sql::ListSettling,
            Listed::Abandoned => Sql::ListAbandoned,
            Listed::Interrupted => Sql::ListInterrupted,
            Listed::RefundDue => Sql::ListRefundDue,
            Listed::Refunding => Sql::ListRefunding,
            Listed::Credit => Sql::ListCredit,
            Listed::Delivered => Sql::ListDelivered,
        };
        let (after_ms, after_id) = match &page.after {
            Some((at, id)) => (ms(*at), id.0.as_str()),
            None => (-1, ""),
        };
        let limit = i64::try_from(page.limit.min(Limits::PAGE)).unwrap_or(i64::MAX);
        let rows = self.read(statement, &[&ms(page.before), &after_ms, &after_id, &limit]).await?;
        rows.iter().map(|row| Ok(row::read(row)?.claim)).collect()
    }

    async fn release_leases(&self, now: UnixMs) -> Result<usize, StoreError> {
        self.write(|reply| Command::Release { now, reply }).await
    }

    async fn prune(&self, expired_before: UnixMs, limit: usize) -> Result<usize, StoreError> {
        self.write(|reply| Command::Prune { expired_before, limit, reply }).await
    }

    /// The history that the database has now. From then on nothing is claimed in another one, until this is asked again.
    async fn epoch(&self) -> Result<StoreEpoch, StoreError> {
        let rows = self.read(Sql::Epoch, &[]).await?;
        let epoch: Option<i64> = rows.first().map(|row| row.try_get(0)).transpose().map_err(PgError::from)?;
        let epoch = epoch.and_then(|epoch| u32::try_from(epoch).ok());
        let epoch = epoch.ok_or_else(|| StoreError { detail: "the database names no history".into() })?;
        self.told.set(epoch);
        Ok(StoreEpoch(epoch))
    }
}
