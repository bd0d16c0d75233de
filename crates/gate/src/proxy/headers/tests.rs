#![allow(clippy::unwrap_used, reason = "tests")]

use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::{to_client, to_upstream};
use crate::proxy::{Caller, ForwardedTrust, HostHeader, InjectedHeader, ProxyOptions};

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    map
}

fn options() -> ProxyOptions {
    ProxyOptions::new("http://up.internal:81/base".parse().unwrap())
}

fn forwarded(options: &ProxyOptions, lines: &[(&str, &str)]) -> HeaderMap {
    let mut map = headers(lines);
    let caller = Caller::new("203.0.113.9:4000".parse().unwrap());
    to_upstream(&mut map, options, &"up.internal:81".parse().unwrap(), Some(&caller));
    map
}

/// RFC 9110, section 7.6.1, and what would buy another route than the one that was priced.
#[test]
fn hostile_headers_do_not_pass() {
    for (name, value) in [
        ("connection", "close"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("proxy-authorization", "Basic eA=="),
        ("transfer-encoding", "chunked"),
        ("content-length", "7"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAMAAABkAAQAoAAAAAIAAAAA"),
        ("expect", "100-continue"),
        ("te", "gzip"),
        ("authorization", "Payment e30"),
        ("payment-authorization", "Payment e30"),
        ("payment-receipt", "x"),
        ("payment-session", "x"),
        ("accept-payment", "tempo"),
        ("x-http-method-override", "DELETE"),
        ("x-http-method", "DELETE"),
        ("x-method-override", "DELETE"),
        ("x-original-url", "/paid"),
        ("x-rewrite-url", "/paid"),
        ("x-original-uri", "/paid"),
        ("x-original-host", "other"),
        ("x-forwarded-prefix", "/paid"),
        ("x-forwarded-server", "x"),
        ("x-forwarded-port", "1"),
        ("x-real-ip", "10.0.0.1"),
        ("x-client-ip", "10.0.0.1"),
        ("x-host", "other"),
        ("x_forwarded_for", "10.0.0.1"),
        ("payment_authorization", "x"),
    ] {
        let map = forwarded(&options(), &[("host", "public.example"), (name, value)]);
        assert!(!map.contains_key(name), "{name}");
    }
    let map = forwarded(
        &options(),
        &[("connection", "x-hop, X-Other , host"), ("x-hop", "1"), ("x-other", "1"), ("host", "h")],
    );
    assert!(!map.contains_key("x-hop") && !map.contains_key("x-other"));
    assert_eq!(map["host"], "up.internal:81");
}

#[test]
fn what_is_about_the_request_passes() {
    for (name, value) in [
        ("accept", "text/html"),
        ("authorization", "Bearer abc"),
        ("cookie", "a=b"),
        ("range", "bytes=0-1"),
        ("if-none-match", "\"x\""),
        ("idempotency-key", "7"),
        ("te", "trailers"),
        ("x-api-version", "2"),
        ("x-request-id", "7"),
        ("if-match", "\"x\""),
        ("via", "1.1 a"),
    ] {
        let map = forwarded(&options(), &[("host", "public.example"), (name, value)]);
        assert_eq!(map[name], value);
    }
    let map = forwarded(&options(), &[("te", "gzip;q=1, Trailers")]);
    assert_eq!(
        (&map["te"], &map["connection"]),
        (&HeaderValue::from_static("trailers"), &HeaderValue::from_static("te"))
    );
}

#[test]
fn the_origin_is_ours_to_say() {
    let lines = [
        ("host", "public.example"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-forwarded-proto", "gopher"),
        ("x-forwarded-host", "evil"),
        ("forwarded", "for=10.0.0.1"),
    ];
    let replaced = forwarded(&options(), &lines);
    assert_eq!(replaced["x-forwarded-for"], "203.0.113.9");
    assert_eq!(replaced["x-forwarded-proto"], "https");
    assert_eq!(replaced["x-forwarded-host"], "public.example");
    assert_eq!(replaced["forwarded"], "for=203.0.113.9;host=\"public.example\";proto=https");
    let mut trusting = options();
    (trusting.forwarded, trusting.host) = (ForwardedTrust::Append, HostHeader::Preserve);
    let appended = forwarded(&trusting, &lines);
    assert_eq!(appended["x-forwarded-for"], "10.0.0.1, 203.0.113.9");
    assert_eq!(appended["x-forwarded-proto"], "gopher");
    assert_eq!(appended["forwarded"], "for=10.0.0.1, for=203.0.113.9;host=\"public.example\";proto=https");
    assert_eq!(appended["host"], "public.example");
}

#[test]
fn who_the_client_is_passes_where_a_proxy_in_front_is_trusted() {
    let lines = [
        ("host", "h"),
        ("x-real-ip", "10.0.0.1"),
        ("x-forwarded-client-cert", "By=x"),
        ("remote-user", "root"),
        ("x-original-url", "/paid"),
        ("x_real_ip", "10.0.0.1"),
    ];
    let mut trusting = options();
    trusting.forwarded = ForwardedTrust::Append;
    let (untrusted, trusted) = (forwarded(&options(), &lines), forwarded(&trusting, &lines));
    for name in ["x-real-ip", "x-forwarded-client-cert", "remote-user"] {
        assert!(!untrusted.contains_key(name) && trusted.contains_key(name), "{name}");
    }
    // What moves a request elsewhere is never anybody's to say.
    assert!(!trusted.contains_key("x-original-url") && !trusted.contains_key("x_real_ip"));
}

/// C19: an injected key replaces the client's, and shows nowhere.
#[test]
fn injected_headers_are_secret() {
    let mut with_key = options();
    let value = HeaderValue::from_static("Bearer canary");
    with_key.inject.push(InjectedHeader::new(http::header::AUTHORIZATION, value));
    let map = forwarded(&with_key, &[("host", "h"), ("authorization", "Bearer mine")]);
    assert_eq!(map.get_all("authorization").iter().collect::<Vec<_>>(), ["Bearer canary"]);
    assert!(!format!("{with_key:?} {map:?}").contains("canary"));
}

#[test]
fn answers_are_scrubbed() {
    let mut map = headers(&[
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("transfer-encoding", "chunked"),
        ("payment-receipt", "forged"),
        ("alt-svc", "h3=\":443\""),
        ("content-length", "7"),
        ("set-cookie", "a=b"),
        ("trailer", "x-sum"),
    ]);
    to_client(&mut map);
    let mut names: Vec<&str> = map.keys().map(HeaderName::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "set-cookie", "trailer"]);
}
