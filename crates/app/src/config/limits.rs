//! `[limits]`: how much of everything the gateway takes, keeps and waits for.

use std::time::Duration;

use farthing_gate::server::ServerOptions;
use farthing_gate::{BoundBodyLimits, GateBuilder, PrivateAddresses, RateLimits, ResolverOptions};

use super::read::Section;
use super::value;

/// Limits of a gateway.
#[derive(Debug, Clone, Copy)]
pub struct LimitsConfig {
    /// Of connections and heads of requests.
    pub server: ServerOptions,
    /// Of bodies that payments are bound to.
    pub bound_bodies: BoundBodyLimits,
    /// Payments that are looked at at once.
    pub max_verifications: usize,
    /// How often one address may ask. Whether forwarded addresses are trusted stands in `[upstream]`.
    pub rates: RateLimits,
    /// How payments whose outcome is not known are asked about.
    pub resolver: ResolverOptions,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            server: ServerOptions::default(),
            bound_bodies: BoundBodyLimits::default(),
            max_verifications: GateBuilder::MAX_VERIFICATIONS,
            rates: RateLimits::default(),
            resolver: ResolverOptions::default(),
        }
    }
}

impl LimitsConfig {
    /// Reads `[limits]`.
    pub fn read(section: &Section<'_>) -> Self {
        let mut limits = Self::default();
        limits.read_waits(section);
        limits.read_sizes(section);
        limits.read_rates(section);
        section.refuse_unknown();
        limits
    }

    fn read_waits(&mut self, section: &Section<'_>) {
        let (server, bodies, resolver) = (&mut self.server, &mut self.bound_bodies, &mut self.resolver);
        for (key, ms, (least, most)) in [
            ("header_timeout", &mut server.header_timeout_ms, ("100ms", "10m")),
            ("idle_timeout", &mut server.idle_timeout_ms, ("100ms", "1h")),
            ("stall_timeout", &mut server.stall_timeout_ms, ("100ms", "1h")),
            ("shutdown_grace", &mut server.shutdown_ms, ("0s", "1h")),
            ("bound_body_pause", &mut bodies.idle_timeout_ms, ("100ms", "10m")),
            ("bound_body_timeout", &mut bodies.timeout_ms, ("100ms", "1h")),
            ("resolve_after", &mut resolver.older_than_ms, ("1s", "1h")),
            ("resolve_timeout", &mut resolver.ask_timeout_ms, ("1s", "10m")),
            ("keep_payments", &mut resolver.keep_final_ms, ("1h", "87600h")),
        ] {
            let read = section.parse(key, |text| within(text, least, most));
            *ms = read.map_or(*ms, |read| u64::try_from(read.as_millis()).unwrap_or(u64::MAX));
        }
    }

    fn read_sizes(&mut self, section: &Section<'_>) {
        let (server, bodies) = (&mut self.server, &mut self.bound_bodies);
        for (key, size, (least, most)) in [
            ("max_connections", &mut server.max_connections, (1, 1_000_000)),
            ("max_connections_per_ip", &mut server.max_connections_per_ip, (0, 1_000_000)),
            ("max_header_bytes", &mut server.max_header_bytes, (8_192, 1 << 20)),
            ("max_headers", &mut server.max_headers, (10, 1_000)),
            ("max_bound_body_bytes", &mut bodies.max_bytes, (1, 1 << 30)),
            ("bound_bodies_bytes", &mut bodies.budget_bytes, (1, 1 << 40)),
            ("max_verifications", &mut self.max_verifications, (1, 1 << 20)),
        ] {
            let given = number(section, key, least, most);
            *size = given.and_then(|given| usize::try_from(given).ok()).unwrap_or(*size);
        }
        let streams = number(section, "max_streams", 1, 10_000);
        server.max_streams = streams.and_then(|n| u32::try_from(n).ok()).unwrap_or(server.max_streams);
        if bodies.budget_bytes < bodies.max_bytes {
            let message =
                "has to be at least `max_bound_body_bytes`: one body of the longest kind has to fit";
            match section.number("bound_bodies_bytes") {
                Some(field) => field.fault(message),
                None => section.missing("bound_bodies_bytes", message),
            }
        }
    }

    fn read_rates(&mut self, section: &Section<'_>) {
        if section.flag("count_private_addresses").is_some_and(|field| field.value) {
            self.rates.private = PrivateAddresses::Counted;
            self.server.private = PrivateAddresses::Counted;
        }
        let rates = &mut self.rates;
        for (key, rate, least) in [
            ("challenges_per_second", &mut rates.challenges.per_second, 0),
            ("challenges_burst", &mut rates.challenges.burst, 1),
            ("verifications_per_second", &mut rates.verifications.per_second, 0),
            ("verifications_burst", &mut rates.verifications.burst, 1),
        ] {
            let given = number(section, key, least, 1_000_000);
            *rate = given.and_then(|given| u32::try_from(given).ok()).unwrap_or(*rate);
        }
    }
}

fn number(section: &Section<'_>, key: &'static str, least: u64, most: u64) -> Option<u64> {
    let field = section.number(key)?;
    if (least..=most).contains(&field.value) {
        return Some(field.value);
    }
    field.fault(format!("is {}; it has to be from {least} to {most}", field.value));
    None
}

/// A span of time from `least` to `most`, all written alike.
///
/// # Errors
/// What is wrong with it.
pub fn within(text: &str, least: &str, most: &str) -> Result<Duration, String> {
    let given = value::duration(text)?;
    let allowed = value::duration(least)?..=value::duration(most)?;
    if allowed.contains(&given) { Ok(given) } else { Err(format!("{text:?} is outside {least} to {most}")) }
}

#[cfg(test)]
mod tests;
