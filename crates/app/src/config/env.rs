//! The environment variables that Farthing reads, and the only place that reads them.

use std::path::PathBuf;

use crate::error::CliError;

/// Where wallets and settings live, instead of the platform's configuration directory.
pub const HOME: &str = "FARTHING_HOME";
/// The password of the wallet that a command uses.
pub const PASSWORD: &str = "FARTHING_PASSWORD";
/// The policy file, instead of `policy.toml` in Farthing's directory.
pub const POLICY: &str = "FARTHING_POLICY";
/// What is logged, such as `info` or `farthing_gate=debug`.
pub const LOG: &str = "FARTHING_LOG";

/// The password of the database that `farthing store --store` names.
pub const STORE_PASSWORD: &str = "FARTHING_STORE_PASSWORD";
/// The billing service whose wallets calls are charged to.
pub const BILLING_URL: &str = "FARTHING_BILLING_URL";
/// An API key of that service, or a token of a budget.
pub const BILLING_KEY: &str = "FARTHING_BILLING_KEY";
/// Set to make new wallets cheap to unlock, and to guess: for tests and demonstrations.
pub const LIGHT_KEYS: &str = "FARTHING_LIGHT_KEYS";

/// The value of `name`, when it is set, not empty, and text.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn read(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Farthing's own directory: `FARTHING_HOME`, else the platform's configuration directory.
///
/// # Errors
/// When neither is known.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn home() -> Result<PathBuf, CliError> {
    // A path need not be text.
    if let Some(home) = std::env::var_os(HOME).filter(|home| !home.is_empty()) {
        return Ok(PathBuf::from(home));
    }
    directories::ProjectDirs::from("", "", "farthing").map(|dirs| dirs.config_dir().to_path_buf()).ok_or_else(
        || {
            CliError::usage("no_home", "there is no home directory to keep wallets in")
                .help(format!("set {HOME} to a directory of your own"))
        },
    )
}

/// How a person would call this program again: its path, unless that is not known.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn program() -> String {
    std::env::current_exe().map_or_else(|_| "farthing".to_owned(), |path| path.display().to_string())
}
