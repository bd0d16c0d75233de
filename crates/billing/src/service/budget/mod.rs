//! [`Budget`]: a spending limit in a tree under a wallet, as the service keeps and shows it. The record is its definition; what is
//! left of it is the ledger's. Every rule is [`crate::budget`]'s.
//!
//! A definition that was read need not be the latest when a hold is placed: the table in [`crate::budget`] says for each limit why
//! a call is then judged as if it had come just before the change.

mod amend;
mod close;
mod create;
mod list;
mod spending;

use farthing_ledger::record::{Record, RecordKey, Table};
use farthing_ledger::store::StoreError;
use farthing_ledger::{AccountId, Timestamp};
use farthing_money::Amount;
use serde::{Deserialize, Serialize};

use super::asset::AssetDoc;
use super::customer::Customer;
use super::document::{record_key, stored};
use super::names::{self, Named as _};
use super::seen::Place;
use super::wallet::{LoadedWallet, WalletDoc, wallet_key};
use super::{Authority, Billing, Cx, Document, Metadata, ServiceError, Stored, input};
use crate::budget::delegation::Wish;
use crate::budget::{
    Budget as Rules, BudgetBalances, BudgetState, Children, Counterparties, Funding, Path, Rate, Scope,
};
use crate::id::{BudgetId, CounterpartyId, CustomerId};

pub use amend::BudgetChange;
pub use create::NewBudget;
pub use list::{BudgetTree, Under};
pub use spending::{Spending, SpentRow};

/// The most counterparties that a budget or a token names.
pub const MAX_COUNTERPARTIES: usize = 64;

/// A budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Budget {
    /// Its name here.
    #[serde(with = "names::text")]
    pub id: BudgetId,
    /// Whose wallet.
    #[serde(with = "names::text")]
    pub customer: CustomerId,
    /// The code of the asset.
    pub asset: String,
    /// The budget above it; none right under the wallet.
    #[serde(default, with = "names::maybe")]
    pub parent: Option<BudgetId>,
    /// All budgets above it, its parent first.
    #[serde(with = "names::many")]
    pub ancestors: Vec<BudgetId>,
    /// A name for people.
    pub name: Option<String>,
    /// Whose money it spends.
    pub funding: Funding,
    /// The most that one call may cost.
    pub per_call: Option<Amount>,
    /// The most a period.
    pub rates: Vec<Rate>,
    /// Who may be paid; missing for anybody.
    pub counterparties: Option<Vec<String>>,
    /// What may grow under it.
    pub children: Children,
    /// Whether it takes part.
    pub state: BudgetState,
    /// What the tenant keeps with it.
    pub metadata: Metadata,
    /// When it was made.
    pub created_ms: u64,
    /// When it was changed last.
    pub updated_ms: u64,
}

impl Document for Budget {
    const TABLE: Table = Table::new("budget");
    const NAME: &'static str = "budget";
}

/// What a limit a period has left in the period that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RateBalance {
    /// The limit.
    #[serde(flatten)]
    pub rate: Rate,
    /// What is left of it; missing where each counterparty has its own.
    pub available: Option<Amount>,
}

/// A budget with its balances. Amounts are base units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BudgetView {
    /// Its definition.
    #[serde(flatten)]
    pub budget: Budget,
    /// Paid for good by it and the shared budgets below it, less what was given back.
    pub spent: Amount,
    /// In flight.
    pub held: Amount,
    /// Given to carved children and not back.
    pub carved: Amount,
    /// What of its total may still be spent; missing when it has none. There may be less money.
    pub available: Option<Amount>,
    /// The limits a period, with what is left of them.
    pub limits: Vec<RateBalance>,
}

impl Budget {
    /// Where it hangs.
    fn place(&self) -> Place {
        Place { customer: self.customer, asset: self.asset.clone(), ancestors: self.ancestors.clone() }
    }

    /// The rules of it.
    #[must_use]
    pub fn rules(&self) -> Rules {
        Rules {
            id: self.id,
            parent: self.parent,
            funding: self.funding,
            per_call: self.per_call,
            rates: self.rates.clone(),
            counterparties: counterparties(self.counterparties.as_deref()),
            children: self.children,
            state: self.state,
        }
    }
}

/// That a list of counterparties is bounded and readable.
pub(super) fn check_counterparties(texts: Option<&Vec<String>>) -> Result<(), ServiceError> {
    let texts = texts.map(Vec::as_slice).unwrap_or_default();
    if texts.len() > MAX_COUNTERPARTIES {
        return Err(ServiceError::invalid("counterparties", format!("at most {MAX_COUNTERPARTIES}")));
    }
    texts.iter().try_for_each(|text| input::text("counterparties", text, 200))
}

/// The counterparties whom texts name.
pub(super) fn counterparties(texts: Option<&[String]>) -> Counterparties {
    match texts {
        None => Counterparties::Anybody,
        Some(texts) => Counterparties::Only(texts.iter().map(|text| CounterpartyId::named(text)).collect()),
    }
}

/// A budget with all above it, and the wallet under which it hangs.
#[derive(Debug, Clone)]
pub struct LoadedBudget {
    /// The wallet.
    pub wallet: LoadedWallet,
    /// The budget, then its parent, and so on.
    pub budgets: Vec<Stored<Budget>>,
    /// The rules of all of them.
    pub path: Path,
}

impl LoadedBudget {
    /// The wallet itself, without any budget.
    #[must_use]
    pub fn wallet(wallet: LoadedWallet) -> Self {
        let path = Path::wallet(wallet.root());
        Self { wallet, budgets: Vec::new(), path }
    }

    /// The budget that is asked; `None` for the wallet itself.
    #[must_use]
    pub fn leaf(&self) -> Option<&Stored<Budget>> {
        self.budgets.first()
    }

    /// The account of the window that runs of every limit on the path, for a call that pays `with`.
    pub(super) fn windows(&self, now: Timestamp, with: CounterpartyId) -> Vec<AccountId> {
        let of = |budget: &Rules, rate: &Rate| {
            let with = (rate.scope == Scope::EachCounterparty).then_some(with);
            budget.id.window_account(rate.window(now), with)
        };
        self.path
            .budgets()
            .iter()
            .flat_map(|budget| budget.rates.iter().map(move |rate| of(budget, rate)))
            .collect()
    }
}

impl Billing {
    /// A budget with its balances.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], and the store's.
    pub async fn budget(&self, cx: &Cx, by: &Authority, id: BudgetId) -> Result<BudgetView, ServiceError> {
        let on = self.load_budget(cx, id).await?;
        by.check(&on.path, &Wish::Read, cx.now)?;
        let leaf = on.budgets.into_iter().next().map(|leaf| leaf.doc);
        let not_found = || ServiceError::NotFound { what: "budget", id: id.text() };
        self.view_budget(cx, leaf.ok_or_else(not_found)?).await
    }

    /// The balances of a budget that was read.
    pub(super) async fn view_budget(&self, cx: &Cx, budget: Budget) -> Result<BudgetView, ServiceError> {
        let rules = budget.rules();
        let shared = |rate: &&Rate| rate.scope == Scope::Everybody;
        let windows =
            rules.rates.iter().filter(shared).map(|rate| rules.id.window_account(rate.window(cx.now), None));
        let own = [rules.id.total_account(), rules.id.carved_account()];
        let ids: Vec<AccountId> = own.into_iter().chain(windows).collect();
        let mut found = self.store().accounts(&ids).await?.into_iter();
        let mut next = || found.next().flatten();
        let damaged = || StoreError::Damaged { what: format!("budget {} has no accounts", rules.id) };
        let (total, carved) = (next().ok_or_else(damaged)?, next().ok_or_else(damaged)?);
        let balances = BudgetBalances::of(&rules, &total, &carved).unwrap_or(BudgetBalances {
            // Its limit was changed between the two readings: what does not depend on it is still right.
            spent: Amount::ZERO,
            held: total.balances().held,
            carved: carved.balances().settled.or_zero(),
            available: total.balances().available.or_zero(),
        });
        let limits = budget.rates.iter().map(|rate| RateBalance {
            rate: *rate,
            available: (rate.scope == Scope::Everybody)
                .then(|| next().map_or(rate.most, |window| window.balances().available.or_zero())),
        });
        let limits = limits.collect();
        let unlimited = budget.funding == Funding::Shared { total: None };
        Ok(BudgetView {
            spent: balances.spent,
            held: balances.held,
            carved: balances.carved,
            available: (!unlimited).then_some(balances.available),
            limits,
            budget,
        })
    }

    /// A budget with all above it and its wallet: one reading when this process has seen the budget before, otherwise two.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Budget`] for a path that is broken, and the store's.
    pub async fn load_budget(&self, cx: &Cx, id: BudgetId) -> Result<LoadedBudget, ServiceError> {
        let Some(place) = self.seen.place(cx.tenant, id) else {
            let leaf = self.get::<Budget>(cx, &id.text()).await?;
            return self.load_above(cx, leaf).await;
        };
        let leaf = record_key::<Budget>(cx.tenant, &id.text());
        let keys: Vec<RecordKey> = std::iter::once(leaf).chain(above_keys(cx, &place)).collect();
        let found = self.store().records(&keys).await?;
        let (leaf, above) = found.split_at(1);
        let not_found = || ServiceError::NotFound { what: "budget", id: id.text() };
        let leaf = leaf.iter().flatten().next().ok_or_else(not_found)?;
        self.hang(cx, stored(cx.tenant, leaf)?, above).await
    }

    /// As [`Billing::load_budget`], for one that was read.
    pub(super) async fn load_above(
        &self,
        cx: &Cx,
        leaf: Stored<Budget>,
    ) -> Result<LoadedBudget, ServiceError> {
        let found = self.store().records(&above_keys(cx, &leaf.doc.place())).await?;
        self.hang(cx, leaf, &found).await
    }

    /// Puts a budget together with what it hangs on: the records of [`above_keys`].
    pub(super) async fn hang(
        &self,
        cx: &Cx,
        leaf: Stored<Budget>,
        found: &[Option<Record>],
    ) -> Result<LoadedBudget, ServiceError> {
        let missing = || StoreError::Damaged {
            what: format!("what budget {id} hangs on is missing", id = leaf.doc.id),
        };
        let all: Vec<&Record> =
            found.iter().map(|record| record.as_ref().ok_or_else(missing)).collect::<Result<_, _>>()?;
        let [customer_doc, asset_doc, wallet, above @ ..] = all.as_slice() else {
            return Err(missing().into());
        };
        let wallet = LoadedWallet {
            customer: stored::<Customer>(cx.tenant, customer_doc)?.doc,
            asset: stored::<AssetDoc>(cx.tenant, asset_doc)?.doc,
            stored: stored::<WalletDoc>(cx.tenant, wallet)?,
        };
        let wallet = if self.refresh_entitlements(cx, &wallet).await? {
            self.load_wallet(cx, leaf.doc.customer, &leaf.doc.asset).await?
        } else {
            wallet
        };
        self.seen.hangs(cx.tenant, leaf.doc.id, leaf.doc.place());
        let above = above.iter().map(|record| stored::<Budget>(cx.tenant, record));
        let budgets: Vec<Stored<Budget>> =
            std::iter::once(Ok(leaf)).chain(above).collect::<Result<_, _>>()?;
        let path = Path::new(wallet.root(), budgets.iter().map(|budget| budget.doc.rules()).collect())?;
        Ok(LoadedBudget { wallet, budgets, path })
    }
}

/// What a budget hangs on: customer, asset, wallet, and all budgets above it.
pub(super) fn above_keys(cx: &Cx, place: &Place) -> Vec<RecordKey> {
    let Place { customer, asset, ancestors } = place;
    let own = [
        record_key::<Customer>(cx.tenant, &customer.text()),
        record_key::<AssetDoc>(cx.tenant, asset),
        record_key::<WalletDoc>(cx.tenant, &wallet_key(*customer, asset)),
    ];
    let above = ancestors.iter().map(|id| record_key::<Budget>(cx.tenant, &id.text()));
    own.into_iter().chain(above).collect()
}
