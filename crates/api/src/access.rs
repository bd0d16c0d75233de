//! [`Access`]: who may call an operation; [`Caller`]: who calls.

use std::sync::Arc;

use farthing_billing::service::key::{Authenticated, Scope};
use farthing_billing::service::{Authority, Presented};
use farthing_billing::service::{Named as _, TenantId};
use http::StatusCode;

use crate::problem::Problem;

/// Who may at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Anybody,
    Key,
    KeyOrToken,
}

/// Who may call an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    who: Who,
    scope: Option<Scope>,
}

impl Access {
    /// Anybody, without a key.
    pub const ANYBODY: Self = Self { who: Who::Anybody, scope: None };

    /// Whoever has a key with this scope.
    #[must_use]
    pub const fn key(scope: Scope) -> Self {
        Self { who: Who::Key, scope: Some(scope) }
    }

    /// Whoever has a key with this scope, or the token of a budget: the service then judges what the token allows.
    #[must_use]
    pub const fn key_or_token(scope: Scope) -> Self {
        Self { who: Who::KeyOrToken, scope: Some(scope) }
    }

    pub(crate) const fn who(self) -> Who {
        self.who
    }

    pub(crate) fn scope(self) -> Option<String> {
        self.scope.map(scope_text)
    }

    /// # Errors
    /// 403, when `caller` may not.
    pub(crate) fn check(self, caller: &Caller) -> Result<(), Problem> {
        match (self.who, self.scope, caller) {
            (Who::Anybody, ..) | (Who::KeyOrToken, _, Caller::Token { .. }) => Ok(()),
            (Who::Key, _, Caller::Token { .. }) => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "token_not_accepted",
                "the token of a budget can spend it and nothing else; use an API key",
            )),
            (_, Some(scope), Caller::Key(key)) if !key.may(scope) => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "missing_scope",
                format!("the API key lacks the scope {}", scope_text(scope)),
            )),
            (_, _, Caller::Key(_)) => Ok(()),
            (_, _, Caller::Nobody) => Err(missing()),
        }
    }
}

pub(crate) fn missing() -> Problem {
    Problem::unauthenticated("missing_api_key", "send an API key: Authorization: Bearer KEY")
}

/// Who calls.
#[derive(Debug, Clone)]
pub enum Caller {
    /// Nobody who is known: for what anybody may ask.
    Nobody,
    /// The bearer of an API key.
    Key(Arc<Authenticated>),
    /// The bearer of a budget's token.
    Token(Arc<Presented>),
}

impl Caller {
    /// Whose caller it is.
    pub(crate) fn tenant(&self) -> Option<TenantId> {
        match self {
            Self::Nobody => None,
            Self::Key(key) => Some(key.tenant),
            Self::Token(token) => Some(token.tenant),
        }
    }

    /// What its requests are counted under.
    pub(crate) fn bits(&self) -> Option<u128> {
        match self {
            Self::Nobody => None,
            Self::Key(key) => Some(key.key.as_u128()),
            Self::Token(token) => Some(token.id.as_u128()),
        }
    }

    /// In whose name the service is asked: what a token does not allow, the service refuses.
    #[must_use]
    pub fn authority(&self) -> Authority {
        match self {
            Self::Token(token) => Authority::Token(Box::new(Presented::clone(token))),
            Self::Nobody | Self::Key(_) => Authority::Owner,
        }
    }

    /// The name of an idempotency key of this caller. All keys of a tenant share theirs, so that a rotation in between does not
    /// matter; what one token was answered is never another's.
    pub(crate) fn own(&self, key: &str) -> String {
        match self {
            Self::Nobody | Self::Key(_) => key.to_owned(),
            Self::Token(token) => format!("{}:{key}", token.id.text()),
        }
    }
}

/// A scope as the API writes it.
pub(crate) fn scope_text(scope: Scope) -> String {
    serde_json::to_value(scope).ok().and_then(|text| text.as_str().map(str::to_owned)).unwrap_or_default()
}
