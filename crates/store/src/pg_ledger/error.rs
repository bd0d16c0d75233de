//! [`Failure`]: why a batch or a question came to nothing, sorted by what is done about it.

use farthing_ledger::store::StoreError;

use crate::books::Damaged;
use crate::postgres::error::PgError;

/// Why something came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// Nothing was written.
    #[error(transparent)]
    Before(#[from] PgError),
    /// It may have been written.
    #[error("{0}")]
    Unknown(String),
    /// The log is another one than that which we have followed: it was restored, or its end was lost in a crash of the server.
    #[error("the log is not the one that was followed so far")]
    Diverged,
    /// Others have written so much that it is to be read without holding the log.
    #[error("the log is far ahead")]
    Behind,
    /// What is stored contradicts itself.
    #[error("{0}")]
    Damaged(String),
}

impl From<Damaged> for Failure {
    fn from(Damaged(what): Damaged) -> Self {
        Self::Damaged(what)
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Before(error.into())
    }
}

impl Failure {
    /// What a caller is told.
    pub(super) fn answer(&self) -> StoreError {
        match self {
            Self::Damaged(what) => StoreError::Damaged { what: what.clone() },
            Self::Unknown(why) => StoreError::Unknown(why.clone().into()),
            other => StoreError::Retryable(other.to_string().into()),
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        failure.answer()
    }
}
