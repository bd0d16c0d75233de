//! The file that describes a prepaid balance: JSON with the issuer's name, the asset, and the token that may spend it.

use std::path::Path;

use farthing_billing::service::Secret;
use farthing_billing::service::token::PREFIX;
use farthing_money::{Asset, AssetKind};
use farthing_rails::prepaid::{PrepaidAccount, PrepaidKey};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::config::secret::read_secret;
use crate::error::CliError;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Balance {
    issuer: String,
    asset: String,
    #[serde(default)]
    scale: u8,
    token: String,
    secret: Zeroizing<String>,
}

/// The balance that `file` describes.
///
/// # Errors
/// When it cannot be read, and when it is not such a description. What is in it is not repeated.
pub fn read(file: &Path) -> Result<PrepaidAccount, CliError> {
    let wrong = |why: &str| {
        CliError::usage("balance_file", format!("{} describes no balance: {why}", file.display())).help(
            r#"write {"issuer": "api.example.com", "asset": "TOKENS", "scale": 0, "token": "tok_…", "secret": "ft_…"}"#,
        )
    };
    let text = read_secret(file).map_err(|error| CliError::file("read the balance", file, &error))?;
    let balance: Balance = serde_json::from_str(&text)
        .map_err(|error| wrong(&format!("line {}, column {}", error.line(), error.column())))?;
    let asset = Asset::new(&balance.asset, balance.scale, AssetKind::Custom)
        .map_err(|error| wrong(&error.to_string()))?;
    let secret =
        Secret::read(PREFIX, &balance.secret).ok_or_else(|| wrong("`secret` is not a token, ft_…"))?;
    Ok(PrepaidAccount {
        issuer: balance.issuer,
        asset,
        token: balance.token,
        key: PrepaidKey::new(Zeroizing::new(secret.hash()).as_bytes()),
    })
}
