//! What only the SQLite ledger is measured with: a new file, and documents beside the money.

use std::path::Path;

use farthing_ledger::record::{Expect, RecordChange, RecordKey, Table, Work};
use farthing_ledger::{Command, NewHold, PostHold, Step, Timestamp};
use farthing_store::ledger::SqliteLedger;

use super::world::{NOW_MS, open_accounts};

const HOLDS: Table = Table::new("hold");
const COUNTERS: Table = Table::new("counter");

pub async fn open(path: &Path, wallets: u64) -> SqliteLedger {
    let ledger = SqliteLedger::open(path, 0x5eed).unwrap();
    open_accounts(&ledger, wallets).await;
    ledger
}

/// What a service writes with a hold, and with its capture: a document of half a kilobyte, and four counters.
pub fn works(hold: NewHold, post: PostHold) -> [Work; 2] {
    let (id, now) = (hold.transfer.id.as_u128(), Timestamp::from_unix_ms(NOW_MS));
    let at = |table, key: String| RecordKey { table, key };
    let document = |expect, state: &str| RecordChange::Put {
        at: at(HOLDS, format!("tenant/{id:032x}")),
        expect,
        body: format!("{{\"state\":\"{state}\",\"subject\":\"{}\"}}", "x".repeat(450)),
    };
    let counters = (0..4_u8).map(|n| RecordChange::Add {
        at: at(COUNTERS, format!("tenant/2027-01-15/{n}/{}", hold.transfer.credit.as_u128())),
        numbers: vec![1, 700],
    });
    let placed = vec![document(Expect::Absent, "open")];
    let captured = std::iter::once(document(Expect::Present, "captured")).chain(counters).collect();
    let step = |command| vec![Step::single(command)];
    [
        Work { now, steps: step(Command::Hold(hold)), records: placed },
        Work { now, steps: step(Command::Post(post)), records: captured },
    ]
}
