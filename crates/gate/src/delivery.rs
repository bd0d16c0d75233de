//! The last part of a paid call: from the settled payment to the end of the answer's body, and what is then recorded.
//!
//! A claim is `Delivering` from before the inner service is called until one of these happens:
//!
//! | what happens | recorded |
//! |---|---|
//! | the service answers with a status other than 2xx and 3xx | `Undelivered`, before the answer goes out |
//! | the service fails or panics | `Undelivered` |
//! | a 2xx or 3xx body ends in an error (upstream reset, half a body, a limit) | `Undelivered`, before the error goes out |
//! | a 2xx or 3xx body ends, or the client stops reading it | `Delivered` |
//! | the client leaves before the answer's head | as the service answers: the call goes on ([`crate::GateService`]) |
//! | the process dies | nothing: the lease is released at the next start, and the payer is served again |
//!
//! So `Delivered` is recorded when the last byte was handed over and not before the first: a payer is rather served twice
//! by a crash than never. A client that stops reading has been served, else
//! the last byte would be free for ever; one that leaves before the first byte has been served too when the service has done its
//! work, else one payment would buy any number of executions.
//! While a delivery lasts, its lease is renewed, and [`InFlight`] refuses every other copy in this process whatever the lease
//! says, so that a slow delivery is never doubled.
//!
//! Recording is done in tasks of their own: a request future that is dropped abandons no claim.

use std::collections::HashSet;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use farthing_money::Money;
use farthing_protocol::flow::gate::Outcome;
use farthing_protocol::ports::{AdvanceError, ClaimId, ClaimStep, ClaimStore, Clock};
use http::Response;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::answer::{attach_receipt, make_private};
use crate::credential::scrub_response;

/// Who paid for this request: an extension of the request that the inner service gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaidBy {
    /// The payer, such as `did:pkh:eip155:4217:0x…`, where known.
    pub payer: Option<String>,
    /// The receipt's reference: a transaction hash, a challenge id.
    pub reference: String,
    /// What was paid, where it is known: as the rail verified it, or, for a credit that is redeemed later, what the offer that it
    /// was paid for asks. None when the route has had other terms since: the store keeps no amounts.
    pub amount: Option<Money>,
}

/// Claims that this process is delivering.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    ids: Mutex<HashSet<ClaimId>>,
    idle: Notify,
}

/// A place in [`InFlight`], given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    all: Arc<InFlight>,
    id: ClaimId,
}

impl InFlight {
    /// The only delivery of `id`, unless there is one.
    pub(crate) fn enter(self: &Arc<Self>, id: &ClaimId) -> Option<Slot> {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.insert(id.clone()).then(|| Slot { all: Arc::clone(self), id: id.clone() })
    }

    /// Waits until nothing is being delivered or recorded.
    pub(crate) async fn idle(&self) {
        loop {
            let woken = self.idle.notified();
            if self.ids.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
                return;
            }
            woken.await;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut ids = self.all.ids.lock().unwrap_or_else(PoisonError::into_inner);
        ids.remove(&self.id);
        if ids.is_empty() {
            self.all.idle.notify_waiters();
        }
    }
}

/// What recording needs.
#[derive(Clone)]
pub(crate) struct Recorder {
    pub(crate) store: Arc<dyn ClaimStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) lease_ms: u64,
}

impl Recorder {
    /// Attempts at a last step before the lease is left to run out.
    const ATTEMPTS: u32 = 6;

    /// Records how a delivery ended. A store that does not answer is asked again; in the end the lease decides.
    async fn record(&self, id: &ClaimId, step: ClaimStep) {
        for attempt in 0..Self::ATTEMPTS {
            match self.store.advance(id, step.clone(), self.clock.now()).await {
                Ok(()) => return,
                Err(AdvanceError::Store(error)) => {
                    tracing::warn!(claim = %id, %error, attempt, "a delivery could not be recorded");
                    tokio::time::sleep(Duration::from_millis(100 << attempt)).await;
                }
                // An attempt before this one was written after all, or the lease ran out in another process's favour.
                Err(error) => {
                    tracing::warn!(claim = %id, %error, "a delivery was recorded by somebody else");
                    return;
                }
            }
        }
        tracing::error!(claim = %id, "a delivery was not recorded; its payer may be served again");
    }

    /// Renews the lease until it is told to stop. Stops between renewals, never within one: a renewal that arrived after
    /// the last step would open the delivery again.
    async fn keep_lease(self, id: ClaimId, stop: Arc<Notify>) {
        let mut wait_ms = self.lease_ms;
        loop {
            tokio::select! {
                () = stop.notified() => return,
                () = tokio::time::sleep(Duration::from_millis(wait_ms)) => {}
            }
            let now = self.clock.now();
            let step = ClaimStep::BeginDelivery { lease_until: now.plus_ms(self.lease_ms) };
            // The contract renews leases that have run out. Until then the step is refused, and is tried again soon.
            wait_ms = match self.store.advance(&id, step, now).await {
                Ok(()) => self.lease_ms,
                Err(AdvanceError::WrongState { state: "delivering" } | AdvanceError::Store(_)) => {
                    (self.lease_ms / 10).max(50)
                }
                Err(_) => return,
            };
        }
    }
}

/// A delivery that has begun and must be ended in one of the two ways.
pub(crate) struct Delivering {
    open: Option<Open>,
    runtime: Handle,
}

struct Open {
    recorder: Recorder,
    slot: Slot,
    lease: JoinHandle<()>,
    stop: Arc<Notify>,
}

impl Delivering {
    /// Takes over a delivery whose beginning has been recorded.
    pub(crate) fn begin(recorder: Recorder, slot: Slot) -> Self {
        let runtime = Handle::current();
        let stop = Arc::new(Notify::new());
        let lease = runtime.spawn(recorder.clone().keep_lease(slot.id.clone(), Arc::clone(&stop)));
        Self { open: Some(Open { recorder, slot, lease, stop }), runtime }
    }

    /// Ends it. The task that records it runs to its end whether it is awaited or not.
    fn end(&mut self, step: ClaimStep) -> Option<JoinHandle<()>> {
        let Open { recorder, slot, lease, stop } = self.open.take()?;
        stop.notify_one();
        Some(self.runtime.spawn(async move {
            // Never after our step: a late renewal would lead from the credit back to a delivery that nobody makes.
            let _ = lease.await;
            recorder.record(&slot.id, step).await;
            drop(slot);
        }))
    }
}

impl Drop for Delivering {
    fn drop(&mut self) {
        // Nobody said how it ended: the request was dropped, or the service panicked.
        drop(self.end(ClaimStep::Undelivered));
    }
}

/// A settled payment whose call is to be served, once.
pub(crate) struct Paid {
    pub(crate) outcome: Outcome,
    pub(crate) by: PaidBy,
    pub(crate) delivering: Delivering,
}

impl Paid {
    /// The answer on its way out: a 2xx with its receipt (C14), a redirect without; any other once the payment has become a credit
    /// again.
    pub(crate) async fn deliver<B: Body>(
        mut self,
        response: Response<B>,
    ) -> Response<DeliveryBody<B, B::Error>> {
        let mut response = scrubbed(response);
        let step = self.outcome.step(Some(response.status().as_u16()));
        make_private(response.headers_mut());
        if step == ClaimStep::Delivered {
            if response.status().is_success() {
                attach_receipt(response.headers_mut(), &self.outcome.receipt);
            }
            return response.map(|body| DeliveryBody { inner: body, state: State::Open(self.delivering) });
        }
        if let Some(task) = self.delivering.end(step) {
            let _ = task.await;
        }
        response.map(|body| DeliveryBody { inner: body, state: State::Done })
    }

    /// The service gave no answer: the payment becomes a credit again.
    pub(crate) async fn failed(mut self) {
        if let Some(task) = self.delivering.end(self.outcome.step(None)) {
            let _ = task.await;
        }
    }
}

impl fmt::Debug for Paid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Paid").field("id", &self.outcome.id).field("by", &self.by).finish_non_exhaustive()
    }
}

/// The body of an answer behind the gate. It passes everything through and notices how it ends.
pub struct DeliveryBody<B, E> {
    inner: B,
    state: State<E>,
}

enum State<E> {
    /// Nothing is left to record.
    Done,
    /// What a paid call bought, on its way.
    Open(Delivering),
    /// It broke: recorded first, then said.
    Broken { recording: JoinHandle<()>, error: Option<E> },
}

impl<B, E> fmt::Debug for DeliveryBody<B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeliveryBody").finish_non_exhaustive()
    }
}

impl<B, E> DeliveryBody<B, E> {
    /// A body that nobody paid for.
    pub(crate) const fn free(inner: B) -> Self {
        Self { inner, state: State::Done }
    }
}

impl<B> Body for DeliveryBody<B, B::Error>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        if let State::Broken { recording, error } = &mut this.state {
            // However recording went, the client learns that the body broke.
            let _ = ready!(Pin::new(recording).poll(cx));
            let error = error.take();
            this.state = State::Done;
            return Poll::Ready(error.map(Err));
        }
        match ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
            Some(Ok(frame)) => Poll::Ready(Some(Ok(frame))),
            Some(Err(error)) => match std::mem::replace(&mut this.state, State::Done) {
                State::Open(mut delivering) => {
                    let Some(recording) = delivering.end(ClaimStep::Undelivered) else {
                        return Poll::Ready(Some(Err(error)));
                    };
                    this.state = State::Broken { recording, error: Some(error) };
                    Pin::new(this).poll_frame(cx)
                }
                _ => Poll::Ready(Some(Err(error))),
            },
            None => {
                this.finish();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        !matches!(self.state, State::Broken { .. }) && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B, E> DeliveryBody<B, E> {
    /// The answer has been handed over, as far as its reader wanted it.
    fn finish(&mut self) {
        if let State::Open(mut delivering) = std::mem::replace(&mut self.state, State::Done) {
            drop(delivering.end(ClaimStep::Delivered));
        }
    }
}

impl<B, E> Drop for DeliveryBody<B, E> {
    fn drop(&mut self) {
        // hyper drops a body of known length when its last byte is written, and any body when the client has gone.
        self.finish();
    }
}

/// The body of an answer: the gate's own, or the service's.
#[derive(Debug)]
pub enum GateResponseBody<B: Body> {
    /// A challenge or a refusal.
    Gate(Full<Bytes>),
    /// What the service answered.
    Service(DeliveryBody<B, B::Error>),
}

impl<B> Body for GateResponseBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.get_mut() {
            Self::Gate(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Service(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Gate(body) => body.is_end_stream(),
            Self::Service(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Gate(body) => body.size_hint(),
            Self::Service(body) => body.size_hint(),
        }
    }
}

/// Takes out of a served answer what only the gate may say.
pub(crate) fn scrubbed<B>(mut response: Response<B>) -> Response<B> {
    scrub_response(response.headers_mut());
    response
}
