//! `/v1/usage_events` and `/v1/subjects`: what was used, priced and charged as it is told, and the units of work it rolls up under.

use farthing_billing::service::hold::NewRefund;
use farthing_billing::service::key::Scope;
use farthing_billing::service::subject::{NewSubject, Subject};
use farthing_billing::service::usage::{NewUsage, Recorded, UsageDoc, UsageId, UsageRefund};
use farthing_billing::{CustomerId, SubjectId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::path::{Id, OfCustomer};
use crate::access::Access;
use crate::operation::{Call, Created, Done, Listed, Named, Operation};
use crate::page::{PageParams, query, sealed};
use crate::problem::Problem;
use crate::read::Nothing;

const COLUMNS: &[&str] = &[
    "id",
    "event_id",
    "customer",
    "subject",
    "product",
    "event_type",
    "quantity",
    "price",
    "cost",
    "occurred_ms",
    "recorded_ms",
    "refunded",
];

pub(super) fn operations() -> Vec<Operation> {
    let usage = |id, access, summary| Named { id, tag: "usage", access, summary };
    let subjects = |id, summary| Named { id, tag: "subjects", access: Access::key(Scope::Read), summary };
    let made = "Make a unit of work, a part of another or not";
    let made =
        Named { id: "createSubject", tag: "subjects", access: Access::key(Scope::Usage), summary: made };
    let (write, read) = (Access::key(Scope::Usage), Access::key(Scope::Read));
    vec![
        Operation::post(
            "/v1/usage_events",
            usage("recordUsage", write, "Tell what was used: priced, charged and costed at once, and once"),
            record,
        ),
        Operation::post(
            "/v1/usage_events/batch",
            usage("recordUsageBatch", write, "Tell many events, each with an answer of its own"),
            batch,
        ),
        Operation::get(
            "/v1/usage_events",
            usage("listUsage", read, "List events, a customer's or all"),
            list,
        )
        .csv(COLUMNS),
        Operation::get("/v1/usage_events/{usage}", usage("getUsage", read, "Get an event"), get),
        Operation::post(
            "/v1/usage_events/{usage}/refund",
            usage(
                "refundUsage",
                write,
                "What was charged for an event, or a part of it, goes back where it came from",
            ),
            refund,
        ),
        Operation::get(
            "/v1/customers/{customer}/subjects",
            subjects("listSubjects", "List a customer's units of work with their totals"),
            list_subjects,
        ),
        Operation::post("/v1/customers/{customer}/subjects", made, create_subject),
        Operation::get(
            "/v1/subjects/{subject}",
            subjects("getSubject", "Get a unit of work with its totals, and those of all beneath it"),
            subject,
        ),
        Operation::get(
            "/v1/subjects/{subject}/subjects",
            subjects("listSubjectsUnder", "List the units of work right under one, with their totals"),
            under,
        ),
        Operation::get(
            "/v1/subjects/{subject}/usage_events",
            subjects("listSubjectUsage", "List the events of a unit of work"),
            of_subject,
        )
        .csv(COLUMNS),
    ]
}

/// An event.
#[derive(Debug, Deserialize, JsonSchema)]
struct OfUsage {
    /// The event.
    usage: Id<UsageId>,
}

/// A unit of work.
#[derive(Debug, Deserialize, JsonSchema)]
struct OfSubject {
    /// The unit of work.
    subject: Id<SubjectId>,
}

/// Which events.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Which {
    /// The cursor: `next` of the page before.
    #[schemars(length(min = 1, max = 1024))]
    after: Option<String>,
    /// At most so many items, 100 if nothing is said.
    #[schemars(range(min = 1, max = 500))]
    limit: Option<u16>,
    /// Of this customer; by the time at which they occurred then, otherwise by the time at which they were told.
    customer: Option<Id<CustomerId>>,
}

/// Many events.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Batch {
    /// 1 to 256 of them.
    #[schemars(length(min = 1, max = 256))]
    events: Vec<NewUsage>,
}

/// The answers to many events.
#[derive(Debug, Serialize, JsonSchema)]
struct BatchAnswer {
    /// One an event, in their order.
    results: Vec<BatchResult>,
}

/// The answer to one event of a batch: either is there.
#[derive(Debug, Serialize, JsonSchema)]
struct BatchResult {
    /// The event, when it was recorded or had been.
    recorded: Option<Recorded>,
    /// Why it was not.
    problem: Option<BatchProblem>,
}

/// Why an event of a batch was not recorded. The others are not concerned.
#[derive(Debug, Serialize, JsonSchema)]
struct BatchProblem {
    /// The status that it would have had alone.
    status: u16,
    /// The stable code, for programs.
    code: &'static str,
    /// What happened, for people.
    detail: String,
}

async fn record(call: Call<Nothing, Nothing, NewUsage>) -> Result<Done<Recorded>, Problem> {
    Ok(Done(call.billing.record_usage(&call.cx, &call.body).await?))
}

async fn batch(call: Call<Nothing, Nothing, Batch>) -> Result<Done<BatchAnswer>, Problem> {
    let told = call.billing.record_usages(&call.cx, &call.body.events).await?;
    let results = told.into_iter().map(|one| match one {
        Ok(recorded) => BatchResult { recorded: Some(recorded), problem: None },
        Err(error) => {
            let Problem { status, code, detail, .. } = error.into();
            BatchResult {
                recorded: None,
                problem: Some(BatchProblem { status: status.as_u16(), code, detail }),
            }
        }
    });
    Ok(Done(BatchAnswer { results: results.collect() }))
}

async fn list(call: Call<Nothing, Which>) -> Result<Listed<UsageDoc>, Problem> {
    let page = query(call.query.after.as_deref(), call.query.limit)?;
    Ok(Listed(sealed(match call.query.customer {
        Some(customer) => call.billing.list_customer_usage(&call.cx, customer.0, &page).await?,
        None => call.billing.list_usage(&call.cx, &page).await?,
    })))
}

async fn get(call: Call<OfUsage>) -> Result<Done<UsageDoc>, Problem> {
    Ok(Done(call.billing.usage(&call.cx, call.path.usage.0).await?))
}

async fn refund(call: Call<OfUsage, Nothing, NewRefund>) -> Result<Done<UsageRefund>, Problem> {
    Ok(Done(call.billing.refund_usage(&call.cx, call.path.usage.0, &call.body).await?))
}

async fn list_subjects(call: Call<OfCustomer, PageParams>) -> Result<Listed<Subject>, Problem> {
    let (customer, page) = (call.path.customer.0, call.query.query()?);
    call.billing.customer(&call.cx, customer).await?;
    Ok(Listed(sealed(call.billing.list_subjects(&call.cx, customer, &page).await?)))
}

async fn create_subject(call: Call<OfCustomer, Nothing, NewSubject>) -> Result<Created<Subject>, Problem> {
    Ok(Created(call.billing.create_subject(&call.cx, call.path.customer.0, &call.body).await?))
}

async fn under(call: Call<OfSubject, PageParams>) -> Result<Listed<Subject>, Problem> {
    let page = call.query.query()?;
    Ok(Listed(sealed(call.billing.list_subjects_under(&call.cx, call.path.subject.0, &page).await?)))
}

async fn subject(call: Call<OfSubject>) -> Result<Done<Subject>, Problem> {
    Ok(Done(call.billing.subject(&call.cx, call.path.subject.0).await?))
}

async fn of_subject(call: Call<OfSubject, PageParams>) -> Result<Listed<UsageDoc>, Problem> {
    let page = call.query.query()?;
    Ok(Listed(sealed(call.billing.list_subject_usage(&call.cx, call.path.subject.0, &page).await?)))
}
