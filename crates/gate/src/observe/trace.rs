//! [`TraceParent`]: the W3C Trace Context header, in and out, and the span of a request. Anybody can send such a header: one that is
//! not exactly as the recommendation says is ignored, and none decides whether something is recorded.

use std::fmt;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request};
use tracing::Span;
use tracing::field::Empty;
use tracing::span::Entered;

use super::Observer;

/// The target of every span that is meant for traces. Their fields are route names, rails, statuses and codes.
pub const SPANS: &str = "farthing_trace";

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// A position in a trace: `00-<trace id>-<span id>-<flags>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace. Not zero.
    pub trace_id: u128,
    /// The span. Not zero.
    pub span_id: u64,
    /// Whether whoever made it records the trace.
    pub sampled: bool,
}

impl TraceParent {
    /// Length of version 00.
    const LEN: usize = 55;

    /// Reads a header's value. None unless it is exactly well formed.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let bytes = value.as_bytes();
        let text = value.get(..Self::LEN)?;
        let mut parts = text.split('-');
        let mut hex = |digits: usize| {
            let part = parts.next()?;
            let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            (part.len() == digits && part.bytes().all(lower)).then_some(part)
        };
        let (version, trace_id, span_id, flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
        // Later versions may go on after a dash; the first one may not (section 3.2.4).
        let goes_on = bytes.len() > Self::LEN;
        if version == "ff" || (goes_on && (version == "00" || bytes[Self::LEN] != b'-')) {
            return None;
        }
        let trace_id = u128::from_str_radix(trace_id, 16).ok()?;
        let span_id = u64::from_str_radix(span_id, 16).ok()?;
        let sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        (trace_id != 0 && span_id != 0).then_some(Self { trace_id, span_id, sampled })
    }

    /// The one that these headers carry.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let value = values.next()?;
        if values.next().is_some() {
            return None;
        }
        Self::parse(value.to_str().ok()?)
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled))
    }
}

/// The span of a request, which ends with the answer's last byte.
pub(crate) fn request_span(method: &Method, headers: &HeaderMap) -> Span {
    let span = tracing::info_span!(
        target: SPANS, "request",
        traceparent = TraceParent::of(headers).map(tracing::field::display),
        method = Empty, route = Empty, status = Empty, code = Empty,
    );
    if !span.is_disabled() {
        span.record("method", known(method));
    }
    span
}

/// Enters a span. Spans are for traces, and mostly there are none: even a disabled one takes its time to say so.
pub(crate) fn enter(span: &Span) -> Option<Entered<'_>> {
    (!span.is_disabled()).then(|| span.enter())
}

/// A method by its name; other names are the client's words, and there is no end to them.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        _ => "_OTHER",
    }
}

/// Tells the upstream which span it is called from. Without a trace, what the client sent is left as it is.
pub(crate) fn propagate<B>(observer: &dyn Observer, request: &mut Request<B>) {
    let Some(own) = observer.trace_parent() else { return };
    let headers = request.headers_mut();
    // A state without the parent that it belongs to means nothing.
    if TraceParent::of(headers).is_none() {
        headers.remove(TRACESTATE);
    }
    if let Ok(value) = HeaderValue::try_from(own.to_string()) {
        headers.insert(TRACEPARENT, value);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_well_formed_is_read_and_written_alike() {
        let parent = TraceParent::parse(GOOD).unwrap();
        assert_eq!(parent.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
        assert_eq!((parent.span_id, parent.sampled), (0x00f0_67aa_0ba9_02b7, true));
        assert_eq!(parent.to_string(), GOOD);
        assert!(!TraceParent::parse(&GOOD.replace("-01", "-fe")).unwrap().sampled);
        // A later version, with something behind it.
        assert!(TraceParent::parse(&format!("cc{}-what", &GOOD[2..])).is_some());
    }

    #[test]
    fn everything_else_is_ignored() {
        for bad in [
            String::new(),
            "00".into(),
            GOOD[..54].into(),
            format!("{GOOD}-"),
            format!("{GOOD}0"),
            format!("{GOOD} "),
            format!(" {GOOD}"),
            GOOD.to_uppercase(),
            GOOD.replace("00-4b", "ff-4b"),
            GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            GOOD.replace('b', "g"),
            GOOD.replace("-01", "-+1"),
            GOOD.replace("00-4b", "0--4b"),
            format!("cc{}x", &GOOD[2..]),
            format!("{}é", &GOOD[..54]),
        ] {
            assert_eq!(TraceParent::parse(&bad), None, "{bad}");
        }
        let mut headers = HeaderMap::new();
        headers.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert!(TraceParent::of(&headers).is_some());
        headers.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert_eq!(TraceParent::of(&headers), None);
    }

    #[test]
    fn methods_of_a_clients_own_have_one_name() {
        assert_eq!(known(&Method::PATCH), "PATCH");
        assert_eq!(known(&Method::from_bytes(b"SECRET").unwrap()), "_OTHER");
    }
}
