//! A load that leaves the CPUs some rest: pairs at the pace that is asked for, instead of as many as there can be. What waits for
//! a free caller waits in the hold's time, which counts from when the pair was due.

use farthing_store::PgUrl;
use farthing_store::pg_ledger::verify_database;
use farthing_store::testkit::postgres::Cluster;

use super::begin::begin;
use super::load::{Shape, Until, measure, ms, percentile};
use super::server;

/// Of what was offered, in percent, when the pace counts as held.
const HELD: u64 = 99;

pub async fn paced(cluster: &Cluster, seconds: u64) {
    println!(
        "\n{:<16} {:>9} {:>8} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>11} {:>11} {:>12} {:>12}  pace",
        "accounts",
        "at most",
        "offered",
        "pairs/s",
        "cpu us",
        "server us",
        "late p99",
        "hold p50",
        "hold p99",
        "hold max",
        "balance p50",
        "balance p99",
        "SELECT 1 p50",
        "SELECT 1 p99"
    );
    for (name, wallets) in [("10000", 10_000), ("one hot account", 1)] {
        for (in_flight, offered) in [(64, 8_000), (1_024, 15_000)] {
            let url = cluster.database();
            begin(&url, wallets).await;
            let shape = Shape { pace: Some(offered), ..Shape::saturating(&url, wallets, in_flight) };
            let measured = measure(shape, Until::Seconds(seconds), || server::cpu(cluster));
            let (own, server) = measured.cpu_a_pair();
            let of = |values: &[u64], percent| ms(percentile(values, percent));
            let held = measured.pairs() * 100 / (offered * seconds);
            let held = if held >= HELD { "held".to_owned() } else { format!("NOT HELD: {held} % of it") };
            println!(
                "{name:<16} {in_flight:>9} {offered:>8} {:>8} {own:>9} {server:>9} {:>9} {:>9} {:>9} {:>9} {:>11} {:>11} {:>12} {:>12}  {held}",
                measured.pairs() / seconds,
                of(&measured.late, 99),
                of(&measured.holds, 50),
                of(&measured.holds, 99),
                of(&measured.holds, 100),
                of(&measured.reads, 50),
                of(&measured.reads, 99),
                of(&measured.trips, 50),
                of(&measured.trips, 99),
            );
            verify_database(&PgUrl::parse(&url).unwrap(), 0).await.unwrap().unwrap();
        }
    }
}
