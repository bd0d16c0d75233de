//! Drives the seller's flow for one credential: carries out each action that `GateFlow` names, and nothing else. Runs in a
//! task of its own, so that it ends whether or not anybody waits.

use std::sync::Arc;

use bytes::Bytes;
use farthing_money::Money;
use farthing_protocol::digest::Sha256Digest;
use farthing_protocol::flow::gate::{
    Action, BodyTooLarge, Event, GateFlow, Offer, Outcome, Promise, Replay, Requested, ServeFlow, Terms,
};
use farthing_protocol::ports::{
    AdvanceError, ClaimId, ClaimOutcome, ClaimStep, Delivery, First, NewClaim, SettleError, StoreEpoch,
    Timing, Verifier, VerifyError, VerifyRequest,
};
use farthing_protocol::{Credential, CredentialBuf, ParseError, Problem, ProblemKind, UnixMs};
use http::Method;
use http_body::Body;
use http_body_util::Full;
use tokio::sync::SemaphorePermit;
use tokio::time::Instant;
use tracing::Instrument;
use tracing::field::Empty;

use crate::body::{BoxError, GateBody, ReadError};
use crate::delivery::{Asked, Paid, PaidBy};
use crate::gate::{Gate, Inner, PreparedRoute, Priced, Way};
use crate::lease::{Holding, Slot};
use crate::observe::{Claiming, GateEvent, Lasting, Present, SPANS};
use crate::reserved::{Open, Reserved};
use crate::settle::Settling;

/// What is driven.
pub(crate) struct ToDrive {
    /// The route's place in the gate.
    pub(crate) index: usize,
    pub(crate) credential: CredentialBuf,
    pub(crate) method: Method,
    /// Path and query, in the route's normal form.
    pub(crate) target: String,
    /// The `Idempotency-Key`.
    pub(crate) key: Option<String>,
    /// What the client prefers to pay with.
    pub(crate) accept: Option<String>,
}

/// How a flow ended.
pub(crate) enum Driven<B> {
    /// Serve it: the payment is settled and the delivery has begun.
    Deliver(Box<Paid>, GateBody<B>),
    /// Serve it: the payment is reserved.
    Serve(Box<Reserved>, GateBody<B>),
    /// It was served before; and the challenge whose payment is kept.
    Replay(Box<Replay>, Option<ClaimId>),
    /// 402 with fresh challenges; the body is there for its digest.
    Challenge(Problem, GateBody<B>, Option<ClaimId>),
    /// Another answer.
    Refuse { problem: Problem, retry_after_s: Option<u32>, kept: Option<ClaimId> },
    /// The body was not read. Nothing was done with the payment.
    Unreadable(ReadError),
}

/// Runs the flow to its end.
pub(crate) async fn drive<B>(gate: Gate, what: ToDrive, body: B) -> Driven<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let inner = gate.inner();
    let mut body = GateBody::Stream(body);
    let route = &inner.routes[what.index];
    let Some(priced) = &route.priced else { return Driven::Unreadable(ReadError::Broken) };
    let credential = match what.credential.view() {
        Ok(credential) => credential,
        Err(error) => return Driven::Challenge(malformed(&error), body, None),
    };
    let Ok(epoch) = inner.epoch().await else { return no_store() };
    let (offers, verifiers) = offers(inner, priced);
    let terms = terms(inner, (route, priced), &offers, (&what, epoch));
    let mut flow = GateFlow::new(terms, &credential);
    let mut driver = Driver::new(inner, route, &credential, verifiers);
    let mut action = flow.start(&inner.binder);
    loop {
        let kept = flow.kept();
        let event = match action {
            Action::Challenge(problem) => return Driven::Challenge(problem, body, kept),
            Action::Refuse { problem, retry_after_s } => {
                return Driven::Refuse { problem, retry_after_s, kept };
            }
            Action::Deliver(outcome) => return driver.deliver(*outcome, what.asked(&terms, kept), body),
            Action::Serve(serve) => {
                return driver.serve(*serve, (gate.clone(), what.asked(&terms, kept), what.facts()), body);
            }
            Action::Replay(replay) => return Driven::Replay(replay, kept),
            Action::ReadBody => match inner.bodies.read(body).await {
                Ok(bytes) => {
                    let digest = Sha256Digest::of(&bytes);
                    body = GateBody::Read(Full::new(bytes));
                    Event::Body(Ok(digest))
                }
                Err(ReadError::TooLarge) => {
                    body = GateBody::Read(Full::default());
                    Event::Body(Err(BodyTooLarge { max: inner.bodies.max_bytes() }))
                }
                Err(error) => return Driven::Unreadable(error),
            },
            Action::Verify { offer, expires, timing } => {
                if let Some(refusal) = driver.admit() {
                    return refusal.into_driven(body);
                }
                driver.verify(offer, expires, timing).await
            }
            other => driver.carry_out(other).await,
        };
        action = flow.handle(event, inner.clock.now());
    }
}

fn no_store<B>() -> Driven<B> {
    let detail = "Payments cannot be checked right now. Do not pay again: send the same credential again.";
    let problem = Problem::new(ProblemKind::PaymentPending, "store_unavailable", detail);
    Driven::Refuse { problem, retry_after_s: Some(1), kept: None }
}

fn terms<'a>(
    inner: &'a Inner,
    (route, priced): (&'a PreparedRoute, &'a Priced),
    offers: &'a [Offer<'a>],
    (what, epoch): (&'a ToDrive, StoreEpoch),
) -> Terms<'a> {
    let promise = Promise {
        settle: priced.service.settle,
        amends: priced.service.on_failure,
        redeliveries: inner.copies.options.redeliveries,
        service_ms: inner.service_ms,
    };
    let requested =
        Requested { method: what.method.as_str(), target: &what.target, key: what.key.as_deref() };
    Terms {
        realm: &inner.realm,
        scope: &route.name,
        epoch,
        offers,
        holder: inner.holder(),
        lease_ms: inner.lease_ms,
        promise,
        requested,
    }
}

impl ToDrive {
    fn asked(&self, terms: &Terms<'_>, kept: Option<ClaimId>) -> Asked {
        Asked {
            route: terms.scope.into(),
            method: self.method.clone(),
            target: terms.requested.target_digest(),
            keyed: self.key.is_some(),
            kept,
        }
    }

    fn facts(&self) -> (usize, Option<String>) {
        (self.index, self.accept.clone())
    }
}

/// What the route offers, and after it every rail that it does not: a payment that was made when the route had other terms is
/// recognised by its own rail, and is good for the call that it bought. No challenge has their request, so that nothing new is
/// verified by them.
fn offers<'a>(inner: &'a Inner, priced: &'a Priced) -> (Vec<Offer<'a>>, Vec<&'a dyn Verifier>) {
    let offer = |verifier: &'a dyn Verifier, request| Offer {
        rail: verifier.rail(),
        method: verifier.method().as_str(),
        intent: verifier.intent().as_str(),
        request,
        late_ms: verifier.late_ms(),
    };
    let ways = priced.ways.iter().map(|way| (way.verifier.as_ref(), way.prepared.request()));
    let elsewhere = inner.rails.values().filter(|rail| !priced.ways.iter().any(|way| same_rail(way, rail)));
    let elsewhere = elsewhere.map(|rail| (rail.as_ref(), &inner.no_request));
    ways.chain(elsewhere).map(|(verifier, request)| (offer(verifier, request), verifier)).unzip()
}

fn same_rail(way: &Way, rail: &Arc<dyn Verifier>) -> bool {
    way.verifier.rail() == rail.rail()
}

fn malformed(error: &ParseError) -> Problem {
    Problem::new(ProblemKind::MalformedCredential, error.code(), error.to_string())
}

/// Why a payment is not looked at.
enum NotAdmitted {
    /// Too many are being looked at.
    Busy,
    /// Too many payments for this challenge were refused.
    Exhausted,
}

impl NotAdmitted {
    fn into_driven<B>(self, body: GateBody<B>) -> Driven<B> {
        match self {
            Self::Busy => {
                let detail =
                    "Too many payments are being checked. Do not pay again: send the same credential again.";
                let problem = Problem::new(ProblemKind::PaymentPending, "gate_busy", detail);
                Driven::Refuse { problem, retry_after_s: Some(1), kept: None }
            }
            Self::Exhausted => {
                let detail = "Too many payments for this challenge were refused. Use a fresh challenge.";
                let problem = Problem::new(ProblemKind::VerificationFailed, "challenge_exhausted", detail);
                Driven::Challenge(problem, body, None)
            }
        }
    }
}

/// The code of a payment that was not verified.
fn verify_code(error: &VerifyError) -> &'static str {
    match error {
        VerifyError::Rejected(problem) => problem.code,
        VerifyError::Replayed => "replayed",
        _ => "unavailable",
    }
}

fn claiming<E>(claimed: &Result<ClaimOutcome, E>) -> Claiming {
    match claimed {
        Ok(ClaimOutcome::New) => Claiming::New,
        Ok(ClaimOutcome::Taken { .. }) => Claiming::Taken,
        Ok(ClaimOutcome::OverBudget { .. }) => Claiming::OverBudget,
        Ok(_) => Claiming::Existing,
        Err(_) => Claiming::Failed,
    }
}

struct Driver<'a> {
    inner: &'a Inner,
    route: &'a PreparedRoute,
    credential: &'a Credential<'a>,
    /// One for each offer of the flow.
    verifiers: Vec<&'a dyn Verifier>,
    id: ClaimId,
    /// Until when something that answers the challenge may be looked at.
    until: UnixMs,
    /// What was paid, as the rail verified it.
    paid: Option<Money>,
    place: Option<(SemaphorePermit<'a>, Present)>,
    slot: Option<Slot>,
}

impl<'a> Driver<'a> {
    fn new(
        inner: &'a Inner,
        route: &'a PreparedRoute,
        credential: &'a Credential<'a>,
        verifiers: Vec<&'a dyn Verifier>,
    ) -> Self {
        Self {
            inner,
            route,
            credential,
            verifiers,
            id: ClaimId(credential.challenge.id.clone().into_owned()),
            until: UnixMs::from_ms(0),
            paid: None,
            place: None,
            slot: None,
        }
    }

    /// Takes a place among those whose payment is verified and settled, and keeps it to the end of the flow.
    fn admit(&mut self) -> Option<NotAdmitted> {
        if self.inner.attempts.exhausted(&self.id) {
            return Some(NotAdmitted::Exhausted);
        }
        let place = self.inner.verifications.try_acquire().ok();
        self.place = place.map(|place| (place, Present::begin(&self.inner.observer, Lasting::Verification)));
        self.place.is_none().then_some(NotAdmitted::Busy)
    }

    async fn verify(&mut self, offer: usize, expires: UnixMs, timing: Timing) -> Event {
        let (verifier, now) = (self.verifiers[offer], self.inner.clock.now());
        self.until = expires.plus_ms(verifier.late_ms());
        let request = VerifyRequest { credential: self.credential, expires, now, timing };
        let begun = Instant::now();
        let span = tracing::info_span!(target: SPANS, "verify", rail = verifier.rail(), code = Empty);
        let verified = verifier.verify(request).instrument(span.clone()).await;
        span.record("code", verified.as_ref().err().map(verify_code));
        drop(span);
        let (route, rail, took) = (&*self.route.name, verifier.rail(), begun.elapsed());
        self.observe(match &verified {
            Ok(_) => GateEvent::Verified { route, rail, took },
            Err(error) => GateEvent::VerifyFailed { route, rail, code: verify_code(error), took },
        });
        match &verified {
            Ok(verified) => self.paid = Some(verified.paid.clone()),
            // Nothing is known of the payment: the payer is told to come again.
            Err(VerifyError::Unavailable { detail }) => {
                tracing::warn!(rail = verifier.rail(), %detail, "a payment could not be verified");
            }
            Err(_) => self.refused(),
        }
        Event::Verified(verified)
    }

    fn observe(&self, event: GateEvent<'_>) {
        self.inner.observer.observe(event);
    }

    fn refused(&self) {
        self.inner.attempts.refused(&self.id, self.until, self.inner.clock.now());
    }

    /// The claim, and what money the credential names in the words of the rail that it was claimed with.
    async fn recall(&self, offer: usize, id: &ClaimId) -> Event {
        let verifier = self.verifiers[offer];
        let ways = self.route.priced.as_ref().map_or(&[][..], |priced| &priced.ways);
        let asked = self.credential.challenge.request.as_ref();
        let current = ways.get(offer).is_some_and(|way| way.prepared.request().as_str() == asked);
        let mut keys = verifier.keys(self.credential);
        // A payload that cannot be read costs the store nothing; under other terms, another rail may read it.
        if keys.is_err() && current {
            return Event::Recalled { keys, claim: Ok(None) };
        }
        let claim = self.inner.store.get(id).await;
        match &claim {
            Ok(Some(claim)) => {
                let rail = claim.new.plan.rail.as_str();
                if rail != verifier.rail()
                    && let Some(rail) = self.inner.rails.get(rail)
                {
                    keys = rail.keys(self.credential);
                }
            }
            Ok(None) => {}
            Err(error) => {
                self.observe(GateEvent::StoreError { during: "get" });
                tracing::error!(%error, "a claim could not be looked up");
            }
        }
        Event::Recalled { keys, claim }
    }

    async fn claim(&mut self, new: NewClaim) -> Event {
        // Whoever serves before it settles begins with the claim.
        let slot = match new.first {
            First::Settle => None,
            First::Serve(_) => match self.inner.in_flight.enter(&new.id) {
                Some(slot) => Some(slot),
                None => return Event::Busy,
            },
        };
        let (rail, begun) = (new.plan.rail.clone(), Instant::now());
        let span = tracing::info_span!(target: SPANS, "claim", outcome = Empty);
        let now = self.inner.clock.now();
        let claimed = self.inner.store.claim(new, now).instrument(span.clone()).await;
        span.record("outcome", claiming(&claimed).name());
        drop(span);
        let (route, outcome, took) = (&*self.route.name, claiming(&claimed), begun.elapsed());
        self.observe(GateEvent::Claimed { route, rail: &rail, outcome, took });
        match &claimed {
            Ok(ClaimOutcome::New) => self.slot = slot,
            Ok(_) => {}
            Err(error) => {
                self.observe(GateEvent::StoreError { during: "claim" });
                tracing::error!(%error, "a payment could not be claimed");
            }
        }
        Event::Claimed(claimed)
    }

    /// Does what an action with IO asks for.
    async fn carry_out(&mut self, action: Action) -> Event {
        match action {
            Action::Recall { offer, id } => self.recall(offer, &id).await,
            Action::Claim(new) => self.claim(*new).await,
            Action::Settle { offer, plan } => {
                let (route, verifier) = (&*self.route.name, self.verifiers[offer]);
                let what = Settling { route, verifier, plan: &plan, money: self.paid.as_ref() };
                let settlement = self.inner.settle(what).await;
                if matches!(settlement, Err(SettleError::Rejected(_) | SettleError::Reverted(_))) {
                    self.refused();
                }
                Event::Settlement(settlement)
            }
            Action::Record { id, step } => match self.record(&id, step).await {
                Some(recorded) => Event::Recorded(recorded),
                None => Event::Busy,
            },
            Action::FetchAnswer { id } => {
                let answer = self.inner.store.answer(&id).await;
                if let Err(error) = &answer {
                    self.observe(GateEvent::StoreError { during: "answer" });
                    tracing::error!(claim = %id, %error, "a kept answer could not be looked up");
                }
                Event::Answer(answer)
            }
            // The loop in `drive` has taken these; an answer to another question makes the flow stop safely.
            Action::Challenge(_)
            | Action::Refuse { .. }
            | Action::ReadBody
            | Action::Verify { .. }
            | Action::Deliver(_)
            | Action::Serve(_)
            | Action::Replay(_) => Event::Body(Err(BodyTooLarge { max: 0 })),
        }
    }

    /// None when this process is serving it, or has not recorded yet that it did, whatever the lease says.
    async fn record(&mut self, id: &ClaimId, step: ClaimStep) -> Option<Result<(), AdvanceError>> {
        let begins = matches!(
            step,
            ClaimStep::BeginDelivery(_) | ClaimStep::Settled { delivery: Delivery::Begin(_), .. }
        );
        let slot = if begins { Some(self.inner.in_flight.enter(id)?) } else { None };
        let recorded = self.inner.recorder.advance(id, step).await;
        if recorded.is_ok() && begins {
            self.slot = slot;
        }
        Some(recorded)
    }

    fn deliver<B>(self, outcome: Outcome, asked: Asked, body: GateBody<B>) -> Driven<B> {
        let Some(slot) = self.slot else { return out_of_step() };
        let holding = Holding::begin(self.inner.recorder.clone(), slot, outcome.holder);
        let paid = Paid::new(outcome, asked, &self.inner.copies, holding);
        Driven::Deliver(Box::new(paid), body)
    }

    fn serve<B>(
        self,
        flow: ServeFlow,
        (gate, asked, (index, accept)): (Gate, Asked, (usize, Option<String>)),
        body: GateBody<B>,
    ) -> Driven<B> {
        let Some(slot) = self.slot else { return out_of_step() };
        let reserved = flow.reserved();
        let by = PaidBy { payer: reserved.payer.clone(), reference: None, amount: reserved.paid.clone() };
        let holding = Holding::begin(self.inner.recorder.clone(), slot, reserved.holder);
        let digest = self.credential.challenge.digest.as_deref().map(str::to_owned);
        let open = Some(Open { flow, holding });
        let until = self.until;
        Driven::Serve(Box::new(Reserved { gate, index, by, asked, accept, digest, until, open }), body)
    }
}

/// The flow delivers only after a record that begins a delivery.
fn out_of_step<B>() -> Driven<B> {
    let detail = "The payment's state is being checked.";
    let problem = Problem::new(ProblemKind::PaymentPending, "flow_out_of_step", detail);
    Driven::Refuse { problem, retry_after_s: Some(1), kept: None }
}
