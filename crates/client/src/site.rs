//! [`Site`]: where a request goes: scheme, host and port. What a policy allows and what a realm names.

use std::fmt;

use url::{Host, Url};

use crate::AgentError;

/// An origin of HTTP or HTTPS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Site {
    scheme: Scheme,
    /// Lower case, as the URL standard normalises it, without a final dot; IPv6 in brackets.
    host: String,
    port: u16,
    loopback: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

impl Site {
    pub(crate) fn of(url: &Url) -> Result<Self, AgentError> {
        let usage = |code, why| AgentError::Usage { code, why };
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => {
                return Err(usage(
                    "bad_scheme",
                    format!("`{other}` is not a scheme that can be paid over: use https or http"),
                ));
            }
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(usage(
                "url_with_credentials",
                "the URL holds a user name or a password: send them in an Authorization header instead"
                    .to_owned(),
            ));
        }
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err(usage("bad_url", "the URL names no host".to_owned()));
        };
        let loopback = match &host {
            // Names below `localhost` are left to resolvers, and not all of them stay on this machine.
            Host::Domain(name) => name.trim_end_matches('.') == "localhost",
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
        };
        let host = host.to_string().trim_end_matches('.').to_owned();
        Ok(Self { scheme, host, port, loopback })
    }

    /// The host alone.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Host and port: what an answer about a host is kept for.
    pub(crate) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Whether nobody between here and there reads along (C18): TLS, or the same machine.
    pub(crate) const fn is_confidential(&self) -> bool {
        matches!(self.scheme, Scheme::Https) || self.loopback
    }

    /// Whether a realm is this site's host, alone or with the port.
    pub(crate) fn is_named_by(&self, realm: &str) -> bool {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        let named = |host: &str| host.eq_ignore_ascii_case(&self.host) || host.eq_ignore_ascii_case(bare);
        named(realm)
            || realm.rsplit_once(':').is_some_and(|(host, port)| {
                host.eq_ignore_ascii_case(&self.host) && port == self.port.to_string()
            })
    }
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual) = match self.scheme {
            Scheme::Http => ("http", 80),
            Scheme::Https => ("https", 443),
        };
        if self.port == usual {
            write!(f, "{scheme}://{}", self.host)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}
