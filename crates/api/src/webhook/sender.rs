//! [`Sender`]: one request to one endpoint, and what came of it. Bounded in time and in what is read of the answer; no redirect is
//! followed, no proxy is asked, and no address is connected to that was not checked.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use farthing_billing::service::event::Event;
use farthing_billing::service::webhook::{Answer, Attempt, Letter, MAX_RESPONSE};
use farthing_ledger::Timestamp;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use serde::Serialize;
use serde_json::Value;

use super::resolve::{Checked, System};
use super::signature::{self, Message};
use super::{Lookup, Reach, Refusal};

const USER_AGENT: &str = concat!("Farthing-Webhooks/", env!("CARGO_PKG_VERSION"));

/// Why an endpoint has not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// Its address may not be connected to.
    #[error("its address is refused: {0}")]
    Refused(Refusal),
    /// It cannot be reached.
    #[error("it cannot be reached")]
    Unreachable(#[source] reqwest::Error),
    /// It took too long.
    #[error("it did not answer within {0:?}")]
    Timeout(Duration),
    /// The connection ended, or what came was no HTTP.
    #[error("it gave no answer that can be read")]
    NoAnswer(#[source] reqwest::Error),
}

impl SendError {
    /// The stable code, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Refused(_) => "webhook_address_refused",
            Self::Unreachable(_) => "webhook_unreachable",
            Self::Timeout(_) => "webhook_timeout",
            Self::NoAnswer(_) => "webhook_no_answer",
        }
    }
}

/// Sends. Cheap to clone.
#[derive(Clone)]
pub struct Sender {
    client: Client,
    reach: Reach,
    timeout: Duration,
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("reach", &self.reach).field("timeout", &self.timeout).finish()
    }
}

/// What is posted: the same bytes whenever it is sent.
#[derive(Serialize)]
struct Body<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: farthing_billing::service::event::EventKind,
    timestamp: String,
    data: &'a Value,
}

/// The body of an event.
fn body(event: &Event) -> Vec<u8> {
    let at = i64::try_from(event.created_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let timestamp = at.map_or_else(|| event.created_ms.to_string(), |at| format!("{at:.3}"));
    let body = Body { id: &event.id, kind: event.kind, timestamp, data: &event.data };
    serde_json::to_vec(&body).expect("texts and a JSON value are JSON")
}

impl Sender {
    /// A sender that connects to what `reach` allows and gives an endpoint `timeout` to answer.
    ///
    /// # Errors
    /// When this machine has no TLS.
    pub fn new(reach: Reach, timeout: Duration) -> Result<Self, reqwest::Error> {
        Self::with_lookup(reach, timeout, Arc::new(System))
    }

    /// The same, which asks `lookup` for addresses.
    ///
    /// # Errors
    /// As [`Sender::new`].
    pub fn with_lookup(
        reach: Reach,
        timeout: Duration,
        lookup: Arc<dyn Lookup>,
    ) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .dns_resolver(Arc::new(Checked { lookup, reach: reach.clone() }))
            .redirect(Policy::none())
            // A proxy would connect for us, to an address that nobody checked.
            .no_proxy()
            .https_only(!reach.plain_http)
            .referer(false)
            .user_agent(USER_AGENT)
            .timeout(timeout)
            .connect_timeout(timeout / 2)
            .pool_max_idle_per_host(2)
            .pool_idle_timeout(Duration::from_secs(30))
            .build()?;
        Ok(Self { client, reach, timeout })
    }

    /// Which addresses it connects to.
    #[must_use]
    pub const fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Sends a letter once, at `now`.
    pub async fn send(&self, letter: &Letter, now: Timestamp) -> (Attempt, Answer) {
        let began = Instant::now();
        let sent = self.post(letter, now).await;
        let mut attempt = Attempt {
            at_ms: now.unix_ms(),
            duration_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            status: None,
            error: None,
            response: String::new(),
        };
        let answer = match sent {
            Ok(heard) => {
                attempt.status = Some(heard.status.as_u16());
                attempt.response = heard.body;
                match heard.status {
                    status if status.is_success() => Answer::Taken,
                    StatusCode::GONE => Answer::Gone,
                    _ => Answer::Failed { retry_after_ms: retry_after(&heard.headers, now) },
                }
            }
            Err(error) => {
                attempt.error = Some(format!("{}: {error}", error.code()));
                Answer::Failed { retry_after_ms: None }
            }
        };
        (attempt, answer)
    }

    async fn post(&self, letter: &Letter, now: Timestamp) -> Result<Heard, SendError> {
        let url = self.reach.url(&letter.endpoint.url).map_err(SendError::Refused)?;
        let body = body(&letter.event);
        let message = Message { id: &letter.event.id, timestamp: now.unix_ms() / 1_000, body: &body };
        let signatures = message.sign(letter.endpoint.signing(now.unix_ms()));
        let request = self
            .client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header(signature::ID, message.id)
            .header(signature::TIMESTAMP, message.timestamp)
            .header(signature::SIGNATURE, signatures)
            .body(body);
        let response = request.send().await.map_err(|error| self.classify(error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        Ok(Heard { status, headers, body: beginning(response).await })
    }

    fn classify(&self, error: reqwest::Error) -> SendError {
        let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
        while let Some(error) = cause {
            if let Some(refusal) = error.downcast_ref::<Refusal>() {
                return SendError::Refused(refusal.clone());
            }
            cause = error.source();
        }
        // The endpoint's address may have a secret in it, and is no part of what is kept.
        let error = error.without_url();
        match error {
            error if error.is_timeout() => SendError::Timeout(self.timeout),
            error if error.is_connect() => SendError::Unreachable(error),
            error => SendError::NoAnswer(error),
        }
    }
}

/// An answer, as much of it as is kept.
struct Heard {
    status: StatusCode,
    headers: HeaderMap,
    body: String,
}

/// The first bytes of an answer's body; the rest is not read. What goes wrong in it changes nothing: the status was the answer.
async fn beginning(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < MAX_RESPONSE {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    bytes.truncate(MAX_RESPONSE);
    // A null character cannot be kept in a record, and a character that is cut in two is none.
    let mut text = String::from_utf8_lossy(&bytes).replace('\0', "\u{fffd}");
    while text.len() > MAX_RESPONSE {
        text.pop();
    }
    text
}

/// `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<u64> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(seconds.saturating_mul(1_000));
    }
    let at = jiff::fmt::rfc2822::parse(value).ok()?.timestamp().as_millisecond();
    u64::try_from(at).ok()?.checked_sub(now.unix_ms())
}

#[cfg(test)]
mod tests {
    use farthing_ledger::Timestamp;
    use http::header::RETRY_AFTER;
    use http::{HeaderMap, HeaderValue};

    use super::retry_after;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let at = |text: &'static str, now_ms| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(text));
            retry_after(&headers, Timestamp::from_unix_ms(now_ms))
        };
        assert_eq!(at("120", 5), Some(120_000));
        assert_eq!(at("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_770_000), Some(7_000));
        assert_eq!(at("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_780_000), None, "it has passed");
        assert_eq!(at("soon", 5), None);
        assert_eq!(at("18446744073709551615", 5), Some(u64::MAX));
    }
}
