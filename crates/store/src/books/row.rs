//! Columns: how the ledger's types are written to a database and read back. What cannot be read back is damage, not a default.

use farthing_ledger::journal::{Entry, Event, Hash, Sealed};
use farthing_ledger::{
    Account, AccountId, AccountState, AssetId, Hold, HoldState, Known, Limit, Sums, Timestamp, Totals,
    TransferId,
};
use farthing_money::Amount;

use super::Damaged;

/// An account as it is stored, with what is stored beside it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AccountRow {
    pub(crate) account: Account,
    pub(crate) opened: Timestamp,
    pub(crate) closed: Option<Timestamp>,
    pub(crate) last_seq: u64,
    pub(crate) as_of: u64,
}

/// The columns of an account's row.
pub(crate) struct AccountColumns<'a> {
    pub(crate) id: &'a [u8],
    pub(crate) asset: i64,
    pub(crate) guard: i64,
    pub(crate) opened_ms: i64,
    pub(crate) closed_ms: Option<i64>,
    pub(crate) totals: &'a [u8],
    pub(crate) last_seq: i64,
    pub(crate) as_of: i64,
}

impl AccountRow {
    pub(crate) fn read(columns: &AccountColumns<'_>) -> Result<Self, Damaged> {
        let closed = columns.closed_ms.map(unsigned).transpose()?.map(Timestamp::from_unix_ms);
        let asset = u32::try_from(columns.asset).map_err(|_| damaged("an asset's number"))?;
        let limit = match columns.guard {
            1 => Limit::None,
            2 => Limit::DebitsMustNotExceedCredits,
            3 => Limit::CreditsMustNotExceedDebits,
            _ => return Err(damaged("an account's limit")),
        };
        let account = Account {
            id: AccountId::from_u128(number(columns.id)?),
            asset: AssetId::from_u32(asset),
            limit,
            state: if closed.is_some() { AccountState::Closed } else { AccountState::Open },
            totals: totals(columns.totals)?,
        };
        Ok(Self {
            account,
            opened: Timestamp::from_unix_ms(unsigned(columns.opened_ms)?),
            closed,
            last_seq: unsigned(columns.last_seq)?,
            as_of: unsigned(columns.as_of)?,
        })
    }
}

pub(crate) const fn limit_number(limit: Limit) -> i64 {
    match limit {
        Limit::None => 1,
        Limit::DebitsMustNotExceedCredits => 2,
        Limit::CreditsMustNotExceedDebits => 3,
    }
}

pub(crate) fn totals_bytes(totals: &Totals) -> [u8; 64] {
    let Totals { debits, credits } = totals;
    let mut bytes = [0; 64];
    let amounts = [debits.posted, debits.pending, credits.posted, credits.pending];
    for (place, amount) in bytes.chunks_exact_mut(16).zip(amounts) {
        place.copy_from_slice(&amount.base().to_be_bytes());
    }
    bytes
}

fn totals(bytes: &[u8]) -> Result<Totals, Damaged> {
    let bytes: &[u8; 64] = bytes.try_into().map_err(|_| damaged("an account's totals"))?;
    let mut amounts = bytes.chunks_exact(16).map(|chunk| {
        let number = chunk.try_into().map(u128::from_be_bytes).unwrap_or_default();
        Amount::from_base(number)
    });
    let mut next = || amounts.next().unwrap_or_default();
    let debits = Sums { posted: next(), pending: next() };
    let credits = Sums { posted: next(), pending: next() };
    Ok(Totals { debits, credits })
}

/// An entry from its canonical bytes and its hash.
pub(crate) fn sealed(body: &[u8], hash: Hash) -> Result<Sealed, Damaged> {
    let entry = Entry::decode(body).map_err(|error| Damaged(format!("an entry cannot be read: {error}")))?;
    Ok(Sealed { entry, hash })
}

pub(crate) fn hash(bytes: &[u8]) -> Result<Hash, Damaged> {
    bytes.try_into().map(Hash::from_bytes).map_err(|_| damaged("an entry's hash"))
}

/// 16 bytes as a number.
pub(crate) fn number(bytes: &[u8]) -> Result<u128, Damaged> {
    bytes.try_into().map(u128::from_be_bytes).map_err(|_| damaged("a 16-byte number"))
}

/// Integers of databases are signed; places and times never reach the sign.
pub(crate) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn unsigned(number: i64) -> Result<u64, Damaged> {
    u64::try_from(number).map_err(|_| damaged("a place or a time"))
}

pub(crate) fn damaged(what: &str) -> Damaged {
    Damaged(format!("{what} cannot be read"))
}

/// The hold that the row of an old hold is about, with what is left of it.
pub(crate) fn old_hold(placed: &Sealed, left: &[u8]) -> Result<Hold, Damaged> {
    match &placed.entry.event {
        Event::Held(new) => {
            Ok(Hold { new: *new, left: Amount::from_base(number(left)?), state: HoldState::Open })
        }
        _ => Err(damaged("a hold's entry")),
    }
}

/// What the entry that used an id up says about it. A hold that is not in memory has ended: `end` is the entry that ended it.
pub(crate) fn known(entry: &Entry, end: Option<&Event>) -> Result<Option<Known>, Damaged> {
    Ok(match &entry.event {
        Event::Transferred(transfer) => Some(Known::Transfer(*transfer)),
        Event::Posted(posted) => Some(Known::Post(posted.post)),
        Event::Voided { .. } => entry.void().map(Known::Void),
        Event::Held(new) => {
            let state = match end {
                Some(Event::Posted(_)) => HoldState::Posted,
                Some(Event::Voided { .. }) => HoldState::Voided,
                Some(Event::Expired(_)) => HoldState::Expired,
                _ => return Err(neither(new.transfer.id)),
            };
            Some(Known::Hold(Hold { new: *new, left: Amount::ZERO, state }))
        }
        Event::AssetDefined(_) | Event::AccountOpened(_) | Event::AccountClosed(_) | Event::Expired(_) => {
            None
        }
    })
}

fn neither(id: TransferId) -> Damaged {
    Damaged(format!("hold {id} neither ended nor is it open"))
}
