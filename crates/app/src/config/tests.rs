//! Every mistake in a configuration file is told with its line, its key and what would be right.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use super::GatewayConfig;
use super::route::{Fees, RouteTerms};
use super::tempo::Modes;

/// 14 lines; a test replaces one of them, or adds more.
const BASE: [&str; 14] = [
    "[gateway]",
    r#"listen = "127.0.0.1:8402""#,
    r#"realm = "api.example.com""#,
    r#"upstream = "http://127.0.0.1:3000""#,
    r#"store = "farthing.db""#,
    r#"secret_env = "SECRET""#,
    "[tempo]",
    "chain_id = 1337",
    r#"recipient = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8""#,
    r#"currency = "PathUSD""#,
    "[[routes]]",
    r#"path = "/a""#,
    r#"methods = ["GET"]"#,
    r#"price = "0.01""#,
];

fn environment(name: &str) -> Option<String> {
    match name {
        "SECRET" => Some("0123456789abcdef0123456789abcdef".into()),
        "SHORT" => Some("short".into()),
        "KEY" => Some("1".repeat(64)),
        _ => None,
    }
}

fn parse(text: &str) -> Result<GatewayConfig, String> {
    GatewayConfig::parse(Path::new("gateway.toml"), text, &environment).map_err(|error| error.to_string())
}

/// The base with line `number` (from 1) replaced.
fn with(number: usize, line: &str) -> String {
    let mut lines = BASE;
    lines[number - 1] = line;
    lines.join("\n")
}

/// The base with `more` after it.
fn plus(more: &str) -> String {
    format!("{}\n{more}", BASE.join("\n"))
}

#[cfg(unix)]
#[test]
fn a_file_that_others_can_read_gives_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("password");
    std::fs::write(&path, "correct horse").unwrap();
    std::fs::write(directory.path().join("key"), "{}").unwrap();
    let sponsor =
        plus("[tempo.sponsor]\nkeystore = \"key\"\npassword_file = \"password\"\nbudget_per_day = \"1\"");
    for (mode, warnings) in [(0o600, 0), (0o644, 1), (0o640, 1)] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let file = directory.path().join("gateway.toml");
        let config = GatewayConfig::parse(&file, &sponsor, &environment).unwrap();
        assert_eq!(config.warnings.len(), warnings, "{mode:o}: {:?}", config.warnings);
        assert!(
            config.warnings.iter().all(|w| w.contains("password; run: chmod 600")),
            "{:?}",
            config.warnings
        );
    }
}

#[test]
fn a_good_file_is_read_as_it_is_meant() {
    let config = parse(&plus(
        "sponsored = true\nbind_body = true\nmodes = [\"pull\"]\n\
         splits = [{ recipient = \"0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC\", amount = \"0.002\" }]\n\
         [[routes]]\npath = \"/free\"\nfree = true\n\
         [tempo.sponsor]\nkey_env = \"KEY\"\nbudget_per_day = \"5.00\"\n\
         [tempo.refunds]\nkey_env = \"KEY\"\nbudget_per_day = \"20.00\"",
    ))
    .unwrap();
    assert_eq!(config.tempo.rpc_url.as_str(), "http://127.0.0.1:8545/");
    assert_eq!(config.tempo.currency.asset.code(), "PathUSD");
    assert_eq!(config.tempo.sponsor.unwrap().budget_per_day.base(), 5_000_000);
    assert_eq!(config.tempo.refunds.unwrap().budget_per_day.base(), 20_000_000);
    assert_eq!(config.challenge_ttl.as_secs(), 300);
    let RouteTerms::Priced(priced) = &config.routes[0].terms else { panic!("routes[0] has a price") };
    assert_eq!((priced.amount.base(), priced.fees, priced.modes), (10_000, Fees::Sponsored, Modes::Pull));
    assert_eq!(priced.splits[0].amount.base(), 2_000);
    assert!(matches!(config.routes[1].terms, RouteTerms::Free));
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn each_mistake_is_told_with_line_key_and_remedy() {
    let cases = [
        (with(2, ""), "1: gateway.listen: is missing: where to listen, such as \"127.0.0.1:8402\""),
        (with(2, "listen = 8402"), "2: gateway.listen: is an integer; write a string in quotes"),
        (
            with(2, r#"listen = "8402""#),
            "2: gateway.listen: \"8402\" is not an address to listen on; write IP:PORT, such as \"127.0.0.1:8402\"",
        ),
        (
            with(2, r#"listen = "0.0.0.0:80""#),
            "2: gateway.listen: would take payments without TLS on an address that others reach; write [tls], \
             listen on 127.0.0.1 behind a TLS terminator, or write allow_plaintext = true if one stands in front",
        ),
        (
            with(3, r#"realm = "https://api.example.com""#),
            "3: gateway.realm: \"https://api.example.com\" is a URL; write the public host only, such as \
             \"api.example.com\"",
        ),
        (
            with(4, r#"upstream = "127.0.0.1:3000""#),
            "4: gateway.upstream: \"127.0.0.1:3000\" is not a URL (relative URL without a base); write http://HOST or \
             https://HOST",
        ),
        (
            with(6, r#"secret_env = "NONE""#),
            "6: gateway.secret_env: the environment variable NONE is not set",
        ),
        (
            with(6, r#"secret_env = "SHORT""#),
            "6: gateway.secret_env: the secret has 5 bytes; it needs at least 32: openssl rand -hex 32 > secret.txt",
        ),
        (
            with(6, ""),
            "1: gateway.secret_file: is missing: what binds challenges to this gateway, at least 32 bytes; make one \
             with: openssl rand -hex 32 > secret.txt",
        ),
        (
            with(6, r#"secret_file = "no-such-file""#),
            "6: gateway.secret_file: cannot read no-such-file: there is no such file or directory",
        ),
        (
            with(8, "chain_id = \"1337\""),
            "8: tempo.chain_id: is a string; write a whole number, without quotes",
        ),
        (
            with(8, "chain_id = 99"),
            "7: tempo.rpc_url: is missing: this chain has no public RPC port that is known here; write its URL",
        ),
        (
            with(9, r#"recipient = "0x70997970C51812dc3A010C7d01b50e0d17dc79C9""#),
            "9: tempo.recipient: 0x70997970C51812dc3A010C7d01b50e0d17dc79C9 has a wrong checksum, so a digit is \
             probably mistyped; copy it again, or write it in lower case if you are sure",
        ),
        (
            with(9, r#"recipient = "0x0000000000000000000000000000000000000000""#),
            "9: tempo.recipient: is the zero address, from which money never returns",
        ),
        (
            with(10, r#"currency = "EUR""#),
            "10: tempo.currency: \"EUR\" is not a token that is known on local sandbox (1337); write its address, or \
             one of PathUSD, AlphaUSD, BetaUSD, ThetaUSD",
        ),
        (
            with(12, r#"path = "a""#),
            "12: routes[0].path: \"a\" is not a path pattern: the path does not start with `/`",
        ),
        (
            with(6, "secret_env = \"SECRET\"\ncredential_header = \"X-Pay\""),
            "7: gateway.credential_header: \"X-Pay\" cannot carry payments; write \"Authorization\" or \
             \"Payment-Authorization\"",
        ),
        (
            with(12, r#"path = "/a/{*rest}/b""#),
            "12: routes[0].path: \"/a/{*rest}/b\" is not a path pattern: `{*\u{2026}}` may only stand at the end",
        ),
        (
            with(12, r#"path = "/healthz""#),
            "12: routes[0].path: the gateway itself answers /healthz; give the API's own another path",
        ),
        (
            with(13, r#"methods = ["HEAD"]"#),
            "13: routes[0].methods[0]: goes with GET and costs the same; leave it out",
        ),
        (
            with(13, r#"methods = ["get"]"#),
            "13: routes[0].methods[0]: \"get\" is not an HTTP method; write GET, POST, \u{2026}",
        ),
        (
            with(13, r#"methods = "GET""#),
            "13: routes[0].methods: is a string; write a list of strings, such as [\"a\", \"b\"]",
        ),
        (
            with(14, r#"price = "0.0000001""#),
            "14: routes[0].price: `0.0000001` has more than 6 decimals, the most that this asset has",
        ),
        (
            with(14, r#"price = "-1""#),
            "14: routes[0].price: `-1` is not an amount: write digits with at most one decimal point, such as 0.01",
        ),
        (with(14, "price = 0.01"), "14: routes[0].price: is a float; write a string in quotes"),
        (with(14, ""), "11: routes[0].price: is missing: write price = \"0.01\", or free = true"),
        (plus("free = true"), "15: routes[0].free: is true on a route that has a price; keep one of them"),
        (plus("prise = \"1\""), "15: routes[0].prise: is not a key here; did you mean `price`?"),
        (
            plus("sponsored = true"),
            "15: routes[0].sponsored: needs an account that pays the fees: write [tempo.sponsor]",
        ),
        (
            plus("modes = [\"pul\"]"),
            "15: routes[0].modes[0]: \"pul\" is not a mode; there are \"pull\" and \"push\"",
        ),
        (
            plus(
                "splits = [{ recipient = \"0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC\", amount = \"0.01\" }]",
            ),
            "11: routes[0]: its splits come to 0.01, and something of the price of 0.01 has to be left for the recipient",
        ),
        (
            plus(
                "modes = [\"push\"]\nsponsored = true\n[tempo.sponsor]\nkey_env = \"KEY\"\nbudget_per_day = \"1\"",
            ),
            "16: routes[0].sponsored: does not go with modes = [\"push\"]: a buyer who broadcasts has paid the fee already",
        ),
        (
            plus("splits = [{ recipient = \"0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC\", amount = \"0\" }]"),
            "15: routes[0].splits[0].amount: is nothing; a split is more than 0",
        ),
        (
            plus("[[routes]]\npath = \"/b\"\nfree = true\nsponsored = true"),
            "15: routes[1]: is free and has terms of payment; remove them, or write a price instead of free = true",
        ),
        (
            plus("[[routes]]\npath = \"/a\"\nprice = \"1\""),
            "15: routes[1]: has the same path and method as routes[0]; keep one of them",
        ),
        (
            plus("[tempo.sponsor]\nkey_env = \"KEY\""),
            "15: tempo.sponsor.budget_per_day: is missing: the most that fees may cost a day, such as \"5.00\"",
        ),
        (
            plus("[tempo.sponsor]\nkey_env = \"SHORT\"\nbudget_per_day = \"1\""),
            "16: tempo.sponsor.key_env: what it names is not a key: a private key is 64 hexadecimal digits, with or \
             without 0x",
        ),
        (
            plus("[tempo.refunds]\nkey_env = \"KEY\""),
            "15: tempo.refunds.budget_per_day: is missing: the most that may be given back a day, such as \"20.00\"",
        ),
        (
            plus("[tempo.refunds]\nbudget_per_day = \"1\""),
            "15: tempo.refunds.keystore: is missing: the key of the account that gives back: `keystore` and \
             `password_file`, `key_file`, or `key_env`",
        ),
        (
            plus("[tempo.refunds]\nkey_env = \"KEY\"\nbudget_per_day = \"0\""),
            "17: tempo.refunds.budget_per_day: is nothing, so nothing could be given back",
        ),
        (
            plus("[tempo.refunds]\nkey_env = \"KEY\"\nbudget_per_day = \"1\"\nevery = 1"),
            "18: tempo.refunds.every: is not a key here; there are: budget_per_day, key_env, key_file, keystore, \
             password_file",
        ),
        (
            plus("[upstream]\nconnect_timeout = \"5\""),
            "16: upstream.connect_timeout: \"5\" is not a duration; write a number and ms, s, m or h, such as \"30s\" \
             or \"5m\"",
        ),
        (
            plus("[upstream.headers]\nHost = \"x\""),
            "16: upstream.headers.Host: belongs to the connection and cannot be set here",
        ),
    ];
    for (text, expected) in cases {
        let error = parse(&text).expect_err(expected);
        assert_eq!(error, format!("gateway.toml:{expected}"), "{text}");
    }
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_lines() {
    let text = BASE.join("\n").replace("127.0.0.1:8402", "x").replace("0.01", "x").replace("PathUSD", "x");
    let error = parse(&text).unwrap_err();
    let keys: Vec<&str> = error.lines().filter_map(|line| line.split(": ").nth(1)).collect();
    assert_eq!(keys, ["gateway.listen", "tempo.currency", "routes[0].price"], "{error}");
}

#[test]
fn a_file_that_is_not_toml_is_told_with_its_line() {
    let error = parse("[gateway]\nlisten = \nrealm = \"a\"\n").unwrap_err();
    assert!(error.starts_with("gateway.toml:2: "), "{error}");
}

#[test]
fn an_empty_file_says_what_belongs_into_it() {
    let error = parse("").unwrap_err();
    for key in ["gateway", "tempo", "routes"] {
        assert!(error.contains(&format!("gateway.toml:1: {key}: is missing: write ")), "{error}");
    }
}

#[test]
fn a_secret_in_the_file_is_allowed_with_a_warning_and_never_shown() {
    let text = with(6, r#"secret = "0123456789abcdef0123456789abcdef""#);
    let config = parse(&text).unwrap();
    assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
    assert!(!format!("{config:?}").contains("0123456789abcdef"), "C20");
}

#[test]
fn the_example_is_right() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("secret.txt"), "0".repeat(64)).unwrap();
    let file = directory.path().join("gateway.toml");
    let text = include_str!("../help/gateway.toml");
    let config = GatewayConfig::parse(&file, text, &|_| None).map_err(|e| e.to_string());
    assert_eq!(config.unwrap().routes.len(), 4);
}
