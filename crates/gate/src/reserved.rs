//! A call whose payment is settled after the service has answered: its answer is held until then, or dropped.
//!
//! | the service | recorded | the client gets |
//! |---|---|---|
//! | answers with a status other than 2xx and 3xx | `Failed` | that answer; nothing was charged |
//! | gives no answer, or a body that breaks before it is let out | `Failed` | 502; nothing was charged |
//! | answers 2xx or 3xx, with a body that is whole soon and small enough | `Settling`, with the answer | the answer, once it is settled |
//! | answers 2xx or 3xx, with a longer body or a stream | `Settling` | the same; how that ends is [`crate::delivery`]'s |
//!
//! A settlement that is refused drops the answer (402), and so does one whose outcome is not known (503): the answer is a credit
//! with the claim as soon as it is. What was spent on the answer is the seller's loss; that is what this order means.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use farthing_protocol::flow::gate::{Outcome, ServeAction, ServeEvent, ServeFlow};
use farthing_protocol::ports::{ClaimStep, ReservationFate, SettleError};
use farthing_protocol::{Problem, UnixMs};
use http::header::CONTENT_TYPE;
use http::{Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::BodyExt;

use crate::answer::{self, Answer, make_private};
use crate::delivery::{Asked, Paid, PaidBy, scrubbed};
use crate::gate::Gate;
use crate::kept::AnswerCopy;
use crate::lease::Holding;
use crate::observe::{GateEvent, Told, Undelivered};
use crate::passing::{DeliveryBody, GateResponseBody};
use crate::settle::Settling;

/// A reserved payment whose call is to be served, once.
pub(crate) struct Reserved {
    pub(crate) gate: Gate,
    /// The route's place in the gate.
    pub(crate) index: usize,
    pub(crate) by: PaidBy,
    pub(crate) asked: Asked,
    /// What the client prefers to pay with, for a fresh challenge.
    pub(crate) accept: Option<String>,
    /// The body's digest, for a fresh challenge that is bound to it.
    pub(crate) digest: Option<String>,
    /// Until when something that answers the challenge may be looked at.
    pub(crate) until: UnixMs,
    pub(crate) open: Option<Open>,
}

/// What is to be ended.
pub(crate) struct Open {
    pub(crate) flow: ServeFlow,
    pub(crate) holding: Holding,
}

/// What has been read of an answer before it is let out.
enum Read<B> {
    /// All of it, small enough to be kept.
    Whole(Response<B>, Vec<Frame<Bytes>>, AnswerCopy),
    /// A part, and more is to come.
    Stream(Response<B>, Vec<Frame<Bytes>>, AnswerCopy),
    /// It broke.
    Broken,
}

/// How the flow goes on once the service has answered.
enum Settled {
    /// The answer goes out, without having been charged.
    Uncharged,
    /// The answer goes out.
    Deliver(Box<Outcome>, Box<Holding>),
    /// The answer is dropped.
    Instead(Box<Answer>),
}

impl Reserved {
    /// The answer as it goes out.
    pub(crate) async fn deliver<B>(mut self, response: Response<B>) -> Response<GateResponseBody<B>>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Send,
    {
        let response = scrubbed(response);
        let status = response.status().as_u16();
        if !Outcome::is_bought(status) {
            let event = ServeEvent::Answered { status, answer: None };
            drop(self.end(event, Undelivered::Status(status)).await);
            let mut response = response;
            make_private(response.headers_mut());
            return response.map(|body| GateResponseBody::Service(DeliveryBody::free(body)));
        }
        let copy = self.gate.inner().copies.begin(&response, self.asked.target);
        let (response, before, copy, answer) = match read(response, copy, &self.asked).await {
            Read::Whole(response, before, copy) => {
                let answer = copy.snapshot();
                (response, before, copy, answer)
            }
            Read::Stream(response, before, copy) => (response, before, copy, None),
            Read::Broken => {
                drop(self.end(ServeEvent::NoAnswer, Undelivered::BodyBroke).await);
                return broken().map(GateResponseBody::Gate);
            }
        };
        match self.end(ServeEvent::Answered { status, answer }, Undelivered::Dropped).await {
            Settled::Deliver(outcome, holding) => {
                let copies = Arc::clone(&self.gate.inner().copies);
                let paid = Paid::new(*outcome, self.asked.clone(), &copies, *holding);
                paid.pass(response, copy, before).map(GateResponseBody::Service)
            }
            Settled::Instead(answer) => answer.map(GateResponseBody::Gate),
            // The flow charges for what was bought, and says otherwise for nothing else.
            Settled::Uncharged => broken().map(GateResponseBody::Gate),
        }
    }

    /// The service gave no answer: nothing is charged.
    pub(crate) async fn failed(mut self) {
        drop(self.end(ServeEvent::NoAnswer, Undelivered::NoAnswer).await);
    }

    /// Tells the flow what the service did, and carries out what follows.
    async fn end(&mut self, event: ServeEvent, why: Undelivered) -> Settled {
        let Some(Open { mut flow, mut holding }) = self.open.take() else {
            return Settled::Instead(Box::new(broken()));
        };
        let inner = self.gate.inner();
        let mut action = flow.handle(event, inner.clock.now());
        loop {
            let event = match action {
                ServeAction::Record { id, step } => {
                    // A renewal that arrived after a step would be refused, and the lease taken for lost.
                    holding.pause().await;
                    ServeEvent::Recorded(holding.recorder().advance(&id, step).await)
                }
                ServeAction::Settle { offer, plan } => {
                    let _place = inner.verifications.acquire().await;
                    let verifier = inner.routes[self.index].verifier(offer);
                    let Some(verifier) = verifier else { return Settled::Instead(Box::new(broken())) };
                    let money = flow.reserved().paid.as_ref();
                    let what = Settling { route: &self.asked.route, verifier, plan: &plan, money };
                    let settlement = inner.settle(what).await;
                    if matches!(settlement, Err(SettleError::Rejected(_) | SettleError::Reverted(_))) {
                        inner.attempts.refused(&flow.reserved().id, self.until, inner.clock.now());
                    }
                    ServeEvent::Settlement(settlement)
                }
                ServeAction::Uncharged => {
                    let event = GateEvent::Uncharged { route: &self.asked.route, why };
                    inner.observer.observe(event);
                    return Settled::Uncharged;
                }
                ServeAction::Deliver(outcome) => {
                    holding.resume();
                    return Settled::Deliver(outcome, Box::new(holding));
                }
                ServeAction::Challenge(problem) => return self.challenge(&problem).await,
                ServeAction::Withhold { problem, retry_after_s } => {
                    return Settled::Instead(Box::new(self.refuse(&problem, retry_after_s)));
                }
            };
            action = flow.handle(event, inner.clock.now());
        }
    }

    async fn challenge(&self, problem: &Problem) -> Settled {
        let mut told = Told { route: Some(self.index), code: None };
        let (accept, digest) = (self.accept.as_deref(), self.digest.as_deref());
        Settled::Instead(Box::new(self.gate.issue(self.index, problem, (accept, digest), &mut told).await))
    }

    fn refuse(&self, problem: &Problem, retry_after_s: Option<u32>) -> Answer {
        let event = GateEvent::Refused { route: Some(&self.asked.route), code: problem.code };
        self.gate.inner().observer.observe(event);
        answer::refuse(problem, retry_after_s)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        // Nobody said how it ended: the request was dropped, or the service panicked.
        let Some(Open { flow, holding }) = self.open.take() else { return };
        let event = GateEvent::Uncharged { route: &self.asked.route, why: Undelivered::Dropped };
        holding.recorder().observer.observe(event);
        let (why, holder) = ("service_dropped".to_owned(), Some(flow.reserved().holder));
        let step = ClaimStep::Failed { why, reservation: ReservationFate::Released, holder };
        drop(holding.end(step, ()));
    }
}

impl fmt::Debug for Reserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reserved").field("by", &self.by).finish_non_exhaustive()
    }
}

fn broken() -> Answer {
    let detail = "The service's answer broke off, and nothing was charged. Send the same credential again.";
    answer::plain(StatusCode::BAD_GATEWAY, "answer_broken", detail)
}

/// Reads a body as far as it is waited for.
async fn read<B>(response: Response<B>, mut copy: AnswerCopy, asked: &Asked) -> Read<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    let head = crate::passing::Head::of(&asked.method, &response);
    let mut before = Vec::new();
    if head.is_alone() || response.body().is_end_stream() {
        return Read::Whole(response, before, copy);
    }
    let is_stream = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().to_ascii_lowercase().starts_with(b"text/event-stream"));
    if is_stream || !copy.fits() {
        return Read::Stream(response, before, copy);
    }
    let (parts, mut body) = response.into_parts();
    let hold = tokio::time::sleep(Duration::from_millis(copy.options().hold_ms));
    tokio::pin!(hold);
    let mut passed = 0;
    loop {
        // The body first: what is there is taken, however short the wait.
        let frame = tokio::select! {
            biased;
            frame = body.frame() => frame,
            () = &mut hold => return Read::Stream(Response::from_parts(parts, body), before, copy),
        };
        match frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    passed += data.len() as u64;
                    copy.push(data);
                }
                before.push(frame);
                if !copy.fits() {
                    return Read::Stream(Response::from_parts(parts, body), before, copy);
                }
            }
            Some(Err(_)) => return Read::Broken,
            None if head.is_whole(passed) => {
                return Read::Whole(Response::from_parts(parts, body), before, copy);
            }
            None => return Read::Broken,
        }
    }
}
