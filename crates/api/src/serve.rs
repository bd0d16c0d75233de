//! How a request is answered, whatever it asks for: a name for it, a place among those that are worked on, who asks and whether
//! they may, the body within its limit, the operation within its time. In this order.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{FromRequestParts, RawPathParams, Request};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use farthing_billing::service::{Cx, Idempotency, TenantId, id_text};
use futures_util::FutureExt;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use sha2::{Digest, Sha256};

use crate::access::{Caller, Who};
use crate::csv;
use crate::operation::{Answered, Asked, Operation, Raw};
use crate::problem::{Problem, REQUEST_ID};
use crate::{Api, auth, read};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The longest idempotency key.
const MAX_IDEMPOTENCY_KEY: usize = 200;

/// The router of `operations`.
pub(crate) fn router(api: &Api, operations: &[Operation]) -> Router {
    let mut router = Router::new();
    let mut paths: Vec<&'static str> = operations.iter().map(|operation| operation.path).collect();
    paths.sort_unstable();
    paths.dedup();
    for path in paths {
        let here: Vec<&Operation> = operations.iter().filter(|operation| operation.path == path).collect();
        router = router.route(path, resource(api, &here));
    }
    let lost = api.clone();
    router.fallback(move || {
        let api = lost.clone();
        async move { refuse(&api, Problem::unknown_route()) }
    })
}

fn resource(api: &Api, operations: &[&Operation]) -> MethodRouter {
    let mut resource = MethodRouter::new();
    let mut allowed: Vec<&str> = Vec::new();
    for operation in operations {
        allowed.push(operation.method.as_str());
        if operation.method == Method::GET {
            allowed.push("HEAD");
        }
        let filter = MethodFilter::try_from(operation.method.clone()).unwrap_or(MethodFilter::GET);
        let (api, operation) = (api.clone(), Arc::new((*operation).clone()));
        resource = resource.merge(on(filter, move |request: Request| {
            let (api, operation) = (api.clone(), Arc::clone(&operation));
            async move { answer(api, operation, request).await }
        }));
    }
    let (api, allowed) = (api.clone(), allowed.join(", "));
    resource.fallback(move || {
        let (api, allowed) = (api.clone(), allowed.clone());
        async move { refuse(&api, Problem::method(&allowed)) }
    })
}

fn refuse(api: &Api, problem: Problem) -> Response {
    let request_id = request_id(api);
    named(problem.into_answer(&api.settings().problem_types, &request_id), &request_id)
}

fn request_id(api: &Api) -> String {
    id_text("req", api.world().id().as_u128())
}

fn named(mut answer: Response, request_id: &str) -> Response {
    answer.headers_mut().extend(HeaderValue::try_from(request_id).ok().map(|id| (REQUEST_ID, id)));
    answer
}

/// Answers a request, whatever happens.
async fn answer(api: Api, operation: Arc<Operation>, request: Request) -> Response {
    let request_id = request_id(&api);
    let (method, id) = (request.method().clone(), operation.id);
    let working = AssertUnwindSafe(attempt(&api, &operation, request)).catch_unwind();
    let answered = working.await.unwrap_or_else(|_| {
        tracing::error!(operation = id, request_id, "a request panicked");
        Err(Problem::internal())
    });
    let answer = match answered {
        Ok(answer) => answer,
        Err(problem) => {
            tracing::debug!(operation = id, request_id, code = problem.code, "refused");
            problem.into_answer(&api.settings().problem_types, &request_id)
        }
    };
    tracing::info!(%method, operation = id, status = answer.status().as_u16(), request_id, "answered");
    named(answer, &request_id)
}

async fn attempt(api: &Api, operation: &Operation, request: Request) -> Result<Response, Problem> {
    let place = api.places().try_acquire_owned().map_err(|_| {
        let detail = "too many requests are worked on at once; try again";
        Problem::later(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail, 1)
    })?;
    let within = tokio::time::timeout(api.settings().timeout, work(api, operation, request)).await;
    let finished = within.map_err(|_| {
        let detail = "the request took too long; with an idempotency key it is safe to send again";
        Problem::later(StatusCode::SERVICE_UNAVAILABLE, "request_timeout", detail, 1)
    })??;
    Ok(finished.keeping(place))
}

/// An answer, and whether its body still works on something.
enum Finished {
    Whole(Response),
    Export(Box<csv::Export>),
}

impl Finished {
    fn keeping(self, place: tokio::sync::OwnedSemaphorePermit) -> Response {
        match self {
            Self::Whole(answer) => answer,
            Self::Export(export) => export.answer(place),
        }
    }
}

async fn work(api: &Api, operation: &Operation, request: Request) -> Result<Finished, Problem> {
    let (mut parts, body) = request.into_parts();
    let caller = match operation.access.who() {
        Who::Anybody => Caller::Nobody,
        Who::Key | Who::KeyOrToken => auth::caller(api, &parts.headers).await?,
    };
    let now = api.world().now();
    if let Some(who) = caller.bits() {
        api.rates().take(who, now).map_err(|seconds| {
            let detail = "too many requests with this key";
            Problem::later(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail, seconds)
        })?;
    }
    operation.access.check(&caller)?;
    let path =
        RawPathParams::from_request_parts(&mut parts, &()).await.map_err(|_| Problem::unknown_route())?;
    let path = path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let body = read_body(api, &parts.headers, &operation.method, body).await?;
    let content =
        [operation.method.as_str().as_bytes(), parts.uri.path().as_bytes(), query.as_bytes(), &body];
    let idempotency = match operation.method {
        Method::GET => None,
        _ => idempotency(&parts.headers, &caller, &content)?,
    };
    let tenant = caller.tenant().unwrap_or(TenantId::from_u128(0));
    let cx = Cx { tenant, now, id: api.world().id(), idempotency };
    let replayed = Arc::new(AtomicBool::new(false));
    let billing = api.billing().noting_replays(Arc::clone(&replayed));
    let mut raw = Raw { path, query, headers: parts.headers, body };
    let asked = Asked { api: api.clone(), billing, cx, caller, replayed: Arc::clone(&replayed) };
    if let Some(columns) = operation.csv
        && csv::take_format(&mut raw)?
    {
        return csv::export(operation, columns, asked, raw)
            .await
            .map(|export| Finished::Export(Box::new(export)));
    }
    let mut answer = match (operation.run)(asked, raw).await? {
        Answered::Whole(answer) => return Ok(Finished::Whole(answer)),
        Answered::Json(status, body) => (status, Body::from(body)).into_response(),
    };
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(operation.shapes.media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if replayed.load(Ordering::Relaxed) {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(Finished::Whole(answer))
}

async fn read_body(
    api: &Api,
    headers: &HeaderMap,
    method: &Method,
    body: Body,
) -> Result<bytes::Bytes, Problem> {
    if !read::has_body(method) {
        return Ok(bytes::Bytes::new());
    }
    let most = api.settings().max_body;
    let too_large = || {
        let detail = format!("a body has at most {most} bytes");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
    };
    let said = headers.get(CONTENT_LENGTH).and_then(|said| said.to_str().ok()?.parse::<usize>().ok());
    if said.is_some_and(|said| said > most) {
        return Err(too_large());
    }
    to_bytes(body, most).await.map_err(|error| {
        use std::error::Error;
        let limit = error.source().is_some_and(|source| source.is::<http_body_util::LengthLimitError>());
        if limit {
            return too_large();
        }
        Problem::new(StatusCode::BAD_REQUEST, "body_interrupted", "the body ended before it was whole")
    })
}

/// The key under which a call may be told again, and what makes it this call. Tokens have keys of their own: what one is answered
/// is never another's.
fn idempotency(
    headers: &HeaderMap,
    caller: &Caller,
    content: &[&[u8]],
) -> Result<Option<Idempotency>, Problem> {
    let mut said = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = said.next() else { return Ok(None) };
    let fits = |key: &&str| {
        (1..=MAX_IDEMPOTENCY_KEY).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let key = key.to_str().ok().filter(fits).filter(|_| said.next().is_none()).ok_or_else(|| {
        let detail =
            format!("Idempotency-Key is one key of 1 to {MAX_IDEMPOTENCY_KEY} printable ASCII characters");
        Problem::new(StatusCode::BAD_REQUEST, "invalid_idempotency_key", detail)
            .field("Idempotency-Key", "1 to 200 printable ASCII characters without spaces")
    })?;
    let mut hash = Sha256::new();
    for part in content {
        // Lengths keep a path from being taken for the beginning of a body.
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    let fingerprint = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Some(Idempotency { key: caller.own(key), fingerprint }))
}

/// What a client wants to read, by its `Accept` header.
pub(crate) fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types = accepted.flat_map(|value| value.split(',')).filter_map(|one| one.split(';').next());
    types.any(|one| one.trim().eq_ignore_ascii_case(media_type))
}
