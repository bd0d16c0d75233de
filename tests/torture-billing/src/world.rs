//! What is there before anything is killed: a tenant, an asset, customers with money, a product.

use std::collections::BTreeMap;

use farthing_billing::budget::{Children, Funding};
use farthing_billing::service::budget::NewBudget;
use farthing_billing::service::customer::NewCustomer;
use farthing_billing::service::deposit::Addresses;
use farthing_billing::service::key::{NewApiKey, PREFIX, Scope};
use farthing_billing::service::product::{NewProduct, PriceForm, TiersOver};
use farthing_billing::service::tenant::NewTenant;
use farthing_billing::service::topup::{NewTopUpRule, Source};
use farthing_billing::service::wallet::Credit;
use farthing_billing::service::{Authority, Billing, Cx, Named as _, Secret, ServiceError, TenantId};
use farthing_billing::topup::{BackOff, Size};
use farthing_billing::{BudgetId, CustomerId, ProductId};
use farthing_ledger::Timestamp;
use farthing_money::{Amount, Asset, AssetKind};

use crate::clock::{fresh_id, now_ms};
use crate::place;

/// The asset of everything.
pub const ASSET: &str = "USD";
/// The asset of deposits.
pub const TOKEN: &str = "USDC";
/// Where they come from.
pub const NETWORK: &str = "eip155:4217";
/// What it is there.
pub const TOKEN_ADDRESS: &str = "0x20c0000000000000000000000000000000000000";
/// Under this, the wallet is topped up.
const THRESHOLD: u128 = 4_000;
/// What a unit of the product costs.
pub const UNIT: u128 = 3;

/// What there is.
pub struct World {
    /// Whose.
    pub tenant: TenantId,
    /// Who has money.
    pub customers: Vec<CustomerId>,
    /// For each of them a budget, and one below it.
    pub budgets: Vec<[BudgetId; 2]>,
    /// The address of each for deposits; where a service gives them out, it is asked for them.
    pub addresses: Vec<String>,
    /// What is sold.
    pub product: ProductId,
}

/// A context for this tool's own calls.
pub fn cx(tenant: TenantId) -> Cx {
    Cx { tenant, now: Timestamp::from_unix_ms(now_ms()), id: fresh_id(), idempotency: None }
}

/// Whose addresses nobody has a key for.
struct Script;

impl Addresses for Script {
    fn address(&self, index: u32) -> String {
        format!("0x{:040x}", u64::from(index) + 0xadd0)
    }

    fn takes(&self, _: &str, _: &str) -> bool {
        true
    }
}

impl World {
    /// Makes it, in this process, and closes the store again. Deposits come from `network`.
    ///
    /// # Errors
    /// A sentence.
    pub async fn make(store: &str, network: &str, (customers, money): (usize, u128)) -> Result<Self, String> {
        let billing = Billing::new(place::open(store).await?);
        Self::fill(&billing, network, (customers, money)).await.map_err(|error| error.to_string())
    }

    async fn fill(
        billing: &Billing,
        network: &str,
        (customers, money): (usize, u128),
    ) -> Result<Self, ServiceError> {
        let nobody = TenantId::from_u128(0);
        let tenant = billing.create_tenant(&cx(nobody), &NewTenant { name: "torture".to_owned() }).await?.id;
        billing.create_asset(&cx(tenant), &Asset::new(ASSET, 2, AssetKind::Fiat)?).await?;
        let token = AssetKind::Token { network: network.into(), address: TOKEN_ADDRESS.into() };
        billing.create_asset(&cx(tenant), &Asset::new(TOKEN, 6, token)?).await?;
        let (mut made, mut budgets, mut addresses) = (Vec::new(), Vec::new(), Vec::new());
        for n in 0..customers {
            let new = NewCustomer { external_id: format!("customer-{n}"), ..NewCustomer::default() };
            let id = billing.create_customer(&cx(tenant), &new).await?.id;
            billing.open_wallet(&cx(tenant), id, ASSET).await?;
            let credit = Credit { amount: Amount::from_base(money), reference: None, reason: None };
            billing.credit(&cx(tenant), (id, ASSET), &credit).await?;
            let agent = Self::budget(billing, tenant, (Some(id), None)).await?;
            budgets.push([agent, Self::budget(billing, tenant, (None, Some(agent))).await?]);
            if network == NETWORK {
                let address = billing.deposit_address(&cx(tenant), (id, TOKEN), &Script).await?;
                addresses.push(address.address);
            }
            made.push(id);
        }
        let price = format!(r#"{{"model":{{"type":"per_unit","unit":"{UNIT}"}}}}"#);
        let price: PriceForm =
            serde_json::from_str(&price).map_err(|error| ServiceError::unreadable("price", &error))?;
        let new = NewProduct {
            name: "Search".to_owned(),
            asset: ASSET.to_owned(),
            tiers_over: TiersOver::Event,
            grace_ms: 60_000,
            skew_ms: 60_000,
            price: Some(price),
        };
        let product = billing.create_product(&cx(tenant), &new).await?.id;
        Ok(Self { tenant, customers: made, budgets, addresses, product })
    }

    /// A budget with a limit that is far away: it is the accounts that matter.
    async fn budget(
        billing: &Billing,
        tenant: TenantId,
        (customer, parent): (Option<CustomerId>, Option<BudgetId>),
    ) -> Result<BudgetId, ServiceError> {
        let new = NewBudget {
            customer,
            asset: customer.map(|_| ASSET.to_owned()),
            parent,
            name: None,
            funding: Funding::Shared { total: Some(Amount::from_base(1_000_000_000)) },
            per_call: None,
            rates: Vec::new(),
            counterparties: None,
            // One level under the first, none under the second.
            children: if parent.is_none() {
                Children { most: 1, levels: 1 }
            } else {
                Children { most: 0, levels: 0 }
            },
            metadata: BTreeMap::new(),
        };
        Ok(billing.create_budget(&cx(tenant), &Authority::Owner, &new).await?.budget.id)
    }

    /// A key that may do everything.
    ///
    /// # Errors
    /// A sentence.
    pub async fn make_key(&self, store: &str) -> Result<String, String> {
        let billing = Billing::new(place::open(store).await?);
        let secret = Secret::from_bytes(rand::random());
        let scopes = [Scope::Admin, Scope::Read].into_iter().collect();
        let new = NewApiKey { name: "torture".to_owned(), scopes, expires_ms: None };
        let made = billing.create_key(&cx(self.tenant), &new, &secret).await;
        made.map(|_| secret.present(PREFIX)).map_err(|error| error.to_string())
    }

    /// Has every wallet topped up from the scripted processor, which is asked again after `back_off`.
    ///
    /// # Errors
    /// A sentence.
    pub async fn keep_topped_up(&self, store: &str, back_off: BackOff) -> Result<(), String> {
        let billing = Billing::new(place::open(store).await?);
        for (n, customer) in self.customers.iter().enumerate() {
            let rule = NewTopUpRule {
                threshold: Amount::from_base(THRESHOLD),
                size: Size::Steps(Amount::from_base(200)),
                cap_per_day: Amount::from_base(1_000_000_000),
                back_off,
                source: Source::Card { customer: format!("cus_{n}"), payment_method: format!("pm_{n}") },
            };
            let put = billing.put_topup_rule(&cx(self.tenant), (*customer, ASSET), &rule).await;
            put.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// As a process is told of the tenant.
    pub fn tenant_text(&self) -> String {
        self.tenant.to_string()
    }

    /// A customer as calls name it.
    pub fn customer(&self, index: usize) -> String {
        self.customers[index].text()
    }
}
