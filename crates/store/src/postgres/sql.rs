//! Every statement that runs while serving, in one place: prepared once a connection, and a test asks PostgreSQL how it would run
//! each and fails on a scan.

use tokio_postgres::Client;

use super::error::PgError;
use super::schema;
use super::session::{Access, Statements, statements};

/// Columns of a claim, in the order that [`super::row`] reads and writes.
macro_rules! columns {
    ($prefix:literal) => {
        concat!(
            $prefix,
            "id, ",
            $prefix,
            "keys, ",
            $prefix,
            "scope, ",
            $prefix,
            "payer, ",
            $prefix,
            "paid, ",
            $prefix,
            "plan, ",
            $prefix,
            "reservation, ",
            $prefix,
            "expires_ms, ",
            $prefix,
            "idempotency_key, ",
            $prefix,
            "idempotency_request, ",
            $prefix,
            "first, ",
            $prefix,
            "state, ",
            $prefix,
            "settled, ",
            $prefix,
            "lease_holder, ",
            $prefix,
            "lease_until_ms, ",
            $prefix,
            "why, ",
            $prefix,
            "refund_plan, ",
            $prefix,
            "refund, ",
            $prefix,
            "changed_ms, ",
            $prefix,
            "deliveries, ",
            $prefix,
            "answered, ",
            $prefix,
            "last_step, ",
            $prefix,
            "bound"
        )
    };
}

/// One page of the claims in one state. The condition is the index's own.
macro_rules! list {
    ($state:literal) => {
        concat!(
            "SELECT ",
            columns!(""),
            " FROM claim WHERE state = '",
            $state,
            "' AND changed_ms <= $1 AND (changed_ms, id) > ($2, $3) ORDER BY changed_ms, id LIMIT $4"
        )
    };
}

/// 2^128: sums are read and written in two parts, because they may be larger than an amount.
macro_rules! wide {
    ($sum:literal) => {
        concat!(
            "div(",
            $sum,
            ", 340282366920938463463374607431768211456)::bigint, mod(",
            $sum,
            ", 340282366920938463463374607431768211456)::text"
        )
    };
}

statements! {
    Get = concat!("SELECT ", columns!(""), " FROM claim WHERE id = $1");
    ListSettling = list!("settling");
    ListCredit = list!("credit");
    ListDelivered = list!("delivered");
    ListRefundDue = list!("refund_due");
    ListRefunding = list!("refunding");
    /// Walks what is reserved at this moment, which is no more than what is being served.
    ListAbandoned = concat!(
        "SELECT ", columns!(""), " FROM claim WHERE state = 'reserved' AND lease_until_ms <= $1
         AND (changed_ms, id) > ($2, $3) ORDER BY changed_ms, id LIMIT $4"
    );
    /// Walks what is delivered at this moment, which is no more than what is being served.
    ListInterrupted = concat!(
        "SELECT ", columns!(""), " FROM claim WHERE state = 'delivering' AND lease_until_ms <= $1
         AND (changed_ms, id) > ($2, $3) ORDER BY changed_ms, id LIMIT $4"
    );
    Answer = "SELECT status, headers, body FROM answer WHERE claim_id = $1";
    Epoch = "SELECT epoch FROM history WHERE one";

    /// The claims of a batch, locked in the order of their ids.
    Load = concat!("SELECT ", columns!(""), " FROM claim WHERE id = ANY($1) ORDER BY id FOR UPDATE");
    /// Whose the keys of a batch are. Not locked: the primary key decides when they are written.
    KeyHolders = "SELECT key, claim_id FROM claim_key WHERE key = ANY($1)";
    /// Whose the requests of a batch are. Not locked either.
    RequestHolders = concat!(
        "SELECT ", columns!(""), " FROM claim
         WHERE idempotency_key = ANY($1) AND idempotency_key IS NOT NULL AND state <> 'failed'"
    );
    /// Leases that have run out. What somebody works on right now is left to whoever does.
    RunOut = concat!(
        "SELECT ", columns!(""), " FROM claim WHERE lease_until_ms IS NOT NULL AND lease_until_ms <= $1
         ORDER BY lease_until_ms, id LIMIT $2 FOR UPDATE SKIP LOCKED"
    );

    MakeBudgets = "INSERT INTO budget (name, after_ms, total) SELECT n, -1, 0 FROM unnest($1::text[]) AS u (n)
         ON CONFLICT (name) DO NOTHING";
    /// The budgets of a batch, locked in the order of their names.
    LockBudgets = concat!(
        "SELECT name, after_ms, ", wide!("total"), " FROM budget WHERE name = ANY($1) ORDER BY name FOR UPDATE"
    );
    /// What budgets hold later than given instants. After the lock, in a statement of its own: it sees what was committed.
    Windows = concat!(
        "SELECT name, outside_ms, ", wide!("sum"), " FROM (
           SELECT u.name, u.outside_ms,
                  b.total + CASE WHEN u.outside_ms > b.after_ms THEN -between.sum ELSE between.sum END AS sum
           FROM unnest($1::text[], $2::bigint[]) AS u (name, outside_ms)
           JOIN budget b ON b.name = u.name
           CROSS JOIN LATERAL (
             SELECT coalesce(sum(r.amount), 0) AS sum FROM reservation r
             WHERE r.budget = u.name AND r.at_ms > least(u.outside_ms, b.after_ms)
               AND r.at_ms <= greatest(u.outside_ms, b.after_ms)
           ) between
         ) windows"
    );
    /// What claims of a batch have reserved.
    ReservedBy = "SELECT seq, claim_id, budget, at_ms, amount::text FROM reservation
         WHERE claim_id = ANY($1) AND claim_id IS NOT NULL";

    FreeKeys = "DELETE FROM claim_key WHERE claim_id = ANY($1)";
    Step = "UPDATE claim c SET state = u.state, settled = u.settled, lease_holder = u.lease_holder,
                lease_until_ms = u.lease_until_ms, why = u.why, refund_plan = u.refund_plan, refund = u.refund,
                changed_ms = u.changed_ms, deliveries = u.deliveries, answered = u.answered, last_step = u.last_step
         FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::bigint[], $6::text[], $7::text[], $8::text[],
                     $9::bigint[], $10::bigint[], $11::boolean[], $12::bytea[])
              AS u (id, state, settled, lease_holder, lease_until_ms, why, refund_plan, refund, changed_ms, deliveries,
                    answered, last_step)
         WHERE c.id = u.id";
    /// Failed and abandoned claims are claimed anew in their place.
    Renew = "UPDATE claim c SET keys = u.keys, scope = u.scope, payer = u.payer, paid = u.paid, plan = u.plan,
                reservation = u.reservation, expires_ms = u.expires_ms, idempotency_key = u.idempotency_key,
                idempotency_request = u.idempotency_request, first = u.first, state = u.state, settled = u.settled,
                lease_holder = u.lease_holder, lease_until_ms = u.lease_until_ms, why = u.why,
                refund_plan = u.refund_plan, refund = u.refund, changed_ms = u.changed_ms, deliveries = u.deliveries,
                answered = u.answered, last_step = u.last_step, bound = u.bound
         FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bigint[],
                     $9::text[], $10::bytea[], $11::text[], $12::text[], $13::text[], $14::bytea[], $15::bigint[],
                     $16::text[], $17::text[], $18::text[], $19::bigint[], $20::bigint[], $21::boolean[], $22::bytea[],
                     $23::bytea[])
              AS u (id, keys, scope, payer, paid, plan, reservation, expires_ms, idempotency_key, idempotency_request,
                    first, state, settled, lease_holder, lease_until_ms, why, refund_plan, refund, changed_ms, deliveries,
                    answered, last_step, bound)
         WHERE c.id = u.id";
    /// Whatever is there already is left alone, and is missing in what comes back.
    Insert = concat!(
        "INSERT INTO claim (", columns!(""), ")
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                     $8::bigint[], $9::text[], $10::bytea[], $11::text[], $12::text[], $13::text[], $14::bytea[],
                     $15::bigint[], $16::text[], $17::text[], $18::text[], $19::bigint[], $20::bigint[], $21::boolean[],
                     $22::bytea[], $23::bytea[])
         ON CONFLICT DO NOTHING RETURNING id"
    );
    InsertKeys = "INSERT INTO claim_key (key, claim_id) SELECT * FROM unnest($1::text[], $2::text[])
         ON CONFLICT (key) DO NOTHING RETURNING key";
    KeepAnswers = "INSERT INTO answer (claim_id, status, headers, body)
         SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::bytea[])
         ON CONFLICT (claim_id) DO UPDATE
         SET status = excluded.status, headers = excluded.headers, body = excluded.body";
    ForgetAnswers = "DELETE FROM answer WHERE claim_id = ANY($1)";
    Unreserve = "DELETE FROM reservation WHERE seq = ANY($1)";
    Spend = "UPDATE reservation SET claim_id = NULL WHERE seq = ANY($1)";
    Reserve = "INSERT INTO reservation (budget, at_ms, claim_id, amount, until_ms)
         SELECT budget, at_ms, claim_id, amount::numeric, until_ms
         FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bigint[])
              AS u (budget, at_ms, claim_id, amount, until_ms)";
    SetBudgets = "UPDATE budget b SET after_ms = u.after_ms,
                total = u.high::numeric * 340282366920938463463374607431768211456 + u.low::numeric
         FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[]) AS u (name, after_ms, high, low)
         WHERE b.name = u.name";

    Prune = "WITH doomed AS MATERIALIZED (
             SELECT id FROM claim WHERE state IN ('delivered', 'refunded', 'failed') AND expires_ms < $1
             ORDER BY expires_ms, id LIMIT $2 FOR UPDATE SKIP LOCKED
         ), gone_answers AS (DELETE FROM answer WHERE claim_id IN (SELECT id FROM doomed)
         ), gone_keys AS (DELETE FROM claim_key WHERE claim_id IN (SELECT id FROM doomed)
         ) DELETE FROM claim WHERE id IN (SELECT id FROM doomed)";
    /// Reservations whose window ended, and the budgets that they were of.
    OldReservations = "SELECT seq, budget FROM reservation WHERE until_ms < $1 ORDER BY until_ms LIMIT $2";
    ForgetReservations = "WITH gone AS (
             DELETE FROM reservation WHERE seq = ANY($1) RETURNING budget, at_ms, amount
         ), sums AS (
             SELECT g.budget, sum(g.amount) AS sum FROM gone g JOIN budget b ON b.name = g.budget
             WHERE g.at_ms > b.after_ms GROUP BY g.budget
         ) UPDATE budget b SET total = b.total - s.sum FROM sums s WHERE b.name = s.budget";
}

impl Statements for Sql {
    const ALL: &'static [Self] = Self::EVERY;

    fn text(self) -> &'static str {
        self.words()
    }

    fn place(self) -> usize {
        self as usize
    }

    /// Whoever writes makes sure first that the database is where it was: it may have been restored while we were away.
    async fn admit(client: &Client, access: Access) -> Result<(), PgError> {
        if access == Access::Write {
            schema::history(client).await?;
        }
        Ok(())
    }
}
