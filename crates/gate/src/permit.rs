//! [`Decision`] and [`Permit`]: what a gate says to a request, and how it is told what became of it.

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;

use crate::body::GateBody;
use crate::delivery::{Paid, PaidBy, scrubbed};
use crate::passing::{DeliveryBody, GateResponseBody, KeptBody};
use crate::reserved::Reserved;

/// What is to be done with a request.
#[derive(Debug)]
pub enum Decision<B> {
    /// Serve it, and pass the answer through [`Permit::finish`].
    Serve(Request<GateBody<B>>, Permit),
    /// Answer with this.
    Answer(Response<Full<Bytes>>),
    /// Answer with this: the service gave it before, for the same payment, and its payer has not had it. Its body notices whether
    /// it is read to its end.
    Kept(Response<KeptBody>),
}

/// Leave to serve a request. Dropped without [`finish`](Self::finish), a paid call becomes a credit again: serve it in a task that
/// a client cannot end by hanging up, as [`crate::GateService`] does, or one payment buys any number of attempts.
#[derive(Debug)]
pub struct Permit(pub(crate) Kind);

#[derive(Debug)]
pub(crate) enum Kind {
    /// No route of ours: neither the request nor the answer is touched.
    Unmatched,
    /// A free route.
    Free,
    /// A paid call.
    Paid(Box<Paid>),
    /// A call whose payment is settled when the service has answered.
    Reserved(Box<Reserved>),
}

impl Permit {
    /// Whether the call was paid for, or is paid for when the service has answered.
    #[must_use]
    pub const fn is_paid(&self) -> bool {
        matches!(self.0, Kind::Paid(_) | Kind::Reserved(_))
    }

    /// Who paid for the call, where somebody did.
    pub(crate) const fn paid_by(&self) -> Option<&PaidBy> {
        match &self.0 {
            Kind::Paid(paid) => Some(&paid.by),
            _ => None,
        }
    }

    /// The answer as it goes out: scrubbed, with a receipt when the call was paid and served, and watched until its last
    /// byte. Where the payment is settled after the service, this settles it, and may answer with a refusal instead.
    pub async fn finish<B>(self, response: Response<B>) -> Response<GateResponseBody<B>>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Send,
    {
        let response = match self.0 {
            Kind::Unmatched => response.map(DeliveryBody::free),
            Kind::Free => scrubbed(response).map(DeliveryBody::free),
            Kind::Paid(paid) => paid.deliver(response).await,
            Kind::Reserved(reserved) => return reserved.deliver(response).await,
        };
        response.map(GateResponseBody::Service)
    }

    /// The service failed without an answer: a paid call becomes a credit again before this returns, and one that was to be
    /// paid for is not charged.
    pub async fn failed(self) {
        match self.0 {
            Kind::Paid(paid) => paid.failed().await,
            Kind::Reserved(reserved) => reserved.failed().await,
            Kind::Unmatched | Kind::Free => {}
        }
    }
}
