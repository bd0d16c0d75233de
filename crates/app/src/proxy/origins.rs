//! [`Origins`]: which origins a proxy opens and pays at: those that were named one by one, and that the policy allows. A policy
//! that pays at every host does not make the proxy look into every connection.

use std::collections::BTreeSet;

use farthing_client::policy::{CheckVerdict, HostPattern};
use farthing_client::{Policy, PolicyError};
use farthing_protocol::flow::payer::Refusal;
use url::Url;

/// The origins that were named, and the policy.
#[derive(Debug, Clone)]
pub struct Origins {
    named: Vec<HostPattern>,
    policy: Policy,
}

impl Origins {
    /// From patterns as a policy takes them: `api.example.com`, `*.example.com`, either with a port.
    ///
    /// # Errors
    /// [`PolicyError::BadHost`].
    pub fn new(patterns: &BTreeSet<String>, policy: Policy) -> Result<Self, PolicyError> {
        let named = patterns.iter().map(|pattern| HostPattern::parse(pattern)).collect::<Result<_, _>>()?;
        Ok(Self { named, policy })
    }

    /// Whether `url` is paid at.
    ///
    /// # Errors
    /// Why not.
    pub fn judge(&self, url: &Url) -> Result<(), Refusal> {
        if !self.named.iter().any(|pattern| pattern.names(url)) {
            let host = url.host_str().unwrap_or_default();
            let why = format!("the proxy was not told to pay at {host}: name it with --allow-host {host}");
            return Err(Refusal { code: "host_not_allowed", why });
        }
        let checks = self
            .policy
            .explain(url)
            .map_err(|error| Refusal { code: "host_not_allowed", why: error.to_string() })?;
        let refused = checks.into_iter().find_map(|check| match check.verdict {
            CheckVerdict::Passed => None,
            CheckVerdict::Refused { code } => Some(Refusal { code, why: check.why }),
        });
        refused.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use farthing_client::Policy;

    use super::Origins;

    #[test]
    fn only_what_was_named_and_is_allowed_is_opened() {
        let patterns =
            ["api.example.com", "*.example.org", "Port.example:8443", "127.0.0.1", "denied.example"];
        let patterns = patterns.map(str::to_owned).into_iter().collect();
        let policy = Policy::builder().deny_host("denied.example").unwrap();
        let origins = Origins::new(&patterns, policy.clone().build()).unwrap();
        let cases = [
            ("https://api.example.com", true),
            ("https://API.example.com.:8443/x", true),
            ("http://api.example.com", false),
            ("https://xapi.example.com", false),
            ("https://a.b.example.org", true),
            ("https://example.org", false),
            ("https://badexample.org", false),
            ("https://port.example:8443", true),
            ("https://port.example", false),
            ("http://127.0.0.1:5", true),
            ("https://127.0.0.2", false),
            ("https://denied.example", false),
        ];
        for (url, expected) in cases {
            assert_eq!(origins.judge(&url.parse().unwrap()).is_ok(), expected, "{url}");
        }
        let anywhere = Origins::new(&patterns, policy.allow_plaintext().build()).unwrap();
        assert!(anywhere.judge(&"http://api.example.com".parse().unwrap()).is_ok());
        let other = Policy::builder().allow_host("api.example.com").unwrap().build();
        let narrowed = Origins::new(&patterns, other).unwrap();
        assert!(narrowed.judge(&"https://a.example.org".parse().unwrap()).is_err(), "named, and not allowed");
    }
}
