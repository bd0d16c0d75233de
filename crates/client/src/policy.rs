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
//! Hosts, recipients, networks, tokens, methods and modes are unrestricted until the first one is named; then only those named
//! are paid. A denied host is never paid, whatever allows it.
//!
//! A policy may be narrowed by another one ([`Policy::narrowed_by`]): then both must allow a payment, rule by rule, and no word
//! of the second can allow what the first does not.

mod builder;
mod check;
mod host;
mod limit;
mod rules;

pub use builder::PolicyBuilder;
pub use check::{Check, CheckVerdict};
pub use host::HostPattern;
pub use limit::{AssetSelector, At, Limit, Span, UNITS_SCALE};
pub(crate) use rules::RUN_COUNTERS;
pub use rules::Source;

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use farthing_money::{Amount, Asset, AssetKind, MoneyError};
use farthing_protocol::flow::payer::Refusal;
use farthing_protocol::ports::Quote;
use url::Url;

use crate::AgentError;
use crate::site::Site;
use crate::spend::{Draw, Window};
use rules::{Covering, Rules, Standing};

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

/// What an agent may pay. The default allows nothing that costs anything. Clones share the hosts that people have approved.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The first is the policy; the others narrow it.
    layers: Vec<Rules>,
    dollars: BTreeSet<(String, String)>,
    approved: Arc<RwLock<Vec<HostPattern>>>,
}

impl Default for Policy {
    fn default() -> Self {
        Self::builder().build()
    }
}

/// What the rules say to one offer.
#[derive(Debug, Clone)]
pub(crate) struct Examination {
    /// Every rule that was looked at, in order. None is looked at after one that refuses the host.
    pub(crate) checks: Vec<Check>,
    /// What the payment takes from each counter.
    pub(crate) draws: Vec<Draw>,
}

impl Examination {
    /// The first refusal, or what the payment draws.
    pub(crate) fn judgement(self) -> Result<Vec<Draw>, Refusal> {
        match self.checks.into_iter().find_map(Check::into_refusal) {
            Some(refusal) => Err(refusal),
            None => Ok(self.draws),
        }
    }
}

/// One counter of a policy, as it applies at one place.
#[derive(Debug, Clone)]
pub struct Budget {
    /// The counter in the spend book.
    pub counter: String,
    /// How long a payment counts.
    pub window: Window,
    /// The limit.
    pub limit: Limit,
    /// Which rule it is, such as `limits.day in policy.toml`.
    pub rule: String,
}

impl Policy {
    /// A policy to add to.
    pub fn builder() -> PolicyBuilder {
        PolicyBuilder::default()
    }

    /// The same, and within it only what `narrower` allows too. What `narrower` says nothing about stays as it is: without a
    /// limit of its own it leaves the limits to this policy.
    #[must_use]
    pub fn narrowed_by(mut self, narrower: Self) -> Self {
        self.layers.extend(narrower.layers.into_iter().map(Rules::narrowing));
        self.dollars.extend(narrower.dollars);
        self
    }

    /// Whether any payment at all may be made at this site: transport (C18) and host.
    pub(crate) fn admit(&self, site: &Site) -> Result<(), Refusal> {
        self.admissions(site, Known::ByPolicy).into_iter().find_map(Check::into_refusal).map_or(Ok(()), Err)
    }

    /// The checks of [`Policy::admit`].
    fn admissions(&self, site: &Site, known: Known) -> Vec<Check> {
        let approved = known == Known::ByConsent || self.is_approved(site);
        let mut checks = Vec::new();
        for rules in &self.layers {
            checks.extend(rules.transport(site));
            if !rules.knows_hosts() {
                continue;
            }
            checks.push(match rules.standing(site) {
                Standing::Unknown(_) if approved => Check::passed(
                    "hosts.ask",
                    rules.source(),
                    format!("a person has approved {}", site.authority()),
                ),
                Standing::Allowed(check) | Standing::Unknown(check) | Standing::Refused(check) => check,
            });
        }
        checks
    }

    /// Whether a policy file of the site's owner is silent about it, so that a person may be asked.
    pub(crate) fn asks_about(&self, site: &Site) -> bool {
        let refused =
            |check: &Check| check.refusal().is_some_and(|refusal| refusal.code != rules::HOST_UNKNOWN_CODE);
        self.admit(site).is_err_and(|refusal| refusal.code == rules::HOST_UNKNOWN_CODE)
            && !self.admissions(site, Known::ByConsent).iter().any(refused)
    }

    /// Lets this site be paid from now on, in this process, although the policy does not know it.
    pub(crate) fn approve(&self, site: &Site) {
        if let Ok(pattern) = HostPattern::parse(&site.authority()) {
            self.approved.write().unwrap_or_else(PoisonError::into_inner).push(pattern);
        }
    }

    fn is_approved(&self, site: &Site) -> bool {
        let approved = self.approved.read().unwrap_or_else(PoisonError::into_inner);
        approved.iter().any(|pattern| pattern.matches(site))
    }

    /// Whether the policy answers challenges of this realm at this site (WIRE: a realm is the request's host).
    pub(crate) fn realm(&self, site: &Site, realm: &str) -> Vec<Check> {
        self.layers.iter().filter_map(|rules| rules.realm(site, realm)).collect()
    }

    /// Whether something may be paid by this method at all.
    pub(crate) fn may_pay_by(&self, method: &str) -> bool {
        self.layers.iter().all(|rules| rules.allows_method(method))
    }

    /// Every rule, as far as one call alone can tell; what the payment draws from the counters.
    pub(crate) fn examine(&self, site: &Site, method: &str, quote: &Quote, known: Known) -> Examination {
        let mut checks = self.admissions(site, known);
        checks.extend(self.layers.iter().flat_map(|rules| rules.parties(method, quote)));
        let mut draws: Vec<Draw> = Vec::new();
        let (money, asset) = (&quote.money, quote.money.asset());
        if money.amount().is_zero() {
            checks.push(Check::passed("limits", &Source::Code, "it costs nothing".to_owned()));
            return Examination { checks, draws };
        }
        let units = match limit::to_units(money.amount(), asset.scale()) {
            Ok(units) => units,
            Err(error) => {
                checks.push(out_of_range(quote, &error));
                return Examination { checks, draws };
            }
        };
        for rules in &self.layers {
            let covering = rules.limits_at(site).filter(|limited| self.covers(&limited.limit, asset));
            let before = checks.len();
            for limited in covering {
                let (check, draw) = rules.apply(limited, site, quote, units);
                checks.push(check);
                let Some(draw) = draw else { continue };
                // Of two limits on one counter the tighter one counts, and the payment counts once.
                match draws.iter_mut().find(|other| other.counter == draw.counter) {
                    Some(other) if other.limit > draw.limit => *other = draw,
                    Some(_) => {}
                    None => draws.push(draw),
                }
            }
            if checks.len() == before && !rules.leaves_limits() {
                let covering = if self.is_dollars(asset) { Covering::AnyDollars } else { Covering::Named };
                checks.push(rules.uncovered(quote, covering));
            }
        }
        Examination { checks, draws }
    }

    #[cfg(test)]
    pub(crate) fn judge(&self, site: &Site, quote: &Quote) -> Result<Vec<Draw>, Refusal> {
        self.examine(site, "test", quote, Known::ByPolicy).judgement()
    }

    /// What a payment that was made draws, whatever its limits are: to count anew. `None` for a URL that cannot be paid at.
    #[must_use]
    pub fn draws_of(&self, url: &Url, quote: &Quote) -> Option<Vec<Draw>> {
        let site = Site::of(url).ok()?;
        Some(self.examine(&site, "", quote, Known::ByConsent).draws)
    }

    /// What the rules say to paying at `url` at all, before any price is known.
    ///
    /// # Errors
    /// [`AgentError::Usage`] for a URL that cannot be paid at.
    pub fn explain(&self, url: &Url) -> Result<Vec<Check>, AgentError> {
        Ok(self.admissions(&Site::of(url)?, Known::ByPolicy))
    }

    /// The counters that a payment may draw on: at `url`, or, without one, those that are the same everywhere.
    ///
    /// # Errors
    /// [`AgentError::Usage`] for a URL that cannot be paid at.
    pub fn budgets(&self, url: Option<&Url>) -> Result<Vec<Budget>, AgentError> {
        let site = url.map(Site::of).transpose()?;
        Ok(self.layers.iter().flat_map(|rules| rules.budgets(site.as_ref())).collect())
    }

    /// The limits of one call that apply at `url`, or everywhere: each with the rule that it is.
    ///
    /// # Errors
    /// [`AgentError::Usage`] for a URL that cannot be paid at.
    pub fn call_limits(&self, url: Option<&Url>) -> Result<Vec<(Limit, String)>, AgentError> {
        let site = url.map(Site::of).transpose()?;
        Ok(self.layers.iter().flat_map(|rules| rules.call_limits(site.as_ref())).collect())
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
}

/// Whether a person has just said that the host may be paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// What the policy knows.
    ByPolicy,
    /// A person was asked.
    ByConsent,
}

fn out_of_range(quote: &Quote, error: &MoneyError) -> Check {
    let why = format!("the seller asks for {}, which no limit can be compared with: {error}", quote.money);
    Check::refused("limits", &Source::Code, Refusal { code: "amount_out_of_range", why })
}

/// An amount in a limit's units.
pub(crate) type Units = Amount;

#[cfg(test)]
mod tests;
