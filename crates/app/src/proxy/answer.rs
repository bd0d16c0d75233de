//! Answers that the proxy itself gives: problems (RFC 9457) that say what happened and what to do. An answer of a server is not
//! changed here.

use bytes::Bytes;
use farthing_client::AgentError;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, PROXY_AUTHENTICATE};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};
use serde_json::json;

use super::headers::{FARTHING_PAYMENT, FARTHING_REFUSED};
use crate::output::one_line;

/// Any error of a body on its way.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// The body of an answer.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// No body.
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// What the proxy has to say instead of a server.
#[derive(Debug, Clone)]
pub struct Problem {
    /// The answer's status.
    pub status: StatusCode,
    /// Stable, for programs.
    pub code: String,
    /// What happened, and what to do.
    pub detail: String,
}

impl Problem {
    /// A problem.
    pub fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), detail: detail.into() }
    }

    /// As an answer.
    pub fn answer(&self) -> Response<Body> {
        let body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            // A server's words may be in it.
            "detail": one_line(&self.detail),
            "code": self.code,
            "from": "farthing proxy",
        });
        let body = Full::new(Bytes::from(body.to_string())).map_err(|never| match never {}).boxed_unsync();
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
            headers.insert(PROXY_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"farthing proxy\""));
        }
        response
    }
}

/// The answer after a call that failed: `kept` is the server's own, where there is one to hand on.
///
/// After a payment whose outcome is open the status is never one that programs repeat a request for by themselves: a repeated
/// request would be paid again.
pub fn after_failure(error: &AgentError, kept: Option<Response<Body>>) -> Response<Body> {
    let server_said = kept.filter(|kept| match error {
        AgentError::NotServed { .. } => matches!(kept.status().as_u16(), 402 | 403),
        error => error.payment().is_none() || !error.may_have_paid(),
    });
    let mut response = server_said.unwrap_or_else(|| problem(error).answer());
    if !matches!(error, AgentError::Network { .. } | AgentError::Usage { .. }) {
        let code = HeaderValue::from_str(error.code());
        response.headers_mut().insert(FARTHING_REFUSED, code.unwrap_or(HeaderValue::from_static("not_paid")));
    }
    if let Some(value) = error.payment().and_then(|id| HeaderValue::from_str(id.as_str()).ok()) {
        response.headers_mut().insert(FARTHING_PAYMENT, value);
    }
    response
}

fn problem(error: &AgentError) -> Problem {
    let words = error.to_string();
    match error {
        AgentError::Usage { code, .. } => Problem::new(StatusCode::BAD_REQUEST, code, words),
        AgentError::Network { why } => unreached(why),
        _ => Problem::new(StatusCode::FAILED_DEPENDENCY, error.code(), words),
    }
}

/// A server that was not reached, or is not who it should be.
pub fn unreached(why: &str) -> Problem {
    if why.contains("invalid peer certificate") {
        return Problem::new(
            StatusCode::BAD_GATEWAY,
            "upstream_certificate",
            format!(
                "the server's certificate is not valid, so nothing was sent to it and nothing was paid: {why}"
            ),
        );
    }
    if why.contains("does not connect to") {
        return Problem::new(StatusCode::FORBIDDEN, "address_refused", format!("{why}; nothing was sent"));
    }
    let status = if why.starts_with("no answer within") {
        StatusCode::GATEWAY_TIMEOUT
    } else {
        StatusCode::BAD_GATEWAY
    };
    Problem::new(status, "transport_failed", format!("the server did not answer: {why}; nothing was paid"))
}
