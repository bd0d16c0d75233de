#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use farthing_gate::PrivateAddresses;
use farthing_gate::server::ServerOptions;

use crate::config::GatewayConfig;

const BASE: &str = r#"
[gateway]
listen = "127.0.0.1:8402"
realm = "api.example.com"
upstream = "http://127.0.0.1:3000"
store = "farthing.db"
secret = "0123456789abcdef0123456789abcdef"
[tempo]
chain_id = 1337
recipient = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
currency = "PathUSD"
[[routes]]
path = "/a"
free = true
"#;

fn parse(more: &str) -> Result<GatewayConfig, String> {
    let text = format!("{BASE}{more}");
    GatewayConfig::parse(Path::new("gateway.toml"), &text, &|_| None).map_err(|error| error.to_string())
}

#[test]
fn every_limit_is_read() {
    let limits = parse(
        r#"
[limits]
max_connections = 1
max_connections_per_ip = 0
max_streams = 2
header_timeout = "3s"
idle_timeout = "4s"
stall_timeout = "5s"
shutdown_grace = "0s"
max_header_bytes = 8192
max_headers = 10
max_bound_body_bytes = 6
bound_bodies_bytes = 7
bound_body_pause = "8s"
bound_body_timeout = "9s"
max_verifications = 10
challenges_per_second = 0
challenges_burst = 11
verifications_per_second = 12
verifications_burst = 13
count_private_addresses = true
resolve_after = "14s"
resolve_timeout = "15s"
keep_payments = "16h"
"#,
    )
    .unwrap()
    .limits;
    let expected = ServerOptions {
        max_connections: 1,
        max_connections_per_ip: 0,
        private: PrivateAddresses::Counted,
        header_timeout_ms: 3_000,
        idle_timeout_ms: 4_000,
        stall_timeout_ms: 5_000,
        max_header_bytes: 8_192,
        max_headers: 10,
        max_streams: 2,
        shutdown_ms: 0,
        ..ServerOptions::default()
    };
    assert_eq!(limits.server, expected);
    let bodies = limits.bound_bodies;
    assert_eq!((bodies.max_bytes, bodies.budget_bytes), (6, 7));
    assert_eq!((bodies.idle_timeout_ms, bodies.timeout_ms, limits.max_verifications), (8_000, 9_000, 10));
    let (challenges, verifications) = (limits.rates.challenges, limits.rates.verifications);
    assert_eq!((challenges.per_second, challenges.burst), (0, 11));
    assert_eq!((verifications.per_second, verifications.burst), (12, 13));
    let resolver = limits.resolver;
    assert_eq!((resolver.older_than_ms, resolver.ask_timeout_ms), (14_000, 15_000));
    assert_eq!(resolver.keep_final_ms, 16 * 3_600_000);
}

#[test]
fn limits_that_make_no_sense_are_told() {
    for (line, says) in [
        ("max_connections = 0", "limits.max_connections: is 0; it has to be from 1 to 1000000"),
        ("max_header_bytes = 100", "limits.max_header_bytes: is 100; it has to be from 8192 to 1048576"),
        ("max_headers = 100000", "limits.max_headers: is 100000; it has to be from 10 to 1000"),
        ("max_streams = 0", "limits.max_streams: is 0; it has to be from 1 to 10000"),
        ("header_timeout = \"1ms\"", "limits.header_timeout: \"1ms\" is outside 100ms to 10m"),
        ("idle_timeout = 5", "limits.idle_timeout: is an integer; write a string in quotes"),
        ("keep_payments = \"1m\"", "limits.keep_payments: \"1m\" is outside 1h to 87600h"),
        ("challenges_burst = 0", "limits.challenges_burst: is 0; it has to be from 1 to 1000000"),
        ("challenges_per_second = -1", "limits.challenges_per_second: is an integer; write a whole number"),
        ("bound_bodies_bytes = 5", "limits.bound_bodies_bytes: has to be at least `max_bound_body_bytes`"),
        ("max_bound_body_bytes = 1073741824", "limits.bound_bodies_bytes: is missing: has to be at least"),
        ("max_conections = 5", "limits.max_conections: is not a key here; did you mean `max_connections`?"),
    ] {
        let told = parse(&format!("[limits]\n{line}")).unwrap_err();
        assert!(told.contains(says), "{line}: {told}");
    }
    for (section, says) in [
        ("[tls]\n", "tls.cert_file: is missing"),
        (
            "[tls]\ncert_file = \"nowhere.pem\"\nkey_file = \"nowhere.key\"",
            "tls.cert_file: cannot read nowhere.pem",
        ),
        ("[tls]\nhandshake_timeout = \"1h\"", "tls.handshake_timeout: \"1h\" is outside 100ms to 10m"),
    ] {
        let told = parse(section).unwrap_err();
        assert!(told.contains(says), "{section}: {told}");
    }
}

/// C18: TLS of its own is as good as a terminator in front.
#[test]
fn plaintext_is_refused_unless_somebody_speaks_tls() {
    let public = BASE.replace("127.0.0.1:8402", "0.0.0.0:8402");
    let parse = |text: &str| GatewayConfig::parse(Path::new("gateway.toml"), text, &|_| None);
    let told = parse(&public).unwrap_err().to_string();
    assert!(told.contains("would take payments without TLS"), "{told}");
    let told =
        parse(&format!("{public}[tls]\ncert_file = \"no\"\nkey_file = \"no\"")).unwrap_err().to_string();
    assert!(!told.contains("without TLS"), "{told}");
}
