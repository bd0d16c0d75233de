//! `/v1/holds`: money set aside for one call, paid or given back once it is known what the call cost.

use farthing_billing::BudgetId;
use farthing_billing::CustomerId;
use farthing_billing::service::HoldId;
use farthing_billing::service::hold::{Hold, HoldFilter, HoldState, NewCapture, NewHold, NewRefund, NewVoid};
use farthing_billing::service::key::Scope;
use farthing_billing::service::usage::MAX_SUBJECT;
use schemars::JsonSchema;
use serde::Deserialize;

use super::path::Id;
use crate::access::Access;
use crate::operation::{Call, Created, Done, Listed, Named, Operation};
use crate::page::{query, sealed};
use crate::problem::Problem;
use crate::read::Nothing;
use crate::text::Text;

pub(super) fn operations() -> Vec<Operation> {
    let named = |id, access, summary| Named { id, tag: "holds", access, summary };
    let (spend, owner) = (Access::key_or_token(Scope::Holds), Access::key(Scope::Holds));
    let read = Access::key_or_token(Scope::Read);
    vec![
        Operation::post(
            "/v1/holds",
            named("createHold", spend, "Set money aside, on the wallet and on every budget above at once"),
            create,
        ),
        Operation::get("/v1/holds", named("listHolds", read, "List holds, the newest first"), list).csv(&[
            "id",
            "customer",
            "asset",
            "budget",
            "token",
            "state",
            "amount",
            "held",
            "captured",
            "refunded",
            "counterparty",
            "subject",
            "description",
            "expires_ms",
            "created_ms",
            "updated_ms",
        ]),
        Operation::get("/v1/holds/{hold}", named("getHold", read, "Get a hold"), get),
        Operation::post(
            "/v1/holds/{hold}/capture",
            named("captureHold", spend, "The call was paid for: wholly, partly, or in parts"),
            capture,
        ),
        Operation::post(
            "/v1/holds/{hold}/void",
            named("voidHold", spend, "Nothing was paid: give it all back"),
            void,
        ),
        Operation::post(
            "/v1/holds/{hold}/refund",
            named("refundHold", owner, "What was captured, or a part of it, goes back where it came from"),
            refund,
        ),
    ]
}

/// A hold.
#[derive(Debug, Deserialize, JsonSchema)]
struct OfHold {
    /// The hold.
    hold: Id<HoldId>,
}

/// Which holds.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Which {
    /// The cursor: `next` of the page before.
    #[schemars(length(min = 1, max = 1024))]
    after: Option<String>,
    /// At most so many items, 100 if nothing is said.
    #[schemars(range(min = 1, max = 500))]
    limit: Option<u16>,
    /// Of this customer.
    customer: Option<Id<CustomerId>>,
    /// For this unit of work of the customer.
    subject: Option<Text<MAX_SUBJECT>>,
    /// Placed by this very budget, not by those below it.
    budget: Option<Id<BudgetId>>,
    /// In this state. A page may then have fewer than were asked for although there are more: follow the cursor.
    state: Option<HoldState>,
}

async fn create(call: Call<Nothing, Nothing, NewHold>) -> Result<Created<Hold>, Problem> {
    Ok(Created(call.billing.place_hold(&call.cx, &call.caller.authority(), &call.body).await?))
}

async fn list(call: Call<Nothing, Which>) -> Result<Listed<Hold>, Problem> {
    let Which { after, limit, customer, subject, budget, state } = call.query;
    let page = query(after.as_deref(), limit)?;
    let filter = HoldFilter {
        customer: customer.map(|id| id.0),
        subject: subject.map(Text::into_string),
        budget: budget.map(|id| id.0),
        state,
    };
    Ok(Listed(sealed(call.billing.list_holds(&call.cx, &call.caller.authority(), &filter, &page).await?)))
}

async fn get(call: Call<OfHold>) -> Result<Done<Hold>, Problem> {
    Ok(Done(call.billing.hold(&call.cx, &call.caller.authority(), call.path.hold.0).await?))
}

async fn capture(call: Call<OfHold, Nothing, NewCapture>) -> Result<Done<Hold>, Problem> {
    let by = call.caller.authority();
    Ok(Done(call.billing.capture_hold(&call.cx, &by, call.path.hold.0, &call.body).await?))
}

async fn void(call: Call<OfHold, Nothing, NewVoid>) -> Result<Done<Hold>, Problem> {
    let by = call.caller.authority();
    Ok(Done(call.billing.void_hold(&call.cx, &by, call.path.hold.0, &call.body).await?))
}

async fn refund(call: Call<OfHold, Nothing, NewRefund>) -> Result<Done<Hold>, Problem> {
    Ok(Done(call.billing.refund_hold(&call.cx, call.path.hold.0, &call.body).await?))
}
