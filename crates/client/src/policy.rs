//! [`Policy`]: what an agent may pay, to whom, where, and how much. It decides and does not count: sums are kept by a
//! [`SpendBook`](crate::SpendBook).
//!
//! A limit is one counter. `0.05` covers every asset that is known to be US dollars (the tokens named with
//! [`PolicyBuilder::dollar_token`], and the fiat asset `USD`) and counts them **together**: two stablecoins of 0.03 each
//! exceed it. Any other asset needs a limit that names it: `0.05 PathUSD` (by code, on every network together) or
//! `0.05 0x20c0…` or `0.05 eip155:4217/0x20c0…` (by address). An asset that no limit covers is never paid, and every limit
//! that covers an asset applies. A proof of identity, which costs nothing, needs no limit.
//!
//! A limit counts what sellers get. The network's fee, where the payer bears it, comes on top: a rail bounds it.
//!
//! Hosts, recipients and networks are unrestricted until the first one is named; then only those named are paid.

mod host;
mod limit;

pub use host::HostPattern;
pub use limit::{AssetSelector, Limit, UNITS_SCALE};

use std::collections::BTreeSet;

use farthing_money::{Amount, Asset, AssetKind, MoneyError};
use farthing_protocol::flow::payer::Refusal;
use farthing_protocol::ports::Quote;

use crate::site::Site;
use crate::spend::Draw;

/// Why a policy cannot be built from what was given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// Not an amount.
    #[error(
        "`{input}` is not a limit: {error}; write `0.05`, or `0.05 PathUSD` for an asset that is not dollars"
    )]
    BadLimit {
        /// What was given.
        input: String,
        /// What is wrong with the amount.
        error: MoneyError,
    },
    /// Not an asset.
    #[error("`{input}` does not name an asset: write a code, a token address, or `eip155:4217/0x…`")]
    BadAsset {
        /// What was given.
        input: String,
    },
    /// Not a host or a pattern of hosts.
    #[error("`{input}` is not a host: write `api.example.com`, `*.example.com`, or either with a port")]
    BadHost {
        /// What was given.
        input: String,
    },
}

impl PolicyError {
    /// The stable code of the broken rule.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadLimit { .. } => "policy_bad_limit",
            Self::BadAsset { .. } => "policy_bad_asset",
            Self::BadHost { .. } => "policy_bad_host",
        }
    }
}

/// Where credentials may travel without TLS (C18).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Plaintext {
    /// This machine only.
    #[default]
    Loopback,
    /// Anywhere.
    Anywhere,
}

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    Call,
    Total,
    Host,
}

impl Scope {
    /// How a person would change a limit of this scope.
    const fn flag(self) -> &'static str {
        match self {
            Self::Call => "`max_per_call`",
            Self::Total => "--max-spend (policy key `max_total`)",
            Self::Host => "`max_per_host`",
        }
    }
}

/// What an agent may pay. The default allows nothing that costs anything.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    limits: Vec<(Scope, Limit)>,
    dollars: BTreeSet<(String, String)>,
    hosts: Vec<HostPattern>,
    realms: Vec<String>,
    recipients: BTreeSet<String>,
    networks: BTreeSet<String>,
    plaintext: Plaintext,
}

/// Builds a [`Policy`].
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct PolicyBuilder {
    policy: Policy,
}

impl PolicyBuilder {
    /// The most that one call may cost.
    ///
    /// # Errors
    /// [`PolicyError::BadLimit`], [`PolicyError::BadAsset`].
    pub fn max_per_call(self, limit: &str) -> Result<Self, PolicyError> {
        self.limit(Scope::Call, limit)
    }

    /// The most that may be spent in all, for as long as the [`SpendBook`](crate::SpendBook) lives.
    ///
    /// # Errors
    /// [`PolicyError::BadLimit`], [`PolicyError::BadAsset`].
    pub fn max_total(self, limit: &str) -> Result<Self, PolicyError> {
        self.limit(Scope::Total, limit)
    }

    /// The most that may be spent at any one host.
    ///
    /// # Errors
    /// [`PolicyError::BadLimit`], [`PolicyError::BadAsset`].
    pub fn max_per_host(self, limit: &str) -> Result<Self, PolicyError> {
        self.limit(Scope::Host, limit)
    }

    fn limit(mut self, scope: Scope, limit: &str) -> Result<Self, PolicyError> {
        self.policy.limits.push((scope, Limit::parse(limit)?));
        Ok(self)
    }

    /// Names a token that is known to be worth US dollars one to one, so that limits without an asset cover it.
    pub fn dollar_token(mut self, network: &str, address: &str) -> Self {
        self.policy.dollars.insert((network.to_owned(), address.to_ascii_lowercase()));
        self
    }

    /// Pays this host (`api.example.com`, `*.example.com`, either with a port), and no others but those named.
    ///
    /// # Errors
    /// [`PolicyError::BadHost`].
    pub fn allow_host(mut self, pattern: &str) -> Result<Self, PolicyError> {
        self.policy.hosts.push(HostPattern::parse(pattern)?);
        Ok(self)
    }

    /// Answers challenges of this realm although the request goes to another host.
    pub fn allow_realm(mut self, realm: &str) -> Self {
        self.policy.realms.push(realm.to_owned());
        self
    }

    /// Pays this recipient, and no others but those named; shares count as recipients.
    pub fn allow_recipient(mut self, recipient: &str) -> Self {
        self.policy.recipients.insert(recipient.to_ascii_lowercase());
        self
    }

    /// Pays on this CAIP-2 network (`eip155:4217`), and on no others but those named.
    pub fn allow_network(mut self, network: &str) -> Self {
        self.policy.networks.insert(network.to_owned());
        self
    }

    /// Lets credentials travel without TLS to other machines too. Whoever can read the traffic can then use the credential
    /// first.
    pub fn allow_plaintext(mut self) -> Self {
        self.policy.plaintext = Plaintext::Anywhere;
        self
    }

    /// The policy.
    #[must_use]
    pub fn build(self) -> Policy {
        self.policy
    }
}

impl Policy {
    /// A policy to add to.
    pub fn builder() -> PolicyBuilder {
        PolicyBuilder::default()
    }

    /// Whether any payment at all may be made at this site: transport (C18) and host.
    pub(crate) fn admit(&self, site: &Site) -> Result<(), Refusal> {
        if !site.is_confidential() && self.plaintext == Plaintext::Loopback {
            return refuse(
                "plaintext_refused",
                format!(
                    "{site} is reached without TLS, and whoever reads a payment can use it: use https, or allow it with \
                     --allow-plaintext (policy key `allow_plaintext`)"
                ),
            );
        }
        if self.hosts.is_empty() || self.hosts.iter().any(|pattern| pattern.matches(site)) {
            return Ok(());
        }
        refuse(
            "host_not_allowed",
            format!(
                "the policy does not pay {host}: allow it with --allow-host {host} (policy key `allow_hosts`)",
                host = site.host()
            ),
        )
    }

    /// Whether the policy answers challenges of this realm at this site (WIRE: a realm is the request's host).
    pub(crate) fn admit_realm(&self, site: &Site, realm: &str) -> Result<(), Refusal> {
        if site.is_named_by(realm) || self.realms.iter().any(|allowed| allowed == realm) {
            return Ok(());
        }
        refuse(
            "realm_mismatch",
            format!(
                "the challenge is for the realm {realm:?}, and the request goes to {site}: a payment made for one host could \
                 be used at another; if the realm is right, allow it with --allow-realm (policy key `allow_realms`)"
            ),
        )
    }

    /// Whether the policy pays this quote, as far as one call alone can tell; what the payment draws from the counters.
    pub(crate) fn judge(&self, site: &Site, quote: &Quote) -> Result<Vec<Draw>, Refusal> {
        self.admit_parties(quote)?;
        let (money, asset) = (&quote.money, quote.money.asset());
        if money.amount().is_zero() {
            return Ok(Vec::new());
        }
        let units = limit::to_units(money.amount(), asset.scale()).map_err(|error| Refusal {
            code: "amount_out_of_range",
            why: format!("the seller asks for {money}, which no limit can be compared with: {error}"),
        })?;
        let mut covering = self.limits.iter().filter(|(_, limit)| self.covers(limit, asset)).peekable();
        if covering.peek().is_none() {
            return refuse("asset_without_limit", self.explain_uncovered(quote));
        }
        let mut draws: Vec<Draw> = Vec::new();
        for (scope, limit) in covering {
            let Some(draw) = Self::apply(*scope, limit, site, quote, units)? else { continue };
            // Of two limits on one counter the tighter one counts, and the payment counts once.
            match draws.iter_mut().find(|other| other.counter == draw.counter) {
                Some(other) if other.limit > draw.limit => *other = draw,
                Some(_) => {}
                None => draws.push(draw),
            }
        }
        Ok(draws)
    }

    fn apply(
        scope: Scope,
        limit: &Limit,
        site: &Site,
        quote: &Quote,
        units: Amount,
    ) -> Result<Option<Draw>, Refusal> {
        let counter = match scope {
            Scope::Call if units > limit.units() => {
                return refuse(
                    "over_call_limit",
                    format!(
                        "the seller asks for {}, more than the {limit} that one call may cost: raise it with {}",
                        quote.money,
                        scope.flag()
                    ),
                );
            }
            Scope::Call => return Ok(None),
            Scope::Total => format!("total {}", limit.selector()),
            Scope::Host => format!("host {} {}", site.host(), limit.selector()),
        };
        Ok(Some(Draw {
            counter,
            units,
            limit: limit.units(),
            asked: quote.money.to_string(),
            rule: format!("{limit}, set with {}", scope.flag()),
        }))
    }

    fn covers(&self, limit: &Limit, asset: &Asset) -> bool {
        limit.selector().names(asset)
            || (*limit.selector() == AssetSelector::Dollars && self.is_dollars(asset))
    }

    fn is_dollars(&self, asset: &Asset) -> bool {
        match asset.kind() {
            AssetKind::Fiat => asset.code() == "USD",
            AssetKind::Token { network, address } => {
                self.dollars.contains(&(network.to_string(), address.to_ascii_lowercase()))
            }
            AssetKind::Custom => false,
        }
    }

    fn explain_uncovered(&self, quote: &Quote) -> String {
        let (money, asset) = (&quote.money, quote.money.asset());
        let amount = money.amount().to_decimal(asset.scale());
        let named = match asset.kind() {
            _ if self.is_dollars(asset) => amount,
            // The code of an unknown token is its shortened address, which names nothing.
            AssetKind::Token { address, .. } if asset.code().starts_with("0x") => {
                format!("\"{amount} {address}\"")
            }
            _ => format!("\"{amount} {}\"", asset.code()),
        };
        let missing = if self.limits.is_empty() {
            "no limit was set".to_owned()
        } else {
            format!("no limit covers {}", asset.code())
        };
        format!(
            "the seller asks for {money}, and {missing}: allow it with --max-spend {named} (policy key `max_total`)"
        )
    }

    fn admit_parties(&self, quote: &Quote) -> Result<(), Refusal> {
        if !self.networks.is_empty() && !self.networks.contains(&quote.network) {
            let network = &quote.network;
            return refuse(
                "network_not_allowed",
                format!("the policy does not pay on {network}: name it in `allow_networks`"),
            );
        }
        if self.recipients.is_empty() {
            return Ok(());
        }
        let recipients = std::iter::once(&quote.recipient).chain(quote.shares.iter().map(|s| &s.recipient));
        for recipient in recipients {
            if !self.recipients.contains(&recipient.to_ascii_lowercase()) {
                return refuse(
                    "recipient_not_allowed",
                    format!(
                        "the policy does not pay {recipient}: allow it with --allow-recipient {recipient} (policy key \
                         `allow_recipients`)"
                    ),
                );
            }
        }
        Ok(())
    }
}

fn refuse<T>(code: &'static str, why: String) -> Result<T, Refusal> {
    Err(Refusal { code, why })
}

#[cfg(test)]
mod tests;
