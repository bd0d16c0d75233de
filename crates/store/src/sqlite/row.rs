//! Rows of SQLite as the columns of [`crate::row`].

use farthing_protocol::ports::{Claim, StoreError};
use rusqlite::Row;

use crate::row::{self, Corrupt, Marks, NewColumns, StateColumns};

/// Why a statement was not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum SqlError {
    /// SQLite says so.
    #[error("sqlite: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// What is in the file is not what we wrote.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// What is to be written cannot be.
    #[error(transparent)]
    Refused(#[from] StoreError),
}

impl From<SqlError> for StoreError {
    fn from(error: SqlError) -> Self {
        match error {
            SqlError::Refused(error) => error,
            other => Self { detail: other.to_string() },
        }
    }
}

/// A claim, the row number that its keys point to, and the fingerprint of the step that was taken last.
pub(super) struct Stored {
    pub(super) claim: Claim,
    pub(super) seq: i64,
    pub(super) last_step: Option<Vec<u8>>,
}

/// Reads the columns that [`super::sql`] lists.
pub(super) fn read(row: &Row<'_>) -> Result<Stored, SqlError> {
    let new = NewColumns {
        id: row.get(0)?,
        keys: row.get(1)?,
        scope: row.get(2)?,
        payer: row.get(3)?,
        paid: row.get(4)?,
        plan: row.get(5)?,
        reservation: row.get(6)?,
        expires_ms: row.get(7)?,
        idempotency_key: row.get(8)?,
        idempotency_request: row.get(9)?,
        first: row.get(10)?,
        bound: row.get(23)?,
    };
    let state = StateColumns {
        state: row.get(11)?,
        settled: row.get(12)?,
        lease_holder: row.get(13)?,
        lease_until_ms: row.get(14)?,
        why: row.get(15)?,
        refund_plan: row.get(16)?,
        refund: row.get(17)?,
    };
    let marks = Marks { changed_ms: row.get(18)?, deliveries: row.get(19)?, answered: row.get(20)? };
    Ok(Stored { claim: row::read(new, state, &marks)?, last_step: row.get(21)?, seq: row.get(22)? })
}
