//! A look over the whole file: what it holds, and whether its tables say the same.

use farthing_protocol::ports::StoreEpoch;
use rusqlite::Connection;

use super::row::SqlError;
use super::sql;
use crate::report::{Problem, Question, Report};

const QUESTIONS: &[Question] = &[
    (
        "keys of no claim, or of one that failed",
        "SELECT count(*) FROM claim_key k LEFT JOIN claim c ON c.seq = k.claim WHERE c.seq IS NULL OR c.state = 'failed'",
    ),
    (
        "claims whose money is not held",
        "SELECT count(*) FROM claim c WHERE c.state <> 'failed' AND EXISTS (
             SELECT 1 FROM json_each(c.keys) AS held
             WHERE NOT EXISTS (SELECT 1 FROM claim_key k WHERE k.key = held.value AND k.claim = c.seq))",
    ),
    (
        "claims that hold money which they do not name",
        "SELECT count(*) FROM claim_key k JOIN claim c ON c.seq = k.claim WHERE NOT EXISTS (
             SELECT 1 FROM json_each(c.keys) AS held WHERE held.value = k.key)",
    ),
    (
        "answers of no claim, or that their claim does not know of",
        "SELECT count(*) FROM answer a LEFT JOIN claim c ON c.seq = a.claim WHERE c.seq IS NULL OR NOT c.answered",
    ),
    (
        "claims whose answer is gone",
        "SELECT count(*) FROM claim c WHERE c.answered AND NOT EXISTS (SELECT 1 FROM answer a WHERE a.claim = c.seq)",
    ),
    (
        "reservations of claims that failed",
        "SELECT count(*) FROM reservation r JOIN claim c ON c.id = r.claim_id WHERE c.state = 'failed'",
    ),
];

/// Asks everything, of one state of the file.
pub(super) fn check(db: &Connection) -> Result<Report, SqlError> {
    let transaction = db.unchecked_transaction()?;
    let number = |sql: &str| transaction.query_row(sql, [], |row| row.get::<_, i64>(0));
    let mut problems = Vec::new();
    let damage = transaction
        .prepare("PRAGMA integrity_check")?
        .query_map([], |row| row.get::<_, String>(0))?
        .collect::<Result<Vec<_>, _>>()?;
    for what in damage.into_iter().filter(|what| what != "ok") {
        problems.push(Problem { what: format!("damage in the file: {what}"), count: 1 });
    }
    for (what, question) in QUESTIONS {
        let count = number(question)?.unsigned_abs();
        if count > 0 {
            problems.push(Problem { what: (*what).to_owned(), count });
        }
    }
    let claims = transaction
        .prepare("SELECT state, count(*) FROM claim GROUP BY state")?
        .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?
        .collect::<Result<_, _>>()?;
    let epoch = transaction.query_row(sql::HISTORY, [], |row| row.get(0).map(StoreEpoch))?;
    let schema = number("SELECT max(version) FROM schema_version")?;
    Ok(Report { schema, epoch, claims, problems })
}
