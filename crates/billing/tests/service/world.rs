//! A tenant with an asset and a customer, and calls that are told fresh ids.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use farthing_billing::CustomerId;
use farthing_billing::service::customer::NewCustomer;
use farthing_billing::service::tenant::NewTenant;
use farthing_billing::service::wallet::{Credit, Wallet};
use farthing_billing::service::{Billing, Cx, Idempotency, TenantId};
use farthing_ledger::Timestamp;
use farthing_ledger::testkit::MemoryStore;
use farthing_money::{Amount, Asset, AssetKind, Id};

/// 1 December 2026, some time in the morning.
pub const NOW: u64 = 1_796_116_000_000;
pub const HOUR: u64 = 3_600_000;
pub const DAY: u64 = 24 * HOUR;

pub struct World {
    pub billing: Billing,
    pub tenant: TenantId,
    pub customer: CustomerId,
    now: AtomicU64,
    ids: AtomicU64,
}

pub fn base(amount: u128) -> Amount {
    Amount::from_base(amount)
}

impl World {
    pub async fn new() -> Self {
        Self::over(Billing::new(Arc::new(MemoryStore::new()))).await
    }

    pub async fn over(billing: Billing) -> Self {
        let mut world = Self {
            billing,
            tenant: TenantId::from_u128(0),
            customer: CustomerId::from_u128(0),
            now: AtomicU64::new(NOW),
            ids: AtomicU64::new(1),
        };
        world.tenant = world.new_tenant("one").await;
        world.customer = world.new_customer("first").await;
        world
    }

    pub async fn new_tenant(&self, name: &str) -> TenantId {
        let tenant =
            self.billing.create_tenant(&self.cx(), &NewTenant { name: name.to_owned() }).await.unwrap();
        let cx = Cx { tenant: tenant.id, ..self.cx() };
        self.billing.create_asset(&cx, &usd()).await.unwrap();
        tenant.id
    }

    pub async fn new_customer(&self, external_id: &str) -> CustomerId {
        let new = NewCustomer { external_id: external_id.to_owned(), ..NewCustomer::default() };
        self.billing.create_customer(&self.cx(), &new).await.unwrap().id
    }

    pub fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }

    pub fn pass(&self, ms: u64) {
        self.now.fetch_add(ms, Ordering::Relaxed);
    }

    /// A call with a fresh id.
    pub fn cx(&self) -> Cx {
        let n = self.ids.fetch_add(1, Ordering::Relaxed);
        let now = Timestamp::from_unix_ms(self.now());
        // Spread as random bits would be.
        let random = u128::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        Cx { tenant: self.tenant, now, id: Id::from_parts(now.unix_ms(), random), idempotency: None }
    }

    /// A call that may be told again.
    pub fn keyed(&self, key: &str) -> Cx {
        let idempotency = Idempotency { key: key.to_owned(), fingerprint: format!("of {key}") };
        Cx { idempotency: Some(idempotency), ..self.cx() }
    }

    pub async fn credit(&self, amount: u128) {
        let credit = Credit { amount: base(amount), reference: None, reason: None };
        self.billing.credit(&self.cx(), (self.customer, "USD"), &credit).await.unwrap();
    }

    pub async fn wallet(&self) -> Wallet {
        self.billing.wallet(&self.cx(), self.customer, "USD").await.unwrap()
    }

    /// Spendable, held, and what is settled when it is not below zero.
    pub async fn balances(&self) -> (u128, u128, u128) {
        let wallet = self.wallet().await;
        (wallet.spendable.base(), wallet.held.base(), wallet.settled.or_zero().base())
    }
}

pub fn usd() -> Asset {
    Asset::new("USD", 2, AssetKind::Fiat).unwrap()
}
