//! [`BillingClient`]: a billing service over HTTP. Every change has an idempotency key, so that it may be asked for again.

use std::time::Duration;

use http::Method;
use http::header::AUTHORIZATION;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::Url;
use zeroize::Zeroizing;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// The longest answer that is read, in bytes.
const MOST_BYTES: usize = 1 << 20;

/// Why the service did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BillingError {
    /// It says no, and would again.
    #[error("{detail} ({code})")]
    Refused {
        /// Its stable code.
        code: String,
        /// Its words.
        detail: String,
        /// The status.
        status: u16,
    },
    /// It did not answer, or not so that it could be understood: it may have happened.
    #[error("the billing service did not answer: {why}")]
    Unavailable {
        /// What went wrong, without a secret.
        why: String,
    },
}

/// A billing service, and who asks.
#[derive(Clone)]
pub struct BillingClient {
    base: Url,
    http: reqwest::Client,
    key: HeaderValue,
}

impl std::fmt::Debug for BillingClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BillingClient").field("base", &self.base.as_str()).finish_non_exhaustive()
    }
}

impl BillingClient {
    /// The service at `base`, asked with an API key or a token.
    ///
    /// # Errors
    /// In words, what is wrong with either.
    pub fn new(base: &Url, key: &str) -> Result<Self, String> {
        let loopback =
            base.host_str().is_some_and(|host| matches!(host, "localhost" | "127.0.0.1" | "[::1]"));
        if base.scheme() != "https" && !(base.scheme() == "http" && loopback) {
            return Err(format!(
                "{base} would carry the key in the clear: use https, or a service on this machine"
            ));
        }
        let value = Zeroizing::new(format!("Bearer {key}"));
        let mut key =
            HeaderValue::from_str(&value).map_err(|_| "the key is not one line of plain text".to_owned())?;
        key.set_sensitive(true);
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(PATIENCE)
            .user_agent(concat!("farthing/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| farthing_client::describe(&error))?;
        Ok(Self { base: base.clone(), http, key })
    }

    /// Where it is.
    pub const fn base(&self) -> &Url {
        &self.base
    }

    /// Reads something. `None` when there is no such thing.
    ///
    /// # Errors
    /// [`BillingError`].
    pub async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Option<T>, BillingError> {
        let mut url = self.url(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self.http.request(Method::GET, url).header(AUTHORIZATION, self.key.clone());
        match self.answer(request).await {
            Ok(value) => read(value).map(Some),
            Err(BillingError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The decimals of an asset. `None` when there is no such asset.
    ///
    /// # Errors
    /// [`BillingError`].
    pub async fn scale(&self, asset: &str) -> Result<Option<u8>, BillingError> {
        #[derive(Deserialize)]
        struct AssetOf {
            scale: u8,
        }
        let found: Option<AssetOf> = self.get(&["assets", asset], &[]).await?;
        Ok(found.map(|asset| asset.scale))
    }

    /// Changes something, once for each `once`.
    ///
    /// # Errors
    /// [`BillingError`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        once: &str,
        body: &Value,
    ) -> Result<T, BillingError> {
        let request = self
            .http
            .request(Method::POST, self.url(path))
            .header(AUTHORIZATION, self.key.clone())
            .header("Idempotency-Key", key(once))
            .json(body);
        read(self.answer(request).await?)
    }

    /// Ids and names may have any character: each is one segment.
    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        url
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> Result<Value, BillingError> {
        let unavailable = |error: reqwest::Error| BillingError::Unavailable {
            why: farthing_client::describe(&error.without_url()),
        };
        let mut response = request.send().await.map_err(unavailable)?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(unavailable)? {
            if bytes.len() + chunk.len() > MOST_BYTES {
                return Err(BillingError::Unavailable { why: "its answer is too long".to_owned() });
            }
            bytes.extend_from_slice(&chunk);
        }
        let value: Value = match serde_json::from_slice(&bytes) {
            Ok(value) => value,
            Err(_) => return Err(BillingError::Unavailable { why: format!("status {status}, and no JSON") }),
        };
        if status.is_success() {
            return Ok(value);
        }
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        // A fault of the server's, or too many requests: the same call may succeed later.
        if status.is_server_error() || status.as_u16() == 429 {
            return Err(BillingError::Unavailable { why: format!("status {status}: {}", text("detail")) });
        }
        Err(BillingError::Refused { code: text("code"), detail: text("detail"), status: status.as_u16() })
    }
}

/// A call's name may have any character and any length; the key is a hash of it.
fn key(once: &str) -> String {
    format!("farthing-{}", hex::encode(Sha256::digest(once)))
}

fn read<T: DeserializeOwned>(value: Value) -> Result<T, BillingError> {
    serde_json::from_value(value).map_err(|error| BillingError::Unavailable {
        why: format!("its answer is not what this version reads: {error}"),
    })
}
