//! Every statement that runs while serving, in one place: a test asks SQLite how it would run each and fails on a scan.

/// Columns of a claim, in the order that [`super::row`] reads.
macro_rules! columns {
    () => {
        "id, keys, scope, payer, paid, plan, reservation, expires_ms, idempotency_key, idempotency_request, first,
         state, settled, lease_holder, lease_until_ms, why, refund_plan, refund, changed_ms, deliveries, answered,
         last_step, seq, bound"
    };
}

/// One page of the claims in one state. The condition is the index's own, word for word: that is how SQLite knows that it
/// may use it.
macro_rules! list {
    ($state:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM claim WHERE state = '",
            $state,
            "' AND changed_ms <= ?1 AND (changed_ms, id) > (?2, ?3) ORDER BY changed_ms, id LIMIT ?4"
        )
    };
}

pub(super) const GET: &str = concat!("SELECT ", columns!(), " FROM claim WHERE id = ?1");

pub(super) const SAME_REQUEST: &str =
    concat!("SELECT ", columns!(), " FROM claim WHERE idempotency_key = ?1 AND state <> 'failed'");

pub(super) const LIST_SETTLING: &str = list!("settling");
pub(super) const LIST_CREDIT: &str = list!("credit");
pub(super) const LIST_DELIVERED: &str = list!("delivered");
pub(super) const LIST_REFUND_DUE: &str = list!("refund_due");
pub(super) const LIST_REFUNDING: &str = list!("refunding");

/// Walks what is reserved at this moment, which is no more than what is being served.
pub(super) const LIST_ABANDONED: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM claim WHERE state = 'reserved' AND lease_until_ms <= ?1 AND (changed_ms, id) > (?2, ?3)
     ORDER BY changed_ms, id LIMIT ?4"
);

/// Walks what is delivered at this moment, which is no more than what is being served.
pub(super) const LIST_INTERRUPTED: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM claim WHERE state = 'delivering' AND lease_until_ms <= ?1 AND (changed_ms, id) > (?2, ?3)
     ORDER BY changed_ms, id LIMIT ?4"
);

pub(super) const KEY_HOLDER: &str = "SELECT claim FROM claim_key WHERE key = ?1";

pub(super) const INSERT: &str =
    "INSERT INTO claim (id, keys, scope, payer, paid, plan, reservation, expires_ms, idempotency_key,
            idempotency_request, first, state, lease_holder, lease_until_ms, changed_ms, bound, deliveries, answered)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, 0, 0)";

/// A failed or abandoned claim is claimed anew in its place.
pub(super) const RENEW: &str =
    "UPDATE claim SET keys = ?2, scope = ?3, payer = ?4, paid = ?5, plan = ?6, reservation = ?7, expires_ms = ?8,
            idempotency_key = ?9, idempotency_request = ?10, first = ?11, state = ?12, lease_holder = ?13,
            lease_until_ms = ?14, why = NULL, changed_ms = ?15, bound = ?16, deliveries = 0, answered = 0, last_step = NULL
     WHERE id = ?1";

pub(super) const INSERT_KEY: &str = "INSERT INTO claim_key (key, claim) VALUES (?1, ?2)";

pub(super) const FREE_KEYS: &str = "DELETE FROM claim_key WHERE claim = ?1";

pub(super) const STEP: &str =
    "UPDATE claim SET state = ?2, settled = ?3, lease_holder = ?4, lease_until_ms = ?5, why = ?6, refund_plan = ?7,
            refund = ?8, changed_ms = ?9, deliveries = ?10, answered = ?11, last_step = ?12
     WHERE seq = ?1";

pub(super) const ANSWER: &str =
    "SELECT status, headers, body FROM answer WHERE claim = (SELECT seq FROM claim WHERE id = ?1)";

pub(super) const KEEP_ANSWER: &str =
    "INSERT INTO answer (claim, status, headers, body) VALUES (?1, ?2, ?3, ?4)
     ON CONFLICT (claim) DO UPDATE SET status = excluded.status, headers = excluded.headers, body = excluded.body";

pub(super) const FORGET_ANSWER: &str = "DELETE FROM answer WHERE claim = ?1";

pub(super) const RESERVED: &str =
    "SELECT at_ms, claim_id, amount FROM reservation WHERE budget = ?1 AND at_ms > ?2";

pub(super) const SPENT: &str =
    "SELECT at_ms, seq, amount FROM spent_reservation WHERE budget = ?1 AND at_ms > ?2";

pub(super) const RESERVE: &str =
    "INSERT INTO reservation (budget, at_ms, claim_id, amount, until_ms) VALUES (?1, ?2, ?3, ?4, ?5)";

pub(super) const RESERVED_BY: &str =
    "SELECT budget, at_ms, amount, until_ms FROM reservation WHERE claim_id = ?1";

pub(super) const UNRESERVE: &str = "DELETE FROM reservation WHERE claim_id = ?1";

pub(super) const SPEND: &str =
    "INSERT INTO spent_reservation (budget, at_ms, amount, until_ms) VALUES (?1, ?2, ?3, ?4)";

pub(super) const RELEASE_DELIVERIES: &str =
    "UPDATE claim SET state = 'credit', lease_holder = NULL, lease_until_ms = NULL, changed_ms = ?1, last_step = NULL
     WHERE state = 'delivering'";

pub(super) const RESERVATIONS: &str = concat!("SELECT ", columns!(), " FROM claim WHERE state = 'reserved'");

pub(super) const FINAL: &str = "SELECT seq FROM claim
     WHERE state IN ('delivered', 'refunded', 'failed') AND expires_ms < ?1 ORDER BY expires_ms, id LIMIT ?2";

pub(super) const FORGET: &str = "DELETE FROM claim WHERE seq = ?1";

pub(super) const FORGET_RESERVED: &str = "DELETE FROM reservation WHERE until_ms < ?1";

pub(super) const FORGET_SPENT: &str = "DELETE FROM spent_reservation WHERE until_ms < ?1";

/// Counts a batch.
pub(super) const COMMITTED: &str = "UPDATE history SET commits = commits + 1 WHERE one = 1 RETURNING commits";

pub(super) const HISTORY: &str = "SELECT epoch, commits, witnessed FROM history WHERE one = 1";

/// All of them, for the test.
#[cfg(test)]
pub(super) const ALL: &[&str] = &[
    GET,
    SAME_REQUEST,
    LIST_SETTLING,
    LIST_CREDIT,
    LIST_DELIVERED,
    LIST_REFUND_DUE,
    LIST_REFUNDING,
    LIST_ABANDONED,
    LIST_INTERRUPTED,
    KEY_HOLDER,
    INSERT,
    RENEW,
    INSERT_KEY,
    FREE_KEYS,
    STEP,
    ANSWER,
    KEEP_ANSWER,
    FORGET_ANSWER,
    RESERVED,
    SPENT,
    RESERVE,
    RESERVED_BY,
    UNRESERVE,
    SPEND,
    RELEASE_DELIVERIES,
    RESERVATIONS,
    FINAL,
    FORGET,
    FORGET_RESERVED,
    FORGET_SPENT,
    COMMITTED,
    HISTORY,
];
