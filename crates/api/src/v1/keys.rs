//! `/v1/api_keys`: what a tenant's programs are known by. A secret is shown once, by the answer that made it; told again under its
//! idempotency key that answer has `secret: null`, because only a hash is kept.

use farthing_billing::service::key::{ApiKey, NewApiKey, PREFIX, Scope};
use farthing_billing::service::{KeyId, Secret};
use farthing_ledger::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::path::Id;
use crate::access::Access;
use crate::operation::{Call, Created, Done, Listed, Named, Operation};
use crate::page::{PageParams, sealed};
use crate::problem::Problem;
use crate::read::Nothing;

pub(super) fn operations() -> Vec<Operation> {
    let admin = Access::key(Scope::Admin);
    let named = |id, summary| Named { id, tag: "api_keys", access: admin, summary };
    vec![
        Operation::post(
            "/v1/api_keys",
            named("createApiKey", "Make a key; its secret is shown here and never again"),
            create,
        ),
        Operation::get("/v1/api_keys", named("listApiKeys", "List keys, without their secrets"), list),
        Operation::get("/v1/api_keys/{key}", named("getApiKey", "Get a key, without its secret"), get),
        Operation::post(
            "/v1/api_keys/{key}/rotate",
            named("rotateApiKey", "Give a key a new secret; the old one works for as long as is wanted"),
            rotate,
        ),
        Operation::post(
            "/v1/api_keys/{key}/revoke",
            named("revokeApiKey", "The key does nothing any more"),
            revoke,
        ),
    ]
}

/// A key.
#[derive(Debug, Deserialize, JsonSchema)]
struct OfKey {
    /// The key.
    key: Id<KeyId>,
}

/// A key with its secret.
#[derive(Serialize, JsonSchema)]
struct WithSecret {
    #[serde(flatten)]
    key: ApiKey,
    /// What is sent as `Authorization: Bearer`. It is shown once: null when this answer was given before.
    secret: Option<String>,
}

/// How a key is rotated.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Rotation {
    /// Until when the old secret works too; not at all, if nothing is said.
    previous_until_ms: Option<u64>,
}

/// The secret of an answer that was not given before.
fn shown(call_is_new: bool, secret: &Secret) -> Option<String> {
    call_is_new.then(|| secret.present(PREFIX))
}

async fn create(call: Call<Nothing, Nothing, NewApiKey>) -> Result<Created<WithSecret>, Problem> {
    let secret = Secret::from_bytes(call.api.world().random());
    let key = call.billing.create_key(&call.cx, &call.body, &secret).await?;
    let secret = shown(!call.was_replayed(), &secret);
    Ok(Created(WithSecret { key, secret }))
}

async fn list(call: Call<Nothing, PageParams>) -> Result<Listed<ApiKey>, Problem> {
    Ok(Listed(sealed(call.billing.list_keys(&call.cx, &call.query.query()?).await?)))
}

async fn get(call: Call<OfKey>) -> Result<Done<ApiKey>, Problem> {
    Ok(Done(call.billing.key(&call.cx, call.path.key.0).await?))
}

async fn rotate(call: Call<OfKey, Nothing, Rotation>) -> Result<Done<WithSecret>, Problem> {
    let secret = Secret::from_bytes(call.api.world().random());
    let until = call.body.previous_until_ms.map(Timestamp::from_unix_ms);
    let key = call.billing.rotate_key(&call.cx, call.path.key.0, &secret, until).await?;
    call.api.keys().forget();
    let secret = shown(!call.was_replayed(), &secret);
    Ok(Done(WithSecret { key, secret }))
}

async fn revoke(call: Call<OfKey>) -> Result<Done<ApiKey>, Problem> {
    let key = call.billing.revoke_key(&call.cx, call.path.key.0).await?;
    call.api.keys().forget();
    Ok(Done(key))
}
