//! A new ledger in a database.

use farthing_store::PgUrl;
use farthing_store::pg_ledger::PgLedger;

use super::world::open_accounts;

/// Makes a ledger with its accounts, and leaves it to the processes that are measured.
pub async fn begin(url: &str, wallets: u64) {
    let ledger = PgLedger::open(PgUrl::parse(url).unwrap(), 0x5eed).await.unwrap();
    open_accounts(&ledger, wallets).await;
    ledger.close().await;
}
