//! The floor: the same rows, ready made, inserted in batches by one connection that does nothing else.

use std::time::{Duration, Instant};

use farthing_ledger::Timestamp;
use farthing_ledger::journal::{Chain, Entry, Head};
use farthing_ledger::testkit::model::Dice;
use farthing_store::PgUrl;
use farthing_store::pg_ledger::PgLedger;

use super::world::{Ids, NOW_MS, pair};

/// Transactions of `batch` rows, for so many seconds; pairs a second.
pub async fn floor(url: &str, batch: u64, seconds: u64) -> u64 {
    let ledger = PgLedger::open(PgUrl::parse(url).unwrap(), 1).await.unwrap();
    ledger.close().await;
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(async move { connection.await.unwrap() });
    client.batch_execute("SET search_path TO farthing").await.unwrap();
    let insert = "INSERT INTO ledger_journal (shard, seq, body, hash, id, ends, debit, credit, prev_debit, prev_credit)
         SELECT 0, seq, body, hash, id, ends, 1, 2, seq - 1, seq - 1
         FROM unnest($1::bigint[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bytea[])
              AS u (seq, body, hash, id, ends)";
    let insert = client.prepare(insert).await.unwrap();
    let (mut ids, mut dice) = (Ids::new(9), Dice::new(9));
    let (mut chain, mut seq, mut spent) = (Chain::after(Head::genesis()), 0_u64, Duration::ZERO);
    while spent < Duration::from_secs(seconds) {
        let (mut seqs, mut bodies, mut hashes, mut used, mut ends) = (vec![], vec![], vec![], vec![], vec![]);
        for event in (0..batch / 2).flat_map(|_| pair(&mut ids, &mut dice)) {
            seq += 1;
            let entry = Entry { seq, at: Timestamp::from_unix_ms(NOW_MS), event };
            let (body, hash) = chain.seal(&entry);
            seqs.push(i64::try_from(seq).unwrap());
            bodies.push(body.to_vec());
            hashes.push(hash.as_bytes().to_vec());
            used.push(entry.transfer_id().map(|id| id.as_u128().to_be_bytes().to_vec()));
            ends.push(entry.ends().map(|id| id.as_u128().to_be_bytes().to_vec()));
        }
        let started = Instant::now();
        client.execute(&insert, &[&seqs, &bodies, &hashes, &used, &ends]).await.unwrap();
        spent += started.elapsed();
    }
    seq / 2 * 1_000 / u64::try_from(spent.as_millis()).unwrap()
}
