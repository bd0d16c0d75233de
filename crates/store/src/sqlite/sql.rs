//! Every statement that runs while serving, in one place: a test asks SQLite how it would run each and fails on a scan.

/// Columns of a claim, in the order that [`super::row`] reads.
macro_rules! columns {
    () => {
        "id, keys, scope, payer, plan, reservation, expires_ms, state, settled, lease_until_ms, why, changed_ms, seq"
    };
}

pub(super) const GET: &str = concat!("SELECT ", columns!(), " FROM claim WHERE id = ?1");

pub(super) const UNRESOLVED: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM claim WHERE state = 'settling' AND changed_ms <= ?1 ORDER BY changed_ms, id LIMIT ?2"
);

pub(super) const KEY_HOLDER: &str = "SELECT 1 FROM claim_key WHERE key = ?1";

pub(super) const INSERT: &str =
    "INSERT INTO claim (id, keys, scope, payer, plan, reservation, expires_ms, state, changed_ms)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'settling', ?8)";

/// A failed claim is claimed anew in its place.
pub(super) const RENEW: &str =
    "UPDATE claim SET keys = ?2, scope = ?3, payer = ?4, plan = ?5, reservation = ?6,
            expires_ms = ?7, state = 'settling', why = NULL, changed_ms = ?8
     WHERE id = ?1";

pub(super) const INSERT_KEY: &str = "INSERT INTO claim_key (key, claim) VALUES (?1, ?2)";

pub(super) const FREE_KEYS: &str = "DELETE FROM claim_key WHERE claim = ?1";

pub(super) const STEP: &str = "UPDATE claim SET state = ?2, settled = ?3, lease_until_ms = ?4, why = ?5, changed_ms = ?6 WHERE seq = ?1";

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

pub(super) const RELEASE: &str =
    "UPDATE claim SET state = 'credit', lease_until_ms = NULL, changed_ms = ?1 WHERE state = 'delivering'";

/// The condition is the index's own, word for word: that is how SQLite knows that it may use it.
pub(super) const FINAL: &str = "SELECT seq FROM claim
     WHERE state IN ('delivered', 'failed') AND expires_ms < ?1 ORDER BY expires_ms, id LIMIT ?2";

pub(super) const FORGET: &str = "DELETE FROM claim WHERE seq = ?1";

pub(super) const FORGET_RESERVED: &str = "DELETE FROM reservation WHERE until_ms < ?1";

pub(super) const FORGET_SPENT: &str = "DELETE FROM spent_reservation WHERE until_ms < ?1";

/// All of them, for the test.
#[cfg(test)]
pub(super) const ALL: &[&str] = &[
    GET,
    UNRESOLVED,
    KEY_HOLDER,
    INSERT,
    RENEW,
    INSERT_KEY,
    FREE_KEYS,
    STEP,
    RESERVED,
    SPENT,
    RESERVE,
    RESERVED_BY,
    UNRESERVE,
    SPEND,
    RELEASE,
    FINAL,
    FORGET,
    FORGET_RESERVED,
    FORGET_SPENT,
];
