//! `/v1/webhook_endpoints`: who is told of events, what became of it, and telling it again.

use farthing_billing::service::event::EventKind;
use farthing_billing::service::key::Scope;
use farthing_billing::service::webhook::{
    Attempt, Change, Delivery, Endpoint, EndpointState, NewEndpoint, Secret,
};
use farthing_billing::service::{Page, read_id};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::Access;
use crate::operation::{Call, Created, Done, Listed, Named, Operation};
use crate::page::{self, sealed};
use crate::problem::Problem;
use crate::read::Nothing;

/// For how long the secret before signs too, when nothing is said: a day.
const OVERLAP_MS: u64 = 86_400_000;
/// The longest time for that: a week.
const LONGEST_OVERLAP_MS: u64 = 7 * OVERLAP_MS;

pub(super) fn operations() -> Vec<Operation> {
    let access = Access::key(Scope::Webhooks);
    let named = |id, summary| Named { id, tag: "webhooks", access, summary };
    vec![
        Operation::post(
            "/v1/webhook_endpoints",
            named("createWebhookEndpoint", "Make an endpoint that is told of events from now on"),
            create,
        ),
        Operation::get("/v1/webhook_endpoints", named("listWebhookEndpoints", "List endpoints"), list),
        Operation::get(
            "/v1/webhook_endpoints/{endpoint}",
            named("getWebhookEndpoint", "Get an endpoint"),
            get,
        ),
        Operation::patch(
            "/v1/webhook_endpoints/{endpoint}",
            named("updateWebhookEndpoint", "Change an endpoint, disable it, or enable it again"),
            change,
        ),
        Operation::delete(
            "/v1/webhook_endpoints/{endpoint}",
            named(
                "deleteWebhookEndpoint",
                "Delete an endpoint; what was still to be told is not told any more",
            ),
            delete,
        ),
        Operation::post(
            "/v1/webhook_endpoints/{endpoint}/rotate_secret",
            named("rotateWebhookSecret", "Sign with a new secret, and for a while with the old one too"),
            rotate,
        ),
        Operation::get(
            "/v1/webhook_endpoints/{endpoint}/deliveries",
            named("listWebhookDeliveries", "List deliveries, or dead letters alone, the newest event first"),
            deliveries,
        ),
        Operation::get(
            "/v1/webhook_endpoints/{endpoint}/deliveries/{event}",
            named("getWebhookDelivery", "Get a delivery with the log of its attempts"),
            delivery,
        ),
        Operation::post(
            "/v1/webhook_endpoints/{endpoint}/deliveries/{event}/replay",
            named(
                "replayWebhookDelivery",
                "Tell it again; a delivery that waits to be tried again is tried now",
            ),
            replay,
        ),
        Operation::post(
            "/v1/webhook_endpoints/{endpoint}/replay_dead_letters",
            named("replayDeadLetters", "Tell dead letters again, the oldest first, at most 100 a call"),
            replay_dead_letters,
        ),
    ]
}

/// An endpoint.
#[derive(Debug, Deserialize, JsonSchema)]
struct OfEndpoint {
    /// The endpoint.
    #[schemars(regex(pattern = "^whk_[0-9a-f]{32}$"))]
    endpoint: String,
}

/// A delivery.
#[derive(Debug, Deserialize, JsonSchema)]
struct OfDelivery {
    /// The endpoint.
    #[schemars(regex(pattern = "^whk_[0-9a-f]{32}$"))]
    endpoint: String,
    /// The event.
    #[schemars(regex(pattern = "^evt_[0-9a-f]{32}$"))]
    event: String,
}

/// A name as it is written; anything else names nothing.
fn endpoint(id: &str) -> Result<&str, Problem> {
    let short = || id.chars().take(64).collect::<String>();
    read_id("whk", id).map(|_| id).ok_or_else(|| Problem::not_found("webhook endpoint", &short()))
}

fn event(id: &str) -> Result<&str, Problem> {
    let short = || id.chars().take(64).collect::<String>();
    read_id("evt", id).map(|_| id).ok_or_else(|| Problem::not_found("delivery", &short()))
}

/// An endpoint, without its secrets.
#[derive(Debug, Serialize, JsonSchema)]
struct WebhookEndpoint {
    /// Its name: `whk_…`.
    id: String,
    /// Where events are posted to.
    url: String,
    /// What it is told of; empty: everything.
    types: Vec<EventKind>,
    /// What its owner notes.
    description: String,
    /// Whether it is told.
    state: EndpointState,
    /// How many secrets sign now: two while one is rotated.
    secrets: usize,
    /// When it was made.
    created_ms: u64,
    /// When it was changed last.
    updated_ms: u64,
}

/// An endpoint with the secret that signs from now on.
#[derive(Debug, Serialize, JsonSchema)]
struct WithSecret {
    #[serde(flatten)]
    endpoint: WebhookEndpoint,
    /// The secret: `whsec_` and base64. Keep it; it is not shown again.
    secret: String,
}

fn shown(endpoint: Endpoint, now_ms: u64) -> WebhookEndpoint {
    let secrets = endpoint.signing(now_ms).count();
    let Endpoint { id, url, kinds, description, state, created_ms, updated_ms, .. } = endpoint;
    WebhookEndpoint { id, url, types: kinds, description, state, secrets, created_ms, updated_ms }
}

fn with_secret(endpoint: Endpoint, now_ms: u64) -> WithSecret {
    let secret = endpoint.secrets.first().map(|kept| kept.secret.reveal().to_owned()).unwrap_or_default();
    WithSecret { endpoint: shown(endpoint, now_ms), secret }
}

/// An endpoint that is to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewWebhookEndpoint {
    /// Where events are posted to: https, and on the public Internet.
    #[schemars(length(min = 1, max = 2048))]
    url: String,
    /// What it is told of; missing or empty: everything.
    #[serde(default)]
    types: Vec<EventKind>,
    /// What its owner notes.
    #[serde(default)]
    #[schemars(length(max = 256))]
    description: String,
    /// The secret; missing: one is made.
    #[serde(default)]
    secret: Option<String>,
}

/// What is to be changed. What is missing stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EndpointChange {
    /// Where events are posted to.
    #[serde(default)]
    #[schemars(length(min = 1, max = 2048))]
    url: Option<String>,
    /// What it is told of, all of it; empty: everything.
    #[serde(default)]
    types: Option<Vec<EventKind>>,
    /// What its owner notes.
    #[serde(default)]
    #[schemars(length(max = 256))]
    description: Option<String>,
    /// Whether it is told.
    #[serde(default)]
    enabled: Option<bool>,
}

/// How a secret is rotated.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SecretRotation {
    /// The new secret; missing: one is made.
    #[serde(default)]
    secret: Option<String>,
    /// For how long the old one signs too: a day, if nothing is said. 0 for a secret that has leaked.
    #[serde(default)]
    #[schemars(range(max = 604_800_000))]
    overlap_ms: Option<u64>,
}

/// Which deliveries.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct WhichDeliveries {
    /// The cursor: `next` of the page before.
    #[schemars(length(min = 1, max = 1024))]
    after: Option<String>,
    /// At most so many items, 100 if nothing is said.
    #[schemars(range(min = 1, max = 500))]
    limit: Option<u16>,
    /// Dead letters alone.
    state: Option<OnlyDead>,
}

/// The one state that can be asked for.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum OnlyDead {
    /// Dead letters.
    Dead,
}

/// A delivery with the log of its attempts.
#[derive(Debug, Serialize, JsonSchema)]
struct DeliveryLog {
    #[serde(flatten)]
    delivery: Delivery,
    /// Every attempt, the oldest first.
    log: Vec<Attempt>,
}

/// That an endpoint is gone.
#[derive(Debug, Serialize, JsonSchema)]
struct Deleted {
    /// Its name.
    id: String,
    /// `true`.
    deleted: bool,
}

/// How many dead letters are told again.
#[derive(Debug, Serialize, JsonSchema)]
struct Replayed {
    /// How many: ask again until it is 0.
    replayed: usize,
}

fn secret(chosen: Option<&str>, random: [u8; 32]) -> Result<Secret, Problem> {
    let invalid = |why: farthing_billing::service::webhook::BadSecret| {
        Problem::from(farthing_billing::service::ServiceError::invalid("secret", why.to_string()))
    };
    chosen.map_or_else(|| Ok(Secret::from_bytes(random)), |text| Secret::parse(text).map_err(invalid))
}

/// An address that cannot be connected to is refused at once; names are looked up when it is connected to.
fn check(call_api: &crate::Api, url: &str) -> Result<(), Problem> {
    let reach = &call_api.settings().webhooks;
    reach.url(url).map(drop).map_err(|refusal| {
        Problem::from(farthing_billing::service::ServiceError::invalid("url", refusal.to_string()))
    })
}

async fn create(call: Call<Nothing, Nothing, NewWebhookEndpoint>) -> Result<Created<WithSecret>, Problem> {
    let NewWebhookEndpoint { url, types, description, secret: chosen } = call.body;
    check(&call.api, &url)?;
    let secret = secret(chosen.as_deref(), call.api.world().random())?;
    let new = NewEndpoint { url, kinds: types, description, secret };
    let made = call.billing.create_webhook(&call.cx, &new).await?;
    Ok(Created(with_secret(made, call.cx.now.unix_ms())))
}

async fn list(call: Call) -> Result<Listed<WebhookEndpoint>, Problem> {
    let now_ms = call.cx.now.unix_ms();
    let all = call.billing.webhooks(&call.cx).await?;
    // There are few: they fit on one page.
    let data = all.into_iter().map(|stored| shown(stored.doc, now_ms)).collect();
    Ok(Listed(Page { data, next: None }))
}

async fn get(call: Call<OfEndpoint>) -> Result<Done<WebhookEndpoint>, Problem> {
    let found = call.billing.webhook(&call.cx, endpoint(&call.path.endpoint)?).await?;
    Ok(Done(shown(found.doc, call.cx.now.unix_ms())))
}

async fn change(call: Call<OfEndpoint, Nothing, EndpointChange>) -> Result<Done<WebhookEndpoint>, Problem> {
    let EndpointChange { url, types, description, enabled } = call.body;
    url.as_deref().map_or(Ok(()), |url| check(&call.api, url))?;
    let change = Change { url, kinds: types, description, enabled };
    let changed = call.billing.change_webhook(&call.cx, endpoint(&call.path.endpoint)?, &change).await?;
    Ok(Done(shown(changed, call.cx.now.unix_ms())))
}

async fn delete(call: Call<OfEndpoint>) -> Result<Done<Deleted>, Problem> {
    let id = endpoint(&call.path.endpoint)?;
    call.billing.delete_webhook(&call.cx, id).await?;
    Ok(Done(Deleted { id: id.to_owned(), deleted: true }))
}

async fn rotate(call: Call<OfEndpoint, Nothing, SecretRotation>) -> Result<Done<WithSecret>, Problem> {
    let secret = secret(call.body.secret.as_deref(), call.api.world().random())?;
    let overlap_ms = call.body.overlap_ms.unwrap_or(OVERLAP_MS).min(LONGEST_OVERLAP_MS);
    let id = endpoint(&call.path.endpoint)?;
    let rotated = call.billing.rotate_webhook_secret(&call.cx, id, &secret, overlap_ms).await?;
    Ok(Done(with_secret(rotated, call.cx.now.unix_ms())))
}

async fn deliveries(call: Call<OfEndpoint, WhichDeliveries>) -> Result<Listed<Delivery>, Problem> {
    let page = page::query(call.query.after.as_deref(), call.query.limit)?;
    let id = endpoint(&call.path.endpoint)?;
    let found = match call.query.state {
        None => call.billing.webhook_deliveries(&call.cx, id, &page).await?,
        Some(OnlyDead::Dead) => call.billing.webhook_dead_letters(&call.cx, id, &page).await?,
    };
    Ok(Listed(sealed(found)))
}

async fn delivery(call: Call<OfDelivery>) -> Result<Done<DeliveryLog>, Problem> {
    let (endpoint, event) = (endpoint(&call.path.endpoint)?, event(&call.path.event)?);
    let (delivery, log) = call.billing.webhook_delivery(&call.cx, endpoint, event).await?;
    Ok(Done(DeliveryLog { delivery, log }))
}

async fn replay(call: Call<OfDelivery>) -> Result<Done<Delivery>, Problem> {
    let (endpoint, event) = (endpoint(&call.path.endpoint)?, event(&call.path.event)?);
    Ok(Done(call.billing.replay_webhook(&call.cx, endpoint, event).await?))
}

async fn replay_dead_letters(call: Call<OfEndpoint>) -> Result<Done<Replayed>, Problem> {
    let replayed = call.billing.replay_dead_letters(&call.cx, endpoint(&call.path.endpoint)?).await?;
    Ok(Done(Replayed { replayed }))
}
