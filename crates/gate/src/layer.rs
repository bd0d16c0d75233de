//! [`GateLayer`]: the gate as a tower layer, for any service that takes `http` requests.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;
use tracing::field::Empty;
use tracing::{Instrument, Span};

use crate::body::{BoxError, GateBody};
use crate::delivery::PaidBy;
use crate::gate::{Begun, Gate};
use crate::observe::{Ending, SPANS, enter, propagate, request_span};
use crate::passing::GateResponseBody;
use crate::permit::{Decision, Permit};
use crate::proxy::ClientAddr;

/// Puts a [`Gate`] before a service.
#[derive(Debug, Clone)]
pub struct GateLayer {
    gate: Gate,
}

impl GateLayer {
    /// A layer with this gate.
    #[must_use]
    pub const fn new(gate: Gate) -> Self {
        Self { gate }
    }
}

impl<S> Layer<S> for GateLayer {
    type Service = GateService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        GateService::new(self.gate.clone(), inner)
    }
}

/// A service behind a [`Gate`].
///
/// A paid call runs in a task of its own and goes on when the client leaves: one payment buys one execution, not as many as its
/// payer hangs up on. An answer that nobody waits for any more is read to its end and kept for its payer; a failure leaves a credit,
/// as ever. So
///
/// - the service and what it answers are `Send + 'static`, and task-local values of the caller are not seen by paid calls;
/// - nobody but the service bounds how long it takes: put a time-out inside the gate ([`crate::proxy::Proxy`] has its own).
#[derive(Debug, Clone)]
pub struct GateService<S> {
    gate: Gate,
    inner: S,
}

impl<S> GateService<S> {
    /// `inner` behind `gate`.
    #[must_use]
    pub const fn new(gate: Gate, inner: S) -> Self {
        Self { gate, inner }
    }
}

impl<S, B, R> Service<Request<B>> for GateService<S>
where
    S: Service<Request<GateBody<B>>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Send + 'static,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
    R: Body<Data = Bytes> + Send + Unpin + 'static,
    R::Error: Send,
{
    type Response = Response<GateResponseBody<R>>;
    type Error = S::Error;
    type Future = GateFuture<Self::Response, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let client = request.extensions().get::<ClientAddr>().copied();
        let inner = &mut self.inner;
        // The service that was made ready is the one to call; the clone takes its place.
        Self::handle(&self.gate, request, client, || {
            let clone = inner.clone();
            std::mem::replace(inner, clone)
        })
    }
}

impl<S> GateService<S> {
    /// Answers a request from `client` with what `service` makes of the one in here, which has to be always ready.
    pub(crate) fn answer<B, R>(
        &self,
        request: Request<B>,
        client: ClientAddr,
        service: impl FnOnce(&S) -> S,
    ) -> GateFuture<Response<GateResponseBody<R>>, S::Error>
    where
        S: Service<Request<GateBody<B>>, Response = Response<R>> + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Send + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
        R: Body<Data = Bytes> + Send + Unpin + 'static,
        R::Error: Send,
    {
        Self::handle(&self.gate, request, Some(client), || service(&self.inner))
    }

    fn handle<B, R>(
        gate: &Gate,
        request: Request<B>,
        client: Option<ClientAddr>,
        service: impl FnOnce() -> S,
    ) -> GateFuture<Response<GateResponseBody<R>>, S::Error>
    where
        S: Service<Request<GateBody<B>>, Response = Response<R>> + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Send + 'static,
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
        R: Body<Data = Bytes> + Send + Unpin + 'static,
        R::Error: Send,
    {
        let span = request_span(request.method(), request.headers());
        let mut ending = Ending::begin(gate, request.method(), span.clone());
        let entered = enter(&span);
        let begun = gate.begin(request, client, ending.told());
        drop(entered);
        let begun = match begun {
            // At once, and without a box: most requests to a priced route are unpaid.
            Begun::Decided(Decision::Answer(answer)) => {
                ending.answered(answer.status().as_u16(), None);
                return GateFuture::now(answer.map(GateResponseBody::Gate));
            }
            begun => begun,
        };
        let (inner, ending) = (service(), Box::new(ending));
        let begun = match begun {
            // Called at once, so that what waits is small: the request is not in it.
            Begun::Decided(Decision::Serve(request, permit)) if !permit.is_paid() => {
                let called = span.in_scope(|| Called::begin(inner, request, &ending));
                return GateFuture::later(called.answered(permit, ending).instrument(span));
            }
            begun => begun,
        };
        let (gate, mut ending) = (gate.clone(), ending);
        let answered = async move {
            let decision = match begun {
                Begun::Decided(decision) => decision,
                Begun::Waits(waiting) => gate.go_on(*waiting, ending.told()).await,
            };
            match decision {
                Decision::Answer(answer) => {
                    ending.answered(answer.status().as_u16(), None);
                    Ok(answer.map(GateResponseBody::Gate))
                }
                Decision::Kept(answer) => {
                    ending.answered(answer.status().as_u16(), None);
                    ending.paid(answer.extensions().get::<PaidBy>());
                    Ok(answer.map(|body| GateResponseBody::Kept(body).watched(ending)))
                }
                Decision::Serve(request, permit) if permit.is_paid() => {
                    ending.paid(permit.paid_by());
                    let served = async {
                        // Until it is taken out of the task, nobody has it.
                        let answer = serve(inner, request, (permit, ending)).await;
                        answer.map(|answer| answer.map(GateResponseBody::withheld))
                    };
                    let answer = outlive_client(served).await;
                    answer.map(|answer| answer.map(GateResponseBody::handed))
                }
                Decision::Serve(request, permit) => serve(inner, request, (permit, ending)).await,
            }
        };
        GateFuture::later(answered.instrument(span))
    }
}

/// What a [`GateService`] answers, when it does.
pub struct GateFuture<T, E>(State<T, E>);

enum State<T, E> {
    /// It was decided as soon as it was asked.
    Answered(Option<T>),
    /// The service, a rail or the store is asked.
    Serving(Pin<Box<dyn Future<Output = Result<T, E>> + Send>>),
}

impl<T, E> GateFuture<T, E> {
    /// There is an answer already.
    pub(crate) const fn now(answer: T) -> Self {
        Self(State::Answered(Some(answer)))
    }

    /// An answer has to be waited for.
    pub(crate) fn later(answer: impl Future<Output = Result<T, E>> + Send + 'static) -> Self {
        Self(State::Serving(Box::pin(answer)))
    }
}

impl<T, E> fmt::Debug for GateFuture<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GateFuture").finish_non_exhaustive()
    }
}

// Nothing in it is pinned in place: the answer is moved out, and the box is its own pin.
impl<T, E> Unpin for GateFuture<T, E> {}

impl<T, E> Future for GateFuture<T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<T, E>> {
        match &mut self.0 {
            State::Answered(answer) => {
                Poll::Ready(Ok(answer.take().expect("a future is not polled again once it is ready")))
            }
            State::Serving(serving) => serving.as_mut().poll(cx),
        }
    }
}

/// Calls the service, and tells the permit how that went.
async fn serve<S, B, R>(
    inner: S,
    request: Request<GateBody<B>>,
    (permit, ending): (Permit, Box<Ending>),
) -> Result<Response<GateResponseBody<R>>, S::Error>
where
    S: Service<Request<GateBody<B>>, Response = Response<R>>,
    R: Body<Data = Bytes> + Send + Unpin + 'static,
    R::Error: Send,
{
    Called::begin(inner, request, &ending).answered(permit, ending).await
}

/// A service that was called.
struct Called<F> {
    answer: F,
    begun: Instant,
    span: Span,
}

impl<F> Called<F> {
    fn begin<S, B>(mut service: S, mut request: Request<GateBody<B>>, ending: &Ending) -> Self
    where
        S: Service<Request<GateBody<B>>, Future = F>,
    {
        let span = tracing::info_span!(target: SPANS, "upstream", status = Empty, code = Empty);
        span.in_scope(|| propagate(ending.observer(), &mut request));
        let begun = Instant::now();
        let answer = span.in_scope(|| service.call(request));
        Self { answer, begun, span }
    }

    /// Its answer, and what the permit makes of it.
    async fn answered<R, E>(
        self,
        permit: Permit,
        mut ending: Box<Ending>,
    ) -> Result<Response<GateResponseBody<R>>, E>
    where
        F: Future<Output = Result<Response<R>, E>>,
        R: Body<Data = Bytes> + Send + Unpin + 'static,
        R::Error: Send,
    {
        let Self { answer, begun, span } = self;
        let answered = answer.instrument(span.clone()).await;
        ending.upstream(&answered, begun.elapsed(), &span);
        drop(span);
        match answered {
            Ok(response) => {
                let response = permit.finish(response).await;
                if let Some(by) = response.extensions().get::<PaidBy>() {
                    ending.paid(Some(by));
                }
                Ok(response.map(|body| body.watched(ending)))
            }
            Err(error) => {
                permit.failed().await;
                Err(error)
            }
        }
    }
}

/// Runs a call that goes on when this future is dropped. Its answer is dropped then, which records what becomes of it.
async fn outlive_client<T: Send + 'static>(call: impl Future<Output = T> + Send + 'static) -> T {
    match tokio::spawn(call.in_current_span()).await {
        Ok(answer) => answer,
        Err(error) => match error.try_into_panic() {
            // The caller sees a service that panics as it would without a task in between.
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down: there is nobody to answer, and the next start gives the lease back.
            Err(_) => std::future::pending().await,
        },
    }
}
