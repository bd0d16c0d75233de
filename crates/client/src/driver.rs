//! Drives [`PayerFlow`] over HTTP: carries out the actions that it names and tells it what happened. The agent and the
//! middleware share it; they differ in how one request is sent.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use farthing_protocol::flow::payer::{
    Action, Answer, Event, Finish, FlowError, Kept, PaidCall, PayerFlow, Refusal, Repeat,
};
use farthing_protocol::ports::{PayContext, PayError, Payer, Quote};
use farthing_protocol::{Challenge, CredentialHeader, PaymentProof};
use http::header::{HeaderName, HeaderValue, LOCATION, WWW_AUTHENTICATE};
use reqwest::{Request, Response};

use crate::body::{self, SellersWords};
use crate::books::Books;
use crate::consent::{HostAnswer, HostConsent, HostQuestion};
use crate::in_flight::{BeginError, InFlight, Intention, KeyOfOurs};
use crate::journal::Target;
use crate::offer::{self, Known, Payable, Verdict};
use crate::outgoing::{IDEMPOTENCY_KEY, Outgoing};
use crate::{AgentError, IdempotencyKeys, Paid, Payment, PaymentId, PaymentOutcome, Policy, Preference};
use crate::{MeteredVendor, Redirects, again, metered};

const PAYMENT_RECEIPT: HeaderName = HeaderName::from_static("payment-receipt");

/// What calls share.
pub(crate) struct Core {
    pub(crate) payers: Vec<Arc<dyn Payer>>,
    pub(crate) policy: Policy,
    pub(crate) books: Arc<Books>,
    pub(crate) preference: Preference,
    pub(crate) redirects: Redirects,
    /// Whether `Accept-Payment` is sent.
    pub(crate) advertise: bool,
    pub(crate) answer_timeout: Duration,
    /// How long all waits before a credential is sent again may take together.
    pub(crate) max_wait: Duration,
    /// Whether requests that are not idempotent get a key.
    pub(crate) keys: IdempotencyKeys,
    /// Vendors that are called with a key of their own.
    pub(crate) vendors: Vec<MeteredVendor>,
    /// Who is asked about hosts that the policy does not know.
    pub(crate) consent: Option<Arc<dyn HostConsent>>,
    /// When it was last looked for metered calls that only time ends, in milliseconds since the Unix epoch.
    pub(crate) swept_ms: AtomicU64,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let methods: Vec<&str> = self.payers.iter().map(|payer| payer.method().as_str()).collect();
        f.debug_struct("Core")
            .field("methods", &methods)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// No answer came.
#[derive(Debug)]
pub(crate) struct SendError {
    pub(crate) why: String,
}

/// Sends one request once, and follows no redirect.
pub(crate) trait Exchange: Send {
    fn send(&mut self, request: Request) -> impl Future<Output = Result<Response, SendError>> + Send;

    /// The payment that this logical request was already paid with, when somebody outside sends it anew.
    fn already_paid(&self) -> Option<PaymentId> {
        None
    }

    /// This logical request is being paid; or, with `None`, certainly was not.
    fn note_payment(&mut self, _payment: Option<&PaymentId>) {}
}

/// One call, from the unpaid request to the answer.
pub(crate) async fn execute<E: Exchange>(
    core: &Arc<Core>,
    exchange: &mut E,
    request: Request,
) -> Result<Paid<Response>, AgentError> {
    let request = Outgoing::new(request)?;
    if let Some(vendor) = metered::find(core, &request) {
        return metered::execute(core, exchange, (request, vendor)).await;
    }
    let repeat = match (core.keys, request.repeat()) {
        (IdempotencyKeys::Add, Repeat::Harmful) => Repeat::WhenLost,
        (_, repeat) => repeat,
    };
    let mut flow = PayerFlow::new(repeat).with_max_wait_ms(millis(core.max_wait));
    let mut call = Call { core, exchange, request, plan: None, flight: None, begun: None, last: None };
    let mut action = flow.start();
    loop {
        action = match action {
            Action::Send { credential: None, .. } => call.probe(&mut flow).await,
            Action::Send { credential: Some((header, value)), after_ms } => {
                tokio::time::sleep(Duration::from_millis(after_ms)).await;
                call.present(&mut flow, header, value.expose()).await?
            }
            Action::Choose(challenges) => match call.earlier().await? {
                Some(kept) => flow.handle(Event::Kept(Box::new(kept))),
                None => {
                    let chosen = call.choose(challenges).await?;
                    flow.handle(Event::Chosen(Box::new(chosen)))
                }
            },
            Action::Pay(challenge) => {
                let result = call.pay(challenge).await;
                flow.handle(Event::Paid(result))
            }
            Action::Finish(finish) => return call.finish(finish).await,
            Action::Fail(error) => return Err(call.fail(*error).await),
        }
    }
}

/// The unpaid request, and redirects as far as they are followed.
pub(crate) async fn probe<E: Exchange>(
    core: &Core,
    exchange: &mut E,
    request: &mut Outgoing,
) -> Result<Response, SendError> {
    let mut hops_left = match core.redirects {
        Redirects::Return => 0,
        Redirects::Follow { at_most } => at_most,
    };
    loop {
        request.advertise(accept_payment(core, request));
        let next = request.next();
        let response = send(core, exchange, next).await?;
        let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
        let followed = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308)
            && hops_left > 0
            && location.is_some_and(|location| request.redirect(response.status(), location));
        if !followed {
            return Ok(response);
        }
        hops_left -= 1;
    }
}

/// Capabilities are told only where a payment could be made.
fn accept_payment(core: &Core, request: &Outgoing) -> Option<HeaderValue> {
    if !core.advertise || core.policy.admit(request.site()).is_err() {
        return None;
    }
    let preferred = core.preference.method.as_deref();
    let mut ranges: Vec<String> = Vec::new();
    for payer in core.payers.iter().filter(|payer| core.policy.may_pay_by(payer.method().as_str())) {
        let is_preferred = preferred.is_none_or(|method| method == payer.method().as_str());
        for range in payer.accepts() {
            let range = if is_preferred { range } else { format!("{range};q=0.5") };
            if !ranges.contains(&range) {
                ranges.push(range);
            }
        }
    }
    HeaderValue::try_from(ranges.join(", ")).ok().filter(|value| !value.is_empty())
}

pub(crate) async fn send<E: Exchange>(
    core: &Core,
    exchange: &mut E,
    request: Request,
) -> Result<Response, SendError> {
    match tokio::time::timeout(core.answer_timeout, exchange.send(request)).await {
        Ok(result) => result,
        Err(_) => Err(SendError { why: format!("no answer within {} s", core.answer_timeout.as_secs()) }),
    }
}

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Does what may block on files elsewhere; what is moved in comes back.
pub(crate) async fn off_thread<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(act).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down and will not poll this call again.
            Err(_) => std::future::pending().await,
        },
    }
}

struct Call<'a, E> {
    core: &'a Arc<Core>,
    exchange: &'a mut E,
    request: Outgoing,
    /// What was chosen, until it is paid.
    plan: Option<Payable>,
    /// The payment that was begun.
    flight: Option<InFlight>,
    /// Names it, also after a panic took the flight itself.
    begun: Option<PaymentId>,
    last: Option<Response>,
}

impl<E: Exchange> Call<'_, E> {
    async fn probe(&mut self, flow: &mut PayerFlow) -> Action {
        match probe(self.core, self.exchange, &mut self.request).await {
            Ok(response) => self.answered(flow, response, None),
            Err(error) => flow.handle(Event::Unsent { why: error.why }),
        }
    }

    /// Sends the request with the credential, to the origin that asked for it.
    ///
    /// # Errors
    /// When it could not be written down beforehand, and so was not sent.
    async fn present(
        &mut self,
        flow: &mut PayerFlow,
        header: CredentialHeader,
        value: &str,
    ) -> Result<Action, AgentError> {
        let mut request = self.request.next();
        let Ok(mut secret) = HeaderValue::from_str(value) else {
            // A credential is base64url; anything else is not ours to send.
            return Ok(flow.handle(Event::Unsent { why: "the credential is not a header value".to_owned() }));
        };
        secret.set_sensitive(true);
        request.headers_mut().insert(header.name(), secret);
        self.add_key(&mut request);
        if let Some(Err(why)) = self.update(InFlight::sending).await {
            return Err(self.not_sent(why));
        }
        let response = match send(self.core, self.exchange, request).await {
            Ok(response) => response,
            Err(error) => {
                return Ok(flow.handle(Event::Unsent { why: body::clean(&error.why, value) }));
            }
        };
        let (response, words) = if matches!(response.status().as_u16(), 402 | 403 | 409 | 503) {
            body::read_problem(response, value).await
        } else {
            (response, None)
        };
        Ok(self.answered(flow, response, words.as_ref()))
    }

    /// Gives the paid request the payment's key, where the caller gave it none.
    fn add_key(&self, request: &mut Request) {
        let key =
            self.flight.as_ref().and_then(InFlight::key).and_then(|key| HeaderValue::from_str(key).ok());
        if let Some(key) = key {
            request.headers_mut().entry(IDEMPOTENCY_KEY).or_insert(key);
        }
    }

    fn not_sent(&mut self, why: String) -> AgentError {
        self.exchange.note_payment(None);
        match self.begun.clone() {
            Some(payment) => {
                let error = Box::new(PayError::Failed { code: "payment_unrecorded", why });
                AgentError::NotPaid { error, payment }
            }
            None => AgentError::Unrecorded { why },
        }
    }

    /// An earlier payment for this same request that is still open: it is presented, and nothing is paid.
    async fn earlier(&mut self) -> Result<Option<Kept>, AgentError> {
        if self.exchange.already_paid().is_some() || !self.request.can_be_sent_again() {
            return Ok(None);
        }
        let Some((flight, kept)) = again::find(self.core, &self.request).await? else { return Ok(None) };
        self.exchange.note_payment(Some(flight.id()));
        self.begun = Some(flight.id().clone());
        self.flight = Some(flight);
        Ok(Some(kept))
    }

    fn answered(&mut self, flow: &mut PayerFlow, response: Response, words: Option<&SellersWords>) -> Action {
        let headers = response.headers();
        let offers: Vec<&[u8]> =
            headers.get_all(WWW_AUTHENTICATE).iter().map(HeaderValue::as_bytes).collect();
        let action = flow.handle(Event::Answered(Answer {
            status: response.status().as_u16(),
            www_authenticate: &offers,
            receipt: headers.get(PAYMENT_RECEIPT).and_then(|value| value.to_str().ok()),
            retry_after_s: body::retry_after_s(headers, self.core.books.clock.now()),
            problem: words.map(|words| (words.kind.as_str(), words.detail.as_str())),
        }));
        self.last = Some(response);
        action
    }

    /// Picks the first offer that rules and counters allow, and holds its money.
    async fn choose(
        &mut self,
        challenges: Vec<Challenge>,
    ) -> Result<Result<(Challenge, Quote), Refusal>, AgentError> {
        if let Some(payment) = self.exchange.already_paid() {
            return Ok(Err(Refusal {
                code: "already_paid",
                why: format!(
                    "this request was already paid for, by payment {payment}, and asks for a second payment"
                ),
            }));
        }
        if !self.request.can_be_sent_again() {
            return Ok(Err(Refusal {
                code: "body_not_replayable",
                why: "the request's body is a stream, which cannot be sent a second time with the payment: give it as bytes"
                    .to_owned(),
            }));
        }
        let mut offers = offer::judge_all(self.core, &self.request, &challenges, Known::ByPolicy);
        if let Some(question) = offer::question(self.core, &self.request, &challenges, &offers) {
            match self.ask(question).await {
                Ok(()) => {
                    offers = offer::judge_all(self.core, &self.request, &challenges, Known::ByConsent);
                }
                Err(refusal) => return Ok(Err(refusal)),
            }
        }
        let mut limits = Vec::new();
        for index in offer::ranked(&offers, &self.core.preference) {
            let Verdict::Payable(payable) = &offers[index].verdict else { continue };
            let challenge = &offers[index].challenge;
            match self.begin(challenge, payable).await {
                Ok(flight) => {
                    self.exchange.note_payment(Some(flight.id()));
                    self.begun = Some(flight.id().clone());
                    self.flight = Some(flight);
                    self.plan = Some(payable.clone());
                    return Ok(Ok((challenge.clone(), payable.quote.clone())));
                }
                Err(BeginError::Limit(refusal)) => limits.push(refusal),
                Err(BeginError::Books(error)) => return Err(error),
            }
        }
        Ok(Err(offer::refuse_all(&offers, limits)))
    }

    /// Asks a person about a host that the policy does not know.
    async fn ask(&self, question: HostQuestion) -> Result<(), Refusal> {
        let Some(consent) = &self.core.consent else { return Err(question.refusal) };
        match consent.ask(&question).await {
            HostAnswer::Once => Ok(()),
            HostAnswer::Always => {
                self.core.policy.approve(self.request.site());
                Ok(())
            }
            HostAnswer::No => Err(Refusal {
                code: "host_refused",
                why: format!("the host {} was asked about, and the answer was no", question.host),
            }),
            HostAnswer::NobodyToAsk => Err(question.refusal),
        }
    }

    async fn begin(&self, challenge: &Challenge, payable: &Payable) -> Result<InFlight, BeginError> {
        let adds_key = self.core.keys == IdempotencyKeys::Add && self.request.wants_key();
        let intention = Intention {
            target: Target {
                method: self.request.method().to_string(),
                url: self.request.resource(),
                realm: challenge.realm.clone(),
                challenge_id: challenge.id.clone(),
                expires: challenge.expires.clone(),
                request: self.request.name(),
                idempotency_key: self.request.key(),
            },
            key: if adds_key { KeyOfOurs::PaymentId } else { KeyOfOurs::None },
            method: challenge.method.to_string(),
            quote: payable.quote.clone(),
            draws: payable.draws.clone(),
            charge_at: None,
        };
        let books = Arc::clone(&self.core.books);
        off_thread(move || InFlight::begin(books, &intention)).await
    }

    /// Asks the rail in a task of its own, so that a payment once started is finished and recorded whoever still waits.
    async fn pay(&mut self, challenge: Box<Challenge>) -> Result<PaymentProof, PayError> {
        let (Some(mut flight), Some(Payable { payer, quote, .. })) = (self.flight.take(), self.plan.take())
        else {
            return Err(PayError::Failed { code: "out_of_step", why: "no payment was begun".to_owned() });
        };
        let now = self.core.books.clock.now();
        let task = tokio::spawn(async move {
            let witness = flight.paying(&challenge);
            let context = PayContext { cap: quote.money, now, witness: Some(Arc::clone(&witness) as _) };
            let result = payer.pay(&challenge, context).await.map_err(|error| witness.blame(error));
            off_thread(move || {
                flight.after_pay(&challenge, &result);
                (flight, result)
            })
            .await
        });
        match task.await {
            Ok((flight, result)) => {
                self.flight = Some(flight);
                result
            }
            // Its flight was dropped as it unwound, and recorded that the outcome is unknown.
            Err(_) => Err(PayError::Unknown {
                reference: String::new(),
                why: "the payment's code stopped unexpectedly".to_owned(),
            }),
        }
    }

    /// Takes a step of the payment in flight, if there is one.
    async fn update<T: Send + 'static>(
        &mut self,
        step: impl FnOnce(&mut InFlight) -> T + Send + 'static,
    ) -> Option<T> {
        let mut flight = self.flight.take()?;
        let (flight, told) = off_thread(move || {
            let told = step(&mut flight);
            (flight, told)
        })
        .await;
        self.flight = Some(flight);
        Some(told)
    }

    async fn finish(mut self, finish: Finish) -> Result<Paid<Response>, AgentError> {
        let Some(response) = self.last.take() else {
            return Err(AgentError::Network { why: "the payment flow ended without an answer".to_owned() });
        };
        let payment = match finish {
            Finish::Unpaid => None,
            Finish::Paid(call) => self.settle(*call, response.status()).await,
        };
        Ok(Paid { response, payment })
    }

    async fn settle(&mut self, call: PaidCall, status: http::StatusCode) -> Option<Payment> {
        let PaidCall { challenge_id, quote, receipt } = call;
        let id = self.begun.clone()?;
        let outcome = if status.is_success() {
            let receipt = receipt.clone();
            self.update(move |flight| flight.served(status.as_u16(), receipt.as_ref())).await;
            PaymentOutcome::Served
        } else {
            self.update(move |flight| {
                flight.refused(status.as_u16(), "the paid call was not served".to_owned())
            })
            .await;
            PaymentOutcome::Unconfirmed
        };
        Some(Payment { id, challenge_id, quote, receipt, outcome })
    }

    async fn fail(mut self, error: FlowError) -> AgentError {
        let payment = self.begun.clone();
        match (error, payment) {
            (FlowError::Refused(refusal), _) => AgentError::Refused(refusal),
            (FlowError::Unreadable { why }, _) => AgentError::Unreadable { why },
            (FlowError::NotServed { status, why, challenge_id, quote }, Some(payment)) => {
                let words = why.clone();
                self.update(move |flight| flight.refused(status, words)).await;
                AgentError::NotServed { status, why, challenge_id, quote, payment }
            }
            (FlowError::AnswerLost { why, challenge_id, quote }, Some(payment)) => {
                let words = why.clone();
                self.update(move |flight| flight.unknown(words)).await;
                AgentError::AnswerLost { why, challenge_id, quote, payment }
            }
            (FlowError::NotPaid(PayError::Unknown { reference, why }), Some(payment)) => {
                AgentError::PaymentUnknown { reference, why, payment }
            }
            (FlowError::NotPaid(error), Some(payment)) => {
                self.exchange.note_payment(None);
                AgentError::NotPaid { error: Box::new(error), payment }
            }
            (FlowError::Format(error), Some(payment)) => self.unsendable(error, payment).await,
            (other, None) => AgentError::Network { why: other.to_string() },
            // The flight, dropped with the call, records the same.
            (other, Some(payment)) => {
                AgentError::PaymentUnknown { reference: String::new(), why: other.to_string(), payment }
            }
        }
    }

    async fn unsendable(&mut self, error: farthing_protocol::FormatError, payment: PaymentId) -> AgentError {
        if self.flight.as_ref().is_some_and(InFlight::may_have_paid) {
            let why = error.to_string();
            self.update(move |flight| flight.unknown(why)).await;
            return AgentError::Unsendable { error, payment };
        }
        let (code, why) = (error.code(), error.to_string());
        let words = why.clone();
        self.update(move |flight| flight.not_paid(code, words)).await;
        AgentError::NotPaid { error: Box::new(PayError::Failed { code, why }), payment }
    }
}
