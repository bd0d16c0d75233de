//! [`Fault`]: one thing that is wrong with a configuration file, with its line and key. All of them are reported at once.

use std::fmt;

use crate::error::CliError;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1.
    pub line: usize,
    /// The key, such as `routes[1].price`; empty for the file as a whole.
    pub key: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Everything that is wrong with one file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// The file, as the user named it.
    pub file: String,
    /// What is wrong, in the order of the lines. Not empty.
    pub faults: Vec<Fault>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{}:{}: ", self.file, fault.line)?;
            if !fault.key.is_empty() {
                write!(f, "{}: ", fault.key)?;
            }
            f.write_str(&fault.message)?;
        }
        Ok(())
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        let faults: Vec<_> = error
            .faults
            .iter()
            .map(|f| serde_json::json!({ "file": error.file, "line": f.line, "key": f.key, "message": f.message }))
            .collect();
        let count = error.faults.len();
        let message = if count == 1 {
            error.to_string()
        } else {
            format!("{} has {count} mistakes\n{error}", error.file)
        };
        Self::usage("config", message).details(serde_json::Value::Array(faults)).help(
            "correct the file and try again with --check; `farthing config example` prints one that works",
        )
    }
}
