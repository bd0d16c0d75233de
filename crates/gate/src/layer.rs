//! [`GateLayer`]: the gate as a tower layer, for any service that takes `http` requests.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;
use tracing::Instrument;

use crate::body::{BoxError, GateBody};
use crate::delivery::GateResponseBody;
use crate::gate::{Decision, Gate, Permit};

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
/// payer hangs up on. A 2xx or 3xx that nobody waits for any more counts as delivered; a failure leaves a credit, as ever. So
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
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Send,
{
    type Response = Response<GateResponseBody<R>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The service that was made ready is the one to call; the clone takes its place.
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        let gate = self.gate.clone();
        Box::pin(async move {
            match gate.check(request).await {
                Decision::Answer(answer) => Ok(answer.map(GateResponseBody::Gate)),
                Decision::Serve(request, permit) if permit.is_paid() => {
                    outlive_client(serve(inner, request, permit)).await
                }
                Decision::Serve(request, permit) => serve(inner, request, permit).await,
            }
        })
    }
}

/// Calls the service, and tells the permit how that went.
async fn serve<S, B, R>(
    mut inner: S,
    request: Request<GateBody<B>>,
    permit: Permit,
) -> Result<Response<GateResponseBody<R>>, S::Error>
where
    S: Service<Request<GateBody<B>>, Response = Response<R>>,
    R: Body<Data = Bytes>,
{
    match inner.call(request).await {
        Ok(response) => Ok(permit.finish(response).await),
        Err(error) => {
            permit.failed().await;
            Err(error)
        }
    }
}

/// Runs a call that goes on when this future is dropped. Its answer is dropped then, which records the delivery.
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
