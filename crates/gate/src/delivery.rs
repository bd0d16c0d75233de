//! The last part of a paid call: from the settled payment to the end of the answer's body, and what is then recorded.
//!
//! A claim is `Delivering` from before the inner service is called until one of these happens:
//!
//! | what happens | recorded | the payer has |
//! |---|---|---|
//! | the service answers with a status other than 2xx and 3xx | `Undelivered`, before the answer goes out | the call to come, or its money back |
//! | the service fails or panics, or its answer is dropped by whoever embeds the gate | `Undelivered` | the same |
//! | a 2xx or 3xx body ends in an error, or short of its announced length | `Undelivered`, before the error goes out | the same |
//! | the same, after the client has broken its own request off | `Undelivered`, at most `redeliveries` times, then `Delivered` | the call again, so often |
//! | a 2xx or 3xx body was handed over to its last byte | `Delivered` | the answer |
//! | the client leaves before that, and the rest of the answer comes and is small enough | `Undelivered` with the answer | that answer, on the same credential, until it was delivered once |
//! | the client leaves before that, and the answer is too large to keep, breaks, or does not end in time | `Undelivered`, at most `redeliveries` times, then `Delivered` | the call again, so often |
//! | the process dies | nothing: the lease runs out, and the payer is served again | the call to come |
//!
//! So `Delivered` is recorded when the last byte was handed over and not before: a payer is rather served twice by a crash than
//! never. Bytes that were bought may be repeated for nothing; executions of the service may not, so that nobody gains by hanging
//! up: an answer that is kept costs no execution, and one that is not is bounded. A call whose payer leaves goes on at the
//! service ([`crate::GateService`]), else one payment would start any number of calls. Whoever hangs up is never given money back
//! for a call that the service did answer. `docs/adr/0008-nobody-gains-by-hanging-up.md` has the reasons.
//!
//! *Handed over* means taken by the server that writes to the client: what the network loses behind that is not seen here.
//! Statuses without a body, and answers to `HEAD`, are handed over with their head.
//!
//! Recording is done in tasks of their own: a request future that is dropped abandons no claim.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use farthing_money::Money;
use farthing_protocol::flow::gate::{self, Outcome, Replay};
use farthing_protocol::ports::{ClaimId, ClaimStep, StoredAnswer};
use http::header::HeaderValue;
use http::{Method, Response, StatusCode};
use http_body::Body;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::Span;

use crate::answer::{Answer, attach_receipt, make_private};
use crate::credential::scrub_response;
use crate::idempotency::{IDEMPOTENT_REPLAYED, PAYMENT_CREDIT};
use crate::kept::{AnswerCopy, Copies, respond};
use crate::lease::Holding;
use crate::observe::{GateEvent, Lasting, Present, SPANS, Undelivered};
use crate::passing::{DeliveryBody, Head, KeptBody, Passing};

/// Who paid for this request: an extension of the request that the inner service gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaidBy {
    /// The payer, such as `did:pkh:eip155:4217:0x…`, where known.
    pub payer: Option<String>,
    /// The receipt's reference: a transaction hash, a challenge id. None where the payment is settled after the service has
    /// answered.
    pub reference: Option<String>,
    /// What is paid, as the rail verified it. None for a credit of a store that did not keep amounts yet.
    pub amount: Option<Money>,
}

/// What is known of the request of a paid call when its answer comes.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) route: Arc<str>,
    pub(crate) method: Method,
    /// Names method and target.
    pub(crate) target: [u8; 32],
    /// Whether the payer has named the request with a key.
    pub(crate) keyed: bool,
    /// The challenge whose payment is kept, because the call had been paid before.
    pub(crate) kept: Option<ClaimId>,
}

impl Asked {
    /// Tells the payer of a payment that is kept.
    pub(crate) fn tell_kept<B>(&self, response: &mut Response<B>) {
        tell_kept(response, self.kept.as_ref());
    }
}

/// Tells the payer of a payment that is kept.
pub(crate) fn tell_kept<B>(response: &mut Response<B>, kept: Option<&ClaimId>) {
    if let Some(Ok(id)) = kept.map(|id| HeaderValue::try_from(id.0.as_str())) {
        response.headers_mut().insert(PAYMENT_CREDIT, id);
    }
}

/// A delivery that has begun and must be ended in one of the ways of the table.
pub(crate) struct Delivering {
    open: Option<Open>,
}

struct Open {
    holding: Holding,
    outcome: Outcome,
    route: Arc<str>,
    begun: Instant,
    present: (Present, Span),
}

/// How a delivery ended.
#[derive(Debug)]
pub(crate) enum End {
    /// With this status, to the last byte; the copy of the answer, where there is one.
    Whole(StatusCode, Option<Box<StoredAnswer>>),
    /// Its reader left, and this is what the service answered.
    LeftKept(Box<StoredAnswer>),
    /// Its reader left an answer with this status, which is not kept.
    LeftUnkept(StatusCode),
    /// The service failed.
    Failed(Undelivered),
}

impl Delivering {
    /// Takes over a delivery whose beginning has been recorded.
    pub(crate) fn begin(holding: Holding, outcome: Outcome, route: Arc<str>) -> Self {
        let span = tracing::info_span!(target: SPANS, "deliver");
        let present = (Present::begin(&holding.recorder().observer, Lasting::Delivery), span);
        Self { open: Some(Open { holding, outcome, route, begun: Instant::now(), present }) }
    }

    /// Whether the answer is kept after it was delivered.
    pub(crate) fn keeps(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.outcome.keep == gate::KeepAnswer::Yes)
    }

    /// Where tasks beside the request run, until it has ended.
    pub(crate) fn runtime(&self) -> Option<Handle> {
        self.open.as_ref().map(|open| open.holding.runtime().clone())
    }

    /// Ends it. The task that records it runs to its end whether it is awaited or not.
    pub(crate) fn end(&mut self, end: End) -> Option<JoinHandle<()>> {
        let Open { holding, outcome, route, begun, present } = self.open.take()?;
        let (status, why, ending) = match end {
            End::Whole(status, answer) => (status, Undelivered::Dropped, gate::Ending::Whole(answer)),
            End::LeftKept(answer) => {
                let status = StatusCode::from_u16(answer.status).unwrap_or_default();
                (status, Undelivered::ClientLeft, gate::Ending::LeftKept(answer))
            }
            End::LeftUnkept(status) => (status, Undelivered::ClientLeft, gate::Ending::LeftUnkept),
            End::Failed(why) => (StatusCode::OK, why, gate::Ending::Failed),
        };
        let step = outcome.step(ending);
        let (route, status, upstream) = (&*route, status.as_u16(), begun.elapsed());
        holding.recorder().observer.observe(match &step {
            ClaimStep::Delivered { .. } => GateEvent::Delivered { route, status, upstream },
            _ => GateEvent::Credited { route, why },
        });
        Some(holding.end(step, present))
    }
}

impl Drop for Delivering {
    fn drop(&mut self) {
        // Nobody said how it ended: the request was dropped, or the service panicked.
        drop(self.end(End::Failed(Undelivered::Dropped)));
    }
}

/// A settled payment whose call is to be served, once.
pub(crate) struct Paid {
    pub(crate) outcome: Outcome,
    pub(crate) by: PaidBy,
    pub(crate) asked: Asked,
    pub(crate) copies: Arc<Copies>,
    pub(crate) delivering: Delivering,
}

impl Paid {
    pub(crate) fn new(outcome: Outcome, asked: Asked, copies: &Arc<Copies>, holding: Holding) -> Self {
        let by = PaidBy {
            payer: outcome.payer.clone(),
            reference: Some(outcome.receipt.reference.clone()),
            amount: outcome.paid.clone(),
        };
        // The answer is in the outcome that this keeps; the one that decides about the end needs none.
        let ending = Outcome { answer: None, ..outcome.clone() };
        let delivering = Delivering::begin(holding, ending, Arc::clone(&asked.route));
        Self { outcome, by, asked, copies: Arc::clone(copies), delivering }
    }

    /// The answer on its way out: a 2xx with its receipt (C14), a redirect without; any other once the payment has become a credit
    /// again.
    pub(crate) async fn deliver<B>(mut self, response: Response<B>) -> Response<DeliveryBody<B, B::Error>>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Send,
    {
        let response = scrubbed(response);
        let status = response.status();
        if Outcome::is_bought(status.as_u16()) {
            let copy = self.copies.begin(&response, self.asked.target);
            return self.pass(response, copy, Vec::new());
        }
        if let Some(task) = self.delivering.end(End::Failed(Undelivered::Status(status.as_u16()))) {
            let _ = task.await;
        }
        let mut response = response.map(DeliveryBody::free);
        make_private(response.headers_mut());
        self.asked.tell_kept(&mut response);
        response
    }

    /// The answer on its way out; `before` was read of its body already, and is in the copy.
    pub(crate) fn pass<B>(
        self,
        mut response: Response<B>,
        copy: AnswerCopy,
        before: Vec<http_body::Frame<Bytes>>,
    ) -> Response<DeliveryBody<B, B::Error>>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Send,
    {
        let head = Head::of(&self.asked.method, &response);
        make_private(response.headers_mut());
        if response.status().is_success() {
            attach_receipt(response.headers_mut(), &self.outcome.receipt);
        }
        self.asked.tell_kept(&mut response);
        response.extensions_mut().insert(self.by);
        let upload = response.extensions_mut().remove();
        let passing = Passing::new(self.delivering, head, copy).uploaded(upload);
        response.map(|body| DeliveryBody::paid(body, before, passing))
    }

    /// The answer that the service gave before, for the same payment; none when there is none.
    pub(crate) fn kept(mut self) -> Result<Response<KeptBody>, Box<Self>> {
        let Some(answer) = self.outcome.answer.take() else { return Err(Box::new(self)) };
        let copy = AnswerCopy::of(&self.copies, &answer, self.asked.target);
        let mut response = respond(&answer);
        if self.asked.keyed {
            response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
        }
        self.delivering.replayed();
        Ok(self.pass(response, copy, Vec::new()))
    }

    /// The service gave no answer: the payment becomes a credit again.
    pub(crate) async fn failed(mut self) {
        if let Some(task) = self.delivering.end(End::Failed(Undelivered::NoAnswer)) {
            let _ = task.await;
        }
    }
}

impl Delivering {
    fn replayed(&self) {
        if let Some(open) = &self.open {
            let event = GateEvent::ReplayServed { route: &open.route };
            open.holding.recorder().observer.observe(event);
        }
    }
}

impl fmt::Debug for Paid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Paid").field("id", &self.outcome.id).field("by", &self.by).finish_non_exhaustive()
    }
}

/// The answer to a call that was served before, once more (C23). Nothing is recorded. None while too many others are on their
/// way out.
pub(crate) fn replay(replay: Replay, copies: &Copies) -> Option<Answer> {
    let mut response = copies.lend(*replay.answer)?;
    make_private(response.headers_mut());
    if response.status().is_success() {
        attach_receipt(response.headers_mut(), &replay.receipt);
    }
    response.headers_mut().insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    Some(response)
}

/// Takes out of a served answer what only the gate may say.
pub(crate) fn scrubbed<B>(mut response: Response<B>) -> Response<B> {
    scrub_response(response.headers_mut());
    response
}
