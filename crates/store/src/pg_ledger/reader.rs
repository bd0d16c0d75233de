//! Questions about the past and about records, asked of the database on a connection of their own. They never wait for the writer.

use std::sync::Arc;

use farthing_ledger::journal::Sealed;
use farthing_ledger::record::{Order, Record, RecordKey, Scan};
use farthing_ledger::store::{HistoryQuery, MAX_PAGE, Page};
use farthing_ledger::{Account, AccountId, AccountState, Known, Timestamp, TransferId};
use futures_util::future::join;

use super::error::Failure;
use super::log::known_of;
use super::row::{self, number};
use super::sql::{Session, Sql};
use crate::books::Damaged;
use crate::books::row::signed;

/// One ledger, asked over one connection.
pub(super) struct Reader {
    pub(super) session: Arc<Session>,
    pub(super) shard: i32,
}

/// An account, where it stands, and the last entry that touched it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shown {
    pub(super) account: Account,
    pub(super) last_seq: u64,
}

/// A stretch of an account's history, backwards, and the entry that comes next; 0 for none.
struct Walk {
    entries: Vec<Sealed>,
    next: u64,
}

fn limited(limit: usize) -> i64 {
    i64::try_from(limit.min(MAX_PAGE)).unwrap_or(i64::MAX)
}

impl Reader {
    /// What an id was used for that no open hold has.
    pub(super) async fn known(&self, id: TransferId) -> Result<Used, Failure> {
        let id = id.as_u128().to_be_bytes();
        let ids: Vec<&[u8]> = vec![&id];
        // The end is read after the use: one that is missing then came later than the use was shown.
        let (used, ended) = join(
            self.session.query(Sql::Used, &[&self.shard, &ids]),
            self.session.query(Sql::Ended, &[&self.shard, &ids]),
        )
        .await;
        let (used, ended) = (used?, ended?);
        let Some(row) = used.first() else { return Ok(Used::Never) };
        let entry = row::sealed(row, 0)?.entry;
        let ended_at = ended.first().map(|row| row::sealed(row, 0)).transpose()?.map(|end| end.entry.seq);
        let is_hold = matches!(entry.event, farthing_ledger::journal::Event::Held(_));
        if is_hold && ended_at.is_none() {
            return Ok(Used::Open);
        }
        let seq = entry.seq.max(ended_at.unwrap_or_default());
        Ok(known_of(&entry, &ended)?.map_or(Used::Never, |known| Used::Known { known: Box::new(known), seq }))
    }

    /// The place of an account, when it was opened, and when closed.
    async fn place(&self, id: AccountId) -> Result<(i64, Timestamp, Option<Timestamp>), Failure> {
        let bytes = id.as_u128().to_be_bytes();
        let rows = self.session.query(Sql::Account, &[&self.shard, &bytes.as_slice()]).await?;
        let row = rows.first().ok_or_else(|| Damaged(format!("account {id} has no row")))?;
        let account = row::account(row)?;
        Ok((row.try_get(8)?, account.opened, account.closed))
    }

    /// At most `limit` entries of the history of the account at `place`, from entry `from` of it backwards.
    async fn walk(&self, place: i64, from: u64, limit: usize) -> Result<Walk, Failure> {
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&self.shard, &place, &signed(from), &limited(limit)];
        let mut walk = Walk { entries: Vec::new(), next: from };
        if from == 0 || limit == 0 {
            return Ok(walk);
        }
        for row in self.session.query(Sql::History, &params).await? {
            let sealed = row::sealed(&row, 0)?;
            if sealed.entry.seq != walk.next {
                return Err(Failure::Damaged(format!("the history breaks at entry {}", walk.next)));
            }
            walk.next = number(&row, 2)?;
            walk.entries.push(sealed);
        }
        if walk.entries.is_empty() {
            return Err(Failure::Damaged(format!("entry {from} is missing in a history")));
        }
        Ok(walk)
    }

    /// A page of the history that ends with entry `last` (0: it is empty).
    pub(super) async fn history(&self, query: &HistoryQuery, last: u64) -> Result<Page, Failure> {
        if last == 0 {
            return Ok(Page::default());
        }
        let place = self.place(query.account).await?.0;
        let from = self.start(query, place, last).await?;
        let Walk { entries, next } = self.walk(place, from, query.limit.min(MAX_PAGE)).await?;
        let before = entries.last().filter(|_| next > 0).map(|last| last.entry.seq);
        Ok(Page { entries, before })
    }

    /// The newest entry of the history before the cursor.
    async fn start(&self, query: &HistoryQuery, place: i64, last: u64) -> Result<u64, Failure> {
        let Some(cursor) = query.before.filter(|cursor| *cursor <= last) else { return Ok(last) };
        let found = self.session.query(Sql::History, &[&self.shard, &place, &signed(cursor), &1_i64]).await?;
        if let Some(row) = found.first() {
            return number(row, 2);
        }
        // Not a cursor of ours: it names an entry that is not in this history.
        let mut from = last;
        while from >= cursor && from > 0 {
            let Walk { entries, next } = self.walk(place, from, MAX_PAGE).await?;
            let earlier = entries.iter().map(|sealed| sealed.entry.seq).find(|seq| *seq < cursor);
            from = earlier.unwrap_or(next);
        }
        Ok(from)
    }

    /// The account as it was at `at`: what it is now, with everything taken back that came later.
    pub(super) async fn account_at(&self, shown: Shown, at: Timestamp) -> Result<Option<Account>, Failure> {
        let id = shown.account.id;
        let (place, opened, closed) = self.place(id).await?;
        if opened > at {
            return Ok(None);
        }
        let state = match closed.is_some_and(|closed| closed <= at) {
            true => AccountState::Closed,
            false => AccountState::Open,
        };
        let mut account = Account { state, ..shown.account };
        let mut from = shown.last_seq;
        while from > 0 {
            let Walk { entries, next } = self.walk(place, from, MAX_PAGE).await?;
            for sealed in entries {
                if sealed.entry.at <= at {
                    return Ok(Some(account));
                }
                if let Some(movement) = sealed.entry.event.movement() {
                    movement.take_back(&mut account).map_err(|error| {
                        Damaged(format!("the history of account {id} does not add up: {error}"))
                    })?;
                }
            }
            from = next;
        }
        Ok(Some(account))
    }

    /// Entries after `seq` and up to `last`, the oldest first.
    pub(super) async fn journal(&self, seq: u64, last: u64, limit: usize) -> Result<Vec<Sealed>, Failure> {
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 3] =
            [&self.shard, &signed(seq), &limited(limit)];
        let rows = self.session.query(Sql::Tail, &params).await?;
        let mut entries = Vec::with_capacity(rows.len());
        for row in &rows {
            if number(row, 0)? <= last {
                entries.push(row::sealed(row, 1)?);
            }
        }
        Ok(entries)
    }

    /// Records in the order asked.
    pub(super) async fn records(&self, keys: &[RecordKey]) -> Result<Vec<Option<Record>>, Failure> {
        // The database takes no null character, and no key has one.
        let (tables, names) = row::names(keys.iter().filter(|at| !at.key.contains('\0')));
        let rows = self.session.query(Sql::Records, &[&self.shard, &tables, &names]).await?;
        let mut found = std::collections::HashMap::new();
        for row in &rows {
            let record = row::record(row)?;
            found.insert((record.table, record.key), record.record.map_err(Damaged)?);
        }
        let take = |at: &RecordKey| found.get(&(at.table.name().to_owned(), at.key.clone())).cloned();
        Ok(keys.iter().map(take).collect())
    }

    /// A page of a table.
    pub(super) async fn scan(&self, scan: &Scan) -> Result<Vec<Record>, Failure> {
        if scan.prefix.contains('\0') {
            return Ok(Vec::new());
        }
        let mut end = after_prefix(&scan.prefix);
        let after = scan.after.as_deref().unwrap_or_default();
        // Between what stands before a null character and the cursor there is no key.
        let (shown, is_cut) = after.split_once('\0').map_or((after, false), |(shown, _)| (shown, true));
        let (sql, above) = match scan.order {
            Order::Ascending => (Sql::ScanUp, shown),
            Order::Descending => {
                if scan.after.is_some() && after.as_bytes() < end.as_bytes() {
                    end = if is_cut { format!("{shown}\u{1}") } else { shown.to_owned() };
                }
                (Sql::ScanDown, "")
            }
        };
        let (table, limit) = (scan.table.name(), limited(scan.limit));
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
            [&self.shard, &table, &scan.prefix, &above, &end, &limit];
        let rows = self.session.query(sql, &params).await?;
        let read = |row| -> Result<Record, Failure> { Ok(row::record(row)?.record.map_err(Damaged)?) };
        rows.iter().map(read).collect()
    }
}

/// What the journal says about an id.
pub(super) enum Used {
    Never,
    /// A hold that was placed, and has not ended.
    Open,
    /// All of it said by entries up to `seq`.
    Known {
        known: Box<Known>,
        seq: u64,
    },
}

/// The first text that is above every text which begins with `prefix`, as bytes are ordered. Code points are in the same order
/// as their bytes.
fn after_prefix(prefix: &str) -> String {
    let mut end: String = prefix.to_owned();
    while let Some(last) = end.pop() {
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            last => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            end.push(next);
            return end;
        }
    }
    // Longer than any key.
    "\u{10ffff}".repeat(farthing_ledger::record::MAX_KEY / 4 + 1)
}

#[cfg(test)]
mod tests {
    use super::after_prefix;

    #[test]
    fn a_prefix_ends_before_the_next_text() {
        let highest = "\u{10ffff}";
        for (prefix, end) in [("a", "b"), ("ab", "ac"), ("a\u{7f}", "a\u{80}"), ("\u{d7ff}", "\u{e000}")] {
            assert_eq!(after_prefix(prefix), end);
        }
        assert_eq!(after_prefix(&format!("a{highest}{highest}")), "b");
        for prefix in ["", highest] {
            assert!(after_prefix(prefix).as_bytes() > highest.repeat(128).as_bytes(), "{prefix:?}");
        }
    }
}
