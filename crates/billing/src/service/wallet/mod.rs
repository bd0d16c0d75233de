//! [`Wallet`]: a customer's account of one asset as the service keeps and shows it. The record says how it is set up: the line of
//! credit, the grants that run, the entitlements that come every month. What it has is never in the record: that is the ledger's.
//!
//! It decides nothing about money: [`crate::wallet`] and [`crate::grant`] do.

mod balance;
mod history;
mod movement;

use farthing_ledger::record::{Order, Record, RecordKey, Table};
use farthing_ledger::{AccountId, Step, Timestamp};
use farthing_money::Amount;
use serde::{Deserialize, Serialize};

use super::asset::{self, AssetDoc};
use super::customer::Customer;
use super::document::{record_key, stored};
use super::names::{self, Named as _};
use super::{ATTEMPTS, Billing, Cx, Document, Draft, Fate, Page, PageQuery, ServiceError, Stored, refused};
use crate::budget::Root;
use crate::grant::{Entitlement, Grant, Purpose, Unused};
use crate::id::{CustomerId, GrantId};

pub use balance::{GrantBalance, Part, Wallet, signed};
pub use history::{Transaction, TransactionKind};
pub use movement::{Adjust, Chargeback, Credit, Direction, Movement, MovementId, MovementKind, Overdraft};
pub(in crate::service) use movement::{Wish, stale_or};

/// The most grants that run at one time in one wallet, and the most entitlements.
pub const MAX_GRANTS: usize = 60;
/// How many changes of the line of credit are remembered, for balances of the past.
const MAX_LENT: usize = 100;

/// Whether a wallet takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WalletState {
    /// It does.
    Open,
    /// Nothing new is held or granted. What is in flight is settled, and money that comes in is the customer's.
    Closed,
}

/// A wallet as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WalletDoc {
    /// Whose.
    #[serde(with = "names::text")]
    pub customer: CustomerId,
    /// The code of the asset.
    pub asset: String,
    /// Whether it takes part.
    pub state: WalletState,
    /// The line of credit.
    pub overdraft: Amount,
    /// The lines of credit that there were, and since when.
    pub(super) lent: Vec<Lent>,
    /// The grants that run, or have run out and still have something.
    pub(super) grants: Vec<GrantEntry>,
    /// What comes every month.
    pub(super) entitlements: Vec<EntitlementEntry>,
    /// When it was opened.
    pub created_ms: u64,
}

impl Document for WalletDoc {
    const TABLE: Table = Table::new("wallet");
    const NAME: &'static str = "wallet";
}

/// A line of credit, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lent {
    pub(super) from_ms: u64,
    pub(super) limit: Amount,
}

/// A grant, as far as drawing from it needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct GrantEntry {
    #[serde(with = "names::text")]
    pub(super) id: GrantId,
    pub(super) purpose: Purpose,
    pub(super) priority: u8,
    pub(super) expires_ms: Option<u64>,
    pub(super) granted_ms: u64,
}

impl GrantEntry {
    /// As it is drawn.
    pub(super) fn grant(&self) -> Grant {
        Grant {
            priority: self.priority,
            expires: self.expires_ms.map(Timestamp::from_unix_ms),
            ..Grant::new(self.id, self.purpose, Timestamp::from_unix_ms(self.granted_ms))
        }
    }

    /// What is kept of a grant.
    pub(super) fn of(grant: &Grant) -> Self {
        Self {
            id: grant.id,
            purpose: grant.purpose,
            priority: grant.priority,
            expires_ms: grant.expires.map(Timestamp::unix_ms),
            granted_ms: grant.granted_at.unix_ms(),
        }
    }
}

/// A grant that comes every month.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EntitlementEntry {
    /// The name of the series.
    #[serde(with = "names::text")]
    pub id: GrantId,
    /// How much a month.
    pub amount: Amount,
    /// The lower number is drawn first.
    pub priority: u8,
    /// What becomes of the rest.
    pub unused: Unused,
    /// When it came last, zero for never.
    pub(super) came_ms: u64,
}

impl EntitlementEntry {
    /// As the pure half knows it.
    #[must_use]
    pub const fn entitlement(&self) -> Entitlement {
        let Self { id, amount, priority, unused, .. } = *self;
        Entitlement { id, amount, priority, unused }
    }
}

/// A wallet with what it hangs on, as last read.
#[derive(Debug, Clone)]
pub struct LoadedWallet {
    /// The asset.
    pub asset: AssetDoc,
    /// The customer.
    pub customer: Customer,
    /// How it is set up.
    pub stored: Stored<WalletDoc>,
}

impl LoadedWallet {
    /// How it is set up.
    #[must_use]
    pub const fn doc(&self) -> &WalletDoc {
        &self.stored.doc
    }

    /// Its accounts in the ledger, as the pure half names them.
    #[must_use]
    pub fn names(&self) -> crate::wallet::Wallet {
        self.asset.wallet(self.customer.id)
    }

    /// Where its trees of budgets hang.
    #[must_use]
    pub fn root(&self) -> Root {
        self.asset.root(self.customer.id)
    }

    /// The grants that run, or have run out and still have something.
    #[must_use]
    pub fn grants(&self) -> Vec<Grant> {
        self.doc().grants.iter().map(GrantEntry::grant).collect()
    }

    /// That something new may be held or promised.
    ///
    /// # Errors
    /// [`ServiceError::WrongState`].
    pub fn active(&self) -> Result<(), ServiceError> {
        super::customer::active(&self.customer)?;
        match self.doc().state {
            WalletState::Open => Ok(()),
            WalletState::Closed => {
                let why = "nothing new is held or granted: open it first";
                Err(ServiceError::WrongState { what: "wallet", state: "closed", why })
            }
        }
    }

    /// The accounts of the paid money, the line of credit and the debt, then one a grant.
    pub(super) fn accounts(&self) -> Vec<AccountId> {
        let names = self.names();
        let own = [names.account(), names.overdraft_account(), names.debt_account()];
        own.into_iter().chain(self.grants().iter().map(|grant| grant.account)).collect()
    }
}

/// The key of a wallet's record.
pub(super) fn wallet_key(customer: CustomerId, asset: &str) -> String {
    format!("{}/{asset}", customer.text())
}

impl Billing {
    /// Opens a customer's wallet of an asset; one that is open is given back as it is.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] for the customer and the asset, and the store's.
    pub async fn open_wallet(
        &self,
        cx: &Cx,
        customer: CustomerId,
        asset: &str,
    ) -> Result<Wallet, ServiceError> {
        let wallet = self.ensure_wallet(cx, customer, asset).await?;
        self.balances(cx, &wallet).await
    }

    /// A wallet with its balances. Entitlements of a month that has begun are there.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], and the store's.
    pub async fn wallet(&self, cx: &Cx, customer: CustomerId, asset: &str) -> Result<Wallet, ServiceError> {
        let wallet = self.load_wallet(cx, customer, asset).await?;
        self.balances(cx, &wallet).await
    }

    /// A customer's wallets with their balances, a page at a time, by the code of the asset.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], and the store's.
    pub async fn list_wallets(
        &self,
        cx: &Cx,
        customer: CustomerId,
        page: &PageQuery,
    ) -> Result<Page<Wallet>, ServiceError> {
        self.customer_doc(cx, customer).await?;
        let page =
            PageQuery { order: Order::Ascending, limit: page.limit.min(100), after: page.after.clone() };
        let found = self.list::<WalletDoc>(cx, &format!("{}/", customer.text()), &page).await?;
        let mut data = Vec::with_capacity(found.data.len());
        for wallet in &found.data {
            data.push(self.wallet(cx, customer, &wallet.doc.asset).await?);
        }
        Ok(Page { data, next: found.next })
    }

    /// Closes a wallet, or opens it again.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], and the store's.
    pub async fn set_wallet_state(
        &self,
        cx: &Cx,
        (customer, asset): (CustomerId, &str),
        state: WalletState,
    ) -> Result<Wallet, ServiceError> {
        for _ in 0..ATTEMPTS {
            if let Some(done) = self.replay(cx).await? {
                return Ok(done);
            }
            let mut wallet = self.load_wallet(cx, customer, asset).await?;
            let was = wallet.stored.clone();
            wallet.stored.doc.state = state;
            let answer = self.balances(cx, &wallet).await?;
            let mut draft = Draft::new();
            draft.replace(cx, &was, wallet.doc())?;
            if let Fate::Applied { .. } = self.commit(cx, draft, &answer).await? {
                return Ok(answer);
            }
        }
        Err(ServiceError::Contention)
    }

    /// A wallet with what it hangs on, in one reading. Entitlements of a month that has begun are given first.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], and the store's.
    pub async fn load_wallet(
        &self,
        cx: &Cx,
        customer: CustomerId,
        asset: &str,
    ) -> Result<LoadedWallet, ServiceError> {
        for _ in 0..ATTEMPTS {
            let found = self.store().records(&wallet_keys(cx, customer, asset)?).await?;
            let (asset_doc, customer_doc, wallet) = read_wallet(cx, (customer, asset), &found)?;
            let stored = wallet.ok_or_else(|| no_wallet(customer, asset))?;
            let wallet = LoadedWallet { asset: asset_doc, customer: customer_doc, stored };
            if !self.refresh_entitlements(cx, &wallet).await? {
                return Ok(wallet);
            }
        }
        Err(ServiceError::Contention)
    }

    /// As [`Billing::load_wallet`], and opens it when it is not there: as a commit of its own, because a wallet that is open and
    /// empty promises nothing.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] for the customer and the asset, and the store's.
    pub async fn ensure_wallet(
        &self,
        cx: &Cx,
        customer: CustomerId,
        asset: &str,
    ) -> Result<LoadedWallet, ServiceError> {
        let found = self.store().records(&wallet_keys(cx, customer, asset)?).await?;
        self.ensure_found(cx, (customer, asset), &found).await
    }

    /// As [`Billing::ensure_wallet`], when the records of [`wallet_keys`] were read already.
    pub(super) async fn ensure_found(
        &self,
        cx: &Cx,
        (customer, asset): (CustomerId, &str),
        found: &[Option<Record>],
    ) -> Result<LoadedWallet, ServiceError> {
        let (asset_doc, customer_doc, wallet) = read_wallet(cx, (customer, asset), found)?;
        if let Some(stored) = wallet {
            let wallet = LoadedWallet { asset: asset_doc, customer: customer_doc, stored };
            return if self.refresh_entitlements(cx, &wallet).await? {
                self.load_wallet(cx, customer, asset).await
            } else {
                Ok(wallet)
            };
        }
        let doc = WalletDoc {
            customer,
            asset: asset.to_owned(),
            state: WalletState::Open,
            overdraft: Amount::ZERO,
            lent: Vec::new(),
            grants: Vec::new(),
            entitlements: Vec::new(),
            created_ms: cx.now.unix_ms(),
        };
        let accounts: Vec<Step> =
            asset_doc.wallet(customer).open().into_iter().chain(asset_doc.root(customer).open()).collect();
        let mut draft = Draft::new();
        draft.steps(accounts).create(cx, &wallet_key(customer, asset), &doc)?;
        match self.commit(&cx.part("open wallet", 0), draft, &()).await? {
            Fate::Refused { outcomes } => Err(refused(&outcomes)),
            // Somebody else may have opened it.
            Fate::Applied { .. } | Fate::Again => self.load_wallet(cx, customer, asset).await,
        }
    }
}

/// What a wallet's reading reads: customer, asset, wallet.
pub(super) fn wallet_keys(
    cx: &Cx,
    customer: CustomerId,
    asset: &str,
) -> Result<[RecordKey; 3], ServiceError> {
    let code = asset::asset_key(asset).ok_or_else(|| asset::no_asset(asset))?;
    Ok([
        record_key::<Customer>(cx.tenant, &customer.text()),
        record_key::<AssetDoc>(cx.tenant, code),
        record_key::<WalletDoc>(cx.tenant, &wallet_key(customer, code)),
    ])
}

/// What the records of [`wallet_keys`] say.
fn read_wallet(
    cx: &Cx,
    (customer, asset): (CustomerId, &str),
    found: &[Option<Record>],
) -> Result<(AssetDoc, Customer, Option<Stored<WalletDoc>>), ServiceError> {
    let record = |at: usize| found.get(at).and_then(Option::as_ref);
    let not_found = || ServiceError::NotFound { what: "customer", id: customer.text() };
    let customer_doc = stored::<Customer>(cx.tenant, record(0).ok_or_else(not_found)?)?.doc;
    let asset_doc = stored::<AssetDoc>(cx.tenant, record(1).ok_or_else(|| asset::no_asset(asset))?)?.doc;
    let wallet = record(2).map(|wallet| stored::<WalletDoc>(cx.tenant, wallet)).transpose()?;
    Ok((asset_doc, customer_doc, wallet))
}

fn no_wallet(customer: CustomerId, asset: &str) -> ServiceError {
    ServiceError::NotFound { what: "wallet", id: wallet_key(customer, asset) }
}
