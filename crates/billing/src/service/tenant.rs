//! [`Tenant`]: a platform that bills here. Tenants are the operator's: a call about them is about no tenant's own records, so that
//! the [`Cx`]'s tenant does not matter. Nothing here proves who may make one.

use farthing_ledger::record::Table;
use farthing_ledger::{AssetId, Command, NewAsset, Step};
use farthing_money::{Asset, AssetKind};
use serde::{Deserialize, Serialize};

use super::names::{self, Named as _};
use super::{ATTEMPTS, Billing, Cx, Document, Draft, Fate, Page, PageQuery, ServiceError, Stored, TenantId};
use super::{input, refused};

/// Whether a tenant's keys and tokens work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TenantState {
    /// They do.
    Active,
    /// They do not. What is in flight runs out or is settled as always.
    Suspended,
}

/// A platform that bills here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Tenant {
    /// Its name here.
    #[serde(with = "names::text")]
    pub id: TenantId,
    /// Its name for people.
    pub name: String,
    /// Whether its keys and tokens work.
    pub state: TenantState,
    /// When it was made.
    pub created_ms: u64,
}

/// A tenant that is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewTenant {
    /// Its name for people.
    pub name: String,
}

/// A tenant as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct TenantDoc {
    #[serde(flatten)]
    pub(super) tenant: Tenant,
    /// The asset of the ledger that counts children of its budgets.
    pub(super) seats: u32,
}

impl Document for TenantDoc {
    const TABLE: Table = Table::new("tenant");
    const NAME: &'static str = "tenant";
}

/// The next number that no asset of the ledger has.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Numbers {
    next: u32,
}

impl Document for Numbers {
    const TABLE: Table = Table::new("ledger_numbers");
    const NAME: &'static str = "counter of assets";
}

const NUMBERS: &str = "asset";

impl Billing {
    /// Makes a tenant.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for its name, and the store's.
    pub async fn create_tenant(&self, cx: &Cx, new: &NewTenant) -> Result<Tenant, ServiceError> {
        input::text("name", &new.name, 200)?;
        let cx = &cx.operator();
        for _ in 0..ATTEMPTS {
            if let Some(done) = self.replay(cx).await? {
                return Ok(done);
            }
            let mut draft = Draft::new();
            let seats = self.take_numbers(cx, &mut draft, 1).await?;
            let asset = Asset::new("seats", 0, AssetKind::Custom)?;
            let define = NewAsset { id: AssetId::from_u32(seats), asset };
            draft.steps([Step::single(Command::DefineAsset(define))]);
            let tenant = Tenant {
                id: TenantId::from(cx.id),
                name: new.name.clone(),
                state: TenantState::Active,
                created_ms: cx.now.unix_ms(),
            };
            let doc = TenantDoc { tenant: tenant.clone(), seats };
            draft.create(cx, &tenant.id.text(), &doc)?;
            match self.commit(cx, draft, &tenant).await? {
                Fate::Applied { .. } => return Ok(tenant),
                Fate::Refused { outcomes } => return Err(refused(&outcomes)),
                Fate::Again => {}
            }
        }
        Err(ServiceError::Contention)
    }

    /// The tenant.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], and the store's.
    pub async fn tenant(&self, cx: &Cx, id: TenantId) -> Result<Tenant, ServiceError> {
        Ok(self.tenant_doc(cx, id).await?.doc.tenant)
    }

    /// All tenants, a page at a time.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_tenants(&self, cx: &Cx, page: &PageQuery) -> Result<Page<Tenant>, ServiceError> {
        let found = self.list::<TenantDoc>(&cx.operator(), "", page).await?;
        Ok(found.map(|doc| doc.tenant))
    }

    /// Suspends a tenant, or lets it work again.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], and the store's.
    pub async fn set_tenant_state(
        &self,
        cx: &Cx,
        id: TenantId,
        state: TenantState,
    ) -> Result<Tenant, ServiceError> {
        let cx = &cx.operator();
        for _ in 0..ATTEMPTS {
            if let Some(done) = self.replay(cx).await? {
                return Ok(done);
            }
            let was = self.tenant_doc(cx, id).await?;
            let mut doc = was.doc.clone();
            doc.tenant.state = state;
            let mut draft = Draft::new();
            draft.replace(cx, &was, &doc)?;
            if let Fate::Applied { .. } = self.commit(cx, draft, &doc.tenant).await? {
                return Ok(doc.tenant);
            }
        }
        Err(ServiceError::Contention)
    }

    pub(super) async fn tenant_doc(&self, cx: &Cx, id: TenantId) -> Result<Stored<TenantDoc>, ServiceError> {
        self.get(&cx.operator(), &id.text()).await
    }

    /// Takes `count` numbers for assets of the ledger: the first of them. They are taken when the draft is committed.
    pub(super) async fn take_numbers(
        &self,
        cx: &Cx,
        draft: &mut Draft,
        count: u32,
    ) -> Result<u32, ServiceError> {
        let cx = &cx.operator();
        let was = self.find::<Numbers>(cx, NUMBERS).await?;
        let first = was.as_ref().map_or(1, |was| was.doc.next);
        let next = first.checked_add(count).ok_or(farthing_money::MoneyError::Overflow)?;
        match &was {
            Some(was) => draft.replace(cx, was, &Numbers { next })?,
            None => draft.create(cx, NUMBERS, &Numbers { next })?,
        };
        Ok(first)
    }
}
