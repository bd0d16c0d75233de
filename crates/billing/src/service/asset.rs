//! [`TenantAsset`]: what one tenant counts in: a currency, a token on a chain, a unit of its own. Each is an asset of the ledger
//! that no other tenant has, so that the ledger itself refuses any transfer between tenants. It holds no balance.

use farthing_ledger::record::Table;
use farthing_ledger::{AccountId, AssetId, Command, Limit, NewAccount, NewAsset, Step};
use farthing_money::{Asset, MoneyError};
use serde::{Deserialize, Serialize};

use super::names;
use super::{
    ATTEMPTS, Billing, Cx, Document, Draft, Fate, Page, PageQuery, ServiceError, Stored, TenantId, refused,
};
use crate::Chart;
use crate::budget::Root;
use crate::id::{CustomerId, account};
use crate::usage::Books;
use crate::wallet::Wallet;

/// The longest code: the ledger puts a mark before it.
const MAX_CODE: usize = 24;

/// An asset of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TenantAsset {
    /// Code, scale, kind.
    #[serde(flatten)]
    pub asset: Asset,
    /// When it was made.
    pub created_ms: u64,
}

/// An asset as it is kept, and what follows from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssetDoc {
    #[serde(flatten)]
    view: TenantAsset,
    money: u32,
    allowance: u32,
    seats: u32,
}

impl Document for AssetDoc {
    const TABLE: Table = Table::new("asset");
    const NAME: &'static str = "asset";
}

/// Whose asset has this number in the ledger.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct AssetOwner {
    #[serde(with = "names::text")]
    pub(super) tenant: TenantId,
    pub(super) code: String,
}

impl Document for AssetOwner {
    const TABLE: Table = Table::new("asset_owner");
    const NAME: &'static str = "owner of an asset";
}

/// The ledger accounts at the edge of a tenant's books of one asset: together they owe what its wallets have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Outside {
    /// Money that came in from cards, chains and banks, and went back to them.
    pub bank: AccountId,
    /// What customers paid.
    pub revenue: AccountId,
    /// What vendors took.
    pub cost: AccountId,
    /// Where gifts and entitlements come from and go back to.
    pub grants: AccountId,
    /// Where corrections come from and go to.
    pub adjustments: AccountId,
    /// Where lines of credit come from.
    pub lending: AccountId,
    /// Paid money that ran out unspent.
    pub breakage: AccountId,
}

impl Outside {
    fn of(money: AssetId) -> Self {
        let named = |what| account(what, &[u128::from(money.as_u32())]);
        Self {
            bank: named("outside bank"),
            revenue: named("outside revenue"),
            cost: named("outside cost"),
            grants: named("outside grants"),
            adjustments: named("outside adjustments"),
            lending: named("outside lending"),
            breakage: named("outside breakage"),
        }
    }

    /// All of them.
    #[must_use]
    pub const fn all(&self) -> [AccountId; 7] {
        let Self { bank, revenue, cost, grants, adjustments, lending, breakage } = *self;
        [bank, revenue, cost, grants, adjustments, lending, breakage]
    }
}

impl AssetDoc {
    /// As the API shows it.
    #[must_use]
    pub const fn view(&self) -> &TenantAsset {
        &self.view
    }

    /// Its code.
    #[must_use]
    pub fn code(&self) -> &str {
        self.view.asset.code()
    }

    /// The assets of the ledger.
    #[must_use]
    pub const fn chart(&self) -> Chart {
        Chart {
            money: AssetId::from_u32(self.money),
            allowance: AssetId::from_u32(self.allowance),
            seats: AssetId::from_u32(self.seats),
        }
    }

    /// The accounts at the edge of its books.
    #[must_use]
    pub fn outside(&self) -> Outside {
        Outside::of(AssetId::from_u32(self.money))
    }

    /// Between which accounts usage moves money.
    #[must_use]
    pub fn books(&self) -> Books {
        let Outside { revenue, cost, .. } = self.outside();
        Books { asset: AssetId::from_u32(self.money), revenue, cost }
    }

    /// A customer's account of it.
    #[must_use]
    pub const fn wallet(&self, customer: CustomerId) -> Wallet {
        Wallet { customer, chart: self.chart() }
    }

    /// Where a customer's trees of budgets hang.
    #[must_use]
    pub fn root(&self, customer: CustomerId) -> Root {
        Root { wallet: self.wallet(customer).account(), chart: self.chart() }
    }

    fn steps(&self) -> Result<Vec<Step>, MoneyError> {
        let chart = self.chart();
        let define = Command::DefineAsset(NewAsset { id: chart.money, asset: self.view.asset.clone() });
        // The seats are the tenant's, and were defined with it.
        let [allowance, _] = chart.define(&self.view.asset)?;
        let open = |id| Command::OpenAccount(NewAccount { id, asset: chart.money, limit: Limit::None });
        let opened = self.outside().all().map(open);
        Ok([define, allowance].into_iter().chain(opened).map(Step::single).collect())
    }
}

impl Billing {
    /// Makes an asset. The same one may be made again; its code is taken for good.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for its code, [`ServiceError::AlreadyExists`] when the code is another asset's, and the store's.
    pub async fn create_asset(&self, cx: &Cx, asset: &Asset) -> Result<TenantAsset, ServiceError> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        if asset.code().len() > MAX_CODE || !asset.code().bytes().all(fits) {
            let why = format!("1 to {MAX_CODE} letters, digits, and . - _");
            return Err(ServiceError::invalid("code", why));
        }
        for _ in 0..ATTEMPTS {
            if let Some(done) = self.replay(cx).await? {
                return Ok(done);
            }
            if let Some(was) = self.find::<AssetDoc>(cx, asset.code()).await? {
                let same = was.doc.view.asset == *asset;
                let taken = || ServiceError::AlreadyExists { what: "asset", id: asset.code().to_owned() };
                return same.then_some(was.doc.view).ok_or_else(taken);
            }
            let tenant = self.tenant_doc(cx, cx.tenant).await?;
            let mut draft = Draft::new();
            let money = self.take_numbers(cx, &mut draft, 2).await?;
            let allowance = money.checked_add(1).ok_or(MoneyError::Overflow)?;
            let view = TenantAsset { asset: asset.clone(), created_ms: cx.now.unix_ms() };
            let doc = AssetDoc { view, money, allowance, seats: tenant.doc.seats };
            draft.steps(doc.steps()?).create(cx, asset.code(), &doc)?;
            let owner = AssetOwner { tenant: cx.tenant, code: asset.code().to_owned() };
            for number in [money, allowance] {
                draft.create(&cx.operator(), &owner_key(AssetId::from_u32(number)), &owner)?;
            }
            match self.commit(cx, draft, &doc.view).await? {
                Fate::Applied { .. } => return Ok(doc.view),
                Fate::Refused { outcomes } => return Err(refused(&outcomes)),
                Fate::Again => {}
            }
        }
        Err(ServiceError::Contention)
    }

    /// The asset with this code.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], and the store's.
    pub async fn asset(&self, cx: &Cx, code: &str) -> Result<AssetDoc, ServiceError> {
        match asset_key(code) {
            Some(key) => Ok(self.find(cx, key).await?.ok_or_else(|| no_asset(code))?.doc),
            None => Err(no_asset(code)),
        }
    }

    /// The tenant's assets, a page at a time.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_assets(&self, cx: &Cx, page: &PageQuery) -> Result<Page<TenantAsset>, ServiceError> {
        Ok(self.list::<AssetDoc>(cx, "", page).await?.map(|doc| doc.view))
    }

    /// Whose asset has this number, money or permission to spend it.
    pub(super) async fn asset_owner(
        &self,
        cx: &Cx,
        id: AssetId,
    ) -> Result<Option<Stored<AssetOwner>>, ServiceError> {
        // Of every asset a reading of its own: a worker asks for few.
        self.find(&cx.operator(), &owner_key(id)).await
    }
}

/// The code as a key, when it can be one.
pub(super) fn asset_key(code: &str) -> Option<&str> {
    let fits = |b: u8| b.is_ascii_graphic() && b != b'/';
    (!code.is_empty() && code.len() <= MAX_CODE && code.bytes().all(fits)).then_some(code)
}

pub(super) fn no_asset(code: &str) -> ServiceError {
    ServiceError::NotFound { what: "asset", id: code.chars().take(64).collect() }
}

fn owner_key(id: AssetId) -> String {
    format!("{:08x}", id.as_u32())
}

#[cfg(test)]
mod tests {
    use super::Outside;
    use farthing_ledger::AssetId;

    #[test]
    fn the_accounts_outside_are_the_assets_own() {
        let (one, two) = (Outside::of(AssetId::from_u32(1)), Outside::of(AssetId::from_u32(2)));
        let all: std::collections::BTreeSet<_> = one.all().into_iter().chain(two.all()).collect();
        assert_eq!(all.len(), 14);
    }
}
