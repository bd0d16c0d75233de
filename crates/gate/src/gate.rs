//! [`Gate`]: decides about one request: serve it, serve it as paid, or answer in its place.
//!
//! It never calls the service behind it; [`crate::GateService`] does, and tells it how that went.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use farthing_protocol::dialect::mpp::{self, BoundOffer, Issue, IssuedId};
use farthing_protocol::ports::{ClaimStore, Clock, LeaseHolder, Refunder, StoreEpoch, Verifier};
use farthing_protocol::{Binder, CredentialBuf, EncodedJson, PreparedProblem, Problem, ProblemKind, accept};
use http::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Request, StatusCode, Uri};
use http_body::Body;
use tokio::sync::Semaphore;
use tracing::Instrument;

use crate::answer::{self, Answer, Offered};
use crate::attempts::Attempts;
use crate::body::{BodyReader, BoxError, GateBody, ReadError};
use crate::builder::{GateBuilder, Unmatched};
use crate::credential::{ACCEPT_PAYMENT, Found, scrub_request, speak_of_payment, take};
use crate::delivery::{replay, tell_kept};
use crate::drive::{Driven, ToDrive, drive};
use crate::epoch::Epoch;
use crate::idempotency;
use crate::kept::Copies;
use crate::lease::{InFlight, Recorder};
use crate::observe::{GateEvent, Observer, Told};
use crate::permit::{Decision, Kind, Permit};
use crate::proxy::ClientAddr;
use crate::rate::RateLimiter;
use crate::route::{BindBody, Match, RouteTable, ServiceTerms, resolve};

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
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) table: RouteTable,
    pub(crate) routes: Vec<PreparedRoute>,
    /// What almost every 402 says.
    pub(crate) unpaid: PreparedProblem,
    pub(crate) rails: BTreeMap<String, Arc<dyn Verifier>>,
    pub(crate) unmatched: Unmatched,
    pub(crate) challenge_lifetime_ms: u64,
    pub(crate) lease_ms: u64,
    pub(crate) bodies: BodyReader,
    pub(crate) epoch: Epoch,
    /// A random number of this start of the process.
    pub(crate) boot: u64,
    pub(crate) nonce_low: Arc<AtomicU64>,
    pub(crate) copies: Arc<Copies>,
    pub(crate) refunders: BTreeMap<String, Arc<dyn Refunder>>,
    pub(crate) service_ms: u64,
    pub(crate) in_flight: Arc<InFlight>,
    pub(crate) recorder: Recorder,
    /// A place for each payment that is being verified and settled.
    pub(crate) verifications: Semaphore,
    pub(crate) attempts: Arc<Attempts>,
    pub(crate) rates: Option<Arc<RateLimiter>>,
    /// A request that no challenge of ours has: the terms of a rail that the route does not offer.
    pub(crate) no_request: EncodedJson,
}

/// A route, ready to be asked for.
pub(crate) struct PreparedRoute {
    pub(crate) name: Arc<str>,
    pub(crate) priced: Option<Priced>,
}

/// What a priced route asks for.
pub(crate) struct Priced {
    pub(crate) ways: Vec<Way>,
    pub(crate) bind_body: BindBody,
    pub(crate) service: ServiceTerms,
}

/// One way to pay.
pub(crate) struct Way {
    pub(crate) prepared: BoundOffer,
    pub(crate) verifier: Arc<dyn Verifier>,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("realm", &self.inner.realm)
            .field("routes", &self.inner.routes.len())
            .finish_non_exhaustive()
    }
}

impl PreparedRoute {
    /// The rail of one of its offers.
    pub(crate) fn verifier(&self, offer: usize) -> Option<&dyn Verifier> {
        Some(self.priced.as_ref()?.ways.get(offer)?.verifier.as_ref())
    }
}

/// What [`Gate::begin`] comes to.
#[expect(
    clippy::large_enum_variant,
    reason = "almost every request is decided at once, without an allocation for it"
)]
pub(crate) enum Begun<B> {
    /// Nothing has to be waited for.
    Decided(Decision<B>),
    /// Boxed, because all requests would carry its size, and most never come here.
    Waits(Box<Waiting<B>>),
}

impl<B> Begun<B> {
    const fn answer(answer: Answer) -> Self {
        Self::Decided(Decision::Answer(answer))
    }
}

/// What a decision waits for.
pub(crate) enum Waiting<B> {
    /// For the body that a challenge is to be bound to, or for the store.
    Unpaid { index: usize, reason: Reason, accept: Option<String>, body: GateBody<B> },
    /// For the payment.
    Paid { index: usize, request: Request<B>, credential: CredentialBuf },
}

/// What a challenge is asked for with.
struct Asking<'a> {
    /// The client's preferences.
    accept: Option<&'a str>,
    /// The body's digest, where the challenge is bound to it.
    digest: Option<&'a str>,
    /// The request's headers, whose room the answer's take.
    headers: HeaderMap,
}

/// Why a payment is asked for.
pub(crate) enum Reason {
    /// None came.
    Unpaid,
    /// One came that will not do.
    Other(Problem),
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
        self.decide(request, &mut Told::default()).await
    }

    /// The same, and tells what an observer wants to know of it.
    pub(crate) async fn decide<B>(&self, request: Request<B>, told: &mut Told) -> Decision<B>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let client = request.extensions().get::<ClientAddr>().copied();
        match self.begin(request, client, told) {
            Begun::Decided(decision) => decision,
            Begun::Waits(waiting) => self.go_on(*waiting, told).await,
        }
    }

    /// Decides, if nothing has to be waited for: no body, no rail, no store. Almost every unpaid request is decided here.
    pub(crate) fn begin<B>(
        &self,
        request: Request<B>,
        client: Option<ClientAddr>,
        told: &mut Told,
    ) -> Begun<B> {
        let (path, found) = match resolve(&self.inner.table, request.method(), request.uri().path()) {
            Ok(resolved) => resolved,
            Err(error) => {
                self.refused(told, error.code());
                return Begun::answer(answer::plain(
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
                return Begun::Decided(Decision::Serve(request, Permit(Kind::Unmatched)));
            }
            (Match::NoMethod { allowed }, Unmatched::Refuse) => {
                self.refused(told, "method_not_allowed");
                return Begun::answer(answer::method_not_allowed(&allowed));
            }
            (Match::NoPath | Match::LooksPriced, _) => {
                self.refused(told, "no_such_route");
                return Begun::answer(answer::not_found());
            }
        };
        told.route = Some(index);
        let rewritten = path.rewritten().map(str::to_owned);
        let mut request = request;
        if let Some(path) = rewritten
            && let Err(error) = set_path(request.uri_mut(), &path)
        {
            tracing::debug!(%error, "a normal path is not a URI");
            return Begun::answer(answer::not_found());
        }
        match self.inner.routes[index].priced {
            None => {
                scrub_request(request.headers_mut());
                Begun::Decided(Decision::Serve(request.map(GateBody::Stream), Permit(Kind::Free)))
            }
            Some(_) => self.priced(index, request, client, told),
        }
    }

    fn priced<B>(
        &self,
        index: usize,
        mut request: Request<B>,
        client: Option<ClientAddr>,
        told: &mut Told,
    ) -> Begun<B> {
        let speaks = speak_of_payment(request.headers());
        let found = if speaks { take(request.headers_mut()) } else { Found::None };
        if let Some(limited) = self.limited(&found, (client, request.headers()), told) {
            return Begun::answer(limited);
        }
        let reason = match found {
            Found::One(credential) => {
                return Begun::Waits(Box::new(Waiting::Paid { index, request, credential }));
            }
            Found::None => Reason::Unpaid,
            Found::Unreadable(error) => {
                Reason::Other(Problem::new(ProblemKind::MalformedCredential, error.code(), error.to_string()))
            }
            Found::Several => {
                let detail = "Send one credential a request.";
                let problem = Problem::new(ProblemKind::BadRequest, "several_credentials", detail);
                self.refused(told, problem.code);
                return Begun::answer(answer::refuse(&problem, None));
            }
        };
        let accept = if speaks { preferences(request.headers()) } else { None };
        let binds = self.inner.routes[index].priced.as_ref().map(|priced| priced.bind_body);
        match (binds, self.inner.known_epoch()) {
            (Some(BindBody::No), Some(epoch)) => {
                // Nothing else reads them: what they took is used again.
                let headers = std::mem::take(request.headers_mut());
                let asked = Asking { accept: accept.as_deref(), digest: None, headers };
                Begun::answer(self.offer(index, &reason, asked, epoch, told))
            }
            _ => {
                let body = GateBody::Stream(request.into_body());
                Begun::Waits(Box::new(Waiting::Unpaid { index, reason, accept, body }))
            }
        }
    }

    /// Decides about what [`Self::begin`] could not decide at once.
    pub(crate) async fn go_on<B>(&self, waiting: Waiting<B>, told: &mut Told) -> Decision<B>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        match waiting {
            Waiting::Paid { index, request, credential } => self.paid(index, request, credential, told).await,
            Waiting::Unpaid { index, reason, accept, body } => {
                let problem = match &reason {
                    Reason::Unpaid => self.inner.unpaid.problem(),
                    Reason::Other(problem) => problem,
                };
                Decision::Answer(self.challenge(index, problem, accept.as_deref(), body, told).await)
            }
        }
    }

    async fn paid<B>(
        &self,
        index: usize,
        mut request: Request<B>,
        credential: CredentialBuf,
        told: &mut Told,
    ) -> Decision<B>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        let accept = preferences(request.headers());
        scrub_request(request.headers_mut());
        let Ok(key) = idempotency::key(request.headers()) else {
            let detail = "Send one Idempotency-Key of 1 to 255 visible ASCII characters, or none.";
            let problem = Problem::new(ProblemKind::BadRequest, "idempotency_key_invalid", detail);
            self.refused(told, problem.code);
            return Decision::Answer(answer::refuse(&problem, None));
        };
        let (parts, body) = request.into_parts();
        let target = parts.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
        let what = ToDrive { index, credential, method: parts.method.clone(), target, key, accept };
        let accept = what.accept.clone();
        // In a task of its own: a client that hangs up does not stop a settlement half way.
        let driven = tokio::spawn(drive(self.clone(), what, body).in_current_span()).await;
        match driven {
            Ok(Driven::Deliver(paid, body)) => match paid.kept() {
                Ok(kept) => Decision::Kept(kept),
                Err(paid) => {
                    let mut request = Request::from_parts(parts, body);
                    request.extensions_mut().insert(paid.by.clone());
                    Decision::Serve(request, Permit(Kind::Paid(paid)))
                }
            },
            Ok(Driven::Serve(reserved, body)) => {
                let mut request = Request::from_parts(parts, body);
                request.extensions_mut().insert(reserved.by.clone());
                Decision::Serve(request, Permit(Kind::Reserved(reserved)))
            }
            Ok(Driven::Replay(again, kept)) => {
                let Some(mut answer) = replay(*again, &self.inner.copies) else {
                    let detail = "Too many kept answers are being sent. Send the same credential again.";
                    let problem = Problem::new(ProblemKind::PaymentPending, "gate_busy", detail);
                    self.refused(told, problem.code);
                    return Decision::Answer(answer::refuse(&problem, Some(1)));
                };
                let route = &*self.inner.routes[index].name;
                self.inner.observer.observe(GateEvent::ReplayServed { route });
                tell_kept(&mut answer, kept.as_ref());
                Decision::Answer(answer)
            }
            Ok(Driven::Challenge(problem, body, kept)) => {
                let mut answer = self.challenge(index, &problem, accept.as_deref(), body, told).await;
                tell_kept(&mut answer, kept.as_ref());
                Decision::Answer(answer)
            }
            Ok(Driven::Refuse { problem, retry_after_s, kept }) => {
                self.refused(told, problem.code);
                let mut answer = answer::refuse(&problem, retry_after_s);
                tell_kept(&mut answer, kept.as_ref());
                Decision::Answer(answer)
            }
            Ok(Driven::Unreadable(error)) => Decision::Answer(self.unreadable_body(error, told)),
            Err(error) => {
                tracing::error!(panicked = error.is_panic(), "the task that handles a payment ended early");
                let detail = "The payment's state is kept. Send the same credential again.";
                let problem = Problem::new(ProblemKind::PaymentPending, "payment_interrupted", detail);
                self.refused(told, problem.code);
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
        told: &mut Told,
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
                Err(error) => return self.unreadable_body(error, told),
            },
        };
        self.issue(index, problem, (accept, digest.as_deref()), told).await
    }

    /// The same, for a client that prefers to pay like `accept`, and for a body with this digest.
    pub(crate) async fn issue(
        &self,
        index: usize,
        problem: &Problem,
        (accept, digest): (Option<&str>, Option<&str>),
        told: &mut Told,
    ) -> Answer {
        let Ok(epoch) = self.inner.epoch().await else {
            let detail = "Payments cannot be asked for right now.";
            self.refused(told, "store_unavailable");
            let problem = Problem::new(ProblemKind::PaymentPending, "store_unavailable", detail);
            return answer::refuse(&problem, Some(1));
        };
        let asked = Asking { accept, digest, headers: HeaderMap::new() };
        self.offer(index, &Reason::Other(problem.clone()), asked, epoch, told)
    }

    /// The same, for a store of this epoch.
    fn offer(
        &self,
        index: usize,
        reason: &Reason,
        Asking { accept, digest, headers }: Asking<'_>,
        epoch: StoreEpoch,
        told: &mut Told,
    ) -> Answer {
        match self.offered(index, reason, (accept, digest), epoch, told) {
            Ok(offered) => offered.answer(headers),
            Err(refused) => *refused,
        }
    }

    /// The same, not put into an answer yet; or the answer that there is in its place.
    pub(crate) fn offered(
        &self,
        index: usize,
        reason: &Reason,
        (accept, digest): (Option<&str>, Option<&str>),
        epoch: StoreEpoch,
        told: &mut Told,
    ) -> Result<Offered, Box<Answer>> {
        let Some(priced) = &self.inner.routes[index].priced else {
            return Err(Box::new(answer::not_found()));
        };
        let at = self.inner.clock.now();
        let expires = at.plus_ms(self.inner.challenge_lifetime_ms);
        let mut challenges = Vec::with_capacity(priced.ways.len());
        let mut first_id: Option<IssuedId> = None;
        let mut append = |way: usize| {
            let issue = Issue { expires, nonce: self.inner.nonce(epoch), digest };
            let mut value = String::new();
            let id = priced.ways[way].prepared.issue(&issue, &mut value);
            if !answer::is_header_value(&value) {
                tracing::error!(route = %self.inner.routes[index].name, "a challenge cannot be written");
                return;
            }
            challenges.push(value);
            first_id.get_or_insert(id);
        };
        match accept {
            None => (0..priced.ways.len()).for_each(&mut append),
            Some(accept) => order(&priced.ways, accept).into_iter().for_each(&mut append),
        }
        let Some(first_id) = first_id else {
            // A 402 never goes out without a challenge (C1).
            let detail = "The payment cannot be asked for.";
            let problem = Problem::new(ProblemKind::InternalPaymentError, "challenge_unwritable", detail);
            self.refused(told, problem.code);
            return Err(Box::new(answer::refuse(&problem, None)));
        };
        let (json, code) = match reason {
            Reason::Unpaid => {
                (self.inner.unpaid.to_json(first_id.as_str()), self.inner.unpaid.problem().code)
            }
            Reason::Other(problem) => (problem.to_json(Some(first_id.as_str())), problem.code),
        };
        let route = &*self.inner.routes[index].name;
        told.code = Some(code);
        self.inner.observer.observe(GateEvent::Offered { route, code });
        Ok(Offered { challenges, json, at })
    }

    /// Tells the observer of an answer of our own.
    fn refused(&self, told: &mut Told, code: &'static str) {
        told.code = Some(code);
        let route = told.route.map(|index| &*self.inner.routes[index].name);
        self.inner.observer.observe(GateEvent::Refused { route, code });
    }

    fn unreadable_body(&self, error: ReadError, told: &mut Told) -> Answer {
        self.refused(told, error.code());
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
    /// Unique per challenge: the store's history, a random number per start, and a count.
    pub(crate) fn nonce(&self, epoch: StoreEpoch) -> u128 {
        let boot = u32::try_from((self.boot ^ (self.boot >> 32)) & u64::from(u32::MAX)).unwrap_or_default();
        mpp::nonce(epoch, boot, self.nonce_low.fetch_add(1, Ordering::Relaxed))
    }

    /// Unique per lease: a random number per start, and a count.
    pub(crate) fn holder(&self) -> LeaseHolder {
        let count = self.nonce_low.fetch_add(1, Ordering::Relaxed);
        LeaseHolder(u128::from(self.boot) << 64 | u128::from(count))
    }
}

/// The offers in the order that the client prefers.
fn order(ways: &[Way], accept: &str) -> Vec<usize> {
    let kinds: Vec<(&str, &str)> =
        ways.iter().map(|way| (way.verifier.method().as_str(), way.verifier.intent().as_str())).collect();
    accept::rank(Some(accept), &kinds)
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
