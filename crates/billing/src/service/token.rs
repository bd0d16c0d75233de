//! [`Token`]: a secret that lets an agent spend one budget, or make budgets and tokens below it, and nothing else; and
//! [`Authority`], in whose name something is asked. What a token means is [`crate::budget::delegation`]'s; here its secret is kept,
//! as a hash, and it is found and revoked.

use std::collections::BTreeSet;

use farthing_ledger::Timestamp;
use farthing_ledger::record::Table;
use farthing_money::Amount;
use serde::{Deserialize, Serialize};

use super::budget::{check_counterparties, counterparties};
use super::document::{read_document, record_key, stored};
use super::key::{Holder, active};
use super::names::{self, Named as _};
use super::tenant::TenantDoc;
use super::{
    ATTEMPTS, Billing, Cx, Document, Draft, Fate, Page, PageQuery, Secret, ServiceError, Stored, TenantId,
    input, secret,
};
use crate::budget::Path;
use crate::budget::delegation::{Action, Attenuation, Chain, Delegation, DelegationState, Wish};
use crate::id::{BudgetId, DelegationId};

/// How a token begins.
pub const PREFIX: &str = "ft";

/// In whose name something is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authority {
    /// The wallet's owner: a program with an API key.
    Owner,
    /// Whoever presents a token of a budget.
    Token(Box<Presented>),
}

/// A token that was presented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// Whose it is.
    pub tenant: TenantId,
    /// Which.
    pub id: DelegationId,
    /// The budget that it is for.
    pub budget: BudgetId,
    /// It, and all from which it was made.
    pub chain: Chain,
}

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Token {
    /// Its name.
    #[serde(with = "names::text")]
    pub id: DelegationId,
    /// The budget that it is for.
    #[serde(with = "names::text")]
    pub budget: BudgetId,
    /// The tokens from which it was made, the nearest first; none when the owner made it.
    #[serde(with = "names::many")]
    pub ancestors: Vec<DelegationId>,
    /// A name for people.
    pub name: Option<String>,
    /// What may be done with it.
    pub actions: BTreeSet<Action>,
    /// From this instant on, nothing.
    pub expires_ms: u64,
    /// The most that one call may cost.
    pub per_call: Option<Amount>,
    /// Who may be paid; missing for anybody whom the budget allows.
    pub counterparties: Option<Vec<String>>,
    /// Whether it counts.
    pub state: DelegationState,
    /// When it was made.
    pub created_ms: u64,
}

/// A token to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// The budget that it is for.
    #[serde(with = "names::text")]
    #[cfg_attr(feature = "schema", schemars(with = "crate::service::schema::IdText<BudgetId>"))]
    pub budget: BudgetId,
    /// A name for people.
    #[serde(default)]
    pub name: Option<String>,
    /// What may be done with it.
    pub actions: BTreeSet<Action>,
    /// From this instant on, nothing.
    pub expires_ms: u64,
    /// The most that one call may cost.
    #[serde(default)]
    pub per_call: Option<Amount>,
    /// Who may be paid; left out for anybody whom the budget allows.
    #[serde(default)]
    pub counterparties: Option<Vec<String>>,
}

/// A token as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct TokenDoc {
    #[serde(flatten)]
    token: Token,
    /// Of the secret.
    hash: String,
}

impl Document for TokenDoc {
    const TABLE: Table = Table::new("token");
    const NAME: &'static str = "token";
}

/// That a token is for a budget. The keys say all.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct OfBudget {}

impl Document for OfBudget {
    const TABLE: Table = Table::new("token_of_budget");
    const NAME: &'static str = "list of tokens";
}

const UNKNOWN: ServiceError =
    ServiceError::Unauthenticated { code: "token_unknown", why: "there is no such token" };

impl Authority {
    /// Whether `wish` may be asked of the budget at the end of `path`.
    ///
    /// # Errors
    /// [`ServiceError::Delegation`].
    pub fn check(&self, path: &Path, wish: &Wish, now: Timestamp) -> Result<(), ServiceError> {
        match self {
            Self::Owner => Ok(()),
            Self::Token(token) => Ok(token.chain.authorise(path, wish, now)?),
        }
    }

    /// The token's name, if it is one.
    #[must_use]
    pub fn token(&self) -> Option<DelegationId> {
        match self {
            Self::Owner => None,
            Self::Token(token) => Some(token.id),
        }
    }

    /// That it is the owner.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] with the code `token_denied`.
    pub fn owner(&self) -> Result<(), ServiceError> {
        match self {
            Self::Owner => Ok(()),
            Self::Token(_) => {
                Err(ServiceError::Forbidden { code: "token_denied", why: "no token may do this".to_owned() })
            }
        }
    }
}

impl From<Presented> for Authority {
    fn from(token: Presented) -> Self {
        Self::Token(Box::new(token))
    }
}

impl Token {
    fn delegation(&self) -> Delegation {
        let allows = Attenuation {
            budget: self.budget,
            expires: Timestamp::from_unix_ms(self.expires_ms),
            actions: self.actions.clone(),
            per_call: self.per_call,
            counterparties: counterparties(self.counterparties.as_deref()),
        };
        Delegation { id: self.id, parent: self.ancestors.first().copied(), allows, state: self.state }
    }
}

impl Billing {
    /// Makes a token whose secret is `secret`: present it once ([`Secret::present`] with [`PREFIX`]), it is not kept. In the name
    /// of a token it can allow no more than that one.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`], [`ServiceError::NotFound`], [`ServiceError::Delegation`]; [`ServiceError::AlreadyExists`] for a
    /// secret that was used; and the store's.
    pub async fn create_token(
        &self,
        cx: &Cx,
        by: &Authority,
        new: &NewToken,
        secret: &Secret,
    ) -> Result<Token, ServiceError> {
        check(new)?;
        if let Some(done) = self.replay(cx).await? {
            return Ok(done);
        }
        input::later("expires_ms", Some(new.expires_ms), cx.now)?;
        let path = self.load_budget(cx, new.budget).await?.path;
        let ancestors = match by {
            Authority::Owner => Vec::new(),
            Authority::Token(token) => token.chain.delegations().iter().map(|made| made.id).collect(),
        };
        let NewToken { budget, name, actions, expires_ms, per_call, counterparties } = new.clone();
        let token = Token {
            id: DelegationId::from(cx.id),
            budget,
            ancestors,
            name,
            actions,
            expires_ms,
            per_call,
            counterparties,
            state: DelegationState::Live,
            created_ms: cx.now.unix_ms(),
        };
        if let Authority::Token(from) = by {
            from.chain.narrow((token.id, token.delegation().allows), &path, cx.now)?;
        }
        let doc = TokenDoc { token: token.clone(), hash: secret.hash() };
        let mut draft = Draft::new();
        draft.create(cx, &token.id.text(), &doc)?;
        draft.create(cx, &format!("{}/{}", budget.text(), token.id.text()), &OfBudget {})?;
        draft.create(&cx.operator(), &doc.hash, &Holder { tenant: cx.tenant, id: token.id.text() })?;
        let name = ("token", token.id.text());
        self.commit_new(cx, draft, token, name).await
    }

    /// Lets a token, and all that were made from it, do nothing any more. In the name of a token: itself, and what was made from it.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Forbidden`], and the store's.
    pub async fn revoke_token(
        &self,
        cx: &Cx,
        by: &Authority,
        id: DelegationId,
    ) -> Result<Token, ServiceError> {
        for _ in 0..ATTEMPTS {
            if let Some(done) = self.replay(cx).await? {
                return Ok(done);
            }
            let was = self.get::<TokenDoc>(cx, &id.text()).await?;
            if by.token().is_some_and(|mine| mine != id && !was.doc.token.ancestors.contains(&mine)) {
                by.owner()?;
            }
            by.check(&self.load_budget(cx, was.doc.token.budget).await?.path, &Wish::Read, cx.now)?;
            if was.doc.token.state == DelegationState::Revoked {
                return Ok(was.doc.token);
            }
            let mut doc = was.doc.clone();
            doc.token.state = DelegationState::Revoked;
            let mut draft = Draft::new();
            draft.replace(cx, &was, &doc)?;
            if let Fate::Applied { .. } = self.commit(cx, draft, &doc.token).await? {
                return Ok(doc.token);
            }
        }
        Err(ServiceError::Contention)
    }

    /// The token.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], and the store's.
    pub async fn token(&self, cx: &Cx, id: DelegationId) -> Result<Token, ServiceError> {
        Ok(self.get::<TokenDoc>(cx, &id.text()).await?.doc.token)
    }

    /// The tokens for a budget, the newest first unless the page says otherwise.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Delegation`], and the store's.
    pub async fn list_tokens(
        &self,
        cx: &Cx,
        by: &Authority,
        budget: BudgetId,
        page: &PageQuery,
    ) -> Result<Page<Token>, ServiceError> {
        by.check(&self.load_budget(cx, budget).await?.path, &Wish::Read, cx.now)?;
        let list = format!("{}/", budget.text());
        let after = page.after.as_ref().map(|after| format!("{list}{after}"));
        let query = PageQuery { after, limit: page.limit.min(500), order: page.order };
        let found = self.list::<OfBudget>(cx, &list, &query).await?;
        let name = |key: &str| key.rsplit('/').next().map(str::to_owned);
        let ids = found.data.iter().filter_map(|listed| name(&listed.key));
        let keys: Vec<_> = ids.map(|id| record_key::<TokenDoc>(cx.tenant, &id)).collect();
        let mut data = Vec::with_capacity(keys.len());
        for record in self.store().records(&keys).await?.into_iter().flatten() {
            data.push(stored::<TokenDoc>(cx.tenant, &record)?.doc.token);
        }
        Ok(Page { data, next: found.next.as_deref().and_then(name) })
    }

    /// Whose token is presented. That it is revoked or has run out is said when something is asked with it.
    ///
    /// # Errors
    /// [`ServiceError::Unauthenticated`] with the code `token_unknown` or `tenant_suspended`; [`ServiceError::Delegation`] for a
    /// chain that is broken; and the store's.
    pub async fn present_token(&self, presented: &str) -> Result<Presented, ServiceError> {
        let hash = Secret::read(PREFIX, presented).ok_or(UNKNOWN)?.hash();
        let (tenant, [record, tenant_doc]) = self.holder::<TokenDoc>(&hash).await?.ok_or(UNKNOWN)?;
        let TokenDoc { token, hash: kept } = read_document(&record)?;
        if !secret::same_hash(&kept, &hash) {
            return Err(UNKNOWN);
        }
        active(&read_document::<TenantDoc>(&tenant_doc)?)?;
        self.with_chain(tenant, &token).await
    }

    /// The token that made a signature, and what it spends: for a seller of the tenant's that was shown it instead of the token.
    /// `signature` is HMAC-SHA256 over `message`, keyed by [`Secret::hash`], as 64 hexadecimal digits. Whether the token may spend is
    /// said when something is asked in its name.
    ///
    /// # Errors
    /// [`ServiceError::Unauthenticated`] with the code `token_unknown`, or `prepaid_bad_signature` when it is not the token's;
    /// [`ServiceError::Delegation`] for a chain that is broken; and the store's.
    pub async fn signed_by_token(
        &self,
        cx: &Cx,
        id: DelegationId,
        (message, signature): (&str, &str),
    ) -> Result<Presented, ServiceError> {
        let found = self.find::<TokenDoc>(cx, &id.text()).await?.ok_or(UNKNOWN)?;
        if !secret::signed_with(&found.doc.hash, message, signature) {
            return Err(ServiceError::Unauthenticated {
                code: "prepaid_bad_signature",
                why: "the signature is not the token's, or was made for another message",
            });
        }
        self.with_chain(cx.tenant, &found.doc.token).await
    }

    async fn with_chain(&self, tenant: TenantId, token: &Token) -> Result<Presented, ServiceError> {
        let keys: Vec<_> =
            token.ancestors.iter().map(|id| record_key::<TokenDoc>(tenant, &id.text())).collect();
        let mut chain = vec![token.delegation()];
        for record in self.store().records(&keys).await?.into_iter().flatten() {
            let above: Stored<TokenDoc> = stored(tenant, &record)?;
            chain.push(above.doc.token.delegation());
        }
        Ok(Presented { tenant, id: token.id, budget: token.budget, chain: Chain::new(chain)? })
    }
}

fn check(new: &NewToken) -> Result<(), ServiceError> {
    input::maybe("name", new.name.as_ref(), 200)?;
    check_counterparties(new.counterparties.as_ref())?;
    if new.actions.is_empty() {
        return Err(ServiceError::invalid("actions", "at least one"));
    }
    Ok(())
}
