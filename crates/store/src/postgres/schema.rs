//! Bringing the database up to date, and which history it has.
//!
//! A backup is recognised by where it runs: the server, its timeline, the database and the table that claims are in. All of
//! these stay as they are while a store lives, and at least one of them is another once it was restored with the usual tools;
//! docs/store.md says what cannot be seen.

use farthing_protocol::ports::StoreEpoch;
use tokio_postgres::Client;

use super::error::PgError;
use crate::epoch::another;

/// The tables of one store, which may lie beside those of another: each keeps a version of its own.
pub(crate) struct Tables {
    /// Where the version is kept.
    pub(crate) version: &'static str,
    /// A table that there is once the first migration has run.
    pub(crate) first: &'static str,
    /// Every migration, in order: its number is its place, from one. Never edited once released, only added to.
    pub(crate) migrations: &'static [&'static str],
}

/// Those of claims.
pub(super) const CLAIMS: Tables = Tables {
    version: "schema_version",
    first: "claim",
    migrations: &[
        include_str!("../../migrations/postgres/0001_claims.sql"),
        include_str!("../../migrations/postgres/0002_delivered.sql"),
        include_str!("../../migrations/postgres/0003_bound_interrupted.sql"),
    ],
};

/// `frth`, `clms`: held while a process migrates, or looks at the history. Only processes of ours ask for it.
const LOCK: i64 = 0x6672_7468_636c_6d73;

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SchemaError {
    /// A newer Farthing has been here.
    #[error("schema {found} is newer than this version knows ({known})")]
    TooNew { found: i64, known: i64 },
    /// It would have to be migrated, and is only to be read.
    #[error("schema {found} is older than this version's ({known})")]
    TooOld { found: i64, known: i64 },
    /// What is in the schema is not ours.
    #[error("the schema farthing belongs to another program")]
    NotOurs,
    #[error(transparent)]
    Pg(#[from] PgError),
}

impl From<tokio_postgres::Error> for SchemaError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Pg(error.into())
    }
}

/// Where the claims are. `pg_walfile_name` tells the timeline at once; the control file only after the next checkpoint.
const PLACE: &str = "SELECT concat_ws('/',
        (SELECT system_identifier FROM pg_control_system()),
        left(pg_walfile_name(pg_current_wal_lsn()), 8),
        (SELECT oid FROM pg_database WHERE datname = current_database()),
        to_regclass('claim')::oid)";

/// Makes the tables, or brings them up to date. Several processes may begin at once: one of them does it.
pub(crate) async fn migrate(client: &Client, tables: &Tables) -> Result<(), SchemaError> {
    client.batch_execute("BEGIN").await?;
    let result = migrate_within(client, tables).await;
    client.batch_execute(if result.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    result
}

async fn migrate_within(client: &Client, tables: &Tables) -> Result<(), SchemaError> {
    lock(client).await?;
    let Tables { version: table, first, migrations } = tables;
    let found = match version(client, tables).await? {
        Some(found) => found,
        None => {
            if is_there(client, &format!("SELECT to_regclass('{first}') IS NOT NULL")).await? {
                return Err(SchemaError::NotOurs);
            }
            // Asked for first: to make one that is there needs a right that our role may not have.
            if !is_there(client, "SELECT to_regnamespace('farthing') IS NOT NULL").await? {
                client.batch_execute("CREATE SCHEMA farthing").await?;
            }
            let make =
                format!("CREATE TABLE {table} (version bigint PRIMARY KEY, applied timestamptz NOT NULL)");
            client.batch_execute(&make).await?;
            0
        }
    };
    let known = tables.known();
    if found > known {
        return Err(SchemaError::TooNew { found, known });
    }
    for (version, migration) in (1_i64..).zip(*migrations).filter(|(version, _)| *version > found) {
        client.batch_execute(migration).await?;
        client.execute(&format!("INSERT INTO {table} VALUES ($1, now())"), &[&version]).await?;
    }
    Ok(())
}

/// Refuses a database that is not of this version.
pub(crate) async fn check(client: &Client, tables: &Tables) -> Result<(), SchemaError> {
    let (known, found) = (tables.known(), version(client, tables).await?.unwrap_or(0));
    match found.cmp(&known) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(SchemaError::TooNew { found, known }),
        std::cmp::Ordering::Less => Err(SchemaError::TooOld { found, known }),
    }
}

/// The history that the database has: another one than before, durably, when it is not where it was.
pub(super) async fn history(client: &Client) -> Result<StoreEpoch, PgError> {
    in_transaction(client, async {
        let place: String = client.query_one(PLACE, &[]).await?.try_get(0)?;
        let Some((epoch, known)) = said(client).await? else {
            let epoch = another(crate::epoch::UNNAMED);
            let row = "INSERT INTO history (one, epoch, place) VALUES (true, $1, $2)";
            client.execute(row, &[&i64::from(epoch.0), &place]).await?;
            return Ok(epoch);
        };
        if known == place {
            return Ok(epoch);
        }
        tracing::warn!(
            "the store is not where it was when it was last used: a backup was restored, or another server took over. \
             Challenges from before are not honoured, so that no payment is used twice"
        );
        set(client, another(epoch), &place).await
    })
    .await
}

/// Begins another history.
pub(super) async fn fence(client: &Client) -> Result<StoreEpoch, PgError> {
    in_transaction(client, async {
        let place: String = client.query_one(PLACE, &[]).await?.try_get(0)?;
        let old = said(client).await?.map_or(crate::epoch::UNNAMED, |(epoch, _)| epoch);
        set(client, another(old), &place).await
    })
    .await
}

async fn set(client: &Client, epoch: StoreEpoch, place: &str) -> Result<StoreEpoch, PgError> {
    let row = "UPDATE history SET epoch = $1, place = $2 WHERE one";
    client.execute(row, &[&i64::from(epoch.0), &place]).await?;
    Ok(epoch)
}

async fn said(client: &Client) -> Result<Option<(StoreEpoch, String)>, PgError> {
    let Some(row) = client.query_opt("SELECT epoch, place FROM history WHERE one", &[]).await? else {
        return Ok(None);
    };
    let epoch: i64 = row.try_get(0)?;
    let epoch =
        u32::try_from(epoch).map_err(|_| PgError::Refused("the history's name is out of range".into()))?;
    Ok(Some((StoreEpoch(epoch), row.try_get(1)?)))
}

async fn in_transaction<T>(
    client: &Client,
    work: impl Future<Output = Result<T, PgError>>,
) -> Result<T, PgError> {
    client.batch_execute("BEGIN").await?;
    let result = async {
        lock(client).await?;
        work.await
    };
    let result = result.await;
    client.batch_execute(if result.is_ok() { "COMMIT" } else { "ROLLBACK" }).await?;
    result
}

/// Waits until no other process migrates or looks; until the transaction ends.
async fn lock(client: &Client) -> Result<(), PgError> {
    client.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await?;
    Ok(())
}

async fn version(client: &Client, tables: &Tables) -> Result<Option<i64>, PgError> {
    let table = tables.version;
    if !is_there(client, &format!("SELECT to_regclass('{table}') IS NOT NULL")).await? {
        return Ok(None);
    }
    let last = format!("SELECT coalesce(max(version), 0)::bigint FROM {table}");
    Ok(Some(client.query_one(&last, &[]).await?.try_get(0)?))
}

async fn is_there(client: &Client, question: &str) -> Result<bool, PgError> {
    Ok(client.query_one(question, &[]).await?.try_get(0)?)
}

impl Tables {
    fn known(&self) -> i64 {
        i64::try_from(self.migrations.len()).unwrap_or(i64::MAX)
    }
}
