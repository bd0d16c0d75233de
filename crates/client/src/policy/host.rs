//! [`HostPattern`]: the hosts that one line of a policy names.

use std::fmt;

use super::PolicyError;
use crate::site::Site;

/// A host, or every host below a domain, on any port or on one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    name: Name,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    Exact(String),
    /// `.example.com`: what a host must end with.
    Below(String),
}

impl HostPattern {
    /// Reads `api.example.com`, `*.example.com` (not `example.com` itself), `127.0.0.1`, `[::1]`; each may end in `:port`.
    ///
    /// # Errors
    /// [`PolicyError::BadHost`].
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        let bad = || PolicyError::BadHost { input: text.chars().take(80).collect() };
        let (below, rest) = text.strip_prefix("*.").map_or((false, text), |rest| (true, rest));
        // A URL's own parser normalises case, punycode and addresses as the request's URL will be.
        let unwelcome =
            |c: char| matches!(c, '/' | '?' | '#' | '@' | '*' | '\\') || c.is_whitespace() || c.is_control();
        if rest.is_empty() || rest.contains(unwelcome) || rest.ends_with(':') {
            return Err(bad());
        }
        // An unusual scheme keeps every port written out; a usual one normalises the host. Ask both.
        let url = url::Url::parse(&format!("http://{rest}/")).map_err(|_| bad())?;
        let port = url::Url::parse(&format!("x://{rest}/")).map_err(|_| bad())?.port();
        let host = url.host_str().ok_or_else(bad)?.trim_end_matches('.').to_owned();
        let name = match (below, url.host()) {
            (true, Some(url::Host::Domain(_))) => Name::Below(format!(".{host}")),
            (true, _) => return Err(bad()),
            (false, _) => Name::Exact(host),
        };
        Ok(Self { name, port })
    }

    /// Whether the pattern names the host of `url`.
    #[must_use]
    pub fn names(&self, url: &url::Url) -> bool {
        Site::of(url).is_ok_and(|site| self.matches(&site))
    }

    pub(crate) fn matches(&self, site: &Site) -> bool {
        let named = match &self.name {
            Name::Exact(host) => site.host() == host,
            Name::Below(suffix) => site.host().len() > suffix.len() && site.host().ends_with(suffix.as_str()),
        };
        named && self.port.is_none_or(|port| port == site.port())
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Name::Exact(host) => f.write_str(host)?,
            Name::Below(suffix) => write!(f, "*{suffix}")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}
