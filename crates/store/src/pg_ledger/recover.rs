//! Opening the books: everything is read in one snapshot, page by page ([`crate::books::tail`] puts it together).

use farthing_ledger::TransferId;
use farthing_ledger::journal::{Event, Head};
use futures_util::future::join;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

use super::error::Failure;
use super::log::Log;
use super::row::{self, Marks};
use crate::books::row::{old_hold, signed};
use crate::books::tail::{Rest, Tail};
use crate::books::{self, Damaged, Tuning};

/// Rows that are read at once.
pub(super) const PAGE: i64 = 8_192;

/// A snapshot of the whole ledger, whatever is written meanwhile; reading it may take as long as it takes.
pub(super) const SNAPSHOT: &str =
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout TO 0";

/// Makes the rows of a log, where there are none yet.
pub(super) async fn begin_log(client: &Client, shard: i32) -> Result<(), Failure> {
    let row = "WITH fresh AS (INSERT INTO ledger_head VALUES ($1) ON CONFLICT DO NOTHING RETURNING shard)
         INSERT INTO ledger_end (shard, version, seq, at_ms, hash, replay_from, round_began, round_place, aged_to)
         SELECT shard, 0, 0, 0, $2, 1, 0, 0, 0 FROM fresh";
    client.execute(row, &[&shard, &Head::genesis().hash.as_bytes().as_slice()]).await?;
    Ok(())
}

/// Reads the books on a connection of its own.
pub(super) async fn recover(client: &Client, shard: i32, tuning: Tuning) -> Result<Log, Failure> {
    client.batch_execute(SNAPSHOT).await?;
    let log = read(client, shard, tuning).await?;
    client.batch_execute("COMMIT").await?;
    Ok(log)
}

async fn read(client: &Client, shard: i32, tuning: Tuning) -> Result<Log, Failure> {
    let marks = marks(client, shard).await?;
    let from = marks.replay_from;
    let mut accounts = Vec::new();
    pages(client, shard, (ACCOUNTS, 8), -1, |row| {
        accounts.push(row::account(row)?);
        Ok(())
    })
    .await?;
    let old = old_holds(client, shard).await?;
    let mut tail = Tail::after(head_before(client, shard, from).await?, accounts, old);
    pages(client, shard, (JOURNAL, 2), signed(from) - 1, |row| {
        let (body, hash) = row::body_and_hash(row, 0)?;
        Ok(tail.add_stored(body, hash)?)
    })
    .await?;
    let rest = Rest {
        assets: assets(client, shard).await?,
        floor: highest_id_before(client, shard, from).await?,
        tuning,
    };
    let log_head = marks.head;
    let log = Log::new(tail.finish(rest)?, marks);
    if log.head() != log_head {
        return Err(Failure::Damaged(format!(
            "the journal ends at entry {}, and the log at entry {}",
            log.head().seq,
            log_head.seq
        )));
    }
    Ok(log)
}

pub(super) async fn marks(client: &Client, shard: i32) -> Result<Marks, Failure> {
    let sql = "SELECT seq, at_ms, hash, version, replay_from, round_began, round_place, aged_to
         FROM ledger_end WHERE shard = $1 ORDER BY version DESC LIMIT 1";
    let row = client.query_opt(sql, &[&shard]).await?;
    row::marks(&row.ok_or_else(|| Damaged("the end of the log is missing".to_owned()))?)
}

pub(super) const ACCOUNTS: &str =
    "SELECT id, asset, guard, opened_ms, closed_ms, totals, last_seq, as_of, place
     FROM ledger_account WHERE shard = $1 AND place > $2 ORDER BY place LIMIT $3";
const JOURNAL: &str = "SELECT body, hash, seq FROM ledger_journal
     WHERE shard = $1 AND seq > $2 ORDER BY seq LIMIT $3";

/// Every row after `after`, page by page: a statement with shard, cursor and limit, and the column of its cursor.
pub(super) async fn pages(
    client: &Client,
    shard: i32,
    (sql, cursor): (&str, usize),
    mut after: i64,
    mut each: impl FnMut(&Row) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let statement = client.prepare(sql).await?;
    let mut rows = client.query(&statement, &[&shard, &after, &PAGE]).await?;
    while let Some(last) = rows.last().filter(|_| rows.len() >= usize::try_from(PAGE).unwrap_or(0)) {
        after = last.try_get(cursor)?;
        // The database reads the next page while we look at this one.
        let params: [&(dyn ToSql + Sync); 3] = [&shard, &after, &PAGE];
        let looking = async { rows.iter().try_for_each(&mut each) };
        let (next, looked) = join(client.query(&statement, &params), looking).await;
        looked?;
        rows = next?;
    }
    rows.iter().try_for_each(each)
}

/// The head of the journal just before entry `seq`.
async fn head_before(client: &Client, shard: i32, seq: u64) -> Result<Head, Failure> {
    if seq <= 1 {
        return Ok(Head::genesis());
    }
    let sql = "SELECT body, hash FROM ledger_journal WHERE shard = $1 AND seq = $2";
    let row = client.query_opt(sql, &[&shard, &signed(seq - 1)]).await?;
    let sealed = row::sealed(&row.ok_or_else(|| Damaged(format!("entry {} is missing", seq - 1)))?, 0)?;
    Ok(Head { seq: sealed.entry.seq, at: sealed.entry.at, hash: sealed.hash })
}

async fn assets(client: &Client, shard: i32) -> Result<Vec<farthing_ledger::NewAsset>, Failure> {
    let sql = "SELECT j.body, j.hash FROM ledger_asset a
         JOIN ledger_journal j ON j.shard = a.shard AND j.seq = a.seq WHERE a.shard = $1 ORDER BY j.seq";
    let mut assets = Vec::new();
    for row in client.query(sql, &[&shard]).await? {
        match row::sealed(&row, 0)?.entry.event {
            Event::AssetDefined(new) => assets.push(new),
            _ => return Err(books::row::damaged("an asset's entry").into()),
        }
    }
    Ok(assets)
}

async fn old_holds(client: &Client, shard: i32) -> Result<Vec<farthing_ledger::Hold>, Failure> {
    let sql = "SELECT j.body, j.hash, h.remaining FROM ledger_old_hold h
         JOIN ledger_journal j ON j.shard = h.shard AND j.seq = h.seq WHERE h.shard = $1";
    let rows = client.query(sql, &[&shard]).await?;
    rows.iter().map(|row| Ok(old_hold(&row::sealed(row, 0)?, row.try_get(2)?)?)).collect()
}

/// The highest id of entries before `seq`: ids above it that are not in memory were never used. Ids grow with time, so
/// that it is found after about as many steps as the tail is long.
async fn highest_id_before(client: &Client, shard: i32, seq: u64) -> Result<Option<TransferId>, Failure> {
    let sql = "SELECT id FROM ledger_journal WHERE shard = $1 AND id IS NOT NULL AND seq < $2
         ORDER BY id DESC LIMIT 1";
    let row = client.query_opt(sql, &[&shard, &signed(seq)]).await?;
    let id = row.map(|row| -> Result<u128, Failure> { Ok(books::row::number(row.try_get(0)?)?) });
    Ok(id.transpose()?.map(TransferId::from_u128))
}
