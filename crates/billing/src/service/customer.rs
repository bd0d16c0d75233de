//! [`Customer`]: somebody whom a tenant bills, known by the tenant's own id for them too. It has no balance: see
//! [`super::wallet`].

use farthing_ledger::record::Table;
use serde::{Deserialize, Serialize};

use super::event::EventKind;
use super::names::{self, Named as _};
use super::{
    ATTEMPTS, Billing, Cx, Document, Draft, Fate, Metadata, Page, PageQuery, ServiceError, Stored, input,
};
use crate::id::{CustomerId, of_text};
use crate::wallet::Customer as Names;

/// Whether a customer can be sold to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CustomerState {
    /// They can.
    Active,
    /// They cannot: nothing new is held or promised. What is in flight is settled, and money that comes in is theirs.
    Archived,
}

/// Somebody whom a tenant bills.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Customer {
    /// Its name here.
    #[serde(with = "names::text")]
    pub id: CustomerId,
    /// The tenant's name for it: no two customers have the same.
    pub external_id: String,
    /// A name for people.
    pub name: Option<String>,
    /// What the tenant keeps with it.
    pub metadata: Metadata,
    /// Whether it can be sold to.
    pub state: CustomerState,
    /// When it was made.
    pub created_ms: u64,
    /// When it was changed last.
    pub updated_ms: u64,
}

/// A customer that is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewCustomer {
    /// The tenant's name for it: 1 to 128 characters.
    pub external_id: String,
    /// A name for people.
    #[serde(default)]
    pub name: Option<String>,
    /// What the tenant keeps with it.
    #[serde(default)]
    pub metadata: Metadata,
}

/// What is to be changed of a customer. What is missing stays.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CustomerChange {
    /// A name for people.
    #[serde(default)]
    pub name: Option<String>,
    /// What the tenant keeps with it, all of it.
    #[serde(default)]
    pub metadata: Option<Metadata>,
    /// Whether it can be sold to.
    #[serde(default)]
    pub state: Option<CustomerState>,
}

impl Document for Customer {
    const TABLE: Table = Table::new("customer");
    const NAME: &'static str = "customer";
}

/// Finds a customer by the tenant's name for it.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct ByExternalId {
    #[serde(with = "names::text")]
    id: CustomerId,
}

impl Document for ByExternalId {
    const TABLE: Table = Table::new("customer_by_external_id");
    const NAME: &'static str = "customer";
}

impl Billing {
    /// Makes a customer.
    ///
    /// # Errors
    /// [`ServiceError::ExternalId`], [`ServiceError::Invalid`]; [`ServiceError::AlreadyExists`] when the external id is another
    /// customer's; and the store's.
    pub async fn create_customer(&self, cx: &Cx, new: &NewCustomer) -> Result<Customer, ServiceError> {
        let names = Names::new(CustomerId::from(cx.id), &new.external_id)?;
        check(new.name.as_ref(), Some(&new.metadata))?;
        let index = external_key(names.external_id());
        for _ in 0..ATTEMPTS {
            if let Some(done) = self.replay(cx).await? {
                return Ok(done);
            }
            if self.find::<ByExternalId>(cx, &index).await?.is_some() {
                let id = new.external_id.clone();
                return Err(ServiceError::AlreadyExists { what: "customer", id });
            }
            let customer = Customer {
                id: names.id,
                external_id: new.external_id.clone(),
                name: new.name.clone(),
                metadata: new.metadata.clone(),
                state: CustomerState::Active,
                created_ms: cx.now.unix_ms(),
                updated_ms: cx.now.unix_ms(),
            };
            let mut draft = Draft::new();
            draft.create(cx, &names.id.text(), &customer)?;
            draft.create(cx, &index, &ByExternalId { id: names.id })?;
            draft.tell(cx, EventKind::CustomerCreated, &customer)?;
            if let Fate::Applied { .. } = self.commit(cx, draft, &customer).await? {
                return Ok(customer);
            }
        }
        Err(ServiceError::Contention)
    }

    /// The customer.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], and the store's.
    pub async fn customer(&self, cx: &Cx, id: CustomerId) -> Result<Customer, ServiceError> {
        Ok(self.customer_doc(cx, id).await?.doc)
    }

    /// The customer whom the tenant knows as `external_id`.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], and the store's.
    pub async fn customer_by_external_id(
        &self,
        cx: &Cx,
        external_id: &str,
    ) -> Result<Customer, ServiceError> {
        match self.find::<ByExternalId>(cx, &external_key(external_id)).await? {
            Some(found) => self.customer(cx, found.doc.id).await,
            None => {
                let id = external_id.chars().take(128).collect();
                Err(ServiceError::NotFound { what: "customer", id })
            }
        }
    }

    /// Changes a customer.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Invalid`], and the store's.
    pub async fn update_customer(
        &self,
        cx: &Cx,
        id: CustomerId,
        change: &CustomerChange,
    ) -> Result<Customer, ServiceError> {
        check(change.name.as_ref(), change.metadata.as_ref())?;
        for _ in 0..ATTEMPTS {
            if let Some(done) = self.replay(cx).await? {
                return Ok(done);
            }
            let was = self.customer_doc(cx, id).await?;
            let CustomerChange { name, metadata, state } = change.clone();
            let customer = Customer {
                name: name.or_else(|| was.doc.name.clone()),
                metadata: metadata.unwrap_or_else(|| was.doc.metadata.clone()),
                state: state.unwrap_or(was.doc.state),
                updated_ms: cx.now.unix_ms(),
                ..was.doc.clone()
            };
            let mut draft = Draft::new();
            draft.replace(cx, &was, &customer)?.tell(cx, EventKind::CustomerUpdated, &customer)?;
            if let Fate::Applied { .. } = self.commit(cx, draft, &customer).await? {
                return Ok(customer);
            }
        }
        Err(ServiceError::Contention)
    }

    /// The tenant's customers, a page at a time.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_customers(&self, cx: &Cx, page: &PageQuery) -> Result<Page<Customer>, ServiceError> {
        Ok(self.list::<Customer>(cx, "", page).await?.docs())
    }

    pub(super) async fn customer_doc(
        &self,
        cx: &Cx,
        id: CustomerId,
    ) -> Result<Stored<Customer>, ServiceError> {
        self.get(cx, &id.text()).await
    }
}

/// That the customer can be sold to.
pub(super) fn active(customer: &Customer) -> Result<(), ServiceError> {
    match customer.state {
        CustomerState::Active => Ok(()),
        CustomerState::Archived => Err(ServiceError::WrongState {
            what: "customer",
            state: "archived",
            why: "nothing new is sold to it: make it active first",
        }),
    }
}

fn check(name: Option<&String>, metadata: Option<&Metadata>) -> Result<(), ServiceError> {
    input::maybe("name", name, 200)?;
    metadata.map_or(Ok(()), input::metadata)
}

/// The index is by a hash: an external id may be longer than a key, and have any character.
fn external_key(external_id: &str) -> String {
    format!("{:032x}", of_text("external id", &[], external_id))
}
