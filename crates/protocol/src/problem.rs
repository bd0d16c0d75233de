//! RFC 9457 problems of the Payment scheme. A problem says what broke; whether a fresh Challenge goes with it is the
//! flow's decision, never the problem's.

use serde::Serialize;

/// The problem types that the drafts and the SDKs define, with their status and title.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProblemKind {
    /// No credential was sent.
    PaymentRequired,
    /// The credential cannot be read.
    MalformedCredential,
    /// The challenge is unknown, not ours, altered, or for another route.
    InvalidChallenge,
    /// The payment does not satisfy the challenge.
    VerificationFailed,
    /// The challenge or the authorization has expired.
    PaymentExpired,
    /// The payload is not one that the method knows.
    InvalidPayload,
    /// Less was paid than asked.
    PaymentInsufficient,
    /// The payer has to do something more.
    PaymentActionRequired,
    /// The method or intent is not offered.
    MethodUnsupported,
    /// The request itself is wrong, such as two credentials at once.
    BadRequest,
    /// The credential was already used and delivered: 403, and no challenge, so that nobody pays again.
    CredentialReplayed,
    /// Another copy of this credential is being served right now.
    PaymentInProgress,
    /// The outcome of the payment, or a service needed to learn it, is not known yet.
    PaymentPending,
    /// The challenge is ours, and the store that would know what became of it has another history by now.
    NotHonoured,
    /// An `Idempotency-Key` and what it names do not go together.
    IdempotencyConflict,
    /// The call was served and its answer was not kept.
    AnswerNotKept,
    /// The request's body is longer than can be read for what was asked.
    ContentTooLarge,
    /// Something broke on our side.
    InternalPaymentError,
}

impl ProblemKind {
    const BASE: &'static str = "https://paymentauth.org/problems/";

    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::PaymentRequired
            | Self::MalformedCredential
            | Self::InvalidChallenge
            | Self::VerificationFailed
            | Self::PaymentExpired
            | Self::InvalidPayload
            | Self::PaymentInsufficient
            | Self::PaymentActionRequired => 402,
            Self::MethodUnsupported | Self::BadRequest => 400,
            Self::CredentialReplayed | Self::NotHonoured => 403,
            Self::PaymentInProgress => 409,
            Self::AnswerNotKept => 410,
            Self::ContentTooLarge => 413,
            Self::IdempotencyConflict => 422,
            Self::PaymentPending => 503,
            Self::InternalPaymentError => 500,
        }
    }

    /// The last segment of the type URI.
    #[must_use]
    pub const fn slug(self) -> &'static str {
        match self {
            Self::PaymentRequired => "payment-required",
            Self::MalformedCredential => "malformed-credential",
            Self::InvalidChallenge => "invalid-challenge",
            // A replay is a failed verification on the wire (mpp 0.18, pympp 0.16); the status tells them apart.
            Self::VerificationFailed | Self::CredentialReplayed => "verification-failed",
            Self::PaymentExpired => "payment-expired",
            Self::InvalidPayload => "invalid-payload",
            Self::PaymentInsufficient => "payment-insufficient",
            Self::PaymentActionRequired => "payment-action-required",
            Self::MethodUnsupported => "method-unsupported",
            Self::BadRequest => "bad-request",
            Self::PaymentInProgress => "payment-in-progress",
            Self::PaymentPending => "payment-pending",
            Self::NotHonoured => "payment-not-honoured",
            Self::IdempotencyConflict => "idempotency-conflict",
            Self::AnswerNotKept => "answer-not-kept",
            Self::ContentTooLarge => "content-too-large",
            Self::InternalPaymentError => "internal-payment-error",
        }
    }

    /// The type URI.
    #[must_use]
    pub fn type_uri(self) -> String {
        format!("{}{}", Self::BASE, self.slug())
    }

    /// The title.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::PaymentRequired => "Payment Required",
            Self::MalformedCredential => "Malformed Credential",
            Self::InvalidChallenge => "Invalid Challenge",
            Self::VerificationFailed => "Verification Failed",
            Self::PaymentExpired => "Payment Expired",
            Self::InvalidPayload => "Invalid Payload",
            Self::PaymentInsufficient => "Payment Insufficient",
            Self::PaymentActionRequired => "Payment Action Required",
            Self::MethodUnsupported => "Method Unsupported",
            Self::BadRequest => "Bad Request",
            Self::CredentialReplayed => "Credential Already Used",
            Self::PaymentInProgress => "Payment In Progress",
            Self::PaymentPending => "Payment Pending",
            Self::NotHonoured => "Payment Not Honoured",
            Self::IdempotencyConflict => "Idempotency Conflict",
            Self::AnswerNotKept => "Answer Not Kept",
            Self::ContentTooLarge => "Content Too Large",
            Self::InternalPaymentError => "Internal Payment Error",
        }
    }
}

/// One problem: its kind, the stable code of the broken rule, and a sentence for people.
///
/// `detail` never contains a credential, a key or the content of either (C19).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {detail} ({code})", kind.title())]
pub struct Problem {
    /// What kind of problem.
    pub kind: ProblemKind,
    /// Which rule was broken: stable, for programs.
    pub code: &'static str,
    /// What happened and what to do, for people.
    pub detail: String,
}

impl Problem {
    /// A problem.
    #[must_use]
    pub fn new(kind: ProblemKind, code: &'static str, detail: impl Into<String>) -> Self {
        Self { kind, code, detail: detail.into() }
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.kind.status()
    }

    /// The body, `application/problem+json`. `challenge_id` names the fresh challenge sent along, if one is.
    #[must_use]
    pub fn to_json(&self, challenge_id: Option<&str>) -> String {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            r#type: String,
            title: &'a str,
            status: u16,
            detail: &'a str,
            code: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            challenge_id: Option<&'a str>,
        }
        let body = Body {
            r#type: self.kind.type_uri(),
            title: self.kind.title(),
            status: self.status(),
            detail: &self.detail,
            code: self.code,
            challenge_id,
        };
        serde_json::to_string(&body).expect("strings and a number are always JSON")
    }
}

/// A problem that is sent many times, each time with another challenge: its body needs only the id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedProblem {
    problem: Problem,
    /// The body up to the id.
    before: String,
}

impl PreparedProblem {
    /// Prepares a problem.
    #[must_use]
    pub fn new(problem: Problem) -> Self {
        let mut before = problem.to_json(Some(""));
        // The id is the last member: what follows it is a quote and a brace.
        before.truncate(before.len() - Self::AFTER.len());
        Self { problem, before }
    }

    const AFTER: &str = "\"}";

    /// The problem.
    #[must_use]
    pub const fn problem(&self) -> &Problem {
        &self.problem
    }

    /// The same body as [`Problem::to_json`] with this challenge. `challenge_id` is one that was issued here: characters that JSON
    /// would escape are in none of them.
    #[must_use]
    pub fn to_json(&self, challenge_id: &str) -> String {
        [self.before.as_str(), challenge_id, Self::AFTER].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prepared_body_is_the_body() {
        let problem = Problem::new(ProblemKind::PaymentRequired, "payment_required", "Pay, \"please\".");
        let id = "nqJPkl4Z_j9gxsBeE6t9M3d19mwCyhRvLcqMM0k9O5k";
        assert_eq!(PreparedProblem::new(problem.clone()).to_json(id), problem.to_json(Some(id)));
    }
}
