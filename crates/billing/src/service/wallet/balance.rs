//! What a wallet has, read from its ledger accounts, now or at a past instant; and from which of them an amount is drawn. It
//! changes nothing.

use farthing_ledger::record::Version;
use farthing_ledger::store::StoreError;
use farthing_ledger::{Account, AccountId, Net, Timestamp};
use farthing_money::Amount;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{EntitlementEntry, Lent, LoadedWallet, WalletState};
use crate::budget::Draw;
use crate::grant::{Available, Purpose};
use crate::id::{CustomerId, GrantId};
use crate::service::{Billing, Cx, ServiceError, names};
use crate::wallet::{Accounts, WalletBalances};

/// The balances of one ledger account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Part {
    /// What has moved for good.
    pub settled: Amount,
    /// What is set aside.
    pub held: Amount,
    /// `settled - held`.
    pub available: Amount,
}

impl Part {
    pub(in crate::service) fn of(account: &Account) -> Self {
        let balances = account.balances();
        Self {
            settled: balances.settled.or_zero(),
            held: balances.held,
            available: balances.available.or_zero(),
        }
    }
}

/// A grant in a wallet, with what it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct GrantBalance {
    /// Its name.
    #[serde(with = "names::text")]
    pub id: GrantId,
    /// What it is for.
    pub purpose: Purpose,
    /// The lower number is drawn first.
    pub priority: u8,
    /// From this instant on nothing is drawn from it.
    pub expires_ms: Option<u64>,
    /// What it has.
    #[serde(flatten)]
    pub part: Part,
}

/// A wallet with its balances. Amounts are base units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Wallet {
    /// Whose.
    #[serde(with = "names::text")]
    pub customer: CustomerId,
    /// The code of the asset.
    pub asset: String,
    /// Its decimals.
    pub scale: u8,
    /// Whether it takes part.
    pub state: WalletState,
    /// The balances count everything up to this commit of the store, and perhaps later ones. Of two readings one after the
    /// other, the later never has a lower version.
    pub version: u64,
    /// When it was read.
    pub at_ms: u64,
    /// What has moved for good, less what is owed and what of the line of credit is used.
    #[serde(with = "signed")]
    pub settled: Net,
    /// What is set aside by holds.
    pub held: Amount,
    /// `settled - held`.
    #[serde(with = "signed")]
    pub available: Net,
    /// What a spend can draw now, the rest of the line of credit with it.
    pub spendable: Amount,
    /// What a funding source took back and is not paid again.
    pub debt: Amount,
    /// The line of credit.
    pub overdraft_limit: Amount,
    /// What of it is used.
    pub overdraft_used: Amount,
    /// The paid money that is no grant's.
    pub paid: Part,
    /// The grants that run, or have run out and still have something, in no order.
    pub grants: Vec<GrantBalance>,
    /// What comes every month.
    pub entitlements: Vec<EntitlementEntry>,
    /// When it was opened.
    pub created_ms: u64,
}

/// A net in JSON: base units as a string of digits, with a minus when it is below zero.
#[allow(non_camel_case_types, reason = "serde calls it as a module, a schema needs a type")]
#[derive(Debug, Clone, Copy)]
pub enum signed {}

impl signed {
    /// Writes it.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<S: Serializer>(net: &Net, serializer: S) -> Result<S::Ok, S::Error> {
        match net {
            Net::Plus(amount) => serializer.collect_str(amount),
            Net::Minus(amount) => serializer.collect_str(&format_args!("-{amount}")),
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// The deserializer's, and for a text that is no number.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Net, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let read = |digits: &str| Amount::from_base_str(digits).map_err(serde::de::Error::custom);
        match text.strip_prefix('-') {
            Some(digits) => Ok(Net::Minus(read(digits)?)),
            None => Ok(Net::Plus(read(&text)?)),
        }
    }
}

impl Billing {
    /// The balances of a wallet that was loaded.
    pub(in crate::service) async fn balances(
        &self,
        cx: &Cx,
        wallet: &LoadedWallet,
    ) -> Result<Wallet, ServiceError> {
        // The version first: what is read afterwards has everything up to it.
        let version = self.store().changed(Version(0)).await?;
        let accounts = self.wallet_accounts(wallet).await?;
        view(wallet, &accounts, (version.0, cx.now))
    }

    /// The balances of a wallet as they were after everything that happened up to and including `at`. Grants that are gone by
    /// now are not named one by one. It may read all of the wallet's history.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], also when there was no wallet yet; and the store's.
    pub async fn wallet_at(
        &self,
        cx: &Cx,
        (customer, asset): (CustomerId, &str),
        at: Timestamp,
    ) -> Result<Wallet, ServiceError> {
        let mut wallet = self.load_wallet(cx, customer, asset).await?;
        let grants = self.all_grants(cx, &wallet).await?;
        wallet.stored.doc.grants =
            grants.into_iter().filter(|grant| grant.granted_ms <= at.unix_ms()).collect();
        let (mut accounts, ids) = (Vec::new(), wallet.accounts());
        for id in &ids {
            accounts.push(self.store().account_at(*id, at).await?);
        }
        if accounts.first().is_none_or(Option::is_none) {
            return Err(super::no_wallet(customer, asset));
        }
        let gone: Vec<bool> = accounts.iter().skip(3).map(Option::is_none).collect();
        let mut gone = gone.into_iter();
        wallet.stored.doc.grants.retain(|_| !gone.next().unwrap_or(false));
        let accounts: Vec<Account> = accounts.into_iter().flatten().collect();
        wallet.stored.doc.overdraft = lent_at(&wallet.doc().lent, at);
        let mut view = view(&wallet, &accounts, (0, at))?;
        view.grants.retain(|grant| !(grant.part.settled.is_zero() && grant.part.held.is_zero()));
        Ok(view)
    }

    /// From which accounts of the wallet `amount` is drawn now. Where nothing but paid money can be drawn nothing is read, and the
    /// ledger says whether there is so much.
    ///
    /// # Errors
    /// [`ServiceError::Grant`], and the store's.
    pub async fn draws(
        &self,
        cx: &Cx,
        wallet: &LoadedWallet,
        amount: Amount,
    ) -> Result<Vec<Draw>, ServiceError> {
        let (names, grants) = (wallet.names(), wallet.grants());
        if wallet.doc().overdraft.is_zero() && !grants.iter().any(|grant| grant.is_live(cx.now)) {
            return Ok(vec![Draw { account: names.account(), amount }]);
        }
        let drawn: Vec<_> = [names.paid(), names.overdraft()].into_iter().chain(grants).collect();
        let ids: Vec<AccountId> = drawn.iter().map(|grant| grant.account).collect();
        let accounts = self.accounts_of(&ids).await?;
        let available: Vec<Available> = drawn
            .into_iter()
            .zip(&accounts)
            .map(|(grant, account)| Available { grant, amount: account.balances().available.or_zero() })
            .collect();
        Ok(crate::wallet::draw(&available, amount, cx.now)?)
    }

    async fn wallet_accounts(&self, wallet: &LoadedWallet) -> Result<Vec<Account>, ServiceError> {
        self.accounts_of(&wallet.accounts()).await
    }

    /// Accounts that a record says are there.
    pub(in crate::service) async fn accounts_of(
        &self,
        ids: &[AccountId],
    ) -> Result<Vec<Account>, ServiceError> {
        let found = self.store().accounts(ids).await?;
        let missing =
            |id: &AccountId| StoreError::Damaged { what: format!("account {id} of a record is missing") };
        let all = ids.iter().zip(found).map(|(id, found)| found.ok_or_else(|| missing(id)));
        Ok(all.collect::<Result<_, _>>()?)
    }
}

impl LoadedWallet {
    /// The balances, from the accounts in the order of [`LoadedWallet::accounts`].
    pub(in crate::service) fn balances_of(
        &self,
        accounts: &[Account],
        now: Timestamp,
    ) -> Result<WalletBalances, ServiceError> {
        let [paid, overdraft, debt, of_grants @ ..] = accounts else {
            return Err(StoreError::Damaged { what: "a wallet without accounts".to_owned() }.into());
        };
        let grants: Vec<_> = self.grants().into_iter().zip(of_grants).collect();
        let accounts =
            Accounts { paid, overdraft, overdraft_limit: self.doc().overdraft, debt, grants: &grants };
        Ok(WalletBalances::of(&accounts, now)?)
    }
}

fn view(
    wallet: &LoadedWallet,
    accounts: &[Account],
    (version, at): (u64, Timestamp),
) -> Result<Wallet, ServiceError> {
    let WalletBalances { settled, held, available, spendable, owing } = wallet.balances_of(accounts, at)?;
    let doc = wallet.doc();
    let of_grants = doc.grants.iter().zip(accounts.iter().skip(3));
    let grants = of_grants.map(|(grant, account)| GrantBalance {
        id: grant.id,
        purpose: grant.purpose,
        priority: grant.priority,
        expires_ms: grant.expires_ms,
        part: Part::of(account),
    });
    Ok(Wallet {
        customer: doc.customer,
        asset: doc.asset.clone(),
        scale: wallet.asset.view().asset.scale(),
        state: doc.state,
        version,
        at_ms: at.unix_ms(),
        settled,
        held,
        available,
        spendable,
        debt: owing.debt,
        overdraft_limit: doc.overdraft,
        overdraft_used: owing.overdraft_used,
        paid: accounts.first().map(Part::of).unwrap_or_default(),
        grants: grants.collect(),
        entitlements: doc.entitlements.clone(),
        created_ms: doc.created_ms,
    })
}

/// The line of credit that there was at `at`, as far as it is remembered.
fn lent_at(lent: &[Lent], at: Timestamp) -> Amount {
    let before = lent.iter().rev().find(|lent| lent.from_ms <= at.unix_ms());
    before.map_or(Amount::ZERO, |lent| lent.limit)
}
