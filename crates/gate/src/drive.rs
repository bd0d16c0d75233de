//! Drives the seller's flow for one credential: carries out each action that `GateFlow` names, and nothing else. Runs in a
//! task of its own, so that it ends whether or not anybody waits.

use std::sync::Arc;

use bytes::Bytes;
use farthing_money::Money;
use farthing_protocol::digest::Sha256Digest;
use farthing_protocol::flow::gate::{Action, BodyTooLarge, Event, GateFlow, Offer, Outcome, Terms};
use farthing_protocol::ports::{
    AdvanceError, ClaimId, ClaimOutcome, ClaimStep, Delivery, SettleError, Timing, Verifier, VerifyError,
    VerifyRequest,
};
use farthing_protocol::{Credential, CredentialBuf, ParseError, Problem, ProblemKind, UnixMs};
use http_body::Body;
use http_body_util::Full;
use tokio::sync::SemaphorePermit;

use crate::body::{BoxError, GateBody, ReadError};
use crate::delivery::{Delivering, Paid, PaidBy, Slot};
use crate::gate::{Gate, Inner, Priced, Way};

/// How a flow ended.
pub(crate) enum Driven<B> {
    /// Serve it: the payment is settled and the delivery has begun.
    Deliver(Box<Paid>, GateBody<B>),
    /// 402 with fresh challenges; the body is there for its digest.
    Challenge(Problem, GateBody<B>),
    /// Another answer.
    Refuse { problem: Problem, retry_after_s: Option<u32> },
    /// The body was not read. Nothing was done with the payment.
    Unreadable(ReadError),
}

/// Runs the flow to its end.
pub(crate) async fn drive<B>(gate: Gate, index: usize, credential: CredentialBuf, body: B) -> Driven<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let inner = gate.inner();
    let mut body = GateBody::Stream(body);
    let route = &inner.routes[index];
    let Some(priced) = &route.priced else { return Driven::Unreadable(ReadError::Broken) };
    let credential = match credential.view() {
        Ok(credential) => credential,
        Err(error) => return Driven::Challenge(malformed(&error), body),
    };
    let (offers, verifiers) = offers(inner, priced);
    let terms = Terms { realm: &inner.realm, scope: &route.name, offers: &offers, lease_ms: inner.lease_ms };
    let mut flow = GateFlow::new(terms, &credential);
    let mut driver = Driver::new(inner, priced, &credential, verifiers);
    let mut action = flow.start(&inner.binder);
    loop {
        let event = match action {
            Action::Challenge(problem) => return Driven::Challenge(problem, body),
            Action::Refuse { problem, retry_after_s } => return Driven::Refuse { problem, retry_after_s },
            Action::Deliver(outcome) => return driver.deliver(*outcome, body),
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

/// What the route offers, and after it every rail that it does not: a payment that was made when the route had other terms is
/// recognised by its own rail, and is good for the call that it bought. No challenge has their request, so that nothing new is
/// verified by them.
fn offers<'a>(inner: &'a Inner, priced: &'a Priced) -> (Vec<Offer<'a>>, Vec<&'a dyn Verifier>) {
    let offer = |verifier: &'a dyn Verifier, request| Offer {
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
                Driven::Refuse { problem, retry_after_s: Some(1) }
            }
            Self::Exhausted => {
                let detail = "Too many payments for this challenge were refused. Use a fresh challenge.";
                let problem = Problem::new(ProblemKind::VerificationFailed, "challenge_exhausted", detail);
                Driven::Challenge(problem, body)
            }
        }
    }
}

struct Driver<'a> {
    inner: &'a Inner,
    priced: &'a Priced,
    credential: &'a Credential<'a>,
    /// One for each offer of the flow.
    verifiers: Vec<&'a dyn Verifier>,
    id: ClaimId,
    /// Until when something that answers the challenge may be looked at.
    until: UnixMs,
    /// Who pays, as the rail verified it and the store keeps it. What a credential says of its source is verified once: a
    /// credit could else be redeemed in somebody else's name.
    payer: Option<String>,
    /// What was paid, as the rail verified it, or as the offer asks that the credential answers.
    paid: Option<Money>,
    place: Option<SemaphorePermit<'a>>,
    slot: Option<Slot>,
}

impl<'a> Driver<'a> {
    fn new(
        inner: &'a Inner,
        priced: &'a Priced,
        credential: &'a Credential<'a>,
        verifiers: Vec<&'a dyn Verifier>,
    ) -> Self {
        Self {
            inner,
            priced,
            credential,
            verifiers,
            id: ClaimId(credential.challenge.id.clone().into_owned()),
            until: UnixMs::from_ms(0),
            payer: None,
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
        self.place = self.inner.verifications.try_acquire().ok();
        self.place.is_none().then_some(NotAdmitted::Busy)
    }

    async fn verify(&mut self, offer: usize, expires: UnixMs, timing: Timing) -> Event {
        let (verifier, now) = (self.verifiers[offer], self.inner.clock.now());
        self.until = expires.plus_ms(verifier.late_ms());
        let request = VerifyRequest { credential: self.credential, expires, now, timing };
        let verified = verifier.verify(request).await;
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

    fn refused(&self) {
        self.inner.attempts.refused(&self.id, self.until, self.inner.clock.now());
    }

    /// The claim, and what money the credential names in the words of the rail that it was claimed with.
    async fn recall(&mut self, offer: usize, id: &ClaimId) -> Event {
        let verifier = self.verifiers[offer];
        let way = self.priced.ways.get(offer);
        let current = way.filter(|way| way.prepared.request().as_str() == self.credential.challenge.request);
        self.paid = current.map(|way| way.money.clone());
        let mut keys = verifier.keys(self.credential);
        // A payload that cannot be read costs the store nothing; under other terms, another rail may read it.
        if keys.is_err() && current.is_some() {
            return Event::Recalled { keys, claim: Ok(None) };
        }
        let claim = self.inner.store.get(id).await;
        match &claim {
            Ok(Some(claim)) => {
                self.payer.clone_from(&claim.new.payer);
                let rail = claim.new.plan.rail.as_str();
                if rail != verifier.rail()
                    && let Some(rail) = self.inner.rails.get(rail)
                {
                    // What the offer asks for is another rail's money.
                    self.paid = None;
                    keys = rail.keys(self.credential);
                }
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "a claim could not be looked up"),
        }
        Event::Recalled { keys, claim }
    }

    /// Does what an action with IO asks for.
    async fn carry_out(&mut self, action: Action) -> Event {
        let (store, clock) = (&self.inner.store, &self.inner.clock);
        match action {
            Action::Recall { offer, id } => self.recall(offer, &id).await,
            Action::Claim(new) => {
                self.payer.clone_from(&new.payer);
                let claimed = store.claim(*new, clock.now()).await;
                match &claimed {
                    Ok(ClaimOutcome::Existing(claim)) => self.payer.clone_from(&claim.new.payer),
                    Ok(_) => {}
                    Err(error) => tracing::error!(%error, "a payment could not be claimed"),
                }
                Event::Claimed(claimed)
            }
            Action::Settle { offer, plan } => {
                let verifier = self.verifiers[offer];
                let settlement = verifier.settle(&plan, clock.now()).await;
                match &settlement {
                    Ok(_) => {}
                    Err(SettleError::Unknown { detail }) => {
                        tracing::warn!(rail = verifier.rail(), %detail, "the outcome of a settlement is not known");
                    }
                    Err(_) => self.refused(),
                }
                Event::Settlement(settlement)
            }
            Action::Record { id, step } => Event::Recorded(self.record(id, step).await),
            // The loop in `drive` has taken these; an answer to another question makes the flow stop safely.
            Action::Challenge(_)
            | Action::Refuse { .. }
            | Action::ReadBody
            | Action::Verify { .. }
            | Action::Deliver(_) => Event::Body(Err(BodyTooLarge { max: 0 })),
        }
    }

    async fn record(&mut self, id: ClaimId, step: ClaimStep) -> Result<(), AdvanceError> {
        let begins = matches!(
            step,
            ClaimStep::BeginDelivery { .. } | ClaimStep::Settled { delivery: Delivery::Begin { .. }, .. }
        );
        let slot = if begins {
            // This process is serving it, or has not recorded yet that it did, whatever the lease says.
            let busy = AdvanceError::WrongState { state: "delivering" };
            Some(self.inner.in_flight.enter(&id).ok_or(busy)?)
        } else {
            None
        };
        let recorded = self.inner.store.advance(&id, step, self.inner.clock.now()).await;
        match &recorded {
            Ok(()) => self.slot = slot,
            Err(error) => tracing::warn!(claim = %id, %error, "a step was not taken"),
        }
        recorded
    }

    fn deliver<B>(self, outcome: Outcome, body: GateBody<B>) -> Driven<B> {
        let Some(slot) = self.slot else {
            // The flow delivers only after a record that begins a delivery.
            let detail = "The payment's state is being checked.";
            let problem = Problem::new(ProblemKind::PaymentPending, "flow_out_of_step", detail);
            return Driven::Refuse { problem, retry_after_s: Some(1) };
        };
        let by =
            PaidBy { payer: self.payer, reference: outcome.receipt.reference.clone(), amount: self.paid };
        let delivering = Delivering::begin(self.inner.recorder.clone(), slot);
        Driven::Deliver(Box::new(Paid { outcome, by, delivering }), body)
    }
}
