//! The `/v1` API: one file a resource, each a list of [`Operation`]s.

use crate::Operation;

mod assets;
mod budgets;
mod customers;
mod events;
mod funding;
mod grants;
mod holds;
mod keys;
mod meta;
mod path;
mod products;
mod reports;
mod sales;
mod usage;
mod vendors;
mod wallets;
mod webhooks;

/// Everything that the API does.
#[must_use]
pub fn operations() -> Vec<Operation> {
    let all = [
        meta::operations(),
        assets::operations(),
        customers::operations(),
        wallets::operations(),
        grants::operations(),
        holds::operations(),
        sales::operations(),
        budgets::operations(),
        products::operations(),
        usage::operations(),
        reports::operations(),
        vendors::operations(),
        funding::operations(),
        events::operations(),
        webhooks::operations(),
        keys::operations(),
    ];
    all.into_iter().flatten().collect()
}
