//! [`Authority`]: in whose name something is asked of budgets and holds.

use farthing_ledger::Timestamp;

use super::{ServiceError, TenantId};
use crate::budget::Path;
use crate::budget::delegation::{Chain, Wish};
use crate::id::DelegationId;

/// In whose name something is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authority {
    /// The wallet's owner: a program with an API key.
    Owner,
    /// Whoever presents a token of a budget.
    Token(Box<Presented>),
}

/// A token that was presented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presented {
    /// Whose it is.
    pub tenant: TenantId,
    /// Which.
    pub id: DelegationId,
    /// It, and all from which it was made.
    pub chain: Chain,
}

impl Authority {
    /// Whether `wish` may be asked of the budget at the end of `path`.
    ///
    /// # Errors
    /// [`ServiceError::Delegation`].
    pub fn check(&self, path: &Path, wish: &Wish, now: Timestamp) -> Result<(), ServiceError> {
        match self {
            Self::Owner => Ok(()),
            Self::Token(token) => Ok(token.chain.authorise(path, wish, now)?),
        }
    }

    /// The token's name, if it is one.
    #[must_use]
    pub fn token(&self) -> Option<DelegationId> {
        match self {
            Self::Owner => None,
            Self::Token(token) => Some(token.id),
        }
    }

    /// That it is the owner.
    ///
    /// # Errors
    /// [`ServiceError::Forbidden`] with the code `token_denied`.
    pub fn owner(&self) -> Result<(), ServiceError> {
        match self {
            Self::Owner => Ok(()),
            Self::Token(_) => {
                Err(ServiceError::Forbidden { code: "token_denied", why: "no token may do this".to_owned() })
            }
        }
    }
}
