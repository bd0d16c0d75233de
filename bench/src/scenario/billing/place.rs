//! What there is before anything is measured: a tenant with keys, an asset, customers with money; and a PostgreSQL server.

use std::process::Command;
use std::sync::Arc;

use farthing_billing::CustomerId;
use farthing_billing::service::customer::NewCustomer;
use farthing_billing::service::key::{NewApiKey, PREFIX, Scope};
use farthing_billing::service::tenant::NewTenant;
use farthing_billing::service::wallet::Credit;
use farthing_billing::service::{Billing, Cx, Secret, TenantId};
use farthing_ledger::Timestamp;
use farthing_ledger::record::RecordStore;
use farthing_money::{Amount, Asset, AssetKind, Id};
use farthing_store::PgUrl;
use farthing_store::ledger::SqliteLedger;
use farthing_store::pg_ledger::PgLedger;
use farthing_store::testkit::postgres::Cluster;

use super::ALL_CPUS;
use crate::Failure;
use crate::clock::now_ms;

pub(super) const ASSET: &str = "USD";
const CUSTOMERS: usize = 1_000;
const KEYS: usize = 8;

/// Who pays, and who asks.
pub(super) struct Shop {
    pub(super) tenant: TenantId,
    pub(super) customers: Vec<CustomerId>,
    pub(super) keys: Vec<String>,
}

/// A context of now with a fresh id, whose last byte is the service's.
pub(super) fn cx(tenant: TenantId) -> Cx {
    let id = Id::from_parts(now_ms(), rand::random::<u128>() << 8);
    Cx { tenant, now: Timestamp::from_unix_ms(now_ms()), id, idempotency: None }
}

/// Opens a store for this process.
pub(super) async fn open(store: &str) -> Result<Arc<dyn RecordStore>, Failure> {
    Ok(match PgUrl::is_one(store) {
        true => Arc::new(PgLedger::open(PgUrl::parse(store)?, rand::random()).await?),
        false => Arc::new(SqliteLedger::open(store, rand::random())?),
    })
}

impl Shop {
    /// Makes it in this process, and closes the store again.
    pub(super) async fn make(store: &str) -> Result<Self, Failure> {
        Self::fill(&Billing::new(open(store).await?)).await
    }

    pub(super) async fn fill(billing: &Billing) -> Result<Self, Failure> {
        let nobody = TenantId::from_u128(0);
        let tenant = billing.create_tenant(&cx(nobody), &NewTenant { name: "bench".to_owned() }).await?.id;
        billing.create_asset(&cx(tenant), &Asset::new(ASSET, 6, AssetKind::Fiat)?).await?;
        let mut keys = Vec::new();
        for _ in 0..KEYS {
            let secret = Secret::from_bytes(rand::random());
            let scopes = [Scope::Holds, Scope::Read].into_iter().collect();
            let new = NewApiKey { name: "bench".to_owned(), scopes, expires_ms: None };
            billing.create_key(&cx(tenant), &new, &secret).await?;
            keys.push(secret.present(PREFIX));
        }
        let mut customers = Vec::new();
        for first in (0..CUSTOMERS).step_by(100) {
            let some = (first..first + 100).map(|n| Self::customer(billing, tenant, n));
            customers.extend(futures_util::future::try_join_all(some).await?);
        }
        Ok(Self { tenant, customers, keys })
    }

    async fn customer(billing: &Billing, tenant: TenantId, n: usize) -> Result<CustomerId, Failure> {
        let new = NewCustomer { external_id: format!("customer-{n}"), ..NewCustomer::default() };
        let id = billing.create_customer(&cx(tenant), &new).await?.id;
        billing.open_wallet(&cx(tenant), id, ASSET).await?;
        let credit = Credit { amount: Amount::from_base(1 << 80), reference: None, reason: None };
        billing.credit(&cx(tenant), (id, ASSET), &credit).await?;
        Ok(id)
    }
}

/// A PostgreSQL server of this run, on all CPUs.
pub(super) struct Database {
    cluster: Cluster,
    url: String,
}

impl Database {
    /// Starts it, where there is one on this machine.
    pub(super) fn start() -> Result<Option<Self>, Failure> {
        let Some(bin) = Cluster::find() else { return Ok(None) };
        let cluster = Cluster::start(&bin)?;
        cluster.set("shared_buffers = 256MB\nmax_wal_size = 4GB\n")?;
        cluster.stop_now();
        cluster.resume()?;
        let url = cluster.database();
        let it = Self { cluster, url };
        // It was started by a process that is pinned, and so were its own.
        for pid in it.processes() {
            Command::new("taskset").args(["--all-tasks", "--cpu-list", "--pid", ALL_CPUS, &pid]).output()?;
        }
        Ok(Some(it))
    }

    pub(super) fn url(&self) -> String {
        self.url.clone()
    }

    fn processes(&self) -> Vec<String> {
        let pid = std::fs::read_to_string(self.cluster.home().join("server.pid")).unwrap_or_default();
        let pid = pid.trim();
        let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        std::iter::once(pid.to_owned()).chain(list.split_whitespace().map(str::to_owned)).collect()
    }

    /// How long its processes that live have been on a CPU.
    pub(super) fn cpu_ns(&self) -> u64 {
        let spent = |pid: String| {
            let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        };
        self.processes().into_iter().filter_map(spent).sum()
    }
}
