//! Wallets: the keystore in Farthing's directory, and which of its keys a command means.

use std::sync::Arc;

use farthing_client::Keystore;
use farthing_client::keystore::{KdfCost, KeyInfo, KeyName};
use farthing_rails::tempo::PrivateKey;

use crate::cli::password::PasswordArgs;
use crate::clock::SystemClock;
use crate::config::env;
use crate::error::CliError;

/// The directory of keys in Farthing's own.
const WALLETS: &str = "wallets";
/// The wallet that is meant when there are several.
const DEFAULT: &str = "default";

/// The keystore in Farthing's directory.
///
/// # Errors
/// When there is no such directory to be had.
pub fn keystore() -> Result<Keystore, CliError> {
    let keystore = Keystore::new(env::home()?.join(WALLETS), Arc::new(SystemClock));
    // Tests unlock dozens of keys that hold nothing.
    Ok(if env::read(env::LIGHT_KEYS).is_some() { keystore.with_cost(KdfCost::Light) } else { keystore })
}

/// The wallet that is named, the only one, or the one called `default`.
///
/// # Errors
/// When there is none, and when it is not clear which one is meant.
pub fn pick(keystore: &Keystore, named: Option<&str>) -> Result<KeyInfo, CliError> {
    if let Some(name) = named {
        return Ok(keystore.info(&KeyName::new(name)?)?);
    }
    let listed = keystore.list()?;
    let chosen = match listed.as_slice() {
        [] => {
            return Err(CliError::usage("no_wallet", "there is no wallet yet")
                .help("make one with: farthing wallet new NAME"));
        }
        [only] => only,
        several => several.iter().find(|key| key.name.as_str() == DEFAULT).ok_or_else(|| {
            let names: Vec<&str> = several.iter().map(|key| key.name.as_str()).collect();
            CliError::usage("which_wallet", format!("there are several wallets: {}", names.join(", ")))
                .help("name the one that is meant")
        })?,
    };
    Ok(keystore.info(&chosen.name)?)
}

/// Unlocks a key. Asks for its password where none was given. Blocks for about a second.
///
/// # Errors
/// [`CliError`].
pub fn unlock(keystore: &Keystore, name: &KeyName, password: &PasswordArgs) -> Result<PrivateKey, CliError> {
    let password = password.existing(name.as_str())?;
    let key = keystore.unlock(name, &password)?;
    Ok(PrivateKey::from_bytes(&key)?)
}
