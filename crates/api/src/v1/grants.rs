//! Grants and entitlements of a wallet: money that is drawn in its own order and may run out.

use farthing_billing::service::grant::{Grant, NewEntitlement, NewGrant};
use farthing_billing::service::key::Scope;
use farthing_billing::service::wallet::EntitlementEntry;

use super::path::{OfGrant, OfWallet};
use crate::access::Access;
use crate::operation::{Call, Created, Done, Listed, Named, Operation};
use crate::page::{PageParams, sealed};
use crate::problem::Problem;
use crate::read::Nothing;

pub(super) fn operations() -> Vec<Operation> {
    let named = |id, access, summary| Named { id, tag: "grants", access, summary };
    let (write, read) = (Access::key(Scope::Wallets), Access::key(Scope::Read));
    vec![
        Operation::post(
            "/v1/customers/{customer}/wallets/{asset}/grants",
            named("createGrant", write, "Grant money with a priority and, if wanted, an end"),
            create,
        ),
        Operation::get(
            "/v1/customers/{customer}/wallets/{asset}/grants",
            named("listGrants", read, "List grants, those that ended too"),
            list,
        ),
        Operation::get(
            "/v1/customers/{customer}/wallets/{asset}/grants/{grant}",
            named("getGrant", read, "Get a grant"),
            get,
        ),
        Operation::post(
            "/v1/customers/{customer}/wallets/{asset}/entitlements",
            named("createEntitlement", write, "Grant so much every month"),
            entitle,
        ),
        Operation::delete(
            "/v1/customers/{customer}/wallets/{asset}/entitlements/{grant}",
            named("endEntitlement", write, "No more of it; what was granted stays as long as it would have"),
            end,
        ),
    ]
}

async fn create(call: Call<OfWallet, Nothing, NewGrant>) -> Result<Created<Grant>, Problem> {
    Ok(Created(call.billing.create_grant(&call.cx, call.path.name(), &call.body).await?))
}

async fn list(call: Call<OfWallet, PageParams>) -> Result<Listed<Grant>, Problem> {
    let page = call.query.query()?;
    Ok(Listed(sealed(call.billing.list_grants(&call.cx, call.path.name(), &page).await?)))
}

async fn get(call: Call<OfGrant>) -> Result<Done<Grant>, Problem> {
    let OfGrant { customer, asset, grant } = &call.path;
    Ok(Done(call.billing.grant(&call.cx, (customer.0, asset), grant.0).await?))
}

async fn entitle(
    call: Call<OfWallet, Nothing, NewEntitlement>,
) -> Result<Created<EntitlementEntry>, Problem> {
    Ok(Created(call.billing.create_entitlement(&call.cx, call.path.name(), &call.body).await?))
}

async fn end(call: Call<OfGrant>) -> Result<Done<EntitlementEntry>, Problem> {
    let OfGrant { customer, asset, grant } = &call.path;
    Ok(Done(call.billing.end_entitlement(&call.cx, (customer.0, asset), grant.0).await?))
}
