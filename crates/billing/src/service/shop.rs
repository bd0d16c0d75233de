//! [`Shop`]: a tenant with its assets, for the tests of what is sold. Its clock and ids are a test's.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use farthing_ledger::journal::{Head, Sealed};
use farthing_ledger::record::{Committed, Record, RecordKey, RecordStore, Scan, Version, Work};
use farthing_ledger::store::{HistoryQuery, LedgerStore, Page as LedgerPage, StoreError};
use farthing_ledger::testkit::MemoryStore;
use farthing_ledger::verify::{Fault, Report};
use farthing_ledger::{Account, AccountId, AssetId, Known, Outcome, Step, Timestamp, TransferId};
use farthing_money::{Amount, Asset, AssetKind, Id};

use super::customer::NewCustomer;
use super::product::{NewProduct, PriceForm, ProductDoc, TiersOver};
use super::tenant::NewTenant;
use super::usage::{CostForm, NewUsage};
use super::wallet::Credit;
use super::{Billing, Cx, TenantId};
use crate::id::{CustomerId, ProductId};

/// A store that lets others go first before it answers, now once, now several times: calls that run at the same time meet each
/// other between any two of their steps, as they do when the store is a database.
struct Yielding {
    store: MemoryStore,
    calls: AtomicU64,
}

impl Yielding {
    async fn wait(&self) {
        let n = self.calls.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for _ in 0..(n >> 32) % 4 {
            tokio::task::yield_now().await;
        }
    }
}

#[async_trait]
impl LedgerStore for Yielding {
    async fn transact(&self, now: Timestamp, steps: Vec<Step>) -> Result<Vec<Outcome>, StoreError> {
        self.wait().await;
        self.store.transact(now, steps).await
    }

    async fn accounts(&self, ids: &[AccountId]) -> Result<Vec<Option<Account>>, StoreError> {
        self.wait().await;
        self.store.accounts(ids).await
    }

    async fn account_at(&self, id: AccountId, at: Timestamp) -> Result<Option<Account>, StoreError> {
        self.store.account_at(id, at).await
    }

    async fn asset(&self, id: AssetId) -> Result<Option<Asset>, StoreError> {
        self.store.asset(id).await
    }

    async fn known(&self, id: TransferId) -> Result<Option<Known>, StoreError> {
        self.wait().await;
        self.store.known(id).await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<TransferId>, StoreError> {
        self.store.due(now, limit).await
    }

    async fn history(&self, query: HistoryQuery) -> Result<LedgerPage, StoreError> {
        self.store.history(query).await
    }

    async fn journal(&self, seq: u64, limit: usize) -> Result<Vec<Sealed>, StoreError> {
        self.store.journal(seq, limit).await
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.store.head().await
    }

    async fn verify(&self) -> Result<Result<Report, Fault>, StoreError> {
        self.store.verify().await
    }
}

#[async_trait]
impl RecordStore for Yielding {
    async fn commit(&self, work: Work) -> Result<Committed, StoreError> {
        self.wait().await;
        self.store.commit(work).await
    }

    async fn records(&self, keys: &[RecordKey]) -> Result<Vec<Option<Record>>, StoreError> {
        self.wait().await;
        self.store.records(keys).await
    }

    async fn scan(&self, scan: Scan) -> Result<Vec<Record>, StoreError> {
        self.wait().await;
        self.store.scan(scan).await
    }

    async fn changed(&self, version: Version) -> Result<Version, StoreError> {
        self.store.changed(version).await
    }
}

/// Two tenants, each with USD (scale 2) and TOKENS (scale 0).
pub(super) struct Shop {
    pub(super) billing: Billing,
    pub(super) tenant: TenantId,
    pub(super) other: TenantId,
    next: AtomicU64,
}

impl Shop {
    pub(super) async fn open() -> Self {
        let store = Yielding { store: MemoryStore::new(), calls: AtomicU64::new(0) };
        let billing = Billing::new(Arc::new(store));
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

    /// Billing of another process over the same store.
    pub(super) fn process(&self) -> Billing {
        Billing::new(self.billing.store().clone())
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
    pub(super) async fn settled(&self, account: AccountId) -> u128 {
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
        subject_parent: None,
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
