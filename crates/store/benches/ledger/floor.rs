//! The floor: the same rows, ready made, written to the same file system with the same SQLite by a loop that does nothing else.

use std::time::{Duration, Instant};

use farthing_ledger::Timestamp;
use farthing_ledger::journal::{Chain, Entry, Head};
use farthing_ledger::testkit::model::Dice;
use tempfile::TempDir;

use super::cpu::Cpu;
use super::load::Measured;
use super::world::{Ids, NOW_MS, pair};

/// Transactions of `batch` rows, for so long on the disk.
pub fn floor(batch: usize, time: Duration) -> Measured {
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let db = rusqlite::Connection::open(folder.path().join("floor.db")).unwrap();
    for (name, value) in [("journal_mode", "WAL"), ("synchronous", "FULL"), ("cache_size", "-32768")] {
        db.pragma_update(None, name, value).unwrap();
    }
    db.pragma_update(None, "wal_autocheckpoint", 4_000).unwrap();
    db.execute_batch(include_str!("../../migrations/sqlite/ledger_0001.sql")).unwrap();
    db.execute_batch(include_str!("../../migrations/sqlite/ledger_0002.sql")).unwrap();
    let (mut ids, mut dice) = (Ids::new(9), Dice::new(9));
    let (mut seq, mut elapsed, mut cpu) = (0_u64, Duration::ZERO, Cpu::default());
    let mut chain = Chain::after(Head::genesis());
    while elapsed < time {
        let rows: Vec<Row> =
            (0..batch / 2).flat_map(|_| rows(&mut ids, &mut dice, (&mut chain, &mut seq))).collect();
        let (started, before) = (Instant::now(), Cpu::of_this_thread());
        db.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut insert =
            db.prepare_cached("INSERT INTO journal VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)").unwrap();
        for Row { seq, body, hash, id, ends } in &rows {
            insert.execute(rusqlite::params![seq, body, hash, id, ends, seq - 1, seq - 1, seq]).unwrap();
        }
        drop(insert);
        db.execute_batch("COMMIT").unwrap();
        elapsed += started.elapsed();
        let spent = Cpu::of_this_thread() - before;
        cpu = Cpu { all: cpu.all + spent, writer: cpu.writer + spent };
    }
    Measured { pairs: seq / 2, elapsed, cpu, p50: Duration::ZERO, p99: Duration::ZERO }
}

struct Row {
    seq: i64,
    body: Vec<u8>,
    hash: [u8; 32],
    id: [u8; 16],
    ends: Option<[u8; 16]>,
}

fn rows(ids: &mut Ids, dice: &mut Dice, (chain, seq): (&mut Chain, &mut u64)) -> [Row; 2] {
    pair(ids, dice).map(|event| {
        *seq += 1;
        let entry = Entry { seq: *seq, at: Timestamp::from_unix_ms(NOW_MS), event };
        let (body, hash) = chain.seal(&entry);
        Row {
            seq: i64::try_from(*seq).unwrap(),
            body: body.to_vec(),
            hash: *hash.as_bytes(),
            id: entry.transfer_id().unwrap().as_u128().to_be_bytes(),
            ends: entry.ends().map(|hold| hold.as_u128().to_be_bytes()),
        }
    })
}
