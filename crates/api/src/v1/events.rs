//! `/v1/events`: what happened, as webhooks tell it too.

use farthing_billing::service::event::Event;
use farthing_billing::service::key::Scope;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::access::Access;
use crate::operation::{Call, Done, Listed, Named, Operation};
use crate::page::{PageParams, sealed};
use crate::problem::Problem;
use crate::read::Nothing;

pub(super) fn operations() -> Vec<Operation> {
    let named = |id, summary| Named { id, tag: "events", access: Access::key(Scope::Read), summary };
    vec![
        Operation::get("/v1/events", named("listEvents", "What happened, the newest first"), list),
        Operation::get("/v1/events/{event}", named("getEvent", "Get an event"), get),
    ]
}

/// An event.
#[derive(Debug, Deserialize, JsonSchema)]
struct OfEvent {
    /// The event.
    #[schemars(regex(pattern = "^evt_[0-9a-f]{32}$"))]
    event: String,
}

async fn list(call: Call<Nothing, PageParams>) -> Result<Listed<Event>, Problem> {
    Ok(Listed(sealed(call.billing.list::<Event>(&call.cx, "", &call.query.query()?).await?.docs())))
}

async fn get(call: Call<OfEvent>) -> Result<Done<Event>, Problem> {
    let id = &call.path.event;
    if farthing_billing::service::read_id("evt", id).is_none() {
        return Err(Problem::not_found("event", &id.chars().take(64).collect::<String>()));
    }
    Ok(Done(call.billing.get::<Event>(&call.cx, id).await?.doc))
}
