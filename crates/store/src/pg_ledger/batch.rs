//! One batch as one transaction of two round trips: lock the end of the log and read what others appended; decide in memory;
//! append and commit. The commit does not wait for the disk ([`super::flush`] does, for many batches at once), so that the next
//! process holds the log after a millisecond and not after a sync.

use std::sync::atomic::{AtomicBool, Ordering};

use farthing_ledger::Decision;
use farthing_ledger::journal::Sealed;
use farthing_ledger::record::{Committed, Work};
use farthing_ledger::store::StoreError;
use futures_util::future::{join_all, join3, join5};
use tokio_postgres::Row;

use super::desk::{Desk, Verdict};
use super::error::Failure;
use super::log::Log;
use super::plan::Plan;
use super::sql::{Session, Sql};
use super::{append, row};
use crate::books::row::signed;
use crate::postgres::error::{PgError, of_commit};

/// The most entries of others that are read while the log is held.
pub(super) const CATCH_UP: i64 = 4_096;

/// The commit does not wait for the disk, whatever the server's default is: the answer does.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL synchronous_commit TO off";

/// What is remembered of a transaction while it runs, for when it is given up.
#[derive(Debug, Default)]
pub(super) struct Progress {
    committing: AtomicBool,
}

impl Progress {
    /// What a transaction that was given up after too long came to.
    pub(super) fn given_up(&self, error: PgError) -> Failure {
        if self.committing.load(Ordering::Relaxed) {
            Failure::Unknown(error.to_string())
        } else {
            Failure::Before(error)
        }
    }
}

/// A batch that stands in the log, though perhaps not on the disk yet.
pub(super) struct Done {
    /// One answer a work.
    pub(super) answers: Vec<Result<Committed, StoreError>>,
    /// What was appended, by others and by us, since the last batch.
    pub(super) news: Vec<Sealed>,
    /// How far the log has to be on disk before anybody is answered.
    pub(super) seq: u64,
    pub(super) version: u64,
}

/// Carries out a batch. After an error nothing of it is in the books; whether it is in the log says the error.
pub(super) async fn run(
    session: &Session,
    shard: i32,
    log: &mut Log,
    works: &[&Work],
    progress: &Progress,
) -> Result<Done, Failure> {
    let mut news = Vec::new();
    let mut desk = begin(session, shard, log, works, &mut news).await?;
    let mut decision = Decision::default();
    let verdicts: Vec<Verdict> =
        works.iter().map(|work| desk.decide(work, &mut log.books.engine, &mut decision)).collect();
    let written = write(session, shard, log, (&mut decision, &mut desk), progress).await;
    let appended = match written {
        Ok(appended) => appended,
        Err(failure) => {
            log.books.engine.roll_back();
            return Err(failure);
        }
    };
    news.extend(appended);
    log.books.engine.commit();
    log.forget();
    let answers = verdicts.into_iter().map(|verdict| verdict.answer(&decision.outcomes)).collect();
    Ok(Done { answers, news, seq: log.head().seq, version: log.marks.version })
}

/// The first round trip: the end of the log is ours, and we have followed up to it.
async fn begin(
    session: &Session,
    shard: i32,
    log: &mut Log,
    works: &[&Work],
    news: &mut Vec<Sealed>,
) -> Result<Desk, Failure> {
    let named = || works.iter().flat_map(|work| &work.records).map(farthing_ledger::record::RecordChange::at);
    let (tables, keys) = row::names(named());
    let unsure = log.unsure(works.iter().flat_map(|work| &work.steps));
    let unsure: Vec<[u8; 16]> = unsure.iter().map(|id| id.as_u128().to_be_bytes()).collect();
    let unsure: Vec<&[u8]> = unsure.iter().map(<[u8; 16]>::as_slice).collect();
    let followed = signed(log.head().seq);
    // In this order on the wire: whatever is read after the lock is read as it stands under the lock.
    let ((begun, locked, marks), tail, records, used, ended) = join5(
        join3(
            session.begin_with(BEGIN),
            session.query(Sql::Lock, &[&shard]),
            session.query(Sql::End, &[&shard]),
        ),
        session.query(Sql::Tail, &[&shard, &followed, &CATCH_UP]),
        query_if(!keys.is_empty(), session.query(Sql::Records, &[&shard, &tables, &keys])),
        query_if(!unsure.is_empty(), session.query(Sql::Used, &[&shard, &unsure])),
        query_if(!unsure.is_empty(), session.query(Sql::Ended, &[&shard, &unsure])),
    )
    .await;
    begun?;
    if locked?.is_empty() {
        return Err(Failure::Diverged);
    }
    let marks = row::marks(marks?.first().ok_or(Failure::Diverged)?)?;
    let (tail, records, used, ended) = (tail?, records?, used?, ended?);
    if marks.head.seq < log.head().seq {
        return Err(Failure::Diverged);
    }
    log.follow(&tail, news)?;
    if log.head().seq < marks.head.seq && tail.len() == usize::try_from(CATCH_UP).unwrap_or(0) {
        return Err(Failure::Behind);
    }
    log.arrive(marks)?;
    log.remember(&used, &ended)?;
    let found = records.iter().map(row::record).collect::<Result<_, _>>()?;
    Ok(Desk::new(marks.version, named(), found))
}

/// Asks only where there is something to ask for.
async fn query_if(
    is_needed: bool,
    query: impl Future<Output = Result<Vec<Row>, PgError>>,
) -> Result<Vec<Row>, PgError> {
    if is_needed { query.await } else { Ok(Vec::new()) }
}

/// The second round trip.
async fn write(
    session: &Session,
    shard: i32,
    log: &mut Log,
    (decision, desk): (&mut Decision, &mut Desk),
    progress: &Progress,
) -> Result<Vec<Sealed>, Failure> {
    let entries = std::mem::take(&mut decision.entries);
    let plan = Plan::of(log, entries, desk)?;
    let has_changes = plan.marks != log.marks;
    if has_changes {
        progress.committing.store(true, Ordering::Relaxed);
    }
    let work = if has_changes { append::statements(session, shard, &plan) } else { Vec::new() };
    // The commit is sent with the rest. It commits nothing where one of the statements before it failed.
    let (written, committed) = tokio::join!(join_all(work), session.client.batch_execute("COMMIT"));
    for result in written {
        if let Err(error) = result {
            return Err(match error {
                // The connection broke somewhere on the way.
                PgError::Broken(why) if has_changes => Failure::Unknown(why),
                error => error.into(),
            });
        }
    }
    match committed {
        Ok(()) => Ok(plan.note_in(log)?),
        Err(error) if has_changes => Err(match of_commit(&error) {
            PgError::Unknown(why) => Failure::Unknown(why),
            error => error.into(),
        }),
        Err(error) => Err(error.into()),
    }
}

/// Reads on, without holding the log, until no more than a little is left.
pub(super) async fn catch_up(
    session: &Session,
    shard: i32,
    log: &mut Log,
    news: &mut Vec<Sealed>,
) -> Result<(), Failure> {
    loop {
        let followed = signed(log.head().seq);
        let rows: Vec<Row> = session.query(Sql::Tail, &[&shard, &followed, &CATCH_UP]).await?;
        let is_last = rows.len() < usize::try_from(CATCH_UP).unwrap_or(usize::MAX);
        log.follow(&rows, news)?;
        log.forget();
        if is_last {
            return Ok(());
        }
    }
}
