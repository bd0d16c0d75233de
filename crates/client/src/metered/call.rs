//! One metered call: held, sent, and ended at what its answer says that it cost.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use farthing_money::Money;
use farthing_protocol::ports::{FeeBearer, Quote};
use http::header::HeaderValue;
use reqwest::Response;

use super::{METHOD, MeteredVendor, answer};
use crate::driver::{self, Core, Exchange, off_thread};
use crate::in_flight::{BeginError, InFlight, Intention, KeyOfOurs};
use crate::journal::Target;
use crate::offer::Known;
use crate::outgoing::{IDEMPOTENCY_KEY, Outgoing};
use crate::{AgentError, IdempotencyKeys, Paid, Payment, PaymentOutcome, resolve};

/// How long to wait before a call is sent again, each time, in milliseconds.
const AGAIN_AFTER_MS: [u64; 3] = [1_000, 2_000, 4_000];
/// How often at most it is looked for calls that nobody has said anything of in time, in milliseconds.
const SWEEP_EVERY_MS: u64 = 60_000;

/// One metered call.
pub(crate) async fn execute<E: Exchange>(
    core: &Arc<Core>,
    exchange: &mut E,
    (mut request, vendor): (Outgoing, &MeteredVendor),
) -> Result<Paid<Response>, AgentError> {
    let quote = quote(vendor, &request);
    let examined = core.policy.examine(request.site(), METHOD, &quote, Known::ByPolicy);
    let draws = examined.judgement().map_err(AgentError::Refused)?;
    sweep_now_and_then(core).await;
    let charge_at = vendor.charge_after.map(|time| core.books.clock.now().plus_ms(driver::millis(time)));
    let intention = Intention {
        target: target(&request),
        key: key(core, vendor, &request),
        method: METHOD.to_owned(),
        quote: quote.clone(),
        draws,
        charge_at,
    };
    let books = Arc::clone(&core.books);
    let mut flight =
        off_thread(move || InFlight::begin(books, &intention)).await.map_err(|error| match error {
            BeginError::Limit(refusal) => AgentError::Refused(refusal),
            BeginError::Books(error) => error,
        })?;
    flight.calling();
    let payment = flight.id().clone();
    let key = flight.key().and_then(|key| HeaderValue::from_str(key).ok());
    let (response, cost) = match (Call { core, vendor, key }).ask(exchange, &mut request).await {
        Ok(answered) => answered,
        Err(why) => {
            let words = why.clone();
            off_thread(move || flight.unknown(words)).await;
            return Err(AgentError::VendorAnswerLost { why, quote: Box::new(quote), payment, charge_at });
        }
    };
    let status = response.status();
    let Some(cost) = cost else {
        let why = format!("the vendor answered {status}, which costs nothing");
        off_thread(move || flight.not_paid("vendor_refused", why)).await;
        return Ok(Paid { response, payment: None });
    };
    let paid = cost.clone();
    off_thread(move || flight.metered(status.as_u16(), paid)).await;
    let quote = Quote { money: cost, ..quote };
    let outcome = PaymentOutcome::Served;
    let payment = Payment { id: payment, challenge_id: METHOD.to_owned(), quote, receipt: None, outcome };
    Ok(Paid { response, payment: Some(payment) })
}

/// How the vendor is asked.
struct Call<'a> {
    core: &'a Core,
    vendor: &'a MeteredVendor,
    /// The key of the request, where the caller gave none.
    key: Option<HeaderValue>,
}

impl Call<'_> {
    /// The answer and what it cost: nothing, where it is no success. Sent again where that is counted once.
    ///
    /// # Errors
    /// Why the last answer did not come whole.
    async fn ask<E: Exchange>(
        &self,
        exchange: &mut E,
        request: &mut Outgoing,
    ) -> Result<(Response, Option<Money>), String> {
        let mut asked = self.attempt(exchange, request).await;
        let mut left = self.core.max_wait;
        for wait in AGAIN_AFTER_MS.map(Duration::from_millis) {
            let Err(lost) = &asked else { break };
            if !self.is_counted_once(request) || wait > left {
                break;
            }
            left = left.saturating_sub(wait);
            tokio::time::sleep(wait).await;
            asked = match self.attempt(exchange, request).await {
                // It says nothing about the call whose answer was lost.
                Ok((response, None)) => {
                    Err(format!("{lost}; sent again, it was answered {}", response.status()))
                }
                asked => asked,
            };
        }
        asked
    }

    /// Whether the vendor counts it once, however often it is sent.
    fn is_counted_once(&self, request: &Outgoing) -> bool {
        let has_key = self.key.is_some() || request.key().is_some();
        self.vendor.heeds_keys && has_key && request.can_be_sent_again()
    }

    async fn attempt<E: Exchange>(
        &self,
        exchange: &mut E,
        request: &mut Outgoing,
    ) -> Result<(Response, Option<Money>), String> {
        let mut sent = request.next();
        sent.headers_mut().insert(self.vendor.header.clone(), self.vendor.key.clone());
        if let Some(key) = &self.key {
            sent.headers_mut().entry(IDEMPOTENCY_KEY).or_insert_with(|| key.clone());
        }
        let response = driver::send(self.core, exchange, sent).await.map_err(|error| error.why)?;
        if !response.status().is_success() {
            return Ok((response, None));
        }
        let limit = self.core.answer_timeout;
        let read = tokio::time::timeout(limit, answer::read(self.vendor, response)).await;
        let late = |_| format!("it was not whole within {} s", limit.as_secs());
        let (response, cost) = read.map_err(late)??;
        Ok((response, Some(cost)))
    }
}

fn target(request: &Outgoing) -> Target {
    Target {
        method: request.method().to_string(),
        url: request.resource(),
        realm: request.site().authority(),
        challenge_id: METHOD.to_owned(),
        expires: None,
        request: None,
        idempotency_key: request.key(),
    }
}

fn key(core: &Core, vendor: &MeteredVendor, request: &Outgoing) -> KeyOfOurs {
    if vendor.heeds_keys && core.keys == IdempotencyKeys::Add && request.key().is_none() {
        KeyOfOurs::PaymentId
    } else {
        KeyOfOurs::None
    }
}

fn quote(vendor: &MeteredVendor, request: &Outgoing) -> Quote {
    Quote {
        money: vendor.most.clone(),
        recipient: request.site().authority(),
        shares: Vec::new(),
        network: METHOD.to_owned(),
        payer: "API key".to_owned(),
        fee: FeeBearer::Nobody,
        mode: METHOD,
    }
}

/// An agent that runs for long and that nobody watches ends the calls by itself that only time can end.
async fn sweep_now_and_then(core: &Core) {
    let now = core.books.clock.now().as_ms();
    if now.abs_diff(core.swept_ms.load(Ordering::Relaxed)) >= SWEEP_EVERY_MS {
        core.swept_ms.store(now, Ordering::Relaxed);
        let books = Arc::clone(&core.books);
        off_thread(move || resolve::sweep(&books)).await;
    }
}
