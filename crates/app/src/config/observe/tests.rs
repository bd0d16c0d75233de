#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use crate::config::GatewayConfig;

const CANARY: &str = "farthing-canary-";
const KEY: &str = "2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6";

/// Every setting that can be secret is one.
const SECRETIVE: &str = r#"
[gateway]
listen = "127.0.0.1:8402"
realm = "api.example.com"
upstream = "http://127.0.0.1:3000"
store = "farthing.db"
secret = "farthing-canary-secret-0123456789abcdef"
previous_secret = "farthing-canary-previous-0123456789abcdef"
[upstream]
headers = { "x-key" = "farthing-canary-header" }
headers_env = { "authorization" = "HEADER" }
[tempo]
chain_id = 1337
rpc_url = "http://u:farthing-canary-password@127.0.0.1:8545/farthing-canary-path?key=farthing-canary-query"
recipient = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
currency = "PathUSD"
[tempo.sponsor]
key_env = "KEY"
budget_per_day = "1"
[admin]
listen = "127.0.0.1:9402"
[observe]
otlp_endpoint = "http://127.0.0.1:4318/farthing-canary-path"
otlp_headers_env = { "authorization" = "HEADER" }
trace_one_in = 10
[[routes]]
path = "/a"
price = "0.01"
"#;

fn environment(name: &str) -> Option<String> {
    match name {
        "HEADER" => Some(format!("{CANARY}environment")),
        "KEY" => Some(KEY.to_owned()),
        _ => None,
    }
}

fn parse(text: &str) -> Result<GatewayConfig, String> {
    GatewayConfig::parse(Path::new("gateway.toml"), text, &environment).map_err(|error| error.to_string())
}

#[track_caller]
fn assert_secret(text: &str) {
    assert!(!text.contains(CANARY) && !text.contains(KEY), "{text}");
    // Bytes in decimal, as a derived `Debug` writes them.
    let bytes = |text: &str| text.bytes().map(|b| b.to_string()).collect::<Vec<_>>().join(", ");
    assert!(!text.contains(&bytes(CANARY)), "{text}");
    let key: Vec<String> = hex::decode(KEY).unwrap().iter().map(u8::to_string).collect();
    assert!(!text.contains(&key[..8].join(", ")), "{text}");
}

#[test]
fn no_configuration_shows_a_secret() {
    let config = parse(SECRETIVE).unwrap();
    assert_secret(&format!("{config:?}"));
    let pretty = format!("{config:#?}");
    assert_secret(&pretty.lines().map(str::trim).collect::<Vec<_>>().join(" "));
    let traces = config.observe.traces.unwrap();
    assert_eq!((traces.one_in, traces.headers.len()), (10, 1));
    assert_secret(&format!("{traces:?} {:?} {:?}", config.tempo, config.upstream));
    config.warnings.iter().for_each(|warning| assert_secret(warning));
}

/// A file that is wrong at any line, in any of these ways, is told without what stands there.
#[test]
fn no_fault_shows_a_secret() {
    let lines: Vec<&str> = SECRETIVE.lines().collect();
    let mut told = 0;
    for (at, line) in lines.iter().enumerate().filter(|(_, line)| line.contains('=')) {
        let spoilt = [
            line.replacen(" = ", " ", 1),
            line.replacen('"', "", 1),
            line.replacen("= ", "= [", 1),
            line.replacen("= \"", "= \"\\u0001", 1),
            line.replacen("= \"", "= \"\\q", 1),
            line.replacen("= ", "= 7, ", 1),
            line.replacen('e', "x", 1),
            format!("{line}\n{line}"),
            format!("{line} {CANARY}"),
        ];
        for spoilt in spoilt {
            let mut text = lines.clone();
            text[at] = &spoilt;
            if let Err(error) = parse(&text.join("\n")) {
                assert_secret(&error);
                told += 1;
            }
        }
    }
    assert!(told > 100, "only {told} of these files were refused");
}

#[test]
fn the_ways_to_look_are_read_and_refused() {
    let base = SECRETIVE.split("[admin]").next().unwrap();
    let route = "[[routes]]\npath = \"/a\"\nprice = \"0.01\"\n";
    let read = |more: &str| parse(&format!("{base}{more}\n{route}"));
    let config = read("").unwrap();
    assert!(config.admin.is_none() && config.observe.traces.is_none());
    for (more, told) in [
        ("[admin]", "admin.listen: is missing"),
        ("[admin]\nlisten = \"0.0.0.0:9402\"", "admin.listen: would show"),
        ("[admin]\nlisten = \"192.168.1.1:9402\"", "allow_public"),
        ("[admin]\nlisten = \"127.0.0.1:9402\"\npath = \"/m\"", "admin.path"),
        ("[observe]\ntrace_one_in = 0", "observe.trace_one_in: has to be at least 1"),
        ("[observe]\notlp_endpoint = \"grpc://127.0.0.1:4317\"", "it is not a plain HTTP URL"),
        ("[observe]\notlp_headers_env = { \"a\" = \"NOT_SET\" }", "NOT_SET is not set"),
        ("[observe]\notlp_header_env = { }", "otlp_headers_env"),
    ] {
        let error = read(more).err().unwrap_or_else(|| panic!("{more} is taken"));
        assert!(error.contains(told), "{more}: {error}");
    }
    assert!(read("[admin]\nlisten = \"0.0.0.0:9402\"\nallow_public = true").unwrap().admin.is_some());
}
