#![allow(clippy::unwrap_used, reason = "tests")]

use tokio_postgres::Client;

use super::session::{self, Access, Statements as _};
use super::sql::Sql;
use super::{PgUrl, schema};
use crate::testkit::postgres::Cluster;

/// Enough rows that reading all of them costs more than looking a few up.
const FILL: &str = r#"
    INSERT INTO claim (id, keys, scope, plan, expires_ms, idempotency_key, idempotency_request, state, settled,
                       lease_holder, lease_until_ms, why, refund_plan, changed_ms, deliveries, answered)
    SELECT 'c' || n, '["k' || n || '"]', 'GET /paid', '{}', n, 'r' || n, '\x00'::bytea, s,
           CASE WHEN s NOT IN ('reserved', 'settling', 'failed') THEN '{}' END,
           CASE WHEN s IN ('reserved', 'delivering') THEN '\x00'::bytea END,
           CASE WHEN s IN ('reserved', 'delivering') THEN n END,
           CASE WHEN s = 'failed' THEN '""' END, CASE WHEN s = 'refunding' THEN '{}' END, n, 0, true
    FROM (SELECT n, (ARRAY['reserved', 'settling', 'credit', 'delivering', 'refund_due', 'refunding', 'failed'])[
                 CASE WHEN n % 20 < 7 THEN n % 20 + 1 END] AS rare FROM generate_series(1, 100000) AS n) AS numbers,
         LATERAL (SELECT coalesce(rare, 'delivered') AS s) AS states;
    INSERT INTO claim_key SELECT 'k' || n, 'c' || n FROM generate_series(1, 100000) AS n;
    INSERT INTO answer SELECT 'c' || n, 200, '[]', '' FROM generate_series(1, 100000) AS n;
    INSERT INTO budget SELECT 'b' || n, 0, 0 FROM generate_series(1, 5000) AS n;
    INSERT INTO reservation (budget, at_ms, claim_id, amount, until_ms)
    SELECT 'b' || n % 100, n, CASE WHEN n % 2 = 0 THEN 'c' || n END, 1, n + 1000 FROM generate_series(1, 100000) AS n;
    ANALYZE;
"#;

/// How PostgreSQL would run a statement, without what our connections set.
async fn explain(client: &Client, sql: Sql) -> Vec<String> {
    let params = client.prepare(sql.text()).await.unwrap().params().len();
    let nulls = vec!["NULL"; params].join(", ");
    let arguments = if params == 0 { String::new() } else { format!("({nulls})") };
    client.batch_execute(&format!("PREPARE s AS {}", sql.text())).await.unwrap();
    let rows = client.query(&format!("EXPLAIN (COSTS OFF) EXECUTE s{arguments}"), &[]).await.unwrap();
    client.batch_execute("DEALLOCATE s").await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// DESIGN section 6: cost grows with the work asked for, never with the history kept.
#[tokio::test]
async fn no_statement_scans_a_table() {
    let Some(cluster) = Cluster::shared("no_statement_scans_a_table") else { return };
    let url = PgUrl::parse(&cluster.database()).unwrap();
    let client = session::connect(&url, Access::Write).await.unwrap();
    schema::migrate(&client, &schema::CLAIMS).await.unwrap();
    // Plans are kept, so those that our connections make of empty tables have to do for full ones.
    every_plan_is_bounded(&client).await;
    client.batch_execute("SET statement_timeout TO 0").await.unwrap();
    client.batch_execute(FILL).await.unwrap();
    // With what PostgreSQL would do by itself.
    let defaults = "RESET enable_seqscan; RESET jit";
    client.batch_execute(defaults).await.unwrap();
    every_plan_is_bounded(&client).await;
}

async fn every_plan_is_bounded(client: &Client) {
    // Indexes of nothing but the rows that are asked for: walking them is no scan.
    let own = [
        "claim_reserved",
        "claim_delivering",
        "claim_settling",
        "claim_credit",
        "claim_refund_due",
        "claim_refunding",
    ];
    for sql in Sql::ALL {
        let plan = explain(client, *sql).await;
        let shown = format!("{sql:?}\n{}", plan.join("\n"));
        for (place, line) in plan.iter().enumerate() {
            // One row is what it has.
            assert!(!line.contains("Seq Scan") || line.contains("on history"), "{shown}");
            let is_list = format!("{sql:?}").starts_with("List");
            assert!(!(is_list && line.contains("Sort")), "{shown}");
            if line.contains("Index Scan") || line.contains("Index Only Scan") {
                let depth = |line: &String| line.len() - line.trim_start().len();
                let details = plan[place + 1..]
                    .iter()
                    .take_while(|next| !next.contains("->") || depth(next) > depth(line));
                let bounded = details.into_iter().any(|detail| detail.contains("Index Cond"));
                assert!(bounded || own.iter().any(|name| line.contains(name)), "{shown}");
            }
        }
    }
}
