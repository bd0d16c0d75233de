//! [`Endpoint`]: an address that is told of events, which ones, and with which secrets.

use farthing_ledger::record::{Order, Table};
use serde::{Deserialize, Serialize};

use super::super::event::EventKind;
use super::super::{
    ATTEMPTS, Billing, Cx, Document, Draft, Fate, Page, PageQuery, ServiceError, Stored, id_text,
};
use super::Secret;

/// The most endpoints of one tenant.
pub const MAX_ENDPOINTS: usize = 16;

const LONGEST_URL: usize = 2_048;
const LONGEST_DESCRIPTION: usize = 256;

/// Whether an endpoint is told of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum EndpointState {
    /// It is.
    Enabled,
    /// Its owner does not want it now.
    Disabled,
    /// It answered 410: it is not, until its owner enables it.
    Gone,
}

/// A secret, and until when it signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SigningSecret {
    /// The secret.
    pub secret: Secret,
    /// `None`: until it is replaced.
    pub until_ms: Option<u64>,
}

/// An address that is told of events. Not as the API shows it: it has the secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Endpoint {
    /// Its name: `whk_…`.
    pub id: String,
    /// Where events are posted to.
    pub url: String,
    /// What it is told of; empty: everything.
    pub kinds: Vec<EventKind>,
    /// What its owner notes.
    pub description: String,
    /// Whether it is told.
    pub state: EndpointState,
    /// The newest first; the others sign beside it until their time is up.
    pub secrets: Vec<SigningSecret>,
    /// When it was made.
    pub created_ms: u64,
    /// When it was changed last.
    pub updated_ms: u64,
}

impl Document for Endpoint {
    const TABLE: Table = Table::new("webhook");
    const NAME: &'static str = "webhook endpoint";
}

impl Endpoint {
    /// Whether it is told of what happened.
    #[must_use]
    pub fn wants(&self, kind: EventKind) -> bool {
        self.is_enabled() && (self.kinds.is_empty() || self.kinds.contains(&kind))
    }

    /// Whether it is told of anything at all.
    pub(super) fn is_enabled(&self) -> bool {
        self.state == EndpointState::Enabled
    }

    /// The secrets that sign at `now_ms`.
    pub fn signing(&self, now_ms: u64) -> impl Iterator<Item = &Secret> {
        let counts = move |secret: &&SigningSecret| secret.until_ms.is_none_or(|until| now_ms < until);
        self.secrets.iter().filter(counts).map(|secret| &secret.secret)
    }
}

/// What an endpoint is to be. Whether its address may be connected to is checked when it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEndpoint {
    /// Where events are posted to.
    pub url: String,
    /// What it is told of; empty: everything.
    pub kinds: Vec<EventKind>,
    /// What its owner notes.
    pub description: String,
    /// What signs.
    pub secret: Secret,
}

/// What is to be changed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Change {
    /// Where events are posted to.
    pub url: Option<String>,
    /// What it is told of.
    pub kinds: Option<Vec<EventKind>>,
    /// What its owner notes.
    pub description: Option<String>,
    /// Whether it is told: `Some(true)` enables it, also one that was gone.
    pub enabled: Option<bool>,
}

impl Billing {
    /// Makes an endpoint, which is told of everything that is committed from now on.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`], also when the tenant has [`MAX_ENDPOINTS`]; [`ServiceError::Store`].
    pub async fn create_webhook(&self, cx: &Cx, new: &NewEndpoint) -> Result<Endpoint, ServiceError> {
        check(&new.url, &new.description)?;
        let endpoint = Endpoint {
            id: id_text("whk", cx.id.as_u128()),
            url: new.url.clone(),
            kinds: new.kinds.clone(),
            description: new.description.clone(),
            state: EndpointState::Enabled,
            secrets: vec![SigningSecret { secret: new.secret.clone(), until_ms: None }],
            created_ms: cx.now.unix_ms(),
            updated_ms: cx.now.unix_ms(),
        };
        for _ in 0..ATTEMPTS {
            if let Some(done) = self.replay(cx).await? {
                return Ok(done);
            }
            if self.webhooks(cx).await?.len() >= MAX_ENDPOINTS {
                let why = format!("a tenant has at most {MAX_ENDPOINTS} webhook endpoints: delete one first");
                return Err(ServiceError::invalid("url", why));
            }
            let mut draft = Draft::new();
            draft.create(cx, &endpoint.id, &endpoint)?;
            if let Fate::Applied { .. } = self.commit(cx, draft, &endpoint).await? {
                return Ok(endpoint);
            }
        }
        Err(ServiceError::Contention)
    }

    /// The endpoint with this name.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Store`].
    pub async fn webhook(&self, cx: &Cx, id: &str) -> Result<Stored<Endpoint>, ServiceError> {
        self.get::<Endpoint>(cx, id).await
    }

    /// Every endpoint of the tenant, the oldest first.
    ///
    /// # Errors
    /// [`ServiceError::Store`].
    pub async fn webhooks(&self, cx: &Cx) -> Result<Vec<Stored<Endpoint>>, ServiceError> {
        // Two who make the last one at once make one more: the page has room for that.
        let page = PageQuery { after: None, limit: MAX_ENDPOINTS * 2, order: Order::Ascending };
        let Page { data, .. } = self.list::<Endpoint>(cx, "", &page).await?;
        Ok(data)
    }

    /// Changes an endpoint.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Invalid`], [`ServiceError::Store`].
    pub async fn change_webhook(&self, cx: &Cx, id: &str, change: &Change) -> Result<Endpoint, ServiceError> {
        check(
            change.url.as_deref().unwrap_or("https://"),
            change.description.as_deref().unwrap_or_default(),
        )?;
        self.alter(cx, id, |endpoint| {
            let Change { url, kinds, description, enabled } = change.clone();
            endpoint.url = url.unwrap_or_else(|| endpoint.url.clone());
            endpoint.kinds = kinds.unwrap_or_else(|| endpoint.kinds.clone());
            endpoint.description = description.unwrap_or_else(|| endpoint.description.clone());
            match enabled {
                Some(true) => endpoint.state = EndpointState::Enabled,
                Some(false) => endpoint.state = EndpointState::Disabled,
                None => {}
            }
        })
        .await
    }

    /// Signs with `secret` from now on, and for `overlap_ms` more with what signed before, so that the receiver can change over.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Store`].
    pub async fn rotate_webhook_secret(
        &self,
        cx: &Cx,
        id: &str,
        secret: &Secret,
        overlap_ms: u64,
    ) -> Result<Endpoint, ServiceError> {
        let now = cx.now.unix_ms();
        self.alter(cx, id, |endpoint| {
            let ends = now.saturating_add(overlap_ms);
            let mut secrets = vec![SigningSecret { secret: secret.clone(), until_ms: None }];
            for before in &endpoint.secrets {
                let until = before.until_ms.map_or(ends, |until| until.min(ends));
                // Only the last one signs on: a header with ever more signatures helps nobody.
                if until > now && secrets.len() < 2 {
                    secrets.push(SigningSecret { secret: before.secret.clone(), until_ms: Some(until) });
                }
            }
            endpoint.secrets = secrets;
        })
        .await
    }

    /// Forgets an endpoint. What was still to be told is not told any more.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`], [`ServiceError::Store`].
    pub async fn delete_webhook(&self, cx: &Cx, id: &str) -> Result<(), ServiceError> {
        for _ in 0..ATTEMPTS {
            if let Some(done) = self.replay(cx).await? {
                return Ok(done);
            }
            let was = self.webhook(cx, id).await?;
            let mut draft = Draft::new();
            draft.delete(cx, &was);
            if let Fate::Applied { .. } = self.commit(cx, draft, &()).await? {
                return Ok(());
            }
        }
        Err(ServiceError::Contention)
    }

    async fn alter(
        &self,
        cx: &Cx,
        id: &str,
        change: impl Fn(&mut Endpoint) + Send,
    ) -> Result<Endpoint, ServiceError> {
        for _ in 0..ATTEMPTS {
            if let Some(done) = self.replay(cx).await? {
                return Ok(done);
            }
            let was = self.webhook(cx, id).await?;
            let mut endpoint = was.doc.clone();
            change(&mut endpoint);
            endpoint.updated_ms = cx.now.unix_ms();
            let mut draft = Draft::new();
            draft.replace(cx, &was, &endpoint)?;
            if let Fate::Applied { .. } = self.commit(cx, draft, &endpoint).await? {
                return Ok(endpoint);
            }
        }
        Err(ServiceError::Contention)
    }
}

fn check(url: &str, description: &str) -> Result<(), ServiceError> {
    let http = url.starts_with("https://") || url.starts_with("http://");
    if !http || url.len() > LONGEST_URL || url.chars().any(|c| c.is_control() || c.is_whitespace()) {
        let why = format!("an http address of at most {LONGEST_URL} bytes, without spaces");
        return Err(ServiceError::invalid("url", why));
    }
    if description.len() > LONGEST_DESCRIPTION || description.chars().any(char::is_control) {
        let why = format!("at most {LONGEST_DESCRIPTION} bytes without control characters");
        return Err(ServiceError::invalid("description", why));
    }
    Ok(())
}
