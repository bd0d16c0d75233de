//! The `/v1` API: one file a resource, each a list of [`Operation`]s.

use crate::Operation;

mod meta;
mod webhooks;

/// Everything that the API does.
#[must_use]
pub fn operations() -> Vec<Operation> {
    [meta::operations(), webhooks::operations()].into_iter().flatten().collect()
}
