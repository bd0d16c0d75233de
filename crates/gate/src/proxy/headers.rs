//! Which headers pass: those that are about the content and the request, not about the connection, and none that tells
//! the upstream another method, path or origin than the one that was priced.

use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::uri::Authority;

use super::{ClientAddr, ForwardedTrust, HostHeader, ProxyOptions};
use crate::credential::{scrub_request, scrub_response};

/// About one connection only (RFC 9110, section 7.6.1), whether `Connection` names them or not.
static HOP_BY_HOP: [HeaderName; 10] = [
    CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    EXPECT,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
];

/// Tell some upstreams to serve another method, path or host than the request line's: a free request would buy a paid one.
static OVERRIDES: [HeaderName; 14] = [
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-method-override"),
    HeaderName::from_static("x-original-method"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-original-uri"),
    HeaderName::from_static("x-original-host"),
    HeaderName::from_static("x-rewrite-url"),
    HeaderName::from_static("x-override-url"),
    HeaderName::from_static("x-forwarded-uri"),
    HeaderName::from_static("x-forwarded-path"),
    HeaderName::from_static("x-forwarded-prefix"),
    HeaderName::from_static("x-host"),
    HeaderName::from_static("x-envoy-original-path"),
];

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Say where a request came from: ours to say.
static ORIGINS: [HeaderName; 9] = [
    FORWARDED,
    X_FORWARDED_FOR,
    X_FORWARDED_PROTO,
    X_FORWARDED_HOST,
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-server"),
    HeaderName::from_static("x-forwarded-scheme"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-client-ip"),
];

/// Whether the proxy writes this header itself, so that it cannot be injected.
pub(super) fn is_own(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(name) || ORIGINS.contains(name) || [HOST, CONTENT_LENGTH].contains(name)
}

/// Makes a client's headers the upstream's.
pub(super) fn to_upstream(
    headers: &mut HeaderMap,
    options: &ProxyOptions,
    upstream: &Authority,
    client: Option<ClientAddr>,
) {
    let trailers = wants_trailers(headers);
    remove_hop_by_hop(headers);
    // hyper frames the body anew from its length: no two lengths can disagree (request smuggling).
    headers.remove(CONTENT_LENGTH);
    scrub_request(headers);
    // `X_Forwarded_For` is `X-Forwarded-For` to a CGI, WSGI or PHP upstream.
    let with_underscore: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().contains('_')).cloned().collect();
    for name in with_underscore.iter().chain(&OVERRIDES) {
        headers.remove(name);
    }
    let asked_host = headers.remove(HOST);
    say_origin(headers, options, asked_host.as_ref(), client);
    let own = HeaderValue::from_str(upstream.as_str()).ok();
    let host = match options.host {
        HostHeader::Upstream => own,
        HostHeader::Preserve => asked_host.or(own),
    };
    if let Some(host) = host {
        headers.insert(HOST, host);
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    for injected in &options.inject {
        headers.insert(injected.name.clone(), injected.value.clone());
    }
}

/// Makes an upstream's headers the client's.
pub(super) fn to_client(headers: &mut HeaderMap) {
    remove_hop_by_hop(headers);
    scrub_response(headers);
    // Would lead clients around the gate.
    headers.remove(HeaderName::from_static("alt-svc"));
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|b| *b == b','))
        .filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        // The host and the length are never about the connection, whatever a client says.
        if *name != HOST && *name != CONTENT_LENGTH {
            headers.remove(name);
        }
    }
}

fn wants_trailers(headers: &HeaderMap) -> bool {
    headers
        .get_all(TE)
        .iter()
        .flat_map(|value| value.as_bytes().split(|b| *b == b','))
        .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// Writes `X-Forwarded-*` and `Forwarded` (RFC 7239).
fn say_origin(
    headers: &mut HeaderMap,
    options: &ProxyOptions,
    host: Option<&HeaderValue>,
    client: Option<ClientAddr>,
) {
    let before = |name: &HeaderName| match options.forwarded {
        ForwardedTrust::Replace => None,
        ForwardedTrust::Append => {
            let values: Vec<&str> =
                headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
            (!values.is_empty()).then(|| values.join(", "))
        }
    };
    let (for_before, forwarded_before) = (before(&X_FORWARDED_FOR), before(&FORWARDED));
    let (proto_before, host_before) = (before(&X_FORWARDED_PROTO), before(&X_FORWARDED_HOST));
    for name in &ORIGINS {
        headers.remove(name);
    }
    let mut set = |name: HeaderName, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    };
    let mut element = Vec::new();
    if let Some(ClientAddr(address)) = client {
        let ip = address.ip().to_canonical();
        set(X_FORWARDED_FOR, continued(for_before, &ip.to_string()));
        element.push(if ip.is_ipv6() { format!("for=\"[{ip}]\"") } else { format!("for={ip}") });
    }
    // A quote or backslash is in no host; a host that has one is not repeated.
    if let Some(host) = host.and_then(|host| host.to_str().ok()).filter(|host| !host.contains(['"', '\\'])) {
        set(X_FORWARDED_HOST, host_before.unwrap_or_else(|| host.to_owned()));
        element.push(format!("host=\"{host}\""));
    }
    set(X_FORWARDED_PROTO, proto_before.unwrap_or_else(|| options.public_scheme.to_string()));
    element.push(format!("proto={}", options.public_scheme));
    set(FORWARDED, continued(forwarded_before, &element.join(";")));
}

fn continued(before: Option<String>, own: &str) -> String {
    before.map_or_else(|| own.to_owned(), |before| format!("{before}, {own}"))
}

#[cfg(test)]
mod tests;
