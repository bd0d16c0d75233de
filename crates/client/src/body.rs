//! What an answer to a credential says besides its status: the problem in its body, and when to come back. Words of a seller
//! are somebody else's: they are cut, cleaned, and never repeat a credential.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use farthing_protocol::UnixMs;
use http::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Response, ResponseBuilderExt};
use serde::Deserialize;

use crate::text::is_plain;

/// The longest problem body that is read, in bytes.
const MAX_PROBLEM_BYTES: usize = 64 * 1024;
/// The longest wait for a problem body.
const PROBLEM_TIMEOUT: Duration = Duration::from_secs(10);
/// The most characters of a seller's words that are shown.
const MAX_WORDS: usize = 300;

/// A problem (RFC 9457), as far as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SellersWords {
    /// The last segment of the problem's type.
    pub(crate) kind: String,
    /// What the seller says.
    pub(crate) detail: String,
}

#[derive(Deserialize)]
struct ProblemBody {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: String,
}

/// Reads the problem in an answer's body, where it is one and is short; gives the answer back whole.
pub(crate) async fn read_problem(response: Response, secret: &str) -> (Response, Option<SellersWords>) {
    let is_problem =
        response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).is_some_and(|value| {
            value.starts_with("application/problem+json") || value.starts_with("application/json")
        });
    let short = response.content_length().is_none_or(|length| length <= MAX_PROBLEM_BYTES as u64);
    if !is_problem || !short {
        return (response, None);
    }
    let mut shell = http::Response::builder()
        .status(response.status())
        .version(response.version())
        .url(response.url().clone())
        .body(())
        .expect("every part was taken from a response");
    *shell.headers_mut() = response.headers().clone();
    let body = tokio::time::timeout(PROBLEM_TIMEOUT, read_short(response)).await.unwrap_or_default();
    let words = words_of(&body, secret);
    (shell.map(|()| body).into(), words)
}

async fn read_short(mut response: Response) -> Bytes {
    let mut body = BytesMut::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        if body.len() + chunk.len() > MAX_PROBLEM_BYTES {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    body.freeze()
}

fn words_of(body: &[u8], secret: &str) -> Option<SellersWords> {
    let problem: ProblemBody = serde_json::from_slice(body).ok()?;
    let kind = problem.kind.rsplit('/').next().unwrap_or_default();
    let detail = if problem.detail.is_empty() { &problem.title } else { &problem.detail };
    if detail.is_empty() {
        return None;
    }
    Some(SellersWords { kind: clean(kind, secret), detail: clean(detail, secret) })
}

/// Somebody else's words, fit for a terminal and a log: without the secret (C19), control characters or great length.
pub(crate) fn clean(text: &str, secret: &str) -> String {
    let mut words: String = text.chars().filter(|c| is_plain(*c)).take(MAX_WORDS + 1).collect();
    // The value of a credential header is `Payment <token>`: the token alone must not come back either.
    let token = secret.rsplit(' ').next().unwrap_or_default();
    if !token.is_empty() && (words.contains(token) || shares_a_run(&words, token)) {
        return "(not shown: it repeats the credential)".to_owned();
    }
    if let Some((last, _)) = words.char_indices().nth(MAX_WORDS) {
        words.truncate(last);
        words.push('…');
    }
    words
}

/// Whether `text` holds a long piece of `token`: sellers cut what they quote.
fn shares_a_run(text: &str, token: &str) -> bool {
    const RUN: usize = 24;
    token.as_bytes().chunks_exact(RUN).any(|run| text.as_bytes().windows(RUN).any(|window| window == run))
}

/// `Retry-After` in seconds (RFC 9110, section 10.2.3): a number, or a date.
pub(crate) fn retry_after_s(headers: &HeaderMap, now: UnixMs) -> Option<u32> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        return Some(value.parse().unwrap_or(u32::MAX));
    }
    let at = jiff::fmt::rfc2822::parse(value).ok()?.timestamp().as_millisecond();
    let at = UnixMs::from_ms(u64::try_from(at).ok()?);
    Some(u32::try_from(now.until_ms(at).div_ceil(1000)).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
