//! `farthing serve` takes its file in again while it serves (SIGHUP), speaks TLS itself, and keeps to its limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use reqwest::blocking::{Client, Response};

use crate::network::{Network, SELLER};
use crate::server::Answer;

const RELOADED: &str = "\"reloaded\":";
/// A key of the sandbox's own accounts, number 3, which holds play money.
const BUYER: &str = "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6";
/// Account 8, which is not the seller.
const OTHER_BUYER: &str = "0xdbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97";
const SECRET: &str = "secret_file = \"secret\"";

fn network() -> Network {
    Network::new(|_| Answer::new(200, "good"))
}

/// Writes the configuration again, with these replacements.
fn rewrite(network: &Network, changes: &[(&str, &str)]) {
    let mut text = std::fs::read_to_string(&network.config).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replacen(from, to, 1);
    }
    network.home.file("gateway.toml", text);
}

fn ask(network: &Network, path: &str) -> Response {
    reqwest::blocking::get(network.url(path)).unwrap()
}

/// What a route costs, in base units.
fn price(network: &Network, path: &str) -> String {
    let answer = ask(network, path);
    let header = answer.headers()["www-authenticate"].to_str().unwrap();
    let challenge = farthing_protocol::Challenge::parse(header).unwrap();
    let request: serde_json::Value = challenge.request.decode().unwrap();
    request["amount"].as_str().unwrap().to_owned()
}

fn present(network: &Network, path: &str, credential: &str) -> Response {
    let client = Client::new().get(network.url(path)).header("authorization", credential);
    client.send().unwrap()
}

#[test]
fn prices_and_routes_change_while_calls_are_served() {
    let network = network();
    let gateway = network.serve();
    let live = network.credential(BUYER, "/split");
    let (done, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..3)
        .map(|_| {
            let (done, served, url) = (Arc::clone(&done), Arc::clone(&served), network.url("/free"));
            std::thread::spawn(move || {
                while !done.load(SeqCst) {
                    assert_eq!(Client::new().get(&url).send().unwrap().status(), 200);
                    served.fetch_add(1, SeqCst);
                }
            })
        })
        .collect();
    let mut last = "price = \"0.05\"".to_owned();
    for round in 1..=10 {
        let next = format!("price = \"0.{:02}\"", 10 + round);
        rewrite(&network, &[(&last, &next)]);
        last = next;
        let before = served.load(SeqCst);
        gateway.reload(RELOADED, round);
        assert_eq!(price(&network, "/paid"), format!("{}0000", 10 + round));
        while served.load(SeqCst) == before {
            std::thread::yield_now();
        }
    }
    done.store(true, SeqCst);
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    let paid = present(&network, "/split", &live);
    assert_eq!(paid.status(), 200, "a challenge from before, of a route that has not changed");
    assert_eq!(present(&network, "/split", &live).status(), 403, "once");
    assert_eq!(gateway.terminate(), Some(0));
}

/// The secret of so many rotations from now.
fn secret(nth: usize) -> String {
    format!("farthing-canary-secret-of-day-{nth:02}-0123456789abcdef")
}

#[test]
fn secrets_rotate_any_number_of_times_without_dropping_live_challenges() {
    let network = network();
    rewrite(&network, &[(SECRET, "secret_file = \"secret\"\nkeep_old_secret = true")]);
    let gateway = network.serve();
    let mut live = vec![network.credential(BUYER, "/paid")];
    for rotation in 1..=3 {
        network.home.file("secret", secret(rotation));
        gateway.reload(RELOADED, 2 * rotation - 1);
        // A reload that changes something else keeps them all.
        gateway.reload(RELOADED, 2 * rotation);
        live.push(network.credential(BUYER, "/paid"));
    }
    let last = live.pop().unwrap();
    for credential in &live[..3] {
        assert_eq!(present(&network, "/paid", credential).status(), 200);
    }
    // Whoever wants none of them kept says so.
    rewrite(&network, &[("\nkeep_old_secret = true", "")]);
    network.home.file("secret", secret(4));
    gateway.reload(RELOADED, 7);
    let refused = present(&network, "/paid", &last);
    assert_eq!(refused.status(), 402);
    assert!(refused.text().unwrap().contains("challenge_not_ours"));
}

#[test]
fn files_name_any_number_of_secrets_that_are_good_besides() {
    let network = network();
    let gateway = network.serve();
    let before = network.credential(BUYER, "/paid");
    // The next one is made known before it is used, as where several gateways have to know it.
    network.home.file("next", secret(1));
    rewrite(&network, &[(SECRET, "secret_file = \"secret\"\nprevious_secret_files = [\"next\"]")]);
    gateway.reload(RELOADED, 1);
    network.home.file("first", std::fs::read(network.home.path().join("secret")).unwrap());
    network.home.file("secret", secret(1));
    network.home.file("next", secret(2));
    rewrite(&network, &[("[\"next\"]", "[\"next\", \"first\"]")]);
    gateway.reload(RELOADED, 2);
    let between = network.credential(BUYER, "/paid");
    network.home.file("second", secret(1));
    network.home.file("secret", secret(2));
    rewrite(&network, &[("[\"next\", \"first\"]", "[\"second\", \"first\"]")]);
    gateway.reload(RELOADED, 3);
    gateway.terminate();
    let gateway = network.serve();
    for credential in [&before, &between] {
        assert_eq!(present(&network, "/paid", credential).status(), 200, "after a restart, too");
    }
    network.home.file("second", "short");
    gateway.reload("it needs at least 32", 1);
    gateway.reload("previous_secret_files[0]", 2);
}

/// The payer never pays for nothing: what a claim was made of is known by it, though nobody has the secret any more.
#[test]
fn what_is_owed_or_delivered_is_known_when_its_secret_is_gone() {
    let fails = Arc::new(AtomicBool::new(true));
    let failing = Arc::clone(&fails);
    let network = Network::new(move |_| {
        if failing.load(SeqCst) { Answer::new(500, "out of order") } else { Answer::new(200, "good") }
    });
    let mut gateway = network.serve();
    let before = network.balance(SELLER);
    let owed = network.credential(OTHER_BUYER, "/paid");
    assert_eq!(present(&network, "/paid", &owed).status(), 500);
    fails.store(false, SeqCst);
    let delivered = network.credential(OTHER_BUYER, "/paid");
    assert_eq!(present(&network, "/paid", &delivered).status(), 200);
    let unpaid = network.credential(OTHER_BUYER, "/paid");
    for rotation in 1..=2 {
        network.home.file("secret", secret(rotation));
        gateway.reload(RELOADED, rotation);
    }
    for round in ["reloaded", "restarted"] {
        let again = present(&network, "/paid", &delivered);
        assert_eq!(again.status(), 403, "{round}");
        assert!(!again.headers().contains_key("www-authenticate"), "nobody is asked to pay again");
        let forgotten = present(&network, "/paid", &unpaid);
        assert_eq!(forgotten.status(), 402, "{round}: nothing was paid for it");
        if round == "reloaded" {
            gateway.terminate();
            gateway = network.serve();
        }
    }
    // At another route it is what it was: nothing.
    assert_eq!(present(&network, "/split", &owed).status(), 402);
    let served = present(&network, "/paid", &owed);
    assert_eq!((served.status().as_u16(), served.text().unwrap().as_str()), (200, "good"));
    assert_eq!(present(&network, "/paid", &owed).status(), 403, "once");
    assert_eq!(network.balance(SELLER) - before, 100_000, "two calls were paid for");
}

#[test]
fn what_is_wrong_or_cannot_change_changes_nothing() {
    let network = network();
    let gateway = network.serve();
    let whole = std::fs::read_to_string(&network.config).unwrap();
    let listen = network.url("").replace("http://", "listen = \"") + "\"";
    let cases = [
        ("price = \"0.05\"", "price = \"free\"", "\"code\":\"config\""),
        ("[gateway]", "[gateway", "\"code\":\"config\""),
        (SECRET, "secret_file = \"nowhere\"", "cannot read"),
        (listen.as_str(), "listen = \"127.0.0.1:1\"", "gateway.listen cannot change"),
        ("store = \"claims.db\"", "store = \"other.db\"", "gateway.store cannot change"),
        ("chain_id = 1337", "chain_id = 4217", "tempo.chain_id cannot change"),
        ("rpc_url = \"http://", "rpc_url = \"http://127.0.0.1:1/", "\"exit_code\":3"),
        (
            "path = \"/dear\"\nprice = \"3\"",
            "path = \"/dear\"\nprice = \"0\"\nsponsored = true\nmodes = [\"push\"]",
            "sponsored",
        ),
        (
            "[tempo]",
            "[tls]\ncert_file = \"secret\"\nkey_file = \"secret\"\n[tempo]",
            "there is no certificate in it",
        ),
        ("[tempo]", "[limits]\nmax_headers = 1\n[tempo]", "it has to be from 10 to 1000"),
    ];
    for (from, to, says) in cases {
        rewrite(&network, &[(from, to), ("path = \"/free\"", "path = \"/other\"")]);
        gateway.reload(says, 1);
        assert_eq!(
            (ask(&network, "/free").status(), price(&network, "/paid").as_str()),
            (200.try_into().unwrap(), "50000")
        );
        network.home.file("gateway.toml", &whole);
    }
    assert!(gateway.log().contains("not reloaded, and serving as before"));
    assert!(!gateway.log().contains(RELOADED));
    gateway.reload(RELOADED, 1);
}

/// A certificate for this name; its PEM.
fn certificate(network: &Network, name: &str) -> String {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    network.home.file("chain.pem", cert.pem());
    network.home.file("key.pem", signing_key.serialize_pem());
    cert.pem()
}

fn trusting(pem: &str, network: &Network) -> Client {
    let address = network.url("").replace("http://", "").parse().unwrap();
    let certificate = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
    let client = Client::builder().tls_certs_only([certificate]).resolve("gate.example", address);
    client.no_proxy().build().unwrap()
}

#[test]
fn it_speaks_tls_and_takes_new_certificates_in() {
    let network = network();
    let first = certificate(&network, "gate.example");
    rewrite(&network, &[("[tempo]", "[tls]\ncert_file = \"chain.pem\"\nkey_file = \"key.pem\"\n[tempo]")]);
    let gateway = network.serve();
    assert!(gateway.url().starts_with("https://"), "{}", gateway.ready);
    let url = format!("https://gate.example:{}", gateway.url().rsplit_once(':').unwrap().1);
    let get = |client: &Client, path: &str| client.get(format!("{url}{path}")).send();
    let before = get(&trusting(&first, &network), "/free").unwrap();
    assert_eq!((before.status().as_u16(), before.version()), (200, reqwest::Version::HTTP_2));
    assert_eq!(get(&trusting(&first, &network), "/paid").unwrap().status(), 402);
    // Certificates are read again; one that is wrong keeps what there was.
    let second = certificate(&network, "gate.example");
    gateway.reload(RELOADED, 1);
    assert!(get(&trusting(&first, &network), "/free").is_err());
    assert_eq!(get(&trusting(&second, &network), "/free").unwrap().status(), 200);
    network.home.file("chain.pem", &first);
    gateway.reload("the key does not belong to the first certificate", 1);
    assert_eq!(get(&trusting(&second, &network), "/free").unwrap().status(), 200);
    let plain = reqwest::blocking::get(network.url("/free")).unwrap();
    assert_eq!((plain.status().as_u16(), plain.text().unwrap().contains("tls_required")), (400, true));
    assert_eq!(gateway.terminate(), Some(0));
}

#[test]
fn limits_are_kept_and_may_change() {
    let network = network();
    let limits =
        "[limits]\nchallenges_per_second = 1\nchallenges_burst = 3\ncount_private_addresses = true\n[tempo]";
    rewrite(&network, &[("[tempo]", limits)]);
    let gateway = network.serve();
    let statuses: Vec<u16> = (0..10).map(|_| ask(&network, "/paid").status().as_u16()).collect();
    assert_eq!(statuses[..3], [402, 402, 402], "{statuses:?}");
    assert!(statuses.contains(&429), "{statuses:?}");
    rewrite(&network, &[("challenges_per_second = 1\n", "challenges_per_second = 0\n")]);
    gateway.reload(RELOADED, 1);
    for _ in 0..10 {
        assert_eq!(ask(&network, "/paid").status(), 402);
    }
    assert_eq!(ask(&network, "/free").status(), 200);
}
