//! Asking a person before something that cannot be undone.

use std::io::Write;

use crate::error::CliError;
use crate::output::{can_ask, one_line};

/// Whether the command line has answered already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// `--yes`.
    Given,
    /// A person has to be asked.
    Ask,
}

impl From<bool> for Consent {
    fn from(yes: bool) -> Self {
        if yes { Self::Given } else { Self::Ask }
    }
}

/// Asks. Only `y` and `yes` are consent.
///
/// # Errors
/// When there is nobody to ask, and when the answer is no.
pub fn confirm(question: &str, consent: Consent) -> Result<(), CliError> {
    if consent == Consent::Given {
        return Ok(());
    }
    if !can_ask() {
        return Err(CliError::usage(
            "not_confirmed",
            "this has to be confirmed, and there is no terminal to ask on",
        )
        .help("add --yes if it is meant"));
    }
    let read = || -> std::io::Result<String> {
        let mut out = std::io::stderr().lock();
        write!(out, "{} [y/N] ", one_line(question))?;
        out.flush()?;
        let mut answer = String::new();
        std::io::stdin().read_line(&mut answer)?;
        Ok(answer)
    };
    let answer = read().map_err(|error| CliError::usage("not_confirmed", format!("cannot ask: {error}")))?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(CliError::usage("not_confirmed", "not confirmed; nothing was done")),
    }
}
