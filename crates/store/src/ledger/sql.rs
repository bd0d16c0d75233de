//! Rows: how the ledger's types are written to columns and read back. What cannot be read back is damage, not a default.

use farthing_ledger::journal::{Entry, Event, Hash, Sealed};
use farthing_ledger::store::StoreError;
use farthing_ledger::{
    Account, AccountId, AccountState, AssetId, Hold, HoldState, Known, Limit, Sums, Timestamp, Totals,
    TransferId,
};
use farthing_money::Amount;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};

/// What goes wrong between us and the file.
#[derive(Debug, thiserror::Error)]
pub(super) enum Sql {
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    #[error("{0}")]
    Damaged(String),
}

impl From<Sql> for StoreError {
    fn from(error: Sql) -> Self {
        match error {
            Sql::Sqlite(error) => Self::Retryable(Box::new(error)),
            Sql::Damaged(what) => Self::Damaged { what },
        }
    }
}

/// An account as it is stored, with what is stored beside it.
#[derive(Debug, Clone, Copy)]
pub(super) struct AccountRow {
    pub(super) account: Account,
    pub(super) opened: Timestamp,
    pub(super) closed: Option<Timestamp>,
    pub(super) last_seq: u64,
    pub(super) as_of: u64,
}

pub(super) const ACCOUNT_COLUMNS: &str = "id, asset, guard, opened_ms, closed_ms, totals, last_seq, as_of";

pub(super) fn account(row: &Row<'_>) -> Result<AccountRow, Sql> {
    let closed = row.get::<_, Option<i64>>(4)?.map(unsigned).transpose()?.map(Timestamp::from_unix_ms);
    let asset = u32::try_from(row.get::<_, i64>(1)?).map_err(|_| damaged("an asset's number"))?;
    let limit = match row.get::<_, i64>(2)? {
        1 => Limit::None,
        2 => Limit::DebitsMustNotExceedCredits,
        3 => Limit::CreditsMustNotExceedDebits,
        _ => return Err(damaged("an account's limit")),
    };
    let account = Account {
        id: AccountId::from_u128(number(row.get_ref(0)?)?),
        asset: AssetId::from_u32(asset),
        limit,
        state: if closed.is_some() { AccountState::Closed } else { AccountState::Open },
        totals: totals(row.get_ref(5)?)?,
    };
    Ok(AccountRow {
        account,
        opened: Timestamp::from_unix_ms(unsigned(row.get(3)?)?),
        closed,
        last_seq: unsigned(row.get(6)?)?,
        as_of: unsigned(row.get(7)?)?,
    })
}

pub(super) const fn limit_number(limit: Limit) -> i64 {
    match limit {
        Limit::None => 1,
        Limit::DebitsMustNotExceedCredits => 2,
        Limit::CreditsMustNotExceedDebits => 3,
    }
}

pub(super) fn totals_bytes(totals: &Totals) -> [u8; 64] {
    let Totals { debits, credits } = totals;
    let mut bytes = [0; 64];
    let amounts = [debits.posted, debits.pending, credits.posted, credits.pending];
    for (place, amount) in bytes.chunks_exact_mut(16).zip(amounts) {
        place.copy_from_slice(&amount.base().to_be_bytes());
    }
    bytes
}

fn totals(value: ValueRef<'_>) -> Result<Totals, Sql> {
    let bytes: &[u8; 64] = value
        .as_blob()
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| damaged("an account's totals"))?;
    let mut amounts = bytes.chunks_exact(16).map(|chunk| {
        let number = chunk.try_into().map(u128::from_be_bytes).unwrap_or_default();
        Amount::from_base(number)
    });
    let mut next = || amounts.next().unwrap_or_default();
    let debits = Sums { posted: next(), pending: next() };
    let credits = Sums { posted: next(), pending: next() };
    Ok(Totals { debits, credits })
}

/// An entry from the columns `body, hash`, which come first.
pub(super) fn sealed(row: &Row<'_>) -> Result<Sealed, Sql> {
    let (body, hash) = body_and_hash(row)?;
    let entry =
        Entry::decode(body).map_err(|error| Sql::Damaged(format!("an entry cannot be read: {error}")))?;
    Ok(Sealed { entry, hash })
}

pub(super) fn body_and_hash<'a>(row: &'a Row<'_>) -> Result<(&'a [u8], Hash), Sql> {
    let body = row.get_ref(0)?.as_blob().map_err(|_| damaged("an entry's body"))?;
    let hash = row.get_ref(1)?.as_blob().ok().and_then(|bytes| bytes.try_into().ok());
    Ok((body, Hash::from_bytes(hash.ok_or_else(|| damaged("an entry's hash"))?)))
}

/// 16 bytes as a number.
pub(super) fn number(value: ValueRef<'_>) -> Result<u128, Sql> {
    let bytes = value.as_blob().ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map(u128::from_be_bytes).ok_or_else(|| damaged("a 16-byte number"))
}

/// SQLite's integers are signed; places and times never reach the sign.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(super) fn unsigned(number: i64) -> Result<u64, Sql> {
    u64::try_from(number).map_err(|_| damaged("a place or a time"))
}

pub(super) fn damaged(what: &str) -> Sql {
    Sql::Damaged(format!("{what} cannot be read"))
}

/// What the journal says about an id that is not in memory. Holds in memory are all that are open, so this one has ended.
pub(super) fn known(db: &Connection, id: TransferId) -> Result<Option<Known>, Sql> {
    let bytes = id.as_u128().to_be_bytes();
    let mut find = db.prepare_cached("SELECT body, hash FROM journal WHERE id = ?1")?;
    let Some(found) = find.query_row([bytes], |row| Ok(sealed(row))).optional()?.transpose()? else {
        return Ok(None);
    };
    let entry = &found.entry;
    Ok(match &entry.event {
        Event::Transferred(transfer) => Some(Known::Transfer(*transfer)),
        Event::Posted(posted) => Some(Known::Post(posted.post)),
        Event::Voided { .. } => entry.void().map(Known::Void),
        Event::Held(new) => {
            let mut find = db.prepare_cached("SELECT body, hash FROM journal WHERE ends = ?1")?;
            let end = find.query_row([bytes], |row| Ok(sealed(row))).optional()?.transpose()?;
            let state = match end.map(|sealed| sealed.entry.event) {
                Some(Event::Posted(_)) => HoldState::Posted,
                Some(Event::Voided { .. }) => HoldState::Voided,
                Some(Event::Expired(_)) => HoldState::Expired,
                _ => return Err(Sql::Damaged(format!("hold {id} neither ended nor is it open"))),
            };
            Some(Known::Hold(Hold { new: *new, left: Amount::ZERO, state }))
        }
        Event::AssetDefined(_) | Event::AccountOpened(_) | Event::AccountClosed(_) | Event::Expired(_) => {
            None
        }
    })
}
