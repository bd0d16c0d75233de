//! What the proxy does not do, and how it says so.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::world::{Started, World, curl, world};
use crate::network::SELLER;
use crate::server::Answer;

#[test]
fn a_payment_that_policy_refuses_leaves_the_sellers_402_and_says_why() {
    let world = world(|_| Answer::new(200, "good"));
    let before = world.network.balance(SELLER);
    // Arguments, path, code.
    let cases: &[(&[&str], &str, &str)] = &[
        (&[], "/dear", "over_"),
        (
            &["--allow-recipient", "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC"],
            "/paid",
            "recipient_not_allowed",
        ),
        (&["--max-spend", "1 OUSD"], "/paid", "asset_without_limit"),
    ];
    for (args, path, code) in cases {
        let proxy = world.proxy(&[&["--allow-host", "localhost"], *args].concat());
        for version in ["--http1.1", "--http2"] {
            let run = curl(&proxy, &[version, "-i", &world.url(path)]);
            assert!(run.stdout.contains(" 402"), "{args:?}: {run:?}");
            assert!(run.stdout.contains("www-authenticate: Payment "), "C1, {args:?}: {run:?}");
            assert!(run.stdout.contains(&format!("farthing-refused: {code}")), "{args:?}: {run:?}");
            assert!(run.stdout.contains("paymentauth.org/problems/"), "the seller's body: {run:?}");
        }
        let told = proxy.told();
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0]["code"].as_str().unwrap().starts_with(code), "{told:?}");
        assert_eq!(told[0]["may_have_paid"], false);
    }
    assert_eq!(world.network.balance(SELLER), before);
    assert_eq!(world.network.api.asked().len(), 0);
}

#[test]
fn a_server_with_a_bad_certificate_gets_nothing() {
    let world = world(|_| Answer::new(200, "good"));
    // The proxy is not told of the authority that made the server's certificate.
    let unknown = Started::new(&world.network, &["--allow-host", "localhost"]);
    for version in ["--http1.1", "--http2"] {
        let run = curl(&unknown, &[version, "-i", &world.url("/paid")]);
        assert!(run.stdout.contains(" 502") && run.stdout.contains("application/problem+json"), "{run:?}");
        assert!(run.stdout.contains("\"code\":\"upstream_certificate\""), "{run:?}");
    }
    let elsewhere = super::tls::Tls::start(&world.network.home, &["other.example"], world.tls.address);
    let proxy = Started::new(&world.network, &["--server-ca", &elsewhere.ca, "--allow-host", "localhost"]);
    let run = curl(&proxy, &["-i", &format!("https://localhost:{}/", elsewhere.address.port())]);
    assert!(run.stdout.contains("upstream_certificate"), "for another name: {run:?}");
    assert_eq!(world.network.api.asked().len(), 0);
}

#[test]
fn a_programs_own_headers_stay_its_own() {
    let bearer = ["-H", "Authorization: Bearer abc"];
    let world = world(|asked| Answer::new(200, asked.header("authorization").unwrap_or("-")));
    let proxy = world.proxy(&["--allow-host", "localhost", "--max-spend", "1"]);
    let before = world.network.balance(SELLER);
    let run = curl(&proxy, &[&bearer[..], &["-i", &world.url("/paid")]].concat());
    assert!(
        run.stdout.contains(" 402") && run.stdout.contains("farthing-refused: credential_header_in_use"),
        "{run:?}"
    );
    let run = curl(&proxy, &[&bearer[..], &[&world.url("/free")]].concat());
    assert_eq!(run.stdout, "Bearer abc");
    // A payment of the program's own: the seller refuses this one, and the proxy does not pay another.
    let run = curl(&proxy, &["-H", "Authorization: Payment abc", "-i", &world.url("/paid")]);
    assert!(run.stdout.contains(" 402") && !run.stdout.contains("farthing-"), "{run:?}");
    assert_eq!(world.network.balance(SELLER), before);

    // A real one, made by somebody else, is good and is not paid again.
    let credential = world.network.credential(crate::network::SPONSOR_KEY, "/paid");
    let header = format!("Authorization: {credential}");
    let run = curl(&proxy, &["-H", &header, &world.url("/paid")]);
    assert_eq!(run.stdout, "-", "{run:?}");
    assert_eq!(world.network.balance(SELLER) - before, 50_000, "once");
    assert!(proxy.told().iter().all(|line| line["event"] != "payment"), "{:?}", proxy.told());
}

#[test]
fn a_payment_and_a_token_travel_together_where_the_seller_says_so() {
    let world = World::with(
        |asked| Answer::new(200, asked.header("authorization").unwrap_or("-")),
        |config| config.replace("[gateway]", "[gateway]\ncredential_header = \"Payment-Authorization\""),
    );
    let proxy = world.proxy(&["--allow-host", "localhost"]);
    let run = curl(&proxy, &["-H", "Authorization: Bearer abc", &world.url("/paid")]);
    assert_eq!(run.stdout, "Bearer abc");
    assert_eq!(proxy.told()[0]["event"], "payment");
}

/// The first line and the body of what the proxy answers to these bytes.
fn raw(proxy: &Started, request: &str) -> String {
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    // Some answers leave the connection open.
    stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
    let mut bytes = [0_u8; 4096];
    while let Ok(count @ 1..) = stream.read(&mut bytes) {
        answer.push_str(&String::from_utf8_lossy(&bytes[..count]));
        if answer.ends_with('}') {
            break;
        }
    }
    answer
}

#[test]
fn the_proxy_does_not_reach_itself_nor_what_only_the_machine_may() {
    let world = world(|_| Answer::new(200, "good"));
    let proxy = world.proxy(&["--allow-host", "169.254.169.254", "--allow-host", "localhost"]);
    let itself = proxy.address().to_owned();
    let port = itself.rsplit(':').next().unwrap();
    let cases = [
        (format!("CONNECT {itself} HTTP/1.1\r\nHost: {itself}\r\n\r\n"), "508", "proxy_loop"),
        (format!("CONNECT localhost:{port} HTTP/1.1\r\nHost: x\r\n\r\n"), "508", "proxy_loop"),
        (
            format!("GET http://{itself}/ HTTP/1.1\r\nHost: {itself}\r\nConnection: close\r\n\r\n"),
            "508",
            "proxy_loop",
        ),
        ("CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: x\r\n\r\n".into(), "403", "address_refused"),
        ("CONNECT [fe80::1]:80 HTTP/1.1\r\nHost: x\r\n\r\n".into(), "403", "address_refused"),
        ("CONNECT 0xa9fea9fe:80 HTTP/1.1\r\nHost: x\r\n\r\n".into(), "403", "address_refused"),
        (
            "GET http://169.254.169.254/latest HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".into(),
            "403",
            "address_refused",
        ),
        ("CONNECT localhost HTTP/1.1\r\nHost: x\r\n\r\n".into(), "400", "bad_connect"),
        ("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".into(), "400", "bad_target"),
        ("GET ftp://localhost/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".into(), "400", "bad_target"),
        (
            "GET http://u:p@localhost/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".into(),
            "400",
            "bad_target",
        ),
    ];
    for (request, status, code) in cases {
        let answer = raw(&proxy, &request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer}");
        assert!(answer.contains(&format!("\"code\":\"{code}\"")), "{request:?}: {answer}");
    }
}

/// The policy was asked about the host of the connection; another one in the request is not it.
#[test]
fn a_request_for_another_host_than_its_connection_is_refused() {
    let world = world(|_| Answer::new(200, "good"));
    let proxy = world.proxy(&["--allow-host", "localhost"]);
    let run = curl(&proxy, &["--http1.1", "-H", "Host: other.example", "-i", &world.url("/paid")]);
    assert!(run.stdout.contains(" 421") && run.stdout.contains("wrong_host"), "{run:?}");
    assert_eq!(world.network.api.asked().len(), 0);
}
