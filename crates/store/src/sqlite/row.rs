//! A claim as a row, and back. A row that cannot be read is an error that names the claim, never a guess.

use farthing_money::Amount;
use farthing_protocol::UnixMs;
use farthing_protocol::ports::{
    Claim, ClaimId, ClaimKey, ClaimState, NewClaim, Reservation, Settled, StoreError,
};
use rusqlite::Row;
use serde::{Deserialize, Serialize};

use crate::limits::json;

/// Why a statement was not carried out.
#[derive(Debug, thiserror::Error)]
pub(super) enum SqlError {
    /// SQLite says so.
    #[error("sqlite: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// What is in the file is not what we wrote.
    #[error("the row of claim {id} cannot be read: {why}")]
    Corrupt {
        /// The claim.
        id: String,
        /// What is wrong with it, without its content.
        why: String,
    },
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

/// A claim and the row number that its keys point to.
pub(super) struct Stored {
    pub(super) claim: Claim,
    pub(super) seq: i64,
}

/// A reservation as JSON: amounts as decimal strings, because JSON numbers have 53 bits.
#[derive(Serialize, Deserialize)]
struct ReservationJson {
    budget: String,
    amount: String,
    limit: String,
    window_ms: u64,
}

/// The reservation column.
pub(super) fn reservation_json(reservation: &Reservation) -> Result<String, StoreError> {
    json(&ReservationJson {
        budget: reservation.budget.clone(),
        amount: reservation.amount.base().to_string(),
        limit: reservation.limit.base().to_string(),
        window_ms: reservation.window_ms,
    })
}

/// The keys column.
pub(super) fn keys_json(keys: &[ClaimKey]) -> Result<String, StoreError> {
    json(&keys.iter().map(|key| key.0.as_str()).collect::<Vec<_>>())
}

/// An instant as SQL's signed number. Later ones were refused before ([`crate::Limits::LAST_MS`]).
pub(super) fn ms(at: UnixMs) -> i64 {
    i64::try_from(at.as_ms()).unwrap_or(i64::MAX)
}

/// Reads the columns that [`super::sql`] lists.
pub(super) fn read(row: &Row<'_>) -> Result<Stored, SqlError> {
    let id: String = row.get(0)?;
    let corrupt = |why: String| SqlError::Corrupt { id: id.clone(), why };
    let at = |value: i64, what: &str| {
        u64::try_from(value).map(UnixMs::from_ms).map_err(|_| corrupt(format!("`{what}` is negative")))
    };
    let keys: Vec<String> = from_json(&row.get::<_, String>(1)?, "keys").map_err(corrupt)?;
    let reservation: Option<String> = row.get(5)?;
    let reservation = reservation.map(|text| read_reservation(&text)).transpose().map_err(corrupt)?;
    let settled: Option<String> = row.get(8)?;
    let settled: Option<Settled> =
        settled.map(|text| from_json(&text, "settled")).transpose().map_err(corrupt)?;
    let lease_until: Option<i64> = row.get(9)?;
    let lease_until = lease_until.map(|value| at(value, "lease_until_ms")).transpose()?;
    let name: String = row.get(7)?;
    let state = match (name.as_str(), settled, lease_until, row.get::<_, Option<String>>(10)?) {
        ("settling", None, None, None) => ClaimState::Settling,
        ("credit", Some(settled), None, None) => ClaimState::Credit(settled),
        ("delivering", Some(settled), Some(lease_until), None) => {
            ClaimState::Delivering { settled, lease_until }
        }
        ("delivered", Some(settled), None, None) => ClaimState::Delivered(settled),
        ("failed", None, None, Some(why)) => ClaimState::Failed { why },
        _ => return Err(corrupt(format!("state `{name}` does not go with its columns"))),
    };
    let new = NewClaim {
        keys: keys.into_iter().map(ClaimKey).collect(),
        scope: row.get(2)?,
        payer: row.get(3)?,
        plan: from_json(&row.get::<_, String>(4)?, "plan").map_err(corrupt)?,
        reservation,
        expires: at(row.get(6)?, "expires_ms")?,
        id: ClaimId(id.clone()),
    };
    Ok(Stored { claim: Claim { new, state, changed: at(row.get(11)?, "changed_ms")? }, seq: row.get(12)? })
}

fn read_reservation(text: &str) -> Result<Reservation, String> {
    let raw: ReservationJson = from_json(text, "reservation")?;
    let amount = |text: &str| Amount::from_base_str(text).map_err(|error| error.to_string());
    Ok(Reservation {
        amount: amount(&raw.amount)?,
        limit: amount(&raw.limit)?,
        budget: raw.budget,
        window_ms: raw.window_ms,
    })
}

fn from_json<T: for<'de> Deserialize<'de>>(text: &str, what: &str) -> Result<T, String> {
    // serde's message quotes values, and a plan may hold a signed transaction: only the place is repeated.
    serde_json::from_str(text).map_err(|error| format!("`{what}` is not valid at column {}", error.column()))
}
