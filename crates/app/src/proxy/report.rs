//! [`Report`]: one line on standard error for each payment, each refusal, and each program that does not know the proxy's
//! certificate. As JSON, one object a line. Never a query, a header or a body.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use farthing_client::{AgentError, Payment};
use http::Method;
use serde_json::json;
use url::Url;

use crate::cli::request::answer;
use crate::output::{Output, one_line, paint, style};

/// The most hosts about which a program's mistrust is told.
const MOST_TOLD: usize = 64;

/// A call, as far as it is told.
#[derive(Debug, Clone)]
pub struct Call {
    method: Method,
    resource: String,
}

impl Call {
    /// Origin and path only.
    pub fn of(method: &Method, url: &Url) -> Self {
        let resource = format!("{}{}", url.origin().ascii_serialization(), url.path());
        Self { method: method.clone(), resource }
    }
}

impl std::fmt::Display for Call {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, one_line(&self.resource))
    }
}

/// Where payments are told.
#[derive(Debug)]
pub struct Report {
    output: Output,
    mistrusted: Mutex<HashSet<String>>,
}

impl Report {
    /// To `output`.
    pub fn new(output: Output) -> Self {
        Self { output, mistrusted: Mutex::default() }
    }

    /// A call was paid.
    pub fn paid(&self, call: &Call, status: u16, payment: &Payment) {
        if self.output.is_json() {
            self.output.note_json(&json!({
                "event": "payment",
                "method": call.method.as_str(), "resource": call.resource, "status": status,
                "paid": answer::paid(payment),
            }));
        } else {
            self.output.note(format_args!("{}: {call} ({status})", answer::note(payment)));
        }
    }

    /// A payment was asked for, and not made or not served.
    pub fn failed(&self, call: &Call, error: &AgentError) {
        if self.output.is_json() {
            self.output.note_json(&json!({
                "event": "refusal",
                "method": call.method.as_str(), "resource": call.resource,
                "code": error.code(), "message": one_line(&error.to_string()),
                "payment": error.payment().map(|id| id.as_str()), "may_have_paid": error.may_have_paid(),
            }));
            return;
        }
        let what = match error {
            AgentError::VendorAnswerLost { .. } => "not answered, and perhaps charged",
            error if error.may_have_paid() => "paid, and not served",
            _ => "not paid",
        };
        self.output.note(format_args!(
            "{}: {call}: {} ({})",
            paint(style::WARN, what),
            one_line(&error.to_string()),
            error.code()
        ));
    }

    /// A program would not go on with the certificate that it was shown; told once a host.
    pub fn mistrusted(&self, host: &str, why: &str) {
        let mut told = self.mistrusted.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() >= MOST_TOLD || !told.insert(host.to_owned()) {
            return;
        }
        if self.output.is_json() {
            self.output.note_json(&json!({ "event": "mistrust", "host": host, "message": one_line(why) }));
            return;
        }
        self.output.warn(format_args!(
            "a program broke off its connection to {host} ({}): it does not know the proxy's certificate; \
             give it what `farthing proxy env` prints",
            one_line(why)
        ));
    }
}
