//! Proving a ledger in PostgreSQL: the journal by its hash chain and by adding it up, and everything beside it by the journal.
//!
//! What is overwritten while serving is read in one snapshot, with the end that the log had then; it is short, because a snapshot
//! that is held for long keeps the dead versions of rows that are written often, such as counters. The journal up to that end stays
//! as it is, and is read after.

use farthing_ledger::journal::Head;
use farthing_ledger::verify::{Fault, Report, Verifier};
use farthing_ledger::{Account, TransferId};
use farthing_money::Amount;
use tokio_postgres::{Client, Row};

use super::error::Failure;
use super::recover::{ACCOUNTS, SNAPSHOT, marks, pages};
use super::row::{self, Marks, number};
use crate::books;
use crate::books::beside::{Beside, Columns};
use crate::postgres::error::PgError;

/// What a running ledger shows at one moment, to be compared with the database.
pub(super) struct Shown {
    pub(super) head: Head,
    pub(super) accounts: Vec<Account>,
}

/// Two look-ups an entry, whatever the planner thinks of the tables: a join of them once read all accounts for every entry.
pub(super) const JOURNAL: &str = "SELECT j.body, j.hash, j.id, j.ends, j.prev_debit, j.prev_credit, j.seq,
         (SELECT d.id FROM ledger_account d WHERE d.shard = $1 AND d.place = j.debit),
         (SELECT c.id FROM ledger_account c WHERE c.shard = $1 AND c.place = j.credit)
     FROM ledger_journal j WHERE j.shard = $1 AND j.seq > $2";
const OLD_HOLDS: &str = "SELECT id, remaining FROM ledger_old_hold WHERE shard = $1";
const BEYOND: &str = "SELECT seq FROM ledger_journal WHERE shard = $1 AND seq > $2 LIMIT 1";
/// Too many to be held in memory: checked row by row.
const RECORDS: &str = "SELECT tbl, key, revision, body, proof FROM ledger_record
     WHERE shard = $1 AND (tbl, key) > ($2, $3) ORDER BY tbl, key LIMIT $4";
const DURABLE: &str =
    "SELECT coalesce(max(seq), 0), coalesce(max(version), 0) FROM ledger_durable WHERE shard = $1";

/// A fault that was found, or why nothing could be found out.
enum Found {
    Fault(Fault),
    Failure(Failure),
}

impl<E: Into<Failure>> From<E> for Found {
    fn from(error: E) -> Self {
        match error.into() {
            Failure::Damaged(what) => Self::Fault(Fault::Storage { what }),
            other => Self::Failure(other),
        }
    }
}

fn storage(what: String) -> Found {
    Found::Fault(Fault::Storage { what })
}

/// Proves the ledger on a connection that is used for nothing else.
pub(super) async fn audit(
    client: &Client,
    shard: i32,
    shown: Option<&Shown>,
) -> Result<Result<Report, Fault>, Failure> {
    let result = prove(client, shard, shown).await;
    match result {
        Ok(report) => Ok(Ok(report)),
        Err(Found::Fault(fault)) => Ok(Err(fault)),
        Err(Found::Failure(failure)) => Err(failure),
    }
}

async fn prove(client: &Client, shard: i32, shown: Option<&Shown>) -> Result<Report, Found> {
    client.batch_execute(SNAPSHOT).await?;
    let marks = marks(client, shard).await?;
    let beside = beside(client, shard).await?;
    check_marks(client, shard, &marks).await?;
    client.batch_execute("COMMIT; SET statement_timeout TO 0").await?;
    let mut audit = Audit { verifier: Verifier::new(), beside, shown, seq: 0, fault: None };
    audit.compare();
    let journal = format!("{JOURNAL} AND j.seq <= {} ORDER BY j.seq LIMIT $3", marks.head.seq);
    pages(client, shard, (&journal, 6), i64::MIN, |row| audit.add(row)).await?;
    if let Some(fault) = audit.fault {
        return Err(Found::Fault(fault));
    }
    let expected = shown.map_or(0, |shown| shown.head.seq).max(marks.head.seq);
    if audit.seq != expected {
        return Err(Found::Fault(Fault::Ends { seq: audit.seq, expected }));
    }
    audit.verifier.ends_at(&marks.head).map_err(Found::Fault)?;
    audit.beside.finish(&audit.verifier).map_err(Found::Fault)?;
    check_records(client, shard).await?;
    audit.verifier.finish().map_err(Found::Fault)
}

struct Audit<'a> {
    verifier: Verifier,
    beside: Beside,
    shown: Option<&'a Shown>,
    seq: u64,
    /// The first that was found.
    fault: Option<Fault>,
}

impl Audit<'_> {
    fn add(&mut self, row: &Row) -> Result<(), Failure> {
        if self.fault.is_none() {
            let (body, hash) = row::body_and_hash(row, 0)?;
            match self.verifier.add_stored(body, hash) {
                Err(fault) => self.fault = Some(fault),
                Ok(entry) => {
                    let columns = Columns {
                        seq: number(row, 6)?,
                        id: sixteen(row, 2)?,
                        ends: sixteen(row, 3)?,
                        before: (optional(row, 4)?, optional(row, 5)?),
                    };
                    let movement = entry.event.movement();
                    let sides = (sixteen(row, 7)?, sixteen(row, 8)?);
                    let expected =
                        (movement.map(|m| m.debit.as_u128()), movement.map(|m| m.credit.as_u128()));
                    let followed = self.beside.follow(&entry, &columns, &self.verifier);
                    self.fault = match followed {
                        Err(what) => Some(Fault::Storage { what }),
                        Ok(()) if sides != expected => {
                            let what = format!("the row of entry {} names other accounts", entry.seq);
                            Some(Fault::Storage { what })
                        }
                        Ok(()) => None,
                    };
                    self.seq = entry.seq;
                    self.compare();
                }
            }
        }
        Ok(())
    }

    /// Compares what was shown when the journal ended here.
    fn compare(&mut self) {
        let Some(shown) = self.shown.filter(|shown| shown.head.seq == self.seq) else { return };
        let alike = self.verifier.ends_at(&shown.head);
        let alike = alike.and_then(|()| self.verifier.accounts_are(&shown.accounts));
        self.fault = self.fault.take().or(alike.err());
    }
}

async fn beside(client: &Client, shard: i32) -> Result<Beside, Found> {
    let mut beside = Beside::default();
    let mut place = 0_i64;
    pages(client, shard, (ACCOUNTS, 8), i64::MIN, |row| {
        if row.try_get::<_, i64>(8)? != place {
            return Err(Failure::Damaged(format!("no account is at place {place}")));
        }
        place += 1;
        beside.account(row::account(row)?);
        Ok(())
    })
    .await?;
    for row in client.query(OLD_HOLDS, &[&shard]).await? {
        let id = books::row::number(row.try_get(0)?)?;
        let left = Amount::from_base(books::row::number(row.try_get(1)?)?);
        beside.old_hold(TransferId::from_u128(id), left);
    }
    Ok(beside)
}

async fn check_marks(client: &Client, shard: i32, marks: &Marks) -> Result<(), Found> {
    let row = client.query_one(DURABLE, &[&shard]).await?;
    if number(&row, 0)? > marks.head.seq || number(&row, 1)? > marks.version {
        return Err(storage("a mark says that more is on disk than there is".into()));
    }
    let Marks { head, replay_from, sweep, aged_to, .. } = marks;
    if client.query_opt(BEYOND, &[&shard, &books::row::signed(head.seq)]).await?.is_some() {
        return Err(storage(format!("there are entries after entry {}, where the log ends", head.seq)));
    }
    if *replay_from > sweep.began + 1 || sweep.began > head.seq || *aged_to > head.seq {
        return Err(storage("the marks of the checkpoints are not in order".into()));
    }
    Ok(())
}

async fn check_records(client: &Client, shard: i32) -> Result<(), Found> {
    let (mut table, mut key, mut last) = (String::new(), String::new(), 0);
    loop {
        let rows = client.query(RECORDS, &[&shard, &table, &key, &super::recover::PAGE]).await?;
        for row in &rows {
            let found = row::record(row)?;
            let record = found.record.map_err(storage)?;
            if record.revision.0 == 0 {
                return Err(storage(format!("record {:?} of {} is of no commit", found.key, found.table)));
            }
            last = last.max(record.revision.0);
            (table, key) = (found.table, found.key);
        }
        if rows.is_empty() {
            break;
        }
    }
    if last > marks(client, shard).await?.version {
        return Err(storage("a record is of a commit that there is not".into()));
    }
    Ok(())
}

fn sixteen(row: &Row, column: usize) -> Result<Option<u128>, Failure> {
    let bytes: Option<&[u8]> = row.try_get(column).map_err(PgError::from)?;
    Ok(bytes.map(books::row::number).transpose()?)
}

fn optional(row: &Row, column: usize) -> Result<Option<u64>, Failure> {
    let number: Option<i64> = row.try_get(column).map_err(PgError::from)?;
    Ok(number.map(books::row::unsigned).transpose()?)
}
