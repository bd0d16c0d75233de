//! What the demo's agent does: a list of calls and what must come of each, and how one is made.

use farthing_client::{Agent, AgentError, Paid, Payment, PaymentOutcome};
use farthing_money::Amount;
use farthing_protocol::UnixMs;
use farthing_protocol::ports::Clock;
use reqwest::{Method, Request, Response};
use serde_json::{Value, json};

use super::books::Agreed;
use super::world::World;
use crate::clock::SystemClock;
use crate::error::CliError;

/// How a payment is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hand {
    /// The agent signs, the gateway broadcasts.
    Pull,
    /// The agent broadcasts.
    Push,
}

/// What must come of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Served for nothing.
    Free,
    /// Paid and served.
    Paid,
    /// Served for a proof of identity.
    Proved,
    /// Refused by the agent's own policy, with this code.
    Refused(&'static str),
}

/// One call.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    method: &'static str,
    path: &'static str,
    body: Option<&'static str>,
    hand: Hand,
    expected: Expected,
    /// What it shows.
    pub remark: &'static str,
}

impl Step {
    /// Method, path and query.
    pub fn title(&self) -> String {
        format!("{:<4} {}", self.method, self.path)
    }
}

const fn get(path: &'static str, hand: Hand, expected: Expected, remark: &'static str) -> Step {
    Step { method: "GET", path, body: None, hand, expected, remark }
}

const fn post(path: &'static str, body: &'static str, hand: Hand, remark: &'static str) -> Step {
    Step { method: "POST", path, body: Some(body), hand, expected: Expected::Paid, remark }
}

const TEXT: &str = "The farthing was a quarter of a penny. It bought a candle, a sprat, or a glass of water. \
    It was withdrawn in 1960.";

/// The calls.
pub const STEPS: [Step; 15] = [
    get("/health", Hand::Pull, Expected::Free, "free routes stay free"),
    get("/v1/weather?city=Lisbon", Hand::Pull, Expected::Paid, "the agent signs, the gateway sends"),
    get("/v1/weather?city=Oslo", Hand::Pull, Expected::Paid, ""),
    get("/v1/weather?city=Nairobi", Hand::Push, Expected::Paid, "the agent sends, and shows the hash"),
    post("/v1/search", r#"{"q":"farthing"}"#, Hand::Pull, "0.005 of it goes to the partner"),
    post("/v1/search", r#"{"q":"halfpenny"}"#, Hand::Push, "the same, by push"),
    post("/v1/summarize", TEXT, Hand::Pull, ""),
    get("/v1/quote", Hand::Pull, Expected::Paid, "the seller pays the network's fee"),
    get("/v1/quote", Hand::Pull, Expected::Paid, ""),
    get("/v1/me", Hand::Pull, Expected::Proved, "costs 0, proves who calls"),
    get("/v1/route", Hand::Pull, Expected::Paid, FAILS_ONCE),
    post("/v1/summarize", TEXT, Hand::Push, ""),
    get("/v1/weather?city=Lima", Hand::Pull, Expected::Paid, ""),
    get("/v1/weather?city=Quito", Hand::Push, Expected::Paid, ""),
    get("/v1/report", Hand::Pull, Expected::Refused("over_call_limit"), "over the limit, nothing was paid"),
];

const FAILS_ONCE: &str = "the API failed once, charged once";

/// What came of a call.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The call.
    pub step: Step,
    /// The status, where an answer came.
    pub status: Option<u16>,
    /// What was paid.
    pub payment: Option<Payment>,
    /// Why not, where it was refused.
    pub refusal: Option<String>,
    /// How long it took.
    pub took_ms: u64,
}

impl Outcome {
    /// What was paid, in whole units; what was asked is in the refusal.
    pub fn price(&self) -> Option<String> {
        let money = &self.payment.as_ref()?.quote.money;
        Some(money.amount().to_decimal(money.asset().scale()))
    }

    /// How it was paid.
    pub fn how(&self) -> &'static str {
        match (&self.payment, &self.refusal) {
            (Some(payment), _) => payment.quote.mode,
            (None, Some(_)) => "-",
            (None, None) => "free",
        }
    }

    /// The receipt's reference.
    pub fn reference(&self) -> Option<&str> {
        self.payment.as_ref()?.receipt.as_ref().map(|receipt| receipt.reference.as_str())
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let quote = self.payment.as_ref().map(|payment| &payment.quote);
        json!({
            "method": self.step.method,
            "path": self.step.path,
            "status": self.status,
            "mode": quote.map(|quote| quote.mode),
            "paid_base": quote.map(|quote| quote.money.amount()),
            "receipt": self.reference(),
            "refusal": self.refusal,
            "took_ms": self.took_ms,
        })
    }
}

/// Makes one call, and checks that what came of it is what must.
///
/// # Errors
/// When it is not.
pub async fn play(step: Step, world: &World) -> Result<Outcome, CliError> {
    let agent = match step.hand {
        Hand::Pull => &world.pulling,
        Hand::Push => &world.pushing,
    };
    let began = SystemClock.now();
    let failures = world.upstream.counts.failures();
    let result = call(step, agent, world).await;
    let outcome = settle(step, result, began).await?;
    let failed = world.upstream.counts.failures() - failures;
    let wrong = |what: String| CliError::unexpected("demo", format!("{}: {what}", step.title()));
    if (step.remark == FAILS_ONCE) != (failed > 0) {
        return Err(wrong(format!("the API failed {failed} times")));
    }
    check(&outcome).map_err(wrong)?;
    Ok(outcome)
}

async fn call(step: Step, agent: &Agent, world: &World) -> Result<Paid<Response>, AgentError> {
    let usage = |why: String| AgentError::Usage { code: "demo", why };
    let url = format!("http://{}{}", world.gateway, step.path).parse().map_err(|e| usage(format!("{e}")))?;
    let method = Method::from_bytes(step.method.as_bytes()).map_err(|e| usage(e.to_string()))?;
    let mut request = Request::new(method, url);
    if let Some(body) = step.body {
        let kind = if body.starts_with('{') { "application/json" } else { "text/plain" };
        request.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
        *request.body_mut() = Some(body.into());
    }
    agent.execute(request).await
}

async fn settle(
    step: Step,
    result: Result<Paid<Response>, AgentError>,
    began: UnixMs,
) -> Result<Outcome, CliError> {
    let mut outcome = Outcome { step, status: None, payment: None, refusal: None, took_ms: 0 };
    match result {
        Ok(paid) => {
            outcome.status = Some(paid.response.status().as_u16());
            outcome.payment = paid.payment;
            // The gateway records a delivery when its last byte has been taken.
            let body = paid.response.bytes().await;
            body.map_err(|error| CliError::unexpected("demo", format!("{}: {error}", step.title())))?;
        }
        Err(AgentError::Refused(refusal)) => {
            outcome.refusal = Some(refusal.why.clone());
            if step.expected != Expected::Refused(refusal.code) {
                return Err(AgentError::Refused(refusal).into());
            }
        }
        Err(error) => return Err(error.into()),
    }
    outcome.took_ms = began.until_ms(SystemClock.now());
    Ok(outcome)
}

fn check(outcome: &Outcome) -> Result<(), String> {
    let zero = |payment: &Payment| payment.quote.money.amount().is_zero();
    let right = match (outcome.step.expected, &outcome.payment) {
        (Expected::Free, None) => outcome.status == Some(200),
        (Expected::Refused(_), None) => outcome.refusal.is_some(),
        (Expected::Paid, Some(payment)) => !zero(payment) && served(outcome, payment),
        (Expected::Proved, Some(payment)) => zero(payment) && served(outcome, payment),
        _ => false,
    };
    if right {
        Ok(())
    } else {
        Err(format!("it answered {:?}, and {:?} was expected", outcome.status, outcome.step.expected))
    }
}

fn served(outcome: &Outcome, payment: &Payment) -> bool {
    outcome.status == Some(200) && payment.outcome == PaymentOutcome::Served && payment.receipt.is_some()
}

/// What was agreed to in all calls.
///
/// # Errors
/// Sums past 128 bits.
pub fn agreed(outcomes: &[Outcome]) -> Result<Agreed, CliError> {
    let quotes =
        || outcomes.iter().filter_map(|outcome| outcome.payment.as_ref()).map(|payment| &payment.quote);
    let prices = Amount::sum(quotes().map(|quote| quote.money.amount()));
    let shares = Amount::sum(quotes().flat_map(|quote| quote.shares.iter().map(|share| share.amount)));
    let sum = |amount: Result<Amount, farthing_money::MoneyError>| {
        amount.map_err(|error| CliError::unexpected("books", error.to_string()))
    };
    Ok(Agreed { prices: sum(prices)?, shares: sum(shares)? })
}
