//! The gate's own answers: challenges, refusals, and the headers of a paid answer. HTTP is mapped here and nowhere else.

use bytes::Bytes;
use farthing_protocol::{Problem, Receipt, UnixMs};
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{Method, Response, StatusCode};
use http_body_util::Full;

use crate::credential::PAYMENT_RECEIPT;

/// The code of an answer of ours, as an extension of it: tells our `502` from an upstream's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AnswerCode(pub(crate) &'static str);

/// A whole answer of ours.
pub(crate) type Answer = Response<Full<Bytes>>;

pub(crate) const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
pub(crate) const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// An answer with this JSON problem as its body. Never stored: the next one may differ (C28).
pub(crate) fn problem(status: StatusCode, json: String) -> Answer {
    with_headers(status, problem_headers(HeaderMap::new()), json)
}

/// The headers of every problem, in the room of others.
fn problem_headers(others: HeaderMap) -> HeaderMap {
    /// More room than this is given back: hyper keeps it for the connection's next request.
    const MOST: usize = 32;
    let mut headers = if others.capacity() > MOST { HeaderMap::new() } else { others };
    headers.clear();
    headers.insert(CONTENT_TYPE, PROBLEM_JSON);
    headers.insert(CACHE_CONTROL, NO_STORE);
    headers
}

/// What a 402 asks for.
pub(crate) struct Offered {
    /// Challenges as header values, best first. At least one.
    pub(crate) challenges: Vec<String>,
    /// The problem.
    pub(crate) json: String,
    /// When it is asked.
    pub(crate) at: UnixMs,
}

impl Offered {
    /// The 402, with its headers in the room of others.
    pub(crate) fn answer(self, others: HeaderMap) -> Answer {
        let mut headers = problem_headers(others);
        for challenge in self.challenges {
            let value = HeaderValue::try_from(challenge).expect("it is a header value");
            headers.append(WWW_AUTHENTICATE, value);
        }
        with_headers(StatusCode::PAYMENT_REQUIRED, headers, self.json)
    }
}

/// Whether a text can be the value of a header: no control characters but tabs (RFC 9110, section 5.5). All of it is looked at,
/// many bytes at once.
pub(crate) fn is_header_value(text: &str) -> bool {
    text.bytes().fold(true, |fine, byte| fine & ((byte >= b' ' && byte != 0x7f) || byte == b'\t'))
}

/// An answer with these headers and this JSON.
fn with_headers(status: StatusCode, headers: HeaderMap, json: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(json)));
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    answer
}

/// A refusal without a challenge.
pub(crate) fn refuse(what: &Problem, retry_after_s: Option<u32>) -> Answer {
    let mut answer = problem(status(what.status()), what.to_json(None));
    if let Some(seconds) = retry_after_s {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

/// A problem of HTTP's own, not of payments: RFC 9457 with a type of `about:blank`.
pub(crate) fn plain(status: StatusCode, code: &'static str, detail: &str) -> Answer {
    let title = status.canonical_reason().unwrap_or("Error");
    let body = serde_json::json!({
        "type": "about:blank", "title": title, "status": status.as_u16(), "detail": detail, "code": code,
    });
    let mut answer = problem(status, body.to_string());
    answer.extensions_mut().insert(AnswerCode(code));
    answer
}

/// The path is known and the method is not.
pub(crate) fn method_not_allowed(allowed: &[Method]) -> Answer {
    let mut answer =
        plain(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "This path does not take this method.");
    let list: Vec<&str> = allowed.iter().map(Method::as_str).collect();
    if let Ok(value) = HeaderValue::try_from(list.join(", ")) {
        answer.headers_mut().insert(ALLOW, value);
    }
    answer
}

/// Nothing is served there.
pub(crate) fn not_found() -> Answer {
    plain(StatusCode::NOT_FOUND, "no_such_route", "Nothing is served at this path.")
}

/// The status with this number.
pub(crate) fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Puts the receipt on a paid answer (C14).
pub(crate) fn attach_receipt(headers: &mut HeaderMap, receipt: &Receipt) {
    match receipt.to_header_value().map(HeaderValue::try_from) {
        Ok(Ok(value)) => drop(headers.insert(PAYMENT_RECEIPT, value)),
        // The call was paid and is served; that its receipt cannot be written is our own loss.
        _ => tracing::error!(reference = %receipt.reference, "a receipt cannot be written as a header"),
    }
}

/// Makes a paid answer private (C28): what an upstream says about shared caches was said about a free answer.
pub(crate) fn make_private(headers: &mut HeaderMap) {
    for name in ["surrogate-control", "cdn-cache-control", "cloudflare-cdn-cache-control"] {
        headers.remove(HeaderName::from_static(name));
    }
    let given: Option<Vec<&str>> =
        headers.get_all(CACHE_CONTROL).iter().map(|value| value.to_str().ok()).collect();
    let given = given.unwrap_or_default().join(",");
    let mut kept = vec!["private".to_owned()];
    // A quoted argument may hold commas and is about single fields; `private` alone is stricter.
    if !given.contains('"') {
        let shared = |directive: &str| {
            let name = directive.split('=').next().unwrap_or_default().trim().to_ascii_lowercase();
            matches!(name.as_str(), "" | "private" | "public" | "s-maxage" | "proxy-revalidate")
        };
        kept.extend(given.split(',').map(str::trim).filter(|d| !shared(d)).map(str::to_owned));
    }
    let value = HeaderValue::try_from(kept.join(", ")).unwrap_or(HeaderValue::from_static("private"));
    headers.insert(CACHE_CONTROL, value);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// C28.
    #[test]
    fn paid_answers_become_private() {
        for (given, expected) in [
            (vec![], "private"),
            (vec!["public, max-age=60"], "private, max-age=60"),
            (vec!["max-age=60", "s-maxage=600"], "private, max-age=60"),
            (vec!["no-store"], "private, no-store"),
            (vec!["Private", "PUBLIC"], "private"),
            (vec!["no-cache=\"set-cookie, x\", public"], "private"),
            (vec![""], "private"),
        ] {
            let mut headers = HeaderMap::new();
            for value in given {
                headers.append(CACHE_CONTROL, HeaderValue::from_static(value));
            }
            headers.insert("surrogate-control", HeaderValue::from_static("max-age=9"));
            make_private(&mut headers);
            assert_eq!(headers.get_all(CACHE_CONTROL).iter().collect::<Vec<_>>(), [expected]);
            assert!(!headers.contains_key("surrogate-control"));
        }
    }
}
