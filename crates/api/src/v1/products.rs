//! `/v1/products`: what is sold, and its prices, each of which counts from an instant on.

use farthing_billing::ProductId;
use farthing_billing::service::key::Scope;
use farthing_billing::service::product::{
    NewPrice, NewProduct, PriceVersion, ProductDoc, SimulationQuery, SimulationResult,
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::path::Id;
use crate::access::Access;
use crate::operation::{Call, Created, Done, Listed, Named, Operation};
use crate::page::{PageParams, sealed};
use crate::problem::Problem;
use crate::read::Nothing;

pub(super) fn operations() -> Vec<Operation> {
    let named = |id, access, summary| Named { id, tag: "products", access, summary };
    let (write, read) = (Access::key(Scope::Prices), Access::key(Scope::Read));
    vec![
        Operation::post(
            "/v1/products",
            named("createProduct", write, "Make a product, with its first price if wanted"),
            create,
        ),
        Operation::get("/v1/products", named("listProducts", read, "List products"), list),
        Operation::get("/v1/products/{product}", named("getProduct", read, "Get a product"), get),
        Operation::post(
            "/v1/products/{product}/prices",
            named("publishPrice", write, "Publish a price; what was sold before keeps its own"),
            publish,
        ),
        Operation::get(
            "/v1/products/{product}/prices",
            named("listPrices", read, "List prices, the latest first"),
            prices,
        ),
        Operation::post(
            "/v1/products/{product}/simulate",
            named("simulatePrice", read, "What a price would have done to past usage; nothing is written"),
            simulate,
        ),
    ]
}

/// A product.
#[derive(Debug, Deserialize, JsonSchema)]
struct OfProduct {
    /// The product.
    product: Id<ProductId>,
}

async fn create(call: Call<Nothing, Nothing, NewProduct>) -> Result<Created<ProductDoc>, Problem> {
    Ok(Created(call.billing.create_product(&call.cx, &call.body).await?))
}

async fn list(call: Call<Nothing, PageParams>) -> Result<Listed<ProductDoc>, Problem> {
    Ok(Listed(sealed(call.billing.list_products(&call.cx, &call.query.query()?).await?)))
}

async fn get(call: Call<OfProduct>) -> Result<Done<ProductDoc>, Problem> {
    Ok(Done(call.billing.product(&call.cx, call.path.product.0).await?))
}

async fn publish(call: Call<OfProduct, Nothing, NewPrice>) -> Result<Created<PriceVersion>, Problem> {
    Ok(Created(call.billing.publish_price(&call.cx, call.path.product.0, &call.body).await?))
}

async fn prices(call: Call<OfProduct, PageParams>) -> Result<Listed<PriceVersion>, Problem> {
    let page = call.query.query()?;
    Ok(Listed(sealed(call.billing.list_prices(&call.cx, call.path.product.0, &page).await?)))
}

async fn simulate(
    call: Call<OfProduct, Nothing, SimulationQuery>,
) -> Result<Done<SimulationResult>, Problem> {
    Ok(Done(call.billing.simulate_price(&call.cx, call.path.product.0, &call.body).await?))
}
