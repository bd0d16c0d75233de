//! One connection: made, set up, and with every statement prepared.

use std::marker::PhantomData;
use std::time::Duration;

use futures_util::future::{FutureExt, TryFutureExt, try_join_all};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use super::error::PgError;
use super::serving::Serving;
use super::url::PgUrl;

/// How long making a connection may take, its statements included.
const CONNECT: Duration = Duration::from_secs(10);

/// How long it may take to find out whether a database may be used.
const ADMIT: Duration = Duration::from_secs(20);

/// How long a query that only reads may take.
pub(crate) const READ: Duration = Duration::from_secs(12);

/// How every connection works. A lock is waited for less long than a statement runs, and that less long than we wait.
const SETTINGS: &str = "
    SET search_path TO farthing;
    SET client_min_messages TO warning;
    SET statement_timeout TO '10s';
    SET lock_timeout TO '5s';
    SET idle_in_transaction_session_timeout TO '15s';
    SET default_transaction_isolation TO 'read committed';
    SET jit TO off;
    -- Plans are made once, perhaps while tables are still small, and must hold when they have grown.
    SET plan_cache_mode TO force_generic_plan;
    SET enable_seqscan TO off;";

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everything.
    Write,
    /// Reading, which the server enforces.
    Read,
}

/// The statements of one store, each prepared by every connection.
pub(crate) trait Statements: Copy + Send + Sync + 'static {
    /// All of them, in their order.
    const ALL: &'static [Self];

    /// The SQL.
    fn text(self) -> &'static str;

    /// Its place in [`Self::ALL`].
    fn place(self) -> usize;

    /// What a connection does before statements are prepared.
    fn admit(client: &Client, access: Access) -> impl Future<Output = Result<(), PgError>> + Send;
}

/// Declares a set of [`Statements`].
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $text:expr;)*) => {
        /// A statement, prepared by every connection.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Sql { $($(#[$doc])* $name),* }

        impl Sql {
            const EVERY: &'static [Self] = &[$(Self::$name),*];

            const fn words(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}
pub(crate) use statements;

/// A connection that is ready.
#[derive(Debug)]
pub(crate) struct Session<S> {
    pub(crate) client: Client,
    statements: Vec<Statement>,
    of: PhantomData<S>,
}

/// A connection before the schema is known to be there, served by a task of its own until it is dropped.
pub(crate) async fn connect(url: &PgUrl, access: Access) -> Result<Client, PgError> {
    let (client, serving) = connect_alone(url, access).await?;
    tokio::spawn(serving.run());
    Ok(client)
}

/// The same, which nobody serves yet.
async fn connect_alone(url: &PgUrl, access: Access) -> Result<(Client, Serving), PgError> {
    let connecting = async {
        let (client, mut serving) = url.connect().await?;
        serving.during(set_up(&client, access)).await?;
        Ok((client, serving))
    };
    within(CONNECT, "connecting", connecting).await
}

async fn set_up(client: &Client, access: Access) -> Result<(), tokio_postgres::Error> {
    client.batch_execute(SETTINGS).await?;
    if access == Access::Read {
        client.batch_execute("SET default_transaction_read_only TO on").await?;
    }
    keep_commits_durable(client).await
}

/// An answered step has reached the disk, whatever the server's default is. Waiting for standbys is the operator's choice.
async fn keep_commits_durable(client: &Client) -> Result<(), tokio_postgres::Error> {
    let row = client
        .query_one("SELECT current_setting('synchronous_commit'), current_setting('fsync')", &[])
        .await?;
    let (commit, fsync): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    if commit == "off" {
        client.batch_execute("SET synchronous_commit TO on").await?;
    }
    if fsync == "off" {
        tracing::warn!("the database server runs with fsync = off: a crash of its machine loses payments");
    }
    Ok(())
}

impl<S: Statements> Session<S> {
    /// A connection that is made, admitted and prepared.
    pub(crate) async fn open(url: &PgUrl, access: Access) -> Result<Self, PgError> {
        let client = connect(url, access).await?;
        within(ADMIT, "looking at the database", S::admit(&client, access)).await?;
        Self::new(client).await
    }

    /// The same, to be served by whoever asks over it.
    pub(crate) async fn open_alone(url: &PgUrl, access: Access) -> Result<(Self, Serving), PgError> {
        let (client, mut serving) = connect_alone(url, access).await?;
        let admitting = within(ADMIT, "looking at the database", S::admit(&client, access));
        serving.during(admitting).await?;
        let session = serving.during(Self::new(client)).await?;
        Ok((session, serving))
    }

    /// Prepares every statement.
    pub(crate) async fn new(client: Client) -> Result<Self, PgError> {
        let prepare = S::ALL.iter().map(|sql| client.prepare(sql.text()).boxed());
        let prepare = try_join_all(prepare).map_err(PgError::from);
        let statements = within(CONNECT, "preparing", prepare).await?;
        Ok(Self { client, statements, of: PhantomData })
    }

    /// Rows of a statement.
    pub(crate) async fn query(&self, sql: S, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, PgError> {
        Ok(self.client.query(self.statement(sql)?, params).await?)
    }

    /// How many rows a statement changed.
    pub(crate) async fn execute(&self, sql: S, params: &[&(dyn ToSql + Sync)]) -> Result<u64, PgError> {
        Ok(self.client.execute(self.statement(sql)?, params).await?)
    }

    pub(crate) fn statement(&self, sql: S) -> Result<&Statement, PgError> {
        self.statements.get(sql.place()).ok_or_else(|| PgError::Refused("a statement is not prepared".into()))
    }

    pub(crate) async fn begin(&self) -> Result<(), PgError> {
        Ok(self.client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE").await?)
    }

    /// Begins in a way of its own.
    pub(crate) async fn begin_with(&self, sql: &str) -> Result<(), PgError> {
        Ok(self.client.batch_execute(sql).await?)
    }

    /// Gives up what was begun. An error changes nothing: the transaction then ends with its connection.
    pub(crate) async fn roll_back(&self) -> Result<(), PgError> {
        Ok(self.client.batch_execute("ROLLBACK").await?)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }
}

/// Waits no longer than that.
pub(crate) async fn within<T>(
    limit: Duration,
    what: &str,
    work: impl Future<Output = Result<T, PgError>>,
) -> Result<T, PgError> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => Err(PgError::Broken(format!("{what} took longer than {} s", limit.as_secs()))),
    }
}
