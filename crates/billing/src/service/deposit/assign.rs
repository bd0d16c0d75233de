//! Deposits as a tenant sees them, and exceptions that a person resolves.

use farthing_ledger::record::Order;
use farthing_money::AssetKind;

use super::kept::{ByTransfer, Deposit, DepositState};
use crate::id::CustomerId;
use crate::service::wallet::stale_or;
use crate::service::{ATTEMPTS, Billing, Cx, Draft, Fate, Page, PageQuery, ServiceError, Stored, TenantId};

/// Pages of deposits that are read to find exceptions for one page of them.
const MAX_SCANNED: usize = 20;

impl Billing {
    /// A deposit.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], and the store's.
    pub async fn deposit(&self, cx: &Cx, id: &str) -> Result<Deposit, ServiceError> {
        Ok(self.deposit_doc(cx, id).await?.doc)
    }

    /// The tenant's deposits, those that could not be credited too.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_deposits(&self, cx: &Cx, page: &PageQuery) -> Result<Page<Deposit>, ServiceError> {
        Ok(self.list::<Deposit>(cx, "", page).await?.map(|deposit| deposit))
    }

    /// The tenant's exceptions: deposits that wait for a person.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_deposit_exceptions(
        &self,
        cx: &Cx,
        page: &PageQuery,
    ) -> Result<Page<Deposit>, ServiceError> {
        let (mut data, mut after) = (Vec::new(), page.after.clone());
        for _ in 0..MAX_SCANNED {
            let query = PageQuery { after: after.clone(), limit: page.limit, order: page.order };
            let found = self.list_deposits(cx, &query).await?;
            after = found.next;
            data.extend(found.data.into_iter().filter(|deposit| deposit.state == DepositState::Exception));
            if after.is_none() || data.len() >= page.limit {
                break;
            }
        }
        if data.len() > page.limit {
            data.truncate(page.limit);
            after = data.last().map(|deposit| deposit.id.clone());
        }
        Ok(Page { data, next: after })
    }

    /// Exceptions of addresses that nobody was given: no tenant's. For whoever operates the installation, never for a tenant.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_unmatched_deposits(
        &self,
        cx: &Cx,
        page: &PageQuery,
    ) -> Result<Page<Deposit>, ServiceError> {
        self.list_deposit_exceptions(&cx.operator(), page).await
    }

    /// Credits an exception to a customer, in the customer's account of that very token.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`] for the deposit or the customer; [`ServiceError::WrongState`] when it is no exception;
    /// [`ServiceError::Invalid`] when the tenant has no asset that is this token; the ledger's and the store's.
    pub async fn assign_deposit(
        &self,
        cx: &Cx,
        id: &str,
        customer: CustomerId,
    ) -> Result<Deposit, ServiceError> {
        self.assign(cx, (cx.tenant, id), customer).await
    }

    /// Credits an exception of nobody's to a customer of the tenant of `cx`. For whoever operates the installation.
    ///
    /// # Errors
    /// As [`Billing::assign_deposit`].
    pub async fn assign_unmatched_deposit(
        &self,
        cx: &Cx,
        id: &str,
        customer: CustomerId,
    ) -> Result<Deposit, ServiceError> {
        self.assign(cx, (cx.operator().tenant, id), customer).await
    }

    async fn assign(
        &self,
        cx: &Cx,
        (owner, id): (TenantId, &str),
        customer: CustomerId,
    ) -> Result<Deposit, ServiceError> {
        let operator = &cx.operator();
        for _ in 0..ATTEMPTS {
            if let Some(done) = self.replay(cx).await? {
                return Ok(done);
            }
            let before = self.deposit_doc(&cx.of(owner), id).await?;
            if before.doc.state != DepositState::Exception {
                return Err(ServiceError::WrongState {
                    what: "deposit",
                    state: if before.doc.state == DepositState::Gone { "gone" } else { "credited" },
                    why: "only an exception can be assigned",
                });
            }
            self.customer(cx, customer).await?;
            let after = Deposit {
                customer: Some(customer),
                asset: Some(self.asset_of_token(cx, &before.doc).await?),
                state: DepositState::Credited,
                credits: before.doc.credits.saturating_add(1),
                updated_ms: cx.now.unix_ms(),
                ..before.doc.clone()
            };
            let mut draft = Draft::new();
            if owner == cx.tenant {
                draft.replace(cx, &before, &after)?;
            } else {
                // It becomes the tenant's.
                draft.delete(&cx.of(owner), &before).create(cx, id, &after)?;
                let Some(by) = self.by_transfer(operator, &after.transfer()).await? else {
                    return Err(ServiceError::NotFound { what: "deposit", id: id.to_owned() });
                };
                draft.replace(operator, &by, &ByTransfer { tenant: cx.tenant, id: by.doc.id.clone() })?;
            }
            let wish = self.credit_deposit(cx, &mut draft, &after).await?;
            match self.commit(cx, draft, &after).await? {
                Fate::Applied { .. } => return Ok(after),
                Fate::Refused { outcomes } => stale_or(&outcomes, &wish)?,
                Fate::Again => {}
            }
        }
        Err(ServiceError::Contention)
    }

    async fn asset_of_token(&self, cx: &Cx, deposit: &Deposit) -> Result<String, ServiceError> {
        let mut page = PageQuery { after: None, limit: 100, order: Order::Ascending };
        loop {
            let found = self.list_assets(cx, &page).await?;
            let is = |kind: &AssetKind| {
                matches!(kind, AssetKind::Token { network, address }
                    if **network == *deposit.network && **address == *deposit.token)
            };
            if let Some(asset) = found.data.iter().find(|asset| is(asset.asset.kind())) {
                return Ok(asset.asset.code().to_owned());
            }
            if found.next.is_none() {
                return Err(ServiceError::invalid("customer", "the tenant has no asset that is this token"));
            }
            page.after = found.next;
        }
    }

    async fn deposit_doc(&self, cx: &Cx, id: &str) -> Result<Stored<Deposit>, ServiceError> {
        let no_deposit = || ServiceError::NotFound { what: "deposit", id: id.chars().take(64).collect() };
        if crate::service::read_id("dep", id).is_none() {
            return Err(no_deposit());
        }
        self.find::<Deposit>(cx, id).await?.ok_or_else(no_deposit)
    }
}
