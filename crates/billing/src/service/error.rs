//! [`ServiceError`]: why a call of the service did not do what was asked. Callers get the code, logs get the cause.

use farthing_ledger::Rejection;
use farthing_ledger::store::StoreError;
use farthing_money::MoneyError;

use crate::budget::delegation::DelegationRejection;
use crate::budget::{BudgetRejection, PlacedError};
use crate::grant::GrantError;
use crate::pricing::{PriceError, ProductError};
use crate::topup::RuleError;
use crate::usage::UsageError;
use crate::wallet::BadExternalId;

/// Which kind of failure it is, for whoever maps it to a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The input breaks a rule: the same call never succeeds.
    Invalid,
    /// It does not exist, or is another tenant's.
    NotFound,
    /// It contradicts what is there.
    Conflict,
    /// There is not enough, or a limit forbids it.
    Refused,
    /// Who asks may not.
    Forbidden,
    /// It is not known who asks.
    Unauthenticated,
    /// The same call may succeed later.
    Unavailable,
    /// Our fault.
    Internal,
}

/// Why a call did not do what was asked. Nothing was changed, unless it says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// There is no such thing, or it belongs to another tenant.
    #[error("there is no {what} {id}")]
    NotFound {
        /// What.
        what: &'static str,
        /// Its name, as it was asked for.
        id: String,
    },
    /// Something with this name is there already, and is not the same.
    #[error("there is already a {what} {id}")]
    AlreadyExists {
        /// What.
        what: &'static str,
        /// Its name.
        id: String,
    },
    /// A field of the input breaks a rule.
    #[error("{field}: {why}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// The rule, and what would be right.
        why: String,
    },
    /// What is asked does not fit the state that the thing is in.
    #[error("the {what} is {state}: {why}")]
    WrongState {
        /// What.
        what: &'static str,
        /// Its state.
        state: &'static str,
        /// What that means for the call.
        why: &'static str,
    },
    /// Who asks may not do this.
    #[error("{why}")]
    Forbidden {
        /// The stable code.
        code: &'static str,
        /// What is missing.
        why: String,
    },
    /// What was presented proves nobody.
    #[error("{why}")]
    Unauthenticated {
        /// The stable code.
        code: &'static str,
        /// What is wrong with it, without repeating it.
        why: &'static str,
    },
    /// The idempotency key belongs to a call with other content.
    #[error("the idempotency key was used for a call with other content: use a new key")]
    IdempotencyKeyReused,
    /// Others changed the same things all the time.
    #[error("others keep changing what this call depends on: try again")]
    Contention,
    /// A limit of a budget.
    #[error(transparent)]
    Budget(#[from] BudgetRejection),
    /// A token does not allow it.
    #[error(transparent)]
    Delegation(#[from] DelegationRejection),
    /// The wallet has not so much, or it is spread too thin.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// A capture or void that does not fit its hold.
    #[error(transparent)]
    Placed(#[from] PlacedError),
    /// A price that is none.
    #[error(transparent)]
    Price(#[from] PriceError),
    /// A price cannot be published, or counts for nothing.
    #[error(transparent)]
    Product(#[from] ProductError),
    /// A usage event that is none.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// A top-up rule that is none.
    #[error(transparent)]
    TopUp(#[from] RuleError),
    /// A customer's name that is none.
    #[error(transparent)]
    ExternalId(#[from] BadExternalId),
    /// Amounts that do not fit.
    #[error(transparent)]
    Money(#[from] MoneyError),
    /// A rule of the ledger that nothing above names.
    #[error("the ledger refuses: {0}")]
    Ledger(Rejection),
    /// A record cannot be read or written.
    #[error("a stored {what} cannot be read: {why}")]
    Unreadable {
        /// What.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// The store did not answer; [`StoreError::Unknown`] may have happened: tell the call again with the same key.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ServiceError {
    /// A record that cannot be read or written.
    #[must_use]
    pub fn unreadable(what: &'static str, error: &serde_json::Error) -> Self {
        Self::Unreadable { what, why: error.to_string() }
    }

    /// A field that breaks a rule.
    #[must_use]
    pub fn invalid(field: &'static str, why: impl Into<String>) -> Self {
        Self::Invalid { field, why: why.into() }
    }

    /// The stable code, for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not_found",
            Self::AlreadyExists { .. } => "already_exists",
            Self::Invalid { .. } => "invalid_field",
            Self::WrongState { .. } => "wrong_state",
            Self::Forbidden { code, .. } => code,
            Self::Unauthenticated { code, .. } => code,
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::Contention => "contention",
            Self::Budget(error) => error.code(),
            Self::Delegation(error) => error.code(),
            Self::Grant(error) => error.code(),
            Self::Placed(error) => error.code(),
            Self::Price(error) => error.code(),
            Self::Product(error) => error.code(),
            Self::Usage(error) => error.code(),
            Self::TopUp(error) => error.code(),
            Self::ExternalId(error) => error.code(),
            Self::Money(error) => error.code(),
            Self::Ledger(rejection) => rejection.code(),
            Self::Unreadable { .. } => "record_unreadable",
            Self::Store(error) => error.code(),
        }
    }

    /// Which kind of failure it is.
    #[must_use]
    pub const fn class(&self) -> Class {
        match self {
            Self::NotFound { .. } => Class::NotFound,
            Self::AlreadyExists { .. } | Self::WrongState { .. } | Self::IdempotencyKeyReused => {
                Class::Conflict
            }
            Self::Forbidden { .. } | Self::Delegation(_) => Class::Forbidden,
            Self::Unauthenticated { .. } => Class::Unauthenticated,
            Self::Budget(_) | Self::Grant(_) | Self::Placed(_) | Self::Ledger(_) => Class::Refused,
            Self::Invalid { .. }
            | Self::Price(_)
            | Self::Product(_)
            | Self::Usage(_)
            | Self::TopUp(_)
            | Self::ExternalId(_)
            | Self::Money(_) => Class::Invalid,
            Self::Contention => Class::Unavailable,
            Self::Store(error) => match error {
                StoreError::BatchTooLong { .. } | StoreError::BadWork(_) => Class::Invalid,
                StoreError::Damaged { .. } => Class::Internal,
                _ => Class::Unavailable,
            },
            Self::Unreadable { .. } => Class::Internal,
        }
    }
}
