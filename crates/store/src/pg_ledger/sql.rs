//! Every statement of a serving ledger, in one place: prepared once a connection. The first parameter is always the shard.

use tokio_postgres::Client;

use crate::postgres::error::PgError;
use crate::postgres::session::{Access, Statements, statements};

statements! {
    /// Nobody else moves the end of the log until the transaction ends.
    Lock = "SELECT shard FROM ledger_head WHERE shard = $1 FOR UPDATE";
    /// The end of the log. Found from the newest row down: below are dead ones, perhaps many.
    End = "SELECT seq, at_ms, hash, version, replay_from, round_began, round_place, aged_to
         FROM ledger_end WHERE shard = $1 ORDER BY version DESC LIMIT 1";
    /// The end of the log, and how far it is known to be on disk.
    Marks = "SELECT e.seq, e.version, coalesce(d.seq, 0), coalesce(d.version, 0) FROM
             (SELECT seq, version FROM ledger_end WHERE shard = $1 ORDER BY version DESC LIMIT 1) e
         LEFT JOIN LATERAL
             (SELECT seq, version FROM ledger_durable WHERE shard = $1 ORDER BY version DESC LIMIT 1) d ON true";
    Tail = "SELECT seq, body, hash FROM ledger_journal WHERE shard = $1 AND seq > $2 ORDER BY seq LIMIT $3";
    /// The same, with the entries from one that is known on, as far as is on disk; one row where there is none.
    Look = "SELECT e.seq, e.version, coalesce(d.seq, 0), coalesce(d.version, 0), j.seq, j.body, j.hash FROM
             (SELECT seq, version FROM ledger_end WHERE shard = $1 ORDER BY version DESC LIMIT 1) e
         LEFT JOIN LATERAL
             (SELECT seq, version FROM ledger_durable WHERE shard = $1 ORDER BY version DESC LIMIT 1) d ON true
         LEFT JOIN LATERAL
             (SELECT seq, body, hash FROM ledger_journal WHERE shard = $1 AND seq >= $2 AND seq <= d.seq
              ORDER BY seq LIMIT $3) j ON true";
    Used = "SELECT body, hash FROM ledger_journal WHERE shard = $1 AND id = ANY($2) AND id IS NOT NULL";
    Ended = "SELECT body, hash, ends FROM ledger_journal WHERE shard = $1 AND ends = ANY($2) AND ends IS NOT NULL";
    /// One look-up a name, whatever the planner thinks of the table.
    Records = r#"SELECT r.tbl, r.key, r.revision, r.body, r.proof
         FROM unnest($2::text[], $3::text[]) AS u (tbl, key), LATERAL (
             SELECT * FROM ledger_record WHERE shard = $1 AND tbl = u.tbl COLLATE "C" AND key = u.key COLLATE "C"
             LIMIT 1) r"#;

    Append = "INSERT INTO ledger_journal
             (shard, seq, body, hash, id, ends, debit, credit, prev_debit, prev_credit)
         SELECT $1, * FROM unnest($2::bigint[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[],
                                  $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[])";
    DefineAssets = "INSERT INTO ledger_asset (shard, id, seq) SELECT $1, * FROM unnest($2::bigint[], $3::bigint[])";
    OpenAccounts = "INSERT INTO ledger_account (shard, place, id, asset, guard, opened_ms, totals, last_seq, as_of)
         SELECT $1, place, id, asset, guard, opened_ms, $8, 0, as_of
         FROM unnest($2::bigint[], $3::bytea[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
              AS u (place, id, asset, guard, opened_ms, as_of)";
    CloseAccounts = "UPDATE ledger_account a SET closed_ms = u.closed_ms
         FROM unnest($2::bytea[], $3::bigint[]) AS u (id, closed_ms)
         WHERE a.shard = $1 AND a.id = ANY($2) AND a.id = u.id";
    Checkpoint = "UPDATE ledger_account a SET totals = u.totals, last_seq = u.last_seq, as_of = $5
         FROM unnest($2::bigint[], $3::bytea[], $4::bigint[]) AS u (place, totals, last_seq)
         WHERE a.shard = $1 AND a.place = ANY($2) AND a.place = u.place";
    KeepHolds = "INSERT INTO ledger_old_hold (shard, id, seq, remaining)
         SELECT $1, * FROM unnest($2::bytea[], $3::bigint[], $4::bytea[])";
    ReduceHolds = "UPDATE ledger_old_hold h SET remaining = u.remaining
         FROM unnest($2::bytea[], $3::bytea[]) AS u (id, remaining)
         WHERE h.shard = $1 AND h.id = ANY($2) AND h.id = u.id";
    ForgetHolds = "DELETE FROM ledger_old_hold WHERE shard = $1 AND id = ANY($2)";
    PutRecords = "INSERT INTO ledger_record (shard, tbl, key, revision, body, proof)
         SELECT $1, * FROM unnest($2::text[], $3::text[], $4::bigint[], $5::text[], $6::bytea[])
         ON CONFLICT (shard, tbl, key) DO UPDATE
         SET revision = excluded.revision, body = excluded.body, proof = excluded.proof";
    DeleteRecords = r#"DELETE FROM ledger_record WHERE ctid = ANY (ARRAY(
             SELECT r.ctid FROM unnest($2::text[], $3::text[]) AS u (tbl, key), LATERAL (
                 SELECT ctid FROM ledger_record
                 WHERE shard = $1 AND tbl = u.tbl COLLATE "C" AND key = u.key COLLATE "C" LIMIT 1) r))"#;
    /// From the version that was the last.
    MoveEnd = "WITH before AS (DELETE FROM ledger_end WHERE shard = $1 AND version = $2)
         INSERT INTO ledger_end
             (shard, version, seq, at_ms, hash, replay_from, round_began, round_place, aged_to)
         VALUES ($1, $3, $4, $5, $6, $7, $8, $9, $10)";

    // Above, `= ANY` beside a join says the same once more: by it the index is entered, whatever the planner thinks of the join.

    /// A row of the durable marks that no other process moves, for as long as the connection lasts.
    TakeSlot = "SELECT slot FROM generate_series(0, 63) AS slot
         WHERE pg_try_advisory_lock(1718776940 # $1, slot) LIMIT 1";
    /// From the version that the slot had before. A row that is there already, and is seen, is on disk, and all before it with it.
    Durable = "WITH before AS (DELETE FROM ledger_durable WHERE shard = $1 AND version = $3 AND slot = $2)
         INSERT INTO ledger_durable (shard, slot, seq, version) VALUES ($1, $2, $4, $5) ON CONFLICT DO NOTHING";
    /// What connections left in a slot that had it before.
    ForgetMarks = "DELETE FROM ledger_durable WHERE shard = $1 AND slot = $2 AND version < $3";

    Entry = "SELECT body, hash, debit, prev_debit, prev_credit FROM ledger_journal
         WHERE shard = $1 AND seq = $2 AND seq > 0";
    /// An account's history, from an entry of it backwards.
    History = "WITH RECURSIVE walk AS (
             SELECT j.body, j.hash, CASE WHEN j.debit = $2 THEN j.prev_debit ELSE j.prev_credit END AS next
             FROM ledger_journal j WHERE j.shard = $1 AND j.seq = $3 AND (j.debit = $2 OR j.credit = $2)
         UNION ALL
             SELECT j.body, j.hash, CASE WHEN j.debit = $2 THEN j.prev_debit ELSE j.prev_credit END
             FROM walk w, LATERAL (
                 SELECT * FROM ledger_journal WHERE shard = $1 AND seq = w.next AND (debit = $2 OR credit = $2)
                 LIMIT 1) j
         ) SELECT body, hash, next FROM walk LIMIT $4";
    Account = "SELECT id, asset, guard, opened_ms, closed_ms, totals, last_seq, as_of, place
         FROM ledger_account WHERE shard = $1 AND id = $2";
    ScanUp = "SELECT tbl, key, revision, body, proof FROM ledger_record
         WHERE shard = $1 AND tbl = $2 AND key >= $3 AND key > $4 AND key < $5 ORDER BY key LIMIT $6";
    ScanDown = "SELECT tbl, key, revision, body, proof FROM ledger_record
         WHERE shard = $1 AND tbl = $2 AND key >= $3 AND key > $4 AND key < $5 ORDER BY key DESC LIMIT $6";
}

/// What our connections set beyond what every connection does. A process that hangs while it holds the end of the log is cut off
/// by the server before others lose their patience; a machine that is gone is noticed.
const SETTINGS: &str = "
    SET enable_hashjoin TO off;
    SET enable_mergejoin TO off;
    SET enable_bitmapscan TO off;
    SET enable_material TO off;
    SET idle_in_transaction_session_timeout TO '3s';
    SET lock_timeout TO '6s';
    SET tcp_keepalives_idle TO 5;
    SET tcp_keepalives_interval TO 2;
    SET tcp_keepalives_count TO 3;
    SET tcp_user_timeout TO '10s';";

impl Statements for Sql {
    const ALL: &'static [Self] = Self::EVERY;

    fn text(self) -> &'static str {
        self.words()
    }

    fn place(self) -> usize {
        self as usize
    }

    async fn admit(client: &Client, _access: Access) -> Result<(), PgError> {
        Ok(client.batch_execute(SETTINGS).await?)
    }
}

/// The places of statements by name.
pub(super) type Session = crate::postgres::session::Session<Sql>;
