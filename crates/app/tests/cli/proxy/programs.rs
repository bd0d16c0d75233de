//! Python and Node, as they come.

use std::path::PathBuf;

use super::tls::Certificates;
use super::world::{Started, curl, run, world};
use crate::network::{Network, SELLER};
use crate::server::Answer;

const URLLIB: &str = "
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1], data=b'x=1').read().decode(), end='')
";
const REQUESTS: &str = "
import sys, requests
print(requests.post(sys.argv[1], data={'x': 1}).text, end='')
";
const HTTPX: &str = "
import os, ssl, sys, httpx
print(httpx.post(sys.argv[1], data={'x': 1}, verify=ssl.create_default_context()).text, end='')
";
/// The module `https` knows no proxy by itself: a socket through `CONNECT` is what its agents do.
const NODE: &str = "
const http = require('http'), https = require('https'), tls = require('tls');
const target = new URL(process.argv[1]), proxy = new URL(process.env.HTTPS_PROXY);
const connect = http.request({ host: proxy.hostname, port: proxy.port, method: 'CONNECT', path: target.host });
connect.on('connect', (answer, socket) => {
  const createConnection = () => tls.connect({ socket, servername: target.hostname });
  const request = https.request(target, { method: 'POST', createConnection }, (response) => {
    response.setEncoding('utf8');
    response.on('data', (text) => process.stdout.write(text));
  });
  request.end('x=1');
}).end();
";

/// The interpreter of the interop tests, where it was installed.
fn venv() -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/venv/bin/python");
    path.exists().then_some(path)
}

#[test]
fn programs_that_know_nothing_of_payments_pay() {
    let world = world(|asked| Answer::new(200, format!("{} {}", asked.line, asked.text())));
    let proxy = world.proxy(&["--allow-host", "localhost", "--max-spend", "1"]);
    let mut programs: Vec<(PathBuf, &str, &str)> =
        vec![("python3".into(), "-c", URLLIB), ("node".into(), "-e", NODE)];
    if let Some(python) = venv() {
        programs.push((python.clone(), "-c", REQUESTS));
        programs.push((python, "-c", HTTPX));
    }
    for (program, flag, script) in programs {
        let before = world.network.balance(SELLER);
        let result = run(proxy.program(&program).args([flag, script, &world.url("/paid")]));
        assert_eq!(result.stdout, "POST /paid HTTP/1.1 x=1", "{program:?} {script}: {result:?}");
        assert_eq!(world.network.balance(SELLER) - before, 50_000, "{program:?}");
    }
}

/// The gateway's own TLS, which speaks HTTP/2: towards the program and towards the server each version is tried.
#[test]
fn a_gateway_with_tls_of_its_own_is_paid() {
    let network = Network::new(|asked| Answer::new(200, format!("{} {}", asked.line, asked.text())));
    network.home.funded("agent", &network.sandbox);
    let certificates = Certificates::new(&network.home, &["localhost"]);
    let text = std::fs::read_to_string(&network.config).unwrap();
    let port = network.url("").rsplit(':').next().unwrap().to_owned();
    let text = text.replace(&format!("realm = \"127.0.0.1:{port}\""), "realm = \"localhost\"");
    let config = network.home.file("gateway.toml", text + &certificates.section(&network.home));
    let gateway = network.home.start(&["serve", "--config", &config]);
    let proxy = Started::new(
        &network,
        &["--server-ca", &certificates.ca, "--allow-host", "localhost", "--max-spend", "1"],
    );
    let before = network.balance(SELLER);
    let url = format!("https://localhost:{port}/paid");
    for flag in ["--http1.1", "--http2"] {
        let run = curl(&proxy, &[flag, "-d", "x=1", &url]);
        assert_eq!(run.stdout, "POST /paid HTTP/1.1 x=1", "{flag}: {run:?}");
    }
    assert_eq!(network.balance(SELLER) - before, 100_000);
    assert_eq!(gateway.terminate(), Some(0));
}

/// A program that does not trust the proxy is told to its owner, and nothing is paid.
#[test]
fn a_program_that_does_not_trust_the_proxy_is_told_of() {
    let world = world(|_| Answer::new(200, "good"));
    let proxy = world.proxy(&["--allow-host", "localhost"]);
    for _ in 0..2 {
        let result = run(proxy
            .program("curl")
            .env_remove("SSL_CERT_FILE")
            .env_remove("CURL_CA_BUNDLE")
            .args(["-sS", &world.url("/paid")]));
        assert_eq!(result.code, 60, "{result:?}");
    }
    // Somebody's word about the second one comes after the first: only one is told.
    curl(&proxy, &[&world.url("/free")]).ok();
    let told = proxy.told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((&told[0]["event"], &told[0]["host"]), (&"mistrust".into(), &"localhost".into()));
    assert_eq!(world.network.api.asked().len(), 1);
}
