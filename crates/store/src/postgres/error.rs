//! What can go wrong between us and PostgreSQL, sorted by what may be done about it.

use farthing_protocol::ports::StoreError;
use tokio_postgres::error::SqlState;

use super::world::Overtaken;
use crate::row::Corrupt;

/// Why a transaction did not come to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PgError {
    /// It was not committed, and may go well the next time: a deadlock, somebody who was faster.
    #[error("{0}")]
    Again(String),
    /// The connection broke, or is too slow. Nothing was committed.
    #[error("the database does not answer: {0}")]
    Broken(String),
    /// The connection broke while it was committed: whether it was is not known.
    #[error("the connection to the database broke during a commit, whose outcome is unknown: {0}")]
    Unknown(String),
    /// The database refuses. Nothing was committed.
    #[error("the database refuses: {0}")]
    Refused(String),
    /// The database has another history than the one that this process was told of.
    #[error(
        "the database has lost or changed its history; nothing is claimed until the gateway has asked for it anew"
    )]
    OtherHistory,
    /// A row cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<PgError> for StoreError {
    fn from(error: PgError) -> Self {
        match error {
            PgError::Store(error) => error,
            other => Self { detail: other.to_string() },
        }
    }
}

impl From<Overtaken> for PgError {
    fn from(Overtaken: Overtaken) -> Self {
        Self::Again("another process was faster".into())
    }
}

impl From<Corrupt> for PgError {
    fn from(corrupt: Corrupt) -> Self {
        Self::Store(corrupt.into())
    }
}

impl From<tokio_postgres::Error> for PgError {
    fn from(error: tokio_postgres::Error) -> Self {
        let what = plain(&error);
        let Some(db) = error.as_db_error() else {
            return if error.is_closed() || is_io(&error) { Self::Broken(what) } else { Self::Refused(what) };
        };
        let code = db.code();
        let again = [
            &SqlState::T_R_SERIALIZATION_FAILURE,
            &SqlState::T_R_DEADLOCK_DETECTED,
            &SqlState::LOCK_NOT_AVAILABLE,
            &SqlState::UNIQUE_VIOLATION,
        ];
        if again.contains(&code) {
            Self::Again(what)
        } else if is_away(db) {
            Self::Broken(what)
        } else {
            Self::Refused(what)
        }
    }
}

/// An error in answer to `COMMIT`. Only a plain error says for certain that nothing was committed.
pub(crate) fn of_commit(error: &tokio_postgres::Error) -> PgError {
    let what = plain(error);
    match error.as_db_error() {
        Some(db) if !is_fatal(db) => PgError::Again(what),
        _ => PgError::Unknown(what),
    }
}

/// Whether the server is away, or about to be. One that does not let us in is not.
fn is_away(db: &tokio_postgres::error::DbError) -> bool {
    let class = db.code().code().get(..2).unwrap_or_default();
    // 28: who we are; 3D: which database.
    let recovers = db.code() == &SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE;
    recovers || is_fatal(db) && !["28", "3D", "42"].contains(&class)
}

/// Whether the server ends the connection with this error, or cannot be used through it any more.
fn is_fatal(db: &tokio_postgres::error::DbError) -> bool {
    let class = db.code().code().get(..2).unwrap_or_default();
    // 08: connection; 53: out of something; 57: told to end, shutting down, starting up; 25006: it has become a standby.
    db.severity() != "ERROR"
        || ["08", "53", "57"].contains(&class)
        || db.code() == &SqlState::READ_ONLY_SQL_TRANSACTION
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<std::io::Error>())
}

/// What the server said, without the statement's values: they may hold what authorises a payment.
pub(crate) fn plain(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} (SQLSTATE {})", db.message(), db.code().code()),
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}
