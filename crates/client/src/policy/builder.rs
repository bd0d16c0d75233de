//! [`PolicyBuilder`]: puts a policy together, rule by rule.

use std::collections::BTreeSet;
use std::sync::{Arc, RwLock};

use super::rules::{Limited, Rules, Unknown};
use super::{AssetSelector, At, HostPattern, Limit, Policy, PolicyError, Source, Span};
use crate::spend::Window;

/// Builds a [`Policy`].
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct PolicyBuilder {
    rules: Rules,
    dollars: BTreeSet<(String, String)>,
    approved: Vec<HostPattern>,
}

impl PolicyBuilder {
    /// Says where the rules come from, for messages that tell a person how to change one.
    pub fn source(mut self, source: Source) -> Self {
        self.rules.source = source;
        self
    }

    /// The most that one call may cost.
    ///
    /// # Errors
    /// [`PolicyError::BadLimit`], [`PolicyError::BadAsset`].
    pub fn max_per_call(self, limit: &str) -> Result<Self, PolicyError> {
        Ok(self.limit(Span::Call, At::Everywhere, Limit::parse(limit)?))
    }

    /// The most that may be spent in all, for as long as the [`SpendBook`](crate::SpendBook) lives.
    ///
    /// # Errors
    /// [`PolicyError::BadLimit`], [`PolicyError::BadAsset`].
    pub fn max_total(self, limit: &str) -> Result<Self, PolicyError> {
        Ok(self.limit(Span::Within(Window::Total), At::Everywhere, Limit::parse(limit)?))
    }

    /// The most that may be spent at any one host, for as long as the [`SpendBook`](crate::SpendBook) lives.
    ///
    /// # Errors
    /// [`PolicyError::BadLimit`], [`PolicyError::BadAsset`].
    pub fn max_per_host(self, limit: &str) -> Result<Self, PolicyError> {
        Ok(self.limit(Span::Within(Window::Total), At::EachHost, Limit::parse(limit)?))
    }

    /// The most that may be spent over a span, somewhere.
    pub fn limit(mut self, span: Span, at: At, limit: Limit) -> Self {
        self.rules.limits.push(Limited { span, at, limit });
        self
    }

    /// Names a token that is known to be worth US dollars one to one, so that limits without an asset cover it.
    pub fn dollar_token(mut self, network: &str, address: &str) -> Self {
        self.dollars.insert((network.to_owned(), address.to_ascii_lowercase()));
        self
    }

    /// Pays this host (`api.example.com`, `*.example.com`, either with a port), and no others but those named.
    ///
    /// # Errors
    /// [`PolicyError::BadHost`].
    pub fn allow_host(mut self, pattern: &str) -> Result<Self, PolicyError> {
        self.rules.hosts.get_or_insert_default().push(HostPattern::parse(pattern)?);
        Ok(self)
    }

    /// Pays only hosts that are named, also when none is.
    pub fn only_named_hosts(mut self) -> Self {
        self.rules.hosts.get_or_insert_default();
        self
    }

    /// Never pays this host, whatever allows it.
    ///
    /// # Errors
    /// [`PolicyError::BadHost`].
    pub fn deny_host(mut self, pattern: &str) -> Result<Self, PolicyError> {
        self.rules.denied.push(HostPattern::parse(pattern)?);
        Ok(self)
    }

    /// Lets a person be asked about hosts that are neither named nor denied, where there is somebody to ask
    /// ([`AgentBuilder::consent`](crate::AgentBuilder::consent)); without, they are refused.
    pub fn ask_about_unknown_hosts(mut self) -> Self {
        self.rules.unknown = Unknown::Ask;
        self
    }

    /// A host that a person has approved when asked, now or before.
    ///
    /// # Errors
    /// [`PolicyError::BadHost`].
    pub fn approved_host(mut self, pattern: &str) -> Result<Self, PolicyError> {
        self.approved.push(HostPattern::parse(pattern)?);
        Ok(self)
    }

    /// Answers challenges of this realm although the request goes to another host.
    pub fn allow_realm(mut self, realm: &str) -> Self {
        self.rules.realms.push(realm.to_owned());
        self
    }

    /// Pays this recipient, and no others but those named; shares count as recipients.
    pub fn allow_recipient(mut self, recipient: &str) -> Self {
        self.rules.recipients.insert(recipient.to_ascii_lowercase());
        self
    }

    /// Pays on this CAIP-2 network (`eip155:4217`), and on no others but those named.
    pub fn allow_network(mut self, network: &str) -> Self {
        self.rules.networks.insert(network.to_owned());
        self
    }

    /// Pays in this asset, and in no others but those named.
    pub fn allow_asset(mut self, asset: AssetSelector) -> Self {
        self.rules.assets.push(asset);
        self
    }

    /// Pays by this method (`tempo`), and by no others but those named.
    pub fn allow_method(mut self, method: &str) -> Self {
        self.rules.methods.insert(method.to_owned());
        self
    }

    /// Pays in this mode (`pull`, `push`, `proof`), and in no others but those named.
    pub fn allow_mode(mut self, mode: &str) -> Self {
        self.rules.modes.insert(mode.to_owned());
        self
    }

    /// Lets credentials travel without TLS to other machines too. Whoever can read the traffic can then use the credential
    /// first.
    pub fn allow_plaintext(mut self) -> Self {
        self.rules.plaintext = super::rules::Plaintext::Anywhere;
        self
    }

    /// The policy.
    #[must_use]
    pub fn build(self) -> Policy {
        Policy {
            layers: vec![self.rules],
            dollars: self.dollars,
            approved: Arc::new(RwLock::new(self.approved)),
        }
    }
}
