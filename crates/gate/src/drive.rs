//! Drives the seller's flow for one credential: carries out each action that `GateFlow` names, and nothing else. Runs in a
//! task of its own, so that it ends whether or not anybody waits.

use bytes::Bytes;
use farthing_protocol::digest::Sha256Digest;
use farthing_protocol::flow::gate::{Action, BodyTooLarge, Event, GateFlow, Offer, Outcome, Terms};
use farthing_protocol::ports::{
    AdvanceError, ClaimId, ClaimStep, Delivery, SettleError, VerifyError, VerifyRequest,
};
use farthing_protocol::{Credential, CredentialBuf, ParseError, Problem, ProblemKind};
use http_body::Body;
use http_body_util::Full;

use crate::body::{BoxError, GateBody, ReadError, read};
use crate::delivery::{Delivering, Paid, PaidBy, Slot};
use crate::gate::{Gate, Inner, Priced};

/// How a flow ended.
pub(crate) enum Driven<B> {
    /// Serve it: the payment is settled and the delivery has begun.
    Deliver(Box<Paid>, GateBody<B>),
    /// 402 with fresh challenges; the body is there for its digest.
    Challenge(Problem, GateBody<B>),
    /// Another answer.
    Refuse { problem: Problem, retry_after_s: Option<u32> },
    /// The body did not arrive whole. Nothing was done with the payment.
    BodyBroken,
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
    let Some(priced) = &route.priced else { return Driven::BodyBroken };
    let credential = match credential.view() {
        Ok(credential) => credential,
        Err(error) => return Driven::Challenge(malformed(&error), body),
    };
    let offers: Vec<Offer<'_>> = priced
        .ways
        .iter()
        .map(|way| Offer {
            method: way.verifier.method().as_str(),
            intent: way.verifier.intent().as_str(),
            request: way.prepared.request(),
        })
        .collect();
    let terms = Terms { realm: &inner.realm, scope: &route.name, offers: &offers, lease_ms: inner.lease_ms };
    let mut flow = GateFlow::new(terms, &credential);
    let mut driver = Driver { inner, priced, credential: &credential, offer: 0, slot: None };
    let mut action = flow.start(&inner.binder);
    loop {
        let event = match action {
            Action::Challenge(problem) => return Driven::Challenge(problem, body),
            Action::Refuse { problem, retry_after_s } => return Driven::Refuse { problem, retry_after_s },
            Action::Deliver(outcome) => return driver.deliver(*outcome, body),
            Action::ReadBody => match read(body, inner.max_bound_body_bytes).await {
                Ok(bytes) => {
                    let digest = Sha256Digest::of(&bytes);
                    body = GateBody::Read(Full::new(bytes));
                    Event::Body(Ok(digest))
                }
                Err(ReadError::TooLarge) => {
                    body = GateBody::Read(Full::default());
                    Event::Body(Err(BodyTooLarge { max: inner.max_bound_body_bytes }))
                }
                Err(ReadError::Broken) => return Driven::BodyBroken,
            },
            other => driver.carry_out(other).await,
        };
        action = flow.handle(event, inner.clock.now());
    }
}

fn malformed(error: &ParseError) -> Problem {
    Problem::new(ProblemKind::MalformedCredential, error.code(), error.to_string())
}

struct Driver<'a> {
    inner: &'a Inner,
    priced: &'a Priced,
    credential: &'a Credential<'a>,
    offer: usize,
    slot: Option<Slot>,
}

impl Driver<'_> {
    /// Does what an action with IO asks for.
    async fn carry_out(&mut self, action: Action) -> Event {
        let (store, clock) = (&self.inner.store, &self.inner.clock);
        match action {
            Action::Recall { offer, id } => {
                self.offer = offer;
                let keys = self.priced.ways[offer].verifier.keys(self.credential);
                // A payload that cannot be read costs the store nothing.
                let claim = if keys.is_ok() { store.get(&id).await } else { Ok(None) };
                if let Err(error) = &claim {
                    tracing::error!(%error, "a claim could not be looked up");
                }
                Event::Recalled { keys, claim }
            }
            Action::Verify { offer, expires } => {
                let request = VerifyRequest { credential: self.credential, expires, now: clock.now() };
                let verified = self.priced.ways[offer].verifier.verify(request).await;
                if let Err(VerifyError::Unavailable { detail }) = &verified {
                    tracing::warn!(rail = self.priced.ways[offer].verifier.rail(), %detail, "a payment could not be verified");
                }
                Event::Verified(verified)
            }
            Action::Claim(new) => {
                let claimed = store.claim(*new, clock.now()).await;
                if let Err(error) = &claimed {
                    tracing::error!(%error, "a payment could not be claimed");
                }
                Event::Claimed(claimed)
            }
            Action::Settle { offer, plan } => {
                let verifier = &self.priced.ways[offer].verifier;
                let settlement = verifier.settle(&plan, clock.now()).await;
                if let Err(SettleError::Unknown { detail }) = &settlement {
                    tracing::warn!(rail = verifier.rail(), %detail, "the outcome of a settlement is not known");
                }
                Event::Settlement(settlement)
            }
            Action::Record { id, step } => Event::Recorded(self.record(id, step).await),
            // The loop in `drive` has taken these; an answer to another question makes the flow stop safely.
            Action::Challenge(_) | Action::Refuse { .. } | Action::ReadBody | Action::Deliver(_) => {
                Event::Body(Err(BodyTooLarge { max: 0 }))
            }
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
        let by = PaidBy {
            payer: outcome.payer.clone(),
            reference: outcome.receipt.reference.clone(),
            amount: self.priced.ways[self.offer].money.clone(),
        };
        let delivering = Delivering::begin(self.inner.recorder.clone(), slot);
        Driven::Deliver(Box::new(Paid { outcome, by, delivering }), body)
    }
}
