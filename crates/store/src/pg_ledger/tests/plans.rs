//! DESIGN section 6: cost grows with the work asked for, never with the history kept.

use crate::postgres::session::Statements as _;

use super::*;

/// Enough rows that reading all of them costs more than looking a few up.
const FILL: &str = r"
    INSERT INTO ledger_journal
    SELECT 0, n, '\x00', '\x00', int8send(n), CASE WHEN n % 2 = 0 THEN int8send(n) END, n % 1000, n % 7, n - 1, n - 1
    FROM generate_series(1000, 60000) AS n;
    INSERT INTO ledger_account
    SELECT 0, n, int8send(n), 1, 1, 0, NULL, '\x00', 0, 0 FROM generate_series(100, 20000) AS n;
    INSERT INTO ledger_old_hold SELECT 0, int8send(n), n, '\x00' FROM generate_series(1, 20000) AS n;
    INSERT INTO ledger_record SELECT 0, 't' || n % 5, 'k' || n, 1, '{}', '\x00' FROM generate_series(1, 50000) AS n;
    ANALYZE;";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_scans_a_table() {
    let Some(cluster) = Cluster::shared("no_statement_of_the_ledger_scans_a_table") else { return };
    let databases = Databases::new(cluster, TINY);
    databases.open().await.close().await;
    let session = Session::open(&databases.url(), Access::Write).await.unwrap();
    let client = &session.client;
    // Plans are kept, so those that are made of empty tables have to do for full ones.
    let mut scans = Vec::new();
    for fill in ["", FILL] {
        client.batch_execute(fill).await.unwrap();
        for sql in Sql::ALL {
            let params = client.prepare(sql.text()).await.unwrap().params().len();
            let nulls = vec!["NULL"; params].join(", ");
            client.batch_execute(&format!("PREPARE s AS {}", sql.text())).await.unwrap();
            let plan = client.query(&format!("EXPLAIN (COSTS OFF) EXECUTE s({nulls})"), &[]).await.unwrap();
            client.batch_execute("DEALLOCATE s").await.unwrap();
            let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
            let shown = format!("{sql:?}\n{}", plan.join("\n"));
            let is_bad = plan.iter().enumerate().any(|(place, line)| {
                // One row, and a few.
                let is_small =
                    ["ledger_head", "ledger_end", "ledger_durable"].iter().any(|table| line.contains(table));
                let is_index = line.contains("Index Scan") || line.contains("Index Only Scan");
                let condition = plan[place + 1..].iter().find(|next| next.contains("Index Cond"));
                // By more than the shard, which is one.
                let is_bounded = condition.is_some_and(|condition| condition.contains(" AND "));
                let is_join = ["Seq Scan", "Bitmap", "Hash Join", "Merge Join"];
                !is_small && (is_join.iter().any(|bad| line.contains(bad)) || is_index && !is_bounded)
            });
            if is_bad {
                scans.push(shown);
            }
        }
    }
    assert!(scans.is_empty(), "{}", scans.join("\n\n"));
}

/// With tables that the planner knows nothing of, and with full ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proving_looks_the_accounts_of_an_entry_up() {
    let Some(cluster) = Cluster::shared("proving_looks_the_accounts_of_an_entry_up") else { return };
    let databases = Databases::new(cluster, TINY);
    databases.open().await.close().await;
    let client = crate::postgres::session::connect(&databases.url(), Access::Write).await.unwrap();
    for fill in ["", FILL] {
        client.batch_execute(fill).await.unwrap();
        let journal =
            format!("{} AND j.seq <= 60000 ORDER BY j.seq LIMIT $3", crate::pg_ledger::audit::JOURNAL);
        client.batch_execute(&format!("PREPARE s (int, bigint, bigint) AS {journal}")).await.unwrap();
        let plan = client.query("EXPLAIN (COSTS OFF) EXECUTE s(0, 1000, 8192)", &[]).await.unwrap();
        client.batch_execute("DEALLOCATE s").await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.get(0)).collect();
        let plan = plan.join("\n");
        for bad in ["Seq Scan", "Bitmap", "Join", "Nested Loop", "Materialize", "Sort"] {
            assert!(!plan.contains(bad), "{plan}");
        }
        assert_eq!(plan.matches("Index Cond: ((shard = $1) AND (place =").count(), 2, "{plan}");
    }
}
