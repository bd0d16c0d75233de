//! [`Problem`]: why a request was not answered with what it asked for, as RFC 9457 has it. Every error of this API becomes one,
//! and [`Problem::from`] a service's error is the one place where a failure gets its status.

use std::borrow::Cow;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use farthing_billing::service::{Class, ServiceError};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

/// How it is sent.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// The header that names a request, in every answer.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What is wrong with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "FieldProblem")]
pub struct Field {
    /// Which: a JSON Pointer into the body (RFC 6901), or the name of a parameter.
    pub pointer: String,
    /// The rule that it breaks.
    pub detail: String,
}

/// A refusal.
#[derive(Debug, Clone)]
pub struct Problem {
    /// The status.
    pub status: StatusCode,
    /// The stable code, for programs.
    pub code: &'static str,
    /// What happened and what to do, for people.
    pub detail: String,
    /// The fields that are wrong.
    pub fields: Vec<Field>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// A problem as it is sent.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(crate) struct Sent<'a> {
    /// What kind of problem it is: one address a code.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The status in words.
    pub(crate) title: &'a str,
    /// The status of the answer.
    pub(crate) status: u16,
    /// The stable code, for programs.
    pub(crate) code: &'a str,
    /// What happened and what to do, for people. It may change.
    pub(crate) detail: &'a str,
    /// The fields that are wrong, where fields are.
    #[serde(skip_serializing_if = "<[Field]>::is_empty")]
    pub(crate) errors: &'a [Field],
    /// Names this request in the server's log.
    pub(crate) request_id: &'a str,
}

impl Problem {
    /// A problem with this status and code.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), fields: Vec::new(), headers: Vec::new() }
    }

    /// The same, with a field that is wrong.
    #[must_use]
    pub fn field(mut self, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        self.fields.push(Field { pointer: pointer.into(), detail: detail.into() });
        self
    }

    fn header(mut self, name: HeaderName, value: impl TryInto<HeaderValue>) -> Self {
        self.headers.extend(value.try_into().ok().map(|value| (name, value)));
        self
    }

    /// Who asks is not known.
    #[must_use]
    pub fn unauthenticated(code: &'static str, detail: &'static str) -> Self {
        let challenge = HeaderValue::from_static("Bearer realm=\"farthing\"");
        Self::new(StatusCode::UNAUTHORIZED, code, detail).header(WWW_AUTHENTICATE, challenge)
    }

    /// The same request may succeed in a while.
    #[must_use]
    pub fn later(status: StatusCode, code: &'static str, detail: &'static str, seconds: u64) -> Self {
        Self::new(status, code, detail).header(RETRY_AFTER, seconds)
    }

    /// The resource does not know this method.
    #[must_use]
    pub fn method(allowed: &str) -> Self {
        let detail = format!("this resource answers {allowed}");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail).header(ALLOW, allowed)
    }

    /// There is nothing at this address.
    #[must_use]
    pub fn unknown_route() -> Self {
        let detail = "there is nothing at this address; /v1/openapi.json lists what there is";
        Self::new(StatusCode::NOT_FOUND, "unknown_route", detail)
    }

    /// There is no such thing, or it is another's: the two look alike.
    #[must_use]
    pub fn not_found(what: &str, id: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no {what} {id}"))
    }

    /// A parameter of the query cannot be read.
    #[must_use]
    pub fn query(name: &str, why: impl Into<String>) -> Self {
        let why = why.into();
        Self::new(StatusCode::BAD_REQUEST, "invalid_query", format!("the query's {name}: {why}"))
            .field(name, why)
    }

    /// A parameter of the query has the right shape, and what it says is not right: no schema can tell.
    #[must_use]
    pub fn query_says(name: &str, why: impl Into<String>) -> Self {
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, ..Self::query(name, why) }
    }

    /// Something of ours broke. The cause is logged, and not told.
    #[must_use]
    pub fn internal() -> Self {
        let detail = "something went wrong on our side; the request's id finds it in the log";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", detail)
    }

    /// The answer. `types` is what addresses of problem types begin with.
    #[must_use]
    pub fn into_answer(self, types: &str, request_id: &str) -> Response {
        let sent = Sent {
            kind: format!("{types}{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
            errors: &self.fields,
            request_id,
        };
        let body = serde_json::to_vec(&sent).unwrap_or_default();
        let mut answer = (self.status, Body::from(body)).into_response();
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(self.headers.into_iter().map(|(name, value)| (Some(name), value)).collect::<Vec<_>>());
        answer
    }
}

/// The status of each class of failure. Nothing else decides one for an error of the service.
const fn status(class: Class) -> StatusCode {
    match class {
        Class::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
        Class::NotFound => StatusCode::NOT_FOUND,
        // What there is does not allow it: enough money, or another state, and it would.
        Class::Conflict | Class::Refused => StatusCode::CONFLICT,
        Class::Forbidden => StatusCode::FORBIDDEN,
        Class::Unauthenticated => StatusCode::UNAUTHORIZED,
        Class::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Class::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        let status = status(error.class());
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            tracing::error!(code = error.code(), %error, "the billing service failed");
            return Self::internal();
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            tracing::warn!(code = error.code(), %error, "the billing service did not answer");
        }
        // The same key with another content: what draft-ietf-httpapi-idempotency-key-header asks for.
        let status = match error {
            ServiceError::IdempotencyKeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            _ => status,
        };
        let problem = Self::new(status, error.code(), error.to_string());
        match error {
            ServiceError::Invalid { field, why } => problem.field(pointer(field), why),
            _ if status == StatusCode::SERVICE_UNAVAILABLE => problem.header(RETRY_AFTER, 1_u64),
            _ => problem,
        }
    }
}

/// A field's name as a JSON Pointer: `tiers.0.up_to` is `/tiers/0/up_to`.
fn pointer(field: &str) -> Cow<'_, str> {
    if field.is_empty() { Cow::Borrowed("") } else { Cow::Owned(format!("/{}", field.replace('.', "/"))) }
}

#[cfg(test)]
mod tests {
    use farthing_billing::service::ServiceError;
    use farthing_ledger::store::StoreError;
    use http::header::RETRY_AFTER;

    use super::Problem;

    #[test]
    fn a_failure_of_ours_is_not_told_to_others() {
        let damaged = StoreError::Damaged { what: "row 17 of /var/lib/secret".to_owned() };
        let problem = Problem::from(ServiceError::Store(damaged));
        assert_eq!((problem.status.as_u16(), problem.code), (500, "internal_error"));
        assert!(!problem.detail.contains("secret"));
    }

    #[test]
    fn each_class_has_its_status() {
        let not_found = || ServiceError::NotFound { what: "customer", id: "cus_1".to_owned() };
        for (error, status, code) in [
            (not_found(), 404, "not_found"),
            (ServiceError::invalid("name", "too long"), 422, "invalid_field"),
            (ServiceError::IdempotencyKeyReused, 422, "idempotency_key_reused"),
            (ServiceError::Contention, 503, "contention"),
            (ServiceError::Store(StoreError::Closed), 503, "ledger_closed"),
        ] {
            let problem = Problem::from(error);
            assert_eq!((problem.status.as_u16(), problem.code), (status, code));
        }
    }

    #[test]
    fn what_may_succeed_later_says_when_and_a_field_is_pointed_at() {
        let answer = Problem::from(ServiceError::Contention).into_answer("urn:p:", "req_1");
        assert_eq!(answer.headers()[RETRY_AFTER], "1");
        let problem = Problem::from(ServiceError::invalid("tiers.0.up_to", "too small"));
        assert_eq!(problem.fields[0].pointer, "/tiers/0/up_to");
    }
}
