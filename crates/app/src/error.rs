//! [`CliError`]: what a command failed with, as a person and a program read it. Typed errors of the crates below are
//! turned into it once, at the edge, in [`map`]; nothing below `app` knows exit codes.

use std::fmt;

use serde_json::{Value, json};

mod map;

/// What the process ends with. The table of the help text `exit-codes` is tested against this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Ok,
    /// Something that should not happen.
    Unexpected,
    /// Wrong usage or configuration.
    Usage,
    /// The network, a server or a chain did not answer.
    Network,
    /// The policy or a cap refused the payment: nothing was paid.
    Refused,
    /// The payment could not be made: nothing was paid.
    NotPaid,
    /// A payment was sent, and the seller did not serve the call.
    NotServed,
    /// A payment was sent, and what became of it is not known.
    Unknown,
    /// The server answered with an error, and `--fail` was given.
    Http,
    /// A program that was run ended with this code.
    Program(u8),
}

impl Exit {
    /// Every one of Farthing's own, in the order of the help text.
    pub const ALL: [Self; 9] = [
        Self::Ok,
        Self::Unexpected,
        Self::Usage,
        Self::Network,
        Self::Refused,
        Self::NotPaid,
        Self::NotServed,
        Self::Unknown,
        Self::Http,
    ];

    /// The process's exit code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Unexpected => 1,
            Self::Usage => 2,
            Self::Network => 3,
            Self::Refused => 4,
            Self::NotPaid => 5,
            Self::NotServed => 6,
            Self::Unknown => 7,
            Self::Http => 22,
            Self::Program(code) => code,
        }
    }

    /// What it means, in a line.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "done",
            Self::Unexpected => "something unexpected went wrong",
            Self::Usage => "wrong usage or configuration; nothing was sent",
            Self::Network => "a server or a chain did not answer; nothing was paid",
            Self::Refused => "the spending policy refused the payment; nothing was paid",
            Self::NotPaid => "the payment could not be made; nothing was paid",
            Self::NotServed => "a payment was sent and the seller did not serve the call",
            Self::Unknown => "a payment was sent and its outcome is not known; do not pay again",
            Self::Http => "the server answered 400 or more and --fail was given",
            Self::Program(_) => "what the program that was run ended with",
        }
    }
}

/// Why a command failed: the exit code, a stable code for programs, what happened, and what to do next.
#[derive(Debug, Clone, PartialEq)]
pub struct CliError {
    /// What the process ends with.
    pub exit: Exit,
    /// Stable, for programs.
    pub code: &'static str,
    /// What happened.
    pub message: String,
    /// What to do next.
    pub help: Option<String>,
    /// Facts for programs, such as what was asked and what was allowed.
    pub details: Option<Box<Value>>,
}

impl CliError {
    /// An error without help.
    pub fn new(exit: Exit, code: &'static str, message: impl Into<String>) -> Self {
        Self { exit, code, message: message.into(), help: None, details: None }
    }

    /// Wrong usage or configuration.
    pub fn usage(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, code, message)
    }

    /// Something that did not answer.
    pub fn network(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Exit::Network, code, message)
    }

    /// Something that should not happen.
    pub fn unexpected(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Exit::Unexpected, code, message)
    }

    /// A file that could not be read or written.
    pub fn file(doing: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::usage("file", format!("cannot {doing} {}: {}", path.display(), plain_io(error)))
    }

    /// The same, with what to do next.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same, with facts for programs.
    #[must_use]
    pub fn details(mut self, details: Value) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    /// The form of `--output json`.
    pub fn to_json(&self) -> Value {
        let mut error = json!({ "code": self.code, "message": self.message, "help": self.help });
        if let Some(details) = &self.details {
            error["details"] = (**details).clone();
        }
        json!({ "error": error, "exit_code": self.exit.code() })
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CliError {}

/// What the system said, in a sentence without its number.
pub fn plain_io(error: &std::io::Error) -> String {
    use std::io::ErrorKind as Kind;
    match error.kind() {
        Kind::NotFound => "there is no such file or directory".to_owned(),
        Kind::PermissionDenied => "permission denied".to_owned(),
        Kind::AlreadyExists => "it exists already".to_owned(),
        Kind::IsADirectory => "it is a directory".to_owned(),
        Kind::AddrInUse => "the address is in use by another process".to_owned(),
        Kind::AddrNotAvailable => "this machine does not have that address".to_owned(),
        Kind::InvalidData => "it is not UTF-8 text".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{CliError, Exit};

    #[test]
    fn exit_codes_are_distinct_and_their_help_text_lists_all() {
        let text = include_str!("help/exit-codes.txt");
        for (i, exit) in Exit::ALL.iter().enumerate() {
            assert!(Exit::ALL[..i].iter().all(|other| other.code() != exit.code()), "{exit:?} is unique");
            let line = format!("{:>4}  {}", exit.code(), exit.meaning());
            assert!(text.lines().any(|l| l == line), "help/exit-codes.txt lacks the line {line:?}");
        }
    }

    #[test]
    fn the_json_form_has_code_message_and_help() {
        let error = CliError::usage("bad", "it is bad").help("make it good");
        let expected = json!({
            "error": { "code": "bad", "message": "it is bad", "help": "make it good" }, "exit_code": 2,
        });
        assert_eq!(error.to_json(), expected);
    }
}
