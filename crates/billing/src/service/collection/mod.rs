//! Collections: transfers that bring what lies at deposit addresses to an account of the operator's. Each is written down before it is
//! sent, so that the next run knows what may still be on its way. It moves no customer's balance: what was credited stays owed,
//! wherever the money lies. It knows no chain: networks, tokens, addresses and hashes are texts here.
//!
//! | state | what it means |
//! |---|---|
//! | `sending` | signed; it may be on its way. While it is, nobody else collects that token from that address |
//! | `collected` | the chain executed it, and the money moved |
//! | `failed` | nothing moved, and nothing will under this name: `why` says what happened |
//! | `unclear` | it can no longer happen, and whether it did the node does not tell: a person looks at `tx_hash` |

use farthing_ledger::record::{Order, Table};
use farthing_money::Amount;
use serde::{Deserialize, Serialize};

use super::{
    ATTEMPTS, Billing, Cx, Document, Draft, Fate, Page, PageQuery, ServiceError, Stored, TenantId, id_text,
    names,
};
use crate::id::CustomerId;

#[cfg(test)]
mod tests;

/// What is about to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCollection {
    /// The chain, CAIP-2: `eip155:4217`.
    pub network: String,
    /// The token, lower case.
    pub token: String,
    /// The deposit address, lower case.
    pub address: String,
    /// Its index.
    pub index: u32,
    /// To whom the address was given, if to anybody.
    pub owner: Option<(TenantId, CustomerId)>,
    /// Who receives, lower case.
    pub to: String,
    /// How much arrives.
    pub amount: Amount,
    /// The most that the fee takes.
    pub fee_most: Amount,
    /// In which token.
    pub fee_token: String,
    /// Who pays the fee, where it is not the address itself.
    pub fee_payer: Option<String>,
    /// The transaction's hash.
    pub tx_hash: String,
    /// No block takes it from this time on, in Unix seconds.
    pub valid_before_s: u64,
}

/// Where a collection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CollectionState {
    /// Signed; it may be on its way.
    Sending,
    /// The money moved.
    Collected,
    /// Nothing moved, and nothing will.
    Failed,
    /// It can no longer happen, and nobody knows whether it did.
    Unclear,
}

/// A collection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collection {
    /// Its name: `col_…`.
    pub id: String,
    /// Where it stands.
    pub state: CollectionState,
    /// Why it failed, or what is in the way of knowing.
    pub why: Option<String>,
    /// The chain.
    pub network: String,
    /// The token.
    pub token: String,
    /// From which deposit address.
    pub address: String,
    /// Its index.
    pub index: u32,
    /// The tenant to whose customer the address was given.
    #[serde(default, with = "names::maybe")]
    pub tenant: Option<TenantId>,
    /// The customer.
    #[serde(default, with = "names::maybe")]
    pub customer: Option<CustomerId>,
    /// Who receives.
    pub to: String,
    /// How much arrives.
    pub amount: Amount,
    /// The most that the fee takes.
    pub fee_most: Amount,
    /// In which token.
    pub fee_token: String,
    /// Who pays the fee, where it is not the address itself.
    pub fee_payer: Option<String>,
    /// What the fee took, where the node shows it.
    pub fee: Option<Amount>,
    /// The transaction's hash.
    pub tx_hash: String,
    /// No block takes it from this time on, in Unix seconds.
    pub valid_before_s: u64,
    /// The block that holds it.
    pub block: Option<u64>,
    /// When it was signed.
    pub created_ms: u64,
    /// When it was changed last.
    pub updated_ms: u64,
}

impl Document for Collection {
    const TABLE: Table = Table::new("collection");
    const NAME: &'static str = "collection";
}

/// The collection that may be on its way from an address: one a token.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Open {
    id: String,
}

impl Document for Open {
    const TABLE: Table = Table::new("collection_open");
    const NAME: &'static str = "collection";
}

/// How a collection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CollectionEnd {
    /// The money moved.
    Collected {
        /// The block.
        block: Option<u64>,
        /// What the fee took.
        fee: Option<Amount>,
    },
    /// Nothing moved, and nothing will.
    Failed {
        /// Why.
        why: String,
    },
    /// Nobody knows.
    Unclear {
        /// What is in the way.
        why: String,
    },
}

impl Collection {
    fn open_key(&self) -> String {
        format!("{}/{}/{}", self.network, self.token, self.address)
    }

    fn new(cx: &Cx, new: &NewCollection) -> Self {
        let NewCollection { network, token, address, to, fee_token, fee_payer, tx_hash, .. } = new.clone();
        let now = cx.now.unix_ms();
        Self {
            id: id_text("col", cx.id.as_u128()),
            state: CollectionState::Sending,
            why: None,
            network,
            token,
            address,
            index: new.index,
            tenant: new.owner.map(|(tenant, _)| tenant),
            customer: new.owner.map(|(_, customer)| customer),
            to,
            amount: new.amount,
            fee_most: new.fee_most,
            fee_token,
            fee_payer,
            fee: None,
            tx_hash,
            valid_before_s: new.valid_before_s,
            block: None,
            created_ms: now,
            updated_ms: now,
        }
    }

    fn ended(&self, cx: &Cx, end: CollectionEnd) -> Self {
        let (state, why, block, fee) = match end {
            CollectionEnd::Collected { block, fee } => (CollectionState::Collected, None, block, fee),
            CollectionEnd::Failed { why } => (CollectionState::Failed, Some(why), None, None),
            CollectionEnd::Unclear { why } => (CollectionState::Unclear, Some(why), None, None),
        };
        Self { state, why, block, fee, updated_ms: cx.now.unix_ms(), ..self.clone() }
    }
}

impl Billing {
    /// Writes down what is about to be sent. `None`, and nothing is written, when something of that token may be on its way from
    /// that address already.
    ///
    /// # Errors
    /// The store's; after [`farthing_ledger::store::StoreError::Unknown`] it may be written, and nothing may be sent.
    pub async fn begin_collection(
        &self,
        cx: &Cx,
        new: &NewCollection,
    ) -> Result<Option<Collection>, ServiceError> {
        let operator = &cx.operator();
        let made = Collection::new(cx, new);
        let mut draft = Draft::new();
        draft.create(operator, &made.open_key(), &Open { id: made.id.clone() })?;
        draft.create(operator, &made.id, &made)?;
        let fate = self.commit(operator, draft, &()).await?;
        Ok(matches!(fate, Fate::Applied { .. }).then_some(made))
    }

    /// Writes down how a collection ended, once: told again, or told otherwise, it stays as it was.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], and the store's.
    pub async fn end_collection(
        &self,
        cx: &Cx,
        id: &str,
        end: CollectionEnd,
    ) -> Result<Collection, ServiceError> {
        let operator = &cx.operator();
        for _ in 0..ATTEMPTS {
            let before = self.get::<Collection>(operator, id).await?;
            if before.doc.state != CollectionState::Sending {
                return Ok(before.doc);
            }
            let after = before.doc.ended(cx, end.clone());
            let mut draft = Draft::new();
            draft.replace(operator, &before, &after)?;
            draft.forget::<Open>(operator, &after.open_key());
            if let Fate::Applied { .. } = self.commit(operator, draft, &()).await? {
                return Ok(after);
            }
        }
        Err(ServiceError::Contention)
    }

    /// The collections on a network that may be on their way.
    ///
    /// # Errors
    /// The store's.
    pub async fn open_collections(&self, cx: &Cx, network: &str) -> Result<Vec<Collection>, ServiceError> {
        let operator = &cx.operator();
        let mut page = PageQuery { after: None, limit: 500, order: Order::Ascending };
        let mut found = Vec::new();
        loop {
            let open = self.list::<Open>(operator, &format!("{network}/"), &page).await?;
            for Stored { doc: Open { id }, .. } in &open.data {
                // It may have ended since the page was read.
                let collection = self.find::<Collection>(operator, id).await?.map(|stored| stored.doc);
                found.extend(collection.filter(|it| it.state == CollectionState::Sending));
            }
            match open.next {
                Some(next) => page.after = Some(next),
                None => return Ok(found),
            }
        }
    }

    /// A page of all collections; the newest first, unless it is asked otherwise.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_collections(
        &self,
        cx: &Cx,
        page: &PageQuery,
    ) -> Result<Page<Collection>, ServiceError> {
        Ok(self.list::<Collection>(&cx.operator(), "", page).await?.docs())
    }
}
