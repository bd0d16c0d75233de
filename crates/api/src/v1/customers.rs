//! `/v1/customers`: those whom a tenant bills.

use farthing_billing::service::customer::{Customer, CustomerChange, NewCustomer};
use farthing_billing::service::key::Scope;
use farthing_billing::service::{Page, ServiceError};
use schemars::JsonSchema;
use serde::Deserialize;

use super::path::OfCustomer;
use crate::access::Access;
use crate::operation::{Call, Created, Done, Listed, Named, Operation};
use crate::page::{query, sealed};
use crate::problem::Problem;
use crate::read::Nothing;
use crate::text::Text;

pub(super) fn operations() -> Vec<Operation> {
    let named = |id, access, summary| Named { id, tag: "customers", access, summary };
    let (write, read) = (Access::key(Scope::Customers), Access::key(Scope::Read));
    vec![
        Operation::post("/v1/customers", named("createCustomer", write, "Make a customer"), create),
        Operation::get(
            "/v1/customers",
            named("listCustomers", read, "List customers, the newest first"),
            list,
        )
        .csv(&["id", "external_id", "name", "state", "created_ms", "updated_ms"]),
        Operation::get("/v1/customers/{customer}", named("getCustomer", read, "Get a customer"), get),
        Operation::patch(
            "/v1/customers/{customer}",
            named("updateCustomer", write, "Change a customer; what is left out stays"),
            update,
        ),
    ]
}

/// Which customers.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Which {
    /// The cursor: `next` of the page before.
    #[schemars(length(min = 1, max = 1024))]
    after: Option<String>,
    /// At most so many items, 100 if nothing is said.
    #[schemars(range(min = 1, max = 500))]
    limit: Option<u16>,
    /// Only the one whom the tenant knows by this name.
    external_id: Option<Text<128>>,
}

async fn create(call: Call<Nothing, Nothing, NewCustomer>) -> Result<Created<Customer>, Problem> {
    Ok(Created(call.billing.create_customer(&call.cx, &call.body).await?))
}

async fn list(call: Call<Nothing, Which>) -> Result<Listed<Customer>, Problem> {
    let Which { after, limit, external_id } = &call.query;
    let page = query(after.as_deref(), *limit)?;
    let Some(external_id) = external_id else {
        return Ok(Listed(sealed(call.billing.list_customers(&call.cx, &page).await?)));
    };
    let data = match call.billing.customer_by_external_id(&call.cx, external_id).await {
        Ok(customer) => vec![customer],
        Err(ServiceError::NotFound { .. }) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    Ok(Listed(Page { data, next: None }))
}

async fn get(call: Call<OfCustomer>) -> Result<Done<Customer>, Problem> {
    Ok(Done(call.billing.customer(&call.cx, call.path.customer.0).await?))
}

async fn update(call: Call<OfCustomer, Nothing, CustomerChange>) -> Result<Done<Customer>, Problem> {
    Ok(Done(call.billing.update_customer(&call.cx, call.path.customer.0, &call.body).await?))
}
