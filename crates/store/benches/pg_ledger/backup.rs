//! A ledger while somebody holds an old snapshot of its database, as a backup does and `farthing ledger verify`: rows that are
//! written anew leave dead ones behind, which nobody may remove until the snapshot is given up.

use std::time::Duration;

use super::begin::begin;
use super::load::{Shape, Until, measure, ms, percentile};
use super::{cluster, server};

const ACCOUNTS: u64 = 10_000;
const IN_FLIGHT: u64 = 64;

/// Rounds of `seconds`: one before, `rounds` under the snapshot, one after.
pub async fn backup(rounds: u64, seconds: u64) {
    let cluster = cluster();
    let url = cluster.database();
    begin(&url, ACCOUNTS).await;
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(async move { connection.await.unwrap() });
    println!(
        "{:<22} {:>8} {:>9} {:>9} {:>11} {:>12}",
        "snapshot", "pairs/s", "cpu us", "server us", "hold p99", "balance p99"
    );
    for round in 0..rounds + 2 {
        let name = match round {
            0 => "none".to_owned(),
            _ if round > rounds => "given up".to_owned(),
            _ => format!("held, {} s", round * seconds),
        };
        if round == 1 {
            client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
            client.query("SELECT 1", &[]).await.unwrap();
        }
        if round == rounds + 1 {
            client.batch_execute("COMMIT").await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let shape = Shape::saturating(&url, ACCOUNTS, IN_FLIGHT);
        let measured = measure(shape, Until::Seconds(seconds), || server::cpu(&cluster));
        let (own, server) = measured.cpu_a_pair();
        println!(
            "{name:<22} {:>8} {own:>9} {server:>9} {:>11} {:>12}",
            measured.pairs_a_second(),
            ms(percentile(&measured.holds, 99)),
            ms(percentile(&measured.reads, 99)),
        );
    }
}
