//! `[admin]` and `[observe]`: where an operator looks, and what is sent to a collector of traces.

use std::fmt;
use std::net::SocketAddr;

use url::Url;

use super::gateway::header;
use super::read::Section;
use super::secret::Surroundings;
use super::value;
use crate::observe::access::Payers;

/// The listener for operators: `/metrics`, `/healthz`, `/readyz`.
#[derive(Debug, Clone, Copy)]
pub struct AdminConfig {
    /// Where it listens.
    pub listen: SocketAddr,
}

/// What is logged and traced.
#[derive(Debug, Default)]
pub struct ObserveConfig {
    /// Where traces go; none where they are not wanted.
    pub traces: Option<TraceConfig>,
    /// Whether the access log says who paid.
    pub payers: Payers,
}

/// Where traces go.
pub struct TraceConfig {
    /// The collector's base URL; `/v1/traces` is appended. Its path may hold a key.
    pub endpoint: Url,
    /// Headers for the collector. Values may be secret.
    pub headers: Vec<(http::HeaderName, http::HeaderValue)>,
    /// One of so many requests is traced.
    pub one_in: u64,
}

impl fmt::Debug for TraceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.endpoint.host_str().unwrap_or("?");
        write!(f, "TraceConfig({host}, {} headers, one in {})", self.headers.len(), self.one_in)
    }
}

const PUBLIC: &str = "would show what is sold, and to how many, on an address that others reach; listen on 127.0.0.1, \
    or write allow_public = true if a firewall stands in front";

impl AdminConfig {
    /// Reads `[admin]`.
    pub fn read(section: &Section<'_>) -> Option<Self> {
        let listen = section.require("listen", "where to listen, such as \"127.0.0.1:9402\"", value::listen);
        let public = section.flag("allow_public").is_some_and(|field| field.value);
        if let (Some(listen), Some(field)) = (listen, section.text("listen"))
            && !listen.ip().is_loopback()
            && !public
        {
            field.fault(PUBLIC);
        }
        section.refuse_unknown();
        Some(Self { listen: listen? })
    }
}

impl ObserveConfig {
    /// Reads `[observe]`.
    pub fn read(section: &Section<'_>, around: Surroundings<'_>) -> Self {
        let endpoint = section.parse("otlp_endpoint", otlp_endpoint);
        let mut headers = Vec::new();
        if let Some(names) = section.section("otlp_headers_env") {
            for (name, field) in names.pairs() {
                match (around.env)(field.value) {
                    Some(text) => headers.extend(header(&name, &text).map_err(|m| field.fault(m)).ok()),
                    None => field.fault(format!("the environment variable {} is not set", field.value)),
                }
            }
        }
        let one_in = section.number("trace_one_in").map_or(1, |field| {
            if field.value == 0 {
                field.fault("has to be at least 1: one of so many requests is traced");
            }
            field.value
        });
        let payers = match section.flag("log_payers").is_some_and(|field| field.value) {
            true => Payers::Show,
            false => Payers::Hide,
        };
        section.refuse_unknown();
        Self { traces: endpoint.map(|endpoint| TraceConfig { endpoint, headers, one_in }), payers }
    }
}

/// The collector's URL. What stands in it may be a key: a mistake does not repeat it.
fn otlp_endpoint(text: &str) -> Result<Url, String> {
    let wrong =
        "it is not a plain HTTP URL; write http://HOST:4318 or https://HOST, and keys in otlp_headers_env";
    value::http_url(text).map_err(|_| wrong.to_owned())
}

#[cfg(test)]
mod tests;
