//! A look over the whole database: what it holds, and whether its tables say the same.

use std::collections::BTreeMap;

use farthing_protocol::ports::StoreEpoch;
use tokio_postgres::Client;

use super::error::PgError;
use crate::report::{Problem, Question, Report};

const QUESTIONS: &[Question] = &[
    (
        "keys of no claim, or of one that failed",
        "SELECT count(*) FROM claim_key k LEFT JOIN claim c ON c.id = k.claim_id WHERE c.id IS NULL OR c.state = 'failed'",
    ),
    (
        "claims whose money is not held",
        "SELECT count(*) FROM claim c WHERE c.state <> 'failed' AND EXISTS (
             SELECT 1 FROM json_array_elements_text(c.keys::json) AS held (key)
             WHERE NOT EXISTS (SELECT 1 FROM claim_key k WHERE k.key = held.key COLLATE \"C\" AND k.claim_id = c.id))",
    ),
    (
        "claims that hold money which they do not name",
        "SELECT count(*) FROM claim_key k JOIN claim c ON c.id = k.claim_id WHERE NOT EXISTS (
             SELECT 1 FROM json_array_elements_text(c.keys::json) AS held (key) WHERE held.key COLLATE \"C\" = k.key)",
    ),
    (
        "answers of no claim, or that their claim does not know of",
        "SELECT count(*) FROM answer a LEFT JOIN claim c ON c.id = a.claim_id WHERE c.id IS NULL OR NOT c.answered",
    ),
    (
        "claims whose answer is gone",
        "SELECT count(*) FROM claim c WHERE c.answered AND NOT EXISTS (SELECT 1 FROM answer a WHERE a.claim_id = c.id)",
    ),
    (
        "reservations of claims that failed",
        "SELECT count(*) FROM reservation r JOIN claim c ON c.id = r.claim_id WHERE c.state = 'failed'",
    ),
    (
        "budgets whose sum is not that of their reservations",
        "SELECT count(*) FROM budget b WHERE b.total <> (
             SELECT coalesce(sum(r.amount), 0) FROM reservation r WHERE r.budget = b.name AND r.at_ms > b.after_ms)",
    ),
    (
        "reservations of no budget",
        "SELECT count(*) FROM reservation r WHERE NOT EXISTS (SELECT 1 FROM budget b WHERE b.name = r.budget)",
    ),
];

/// Asks everything, of one state of the database.
pub(super) async fn check(client: &Client) -> Result<Report, PgError> {
    // It looks at every row, on purpose.
    client
        .batch_execute(
            "SET statement_timeout TO '1h'; SET enable_seqscan TO on; SET plan_cache_mode TO auto;
             BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        )
        .await?;
    let row = client.query_one("SELECT max(version) FROM schema_version", &[]).await?;
    let schema: i64 = row.try_get(0)?;
    let epoch: i64 = client.query_one("SELECT epoch FROM history WHERE one", &[]).await?.try_get(0)?;
    let mut claims = BTreeMap::new();
    for row in client.query("SELECT state, count(*) FROM claim GROUP BY state", &[]).await? {
        let count: i64 = row.try_get(1)?;
        claims.insert(row.try_get(0)?, count.unsigned_abs());
    }
    let mut problems = Vec::new();
    for (what, question) in QUESTIONS {
        let count: i64 = client.query_one(*question, &[]).await?.try_get(0)?;
        if count > 0 {
            problems.push(Problem { what: (*what).to_owned(), count: count.unsigned_abs() });
        }
    }
    client.batch_execute("COMMIT").await?;
    let epoch = StoreEpoch(u32::try_from(epoch).unwrap_or_default());
    Ok(Report { schema, epoch, claims, problems })
}
