//! `farthing proxy` with programs that we did not write (curl, Python, Node) against `farthing serve` behind TLS.

use std::process::Command;

use serde_json::Value;

use crate::network::{Network, SELLER};
use crate::server::Answer;
use crate::support::Home;

mod bodies;
mod budget;
mod command;
mod programs;
mod refusals;
mod tls;
mod upstream;
mod world;

use world::{Started, curl, world};

#[test]
fn curl_pays_over_http_1_and_http_2() {
    let world = world(|asked| Answer::new(200, format!("{} {}", asked.line, asked.text())));
    let proxy = world.proxy(&["--allow-host", "localhost", "--max-spend", "1"]);
    let before = world.network.balance(SELLER);
    let version = ["-w", " over %{http_version}"];
    for (flag, used) in [("--http1.1", "1.1"), ("--http2", "2")] {
        let run = curl(&proxy, &[&[flag, &world.url("/paid")], &version[..]].concat());
        assert_eq!(run.stdout, format!("GET /paid HTTP/1.1  over {used}"), "{run:?}");
        let run = curl(&proxy, &[&[flag, "-d", "x=1", "-i", &world.url("/paid")], &version[..]].concat());
        assert!(run.stdout.ends_with(&format!("POST /paid HTTP/1.1 x=1 over {used}")), "{run:?}");
        assert!(run.stdout.contains("payment-receipt: "), "it is passed on: {run:?}");
        assert!(run.stdout.contains("farthing-payment: "), "{run:?}");
    }
    assert_eq!(world.network.balance(SELLER) - before, 4 * 50_000, "once a call");
    assert!(world.network.api.asked().iter().all(|asked| asked.header("authorization").is_none()), "C19");
    let told = proxy.told();
    let payments: Vec<&Value> = told.iter().filter(|line| line["event"] == "payment").collect();
    assert_eq!(payments.len(), 4, "a line each: {told:?}");
    assert_eq!(payments[0]["paid"]["amount"], "0.05");
    assert_eq!(payments[0]["resource"], format!("{}/paid", world.origin()));
    let journal = world.network.home.run(&["payments", "--output", "json"]).ok().json();
    assert_eq!(journal["payments"].as_array().unwrap().len(), 4);
    assert_eq!(proxy.terminate(), Some(0), "SIGTERM is a clean end");
}

#[test]
fn origins_that_were_not_named_go_through_untouched() {
    let world = world(|_| Answer::new(200, "good"));
    let proxy = world.proxy(&["--allow-host", "api.example.com"]);
    let before = world.network.balance(SELLER);
    let run = curl(&proxy, &["--cacert", &world.tls.ca, "-i", &world.url("/paid")]);
    assert!(
        run.stdout.contains("HTTP/1.1 402 ") && run.stdout.contains("www-authenticate: Payment "),
        "{run:?}"
    );
    assert!(!run.stdout.contains("farthing-"), "nothing was added: {run:?}");
    let opened = curl(&proxy, &["--cacert", proxy.certificate(), &world.url("/paid")]);
    assert_eq!(opened.code, 60, "the certificate is the server's own: {opened:?}");
    let strict = world.proxy(&["--allow-host", "api.example.com", "--strict"]);
    let run = curl(&strict, &["--cacert", &world.tls.ca, "-i", &world.url("/free")]);
    assert!(run.stderr.contains("response 403"), "{run:?}");
    let plain = curl(&strict, &["-i", &world.network.url("/free")]);
    assert!(
        plain.stdout.contains(" 403 ") && plain.stdout.contains("\"code\":\"origin_refused\""),
        "{plain:?}"
    );
    assert_eq!(world.network.balance(SELLER), before);
    assert_eq!(proxy.told(), Vec::<Value>::new());
}

#[test]
fn plain_http_is_paid_on_this_machine_where_it_was_named() {
    let network = Network::new(|_| Answer::new(200, "good"));
    network.home.funded("agent", &network.sandbox);
    let _gateway = network.serve();
    let before = network.balance(SELLER);
    let named = Started::new(&network, &["--allow-host", "127.0.0.1"]);
    let run = curl(&named, &[&network.url("/paid")]);
    assert_eq!(run.stdout, "good", "{run:?}");
    assert_eq!(network.balance(SELLER) - before, 50_000);
    let other = Started::new(&network, &["--allow-host", "localhost"]);
    let run = curl(&other, &["-i", &network.url("/paid")]);
    assert!(run.stdout.contains("402 Payment Required") && !run.stdout.contains("farthing-"), "{run:?}");
    let direct = curl(&other, &["--noproxy", "*", &format!("{}/paid", other.url())]);
    assert!(direct.stdout.contains("this is a forward proxy"), "{direct:?}");
    assert_eq!(network.balance(SELLER) - before, 50_000);
}

#[test]
fn the_authority_is_private_and_good_for_the_named_hosts_only() {
    let world = world(|_| Answer::new(200, "good"));
    let home = &world.network.home;
    let proxy = world.proxy(&["--allow-host", "localhost", "--allow-host", "*.example.com"]);
    let first = home.run(&["proxy", "ca", "--output", "json"]).ok().json();
    assert_eq!(first["sha256"], proxy.ready["ca"]["sha256"]);
    assert_eq!(first["hosts"], serde_json::json!(["example.com", "localhost"]));
    let text = home.run(&["proxy", "ca"]).ok().stdout;
    assert!(text.contains(first["sha256"].as_str().unwrap()) && text.contains("ca.pem"), "{text}");
    let key = home.path().join("proxy/ca-key.pem");
    let secret = std::fs::read_to_string(&key).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::metadata(key.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
    }
    curl(&proxy, &[&world.url("/free")]).ok();
    let line = secret.lines().nth(1).unwrap();
    assert!(!format!("{text}{}{}", proxy.ready, proxy.stderr()).contains(line), "the key is never shown");

    // More hosts: the same key in a certificate that is good for them too, and for those before.
    let second = world.proxy(&["--allow-host", "more.example.net"]);
    assert_ne!(second.ready["ca"]["sha256"], proxy.ready["ca"]["sha256"]);
    assert_eq!(std::fs::read_to_string(&key).unwrap(), secret);
    let hosts = home.run(&["proxy", "ca", "--output", "json"]).ok().json()["hosts"].clone();
    assert_eq!(hosts, serde_json::json!(["example.com", "localhost", "more.example.net"]));
    curl(&proxy, &[&world.url("/free")]).ok();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        let run = home.run(&["proxy", "ca", "--output", "json"]);
        assert!(run.code == 2 && run.stderr.contains("proxy_ca_exposed"), "{run:?}");
    }
}

#[test]
fn a_shell_can_eval_what_env_prints() {
    let home = Home::new();
    let lines = home.run(&["proxy", "env", "--listen", "127.0.0.1:9999"]).ok().stdout;
    let script = format!("{lines}\necho \"$HTTPS_PROXY $http_proxy $SSL_CERT_FILE $NODE_EXTRA_CA_CERTS\"");
    let shown = Command::new("sh").args(["-c", &script]).env_clear().output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    let words: Vec<&str> = shown.split_whitespace().collect();
    assert_eq!(words[..2], ["http://127.0.0.1:9999"; 2]);
    assert!(
        words[2..].iter().all(|file| std::fs::read_to_string(file).unwrap().contains("BEGIN CERTIFICATE"))
    );
    for name in ["HTTP_PROXY", "https_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"] {
        assert!(lines.contains(&format!("export {name}=")), "{name}: {lines}");
    }
    let token = home.file("token", "0123456789abcdef\n");
    let lines = home.run(&["proxy", "env", "--token-file", &token]).ok().stdout;
    assert!(!lines.contains("0123456789abcdef"), "a token is not shown: {lines}");
    let script = format!("{lines}\necho \"$HTTPS_PROXY\"");
    let shown = Command::new("/bin/sh").args(["-c", &script]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert_eq!(shown.trim(), "http://farthing:0123456789abcdef@127.0.0.1:8403");
}
