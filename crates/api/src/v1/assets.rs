//! `/v1/assets`: what a tenant counts in.

use farthing_billing::service::asset::TenantAsset;
use farthing_billing::service::key::Scope;
use farthing_money::{Asset, AssetKind};
use schemars::JsonSchema;
use serde::Deserialize;

use super::path::OfAsset;
use crate::access::Access;
use crate::operation::{Call, Created, Done, Listed, Named, Operation};
use crate::page::{PageParams, sealed};
use crate::problem::Problem;
use crate::read::Nothing;

pub(super) fn operations() -> Vec<Operation> {
    let named = |id, access, summary| Named { id, tag: "assets", access, summary };
    let (write, read) = (Access::key(Scope::Admin), Access::key(Scope::Read));
    vec![
        Operation::post(
            "/v1/assets",
            named("createAsset", write, "Define an asset; its code is taken for good"),
            create,
        ),
        Operation::get("/v1/assets", named("listAssets", read, "List assets"), list),
        Operation::get("/v1/assets/{asset}", named("getAsset", read, "Get an asset"), get),
    ]
}

/// An asset that is to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewAsset {
    /// The code that people read, such as `USD`: letters, digits, and `.`, `-`, `_`.
    #[schemars(regex(pattern = "^[A-Za-z0-9._-]{1,24}$"))]
    code: String,
    /// Its decimals: one whole unit is 10^scale base units.
    #[schemars(range(max = 30))]
    scale: u8,
    /// What it is.
    kind: NewKind,
    /// Of a token: its CAIP-2 network, such as `eip155:4217`.
    #[schemars(length(min = 1, max = 64))]
    network: Option<String>,
    /// Of a token: its address, in lower case.
    #[schemars(length(min = 1, max = 128))]
    address: Option<String>,
}

/// What an asset is.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum NewKind {
    /// A national currency, known by its ISO 4217 code.
    Fiat,
    /// A token on a blockchain, with `network` and `address`.
    Token,
    /// A unit of the tenant's own.
    Custom,
}

impl NewAsset {
    fn asset(&self) -> Result<Asset, Problem> {
        let wrong = |field, why| farthing_billing::service::ServiceError::invalid(field, why);
        let kind = match (self.kind, &self.network, &self.address) {
            (NewKind::Fiat, None, None) => AssetKind::Fiat,
            (NewKind::Custom, None, None) => AssetKind::Custom,
            (NewKind::Token, Some(network), Some(address)) => {
                let fits = |text: &str, most| {
                    (1..=most).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
                };
                if !fits(network, 64) {
                    return Err(wrong("network", "1 to 64 printable characters").into());
                }
                if !fits(address, 128) {
                    return Err(wrong("address", "1 to 128 printable characters").into());
                }
                AssetKind::Token {
                    network: network.as_str().into(),
                    address: address.to_ascii_lowercase().into(),
                }
            }
            (NewKind::Token, ..) => {
                return Err(wrong("network", "a token has a network and an address").into());
            }
            _ => return Err(wrong("network", "only a token has a network and an address").into()),
        };
        Asset::new(&self.code, self.scale, kind)
            .map_err(|error| farthing_billing::service::ServiceError::from(error).into())
    }
}

async fn create(call: Call<Nothing, Nothing, NewAsset>) -> Result<Created<TenantAsset>, Problem> {
    Ok(Created(call.billing.create_asset(&call.cx, &call.body.asset()?).await?))
}

async fn list(call: Call<Nothing, PageParams>) -> Result<Listed<TenantAsset>, Problem> {
    Ok(Listed(sealed(call.billing.list_assets(&call.cx, &call.query.query()?).await?)))
}

async fn get(call: Call<OfAsset>) -> Result<Done<TenantAsset>, Problem> {
    Ok(Done(call.billing.asset(&call.cx, &call.path.asset).await?.view().clone()))
}
