//! The policy file: what an agent may pay, read and checked. It is the person's own: nothing here writes it. Hosts that a
//! person has approved when asked are in a file of their own beside it ([`Approvals`](super::approvals)).

use std::path::{Path, PathBuf};
use std::time::Duration;

use farthing_client::policy::{AssetSelector, At, HostPattern, Limit, PolicyBuilder, Source, Span};
use farthing_client::spend::Window;
use farthing_client::{IdempotencyKeys, MeteredVendor, Policy};
use farthing_rails::tempo::{network, tokens};

use super::fault::ConfigError;
use super::read::{Field, Reader, Section};
use super::secret::Surroundings;
use super::{env, network as networks, token, value, vendor};

/// What a policy file says.
#[derive(Debug, Clone)]
pub struct PolicyFile {
    /// Where it is.
    pub path: PathBuf,
    /// What is paid, and how much.
    pub builder: PolicyBuilder,
    /// How long all waits before a payment is presented again may take together.
    pub max_wait: Option<Duration>,
    /// Whether paid requests get an `Idempotency-Key`.
    pub keys: IdempotencyKeys,
    /// Vendors that are called with a key of their own.
    pub vendors: Vec<MeteredVendor>,
    /// What it says, for people and programs.
    pub facts: Facts,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// The rules that are lists, as they were written.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Facts {
    /// Hosts that are paid; `*` is every host.
    pub allow: Vec<String>,
    /// Hosts that never are.
    pub deny: Vec<String>,
    /// `unknown` or `never`.
    pub ask: &'static str,
    /// CAIP-2.
    pub chains: Vec<String>,
    /// By name or address.
    pub tokens: Vec<String>,
    /// Addresses.
    pub recipients: Vec<String>,
    /// Payment methods.
    pub methods: Vec<String>,
    /// `pull`, `push`, `proof`.
    pub modes: Vec<String>,
    /// Whether anything limits a payment.
    pub limited: bool,
}

/// The one word for every host.
const EVERY_HOST: &str = "*";
const MODES: [&str; 3] = ["pull", "push", "proof"];
const METHODS: [&str; 3] = ["tempo", "prepaid", "metered"];

impl PolicyFile {
    /// Reads and checks a policy.
    ///
    /// # Errors
    /// [`ConfigError`] with everything that is wrong.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        Reader::run(&path.display().to_string(), text, |root| Some(Self::read(path, root)))
    }

    /// What is noted as wrong on the way keeps the result from being used.
    fn read(path: &Path, root: &Section<'_>) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut file = Self {
            path: path.to_owned(),
            builder: dollars(Policy::builder().source(Source::File(name))),
            max_wait: None,
            keys: IdempotencyKeys::Add,
            vendors: Vec::new(),
            facts: Facts { ask: "unknown", ..Facts::default() },
            warnings: Vec::new(),
        };
        if let Some(section) = root.section("limits") {
            file.read_limits(&section);
            section.refuse_unknown();
        }
        match root.section("hosts") {
            Some(section) => {
                file.read_hosts(&section);
                section.refuse_unknown();
            }
            None => file = file.ask_about_every_host(),
        }
        if let Some(section) = root.section("pay") {
            file.read_pins(&section);
            section.refuse_unknown();
        }
        if let Some(section) = root.section("retry") {
            file.max_wait = section.parse("max_wait", value::duration);
            if section.flag("idempotency_key").is_some_and(|field| !field.value) {
                file.keys = IdempotencyKeys::Leave;
            }
            section.refuse_unknown();
        }
        let around = Surroundings { file: path, env: &env::read };
        for section in root.sections("vendors") {
            file.vendors.extend(vendor::read(&section, around, &mut file.warnings));
        }
        file.warn();
        file
    }

    fn build(&mut self, change: impl FnOnce(PolicyBuilder) -> PolicyBuilder) {
        self.builder = change(std::mem::take(&mut self.builder));
    }

    fn ask_about_every_host(mut self) -> Self {
        self.build(|builder| builder.only_named_hosts().ask_about_unknown_hosts());
        self
    }

    fn read_limits(&mut self, section: &Section<'_>) {
        self.read_spans(section, &At::Everywhere);
        if let Some(each) = section.section("each_host") {
            self.read_spans(&each, &At::EachHost);
            each.refuse_unknown();
        }
        for at in section.sections("at") {
            const PURPOSE: &str =
                "which hosts the limits are for, such as \"api.example.com\" or \"*.example.com\"";
            let host =
                at.require("host", PURPOSE, |text| HostPattern::parse(text).map_err(|e| e.to_string()));
            match host {
                Some(host) => self.read_spans(&at, &At::Host(host)),
                // Its limits are read all the same, to tell what is wrong with them.
                None => self.read_spans(&at, &At::EachHost),
            }
            at.refuse_unknown();
        }
    }

    fn read_spans(&mut self, section: &Section<'_>, at: &At) {
        let spans = [
            (Span::Call, section.text("call")),
            (Span::Within(Window::Hour), section.text("hour")),
            (Span::Within(Window::Day), section.text("day")),
            (Span::Within(Window::Month), section.text("month")),
            (Span::Within(Window::Total), section.text("total")),
        ];
        for (span, field) in spans {
            let Some(field) = field else { continue };
            // Several assets have a limit each: "0.10, 5 OUSD".
            for text in field.value.split(',') {
                match limit(text) {
                    Ok(limit) => {
                        self.facts.limited = true;
                        self.build(|builder| builder.limit(span, at.clone(), limit));
                    }
                    Err(message) => field.fault(message),
                }
            }
        }
    }

    fn read_hosts(&mut self, section: &Section<'_>) {
        let mut every_host = false;
        for field in section.texts("allow").unwrap_or_default() {
            self.facts.allow.push(field.value.to_owned());
            if field.value == EVERY_HOST {
                every_host = true;
            } else {
                self.host(&field, PolicyBuilder::allow_host);
            }
        }
        for field in section.texts("deny").unwrap_or_default() {
            self.facts.deny.push(field.value.to_owned());
            self.host(&field, PolicyBuilder::deny_host);
        }
        if !every_host {
            self.build(PolicyBuilder::only_named_hosts);
        }
        let ask = section.parse("ask", |text| match text {
            "unknown" => Ok("unknown"),
            "never" => Ok("never"),
            other => Err(format!("{other:?} is not a choice; write \"unknown\" or \"never\"")),
        });
        if ask.unwrap_or("unknown") == "unknown" {
            self.build(PolicyBuilder::ask_about_unknown_hosts);
        } else {
            self.facts.ask = "never";
        }
        for field in section.texts("realms").unwrap_or_default() {
            match value::realm(field.value) {
                Ok(realm) => self.build(|builder| builder.allow_realm(&realm)),
                Err(message) => field.fault(message),
            }
        }
        if section.flag("allow_plaintext").is_some_and(|field| field.value) {
            self.build(PolicyBuilder::allow_plaintext);
            self.warnings.push(
                "hosts.allow_plaintext: whoever reads the traffic to a host without TLS can use a payment first"
                    .to_owned(),
            );
        }
    }

    fn host(
        &mut self,
        field: &Field<'_, &str>,
        take: fn(PolicyBuilder, &str) -> Result<PolicyBuilder, farthing_client::PolicyError>,
    ) {
        match take(self.builder.clone(), field.value) {
            Ok(builder) => self.builder = builder,
            Err(error) => field.fault(error.to_string()),
        }
    }

    fn read_pins(&mut self, section: &Section<'_>) {
        for field in section.texts("chains").unwrap_or_default() {
            match chain(field.value) {
                Ok(chain) => {
                    self.build(|builder| builder.allow_network(&chain));
                    self.facts.chains.push(chain);
                }
                Err(message) => field.fault(message),
            }
        }
        for field in section.texts("tokens").unwrap_or_default() {
            match asset(field.value) {
                Ok(asset) => {
                    self.build(|builder| builder.allow_asset(asset));
                    self.facts.tokens.push(field.value.to_owned());
                }
                Err(message) => field.fault(message),
            }
        }
        for field in section.texts("recipients").unwrap_or_default() {
            match value::address(field.value) {
                Ok(address) => {
                    self.build(|builder| builder.allow_recipient(&tokens::lower(address)));
                    self.facts.recipients.push(field.value.to_owned());
                }
                Err(message) => field.fault(message),
            }
        }
        for field in section.texts("methods").unwrap_or_default() {
            if one_of(&field, &METHODS, "payment method that is known here") {
                self.build(|builder| builder.allow_method(field.value));
                self.facts.methods.push(field.value.to_owned());
            }
        }
        for field in section.texts("modes").unwrap_or_default() {
            if one_of(&field, &MODES, "mode") {
                self.build(|builder| builder.allow_mode(field.value));
                self.facts.modes.push(field.value.to_owned());
            }
        }
    }

    fn warn(&mut self) {
        let empty = |list: &[String]| list.is_empty();
        if !self.facts.limited {
            self.warnings
                .push("no limit is set, so nothing that costs anything is paid: write [limits]".to_owned());
        }
        if empty(&self.facts.allow) && self.facts.ask == "never" {
            self.warnings
                .push("no host is allowed, and nobody is asked, so nothing is paid at all".to_owned());
        }
    }
}

fn limit(text: &str) -> Result<Limit, String> {
    let limit = Limit::parse(text).map_err(|error| error.to_string())?;
    if let AssetSelector::Code(code) = limit.selector() {
        known_code(code)?;
    }
    Ok(limit)
}

/// A token by name has to be one that exists: a mistyped name would limit nothing, and allow nothing.
fn known_code(code: &str) -> Result<(), String> {
    let known: Vec<&str> = networks::ALL
        .iter()
        .flat_map(|network| {
            let chain_id = network.chain_id;
            token::dollars(chain_id).into_iter().filter_map(move |token| tokens::code(chain_id, token))
        })
        .collect();
    if known.iter().any(|name| name.eq_ignore_ascii_case(code)) {
        return Ok(());
    }
    let mut names = known;
    names.sort_unstable();
    names.dedup();
    Err(format!(
        "{code:?} is not a token that is known here; write its address, or one of {}",
        names.join(", ")
    ))
}

fn asset(text: &str) -> Result<AssetSelector, String> {
    let asset = AssetSelector::parse(text).map_err(|error| error.to_string())?;
    if let AssetSelector::Code(code) = &asset {
        known_code(code)?;
    }
    Ok(asset)
}

/// `eip155:4217`, or its number alone.
fn chain(text: &str) -> Result<String, String> {
    let id = text.strip_prefix("eip155:").unwrap_or(text);
    id.parse::<u64>().map(network).map_err(|_| {
        format!("{text:?} is not a chain; write \"eip155:4217\" (Tempo mainnet), \"eip155:42431\" (testnet) or another number")
    })
}

fn one_of(field: &Field<'_, &str>, known: &[&str], what: &str) -> bool {
    let is_known = known.contains(&field.value);
    if !is_known {
        let names: Vec<String> = known.iter().map(|name| format!("{name:?}")).collect();
        field.fault(format!("{:?} is not a {what}; there are: {}", field.value, names.join(", ")));
    }
    is_known
}

/// Names every token that is known to be dollars, on every known chain.
pub fn dollars(mut builder: PolicyBuilder) -> PolicyBuilder {
    for known in networks::ALL {
        for token in token::dollars(known.chain_id) {
            builder = builder.dollar_token(&network(known.chain_id), &tokens::lower(token));
        }
    }
    builder
}
