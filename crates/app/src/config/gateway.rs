//! The configuration of `farthing serve`: what the file says, read and checked. Nothing here opens a socket or a store.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use farthing_gate::proxy::{ForwardedTrust, HostHeader};
use farthing_protocol::{CredentialHeader, PreviousSecret, Secret};
use farthing_store::Location;
use url::Url;

use super::answers::AnswersConfig;
use super::books::BooksConfig;
use super::fault::ConfigError;
use super::limits::LimitsConfig;
use super::observe::{AdminConfig, ObserveConfig};
use super::read::{Reader, Section};
use super::rotation::{Rotation, Secrets};
use super::route::RouteConfig;
use super::secret::Surroundings;
use super::tempo::TempoConfig;
use super::tls::TlsConfig;
use super::value;

/// A gateway's configuration.
#[derive(Debug)]
pub struct GatewayConfig {
    /// Where the gateway listens.
    pub listen: SocketAddr,
    /// The public host, which challenges are issued for.
    pub realm: String,
    /// Where paid requests go.
    pub upstream: Upstream,
    /// Where payments are remembered.
    pub store: Location,
    /// Binds challenges.
    pub secret: Secret,
    /// What else has bound challenges that are good.
    pub previous_secrets: Vec<PreviousSecret>,
    /// What becomes of the secrets before when a reload brings another.
    pub rotation: Rotation,
    /// How long a challenge may be answered.
    pub challenge_ttl: Duration,
    /// The header that payments are asked for in; both are always read.
    pub credential_header: CredentialHeader,
    /// What the gateway greets with, where it speaks TLS itself.
    pub tls: Option<TlsConfig>,
    /// How much of everything is taken.
    pub limits: LimitsConfig,
    /// How paid calls are delivered.
    pub answers: AnswersConfig,
    /// The chain and what is taken on it.
    pub tempo: TempoConfig,
    /// What is sold.
    pub routes: Vec<RouteConfig>,
    /// The billing service, where there is one.
    pub books: Option<BooksConfig>,
    /// The listener for operators, where there is one.
    pub admin: Option<AdminConfig>,
    /// What is logged and traced.
    pub observe: ObserveConfig,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// Where paid requests go.
#[derive(Debug)]
pub struct Upstream {
    /// Its base URL.
    pub url: Url,
    /// The longest wait for a connection.
    pub connect_timeout: Duration,
    /// The longest wait for the head of an answer.
    pub response_timeout: Duration,
    /// The longest pause within a body.
    pub idle_timeout: Duration,
    /// The longest request body, in bytes.
    pub max_body_bytes: u64,
    /// Which `Host` the upstream gets.
    pub host: HostHeader,
    /// What happens to `Forwarded` and `X-Forwarded-*` that a request brings.
    pub forwarded: ForwardedTrust,
    /// Headers added to every request, such as the upstream's own key. Values may be secret.
    pub headers: Vec<(http::HeaderName, http::HeaderValue)>,
}

/// A listener that the open network reaches without TLS (C18).
const PLAINTEXT: &str = "would take payments without TLS on an address that others reach; write [tls], listen on 127.0.0.1 \
    behind a TLS terminator, or write allow_plaintext = true if one stands in front";

impl GatewayConfig {
    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// [`ConfigError`] with everything that is wrong.
    pub fn parse(file: &Path, text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let around = Surroundings { file, env };
        Reader::run(&file.display().to_string(), text, |root| read_root(root, around))
    }
}

fn read_root(root: &Section<'_>, around: Surroundings<'_>) -> Option<GatewayConfig> {
    let mut warnings = Vec::new();
    let gateway = root.section("gateway");
    if gateway.is_none() && !root.has("gateway") {
        root.missing("gateway", "write [gateway] with listen, realm, upstream, store and secret_file");
    }
    let tls = root.section("tls").map(|section| TlsConfig::read(&section, around, &mut warnings));
    let mut limits = root.section("limits").map(|section| LimitsConfig::read(&section)).unwrap_or_default();
    let answers = root.section("answers").map(|section| AnswersConfig::read(&section)).unwrap_or_default();
    limits.resolver.refund_after_ms = answers.refund_after_ms;
    let transport = if tls.is_some() { Transport::Tls } else { Transport::Plain };
    let front = gateway.as_ref().and_then(|section| read_front(section, transport, around, &mut warnings));
    let upstream = read_upstream(root, gateway.as_ref(), around);
    if let Some(section) = &gateway {
        section.refuse_unknown();
    }
    let tempo = match root.section("tempo") {
        Some(section) => TempoConfig::read(&section, around, &mut warnings),
        None => {
            if !root.has("tempo") {
                root.missing("tempo", "write [tempo] with chain_id, recipient and currency");
            }
            None
        }
    };
    let sections = root.sections("routes");
    if sections.is_empty() && !root.has("routes") {
        root.missing("routes", "write at least one [[routes]] with path and price");
    }
    let books = root.section("billing").map(|section| BooksConfig::read(&section, around, &mut warnings));
    let routes: Vec<RouteConfig> = sections
        .iter()
        .filter_map(|section| RouteConfig::read(section, tempo.as_ref(), books.as_ref().map(Option::as_ref)))
        .collect();
    refuse_twins(&sections, &routes);
    let admin = root.section("admin").and_then(|section| AdminConfig::read(&section));
    let observe = root.section("observe").map(|section| ObserveConfig::read(&section, around));
    let (front, tempo) = (front?, tempo?);
    Some(GatewayConfig {
        listen: front.listen,
        realm: front.realm,
        upstream: upstream?,
        store: front.store,
        secret: front.secrets.current,
        previous_secrets: front.secrets.previous,
        rotation: front.secrets.rotation,
        challenge_ttl: front.challenge_ttl,
        credential_header: front.credential_header,
        // A `[tls]` that is wrong has left a fault.
        tls: tls.flatten(),
        limits,
        answers,
        tempo,
        routes,
        // A `[billing]` that is wrong has left a fault.
        books: books.flatten(),
        admin,
        observe: observe.unwrap_or_default(),
        warnings,
    })
}

/// The part of `[gateway]` that is not the upstream.
struct Front {
    listen: SocketAddr,
    realm: String,
    store: Location,
    secrets: Secrets,
    challenge_ttl: Duration,
    credential_header: CredentialHeader,
}

/// What the gateway itself speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Plain,
    Tls,
}

fn read_front(
    section: &Section<'_>,
    transport: Transport,
    around: Surroundings<'_>,
    warnings: &mut Vec<String>,
) -> Option<Front> {
    let listen = section.require("listen", "where to listen, such as \"127.0.0.1:8402\"", value::listen);
    let plaintext = section.flag("allow_plaintext").is_some_and(|field| field.value);
    if let (Some(listen), Some(field)) = (listen, section.text("listen"))
        && !listen.ip().is_loopback()
        && !plaintext
        && transport == Transport::Plain
    {
        field.fault(PLAINTEXT);
    }
    let realm = section.require(
        "realm",
        "the public host that buyers call, such as \"api.example.com\"; it is never taken from a request",
        value::realm,
    );
    let store = super::store::read(section, around, warnings);
    let challenge_ttl = section.parse("challenge_ttl", challenge_ttl).unwrap_or(Duration::from_secs(300));
    let credential_header = section.parse("credential_header", credential_header).unwrap_or_default();
    let secrets = Secrets::read(section, around, warnings);
    Some(Front {
        listen: listen?,
        realm: realm?,
        store: store?,
        secrets: secrets?,
        challenge_ttl,
        credential_header,
    })
}

fn credential_header(text: &str) -> Result<CredentialHeader, String> {
    [CredentialHeader::Authorization, CredentialHeader::PaymentAuthorization]
        .into_iter()
        .find(|header| header.name().eq_ignore_ascii_case(text))
        .ok_or_else(|| {
            format!("{text:?} cannot carry payments; write \"Authorization\" or \"Payment-Authorization\"")
        })
}

fn challenge_ttl(text: &str) -> Result<Duration, String> {
    let ttl = value::duration(text)?;
    let allowed = Duration::from_secs(15)..=Duration::from_secs(24 * 3600);
    if allowed.contains(&ttl) { Ok(ttl) } else { Err(format!("{text:?} is outside 15s to 24h")) }
}

fn read_upstream(
    root: &Section<'_>,
    gateway: Option<&Section<'_>>,
    around: Surroundings<'_>,
) -> Option<Upstream> {
    let url = gateway.and_then(|section| {
        section.require(
            "upstream",
            "the server that is behind, such as \"http://127.0.0.1:3000\"",
            value::http_url,
        )
    });
    let mut upstream = Upstream {
        url: Url::parse("http://127.0.0.1").ok()?,
        connect_timeout: Duration::from_secs(5),
        response_timeout: Duration::from_secs(60),
        idle_timeout: Duration::from_secs(60),
        max_body_bytes: 16 << 20,
        host: HostHeader::default(),
        forwarded: ForwardedTrust::default(),
        headers: Vec::new(),
    };
    if let Some(section) = root.section("upstream") {
        read_upstream_section(&section, around, &mut upstream);
        section.refuse_unknown();
    }
    upstream.url = url?;
    Some(upstream)
}

fn read_upstream_section(section: &Section<'_>, around: Surroundings<'_>, upstream: &mut Upstream) {
    for (key, wait) in [
        ("connect_timeout", &mut upstream.connect_timeout),
        ("response_timeout", &mut upstream.response_timeout),
        ("idle_timeout", &mut upstream.idle_timeout),
    ] {
        *wait = section.parse(key, timeout).unwrap_or(*wait);
    }
    if let Some(field) = section.number("max_body_bytes") {
        upstream.max_body_bytes = field.value;
    }
    if section.flag("preserve_host").is_some_and(|field| field.value) {
        upstream.host = HostHeader::Preserve;
    }
    if section.flag("trust_forwarded").is_some_and(|field| field.value) {
        upstream.forwarded = ForwardedTrust::Append;
    }
    if let Some(headers) = section.section("headers") {
        for (name, field) in headers.pairs() {
            upstream.headers.extend(header(&name, field.value).map_err(|m| field.fault(m)).ok());
        }
    }
    if let Some(headers) = section.section("headers_env") {
        for (name, field) in headers.pairs() {
            match (around.env)(field.value) {
                Some(text) => upstream.headers.extend(header(&name, &text).map_err(|m| field.fault(m)).ok()),
                None => field.fault(format!("the environment variable {} is not set", field.value)),
            }
        }
    }
}

fn timeout(text: &str) -> Result<Duration, String> {
    let timeout = value::duration(text)?;
    let allowed = Duration::from_millis(100)..=Duration::from_secs(600);
    if allowed.contains(&timeout) { Ok(timeout) } else { Err(format!("{text:?} is outside 100ms to 10m")) }
}

/// Headers that belong to one connection or to the gateway itself.
const NOT_OURS_TO_SET: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "payment-authorization",
];

pub(super) fn header(name: &str, text: &str) -> Result<(http::HeaderName, http::HeaderValue), String> {
    let name: http::HeaderName = name.parse().map_err(|_| format!("{name:?} is not a header name"))?;
    if NOT_OURS_TO_SET.contains(&name.as_str()) {
        return Err("belongs to the connection and cannot be set here".into());
    }
    // The value may be a key: it is not repeated.
    let mut value = http::HeaderValue::from_str(text)
        .map_err(|_| "is not a header value: it has control characters".to_owned())?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// Two routes for the same path and method: only one of them could ever be asked.
fn refuse_twins(sections: &[Section<'_>], routes: &[RouteConfig]) {
    if sections.len() != routes.len() {
        return;
    }
    for (index, (section, route)) in sections.iter().zip(routes).enumerate() {
        let twin = routes[..index].iter().position(|other| other.overlaps(route));
        if let Some(twin) = twin {
            section.fault(format!("has the same path and method as routes[{twin}]; keep one of them"));
        }
    }
}
