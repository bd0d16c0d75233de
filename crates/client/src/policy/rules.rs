//! [`Rules`]: one layer of a policy: the rules of one source. Each rule says what it thinks of a payment, as a [`Check`].

use std::collections::BTreeSet;
use std::fmt;

use farthing_money::AssetKind;
use farthing_protocol::flow::payer::Refusal;
use farthing_protocol::ports::Quote;

use super::limit::{At, Span};
use super::{AssetSelector, Budget, Check, HostPattern, Limit, Units};
use crate::site::Site;
use crate::spend::Draw;

/// The code of a host that a person may be asked about.
pub(super) const HOST_UNKNOWN_CODE: &str = "host_unknown";

/// How the counters of limits of one run begin.
pub(crate) const RUN_COUNTERS: &str = "run ";

/// Where rules come from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Source {
    /// Whoever wrote the program.
    #[default]
    Code,
    /// The command line.
    CommandLine,
    /// A rule of the protocol, which no policy changes.
    Protocol,
    /// A policy file, by the name that a person knows it by.
    File(String),
}

impl Source {
    /// A rule of this source, as a person would look for it.
    fn names(&self, key: &str, flag: &str) -> String {
        match self {
            Self::Code if flag.is_empty() => format!("policy key `{key}`"),
            Self::Code => format!("{flag} (policy key `{key}`)"),
            Self::CommandLine | Self::Protocol if flag.is_empty() => format!("policy key `{key}`"),
            Self::CommandLine | Self::Protocol => flag.to_owned(),
            Self::File(file) => format!("`{key}` in {file}"),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Code => "policy",
            Self::CommandLine => "command line",
            Self::Protocol => "protocol",
            Self::File(file) => file,
        })
    }
}

/// Where credentials may travel without TLS (C18).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Plaintext {
    /// This machine only.
    #[default]
    Loopback,
    /// Anywhere.
    Anywhere,
}

/// What becomes of hosts that are neither named nor denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Unknown {
    /// They are refused.
    #[default]
    Refuse,
    /// A person may be asked.
    Ask,
}

/// Whether rules stand alone, or narrow others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Role {
    /// What they do not allow is not allowed.
    #[default]
    Base,
    /// What they say nothing about is left to the others.
    Narrowing,
}

/// A limit and where it applies.
#[derive(Debug, Clone)]
pub(super) struct Limited {
    pub(super) span: Span,
    pub(super) at: At,
    pub(super) limit: Limit,
}

impl Limited {
    /// The key of the policy file.
    fn key(&self) -> String {
        match &self.at {
            At::Everywhere | At::ThisRun => format!("limits.{}", self.span.name()),
            At::EachHost => format!("limits.each_host.{}", self.span.name()),
            At::Host(pattern) => format!("limits.at {pattern} {}", self.span.name()),
        }
    }

    /// The counter in the book; none for a limit of one call, or where the limit does not apply.
    fn counter(&self, site: Option<&Site>) -> Option<String> {
        let Span::Within(window) = self.span else { return None };
        let (window, selector) = (window.name(), self.limit.selector());
        match (&self.at, site) {
            (At::Everywhere, _) => Some(format!("{window} {selector}")),
            (At::ThisRun, _) => Some(format!("{RUN_COUNTERS}{window} {selector}")),
            (At::EachHost, Some(site)) => Some(format!("host {} {window} {selector}", site.host())),
            (At::EachHost, None) => None,
            (At::Host(pattern), _) => Some(format!("at {pattern} {window} {selector}")),
        }
    }

    fn applies_at(&self, site: Option<&Site>) -> bool {
        match (&self.at, site) {
            (At::Host(pattern), Some(site)) => pattern.matches(site),
            (At::EachHost, None) => false,
            _ => true,
        }
    }
}

/// The rules of one source.
#[derive(Debug, Clone, Default)]
pub(super) struct Rules {
    pub(super) source: Source,
    role: Role,
    pub(super) limits: Vec<Limited>,
    /// None: any.
    pub(super) hosts: Option<Vec<HostPattern>>,
    pub(super) denied: Vec<HostPattern>,
    pub(super) unknown: Unknown,
    pub(super) realms: Vec<String>,
    pub(super) recipients: BTreeSet<String>,
    pub(super) networks: BTreeSet<String>,
    pub(super) assets: Vec<AssetSelector>,
    pub(super) methods: BTreeSet<String>,
    pub(super) modes: BTreeSet<String>,
    pub(super) plaintext: Plaintext,
}

/// What a layer says to a host.
pub(super) enum Standing {
    /// It may be paid.
    Allowed(Check),
    /// A person may be asked; without, it is refused so.
    Unknown(Check),
    /// It may not.
    Refused(Check),
}

impl Rules {
    pub(super) fn narrowing(self) -> Self {
        Self { role: Role::Narrowing, ..self }
    }

    pub(super) const fn source(&self) -> &Source {
        &self.source
    }

    fn passed(&self, rule: &str, why: impl Into<String>) -> Check {
        Check::passed(rule, &self.source, why.into())
    }

    fn refused(&self, rule: &str, code: &'static str, why: String) -> Check {
        Check::refused(rule, &self.source, Refusal { code, why })
    }

    /// C18. What narrows says nothing about it.
    pub(super) fn transport(&self, site: &Site) -> Option<Check> {
        const RULE: &str = "hosts.allow_plaintext";
        if self.role == Role::Narrowing {
            return None;
        }
        Some(if site.is_confidential() {
            self.passed(RULE, format!("nobody between here and {site} reads along"))
        } else if self.plaintext == Plaintext::Anywhere {
            self.passed(RULE, "payments without TLS are allowed")
        } else {
            let fix = self.source.names(RULE, "--allow-plaintext");
            self.refused(
                RULE,
                "plaintext_refused",
                format!(
                    "{site} is reached without TLS, and whoever reads a payment can use it: use https, or allow it with {fix}"
                ),
            )
        })
    }

    /// Whether the rules say anything about hosts.
    pub(super) const fn knows_hosts(&self) -> bool {
        matches!(self.role, Role::Base) || self.hosts.is_some() || !self.denied.is_empty()
    }

    pub(super) fn standing(&self, site: &Site) -> Standing {
        let host = site.host();
        if let Some(pattern) = self.denied.iter().find(|pattern| pattern.matches(site)) {
            let fix = self.source.names("hosts.deny", "");
            let why = format!("the policy never pays {host}: {pattern} is denied, see {fix}");
            return Standing::Refused(self.refused("hosts.deny", "host_denied", why));
        }
        let Some(allowed) = &self.hosts else {
            return Standing::Allowed(self.passed("hosts.allow", "every host is allowed that is not denied"));
        };
        if let Some(pattern) = allowed.iter().find(|pattern| pattern.matches(site)) {
            return Standing::Allowed(self.passed("hosts.allow", format!("{pattern} is allowed")));
        }
        let fix = match &self.source {
            Source::File(file) => format!("add \"{host}\" to `hosts.allow` in {file}"),
            Source::CommandLine => format!("allow it with --allow-host {host}"),
            Source::Code | Source::Protocol => {
                format!("allow it with --allow-host {host} (policy key `hosts.allow`)")
            }
        };
        match self.unknown {
            Unknown::Refuse => {
                let why = format!("the policy does not pay {host}: {fix}");
                Standing::Refused(self.refused("hosts.allow", "host_not_allowed", why))
            }
            Unknown::Ask => {
                let why =
                    format!("the policy does not know {host}, and nobody was asked on a terminal: {fix}");
                Standing::Unknown(self.refused("hosts.ask", HOST_UNKNOWN_CODE, why))
            }
        }
    }

    /// What narrows cannot allow a realm.
    pub(super) fn realm(&self, site: &Site, realm: &str) -> Option<Check> {
        const RULE: &str = "hosts.realms";
        if self.role == Role::Narrowing {
            return None;
        }
        Some(if site.is_named_by(realm) {
            self.passed(RULE, "the challenge is for the host that was asked")
        } else if self.realms.iter().any(|allowed| allowed == realm) {
            self.passed(RULE, format!("the realm {realm:?} is allowed"))
        } else {
            let fix = self.source.names(RULE, "--allow-realm");
            self.refused(
                RULE,
                "realm_mismatch",
                format!(
                    "the challenge is for the realm {realm:?}, and the request goes to {site}: a payment made for one host \
                     could be used at another; if the realm is right, allow it with {fix}"
                ),
            )
        })
    }

    pub(super) fn allows_method(&self, method: &str) -> bool {
        self.methods.is_empty() || self.methods.contains(method)
    }

    /// Method, mode, network, asset and recipients: the rules that are set, in this order.
    pub(super) fn parties(&self, method: &str, quote: &Quote) -> Vec<Check> {
        let mut checks = Vec::new();
        let mut pin = |rule: &'static str, code: &'static str, flag: &str, what: &str, allowed: bool| {
            checks.push(if allowed {
                self.passed(rule, format!("{what} is allowed"))
            } else {
                let fix = self.source.names(rule, flag);
                self.refused(rule, code, format!("the policy does not pay {what}: allow it with {fix}"))
            });
        };
        if !self.methods.is_empty() && !method.is_empty() {
            let what = format!("by the method {method}");
            pin("pay.methods", "method_not_allowed", "", &what, self.allows_method(method));
        }
        if !self.modes.is_empty() {
            let what = format!("in the mode {}", quote.mode);
            pin("pay.modes", "mode_not_allowed", "", &what, self.modes.contains(quote.mode));
        }
        if !self.networks.is_empty() {
            let what = format!("on {}", quote.network);
            pin("pay.chains", "network_not_allowed", "", &what, self.networks.contains(&quote.network));
        }
        if !self.assets.is_empty() && !quote.money.amount().is_zero() {
            let asset = quote.money.asset();
            let what = match asset.kind() {
                AssetKind::Token { address, .. } => format!("in {} ({address})", asset.code()),
                AssetKind::Fiat | AssetKind::Custom => format!("in {}", asset.code()),
            };
            let named = self.assets.iter().any(|selector| selector.names(asset));
            pin("pay.tokens", "token_not_allowed", "", &what, named);
        }
        if !self.recipients.is_empty() {
            let shares = quote.shares.iter().map(|share| &share.recipient);
            for recipient in std::iter::once(&quote.recipient).chain(shares) {
                let named = self.recipients.contains(&recipient.to_ascii_lowercase());
                let flag = format!("--allow-recipient {recipient}");
                pin("pay.recipients", "recipient_not_allowed", &flag, recipient, named);
            }
        }
        checks
    }

    /// Whether limits are left to the policy that these rules narrow.
    pub(super) fn leaves_limits(&self) -> bool {
        self.role == Role::Narrowing && self.limits.is_empty()
    }

    pub(super) fn limits_at<'r>(&'r self, site: &'r Site) -> impl Iterator<Item = &'r Limited> {
        self.limits.iter().filter(|limited| limited.applies_at(Some(site)))
    }

    pub(super) fn apply(
        &self,
        limited: &Limited,
        site: &Site,
        quote: &Quote,
        units: Units,
    ) -> (Check, Option<Draw>) {
        let (key, limit) = (limited.key(), &limited.limit);
        let rule = self.source.names(&key, "--max-spend");
        let Some((counter, window)) = limited.counter(Some(site)).zip(limited.span.window()) else {
            let check = if units > limit.units() {
                let why = format!(
                    "the seller asks for {}, more than the {limit} that one call may cost: raise it with {rule}",
                    quote.money
                );
                self.refused(&key, "over_call_limit", why)
            } else {
                self.passed(&key, format!("one call may cost {limit}"))
            };
            return (check, None);
        };
        let draw = Draw {
            counter,
            window,
            units,
            limit: limit.units(),
            asked: quote.money.to_string(),
            rule: format!("{limit} {}, set with {rule}", limited.span.words()),
        };
        let check = self.passed(&key, format!("at most {limit} {}", limited.span.words()));
        (check, Some(draw))
    }

    pub(super) fn uncovered(&self, quote: &Quote, covering: Covering) -> Check {
        let (money, asset) = (&quote.money, quote.money.asset());
        let amount = money.amount().to_decimal(asset.scale());
        let named = match asset.kind() {
            _ if covering == Covering::AnyDollars => amount,
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
        let fix = self.source.names("limits.call", &format!("--max-spend {named}"));
        let why = format!("the seller asks for {money}, and {missing}: allow it with {fix}");
        self.refused("limits", "asset_without_limit", why)
    }

    pub(super) fn budgets(&self, site: Option<&Site>) -> Vec<Budget> {
        let applying = self.limits.iter().filter(|limited| limited.applies_at(site));
        let budget = |limited: &Limited| {
            let (counter, window) = limited.counter(site).zip(limited.span.window())?;
            let rule = format!("{} in {}", limited.key(), self.source);
            Some(Budget { counter, window, limit: limited.limit.clone(), rule })
        };
        applying.filter_map(budget).collect()
    }

    pub(super) fn call_limits(&self, site: Option<&Site>) -> Vec<(Limit, String)> {
        let applying = self.limits.iter().filter(|limited| limited.applies_at(site));
        applying
            .filter(|limited| limited.span == Span::Call)
            .map(|limited| (limited.limit.clone(), format!("{} in {}", limited.key(), self.source)))
            .collect()
    }
}

/// Which limits would cover an asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Covering {
    /// One without an asset: it is known to be US dollars.
    AnyDollars,
    /// One that names it.
    Named,
}
