//! Billing as pure decisions.

mod chart;
pub mod budget;
pub mod grant;
mod id;
mod period;
pub mod pricing;
pub mod wallet;

pub use chart::{Chart, Reason};
pub use id::{BudgetId, CounterpartyId, CustomerId, DelegationId, GrantId, GroupId, SubjectId};
pub use period::{Period, Window};
