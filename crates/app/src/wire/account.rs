//! Accounts of the gateway's own: unlocking their keys, and the one that gives payments back.

use std::sync::Arc;

use farthing_client::Keystore;
use farthing_client::keystore::KeyName;
use farthing_rails::tempo::{PrivateKey, TempoRefunder, TempoRpc};

use crate::clock::SystemClock;
use crate::config::tempo::{SponsorKey, TempoConfig};
use crate::error::CliError;

/// The key of an account; `table` is where the configuration says which.
///
/// # Errors
/// [`CliError`] for a keystore that does not open.
pub fn unlock(key: &SponsorKey, table: &str) -> Result<PrivateKey, CliError> {
    match key {
        SponsorKey::Plain(key) => Ok(key.clone()),
        SponsorKey::Keystore { path, password } => {
            let directory = path.parent().unwrap_or_else(|| std::path::Path::new("."));
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let keystore = Keystore::new(directory, Arc::new(SystemClock));
            let key = KeyName::new(name).and_then(|name| keystore.unlock(&name, password)).map_err(|error| {
                CliError::usage(error.code(), format!("{table}.keystore: {error}"))
                    .help("make one with farthing wallet new; its file is in the directory wallets of FARTHING_HOME")
            })?;
            Ok(PrivateKey::from_bytes(&key)?)
        }
    }
}

/// What gives payments back, where the configuration names an account for it. It serves every rail of the gateway: they all
/// have the chain's own name.
///
/// # Errors
/// As [`unlock`].
pub fn refunder(tempo: &TempoConfig, rpc: &TempoRpc) -> Result<Option<TempoRefunder>, CliError> {
    let Some(refunds) = &tempo.refunds else { return Ok(None) };
    let key = unlock(&refunds.key, "tempo.refunds")?;
    Ok(Some(TempoRefunder::builder(tempo.chain_id, rpc.clone(), key, refunds.budget_per_day).build()))
}
