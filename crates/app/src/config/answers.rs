//! `[answers]`: what becomes of the answers of paid calls, and of calls that were not served.

use farthing_gate::{AnswerOptions, GateBuilder, ResolverOptions};

use super::limits::within;
use super::read::Section;

/// How paid calls are delivered.
#[derive(Debug, Clone, Copy)]
pub struct AnswersConfig {
    /// How answers are kept.
    pub options: AnswerOptions,
    /// How long a call may go without a sign of life before another process may serve it, in milliseconds.
    pub lease_ms: u64,
    /// How long a payment that is to be given back waits for its payer, in milliseconds.
    pub refund_after_ms: u64,
}

impl Default for AnswersConfig {
    fn default() -> Self {
        Self {
            options: AnswerOptions::default(),
            lease_ms: GateBuilder::LEASE_MS,
            refund_after_ms: ResolverOptions::default().refund_after_ms,
        }
    }
}

impl AnswersConfig {
    /// Reads `[answers]`.
    pub fn read(section: &Section<'_>) -> Self {
        let mut answers = Self::default();
        let options = &mut answers.options;
        for (key, ms, (least, most)) in [
            ("finish_timeout", &mut options.finish_ms, ("100ms", "1h")),
            ("hold", &mut options.hold_ms, ("0s", "10m")),
            ("lease", &mut answers.lease_ms, ("1s", "1h")),
            ("refund_after", &mut answers.refund_after_ms, ("0s", "720h")),
        ] {
            let read = section.parse(key, |text| within(text, least, most));
            *ms = read.map_or(*ms, |read| u64::try_from(read.as_millis()).unwrap_or(u64::MAX));
        }
        for (key, bytes, most) in [
            ("max_bytes", &mut options.max_bytes, 64 << 20),
            ("budget_bytes", &mut options.budget_bytes, 1 << 40),
        ] {
            let given = number(section, key, most).and_then(|given| usize::try_from(given).ok());
            *bytes = given.unwrap_or(*bytes);
        }
        let given = number(section, "redeliveries", 1_000).and_then(|given| u32::try_from(given).ok());
        options.redeliveries = given.unwrap_or(options.redeliveries);
        if options.budget_bytes < options.max_bytes {
            let message = "has to be at least `max_bytes`: one answer of the longest kind has to fit";
            match section.number("budget_bytes") {
                Some(field) => field.fault(message),
                None => section.missing("budget_bytes", message),
            }
        }
        section.refuse_unknown();
        answers
    }
}

fn number(section: &Section<'_>, key: &'static str, most: u64) -> Option<u64> {
    let field = section.number(key)?;
    if field.value > most {
        field.fault(format!("is {}; {most} is the most", field.value));
        return None;
    }
    Some(field.value)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::path::Path;

    use farthing_protocol::flow::gate::SettleOrder;
    use farthing_protocol::ports::Amends;

    use crate::config::GatewayConfig;
    use crate::config::route::RouteTerms;

    /// A gateway with these lines in its route, and these behind it.
    fn parse(route: &str, more: &str) -> Result<GatewayConfig, String> {
        let text = format!(
            "[gateway]\nlisten = \"127.0.0.1:8402\"\nrealm = \"a.example\"\nupstream = \"http://127.0.0.1:3000\"\n\
             store = \"f.db\"\nsecret_env = \"SECRET\"\n[tempo]\nchain_id = 1337\n\
             recipient = \"0x70997970C51812dc3A010C7d01b50e0d17dc79C8\"\ncurrency = \"PathUSD\"\n\
             [[routes]]\npath = \"/a\"\n{route}\n{more}"
        );
        let env = |name: &str| match name {
            "SECRET" => Some("0123456789abcdef0123456789abcdef".to_owned()),
            "KEY" => Some("1".repeat(64)),
            _ => None,
        };
        GatewayConfig::parse(Path::new("gateway.toml"), &text, &env).map_err(|error| error.to_string())
    }

    #[test]
    fn promises_are_read() {
        let refunds = "[tempo.refunds]\nkey_env = \"KEY\"\nbudget_per_day = \"20\"";
        let answers = "[answers]\nmax_bytes = 1000\nbudget_bytes = 5000\nredeliveries = 0\nfinish_timeout = \"5s\"\n\
            hold = \"0s\"\nlease = \"20s\"\nrefund_after = \"2m\"";
        let route = "price = \"0.01\"\nsettle = \"after\"\non_failure = \"refund\"";
        let config = parse(route, &format!("{refunds}\n{answers}")).unwrap();
        let RouteTerms::Priced(priced) = &config.routes[0].terms else { panic!("it has a price") };
        assert_eq!((priced.settle, priced.on_failure), (SettleOrder::After, Amends::Refund));
        let options = config.answers.options;
        assert_eq!((options.max_bytes, options.budget_bytes, options.redeliveries), (1_000, 5_000, 0));
        assert_eq!((options.finish_ms, options.hold_ms), (5_000, 0));
        assert_eq!((config.answers.lease_ms, config.limits.resolver.refund_after_ms), (20_000, 120_000));
        let plain = parse("price = \"0.01\"", "").unwrap();
        let RouteTerms::Priced(priced) = &plain.routes[0].terms else { panic!("it has a price") };
        assert_eq!((priced.settle, priced.on_failure), (SettleOrder::Before, Amends::Credit));
        assert_eq!((plain.answers.lease_ms, plain.answers.options.max_bytes), (15_000, 262_144));
    }

    #[test]
    fn senseless_promises_are_refused() {
        for (route, more, said) in [
            ("price = \"1\"\nsettle = \"later\"", "", "routes[0].settle: \"later\" is neither"),
            (
                "price = \"1\"\nsettle = \"after\"\nmodes = [\"push\"]",
                "",
                "routes[0].settle: does not go with modes",
            ),
            ("price = \"1\"\non_failure = \"shrug\"", "", "routes[0].on_failure: \"shrug\" is neither"),
            ("price = \"1\"\non_failure = \"refund\"", "", "write [tempo.refunds]"),
            ("price = \"0\"\non_failure = \"refund\"", "", "there is nothing to give back"),
            ("free = true\nsettle = \"after\"", "", "is free and has terms of payment"),
            ("price = \"1\"", "[answers]\nmax_bytes = 100000000", "67108864 is the most"),
            ("price = \"1\"", "[answers]\nbudget_bytes = 1", "has to be at least `max_bytes`"),
            ("price = \"1\"", "[answers]\nlease = \"10ms\"", "outside 1s to 1h"),
            ("price = \"1\"", "[answers]\nkeep = \"1h\"", "answers.keep"),
        ] {
            let fault = parse(route, more).unwrap_err();
            assert!(fault.contains(said), "{route} {more}: {fault}");
        }
    }
}
