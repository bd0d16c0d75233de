//! [`Proxy`]: a service that forwards requests to one upstream, streaming both ways. Everything that goes wrong there is an
//! answer (502, 504, …), so that the gate before it turns a paid call into a credit.
//!
//! It knows nothing of payments but which headers it must not pass on.

mod caller;
mod forward;
mod headers;
mod link;
mod pool;
mod refuse;
mod stream;

use std::fmt;
use std::net::SocketAddr;

use http::uri::Scheme;
use http::{HeaderName, HeaderValue, Uri};

pub(crate) use caller::Caller;
pub use forward::Proxy;
pub(crate) use refuse::is_host_text;
pub(crate) use stream::UploadWatch;
pub use stream::{ProxyBody, UpstreamBodyError};

/// Where a request came from: an extension that [`crate::server`] puts on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddr(pub SocketAddr);

/// The `Host` that the upstream gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostHeader {
    /// The upstream's own.
    #[default]
    Upstream,
    /// The one that the client sent.
    Preserve,
}

/// What happens to `Forwarded` and `X-Forwarded-*` that a request brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForwardedTrust {
    /// They are replaced: anybody can send them.
    #[default]
    Replace,
    /// They are continued: a proxy of ours stands in front.
    Append,
}

/// A header that every forwarded request gets, such as an API key of the upstream's. Its value is secret.
#[derive(Clone, PartialEq, Eq)]
pub struct InjectedHeader {
    name: HeaderName,
    value: HeaderValue,
}

impl InjectedHeader {
    /// A header with a secret value; it replaces what the client sent under this name.
    #[must_use]
    pub fn new(name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        Self { name, value }
    }
}

impl fmt::Debug for InjectedHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InjectedHeader({}: redacted)", self.name)
    }
}

/// How a proxy forwards.
#[derive(Debug, Clone)]
pub struct ProxyOptions {
    /// `http://host:port` or `https://host`, with a base path where the upstream has one.
    pub upstream: Uri,
    /// The `Host` that the upstream gets.
    pub host: HostHeader,
    /// The scheme that clients use, for `X-Forwarded-Proto`.
    pub public_scheme: Scheme,
    /// What happens to forwarding headers that a request brings.
    pub forwarded: ForwardedTrust,
    /// Headers that every forwarded request gets.
    pub inject: Vec<InjectedHeader>,
    /// The longest wait for a connection, in milliseconds.
    pub connect_timeout_ms: u64,
    /// The longest wait for an answer's head once the request has been sent, in milliseconds. Never less, at most twice.
    pub head_timeout_ms: u64,
    /// The longest pause within a body, either way, in milliseconds. Never less, at most twice.
    pub idle_timeout_ms: u64,
    /// The longest request body, in bytes.
    pub max_request_body_bytes: u64,
}

impl ProxyOptions {
    /// The usual options for an upstream.
    #[must_use]
    pub const fn new(upstream: Uri) -> Self {
        Self {
            upstream,
            host: HostHeader::Upstream,
            public_scheme: Scheme::HTTPS,
            forwarded: ForwardedTrust::Replace,
            inject: Vec::new(),
            connect_timeout_ms: 5_000,
            head_timeout_ms: 30_000,
            idle_timeout_ms: 60_000,
            max_request_body_bytes: 16 << 20,
        }
    }
}

/// Why a proxy cannot be built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The upstream is not an `http` or `https` URL with a host.
    #[error("the upstream has to be http://host[:port][/path] or https://…, without user or query")]
    BadUpstream,
    /// The system's certificates cannot be used.
    #[error("TLS cannot be set up: {0}")]
    Tls(std::io::Error),
    /// A header that the proxy writes itself.
    #[error("the header `{name}` cannot be injected: the proxy writes it itself")]
    BadInjected {
        /// The header's name.
        name: HeaderName,
    },
    /// A time-out of zero.
    #[error("`{name}` has to be at least 1")]
    Zero {
        /// Which option.
        name: &'static str,
    },
}

impl ProxyError {
    /// The stable code of the broken rule, for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadUpstream => "bad_upstream",
            Self::Tls(_) => "tls_unavailable",
            Self::BadInjected { .. } => "bad_injected_header",
            Self::Zero { .. } => "option_zero",
        }
    }
}
