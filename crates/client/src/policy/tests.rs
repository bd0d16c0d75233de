#![allow(clippy::unwrap_used, reason = "tests")]

use farthing_money::{Amount, Asset, AssetKind, Money};
use farthing_protocol::ports::{FeeBearer, Quote};
use proptest::prelude::*;

use super::{HostPattern, Limit, Policy};
use crate::site::Site;

fn site(url: &str) -> Site {
    Site::of(&url.parse().unwrap()).unwrap()
}

fn token(code: &str, scale: u8, address: &str) -> Asset {
    Asset::new(code, scale, AssetKind::Token { network: "eip155:1".into(), address: address.into() }).unwrap()
}

fn quote(base: u128, asset: Asset) -> Quote {
    Quote {
        money: Money::new(Amount::from_base(base), asset),
        recipient: "0xseller".into(),
        shares: Vec::new(),
        network: "eip155:1".into(),
        payer: "0xme".into(),
        fee: FeeBearer::Payer,
        mode: "pull",
    }
}

const ADDRESS: &str = "0x20c000000000000000000000b9537d11c60e8b50";

#[test]
fn limits_are_read_or_refused() {
    let cases = [
        ("0.05", Ok("0.05 dollars")),
        ("  5 ", Ok("5 dollars")),
        ("0.05 PathUSD", Ok("0.05 pathusd")),
        ("0.05\tUSDC.e", Ok("0.05 usdc.e")),
        ("1 0x20C000000000000000000000b9537d11c60E8b50", Ok("1 0x20c000000000000000000000b9537d11c60e8b50")),
        (
            "1 eip155:4217/0x20C000000000000000000000b9537d11c60E8b50",
            Ok("1 eip155:4217/0x20c000000000000000000000b9537d11c60e8b50"),
        ),
        ("0", Ok("0 dollars")),
        ("", Err("policy_bad_limit")),
        ("$5", Err("policy_bad_limit")),
        ("-1", Err("policy_bad_limit")),
        ("1e3", Err("policy_bad_limit")),
        ("1,000", Err("policy_bad_limit")),
        (".5", Err("policy_bad_limit")),
        ("PathUSD 5", Err("policy_bad_limit")),
        ("0.0000000000000000001", Err("policy_bad_limit")),
        ("999999999999999999999999", Err("policy_bad_limit")),
        ("1 Path USD", Err("policy_bad_asset")),
        // An address with a typo is not a code.
        ("1 0x20c0", Err("policy_bad_asset")),
        ("1 0x20C000000000000000000000b9537d11c60E8b5g", Err("policy_bad_asset")),
        ("1 eip155:4217/PathUSD", Err("policy_bad_asset")),
        ("1 4217/0x20C000000000000000000000b9537d11c60E8b50", Err("policy_bad_asset")),
        ("1 ÜSD", Err("policy_bad_asset")),
        ("1 A23456789012345678901234567890123", Err("policy_bad_asset")),
    ];
    for (input, expected) in cases {
        let got = Limit::parse(input);
        let got = got.as_ref().map(ToString::to_string).map_err(super::PolicyError::code);
        assert_eq!(got.as_deref().map_err(|code| *code), expected, "{input:?}");
    }
}

#[test]
fn hosts_match_exactly_or_below_a_domain() {
    let cases = [
        ("api.example.com", "https://api.example.com/x", true),
        ("API.Example.COM", "https://api.example.com/x", true),
        ("api.example.com", "https://API.example.com./", true),
        ("api.example.com", "https://api.example.com:8443/", true),
        ("api.example.com:443", "https://api.example.com/", true),
        ("api.example.com:443", "https://api.example.com:8443/", false),
        ("api.example.com:80", "https://api.example.com/", false),
        ("api.example.com", "https://example.com/", false),
        ("api.example.com", "https://xapi.example.com/", false),
        ("api.example.com", "https://api.example.com.evil.test/", false),
        ("*.example.com", "https://a.example.com/", true),
        ("*.example.com", "https://a.b.example.com/", true),
        ("*.example.com", "https://example.com/", false),
        ("*.example.com", "https://badexample.com/", false),
        ("*.example.com:8080", "http://a.example.com:8080/", true),
        ("127.0.0.1", "http://127.0.0.1:99/", true),
        ("127.0.0.1", "http://127.1:99/", true),
        ("[::1]", "http://[::1]:99/", true),
        ("[::1]:99", "http://[0:0::1]:99/", true),
        ("bücher.example", "https://xn--bcher-kva.example/", true),
        ("*.bücher.example", "https://a.xn--bcher-kva.example/", true),
    ];
    for (pattern, url, expected) in cases {
        assert_eq!(HostPattern::parse(pattern).unwrap().matches(&site(url)), expected, "{pattern} {url}");
    }
    for bad in [
        "",
        "*",
        "*.",
        "*.*.com",
        "a b",
        "https://a",
        "a/b",
        "user@a",
        "a:",
        "a:x",
        "a:99999",
        "*.127.0.0.1",
        "*.[::1]",
    ] {
        assert_eq!(HostPattern::parse(bad).unwrap_err().code(), "policy_bad_host", "{bad:?}");
    }
}

#[test]
fn realms_name_a_site_by_its_host() {
    let cases = [
        ("https://api.example.com/", "api.example.com", true),
        ("https://api.example.com/", "API.example.com", true),
        ("https://api.example.com/", "api.example.com:443", true),
        ("https://api.example.com/", "api.example.com:80", false),
        ("https://api.example.com/", "api.example.com:0443", false),
        ("https://api.example.com:8443/", "api.example.com", true),
        ("https://api.example.com/", "example.com", false),
        ("https://api.example.com/", "https://api.example.com", false),
        ("https://api.example.com/", "", false),
        ("http://[::1]:80/", "[::1]", true),
        ("http://[::1]:80/", "::1", true),
        ("http://[::1]:80/", "[::1]:80", true),
    ];
    for (url, realm, expected) in cases {
        assert_eq!(site(url).is_named_by(realm), expected, "{url} {realm}");
    }
}

#[test]
fn only_tls_and_this_machine_are_confidential() {
    // C18.
    let cases = [
        ("https://example.com/", true),
        ("http://example.com/", false),
        ("http://localhost/", true),
        ("http://localhost./", true),
        ("http://a.localhost/", false),
        ("http://127.9.9.9/", true),
        ("http://[::1]/", true),
        ("http://localhost.example.com/", false),
        ("http://notlocalhost/", false),
        ("http://10.0.0.1/", false),
        ("http://0.0.0.0/", false),
    ];
    for (url, expected) in cases {
        assert_eq!(site(url).is_confidential(), expected, "{url}");
    }
}

#[test]
fn a_limit_covers_what_it_names_and_nothing_else() {
    let dollar = token("USDC.e", 6, ADDRESS);
    let look_alike = token("USDC.e", 6, "0x00000000000000000000000000000000000000ff");
    let fiat = Asset::new("USD", 2, AssetKind::Fiat).unwrap();
    let fake_fiat = Asset::new("USD", 2, AssetKind::Custom).unwrap();
    let cases = [
        ("1", &dollar, true),
        ("1", &look_alike, false),
        ("1", &fiat, true),
        ("1", &fake_fiat, false),
        ("1 usdc.E", &dollar, true),
        ("1 USDC", &dollar, false),
        ("1 0x20C000000000000000000000b9537d11c60E8b50", &dollar, true),
        ("1 eip155:1/0x20C000000000000000000000b9537d11c60E8b50", &dollar, true),
        ("1 eip155:2/0x20C000000000000000000000b9537d11c60E8b50", &dollar, false),
        ("1 0x20C000000000000000000000b9537d11c60E8b50", &look_alike, false),
    ];
    for (limit, asset, covered) in cases {
        let policy = Policy::builder().dollar_token("eip155:1", ADDRESS).max_total(limit).unwrap().build();
        let judged = policy.judge(&site("https://a.test/"), &quote(1, asset.clone()));
        assert_eq!(judged.map_err(|refusal| refusal.code).is_ok(), covered, "{limit} {asset:?}");
    }
}

#[test]
fn of_two_limits_on_one_counter_the_tighter_one_counts_once() {
    let policy =
        Policy::builder().max_total("3 X").unwrap().max_total("1 x").unwrap().max_total("2 X").unwrap();
    let policy = policy.max_per_host("5 X").unwrap().max_per_call("9 X").unwrap().build();
    let draws = policy.judge(&site("https://a.test:8443/"), &quote(7, token("X", 0, ADDRESS))).unwrap();
    let drawn: Vec<(&str, String)> =
        draws.iter().map(|draw| (draw.counter.as_str(), draw.limit.to_decimal(super::UNITS_SCALE))).collect();
    assert_eq!(drawn, [("total x", "1".to_owned()), ("host a.test total x", "5".to_owned())]);
}

#[test]
fn amounts_are_compared_whatever_the_scale_and_never_in_favour_of_the_seller() {
    // Limit, base units, scale, whether one call may cost that.
    let cases = [
        ("0.05", 50_000, 6, true),
        ("0.05", 50_001, 6, false),
        ("0.05", 50_000_000_000_000_000, 18, true),
        ("0.05", 50_000_000_000_000_001, 18, false),
        ("0.05", 5, 2, true),
        ("0.05", 6, 2, false),
        ("1", 1, 0, true),
        ("1", 2, 0, false),
        // Past 18 decimals: rounded up.
        ("0.000000000000000001", 1_000, 21, true),
        ("0.000000000000000001", 1_001, 21, false),
        ("0.000000000000000001", 1, 30, true),
    ];
    for (limit, base, scale, fits) in cases {
        let policy = Policy::builder().max_per_call(&format!("{limit} X")).unwrap().build();
        let judged = policy.judge(&site("https://a.test/"), &quote(base, token("X", scale, ADDRESS)));
        assert_eq!(
            judged.map(|_| true).unwrap_or_else(|refusal| refusal.code != "over_call_limit"),
            fits,
            "{limit} {base} {scale}"
        );
    }
}

proptest! {
    #[test]
    fn a_limit_is_never_exceeded(limit in 0_u64..2_000_000, base in 0_u128..2_000_000, scale in 0_u8..=30) {
        let limit_text = Amount::from_base(limit.into()).to_decimal(6);
        let policy = Policy::builder().max_per_call(&format!("{limit_text} X")).unwrap().build();
        let judged = policy.judge(&site("https://a.test/"), &quote(base, token("X", scale, ADDRESS)));
        // base / 10^scale <= limit / 10^6, without division.
        let fits = base * 10_u128.pow(6) <= u128::from(limit) * 10_u128.pow(u32::from(scale));
        prop_assert_eq!(judged.is_ok(), fits || base == 0);
    }

    #[test]
    fn parsers_never_panic(text in ".{0,80}") {
        let _ = Limit::parse(&text);
        let _ = HostPattern::parse(&text);
    }
}
