//! A tenant with a customer and assets, for tests of what brings money.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use farthing_ledger::testkit::MemoryStore;
use farthing_ledger::{Net, Timestamp};
use farthing_money::{Amount, Asset, AssetKind, Id};

use super::customer::NewCustomer;
use super::event::Event;
use super::tenant::NewTenant;
use super::{Billing, Cx, PageQuery, TenantId};
use crate::CustomerId;

/// 2026-11-14, an hour into the day.
pub(super) const START_MS: u64 = 1_794_618_000_000;
pub(super) const NETWORK: &str = "eip155:1337";
pub(super) const TOKEN: &str = "0x20c0000000000000000000000000000000000000";

pub(super) struct Scene {
    pub(super) billing: Billing,
    pub(super) tenant: TenantId,
    pub(super) customer: CustomerId,
    now_ms: AtomicU64,
    ids: AtomicU64,
}

impl Scene {
    /// A tenant with USD (in millionths) and a token, and one customer.
    pub(super) async fn new() -> Self {
        let billing = Billing::new(Arc::new(MemoryStore::new()));
        let mut scene = Self {
            billing,
            tenant: TenantId::from_u128(0),
            customer: CustomerId::from_u128(1),
            now_ms: START_MS.into(),
            ids: 1.into(),
        };
        let new = NewTenant { name: "t".to_owned() };
        scene.tenant = scene.billing.create_tenant(&scene.cx(), &new).await.unwrap().id;
        let token = AssetKind::Token { network: NETWORK.into(), address: TOKEN.into() };
        for (code, kind) in [("USD", AssetKind::Fiat), ("USDC", token), ("UNITS", AssetKind::Custom)] {
            let asset = Asset::new(code, 6, kind).unwrap();
            scene.billing.create_asset(&scene.cx(), &asset).await.unwrap();
        }
        scene.customer = scene.new_customer("c").await;
        scene
    }

    pub(super) async fn new_customer(&self, external_id: &str) -> CustomerId {
        let new = NewCustomer { external_id: external_id.to_owned(), ..NewCustomer::default() };
        self.billing.create_customer(&self.cx(), &new).await.unwrap().id
    }

    /// A new call of the tenant's.
    pub(super) fn cx(&self) -> Cx {
        let (now_ms, n) = (self.now_ms(), self.ids.fetch_add(1, Ordering::Relaxed));
        let id = Id::from_parts(now_ms, u128::from(n) << 12);
        Cx { tenant: self.tenant, now: Timestamp::from_unix_ms(now_ms), id, idempotency: None }
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.now_ms.load(Ordering::Relaxed)
    }

    pub(super) fn pass(&self, ms: u64) {
        self.now_ms.fetch_add(ms, Ordering::Relaxed);
    }

    /// What is available.
    pub(super) async fn available(&self, asset: &str) -> i128 {
        match self.billing.wallet(&self.cx(), self.customer, asset).await.unwrap().available {
            Net::Plus(amount) => i128::try_from(amount.base()).unwrap(),
            Net::Minus(amount) => -i128::try_from(amount.base()).unwrap(),
        }
    }

    /// The types of all events whose names begin so, in order.
    pub(super) async fn events(&self, prefix: &str) -> Vec<String> {
        let page = PageQuery { limit: 999, order: farthing_ledger::record::Order::Ascending, after: None };
        let mut found = self.billing.list::<Event>(&self.cx(), "", &page).await.unwrap().data;
        let nobodys = self.billing.list::<Event>(&self.cx().operator(), "", &page).await.unwrap().data;
        found.extend(nobodys);
        let kind = |event: &Event| serde_json::to_value(event.kind).unwrap().as_str().unwrap().to_owned();
        found.iter().map(|event| kind(&event.doc)).filter(|kind| kind.starts_with(prefix)).collect()
    }
}

pub(super) fn amount(base: u128) -> Amount {
    Amount::from_base(base)
}
