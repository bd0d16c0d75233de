//! `/v1/vendors`: what vendors ask for, kept and told before a call is authorised.

use farthing_billing::service::key::Scope;
use farthing_billing::service::vendor::{
    MAX_VENDOR, NewQuote, PolicyDoc, PolicyForm, QuoteChange, QuoteDoc, QuoteVerdict, VendorDoc,
};
use farthing_money::Amount;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::access::Access;
use crate::operation::{Call, Done, Listed, Named, Operation};
use crate::page::{PageParams, query, sealed};
use crate::problem::Problem;
use crate::read::Nothing;
use crate::text::Text;

pub(super) fn operations() -> Vec<Operation> {
    let named = |id, access, summary| Named { id, tag: "vendors", access, summary };
    let (usage, prices, read) =
        (Access::key(Scope::Usage), Access::key(Scope::Prices), Access::key(Scope::Read));
    vec![
        Operation::get("/v1/vendors", named("listVendors", read, "List vendors that were heard of"), vendors),
        Operation::post(
            "/v1/quotes",
            named(
                "createQuote",
                usage,
                "Tell what a vendor asks for, and learn whether the call may be authorised",
            ),
            quote,
        ),
        Operation::get("/v1/quotes", named("listQuotes", read, "List what vendors ask for now"), quotes),
        Operation::get(
            "/v1/quotes/changes",
            named("listQuoteChanges", read, "List every price that a vendor asked for"),
            changes,
        ),
        Operation::post(
            "/v1/quotes/accept",
            named("acceptQuote", prices, "Accept a vendor's new price"),
            accept,
        ),
        Operation::get(
            "/v1/vendor_policy",
            named("getVendorPolicy", read, "The rule about a vendor's prices, or all vendors'"),
            policy,
        ),
        Operation::put(
            "/v1/vendor_policy",
            named("setVendorPolicy", prices, "Set the rule about a vendor's prices, or all vendors'"),
            set_policy,
        ),
    ]
}

/// Whose quotes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Whose {
    /// The cursor: `next` of the page before.
    #[schemars(length(min = 1, max = 1024))]
    after: Option<String>,
    /// At most so many items, 100 if nothing is said.
    #[schemars(range(min = 1, max = 500))]
    limit: Option<u16>,
    /// Only this vendor's.
    vendor: Option<Text<MAX_VENDOR>>,
}

/// Whose prices.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WhoseChanges {
    /// The vendor.
    vendor: Text<MAX_VENDOR>,
    /// The cursor: `next` of the page before.
    #[serde(default)]
    #[schemars(length(min = 1, max = 1024))]
    after: Option<String>,
    /// At most so many items, 100 if nothing is said.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    limit: Option<u16>,
}

/// Whose rule.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct WhosePolicy {
    /// The vendor; the rule of all that have none of their own, if nothing is said.
    vendor: Option<Text<MAX_VENDOR>>,
}

/// A price that is accepted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Acceptance {
    /// The vendor.
    vendor: String,
    /// What it offers.
    offer: String,
    /// The code of the asset in which it is asked.
    asset: String,
    /// The price.
    amount: Amount,
}

async fn vendors(call: Call<Nothing, PageParams>) -> Result<Listed<VendorDoc>, Problem> {
    Ok(Listed(sealed(call.billing.list_vendors(&call.cx, &call.query.query()?).await?)))
}

async fn quote(call: Call<Nothing, Nothing, NewQuote>) -> Result<Done<QuoteVerdict>, Problem> {
    Ok(Done(call.billing.quote(&call.cx, &call.body).await?))
}

async fn quotes(call: Call<Nothing, Whose>) -> Result<Listed<QuoteDoc>, Problem> {
    let page = query(call.query.after.as_deref(), call.query.limit)?;
    Ok(Listed(sealed(call.billing.list_quotes(&call.cx, call.query.vendor.as_deref(), &page).await?)))
}

async fn changes(call: Call<Nothing, WhoseChanges>) -> Result<Listed<QuoteChange>, Problem> {
    let page = query(call.query.after.as_deref(), call.query.limit)?;
    Ok(Listed(sealed(call.billing.list_quote_changes(&call.cx, (&call.query.vendor, None), &page).await?)))
}

async fn accept(call: Call<Nothing, Nothing, Acceptance>) -> Result<Done<QuoteDoc>, Problem> {
    let Acceptance { vendor, offer, asset, amount } = &call.body;
    Ok(Done(call.billing.accept_quote(&call.cx, (vendor, offer, asset), *amount).await?))
}

async fn policy(call: Call<Nothing, WhosePolicy>) -> Result<Done<PolicyDoc>, Problem> {
    Ok(Done(call.billing.vendor_policy(&call.cx, call.query.vendor.as_deref()).await?))
}

async fn set_policy(call: Call<Nothing, WhosePolicy, PolicyForm>) -> Result<Done<PolicyDoc>, Problem> {
    Ok(Done(call.billing.set_vendor_policy(&call.cx, call.query.vendor.as_deref(), call.body).await?))
}
