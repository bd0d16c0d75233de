//! [`Delegation`]: what a token lets its holder do: spend one budget, or create children within it, and nothing else.
//!
//! The token's secret is not here: whoever keeps delegations keeps a hash of it, finds the delegation by its id, and asks
//! [`Chain::authorise`]. A delegation decides who may ask; how much there is, the ledger decides for everybody alike. So a
//! stolen or forgotten token is worth at most what its budget has left.

use std::collections::BTreeSet;

use farthing_ledger::Timestamp;
use farthing_money::Amount;
use serde::{Deserialize, Serialize};

use super::definition::Counterparties;
use super::path::Path;
use crate::id::{BudgetId, CounterpartyId, DelegationId};

/// What a delegation may allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Place holds on the budget or on one below it, and pay from them.
    Spend,
    /// Create and close budgets below it, and delegate them.
    CreateChildren,
}

/// What is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Attenuation {
    /// The budget: this one and those below it.
    pub budget: BudgetId,
    /// From this instant on, nothing.
    pub expires: Timestamp,
    /// What may be done.
    pub actions: BTreeSet<Action>,
    /// The most that one call may cost.
    pub per_call: Option<Amount>,
    /// Who may be paid.
    pub counterparties: Counterparties,
}

/// Whether a delegation counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum DelegationState {
    /// It does.
    Live,
    /// It does not, nor does what was delegated from it.
    Revoked,
}

/// A token's meaning.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Delegation {
    /// Its name.
    pub id: DelegationId,
    /// The delegation from which it was made; `None` when the wallet's owner made it.
    pub parent: Option<DelegationId>,
    /// What it allows at most; less, when its parents allow less.
    pub allows: Attenuation,
    /// Whether it counts.
    pub state: DelegationState,
}

/// A delegation and all from which it was made, the one that is presented first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain(Vec<Delegation>);

/// The longest chain.
pub const MAX_CHAIN: usize = 16;

/// What somebody wants to do with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Spend.
    Spend {
        /// The most that the call may cost.
        amount: Amount,
        /// Who is paid.
        counterparty: CounterpartyId,
    },
    /// Create a budget under the path's, or close the path's.
    CreateChild,
    /// See the path's budget and what was spent from it. Every delegation of it allows that.
    Read,
}

/// Why a token does not allow it. The variants stand in the order in which they are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DelegationRejection {
    /// The delegations do not follow each other.
    #[error("the delegations do not follow each other: load them again")]
    ChainBroken,
    /// It, or one from which it was made, was revoked.
    #[error("delegation {id} was revoked")]
    Revoked {
        /// Which.
        id: DelegationId,
    },
    /// It, or one from which it was made, has run out.
    #[error("delegation {id} has expired")]
    Expired {
        /// Which.
        id: DelegationId,
    },
    /// The budget is not the delegated one, nor below it.
    #[error("the budget is not below the one that delegation {id} is for")]
    OutsideBudget {
        /// Which.
        id: DelegationId,
    },
    /// It does not allow the action.
    #[error("delegation {id} does not allow this")]
    ActionDenied {
        /// Which.
        id: DelegationId,
    },
    /// It does not allow the counterparty.
    #[error("delegation {id} does not allow this counterparty")]
    CounterpartyDenied {
        /// Which.
        id: DelegationId,
    },
    /// It does not allow a call to cost so much.
    #[error("the call costs {required} base units; delegation {id} allows {most} a call")]
    ExceedsPerCall {
        /// Which.
        id: DelegationId,
        /// The most.
        most: Amount,
        /// What it costs.
        required: Amount,
    },
    /// A delegation that is to be made would allow more than the one from which it is made.
    #[error("a delegation cannot allow more than the one from which it is made")]
    Broader,
}

impl DelegationRejection {
    /// The stable code, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::ChainBroken => "delegation_chain_broken",
            Self::Revoked { .. } => "delegation_revoked",
            Self::Expired { .. } => "delegation_expired",
            Self::OutsideBudget { .. } => "delegation_outside_budget",
            Self::ActionDenied { .. } => "delegation_action_denied",
            Self::CounterpartyDenied { .. } => "delegation_counterparty_denied",
            Self::ExceedsPerCall { .. } => "delegation_per_call_exceeded",
            Self::Broader => "delegation_broader",
        }
    }
}

impl Chain {
    /// `delegations` from the one that is presented to the one that the wallet's owner made.
    ///
    /// # Errors
    /// [`DelegationRejection::ChainBroken`] unless each is followed by its parent and there are at most [`MAX_CHAIN`].
    pub fn new(delegations: Vec<Delegation>) -> Result<Self, DelegationRejection> {
        let follows = |(at, delegation): (usize, &Delegation)| {
            delegation.parent == delegations.get(at + 1).map(|parent| parent.id)
        };
        let fits = (1..=MAX_CHAIN).contains(&delegations.len());
        if !fits || !delegations.iter().enumerate().all(follows) {
            return Err(DelegationRejection::ChainBroken);
        }
        Ok(Self(delegations))
    }

    /// Whether `wish` may be asked of the budget at the end of `path`. Every delegation of the chain has to allow it, rule by
    /// rule: what is revoked or narrowed above is so below.
    ///
    /// # Errors
    /// The first rule, in the order of [`DelegationRejection`], that any of them breaks.
    pub fn authorise(&self, path: &Path, wish: &Wish, now: Timestamp) -> Result<(), DelegationRejection> {
        let action = match wish {
            Wish::Spend { .. } => Some(Action::Spend),
            Wish::CreateChild => Some(Action::CreateChildren),
            Wish::Read => None,
        };
        self.first(|d| d.state == DelegationState::Revoked, |id| DelegationRejection::Revoked { id })?;
        self.first(|d| d.allows.expires <= now, |id| DelegationRejection::Expired { id })?;
        self.first(|d| !path.passes(d.allows.budget), |id| DelegationRejection::OutsideBudget { id })?;
        self.first(
            |d| action.is_some_and(|action| !d.allows.actions.contains(&action)),
            |id| DelegationRejection::ActionDenied { id },
        )?;
        let Wish::Spend { amount, counterparty } = *wish else { return Ok(()) };
        self.first(
            |d| !d.allows.counterparties.allows(counterparty),
            |id| DelegationRejection::CounterpartyDenied { id },
        )?;
        for Delegation { id, allows, .. } in &self.0 {
            if let Some(most) = allows.per_call
                && amount > most
            {
                return Err(DelegationRejection::ExceedsPerCall { id: *id, most, required: amount });
            }
        }
        Ok(())
    }

    /// A delegation made from this chain. `path` is that of the budget for which it is.
    ///
    /// # Errors
    /// As [`Chain::authorise`] for [`Wish::CreateChild`]; [`DelegationRejection::Broader`] when it would allow more, which
    /// would be of no use.
    pub fn narrow(
        &self,
        (id, allows): (DelegationId, Attenuation),
        path: &Path,
        now: Timestamp,
    ) -> Result<Self, DelegationRejection> {
        self.authorise(path, &Wish::CreateChild, now)?;
        let narrower = |from: &Attenuation| {
            allows.expires <= from.expires
                && allows.actions.is_subset(&from.actions)
                && allows.counterparties.within(&from.counterparties)
                && from.per_call.is_none_or(|most| allows.per_call.is_some_and(|mine| mine <= most))
        };
        let is_for_path = path.leaf().is_some_and(|leaf| leaf.id == allows.budget);
        if !is_for_path || !self.0.iter().all(|parent| narrower(&parent.allows)) {
            return Err(DelegationRejection::Broader);
        }
        let parent = self.0.first().map(|parent| parent.id);
        let made = Delegation { id, parent, allows, state: DelegationState::Live };
        Self::new(std::iter::once(made).chain(self.0.iter().cloned()).collect())
    }

    /// The delegation that is presented, then those from which it was made.
    #[must_use]
    pub fn delegations(&self) -> &[Delegation] {
        &self.0
    }

    fn first(
        &self,
        breaks: impl Fn(&Delegation) -> bool,
        rejection: impl Fn(DelegationId) -> DelegationRejection,
    ) -> Result<(), DelegationRejection> {
        self.0.iter().find(|delegation| breaks(delegation)).map_or(Ok(()), |found| Err(rejection(found.id)))
    }
}

#[cfg(test)]
mod tests;
