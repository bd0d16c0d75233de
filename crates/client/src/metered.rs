//! [`MeteredVendor`]: a vendor that asks for no payments. It is called with an API key of its own, and what a call costs follows from a
//! rule; the policy, the journal and the wallet take part as in any paid call.
//!
//! The most that a call may cost is held before it is sent. An answer that is no success costs nothing. When there is no answer,
//! nobody knows what the vendor has counted: the money stays held, and the payment stays open in the journal.

use std::num::NonZeroU64;
use std::sync::Arc;

use farthing_money::{Amount, Money, MoneyError, Rounding};
use farthing_protocol::ports::{FeeBearer, Quote};
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::Response;
use serde_json::Value;

use crate::driver::{self, Core, Exchange, off_thread};
use crate::in_flight::{BeginError, InFlight, Intention, KeyOfOurs};
use crate::journal::Target;
use crate::offer::Known;
use crate::outgoing::Outgoing;
use crate::policy::HostPattern;
use crate::{AgentError, Paid, Payment, PaymentOutcome};

/// The method's name in policies and in the journal.
pub const METHOD: &str = "metered";

/// The longest answer that is read to find out what a call cost, in bytes.
pub const MAX_ANSWER: usize = 8 << 20;

/// What a call costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CostRule {
    /// The most, always.
    PerCall,
    /// What the answer's JSON says was used; the most, where it does not say it readably.
    Counted(Vec<Counted>),
}

/// A number in the answer, and what so many cost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Where the number is: a JSON pointer (RFC 6901), such as `/usage/total_tokens`.
    pub pointer: String,
    /// So many cost …
    pub per: NonZeroU64,
    /// … so much, in base units. A part of a base unit costs a whole one.
    pub price: Amount,
}

impl CostRule {
    /// What an answer with this body cost: never more than `most`, which is all that was held.
    #[must_use]
    pub fn cost(&self, most: &Money, body: &Value) -> Money {
        let Self::Counted(counted) = self else { return most.clone() };
        let sum = counted.iter().try_fold(Amount::ZERO, |sum, counted| {
            let number =
                body.pointer(&counted.pointer).and_then(Value::as_u64).ok_or(MoneyError::Overflow)?;
            let part = counted.price.checked_mul(u128::from(number))?;
            sum.checked_add(part.checked_div(u128::from(counted.per.get()), Rounding::Up)?)
        });
        let sum = sum.unwrap_or_else(|_| most.amount());
        if sum > most.amount() {
            tracing::error!(cost = %sum, most = %most, "a metered call cost more than the most that its rule says: raise it");
        }
        Money::new(sum.min(most.amount()), most.asset().clone())
    }
}

/// A vendor with an API key.
#[derive(Clone)]
pub struct MeteredVendor {
    host: HostPattern,
    header: HeaderName,
    key: HeaderValue,
    most: Money,
    rule: CostRule,
}

impl std::fmt::Debug for MeteredVendor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MeteredVendor")
            .field("host", &self.host)
            .field("most", &self.most)
            .finish_non_exhaustive()
    }
}

impl MeteredVendor {
    /// The vendor at `host`, which is sent `key` in `header`; a call costs what `rule` says and at most `most`.
    #[must_use]
    pub fn new(
        host: HostPattern,
        (header, mut key): (HeaderName, HeaderValue),
        (most, rule): (Money, CostRule),
    ) -> Self {
        key.set_sensitive(true);
        Self { host, header, key, most, rule }
    }
}

/// The vendor that a request goes to, where it is one of these.
pub(crate) fn find<'a>(core: &'a Core, request: &Outgoing) -> Option<&'a MeteredVendor> {
    core.vendors.iter().find(|vendor| vendor.host.matches(request.site()))
}

/// One metered call.
pub(crate) async fn execute<E: Exchange>(
    core: &Arc<Core>,
    exchange: &mut E,
    (mut request, vendor): (Outgoing, &MeteredVendor),
) -> Result<Paid<Response>, AgentError> {
    let quote = quote(vendor, &request);
    let examined = core.policy.examine(request.site(), METHOD, &quote, Known::ByPolicy);
    let draws = examined.judgement().map_err(AgentError::Refused)?;
    let intention = Intention {
        target: Target {
            method: request.method().to_string(),
            url: request.resource(),
            realm: request.site().authority(),
            challenge_id: METHOD.to_owned(),
            expires: None,
            request: None,
            idempotency_key: request.key(),
        },
        key: KeyOfOurs::None,
        method: METHOD.to_owned(),
        quote: quote.clone(),
        draws,
    };
    let books = Arc::clone(&core.books);
    let mut flight =
        off_thread(move || InFlight::begin(books, &intention)).await.map_err(|error| match error {
            BeginError::Limit(refusal) => AgentError::Refused(refusal),
            BeginError::Books(error) => error,
        })?;
    let mut sent = request.next();
    sent.headers_mut().insert(vendor.header.clone(), vendor.key.clone());
    flight.calling();
    let payment = flight.id().clone();
    let answered = match driver::send(core, exchange, sent).await {
        Ok(answered) => answered,
        Err(error) => {
            let why = error.why;
            let words = why.clone();
            off_thread(move || flight.unknown(words)).await;
            let challenge_id = METHOD.to_owned();
            return Err(AgentError::AnswerLost { why, challenge_id, quote: Box::new(quote), payment });
        }
    };
    let status = answered.status();
    if !status.is_success() {
        let why = format!("the vendor answered {status}, which costs nothing");
        off_thread(move || flight.not_paid("vendor_refused", why)).await;
        return Ok(Paid { response: answered, payment: None });
    }
    let (response, cost) = read(vendor, answered).await?;
    let paid = cost.clone();
    off_thread(move || flight.metered(status.as_u16(), paid)).await;
    let quote = Quote { money: cost, ..quote };
    let outcome = PaymentOutcome::Served;
    let payment = Payment { id: payment, challenge_id: METHOD.to_owned(), quote, receipt: None, outcome };
    Ok(Paid { response, payment: Some(payment) })
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

/// The answer, whole where it had to be read, and what it cost. An answer that breaks off was counted by the vendor: it costs the
/// most, because the flight is dropped as one whose outcome is not known.
async fn read(vendor: &MeteredVendor, response: Response) -> Result<(Response, Money), AgentError> {
    let is_json =
        response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
            let kind = value.split(';').next().unwrap_or_default().trim();
            kind.eq_ignore_ascii_case("application/json") || kind.to_ascii_lowercase().ends_with("+json")
        });
    let short = response
        .content_length()
        .is_some_and(|length| usize::try_from(length).is_ok_and(|n| n <= MAX_ANSWER));
    if vendor.rule == CostRule::PerCall || !is_json || !short {
        return Ok((response, vendor.most.clone()));
    }
    let (status, version, headers) = (response.status(), response.version(), response.headers().clone());
    let bytes = response
        .bytes()
        .await
        .map_err(|error| AgentError::Network { why: crate::describe(&error.without_url()) })?;
    let value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    let cost = vendor.rule.cost(&vendor.most, &value);
    let mut whole = http::Response::new(bytes);
    *whole.status_mut() = status;
    *whole.version_mut() = version;
    *whole.headers_mut() = headers;
    Ok((whole.into(), cost))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::num::NonZeroU64;

    use farthing_money::{Amount, Asset, AssetKind, Money};
    use serde_json::json;

    use super::{CostRule, Counted};

    #[test]
    fn a_call_costs_what_was_used_and_never_more_than_was_held() {
        let counted = |pointer: &str, per, price| Counted {
            pointer: pointer.to_owned(),
            per: NonZeroU64::new(per).unwrap(),
            price: Amount::from_base(price),
        };
        let rule = CostRule::Counted(vec![counted("/usage/in", 1_000, 3), counted("/usage/out", 1_000, 15)]);
        let most = Money::new(Amount::from_base(100), Asset::new("USD", 6, AssetKind::Fiat).unwrap());
        for (body, cost) in [
            (json!({ "usage": { "in": 1_000, "out": 2_000 } }), 33),
            // A part of a base unit costs a whole one.
            (json!({ "usage": { "in": 1, "out": 1 } }), 2),
            (json!({ "usage": { "in": 0, "out": 0 } }), 0),
            (json!({ "usage": { "in": 1_000_000, "out": 0 } }), 100),
            // What does not say it readably costs the most.
            (json!({ "usage": { "in": 1 } }), 100),
            (json!({ "usage": { "in": -1, "out": 0 } }), 100),
            (json!({ "usage": { "in": "7", "out": 0 } }), 100),
            (json!({ "usage": { "in": u64::MAX, "out": u64::MAX } }), 100),
        ] {
            assert_eq!(rule.cost(&most, &body).amount().base(), cost, "{body}");
        }
        assert_eq!(CostRule::PerCall.cost(&most, &json!(null)), most);
    }
}
