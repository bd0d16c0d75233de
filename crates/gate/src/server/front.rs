//! [`Front`]: everything that serves under one configuration; [`Switch`]: the one that serves now. A request is answered by the
//! front that served when its head had come, to its end, however long that takes; the next one by the next.
//!
//! It accepts no connection: [`super::serve_switch`] does.

use std::convert::Infallible;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use farthing_protocol::ports::ClaimId;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::sync::watch;
use tokio::time::Instant;

use super::ServerOptions;
use super::activity::Activity;
use super::linger::linger;
use super::plain::Head;
use super::tls::Tls;
use crate::answer::{Answer, Offered, method_not_allowed, plain};
use crate::gate::Gate;
use crate::layer::{GateFuture, GateService};
use crate::observe::turned_away;
use crate::passing::{DeliveryBody, GateResponseBody};
use crate::proxy::{Caller, ClientAddr, Proxy, ProxyBody, is_host_text};
use crate::unpaid::Unpaid;

/// The path that says whether the server works.
pub const HEALTH_PATH: &str = "/healthz";

/// What serves under one configuration.
pub struct Front {
    pub(super) gate: Gate,
    pub(super) options: ServerOptions,
    pub(super) tls: Option<Tls>,
    pub(super) builder: auto::Builder<TokioExecutor>,
    proxy: Proxy,
    gated: GateService<Proxy>,
    /// Whether the store answered, and when it was asked.
    asked: Mutex<Option<(Instant, bool)>>,
}

/// How long an answer of the store's about its health is good for: everybody may ask, and paid calls are looked up there too.
const HEALTH_LASTS: Duration = Duration::from_secs(1);

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front")
            .field("options", &self.options)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// The front that serves now. Cheap to clone; all clones are one switch.
#[derive(Debug, Clone)]
pub struct Switch(Arc<watch::Sender<Arc<Front>>>);

impl Switch {
    /// A switch that begins with this front.
    #[must_use]
    pub fn new(front: Front) -> Self {
        Self(Arc::new(watch::Sender::new(Arc::new(front))))
    }

    /// Serves with `front` from now on: every request whose head comes later, and every connection. Requests in progress end
    /// where they began. Its gate has to be built with [`crate::GateBuilder::succeeds`], or one payment could be served by both.
    pub fn replace(&self, front: Front) {
        self.0.send_replace(Arc::new(front));
    }

    /// The gate that decides now.
    #[must_use]
    pub fn gate(&self) -> Gate {
        self.0.borrow().gate.clone()
    }

    pub(super) fn now(&self) -> Arc<Front> {
        Arc::clone(&self.0.borrow())
    }

    pub(super) fn changes(&self) -> watch::Receiver<Arc<Front>> {
        self.0.subscribe()
    }
}

pub(super) type FrontBody = GateResponseBody<ProxyBody>;
pub(super) type FrontFuture = GateFuture<Response<FrontBody>, Infallible>;

impl Front {
    /// A gate before a proxy, in the clear.
    #[must_use]
    pub fn new(gate: Gate, proxy: Proxy, options: ServerOptions) -> Self {
        let gated = GateService::new(gate.clone(), proxy.clone());
        let builder = connection_builder(&options);
        Self { builder, gate, options, tls: None, proxy, gated, asked: Mutex::default() }
    }

    /// The same over TLS.
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Answers a request from this caller.
    pub(super) fn answer(self: Arc<Self>, request: Request<Incoming>, caller: &Arc<Caller>) -> FrontFuture {
        if request.uri().path() == HEALTH_PATH {
            let method = request.method().clone();
            return GateFuture::later(
                async move { Ok(self.health(&method).await.map(GateResponseBody::Gate)) },
            );
        }
        // Before anything is paid for.
        if let Some(refused) = self.refused(&request) {
            turned_away(&self.gate, request.method(), &refused);
            drop(linger(request));
            return GateFuture::now(refused.map(|body| GateResponseBody::Service(DeliveryBody::free(body))));
        }
        self.gated.answer(linger(request), caller.client, |proxy| proxy.told(Arc::clone(caller)))
    }

    /// What a request is answered that its head says all about; none, and nothing told, where the gate or the proxy want more.
    pub(super) fn unpaid(&self, head: Head<'_>, client: ClientAddr) -> Option<Result<Offered, Box<Answer>>> {
        // What would be refused is not answered here; with no body and no upgrade, only the host is left to look at.
        let is_plain = head.lines <= self.options.max_headers && is_host_text(head.host);
        let request = Unpaid { path: head.path, headers: head.kept, client };
        if is_plain && request.path != HEALTH_PATH { self.gate.ask_at_once(&request) } else { None }
    }

    fn refused(&self, request: &Request<Incoming>) -> Option<Response<ProxyBody>> {
        // HTTP/1.1 has counted them; HTTP/2 counts bytes alone.
        if request.headers().len() > self.options.max_headers {
            let detail = format!("A request may have at most {} headers.", self.options.max_headers);
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return Some(plain(status, "too_many_headers", &detail).map(ProxyBody::own));
        }
        self.proxy.refuses(request)
    }

    /// Whether the store answers, or did so a moment ago.
    async fn store_is_well(&self) -> bool {
        let known = *self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, is_well)) = known
            && at.elapsed() < HEALTH_LASTS
        {
            return is_well;
        }
        let probe = ClaimId("healthz".to_owned());
        let answer = self.gate.inner().store.get(&probe).await;
        if let Err(error) = &answer {
            tracing::error!(%error, "the store does not answer");
        }
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), answer.is_ok()));
        answer.is_ok()
    }

    /// Whether the store answers, and which rails are configured.
    async fn health(&self, method: &Method) -> Response<Full<Bytes>> {
        if method != Method::GET && method != Method::HEAD {
            return method_not_allowed(&[Method::GET, Method::HEAD]);
        }
        let store_is_well = self.store_is_well().await;
        let word = if store_is_well { "ok" } else { "failing" };
        let rails: Vec<&str> = self.gate.rails().collect();
        let body = serde_json::json!({ "status": word, "store": word, "rails": rails });
        let mut response = Response::new(Full::from(body.to_string()));
        if !store_is_well {
            *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        }
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

fn connection_builder(options: &ServerOptions) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        // What waits for a head is closed by `activity`, which arms no timer for every request.
        .header_read_timeout(None)
        .max_buf_size(options.max_header_bytes.max(8192))
        .max_headers(options.max_headers);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(options.max_header_bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(options.max_streams.min(Activity::MOST_REQUESTS))
        .keep_alive_interval(Some(Duration::from_secs(30)));
    builder
}
