//! [`DepositAddress`]: an address for each customer and asset. Each has an index of its own, given out once; which address an
//! index is, the holder of the keys says ([`Addresses`]). It knows no key.

use farthing_ledger::record::{Order, Table};
use farthing_money::AssetKind;
use serde::{Deserialize, Serialize};

use crate::id::CustomerId;
use crate::service::names::{self, Named as _};
use crate::service::{ATTEMPTS, Billing, Cx, Document, Draft, Fate, PageQuery, ServiceError, TenantId};

/// The most addresses: half of what 32 bits count is for keys that need the seed to be derived.
const MOST: u32 = 1 << 31;

/// Whoever knows which address an index is.
pub trait Addresses: Send + Sync {
    /// The address with this index, lower case; the same at every time.
    fn address(&self, index: u32) -> String;

    /// Whether deposits of this token on this network are watched.
    fn takes(&self, network: &str, token: &str) -> bool;
}

/// Where a customer sends tokens to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DepositAddress {
    /// Whose.
    #[serde(with = "names::text")]
    pub customer: CustomerId,
    /// For which asset, by its code.
    pub asset: String,
    /// On which chain.
    pub network: String,
    /// The token.
    pub token: String,
    /// The address.
    pub address: String,
    /// Its index among the addresses of the key.
    pub index: u32,
    /// When it was given out.
    pub created_ms: u64,
}

impl Document for DepositAddress {
    const TABLE: Table = Table::new("deposit_address");
    const NAME: &'static str = "deposit address";
}

/// Who has the address with an index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Slot {
    /// The tenant.
    #[serde(with = "names::text")]
    pub tenant: TenantId,
    /// The customer.
    #[serde(with = "names::text")]
    pub customer: CustomerId,
    /// The asset, by its code.
    pub asset: String,
    /// On which chain.
    pub network: String,
    /// The token.
    pub token: String,
    /// The address.
    pub address: String,
    /// The index.
    pub index: u32,
}

impl Document for Slot {
    const TABLE: Table = Table::new("deposit_slot");
    const NAME: &'static str = "deposit address";
}

/// Which index has an address: the way from a transfer to a wallet.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Route {
    pub(super) index: u32,
}

impl Document for Route {
    const TABLE: Table = Table::new("deposit_route");
    const NAME: &'static str = "deposit address";
}

/// How many indexes were given out.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Given {
    next: u32,
}

impl Document for Given {
    const TABLE: Table = Table::new("deposit_index");
    const NAME: &'static str = "count of deposit addresses";
}

const GIVEN: &str = "next";

pub(super) fn slot_key(index: u32) -> String {
    format!("{index:08x}")
}

impl Billing {
    /// The address to which a customer sends an asset. It is made when it is asked for first, and never changes.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] for the customer or the asset, [`ServiceError::Invalid`] for an asset of which no deposits are
    /// watched, and the store's.
    pub async fn deposit_address(
        &self,
        cx: &Cx,
        (customer, asset): (CustomerId, &str),
        addresses: &dyn Addresses,
    ) -> Result<DepositAddress, ServiceError> {
        let doc = self.asset(cx, asset).await?;
        let no_deposits = || ServiceError::invalid("asset", "no deposits of it are watched");
        let AssetKind::Token { network, address: token } = doc.view().asset.kind() else {
            return Err(no_deposits());
        };
        if !addresses.takes(network, token) {
            return Err(no_deposits());
        }
        let key = format!("{}/{asset}", customer.text());
        for _ in 0..ATTEMPTS {
            if let Some(made) = self.replay(cx).await? {
                return Ok(made);
            }
            if let Some(found) = self.find::<DepositAddress>(cx, &key).await? {
                return Ok(found.doc);
            }
            // Money that comes in is always the customer's: the wallet is there before the address is.
            self.ensure_wallet(cx, customer, asset).await?;
            let operator = &cx.operator();
            let given = self.find::<Given>(operator, GIVEN).await?;
            let index = given.as_ref().map_or(0, |given| given.doc.next);
            if index >= MOST {
                return Err(ServiceError::invalid("asset", "there are no more addresses under this key"));
            }
            let slot = Slot {
                tenant: cx.tenant,
                customer,
                asset: asset.to_owned(),
                network: network.to_string(),
                token: token.to_string(),
                address: addresses.address(index),
                index,
            };
            let Slot { network, token, address, .. } = slot.clone();
            let created_ms = cx.now.unix_ms();
            let made = DepositAddress {
                customer,
                asset: slot.asset.clone(),
                network,
                token,
                address,
                index,
                created_ms,
            };
            let mut draft = Draft::new();
            let next = Given { next: index + 1 };
            match &given {
                Some(given) => draft.replace(operator, given, &next)?,
                None => draft.create(operator, GIVEN, &next)?,
            };
            draft.create(operator, &slot_key(index), &slot)?;
            draft.create(operator, &slot.address, &Route { index })?;
            draft.create(cx, &key, &made)?;
            if let Fate::Applied { .. } = self.commit(cx, draft, &made).await? {
                return Ok(made);
            }
        }
        Err(ServiceError::Contention)
    }

    /// The addresses with the indexes from `first` on, at most `limit`: no index is left out, so the first page that is not
    /// full is the last.
    ///
    /// # Errors
    /// The store's.
    pub async fn deposit_slots(&self, cx: &Cx, first: u32, limit: usize) -> Result<Vec<Slot>, ServiceError> {
        let after = first.checked_sub(1).map(slot_key);
        let page = PageQuery { after, limit, order: Order::Ascending };
        let found = self.list::<Slot>(&cx.operator(), "", &page).await?;
        Ok(found.data.into_iter().map(|slot| slot.doc).collect())
    }

    /// Who has an address.
    pub(super) async fn slot_of(&self, cx: &Cx, address: &str) -> Result<Option<Slot>, ServiceError> {
        let operator = &cx.operator();
        let Some(route) = self.find::<Route>(operator, address).await? else { return Ok(None) };
        Ok(self.find::<Slot>(operator, &slot_key(route.doc.index)).await?.map(|slot| slot.doc))
    }
}
