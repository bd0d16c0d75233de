//! Questions about the past, answered from the file on a connection of their own. They never wait for the writer.

use farthing_ledger::journal::{Event, Sealed};
use farthing_ledger::record::{Order, Record, RecordKey, Scan};
use farthing_ledger::store::{HistoryQuery, MAX_PAGE, Page};
use farthing_ledger::{Account, AccountId, AccountState, AssetId, Timestamp};
use farthing_money::Asset;
use rusqlite::{Connection, OptionalExtension};

use super::sql::{self, ACCOUNT_COLUMNS, Sql};
use super::view::Shown;

/// An entry, and the entries before it in the histories of its two accounts; 0 for none.
struct Linked {
    sealed: Sealed,
    before_debit: u64,
    before_credit: u64,
}

impl Linked {
    fn get(db: &Connection, seq: u64) -> Result<Option<Self>, Sql> {
        let mut find =
            db.prepare_cached("SELECT body, hash, prev_debit, prev_credit FROM journal WHERE seq = ?1")?;
        let read = |row: &rusqlite::Row<'_>| -> Result<Self, Sql> {
            let before = |column| -> Result<u64, Sql> {
                sql::unsigned(row.get::<_, Option<i64>>(column)?.unwrap_or_default())
            };
            Ok(Self { sealed: sql::sealed(row)?, before_debit: before(2)?, before_credit: before(3)? })
        };
        find.query_row([sql::signed(seq)], |row| Ok(read(row))).optional()?.transpose()
    }

    fn must_get(db: &Connection, seq: u64) -> Result<Self, Sql> {
        Self::get(db, seq)?.ok_or_else(|| Sql::Damaged(format!("entry {seq} is missing")))
    }

    /// The entry before this one that touched `account`; `None` when this one does not touch it.
    fn before(&self, account: AccountId) -> Option<u64> {
        let movement = self.sealed.entry.event.movement()?;
        if movement.debit == account {
            Some(self.before_debit)
        } else if movement.credit == account {
            Some(self.before_credit)
        } else {
            None
        }
    }

    fn must_be_before(&self, account: AccountId) -> Result<u64, Sql> {
        let seq = self.sealed.entry.seq;
        let before = self.before(account).filter(|before| *before < seq);
        before.ok_or_else(|| Sql::Damaged(format!("the history of account {account} breaks at entry {seq}")))
    }
}

/// A page of the history that ends with entry `last` (0: it is empty).
pub(super) fn history(db: &Connection, query: &HistoryQuery, last: u64) -> Result<Page, Sql> {
    let account = query.account;
    let limit = query.limit.min(MAX_PAGE);
    let mut next = start(db, query, last)?;
    let mut page = Page::default();
    while next > 0 && page.entries.len() < limit {
        let linked = Linked::must_get(db, next)?;
        next = linked.must_be_before(account)?;
        page.entries.push(linked.sealed);
    }
    page.before = page.entries.last().filter(|_| next > 0).map(|last| last.entry.seq);
    Ok(page)
}

/// The newest entry of the history before the cursor.
fn start(db: &Connection, query: &HistoryQuery, last: u64) -> Result<u64, Sql> {
    let Some(cursor) = query.before.filter(|cursor| *cursor <= last) else { return Ok(last) };
    if let Some(before) = Linked::get(db, cursor)?.and_then(|linked| linked.before(query.account)) {
        return Ok(before);
    }
    // Not a cursor of ours: it names an entry that is not in this history.
    let mut next = last;
    while next >= cursor && next > 0 {
        next = Linked::must_get(db, next)?.must_be_before(query.account)?;
    }
    Ok(next)
}

/// The account as it was at `at`: what it is now, with everything taken back that came later.
pub(super) fn account_at(db: &Connection, shown: Shown, at: Timestamp) -> Result<Option<Account>, Sql> {
    let id = shown.account.id;
    let mut find = db.prepare_cached(&format!("SELECT {ACCOUNT_COLUMNS} FROM account WHERE id = ?1"))?;
    let row = find.query_row([id.as_u128().to_be_bytes()], |row| Ok(sql::account(row)))??;
    if row.opened > at {
        return Ok(None);
    }
    let closed = row.closed.is_some_and(|closed| closed <= at);
    let state = if closed { AccountState::Closed } else { AccountState::Open };
    let mut account = Account { state, ..shown.account };
    let mut next = shown.last_seq;
    while next > 0 {
        let linked = Linked::must_get(db, next)?;
        if linked.sealed.entry.at <= at {
            break;
        }
        next = linked.must_be_before(id)?;
        if let Some(movement) = linked.sealed.entry.event.movement() {
            movement.take_back(&mut account).map_err(|error| {
                Sql::Damaged(format!("the history of account {id} does not add up: {error}"))
            })?;
        }
    }
    Ok(Some(account))
}

/// Entries after `seq`, the oldest first.
pub(super) fn journal(db: &Connection, seq: u64, limit: usize) -> Result<Vec<Sealed>, Sql> {
    let limit = i64::try_from(limit.min(MAX_PAGE)).unwrap_or(i64::MAX);
    let mut read =
        db.prepare_cached("SELECT body, hash FROM journal WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
    let mut rows = read.query([sql::signed(seq), limit])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(sql::sealed(row)?);
    }
    Ok(entries)
}

/// Records as they are at one moment.
pub(super) fn records(db: &Connection, keys: &[RecordKey]) -> Result<Vec<Option<Record>>, Sql> {
    if let [key] = keys {
        return Ok(vec![record(db, key)?]);
    }
    let moment = db.unchecked_transaction()?;
    let found = keys.iter().map(|key| record(&moment, key)).collect();
    moment.finish()?;
    found
}

fn record(db: &Connection, at: &RecordKey) -> Result<Option<Record>, Sql> {
    let table = at.table.name();
    let mut find = db.prepare_cached(sql::RECORD_BY_KEY)?;
    find.query_row([table, &at.key], |row| Ok(sql::record(row, table))).optional()?.transpose()
}

/// A page of a table.
pub(super) fn scan(db: &Connection, scan: &Scan) -> Result<Vec<Record>, Sql> {
    let Some((from, to)) = scan.span() else { return Ok(Vec::new()) };
    let mut find = db.prepare_cached(match scan.order {
        Order::Ascending => {
            "SELECT key, revision, body, proof FROM record WHERE kind = ?1 AND key >= ?2 AND key < ?3
             ORDER BY key LIMIT ?4"
        }
        Order::Descending => {
            "SELECT key, revision, body, proof FROM record WHERE kind = ?1 AND key >= ?2 AND key < ?3
             ORDER BY key DESC LIMIT ?4"
        }
    })?;
    let table = scan.table.name();
    let limit = i64::try_from(scan.limit.min(MAX_PAGE)).unwrap_or(i64::MAX);
    let mut rows = find.query(rusqlite::params![table, from, to, limit])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(sql::record(row, table)?);
    }
    Ok(found)
}

/// What asset `id` is.
pub(super) fn asset(db: &Connection, id: AssetId) -> Result<Option<Asset>, Sql> {
    let mut find = db.prepare_cached(
        "SELECT body, hash FROM asset JOIN journal ON journal.seq = asset.seq WHERE asset.id = ?1",
    )?;
    let sealed = find.query_row([id.as_u32()], |row| Ok(sql::sealed(row))).optional()?.transpose()?;
    match sealed.map(|sealed| sealed.entry.event) {
        Some(Event::AssetDefined(new)) => Ok(Some(new.asset)),
        Some(_) => Err(sql::damaged("an asset's entry")),
        None => Ok(None),
    }
}
