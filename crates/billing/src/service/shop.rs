//! [`Shop`]: a tenant with its assets, for the tests of what is sold. Its clock and ids are a test's.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use farthing_ledger::Timestamp;
use farthing_ledger::testkit::MemoryStore;
use farthing_money::{Asset, AssetKind, Id};

use super::tenant::NewTenant;
use super::{Billing, Cx, TenantId};

/// Two tenants, each with USD (scale 2) and TOKENS (scale 0).
pub(super) struct Shop {
    pub(super) billing: Billing,
    pub(super) tenant: TenantId,
    pub(super) other: TenantId,
    next: AtomicU64,
}

impl Shop {
    pub(super) async fn open() -> Self {
        let billing = Billing::new(Arc::new(MemoryStore::new()));
        let nobody = TenantId::from_u128(0);
        let mut shop = Self { billing, tenant: nobody, other: nobody, next: AtomicU64::new(1) };
        shop.tenant = shop.settle().await;
        shop.other = shop.settle().await;
        shop
    }

    async fn settle(&self) -> TenantId {
        let new = NewTenant { name: "t".to_owned() };
        let tenant = self.billing.create_tenant(&self.at(0), &new).await.unwrap();
        let cx = Cx { tenant: tenant.id, ..self.at(0) };
        for (code, scale, kind) in [("USD", 2, AssetKind::Fiat), ("TOKENS", 0, AssetKind::Custom)] {
            self.billing.create_asset(&cx, &Asset::new(code, scale, kind).unwrap()).await.unwrap();
        }
        tenant.id
    }

    /// A call of the tenant at `now`, with a fresh id.
    pub(super) fn at(&self, now: u64) -> Cx {
        let n = u128::from(self.next.fetch_add(1, Ordering::Relaxed));
        let id = Id::from_parts(now, n << 24);
        Cx { tenant: self.tenant, now: Timestamp::from_unix_ms(now), id, idempotency: None }
    }

    /// A call of the other tenant.
    pub(super) fn foreign(&self, now: u64) -> Cx {
        Cx { tenant: self.other, ..self.at(now) }
    }
}
