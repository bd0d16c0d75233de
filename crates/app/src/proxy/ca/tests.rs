#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use farthing_protocol::UnixMs;
use rcgen::KeyPair;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use url::Host;

use super::{Authority, CaError, CaFiles, DAY_MS, is_ours, write_bundle};

const NOW: UnixMs = UnixMs::from_ms(1_790_000_000_000);

fn open(home: &Path, hosts: &[&str], now: UnixMs) -> Result<Authority, CaError> {
    let hosts: BTreeSet<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    Authority::open(&CaFiles::below(home), &hosts, now)
}

fn at(days: u64) -> UnixMs {
    UnixMs::from_ms(NOW.as_ms() + days * DAY_MS)
}

/// What a client that trusts `authority` says to its certificate for `host`.
fn judged(authority: &Authority, trusted: &CertificateDer<'static>, host: &str) -> Result<(), String> {
    let key = KeyPair::generate().unwrap();
    let leaf = authority.leaf(&Host::parse(host).unwrap(), &key, NOW).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).unwrap();
    let time = UnixTime::since_unix_epoch(Duration::from_millis(NOW.as_ms()));
    let chain = [authority.certificate().clone()];
    verifier.verify_server_cert(&leaf, &chain, &name, &[], time).map(drop).map_err(|error| error.to_string())
}

#[test]
fn it_is_good_for_the_named_hosts_only() {
    // Hosts that were named, host, whether a client takes it.
    let cases: [(&[&str], &str, bool); 11] = [
        (&["api.example.com"], "api.example.com", true),
        (&["api.example.com:8443"], "api.example.com", true),
        (&["*.example.com"], "a.b.example.com", true),
        (&["api.example.com"], "example.com", false),
        (&["api.example.com"], "bank.example", false),
        (&["api.example.com"], "127.0.0.1", false),
        (&["127.0.0.1"], "127.0.0.1", true),
        (&["127.0.0.1"], "127.0.0.2", false),
        (&["127.0.0.1"], "bank.example", false),
        (&["[::1]:443"], "[::1]", true),
        (&[], "bank.example", false),
    ];
    for (hosts, host, good) in cases {
        let home = tempfile::tempdir().unwrap();
        let authority = open(home.path(), hosts, NOW).unwrap();
        let said = judged(&authority, authority.certificate(), host);
        assert_eq!(said.is_ok(), good, "{hosts:?} {host}: {said:?}");
    }
}

#[test]
fn it_is_kept_and_made_anew_before_it_ends_with_the_same_key() {
    let home = tempfile::tempdir().unwrap();
    let first = open(home.path(), &["a.example"], NOW).unwrap();
    let key = std::fs::read(home.path().join("proxy/ca-key.pem")).unwrap();
    let same = open(home.path(), &[], at(300)).unwrap();
    assert_eq!(same.fingerprint(), first.fingerprint());
    assert!(first.ends_soon(at(340)) && !first.ends_soon(at(300)));
    let renewed = open(home.path(), &[], at(340)).unwrap();
    assert_ne!(renewed.fingerprint(), first.fingerprint());
    assert_eq!(renewed.ends(), at(340 + 365));
    assert_eq!(renewed.hosts(), first.hosts(), "the hosts before stay");
    assert_eq!(std::fs::read(home.path().join("proxy/ca-key.pem")).unwrap(), key);
    // A program that read the first one goes on with what the second one signs.
    let second = open(home.path(), &["b.example"], NOW).unwrap();
    assert_eq!(judged(&second, first.certificate(), "a.example"), Ok(()));
    assert!(judged(&second, first.certificate(), "b.example").is_err(), "as far as it was good for");
}

#[test]
fn many_processes_at_once_make_one_authority() {
    let home = tempfile::tempdir().unwrap();
    let hosts: Vec<String> = (0..16).map(|number| format!("h{number}.example")).collect();
    std::thread::scope(|scope| {
        for host in &hosts {
            scope.spawn(|| open(home.path(), &[host], NOW).unwrap());
        }
    });
    let last = open(home.path(), &[], NOW).unwrap();
    assert_eq!(last.hosts().len(), 16, "none is forgotten");
    for host in &hosts {
        assert_eq!(judged(&last, last.certificate(), host), Ok(()));
    }
}

#[test]
fn a_damaged_key_is_told_and_a_damaged_certificate_is_made_anew() {
    let home = tempfile::tempdir().unwrap();
    let first = open(home.path(), &["a.example"], NOW).unwrap();
    std::fs::write(home.path().join("proxy/ca.pem"), "nonsense").unwrap();
    let second = open(home.path(), &["b.example"], NOW).unwrap();
    assert_ne!(first.fingerprint(), second.fingerprint());
    let key = home.path().join("proxy/ca-key.pem");
    std::fs::write(&key, "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n").unwrap();
    let error = open(home.path(), &[], NOW).unwrap_err();
    assert_eq!(error.code(), "proxy_ca_damaged");
    assert!(!error.to_string().contains("c2VjcmV0"), "what it holds is not repeated: {error}");
}

#[test]
fn the_bundle_has_what_the_machine_trusts_and_one_of_ours() {
    let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let authority = open(home.path(), &["a.example"], NOW).unwrap();
    let older = open(other.path(), &["b.example"], NOW).unwrap();
    let machine = CertificateDer::from(vec![1, 2, 3]);
    let files = CaFiles::below(home.path());
    write_bundle(&files, &authority, &[machine.clone(), older.certificate().clone()]).unwrap();
    let text = std::fs::read_to_string(files.bundle()).unwrap();
    assert_eq!(text.matches("BEGIN CERTIFICATE").count(), 2, "{text}");
    assert!(is_ours(authority.certificate()) && is_ours(older.certificate()) && !is_ours(&machine));
}
