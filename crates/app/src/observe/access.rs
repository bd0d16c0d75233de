//! The access log: one line a request, when it has ended, with the target `access`. It names the route and never the path, the query,
//! a header or a body: those are the client's, and may hold its keys.

use farthing_gate::observe::RequestEnd;

/// The target of these lines: `FARTHING_LOG=warn,access=debug` logs every request.
pub const TARGET: &str = "access";

/// Whether lines say who paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Payers {
    /// They do not: an account is a person's, as often as not.
    #[default]
    Hide,
    /// They do.
    Show,
}

macro_rules! line {
    ($level:ident, $end:expr, $payers:expr) => {{
        let end = $end;
        tracing::$level!(
            target: TARGET,
            method = end.method.as_str(),
            route = end.route,
            status = end.status,
            code = end.code,
            took_ms = millis(end.took),
            upstream_ms = end.upstream.map(millis),
            paid = end.paid.map(|paid| paid.amount().to_decimal(paid.asset().scale())),
            asset = end.paid.map(|paid| paid.asset().code()),
            reference = end.reference,
            payer = end.payer.filter(|_| $payers == Payers::Show),
            "request"
        );
    }};
}

/// Writes the line: our own failures and the upstream's as warnings, payments and refused payments as information, the rest
/// (402s, free calls, unknown paths) for whoever asks for it.
pub fn log(end: &RequestEnd<'_>, payers: Payers) {
    let is_paid = end.reference.is_some();
    let is_refused = end.route.is_some() && end.code.is_some_and(|code| code != "payment_required");
    if end.status >= 500 {
        line!(warn, end, payers);
    } else if is_paid || is_refused {
        line!(info, end, payers);
    } else {
        line!(debug, end, payers);
    }
}

fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
