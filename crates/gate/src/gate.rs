//! [`Gate`]: decides about one request: serve it, serve it as paid, or answer in its place.
//!
//! It never calls the service behind it; [`crate::GateService`] does, and tells it how that went.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use farthing_money::Money;
use farthing_protocol::dialect::mpp::{Issue, PreparedOffer};
use farthing_protocol::flow::gate::GateFlow;
use farthing_protocol::ports::{ClaimStore, Clock, Verifier};
use farthing_protocol::{Binder, CredentialBuf, EncodedJson, Problem, ProblemKind, accept};
use http::header::{HeaderMap, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Request, Response, StatusCode, Uri};
use http_body::Body;
use http_body_util::Full;
use tokio::sync::Semaphore;

use crate::answer::{self, Answer};
use crate::attempts::Attempts;
use crate::body::{BodyReader, BoxError, GateBody, ReadError};
use crate::builder::{GateBuilder, Unmatched};
use crate::credential::{ACCEPT_PAYMENT, Found, scrub_request, take};
use crate::delivery::{DeliveryBody, GateResponseBody, InFlight, Paid, Recorder, scrubbed};
use crate::drive::{Driven, drive};
use crate::route::{BindBody, Match, RouteTable, resolve};

/// Decides about requests. Cheap to clone; all clones are one gate.
#[derive(Clone)]
pub struct Gate {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) realm: String,
    pub(crate) binder: Binder,
    pub(crate) store: Arc<dyn ClaimStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) table: RouteTable,
    pub(crate) routes: Vec<PreparedRoute>,
    pub(crate) rails: BTreeMap<String, Arc<dyn Verifier>>,
    pub(crate) unmatched: Unmatched,
    pub(crate) challenge_lifetime_ms: u64,
    pub(crate) lease_ms: u64,
    pub(crate) bodies: BodyReader,
    pub(crate) nonce_high: u128,
    pub(crate) nonce_low: AtomicU64,
    pub(crate) in_flight: Arc<InFlight>,
    pub(crate) recorder: Recorder,
    /// A place for each payment that is being verified and settled.
    pub(crate) verifications: Semaphore,
    pub(crate) attempts: Attempts,
    /// A request that no challenge of ours has: the terms of a rail that the route does not offer.
    pub(crate) no_request: EncodedJson,
}

/// A route, ready to be asked for.
pub(crate) struct PreparedRoute {
    pub(crate) name: String,
    pub(crate) priced: Option<Priced>,
}

/// What a priced route asks for.
pub(crate) struct Priced {
    pub(crate) ways: Vec<Way>,
    pub(crate) bind_body: BindBody,
}

/// One way to pay.
pub(crate) struct Way {
    pub(crate) prepared: PreparedOffer,
    pub(crate) verifier: Arc<dyn Verifier>,
    pub(crate) money: Money,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("realm", &self.inner.realm)
            .field("routes", &self.inner.routes.len())
            .finish_non_exhaustive()
    }
}

/// What is to be done with a request.
#[derive(Debug)]
pub enum Decision<B> {
    /// Serve it, and pass the answer through [`Permit::finish`].
    Serve(Request<GateBody<B>>, Permit),
    /// Answer with this.
    Answer(Response<Full<Bytes>>),
}

/// Leave to serve a request. Dropped without [`finish`](Self::finish), a paid call becomes a credit again: serve it in a task that
/// a client cannot end by hanging up, as [`crate::GateService`] does, or one payment buys any number of attempts.
#[derive(Debug)]
pub struct Permit(Kind);

#[derive(Debug)]
enum Kind {
    /// No route of ours: neither the request nor the answer is touched.
    Unmatched,
    /// A free route.
    Free,
    /// A paid call.
    Paid(Box<Paid>),
}

impl Permit {
    /// Whether the call was paid for.
    #[must_use]
    pub const fn is_paid(&self) -> bool {
        matches!(self.0, Kind::Paid(_))
    }

    /// The answer as it goes out: scrubbed, with a receipt when the call was paid and served, and watched until its last
    /// byte.
    pub async fn finish<B: Body>(self, response: Response<B>) -> Response<GateResponseBody<B>> {
        let response = match self.0 {
            Kind::Unmatched => response.map(DeliveryBody::free),
            Kind::Free => scrubbed(response).map(DeliveryBody::free),
            Kind::Paid(paid) => paid.deliver(response).await,
        };
        response.map(GateResponseBody::Service)
    }

    /// The service failed without an answer: a paid call becomes a credit again before this returns.
    pub async fn failed(self) {
        if let Kind::Paid(paid) = self.0 {
            paid.failed().await;
        }
    }
}

impl Gate {
    /// Begins a gate. `realm` is the public host that challenges are for; it is never taken from a request.
    ///
    /// A gate starts tasks: use it inside a tokio runtime.
    pub fn builder(
        realm: impl Into<String>,
        binder: Binder,
        store: Arc<dyn ClaimStore>,
        clock: Arc<dyn Clock>,
    ) -> GateBuilder {
        GateBuilder::new(realm.into(), binder, store, clock)
    }

    pub(crate) fn from_inner(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    /// Decides about a request. An unpaid one costs no IO and changes nothing (C22).
    pub async fn check<B>(&self, request: Request<B>) -> Decision<B>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let (path, found) = match resolve(&self.inner.table, request.method(), request.uri().path()) {
            Ok(resolved) => resolved,
            Err(error) => {
                return Decision::Answer(answer::plain(
                    StatusCode::BAD_REQUEST,
                    error.code(),
                    &error.to_string(),
                ));
            }
        };
        let index = match (found, self.inner.unmatched) {
            (Match::Route(index), _) => index,
            (Match::NoMethod { .. } | Match::NoPath, Unmatched::PassThrough) => {
                let request = request.map(GateBody::Stream);
                return Decision::Serve(request, Permit(Kind::Unmatched));
            }
            (Match::NoMethod { allowed }, Unmatched::Refuse) => {
                return Decision::Answer(answer::method_not_allowed(&allowed));
            }
            (Match::NoPath | Match::LooksPriced, _) => return Decision::Answer(answer::not_found()),
        };
        let rewritten = path.rewritten().map(str::to_owned);
        let mut request = request;
        if let Some(path) = rewritten
            && let Err(error) = set_path(request.uri_mut(), &path)
        {
            tracing::debug!(%error, "a normal path is not a URI");
            return Decision::Answer(answer::not_found());
        }
        match self.inner.routes[index].priced {
            None => {
                scrub_request(request.headers_mut());
                Decision::Serve(request.map(GateBody::Stream), Permit(Kind::Free))
            }
            Some(_) => self.priced(index, request).await,
        }
    }

    async fn priced<B>(&self, index: usize, mut request: Request<B>) -> Decision<B>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let found = take(request.headers_mut());
        let accept = preferences(request.headers());
        let accept = accept.as_deref();
        let problem = match found {
            Found::One(credential) => return self.paid(index, request, credential).await,
            Found::None => GateFlow::unpaid(),
            Found::Unreadable(error) => {
                Problem::new(ProblemKind::MalformedCredential, error.code(), error.to_string())
            }
            Found::Several => {
                let detail = "Send one credential a request.";
                let problem = Problem::new(ProblemKind::BadRequest, "several_credentials", detail);
                return Decision::Answer(answer::refuse(&problem, None));
            }
        };
        let body = GateBody::Stream(request.into_body());
        Decision::Answer(self.challenge(index, &problem, accept, body).await)
    }

    async fn paid<B>(&self, index: usize, mut request: Request<B>, credential: CredentialBuf) -> Decision<B>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let accept = preferences(request.headers());
        scrub_request(request.headers_mut());
        let (parts, body) = request.into_parts();
        // In a task of its own: a client that hangs up does not stop a settlement half way.
        let driven = tokio::spawn(drive(self.clone(), index, credential, body)).await;
        match driven {
            Ok(Driven::Deliver(paid, body)) => {
                let mut request = Request::from_parts(parts, body);
                request.extensions_mut().insert(paid.by.clone());
                Decision::Serve(request, Permit(Kind::Paid(paid)))
            }
            Ok(Driven::Challenge(problem, body)) => {
                Decision::Answer(self.challenge(index, &problem, accept.as_deref(), body).await)
            }
            Ok(Driven::Refuse { problem, retry_after_s }) => {
                Decision::Answer(answer::refuse(&problem, retry_after_s))
            }
            Ok(Driven::Unreadable(error)) => Decision::Answer(self.unreadable_body(error)),
            Err(error) => {
                tracing::error!(panicked = error.is_panic(), "the task that handles a payment ended early");
                let detail = "The payment's state is kept. Send the same credential again.";
                let problem = Problem::new(ProblemKind::PaymentPending, "payment_interrupted", detail);
                Decision::Answer(answer::refuse(&problem, Some(1)))
            }
        }
    }

    /// A 402 with a fresh challenge for every offer, best first (C1, C28).
    async fn challenge<B>(
        &self,
        index: usize,
        problem: &Problem,
        accept: Option<&str>,
        body: GateBody<B>,
    ) -> Answer
    where
        B: Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let Some(priced) = &self.inner.routes[index].priced else { return answer::not_found() };
        let digest = match priced.bind_body {
            BindBody::No => None,
            BindBody::Yes => match self.inner.bodies.digest(body).await {
                Ok(digest) => Some(digest),
                Err(error) => return self.unreadable_body(error),
            },
        };
        let expires = self.inner.clock.now().plus_ms(self.inner.challenge_lifetime_ms);
        let mut headers = HeaderMap::with_capacity(priced.ways.len() + 4);
        let mut first_id = None;
        for way in order(&priced.ways, accept) {
            let issue = Issue { expires, nonce: self.inner.nonce(), digest: digest.as_deref() };
            let mut value = String::with_capacity(1024);
            let id = priced.ways[way].prepared.issue(&self.inner.binder, &issue, &mut value);
            let Ok(value) = HeaderValue::try_from(value) else {
                tracing::error!(route = %self.inner.routes[index].name, "a challenge cannot be written");
                continue;
            };
            headers.append(WWW_AUTHENTICATE, value);
            first_id.get_or_insert(id);
        }
        let Some(first_id) = first_id else {
            // A 402 never goes out without a challenge (C1).
            let detail = "The payment cannot be asked for.";
            let problem = Problem::new(ProblemKind::InternalPaymentError, "challenge_unwritable", detail);
            return answer::refuse(&problem, None);
        };
        let mut answer = answer::problem(StatusCode::PAYMENT_REQUIRED, problem.to_json(Some(&first_id)));
        answer.headers_mut().extend(headers);
        answer
    }

    fn unreadable_body(&self, error: ReadError) -> Answer {
        let (code, detail) = match error {
            ReadError::TooLarge => {
                let max = self.inner.bodies.max_bytes();
                (
                    "body_too_large",
                    format!("A body that is bound to its payment may have at most {max} bytes."),
                )
            }
            ReadError::Broken => ("body_broken", "The request's body did not arrive whole.".to_owned()),
            ReadError::TimedOut => {
                let detail = "The request's body did not arrive in time.";
                return answer::plain(StatusCode::REQUEST_TIMEOUT, "body_timeout", detail);
            }
            ReadError::Busy => {
                let detail = "Too many bodies are being kept at once. Send the same request again later.";
                let mut busy = answer::plain(StatusCode::SERVICE_UNAVAILABLE, "gate_busy", detail);
                busy.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
                return busy;
            }
        };
        answer::refuse(&Problem::new(ProblemKind::BadRequest, code, detail), None)
    }

    /// Names of the rails that take payments here or did, such as `tempo:4217`.
    pub fn rails(&self) -> impl Iterator<Item = &str> {
        self.inner.rails.keys().map(String::as_str)
    }

    /// Waits until no paid call is being served and every step is recorded: for the end of a graceful shutdown.
    pub async fn idle(&self) {
        self.inner.in_flight.idle().await;
    }
}

impl Inner {
    /// Unique per challenge: a random number per start, and a count.
    fn nonce(&self) -> u128 {
        self.nonce_high | u128::from(self.nonce_low.fetch_add(1, Ordering::Relaxed))
    }
}

/// The offers in the order that the client prefers; all of them, in ours, when it does not say.
fn order(ways: &[Way], accept: Option<&str>) -> Vec<usize> {
    if accept.is_none() {
        return (0..ways.len()).collect();
    }
    let kinds: Vec<(&str, &str)> =
        ways.iter().map(|way| (way.verifier.method().as_str(), way.verifier.intent().as_str())).collect();
    accept::rank(accept, &kinds)
}

/// The `Accept-Payment` values, merged.
fn preferences(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(ACCEPT_PAYMENT).iter().filter_map(|value| value.to_str().ok());
    let first = values.next()?.to_owned();
    Some(values.fold(first, |merged, value| merged + ", " + value))
}

/// Puts a path in normal form in place of the one that was asked for. The query stays.
fn set_path(uri: &mut Uri, path: &str) -> Result<(), http::Error> {
    let mut parts = std::mem::take(uri).into_parts();
    let query = parts.path_and_query.as_ref().and_then(|whole| whole.query());
    let whole = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
    parts.path_and_query = Some(whole.parse()?);
    *uri = Uri::from_parts(parts)?;
    Ok(())
}
