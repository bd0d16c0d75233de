//! What the tests of funding share: a tenant with customers over a store, chains to run against, and time.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]
#![allow(dead_code, reason = "each test binary uses a part")]

/// Runs a scenario against every chain that there is.
#[allow(unused_macros, reason = "each test binary uses a part")]
macro_rules! on_every_chain {
    ($($name:ident),* $(,)?) => {
        mod on_anvil {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                if let Some(node) = super::support::chain::anvil().await {
                    super::$name(node).await;
                }
            })*
        }
        mod on_sandbox {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(super::support::chain::sandbox().await).await;
            })*
        }
    };
}

pub mod chain;
#[path = "../../../rails/tests/support/lossy.rs"]
pub mod lossy;
pub mod stripe;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use farthing_billing::CustomerId;
use farthing_billing::service::customer::NewCustomer;
use farthing_billing::service::tenant::NewTenant;
use farthing_billing::service::{Billing, Cx, TenantId};
use farthing_funding::topup::MakeCx;
use farthing_ledger::record::RecordStore;
use farthing_ledger::testkit::MemoryStore;
use farthing_ledger::{Net, Timestamp};
use farthing_money::{Amount, Asset, AssetKind, Id};

#[allow(clippy::disallowed_methods, reason = "a test is the outermost ring")]
pub fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// Says loudly that a test was not run, and why.
pub fn skipped(why: &str) {
    use std::io::Write as _;
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    writeln!(std::io::stderr(), "SKIPPED {name}: {why}").ok();
}

/// A tenant with one asset and one customer. Time is that of the machine, and what a test adds.
pub struct Scene {
    pub billing: Billing,
    pub store: Arc<dyn RecordStore>,
    pub tenant: TenantId,
    pub customer: CustomerId,
    pub ahead_ms: Arc<AtomicU64>,
}

impl Scene {
    pub async fn new(asset: &Asset) -> Self {
        let store: Arc<dyn RecordStore> = Arc::new(MemoryStore::new());
        let billing = Billing::new(Arc::clone(&store));
        let ahead_ms = Arc::new(AtomicU64::new(0));
        let mut scene = Self {
            billing,
            store,
            tenant: TenantId::from_u128(0),
            customer: CustomerId::from_u128(1),
            ahead_ms,
        };
        let new = NewTenant { name: "t".to_owned() };
        scene.tenant = scene.billing.create_tenant(&scene.cx(), &new).await.unwrap().id;
        scene.billing.create_asset(&scene.cx(), asset).await.unwrap();
        scene.customer = scene.new_customer("c").await;
        scene
    }

    pub async fn usd() -> Self {
        Self::new(&Asset::new("USD", 2, AssetKind::Fiat).unwrap()).await
    }

    pub async fn new_customer(&self, external_id: &str) -> CustomerId {
        let new = NewCustomer { external_id: external_id.to_owned(), ..NewCustomer::default() };
        self.billing.create_customer(&self.cx(), &new).await.unwrap().id
    }

    pub fn make_cx(&self) -> MakeCx {
        let ahead_ms = Arc::clone(&self.ahead_ms);
        Arc::new(move |tenant| {
            let now = now_ms() + ahead_ms.load(Ordering::Relaxed);
            let id = Id::from_parts(now, rand::random::<u128>());
            Cx { tenant, now: Timestamp::from_unix_ms(now), id, idempotency: None }
        })
    }

    pub fn cx(&self) -> Cx {
        (self.make_cx())(self.tenant)
    }

    pub async fn available_of(&self, customer: CustomerId, asset: &str) -> i128 {
        match self.billing.wallet(&self.cx(), customer, asset).await.unwrap().available {
            Net::Plus(amount) => i128::try_from(amount.base()).unwrap(),
            Net::Minus(amount) => -i128::try_from(amount.base()).unwrap(),
        }
    }

    pub async fn available(&self, asset: &str) -> i128 {
        self.available_of(self.customer, asset).await
    }
}

pub fn amount(base: u128) -> Amount {
    Amount::from_base(base)
}

/// Waits until something is so; a test that waits for longer than a minute has failed.
pub async fn until<F: AsyncFnMut() -> bool>(what: &str, mut is: F) {
    for _ in 0..600 {
        if is().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it never was: {what}");
}
