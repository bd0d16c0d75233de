//! The lines that the peer prints, one JSON object each. Not the values in them.

use std::error::Error;
use std::io::Write as _;

use serde_json::{Value, json};

/// One JSON object, one line, on standard output, at once.
pub(crate) fn print(value: &Value) {
    let mut out = std::io::stdout().lock();
    // A reader that has gone is the end of the test, not a failure of the peer.
    let _ = writeln!(out, "{value}").and_then(|()| out.flush());
}

/// One line on standard error.
pub(crate) fn complain(message: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{message}");
}

/// An error and its causes, outermost first.
pub(crate) fn describe(kind: &str, error: &dyn Error) -> Value {
    let mut parts = vec![error.to_string()];
    let mut at = error.source();
    while let Some(cause) = at.filter(|_| parts.len() < 5) {
        let text = cause.to_string();
        if !parts.iter().any(|part| part.contains(&text)) {
            parts.push(text);
        }
        at = cause.source();
    }
    json!({ "type": kind, "message": parts.join(": ") })
}
