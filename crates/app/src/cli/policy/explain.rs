//! `farthing policy explain URL`: which rule says what about a host, and what is left of the limits there. It calls nobody.

use std::path::Path;

use farthing_client::policy::{Check, CheckVerdict};
use serde_json::{Value, json};
use url::Url;

use super::show::{self, Standing};
use crate::error::{CliError, Exit};
use crate::output::{Output, one_line, paint, style};

/// Ends as a call would: refused where the host would be.
pub fn run(named: Option<&Path>, url: &Url, output: Output) -> Result<Exit, CliError> {
    let loaded = super::loaded(named)?;
    let checks = loaded.policy.explain(url)?;
    let calls = loaded.policy.call_limits(Some(url))?;
    let standings = show::standings(loaded.policy.budgets(Some(url))?)?;
    let refused = checks.iter().any(is_refusal);
    let exit = if refused { Exit::Refused } else { Exit::Ok };
    if output.is_json() {
        let checks: Vec<Value> = checks.iter().map(check_json).collect();
        let limits: Vec<Value> = standings.iter().map(Standing::json).collect();
        let calls: Vec<Value> =
            calls.iter().map(|(limit, rule)| json!({ "rule": rule, "limit": limit.to_string() })).collect();
        output.json(&json!({
            "url": url.as_str(), "file": loaded.file.path, "allowed": !refused, "accept_payment": !refused,
            "checks": checks, "call_limits": calls, "limits": limits,
        }))?;
        return Ok(exit);
    }
    for check in &checks {
        output.line(check_line(check))?;
    }
    if refused {
        output.line(
            "The host is not told what could be paid with (no Accept-Payment), and nothing is paid there.",
        )?;
        return Ok(exit);
    }
    for (limit, rule) in &calls {
        output.line(format_args!("  {}  at most {limit} a call", paint(style::DIM, rule)))?;
    }
    show::print(&standings, output)?;
    output.line("See what the seller asks for, without paying: farthing request --dry-run URL")?;
    Ok(exit)
}

pub fn is_refusal(check: &Check) -> bool {
    matches!(check.verdict, CheckVerdict::Refused { .. })
}

/// One rule in a line: what it says, which it is, where it stands, and why.
pub fn check_line(check: &Check) -> String {
    let (mark, words) = if is_refusal(check) { (style::BAD, "refuses") } else { (style::GOOD, "allows ") };
    let rule = format!("{} ({})", one_line(&check.rule), check.source);
    format!("  {}  {}  {}", paint(mark, words), paint(style::DIM, rule), one_line(&check.why))
}

/// The same for programs.
pub fn check_json(check: &Check) -> Value {
    let code = match check.verdict {
        CheckVerdict::Passed => None,
        CheckVerdict::Refused { code } => Some(code),
    };
    json!({
        "rule": check.rule, "source": check.source.to_string(), "allows": code.is_none(), "code": code, "why": check.why,
    })
}
