//! Which headers pass: those that are about the content and the request, not about the connection, and none that tells
//! the upstream another method, path, origin or identity than the one that was priced. Every name has one verdict, and what
//! is not known passes.
//!
//! It knows no values but those of `Connection`, `TE` and the origin that it writes itself.

use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_LENGTH, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, InvalidHeaderValue, TE, TRAILER,
};
use http::uri::Scheme;

use super::{Caller, ForwardedTrust, HostHeader, ProxyOptions};
use crate::credential::{scrub_request, scrub_response};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Whether conditions that can turn an answer into "you have it already" go along.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conditions {
    /// As they were sent.
    Keep,
    /// Taken out: what was bought has to come. A 304 would be paid for and bring nothing.
    Strip,
}

/// What becomes of a client's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// About the request: the upstream gets it.
    Passes,
    /// About one connection only (RFC 9110, section 7.6.1).
    Connection,
    /// hyper frames the body anew from its length: no two lengths can disagree.
    Framing,
    /// Between the client and the gate (C19).
    Payment,
    /// Ours alone to say, to a service behind us.
    Ours,
    /// Tells some upstreams to serve another method, path or host: a free request would buy a paid one.
    Override,
    /// Where a request came from: the proxy writes it.
    Origin,
    /// Who the client is, in the words of a proxy in front. Passes where such a proxy is trusted.
    Identity,
    /// A name that CGI, WSGI and PHP spell like another one: `X_Forwarded_For`.
    Spelling,
}

impl Verdict {
    /// The verdict on a name, in lower case.
    pub(super) fn on(name: &str) -> Self {
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Self::Spelling;
        }
        match name {
            // Almost every request has these: they are not held against the lists.
            "host" | "accept" | "accept-encoding" | "accept-language" | "authorization" | "cache-control"
            | "content-type" | "cookie" | "user-agent" => Self::Passes,
            "connection" | "keep-alive" | "te" | "transfer-encoding" | "upgrade" | "expect" | "trailer"
            | "http2-settings" => Self::Connection,
            "content-length" => Self::Framing,
            "accept-payment" => Self::Payment,
            "forwarded" | "x-forwarded-for" | "x-forwarded-proto" | "x-forwarded-host"
            | "x-forwarded-port" | "x-forwarded-server" | "x-forwarded-scheme" => Self::Origin,
            _ => Self::on_family(name),
        }
    }

    fn on_family(name: &str) -> Self {
        let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
        if begins(&["payment-", "x-payment"]) {
            Self::Payment
        } else if begins(&["x-farthing"]) {
            Self::Ours
        } else if begins(&["proxy-", "sec-websocket-"]) {
            Self::Connection
        } else if name.ends_with("-override") || begins(&OVERRIDE_FAMILIES) || OVERRIDES.contains(&name) {
            Self::Override
        } else if begins(&IDENTITY_FAMILIES) || IDENTITIES.contains(&name) {
            Self::Identity
        } else {
            Self::Passes
        }
    }

    const fn passes(self, trust: ForwardedTrust) -> bool {
        matches!(self, Self::Passes) || matches!((self, trust), (Self::Identity, ForwardedTrust::Append))
    }
}

/// Families of names that move a request elsewhere.
const OVERRIDE_FAMILIES: [&str; 7] =
    ["x-original-", "x-rewrite-", "x-http-method", "x-accel-", "x-envoy-", "x-middleware-", "x-override-"];

/// Names that move a request elsewhere, or say that it was moved. `Proxy` becomes `HTTP_PROXY` in a CGI's environment.
const OVERRIDES: [&str; 22] = [
    "base-url",
    "http-url",
    "proxy",
    "real-url",
    "request-uri",
    "uri",
    "url",
    "x-backend-host",
    "x-forwarded-method",
    "x-forwarded-path",
    "x-forwarded-prefix",
    "x-forwarded-uri",
    "x-forwarded-url",
    "x-host",
    "x-http-destinationurl",
    "x-method",
    "x-path",
    "x-proxy-url",
    "x-real-url",
    "x-request-uri",
    "x-script-name",
    "x-uri",
];

/// Families of names in which a proxy in front says who the client is.
const IDENTITY_FAMILIES: [&str; 9] = [
    "x-forwarded",
    "forwarded-",
    "x-auth-request-",
    "x-authenticated-",
    "x-webauth-",
    "ssl-client-",
    "x-ssl-",
    "x-client-cert",
    "client-cert",
];

/// Names in which a proxy in front says who the client is, or how it came.
const IDENTITIES: [&str; 17] = [
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "fastly-client-ip",
    "fly-client-ip",
    "front-end-https",
    "remote-addr",
    "remote-user",
    "true-client-ip",
    "x-appengine-user-ip",
    "x-azure-clientip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-originating-ip",
    "x-real-ip",
    "x-remote-addr",
    "x-remote-ip",
    "x-remote-user",
];

/// What an upstream says to a proxy right in front of it, which is not the client: files and places to serve instead, and
/// another server to ask, around the gate.
const INSTRUCTIONS: [&str; 6] =
    ["alt-svc", "x-accel-redirect", "x-lighttpd-send-file", "x-reproxy-file", "x-reproxy-url", "x-sendfile"];

/// Whether the proxy writes this header itself, so that it cannot be injected.
pub(super) fn is_own(name: &HeaderName) -> bool {
    let verdict = Verdict::on(name.as_str());
    *name == HOST || matches!(verdict, Verdict::Connection | Verdict::Framing | Verdict::Origin)
}

/// Makes a client's headers the upstream's.
pub(super) fn to_upstream(
    headers: &mut HeaderMap,
    options: &ProxyOptions,
    upstream: &HeaderValue,
    caller: Option<&Caller>,
) {
    let trailers = wants_trailers(headers);
    remove_named_by_connection(headers);
    scrub_request(headers);
    let origin = Origin::of(headers, options);
    let judged = |name: &HeaderName| Verdict::on(name.as_str()).passes(options.forwarded);
    let refused: Vec<HeaderName> = headers.keys().filter(|name| !judged(name)).cloned().collect();
    for name in refused {
        headers.remove(name);
    }
    let asked_host = headers.remove(HOST);
    origin.write(headers, options, asked_host.as_ref(), caller);
    let host = match options.host {
        HostHeader::Upstream => None,
        HostHeader::Preserve => asked_host,
    };
    headers.insert(HOST, host.unwrap_or_else(|| upstream.clone()));
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    for injected in &options.inject {
        headers.insert(injected.name.clone(), injected.value.clone());
    }
}

/// Takes conditions out of a read whose answer was bought. `If-Match` and `If-Unmodified-Since` stay: they protect what is
/// written, and their 412 leaves a credit. `If-Range` stays: at worst the whole comes instead of a part.
pub(super) fn strip_conditions(headers: &mut HeaderMap) {
    headers.remove(IF_NONE_MATCH);
    headers.remove(IF_MODIFIED_SINCE);
}

/// Makes an upstream's headers the client's.
pub(super) fn to_client(headers: &mut HeaderMap) {
    remove_named_by_connection(headers);
    scrub_response(headers);
    let refused: Vec<HeaderName> =
        headers.keys().filter(|name| !passes_to_client(name.as_str())).cloned().collect();
    for name in refused {
        headers.remove(name);
    }
}

/// The same for the trailers of an answer: they are no place for what is decided by headers.
pub(super) fn trailers_to_client(trailers: &mut HeaderMap) {
    scrub_response(trailers);
    let fields = [HOST, CONTENT_LENGTH, AUTHORIZATION, TRAILER, http::header::SET_COOKIE];
    let refused: Vec<HeaderName> = trailers
        .keys()
        .filter(|name| fields.contains(name) || !passes_to_client(name.as_str()))
        .cloned()
        .collect();
    for name in refused {
        trailers.remove(name);
    }
}

fn passes_to_client(name: &str) -> bool {
    let connection = matches!(
        name,
        "connection"
            | "keep-alive"
            | "te"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
            | "proxy-authenticate"
            | "proxy-authentication-info"
            | "proxy-authorization"
            | "proxy-connection"
    );
    let ours = name.starts_with("x-payment") || name.starts_with("x-farthing");
    !connection && !ours && !INSTRUCTIONS.contains(&name)
}

fn remove_named_by_connection(headers: &mut HeaderMap) {
    if !headers.contains_key(CONNECTION) {
        return;
    }
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|b| *b == b','))
        .filter_map(|token| HeaderName::from_bytes(token.trim_ascii()).ok())
        .collect();
    for name in named {
        // The host and the length are never about the connection, whatever a client says.
        if name != HOST && name != CONTENT_LENGTH {
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

/// What a trusted proxy in front said of where the request came from.
#[derive(Debug, Default)]
struct Origin {
    addresses: Option<String>,
    forwarded: Option<String>,
    proto: Option<String>,
    host: Option<String>,
}

impl Origin {
    fn of(headers: &HeaderMap, options: &ProxyOptions) -> Self {
        if options.forwarded == ForwardedTrust::Replace {
            return Self::default();
        }
        let all = |name: &HeaderName| {
            let values: Vec<&str> =
                headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
            (!values.is_empty()).then(|| values.join(", "))
        };
        Self {
            addresses: all(&X_FORWARDED_FOR),
            forwarded: all(&FORWARDED),
            proto: all(&X_FORWARDED_PROTO),
            host: all(&X_FORWARDED_HOST),
        }
    }

    /// Writes `X-Forwarded-*` and `Forwarded` (RFC 7239).
    fn write(
        self,
        headers: &mut HeaderMap,
        options: &ProxyOptions,
        host: Option<&HeaderValue>,
        caller: Option<&Caller>,
    ) {
        let mut set = |name: HeaderName, value: Result<HeaderValue, InvalidHeaderValue>| {
            if let Ok(value) = value {
                headers.insert(name, value);
            }
        };
        let value = |text: String| HeaderValue::try_from(text);
        let mut forwarded = self.forwarded.map_or_else(String::new, |before| before + ", ");
        forwarded.reserve_exact(
            caller.map_or(0, |caller| caller.element.len()) + 24 + host.map_or(0, HeaderValue::len),
        );
        if let Some(caller) = caller {
            forwarded.push_str(&caller.element);
            let continued = |before: String| [before.as_bytes(), b", ", caller.address.as_bytes()].concat();
            set(
                X_FORWARDED_FOR,
                match self.addresses {
                    Some(before) => HeaderValue::try_from(continued(before)),
                    None => Ok(caller.address.clone()),
                },
            );
        }
        // A quote or backslash is in no host; a host that has one is not repeated.
        let quotable = |text: &&str| !text.bytes().any(|byte| matches!(byte, b'"' | b'\\'));
        if let Some((host, text)) = host.and_then(|host| Some((host, host.to_str().ok().filter(quotable)?))) {
            set(X_FORWARDED_HOST, self.host.map_or_else(|| Ok(host.clone()), value));
            forwarded.extend(["host=\"", text, "\";"]);
        }
        let scheme = options.public_scheme.as_str();
        forwarded.extend(["proto=", scheme]);
        set(FORWARDED, value(forwarded));
        set(
            X_FORWARDED_PROTO,
            match self.proto {
                Some(proto) => value(proto),
                None if options.public_scheme == Scheme::HTTPS => Ok(HeaderValue::from_static("https")),
                None => HeaderValue::from_str(scheme),
            },
        );
    }
}

#[cfg(test)]
mod tests;
