//! One request to the upstream, and its answer.

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tower_service::Service;

use super::headers::{Conditions, is_own, strip_conditions, to_client, to_upstream};
use super::link::Driver;
use super::pool::{Lease, Pool, SendError};
use super::refuse::refusal;
use super::stream::{ProxyBody, Upload, UploadBody, UploadFailure, UploadWatch};
use super::{Caller, ClientAddr, ProxyError, ProxyOptions};
use crate::answer::{Answer, plain};
use crate::body::BoxError;
use crate::delivery::PaidBy;

/// Forwards requests to one upstream. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Proxy {
    inner: Arc<Inner>,
    /// Where the one request came from that this clone is for. It was looked at then.
    told: Option<Arc<Caller>>,
}

struct Inner {
    options: ProxyOptions,
    /// The upstream's own name, as `Host` has it.
    host: HeaderValue,
    base: String,
    pool: Arc<Pool>,
}

/// A request that can be sent.
struct Prepared {
    /// Until it is.
    request: Option<Request<UploadBody>>,
    upload: Option<Arc<Upload>>,
    conditions: Conditions,
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("options", &self.inner.options).finish_non_exhaustive()
    }
}

impl Proxy {
    /// A proxy with these options.
    ///
    /// # Errors
    /// [`ProxyError`]: the first option that is wrong.
    pub fn new(options: ProxyOptions) -> Result<Self, ProxyError> {
        let parts = options.upstream.clone().into_parts();
        let (Some(scheme), Some(authority)) = (parts.scheme, parts.authority) else {
            return Err(ProxyError::BadUpstream);
        };
        let has_query = parts.path_and_query.as_ref().is_some_and(|path| path.query().is_some());
        let web = scheme == Scheme::HTTP || scheme == Scheme::HTTPS;
        if !web || has_query || authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(ProxyError::BadUpstream);
        }
        if let Some(injected) = options.inject.iter().find(|injected| is_own(&injected.name)) {
            return Err(ProxyError::BadInjected { name: injected.name.clone() });
        }
        for (name, ms) in [
            ("connect_timeout_ms", options.connect_timeout_ms),
            ("head_timeout_ms", options.head_timeout_ms),
            ("idle_timeout_ms", options.idle_timeout_ms),
        ] {
            if ms == 0 {
                return Err(ProxyError::Zero { name });
            }
        }
        let path = parts.path_and_query.as_ref().map_or("", PathAndQuery::path);
        let base = path.trim_end_matches('/').to_owned();
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| ProxyError::BadUpstream)?;
        let pool = Pool::new(
            options.upstream.clone(),
            Duration::from_millis(options.connect_timeout_ms),
            Duration::from_millis(options.head_timeout_ms),
        )?;
        Ok(Self { inner: Arc::new(Inner { options, host, base, pool }), told: None })
    }

    /// A clone for one request, which came from `caller` and which [`Self::refuses`] was asked about.
    pub(crate) fn told(&self, caller: Arc<Caller>) -> Self {
        Self { inner: Arc::clone(&self.inner), told: Some(caller) }
    }

    /// What is refused whatever it costs, so that nobody pays for it: tunnels, upgrades to another protocol, traces, bodies
    /// that are announced too large or framed in another way than by length or chunks, and any number of hosts but one.
    #[must_use]
    pub fn refuses<B>(&self, request: &Request<B>) -> Option<Response<ProxyBody>> {
        refusal(request, self.inner.options.max_request_body_bytes).map(|answer| answer.map(ProxyBody::own))
    }

    /// What there is to send, or an answer at once.
    fn prepare<B>(&self, request: Request<B>) -> Result<Prepared, Box<Response<ProxyBody>>>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        if self.told.is_none()
            && let Some(answer) = self.refuses(&request)
        {
            return Err(Box::new(answer));
        }
        let caller = self.told.clone().or_else(|| {
            let ClientAddr(address) = request.extensions().get()?;
            Some(Arc::new(Caller::new(*address)))
        });
        // Nothing can go wrong with a body that is not there.
        let upload = (!request.body().is_end_stream()).then(Arc::<Upload>::default);
        let conditions = conditions(request.method(), request.extensions());
        let Some(request) = self.inner.outgoing(request, caller.as_deref(), upload.as_ref()) else {
            let detail = "The request's target is not a URL.";
            let answer = plain(StatusCode::BAD_REQUEST, "bad_target", detail);
            return Err(Box::new(answer.map(ProxyBody::own)));
        };
        Ok(Prepared { request: Some(request), upload, conditions })
    }

    async fn forward(&self, prepared: &mut Prepared) -> Response<ProxyBody> {
        let options = &self.inner.options;
        let Prepared { request, upload, conditions } = prepared;
        match self.inner.send(request, upload.as_deref()).await {
            Ok((response, lease)) => {
                let idle = Duration::from_millis(options.idle_timeout_ms);
                let mut answered =
                    answer(response, *conditions, |body| ProxyBody::upstream(body, idle, lease));
                if let Some(upload) = upload.take() {
                    answered.extensions_mut().insert(UploadWatch(upload));
                }
                answered
            }
            Err(answer) => answer.map(ProxyBody::own),
        }
    }
}

impl Inner {
    /// The request as the upstream gets it; none for a target that is not a URL.
    fn outgoing<B>(
        &self,
        request: Request<B>,
        caller: Option<&Caller>,
        upload: Option<&Arc<Upload>>,
    ) -> Option<Request<UploadBody>>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (mut parts, body) = request.into_parts();
        if conditions(&parts.method, &parts.extensions) == Conditions::Strip {
            strip_conditions(&mut parts.headers);
        }
        // HTTP/2, and HTTP/1.1 in absolute form, name the host in the target; it wins (RFC 9112, section 3.2.2).
        if let Some(host) = parts.uri.authority().and_then(|a| HeaderValue::from_str(host_of(a)).ok()) {
            parts.headers.insert(HOST, host);
        }
        to_upstream(&mut parts.headers, &self.options, &self.host, caller);
        let uri = self.target(&parts.uri)?;
        let body = match upload {
            Some(upload) => {
                let idle = Duration::from_millis(self.options.idle_timeout_ms);
                let body = body.map_err(Into::into).boxed_unsync();
                UploadBody::new(body, self.options.max_request_body_bytes, idle, Arc::clone(upload))
            }
            None => UploadBody::empty(),
        };
        let mut outgoing = Request::new(body);
        *outgoing.method_mut() = parts.method;
        *outgoing.uri_mut() = uri;
        *outgoing.version_mut() = Version::HTTP_11;
        *outgoing.headers_mut() = parts.headers;
        Some(outgoing)
    }

    /// What is asked for, below the upstream's path, in origin form.
    fn target(&self, asked: &Uri) -> Option<Uri> {
        let asked = asked.path_and_query();
        let mut parts = http::uri::Parts::default();
        parts.path_and_query = match asked {
            Some(asked) if self.base.is_empty() && asked.as_str() != "/" => Some(asked.clone()),
            _ if self.base.is_empty() => return Some(Uri::default()),
            _ => {
                let asked = asked.map_or("/", PathAndQuery::as_str);
                Some(PathAndQuery::from_maybe_shared(Bytes::from(format!("{}{asked}", self.base))).ok()?)
            }
        };
        Uri::from_parts(parts).ok()
    }

    /// Sends it and waits for the answer's head; the wait begins again as long as the body is on its way.
    async fn send(
        &self,
        request: &mut Option<Request<UploadBody>>,
        upload: Option<&Upload>,
    ) -> Result<(Response<Incoming>, Option<Lease>), Box<Answer>> {
        let mut frames = 0;
        let goes_on = || {
            let Some(upload) = upload else { return false };
            let before = std::mem::replace(&mut frames, upload.frames());
            before != frames || upload.waits_for_client()
        };
        let driver = if upload.is_some() { Driver::Task } else { Driver::Waiter };
        match self.pool.send(request, driver, goes_on).await {
            Ok(answered) => Ok(answered),
            Err(SendError::TimedOut) => {
                let detail = "The upstream did not answer in time.";
                Err(Box::new(plain(StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", detail)))
            }
            Err(error) => Err(Box::new(failed(&error, upload))),
        }
    }
}

impl<B> Service<Request<B>> for Proxy
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ProxyBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // Before the future is made: it is smaller then.
        match self.prepare(request) {
            Ok(mut prepared) => {
                let proxy = self.clone();
                Box::pin(async move { Ok(proxy.forward(&mut prepared).await) })
            }
            Err(answer) => Box::pin(ready(Ok(*answer))),
        }
    }
}

/// The host and port of an authority, without a user.
fn host_of(authority: &Authority) -> &str {
    let text = authority.as_str();
    text.rsplit_once('@').map_or(text, |(_, host)| host)
}

/// What the client learns of a request that was not answered.
fn failed(error: &SendError, upload: Option<&Upload>) -> Answer {
    match upload.and_then(Upload::failure) {
        Some(UploadFailure::TooLarge) => {
            plain(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "The request's body is too large.")
        }
        Some(UploadFailure::Idle) => {
            plain(StatusCode::REQUEST_TIMEOUT, "body_idle", "The request's body paused for too long.")
        }
        Some(UploadFailure::Broken) => {
            plain(StatusCode::BAD_REQUEST, "body_broken", "The request's body did not arrive whole.")
        }
        None if timed_out(error) => {
            tracing::warn!(error = %chain(error), "the upstream cannot be reached in time");
            plain(StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", "The upstream cannot be reached in time.")
        }
        None if matches!(error, SendError::Connect(_)) => {
            tracing::warn!(error = %chain(error), "the upstream cannot be reached");
            plain(StatusCode::BAD_GATEWAY, "upstream_unreachable", "The upstream cannot be reached.")
        }
        None => {
            tracing::warn!(error = %chain(error), "the upstream did not answer");
            plain(StatusCode::BAD_GATEWAY, "upstream_failed", "The upstream did not answer.")
        }
    }
}

/// A paid read brings what it bought, whatever the client has already.
fn conditions(method: &Method, extensions: &http::Extensions) -> Conditions {
    let reads = *method == Method::GET || *method == Method::HEAD;
    if reads && extensions.get::<PaidBy>().is_some() { Conditions::Strip } else { Conditions::Keep }
}

/// The upstream's answer as the client gets it.
fn answer(
    response: Response<Incoming>,
    conditions: Conditions,
    passed: impl FnOnce(Incoming) -> ProxyBody,
) -> Response<ProxyBody> {
    let refused = match response.status() {
        // Nothing was bought with it: the condition that it answers was not sent.
        StatusCode::NOT_MODIFIED if conditions == Conditions::Strip => {
            Some("The upstream answered 304 to a call without a condition.")
        }
        // A switch of protocols that nobody asked for.
        StatusCode::SWITCHING_PROTOCOLS => Some("The upstream switched protocols."),
        // The client has paid or need not pay here, and a 402 without a challenge of ours says nothing (C1).
        StatusCode::PAYMENT_REQUIRED => Some("The upstream itself asks to be paid."),
        _ => None,
    };
    if let Some(detail) = refused {
        return plain(StatusCode::BAD_GATEWAY, "upstream_unusable", detail).map(ProxyBody::own);
    }
    let mut response = response.map(passed);
    *response.version_mut() = Version::HTTP_11;
    to_client(response.headers_mut());
    response
}

fn timed_out(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| {
        error.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::TimedOut)
    })
}

/// An error with its causes, for the log. hyper's errors do not repeat headers or bodies.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
