//! [`Grant`]: a part of a wallet with a purpose, a priority and an end, as the service keeps and shows it. The wallet's record
//! names those that run, so that nothing is searched when money is drawn; this record stays when they are gone.

mod entitlement;
mod sweep;

use farthing_ledger::Timestamp;
use farthing_ledger::record::Table;
use farthing_money::Amount;
use serde::{Deserialize, Serialize};

use super::event::EventKind;
use super::names::{self, Named as _};
use super::wallet::{GrantEntry, LoadedWallet, MAX_GRANTS, wallet_key};
use super::{
    ATTEMPTS, Billing, Cx, Document, Draft, Fate, Page, PageQuery, ServiceError, TenantId, input, refused,
};
use crate::grant::{Grant as Drawn, GrantError, Purpose};
use crate::id::{CustomerId, GrantId};

pub use entitlement::NewEntitlement;
pub(super) use sweep::take_away;

/// Whether a grant can be drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum GrantState {
    /// It can, until it runs out.
    Live,
    /// It ran out, and what was left was taken away.
    Expired,
}

/// A part of a wallet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Grant {
    /// Its name.
    #[serde(with = "names::text")]
    pub id: GrantId,
    /// Whose wallet.
    #[serde(with = "names::text")]
    pub customer: CustomerId,
    /// The code of the asset.
    pub asset: String,
    /// What it is for.
    pub purpose: Purpose,
    /// The lower number is drawn first.
    pub priority: u8,
    /// How much was granted.
    pub amount: Amount,
    /// From this instant on nothing is drawn from it.
    pub expires_ms: Option<u64>,
    /// Whether it can be drawn from.
    pub state: GrantState,
    /// What was left when it ran out, and was taken away.
    pub expired_amount: Amount,
    /// The entitlement that it is one month of.
    #[serde(default, with = "names::maybe")]
    pub entitlement: Option<GrantId>,
    /// Why, for people.
    pub reason: Option<String>,
    /// When it was given.
    pub granted_ms: u64,
    /// How often something was taken away: the name of the next time follows from it.
    pub(super) sweeps: u32,
}

impl Document for Grant {
    const TABLE: Table = Table::new("grant_given");
    const NAME: &'static str = "grant";
}

/// What is given as a grant by somebody's wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum GrantPurpose {
    /// A gift.
    Promotional,
    /// Money that the customer paid, under other terms than the rest: it is drawn sooner, or runs out.
    Paid,
}

/// A grant to be given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewGrant {
    /// What it is for.
    pub purpose: GrantPurpose,
    /// How much.
    pub amount: Amount,
    /// The lower number is drawn first; paid money has 100.
    #[serde(default = "priority")]
    pub priority: u8,
    /// From this instant on nothing is drawn from it.
    #[serde(default)]
    pub expires_ms: Option<u64>,
    /// Why, for people.
    #[serde(default)]
    pub reason: Option<String>,
}

const fn priority() -> u8 {
    100
}

/// A grant that runs out, under the instant at which it is to be looked at. It belongs to no tenant, so that one worker finds all.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct GrantDue {
    #[serde(with = "names::text")]
    tenant: TenantId,
    #[serde(with = "names::text")]
    customer: CustomerId,
    asset: String,
    #[serde(with = "names::text")]
    grant: GrantId,
}

impl Document for GrantDue {
    const TABLE: Table = Table::new("grant_due");
    const NAME: &'static str = "grant that runs out";
}

impl GrantDue {
    fn key(&self, at: Timestamp) -> String {
        let Self { tenant, customer, asset, grant } = self;
        format!("{:016x}/{tenant}/{customer}/{asset}/{grant}", at.unix_ms())
    }
}

/// Where a grant stands in its wallet.
pub(super) fn grant_key(customer: CustomerId, asset: &str, grant: GrantId) -> String {
    format!("{}/{}", wallet_key(customer, asset), grant.text())
}

impl Billing {
    /// Gives a grant to a wallet, which is opened when it is not there.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`], [`ServiceError::NotFound`], [`ServiceError::WrongState`] for a closed wallet or an archived
    /// customer; [`ServiceError::Grant`] when too many run; and the store's.
    pub async fn create_grant(
        &self,
        cx: &Cx,
        (customer, asset): (CustomerId, &str),
        new: &NewGrant,
    ) -> Result<Grant, ServiceError> {
        input::some("amount", new.amount)?;
        input::maybe("reason", new.reason.as_ref(), 500)?;
        let purpose = match new.purpose {
            GrantPurpose::Promotional => Purpose::Promotional,
            GrantPurpose::Paid => Purpose::Paid,
        };
        let drawn = Drawn {
            priority: new.priority,
            expires: new.expires_ms.map(Timestamp::from_unix_ms),
            ..Drawn::new(GrantId::from(cx.id), purpose, cx.now)
        };
        for _ in 0..ATTEMPTS {
            if let Some(done) = self.replay(cx).await? {
                return Ok(done);
            }
            input::later("expires_ms", new.expires_ms, cx.now)?;
            let mut wallet = self.ensure_wallet(cx, customer, asset).await?;
            wallet.active()?;
            let (was, mut draft) = (wallet.stored.clone(), Draft::new());
            let mut grant = give(cx, &mut draft, &mut wallet, (&drawn, new.amount))?;
            grant.reason.clone_from(&new.reason);
            draft.create(cx, &grant_key(customer, asset, grant.id), &grant)?;
            draft.replace(cx, &was, wallet.doc())?.tell(cx, EventKind::GrantCreated, &grant)?;
            match self.commit(cx, draft, &grant).await? {
                Fate::Applied { .. } => return Ok(grant),
                Fate::Refused { outcomes } => return Err(refused(&outcomes)),
                Fate::Again => {}
            }
        }
        Err(ServiceError::Contention)
    }

    /// A grant of a wallet, one that is gone too.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], and the store's.
    pub async fn grant(
        &self,
        cx: &Cx,
        (customer, asset): (CustomerId, &str),
        id: GrantId,
    ) -> Result<Grant, ServiceError> {
        Ok(self.get::<Grant>(cx, &grant_key(customer, asset, id)).await?.doc)
    }

    /// All grants that a wallet ever had, a page at a time. What those that run have is in [`Billing::wallet`].
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], and the store's.
    pub async fn list_grants(
        &self,
        cx: &Cx,
        (customer, asset): (CustomerId, &str),
        page: &PageQuery,
    ) -> Result<Page<Grant>, ServiceError> {
        self.load_wallet(cx, customer, asset).await?;
        Ok(self.list::<Grant>(cx, &format!("{}/", wallet_key(customer, asset)), page).await?.docs())
    }

    /// All grants that a wallet ever had, as they are drawn.
    pub(super) async fn all_grants(
        &self,
        cx: &Cx,
        wallet: &LoadedWallet,
    ) -> Result<Vec<GrantEntry>, ServiceError> {
        let prefix = format!("{}/", wallet_key(wallet.customer.id, wallet.asset.code()));
        let (mut all, mut page) = (Vec::new(), PageQuery { limit: 500, ..PageQuery::default() });
        loop {
            let found = self.list::<Grant>(cx, &prefix, &page).await?;
            all.extend(found.data.iter().map(|stored| GrantEntry::of(&stored.doc.drawn())));
            match found.next {
                Some(next) => page.after = Some(next),
                None => return Ok(all),
            }
        }
    }
}

impl Grant {
    /// As it is drawn.
    pub(super) fn drawn(&self) -> Drawn {
        Drawn {
            priority: self.priority,
            expires: self.expires_ms.map(Timestamp::from_unix_ms),
            ..Drawn::new(self.id, self.purpose, Timestamp::from_unix_ms(self.granted_ms))
        }
    }
}

/// Adds the filling of a grant to a draft, and the grant to the wallet. Its record is the caller's to write.
fn give(
    cx: &Cx,
    draft: &mut Draft,
    wallet: &mut LoadedWallet,
    (drawn, amount): (&Drawn, Amount),
) -> Result<Grant, ServiceError> {
    if wallet.doc().grants.len() >= MAX_GRANTS {
        return Err(GrantError::TooManyGrants { most: MAX_GRANTS }.into());
    }
    let outside = wallet.asset.outside();
    let source = if drawn.purpose == Purpose::Paid { outside.bank } else { outside.grants };
    draft.steps(drawn.fill(wallet.asset.chart().money, (source, amount)));
    wallet.stored.doc.grants.push(GrantEntry::of(drawn));
    let (customer, asset) = (wallet.customer.id, wallet.asset.code().to_owned());
    if let Some(expires) = drawn.expires {
        let due = GrantDue { tenant: cx.tenant, customer, asset: asset.clone(), grant: drawn.id };
        draft.create(&cx.operator(), &due.key(expires), &due)?;
    }
    Ok(Grant {
        id: drawn.id,
        customer,
        asset,
        purpose: drawn.purpose,
        priority: drawn.priority,
        amount,
        expires_ms: drawn.expires.map(Timestamp::unix_ms),
        state: GrantState::Live,
        expired_amount: Amount::ZERO,
        entitlement: None,
        reason: None,
        granted_ms: drawn.granted_at.unix_ms(),
        sweeps: 0,
    })
}
