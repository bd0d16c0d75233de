//! [`Shop`]: a tenant with its assets, for the tests of what is sold. Its clock and ids are a test's.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use farthing_ledger::Timestamp;
use farthing_ledger::testkit::MemoryStore;
use farthing_money::{Amount, Asset, AssetKind, Id};

use super::customer::NewCustomer;
use super::product::{NewProduct, PriceForm, ProductDoc, TiersOver};
use super::tenant::NewTenant;
use super::usage::{CostForm, NewUsage};
use super::wallet::Credit;
use super::{Billing, Cx, TenantId};
use crate::id::{CustomerId, ProductId};

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

    /// A customer with so much USD in its wallet.
    pub(super) async fn customer(&self, name: &str, usd: u128) -> CustomerId {
        let new = NewCustomer { external_id: name.to_owned(), ..NewCustomer::default() };
        let id = self.billing.create_customer(&self.at(0), &new).await.unwrap().id;
        self.billing.open_wallet(&self.at(0), id, "USD").await.unwrap();
        if usd > 0 {
            let credit = Credit { amount: Amount::from_base(usd), reference: None, reason: None };
            self.billing.credit(&self.at(0), (id, "USD"), &credit).await.unwrap();
        }
        id
    }

    /// A product in USD with this price from the beginning on; told at most 1,000 ms late and 10 ms early.
    pub(super) async fn product(&self, tiers_over: TiersOver, price: &str) -> ProductDoc {
        self.product_late(tiers_over, price, 1_000).await
    }

    /// As [`Shop::product`], told as late as `grace_ms`.
    pub(super) async fn product_late(&self, tiers_over: TiersOver, price: &str, grace_ms: u64) -> ProductDoc {
        let price: PriceForm = serde_json::from_str(price).unwrap();
        let new = NewProduct {
            name: "Search".to_owned(),
            asset: "USD".to_owned(),
            tiers_over,
            grace_ms,
            skew_ms: 10,
            price: Some(price),
        };
        self.billing.create_product(&self.at(0), &new).await.unwrap()
    }

    /// What the customer can spend.
    pub(super) async fn spendable(&self, customer: CustomerId) -> u128 {
        self.billing.wallet(&self.at(0), customer, "USD").await.unwrap().spendable.base()
    }

    /// What is settled on an account at the edge of the USD books, both ways added up.
    pub(super) async fn settled(&self, account: farthing_ledger::AccountId) -> u128 {
        match self.billing.store().accounts(&[account]).await.unwrap()[0] {
            Some(account) => match account.balances().settled {
                farthing_ledger::Net::Plus(amount) | farthing_ledger::Net::Minus(amount) => amount.base(),
            },
            None => 0,
        }
    }
}

/// What vendors took.
pub(super) fn costs(costs: &[(&str, u128)]) -> Vec<CostForm> {
    let form = |(vendor, amount): &(&str, u128)| CostForm {
        vendor: (*vendor).to_owned(),
        amount: Amount::from_base(*amount),
    };
    costs.iter().map(form).collect()
}

/// An event of 1 unit that cost nothing.
pub(super) fn usage(event_id: &str, customer: CustomerId, product: ProductId) -> NewUsage {
    NewUsage {
        event_id: event_id.to_owned(),
        customer,
        subject: None,
        product,
        event_type: "search".to_owned(),
        dimensions: Default::default(),
        quantity: 1,
        costs: Vec::new(),
        occurred_ms: None,
        hold: None,
        rest: Default::default(),
    }
}
