//! `/v1/reports`: revenue, cost and margin, from counters and never from events.

use farthing_billing::service::key::Scope;
use farthing_billing::service::report::{ReportQuery, ReportRow, Series, SeriesQuery, Top, TopBy};
use farthing_billing::service::usage::{By, Over};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::access::Access;
use crate::operation::{Call, Done, Listed, Named, Operation};
use crate::page::{query, sealed};
use crate::problem::Problem;
use crate::read::Nothing;

pub(super) fn operations() -> Vec<Operation> {
    let named = |id, summary| Named { id, tag: "reports", access: Access::key(Scope::Read), summary };
    vec![
        Operation::get(
            "/v1/reports/margin",
            named("reportMargin", "Revenue, cost and margin of everything in a day, a month or in all"),
            all,
        )
        .csv(&[
            "id",
            "name",
            "events",
            "quantity",
            "revenue",
            "cost",
            "margin",
            "margin_millionths",
            "refunded",
            "charged_back",
        ]),
        Operation::get(
            "/v1/reports/margin/top",
            named("reportTop", "What brought, cost or lost most in a window"),
            top,
        ),
        Operation::get(
            "/v1/reports/margin/series",
            named("reportSeries", "One thing over days or months"),
            series,
        ),
    ]
}

/// Which window of what.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Which {
    /// What is counted by.
    by: By,
    /// The code of the asset.
    #[schemars(regex(pattern = "^[A-Za-z0-9._-]{1,24}$"))]
    asset: String,
    /// How long the window is.
    over: Over,
    /// An instant in the window; now, if nothing is said.
    #[serde(default)]
    at_ms: Option<u64>,
    /// The cursor: `next` of the page before.
    #[serde(default)]
    #[schemars(length(min = 1, max = 1024))]
    after: Option<String>,
    /// At most so many items, 100 if nothing is said.
    #[serde(default)]
    #[schemars(range(min = 1, max = 500))]
    limit: Option<u16>,
}

/// The top of which window.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WhichTop {
    /// What is counted by.
    by: By,
    /// The code of the asset.
    #[schemars(regex(pattern = "^[A-Za-z0-9._-]{1,24}$"))]
    asset: String,
    /// How long the window is.
    over: Over,
    /// An instant in the window; now, if nothing is said.
    #[serde(default)]
    at_ms: Option<u64>,
    /// What makes a thing a top one.
    #[serde(default)]
    order: TopBy,
    /// How many, 10 if nothing is said.
    #[serde(default)]
    #[schemars(range(min = 1, max = 100))]
    top: Option<u8>,
}

async fn all(call: Call<Nothing, Which>) -> Result<Listed<ReportRow>, Problem> {
    let Which { by, asset, over, at_ms, after, limit } = call.query;
    let page = query(after.as_deref(), limit)?;
    let report = call.billing.report(&call.cx, &ReportQuery { by, asset, over, at_ms }, &page).await?;
    Ok(Listed(sealed(report.rows)))
}

async fn top(call: Call<Nothing, WhichTop>) -> Result<Done<Top>, Problem> {
    let WhichTop { by, asset, over, at_ms, order, top } = call.query;
    let most = usize::from(top.unwrap_or(10));
    Ok(Done(call.billing.report_top(&call.cx, &ReportQuery { by, asset, over, at_ms }, (order, most)).await?))
}

async fn series(call: Call<Nothing, SeriesQuery>) -> Result<Done<Series>, Problem> {
    Ok(Done(call.billing.report_series(&call.cx, &call.query).await?))
}
