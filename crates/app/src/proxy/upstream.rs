//! [`Upstream`]: the ways to servers: one that pays, one that does not, and one for connections that change their protocol. None
//! follows a redirect, uses another proxy, or accepts a certificate that is not valid.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use farthing_client::{Agent, AgentError, Payment, PaymentMiddleware, describe};
use reqwest::{Certificate, Client, ClientBuilder, Request, Response};
use reqwest_middleware::ClientWithMiddleware;
use rustls::pki_types::CertificateDer;

use super::ca;
use super::guard::{CONNECT_TIMEOUT, Guard};
use super::seen::{Seen, Watch};

/// How long an idle connection to a server is kept.
const IDLE: Duration = Duration::from_secs(60);
/// How long a server may take to begin an answer that is not paid for.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);

/// The certificates by which servers are known.
#[derive(Debug, Clone, Default)]
pub struct Trust {
    /// Those of this machine.
    pub machine: Vec<CertificateDer<'static>>,
    /// Those that were named besides.
    pub more: Vec<CertificateDer<'static>>,
}

impl Trust {
    /// Adjusts a client: the platform's own judgement, unless the environment mixes a proxy's certificate into it.
    fn apply(&self, builder: ClientBuilder) -> ClientBuilder {
        let certificates = |list: &[CertificateDer<'static>]| -> Vec<Certificate> {
            list.iter()
                .filter(|der| !ca::is_ours(der))
                .filter_map(|der| Certificate::from_der(der).ok())
                .collect()
        };
        let more = certificates(&self.more);
        if self.machine.iter().any(ca::is_ours) {
            return builder.tls_certs_only(certificates(&self.machine).into_iter().chain(more));
        }
        if more.is_empty() { builder } else { builder.tls_certs_merge(more) }
    }
}

/// An HTTP client's settings, for payments and for the rest alike.
pub fn transport(guard: Guard, trust: &Trust) -> ClientBuilder {
    let builder = Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(32)
        .dns_resolver(Arc::new(guard));
    trust.apply(builder)
}

/// Why a call that is not paid failed.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub struct Unanswered {
    /// What went wrong.
    pub why: String,
}

/// The ways to servers.
#[derive(Clone)]
pub struct Upstream {
    paying: ClientWithMiddleware,
    plain: Client,
    upgrading: Client,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").finish_non_exhaustive()
    }
}

impl Upstream {
    /// `agent` was built with [`transport`], as the others are here.
    ///
    /// # Errors
    /// When an HTTP client cannot be set up.
    pub fn new(agent: Agent, guard: Guard, trust: &Trust) -> Result<Self, reqwest::Error> {
        Ok(Self {
            paying: PaymentMiddleware::client(agent).with(Watch).build(),
            plain: transport(guard, trust).build()?,
            upgrading: transport(guard, trust).http1_only().build()?,
        })
    }

    /// Sends, pays at most once, and keeps in `seen` what the agent does not hand on.
    ///
    /// # Errors
    /// [`AgentError`].
    pub async fn pay(&self, request: Request, seen: Seen) -> Result<(Response, Option<Payment>), AgentError> {
        let mut extensions = http::Extensions::new();
        extensions.insert(seen);
        let sent = self.paying.execute_with_extensions(request, &mut extensions).await;
        let response = sent.map_err(|error| match error {
            reqwest_middleware::Error::Middleware(error) => match error.downcast::<AgentError>() {
                Ok(error) => error,
                Err(error) => AgentError::Network { why: error.to_string() },
            },
            reqwest_middleware::Error::Reqwest(error) => {
                AgentError::Network { why: describe(&error.without_url()) }
            }
        })?;
        let payment = response.extensions().get::<Payment>().cloned();
        Ok((response, payment))
    }

    /// Sends and does not pay.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn send(&self, request: Request) -> Result<Response, Unanswered> {
        begin(self.plain.execute(request)).await
    }

    /// Sends over HTTP/1.1, so that the connection can change its protocol.
    ///
    /// # Errors
    /// [`Unanswered`].
    pub async fn send_upgradable(&self, request: Request) -> Result<Response, Unanswered> {
        begin(self.upgrading.execute(request)).await
    }
}

async fn begin(sending: impl Future<Output = reqwest::Result<Response>>) -> Result<Response, Unanswered> {
    match tokio::time::timeout(ANSWER_TIMEOUT, sending).await {
        Ok(sent) => sent.map_err(|error| Unanswered { why: describe(&error.without_url()) }),
        Err(_) => Err(Unanswered { why: format!("no answer within {} s", ANSWER_TIMEOUT.as_secs()) }),
    }
}
