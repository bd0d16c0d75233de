//! [`Look`]: one look at the log. In one round trip it learns where the log ends and what was appended since, as far as that is on disk,
//! and adds it to the view.

use farthing_ledger::journal::Head;
use farthing_ledger::record::Version;
use tokio::sync::watch;
use tokio_postgres::Row;

use super::error::Failure;
use super::row::{self, number};
use super::sql::{Session, Sql};
use super::view::{SharedView, Step};
use crate::books::row::signed;

/// Entries that are read at once.
const PAGE: i64 = 2_048;

/// Where what is seen goes.
#[derive(Debug, Clone)]
pub(super) struct Look {
    pub(super) shard: i32,
    pub(super) view: SharedView,
    pub(super) commits: watch::Sender<Version>,
}

/// What became of a look.
pub(super) enum Seen {
    /// The view is as the log was when it was looked at, as far as that was on disk.
    All(Ends),
    /// There is more.
    Some,
}

impl Look {
    pub(super) async fn look(&self, session: &Session) -> Result<Seen, Failure> {
        let head = self.view.read().head();
        let rows = session.query(Sql::Look, &[&self.shard, &signed(head.seq), &PAGE]).await?;
        let ends = Ends::of(rows.first().ok_or(Failure::Diverged)?)?;
        if self.take(head, &rows)? == Step::Gap || rows.len() >= usize::try_from(PAGE).unwrap_or(usize::MAX) {
            return Ok(Seen::Some);
        }
        let durable = ends.durable_version;
        self.commits.send_if_modified(|last| {
            let is_later = durable > last.0;
            last.0 = durable.max(last.0);
            is_later
        });
        Ok(Seen::All(ends))
    }

    /// Takes rows over that begin with the entry that `head` is.
    fn take(&self, head: Head, rows: &[Row]) -> Result<Step, Failure> {
        // Without entries there is one row, which says only how far the log is.
        let mut rows = rows.iter();
        if let Some(only) = rows.as_slice().first()
            && only.try_get::<_, Option<i64>>(ENTRY)?.is_none()
        {
            rows.next();
        }
        if head.seq > 0 {
            let own = rows.next().ok_or(Failure::Diverged)?;
            if row::body_and_hash(own, ENTRY + 1)?.1 != head.hash {
                return Err(Failure::Diverged);
            }
        }
        for row in rows {
            let sealed = row::sealed(row, ENTRY + 1)?;
            match self.view.write().take(&sealed) {
                Step::Taken => {}
                Step::Gap => return Ok(Step::Gap),
                Step::Diverged => return Err(Failure::Diverged),
            }
        }
        Ok(Step::Taken)
    }
}

/// The first column of an entry in [`Sql::Look`].
const ENTRY: usize = 4;

/// The end of the log, and how far it is known to be on disk.
pub(super) struct Ends {
    pub(super) seq: u64,
    pub(super) version: u64,
    pub(super) durable_seq: u64,
    pub(super) durable_version: u64,
}

impl Ends {
    pub(super) async fn read(session: &Session, shard: i32) -> Result<Self, Failure> {
        let rows = session.query(Sql::Marks, &[&shard]).await?;
        Self::of(rows.first().ok_or(Failure::Diverged)?)
    }

    fn of(row: &Row) -> Result<Self, Failure> {
        Ok(Self {
            seq: number(row, 0)?,
            version: number(row, 1)?,
            durable_seq: number(row, 2)?,
            durable_version: number(row, 3)?,
        })
    }

    pub(super) const fn is_durable(&self) -> bool {
        self.seq <= self.durable_seq && self.version <= self.durable_version
    }
}
