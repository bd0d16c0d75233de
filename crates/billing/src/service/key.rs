//! [`ApiKey`]: what a tenant's programs are known by, and what each may do. The secret is the caller's random bytes and only its
//! hash is kept; keys of budgets for agents are tokens ([`super::token`]).

use std::collections::BTreeSet;

use farthing_ledger::Timestamp;
use farthing_ledger::record::{RecordKey, Table};
use serde::{Deserialize, Serialize};

use super::document::{read_document, record_key};
use super::names::{self, KeyId, Named as _};
use super::tenant::{TenantDoc, TenantState};
use super::{
    ATTEMPTS, Billing, Cx, Document, Draft, Fate, Page, PageQuery, Secret, ServiceError, Stored, TenantId,
};
use super::{input, secret};

/// How an API key begins.
pub const PREFIX: &str = "fk";

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Scope {
    /// Read everything of its tenant but keys.
    Read,
    /// Make and change customers.
    Customers,
    /// Open wallets, grant, adjust, charge back, lend.
    Wallets,
    /// Place, capture, void and refund holds.
    Holds,
    /// Make, change and close budgets, and make and revoke tokens.
    Budgets,
    /// Tell usage.
    Usage,
    /// Publish prices.
    Prices,
    /// Set top-up rules and deposit addresses.
    TopUps,
    /// Set webhooks.
    Webhooks,
    /// Everything, assets and keys too.
    Admin,
}

/// A key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ApiKey {
    /// Its name.
    #[serde(with = "names::text")]
    pub id: KeyId,
    /// Its name for people.
    pub name: String,
    /// What it may do.
    pub scopes: BTreeSet<Scope>,
    /// From this instant on it does nothing.
    pub expires_ms: Option<u64>,
    /// Since when it does nothing, by somebody's wish.
    pub revoked_ms: Option<u64>,
    /// Until when the secret before the last rotation works too.
    pub previous_until_ms: Option<u64>,
    /// When it was made.
    pub created_ms: u64,
}

/// A key that is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewApiKey {
    /// Its name for people.
    pub name: String,
    /// What it may do.
    pub scopes: BTreeSet<Scope>,
    /// From this instant on it does nothing.
    #[serde(default)]
    pub expires_ms: Option<u64>,
}

/// Who presented a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authenticated {
    /// Whose it is.
    pub tenant: TenantId,
    /// Which.
    pub key: KeyId,
    /// What it may do.
    pub scopes: BTreeSet<Scope>,
}

impl Authenticated {
    /// Whether it may do what `scope` stands for. `Admin` may do everything.
    #[must_use]
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }
}

/// A key as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct KeyDoc {
    #[serde(flatten)]
    key: ApiKey,
    /// Of the secret.
    hash: String,
    /// Of the one before.
    previous: Option<String>,
}

impl Document for KeyDoc {
    const TABLE: Table = Table::new("api_key");
    const NAME: &'static str = "API key";
}

/// Finds a key, or a token, from the hash of its secret. It belongs to no tenant: it says whose it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Holder {
    #[serde(with = "names::text")]
    pub(super) tenant: TenantId,
    /// The id of the key or token.
    pub(super) id: String,
}

impl Document for Holder {
    const TABLE: Table = Table::new("secret_hash");
    const NAME: &'static str = "secret";
}

const UNKNOWN: ServiceError =
    ServiceError::Unauthenticated { code: "key_unknown", why: "there is no such API key" };

impl Billing {
    /// Makes a key whose secret is `secret`: present it once ([`Secret::present`] with [`PREFIX`]), it is not kept.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`]; [`ServiceError::AlreadyExists`] for a secret that was used; and the store's.
    pub async fn create_key(
        &self,
        cx: &Cx,
        new: &NewApiKey,
        secret: &Secret,
    ) -> Result<ApiKey, ServiceError> {
        input::text("name", &new.name, 200)?;
        if new.scopes.is_empty() {
            return Err(ServiceError::invalid("scopes", "at least one"));
        }
        if let Some(done) = self.replay(cx).await? {
            return Ok(done);
        }
        input::later("expires_ms", new.expires_ms, cx.now)?;
        self.tenant_doc(cx, cx.tenant).await?;
        let key = ApiKey {
            id: KeyId::from(cx.id),
            name: new.name.clone(),
            scopes: new.scopes.clone(),
            expires_ms: new.expires_ms,
            revoked_ms: None,
            previous_until_ms: None,
            created_ms: cx.now.unix_ms(),
        };
        let doc = KeyDoc { key: key.clone(), hash: secret.hash(), previous: None };
        let mut draft = Draft::new();
        draft.create(cx, &key.id.text(), &doc)?;
        draft.create(&cx.operator(), &doc.hash, &Holder { tenant: cx.tenant, id: key.id.text() })?;
        let name = ("API key", key.id.text());
        self.commit_new(cx, draft, key, name).await
    }

    /// Gives a key a new secret. The old one works until `previous_until`, the one before that no longer.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; [`ServiceError::WrongState`] for a revoked key; [`ServiceError::Invalid`] for an instant that
    /// has passed; and the store's.
    pub async fn rotate_key(
        &self,
        cx: &Cx,
        id: KeyId,
        secret: &Secret,
        previous_until: Option<Timestamp>,
    ) -> Result<ApiKey, ServiceError> {
        self.change_key(cx, id, |cx, doc, draft| {
            input::later("previous_until_ms", previous_until.map(Timestamp::unix_ms), cx.now)?;
            let keeps = previous_until.is_some();
            let forgotten = if keeps { doc.previous.replace(doc.hash.clone()) } else { doc.previous.take() };
            let gone = forgotten.into_iter().chain((!keeps).then(|| doc.hash.clone()));
            gone.for_each(|hash| draft.forget::<Holder>(&cx.operator(), &hash));
            doc.hash = secret.hash();
            doc.key.previous_until_ms = previous_until.map(Timestamp::unix_ms);
            draft.create(&cx.operator(), &doc.hash, &Holder { tenant: cx.tenant, id: id.text() })?;
            Ok(())
        })
        .await
    }

    /// Lets a key do nothing any more, at once and for good.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; [`ServiceError::WrongState`] when it is revoked already; and the store's.
    pub async fn revoke_key(&self, cx: &Cx, id: KeyId) -> Result<ApiKey, ServiceError> {
        self.change_key(cx, id, |cx, doc, draft| {
            doc.key.revoked_ms = Some(cx.now.unix_ms());
            let hashes = std::iter::once(doc.hash.clone()).chain(doc.previous.take());
            hashes.for_each(|hash| draft.forget::<Holder>(&cx.operator(), &hash));
            Ok(())
        })
        .await
    }

    /// The key.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], and the store's.
    pub async fn key(&self, cx: &Cx, id: KeyId) -> Result<ApiKey, ServiceError> {
        Ok(self.key_doc(cx, id).await?.doc.key)
    }

    /// The tenant's keys, a page at a time.
    ///
    /// # Errors
    /// The store's.
    pub async fn list_keys(&self, cx: &Cx, page: &PageQuery) -> Result<Page<ApiKey>, ServiceError> {
        Ok(self.list::<KeyDoc>(cx, "", page).await?.map(|doc| doc.key))
    }

    /// Who presents `presented` at `now`.
    ///
    /// # Errors
    /// [`ServiceError::Unauthenticated`] with the code `key_unknown` (also for a revoked one), `key_expired` or
    /// `tenant_suspended`; and the store's.
    pub async fn authenticate(&self, now: Timestamp, presented: &str) -> Result<Authenticated, ServiceError> {
        let hash = Secret::read(PREFIX, presented).ok_or(UNKNOWN)?.hash();
        let (tenant, [key, tenant_doc]) = self.holder::<KeyDoc>(&hash).await?.ok_or(UNKNOWN)?;
        let KeyDoc { key, hash: current, previous } = read_document::<KeyDoc>(&key)?;
        let by_current = secret::same_hash(&current, &hash);
        let by_previous = previous.is_some_and(|previous| secret::same_hash(&previous, &hash))
            && key.previous_until_ms.is_some_and(|until| now.unix_ms() < until);
        if key.revoked_ms.is_some() || !(by_current || by_previous) {
            return Err(UNKNOWN);
        }
        if key.expires_ms.is_some_and(|at| at <= now.unix_ms()) {
            return Err(ServiceError::Unauthenticated {
                code: "key_expired",
                why: "the API key has expired",
            });
        }
        active(&read_document::<TenantDoc>(&tenant_doc)?)?;
        Ok(Authenticated { tenant, key: key.id, scopes: key.scopes })
    }

    /// Whose secret has this hash: the tenant, and the records of the holder and of the tenant.
    pub(super) async fn holder<T: Document>(
        &self,
        hash: &str,
    ) -> Result<Option<(TenantId, [farthing_ledger::record::Record; 2])>, ServiceError> {
        let operator = super::cx::OPERATOR;
        let found = self.store().records(&[record_key::<Holder>(operator, hash)]).await?;
        let Some(record) = found.into_iter().flatten().next() else { return Ok(None) };
        let Holder { tenant, id } = read_document::<Holder>(&record)?;
        let keys: [RecordKey; 2] =
            [record_key::<T>(tenant, &id), record_key::<TenantDoc>(operator, &tenant.text())];
        let found: Vec<_> = self.store().records(&keys).await?.into_iter().flatten().collect();
        Ok(<[_; 2]>::try_from(found).ok().map(|both| (tenant, both)))
    }

    async fn key_doc(&self, cx: &Cx, id: KeyId) -> Result<Stored<KeyDoc>, ServiceError> {
        self.get(cx, &id.text()).await
    }

    async fn change_key(
        &self,
        cx: &Cx,
        id: KeyId,
        change: impl Fn(&Cx, &mut KeyDoc, &mut Draft) -> Result<(), ServiceError>,
    ) -> Result<ApiKey, ServiceError> {
        for _ in 0..ATTEMPTS {
            if let Some(done) = self.replay(cx).await? {
                return Ok(done);
            }
            let was = self.key_doc(cx, id).await?;
            if was.doc.key.revoked_ms.is_some() {
                let why = "make a new one";
                return Err(ServiceError::WrongState { what: "API key", state: "revoked", why });
            }
            let (mut doc, mut draft) = (was.doc.clone(), Draft::new());
            change(cx, &mut doc, &mut draft)?;
            draft.replace(cx, &was, &doc)?;
            if let Fate::Applied { .. } = self.commit(cx, draft, &doc.key).await? {
                return Ok(doc.key);
            }
        }
        Err(ServiceError::Contention)
    }
}

/// That the tenant's keys and tokens work.
pub(super) fn active(doc: &TenantDoc) -> Result<(), ServiceError> {
    match doc.tenant.state {
        TenantState::Active => Ok(()),
        TenantState::Suspended => {
            Err(ServiceError::Unauthenticated { code: "tenant_suspended", why: "the tenant is suspended" })
        }
    }
}
