//! The payment journal in Farthing's directory: where it is. What is in it belongs to the client.

use std::path::PathBuf;

use farthing_client::FileJournal;

use crate::config::env;
use crate::error::CliError;

/// Its file.
const JOURNAL: &str = "payments.jsonl";

/// The journal.
pub fn open() -> Result<FileJournal, CliError> {
    Ok(FileJournal::new(path()?))
}

/// Where it is.
pub fn path() -> Result<PathBuf, CliError> {
    Ok(env::home()?.join(JOURNAL))
}
