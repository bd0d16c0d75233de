//! What a plan comes to in SQL, in the order in which it is sent. It decides nothing.

use futures_util::future::{BoxFuture, FutureExt};
use tokio_postgres::types::ToSql;

use super::plan::{Holds, Journal, Opened, Plan, Records, Rows};
use super::row::Marks;
use super::sql::{Session, Sql};
use crate::books::row::signed;
use crate::postgres::error::PgError;

/// A statement on its way.
pub(super) type Written<'a> = BoxFuture<'a, Result<u64, PgError>>;

type Param<'a> = Box<dyn ToSql + Sync + Send + 'a>;

macro_rules! params {
    ($($param:expr),* $(,)?) => { vec![$(Box::new($param) as Param<'_>),*] };
}

struct Sending<'a> {
    session: &'a Session,
    shard: i32,
    work: Vec<Written<'a>>,
}

/// The statements of a plan.
pub(super) fn statements<'a>(session: &'a Session, shard: i32, plan: &'a Plan) -> Vec<Written<'a>> {
    let mut sending = Sending { session, shard, work: Vec::new() };
    sending.journal(&plan.journal);
    if !plan.assets.0.is_empty() {
        sending.send(Sql::DefineAssets, params![&plan.assets.0, &plan.assets.1]);
    }
    sending.accounts(&plan.opened, &plan.closed);
    sending.rows(&plan.rows, &plan.marks);
    sending.holds(&plan.holds);
    sending.records(&plan.records);
    sending.marks(plan.version_before, &plan.marks);
    sending.work
}

impl<'a> Sending<'a> {
    fn send(&mut self, sql: Sql, params: Vec<Param<'a>>) {
        let (session, shard) = (self.session, self.shard);
        let sent = async move {
            let mut all: Vec<&(dyn ToSql + Sync)> = vec![&shard];
            for param in &params {
                all.push(&**param);
            }
            session.execute(sql, &all).await
        };
        self.work.push(sent.boxed());
    }

    fn journal(&mut self, j: &'a Journal) {
        if j.seqs.is_empty() {
            return;
        }
        let (bodies, hashes) = (bytes(&j.bodies), bytes(&j.hashes));
        let (ids, ends) = (some_bytes(&j.ids), some_bytes(&j.ends));
        let sides = (&j.debits, &j.credits, &j.before_debits, &j.before_credits);
        self.send(
            Sql::Append,
            params![&j.seqs, bodies, hashes, ids, ends, sides.0, sides.1, sides.2, sides.3],
        );
    }

    fn accounts(&mut self, o: &'a Opened, closed: &'a (Vec<[u8; 16]>, Vec<i64>)) {
        if !o.places.is_empty() {
            let zero = vec![0_u8; 64];
            self.send(
                Sql::OpenAccounts,
                params![&o.places, bytes(&o.ids), &o.assets, &o.guards, &o.opened_ms, &o.as_of, zero],
            );
        }
        if !closed.0.is_empty() {
            self.send(Sql::CloseAccounts, params![bytes(&closed.0), &closed.1]);
        }
    }

    fn rows(&mut self, rows: &'a Rows, marks: &Marks) {
        if !rows.places.is_empty() {
            let head = signed(marks.head.seq);
            self.send(Sql::Checkpoint, params![&rows.places, bytes(&rows.totals), &rows.last_seqs, head]);
        }
    }

    fn holds(&mut self, holds: &'a Holds) {
        let Holds { kept, reduced, gone } = holds;
        if !gone.is_empty() {
            self.send(Sql::ForgetHolds, params![bytes(gone)]);
        }
        if !reduced.0.is_empty() {
            self.send(Sql::ReduceHolds, params![bytes(&reduced.0), bytes(&reduced.1)]);
        }
        if !kept.0.is_empty() {
            self.send(Sql::KeepHolds, params![bytes(&kept.0), &kept.1, bytes(&kept.2)]);
        }
    }

    fn records(&mut self, records: &'a Records) {
        let Records { put, deleted } = records;
        if !put.keys.is_empty() {
            let proofs = bytes(&put.proofs);
            self.send(Sql::PutRecords, params![&put.tables, &put.keys, &put.revisions, &put.bodies, proofs]);
        }
        if !deleted.0.is_empty() {
            self.send(Sql::DeleteRecords, params![&deleted.0, &deleted.1]);
        }
    }

    fn marks(&mut self, version_before: u64, marks: &Marks) {
        let place = u64::try_from(marks.sweep.place).unwrap_or(u64::MAX);
        self.send(
            Sql::MoveEnd,
            params![
                signed(version_before),
                signed(marks.version),
                signed(marks.head.seq),
                signed(marks.head.at.unix_ms()),
                marks.head.hash.as_bytes().to_vec(),
                signed(marks.replay_from),
                signed(marks.sweep.began),
                signed(place),
                signed(marks.aged_to),
            ],
        );
    }
}

fn bytes<T: AsRef<[u8]>>(values: &[T]) -> Vec<&[u8]> {
    values.iter().map(AsRef::as_ref).collect()
}

fn some_bytes<T: AsRef<[u8]>>(values: &[Option<T>]) -> Vec<Option<&[u8]>> {
    values.iter().map(|value| value.as_ref().map(AsRef::as_ref)).collect()
}
