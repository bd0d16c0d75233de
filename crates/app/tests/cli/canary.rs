//! A secret of its own in every credential, key and setting, and a day of failures: none of them stands in any byte that a process
//! writes, answers, exports or counts. The gateway logs everything that can be asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use base64_simd::URL_SAFE_NO_PAD;
use reqwest::blocking::{Client, RequestBuilder, Response};
use serde_json::Value;

use crate::network::{Network, SPONSOR_KEY, free_address};
use crate::observe::{BUYER_KEY, Watched};
use crate::server::Answer;
use crate::support::{CANARY, Home, PASSWORD, assert_secret};

/// Everything that must not be said, by what it is.
#[derive(Default)]
struct Secrets {
    all: BTreeMap<String, Vec<String>>,
    /// What was looked through, to see that something was.
    bytes: usize,
}

impl Secrets {
    /// A secret, and any piece of it that is long enough to be no accident.
    fn keep(&mut self, what: &str, secret: &str) {
        let bytes = secret.as_bytes();
        let pieces = bytes.chunks(32).filter(|piece| piece.len() == 32 || bytes.len() < 32);
        // A run of zeros, or of what they look like in base64, is nobody's.
        let telling = |piece: &&[u8]| piece.iter().collect::<BTreeSet<_>>().len() > 7;
        let pieces = pieces.filter(telling);
        let pieces = pieces.map(|piece| String::from_utf8_lossy(piece).to_lowercase());
        self.all.entry(what.to_owned()).or_default().extend(pieces);
    }

    /// A credential, and in it what authorises the payment.
    fn keep_credential(&mut self, header: &str) {
        let token = header.strip_prefix("Payment ").unwrap();
        // What it shares with every other: the challenge, which is public.
        let json: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode_to_vec(token).unwrap()).unwrap();
        let mut found = 0;
        for (name, value) in json["payload"].as_object().unwrap() {
            if let Some(text) = value.as_str().filter(|text| text.len() >= 32) {
                self.keep(&format!("the payload's {name}"), text.trim_start_matches("0x"));
                found += 1;
            }
        }
        assert!(found > 0, "a payload that authorises nothing: {json}");
        self.keep("a credential", token);
    }

    #[track_caller]
    fn are_not_in(&mut self, place: &str, written: &[u8]) {
        self.bytes += written.len();
        assert_secret(place, written);
        let text = String::from_utf8_lossy(written).to_lowercase();
        for (what, pieces) in &self.all {
            for piece in pieces {
                if let Some(at) = text.find(piece.as_str()) {
                    let line = text[..at].rfind('\n').map_or(0, |start| start + 1);
                    let end = text[at..].find('\n').map_or(text.len(), |end| at + end);
                    panic!("{what} stands in {place}: {}", &text[line..end]);
                }
            }
        }
    }
}

fn canary(what: &str) -> String {
    format!("{CANARY}{what}-0123456789abcdef")
}

/// A request with secrets of a client's own everywhere, by HTTP/1.1 and HTTP/2 in turn: their libraries log different things.
fn ask(url: &str, credential: Option<&str>) -> RequestBuilder {
    static TURN: AtomicU16 = AtomicU16::new(0);
    let client = match TURN.fetch_add(1, Ordering::SeqCst) % 2 {
        0 => Client::new(),
        _ => Client::builder().http2_prior_knowledge().build().unwrap(),
    };
    let url = format!("{url}?token={}", canary("query"));
    let request = client.post(url).body(canary("body"));
    let request = request
        .header("x-api-key", canary("client-header"))
        .header("cookie", canary("cookie"))
        .header("idempotency-key", format!("{}-{:x}", canary("idempotency"), fingerprint(credential)))
        .header("tracestate", canary("state").replace('-', "_"))
        .header("user-agent", canary("agent"));
    match credential {
        Some(credential) => request.header("authorization", credential),
        None => request.header("authorization", format!("Bearer {}", canary("bearer"))),
    }
}

/// Tells one payment from another: each has an idempotency key of its own.
fn fingerprint(credential: Option<&str>) -> u64 {
    std::hash::BuildHasher::hash_one(
        &std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::new(),
        credential,
    )
}

/// A gateway whose every setting that can be secret is one.
fn watched(status: &Arc<AtomicU16>) -> Watched {
    let status = Arc::clone(status);
    let network = Network::new(move |_| Answer::new(status.load(Ordering::SeqCst), "answer"));
    let home = &network.home;
    home.file("previous", canary("previous-secret"));
    home.file("password", PASSWORD);
    let key = home.file("imported.key", SPONSOR_KEY);
    home.run(&["wallet", "import", "sponsor", "--key-file", &key]).ok();
    let rpc = network.sandbox.rpc();
    let text = std::fs::read_to_string(&network.config).unwrap();
    let text = text
        .replace(rpc, &format!("{rpc}/?key={}", canary("rpc")))
        .replace("secret_file = \"secret\"", "secret_file = \"secret\"\nprevious_secret_file = \"previous\"")
        .replace(
            "key_file = \"sponsor.key\"",
            "keystore = \"wallets/sponsor\"\npassword_file = \"password\"",
        );
    let upstream = format!("[upstream]\nheaders = {{ \"x-upstream-key\" = \"{}\" }}\n", canary("upstream"));
    let bound = "[[routes]]\npath = \"/bound\"\nprice = \"0.01\"\nbind_body = true\n";
    network.home.file("gateway.toml", format!("{text}\n{bound}\n{upstream}"));
    Watched::start(network, "trace")
}

/// Sends it, and looks through what the gateway itself says.
fn answered(secrets: &mut Secrets, request: RequestBuilder, expected: u16) -> Response {
    let answer = request.send().unwrap();
    assert_eq!(answer.status(), expected);
    let own: Vec<String> = answer
        .headers()
        .iter()
        .filter(|(name, _)| *name != "payment-receipt")
        .map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    secrets.are_not_in("an answer's headers", own.concat().as_bytes());
    if let Some(receipt) = answer.headers().get("payment-receipt") {
        secrets.keep("a receipt", receipt.to_str().unwrap());
    }
    answer
}

fn refused(secrets: &mut Secrets, request: RequestBuilder, expected: u16) {
    let body = answered(secrets, request, expected).bytes().unwrap();
    secrets.are_not_in("a problem's body", &body);
}

#[test]
fn no_secret_is_in_any_log_trace_metric_or_answer() {
    let mut secrets = Secrets::default();
    secrets.keep("the sponsor's key", SPONSOR_KEY.trim_start_matches("0x"));
    secrets.keep("the buyer's key", BUYER_KEY.trim_start_matches("0x"));
    secrets.keep("the tracestate", &canary("state").replace('-', "_"));
    let status = Arc::new(AtomicU16::new(200));
    let watched = watched(&status);
    let url = |path: &str| watched.network.url(path);

    // Nothing paid, nowhere, and free.
    refused(&mut secrets, ask(&url("/paid"), None), 402);
    refused(&mut secrets, ask(&url(&format!("/{}", canary("path"))), None), 404);
    drop(answered(&mut secrets, ask(&url("/free"), None), 200));
    // Credentials that are none.
    for broken in [
        format!("Payment {}", canary("malformed")),
        format!("Payment {}", URL_SAFE_NO_PAD.encode_to_string(canary("no-json"))),
        format!(
            "Payment {}",
            URL_SAFE_NO_PAD.encode_to_string(format!("{{\"challenge\":\"{}\"}}", canary("json")))
        ),
    ] {
        secrets.keep("a broken credential", broken.trim_start_matches("Payment "));
        refused(&mut secrets, ask(&url("/paid"), Some(&broken)), 402);
    }
    refused(&mut secrets, ask(&url("/paid"), Some("Payment a")).header("authorization", "Payment b"), 400);
    // One of every kind that is good, and again.
    for path in ["/paid", "/split", "/sponsored", "/proof"] {
        let credential = credential_for(&watched, path);
        secrets.keep_credential(&credential);
        drop(answered(&mut secrets, ask(&url(path), Some(&credential)), 200).bytes().unwrap());
        present_again(&mut secrets, &url(path), &credential);
        // For another route; and altered.
        refused(&mut secrets, ask(&url("/dear"), Some(&credential)), 402);
        let altered = format!("{}A", &credential[..credential.len() - 9]);
        secrets.keep("an altered credential", altered.trim_start_matches("Payment "));
        refused(&mut secrets, ask(&url(path), Some(&altered)), 402);
    }
    // Another body than the price was asked for.
    let credential = credential_for(&watched, "/bound");
    secrets.keep_credential(&credential);
    refused(&mut secrets, ask(&url("/bound"), Some(&credential)).body(canary("other-body")), 402);
    // The upstream fails after the payment.
    status.store(500, Ordering::SeqCst);
    let credential = credential_for(&watched, "/paid");
    secrets.keep_credential(&credential);
    drop(answered(&mut secrets, ask(&url("/paid"), Some(&credential)), 500));

    let metrics = watched.metrics();
    secrets.are_not_in("the metrics", metrics.as_bytes());
    let ready = reqwest::blocking::get(format!("{}/readyz", watched.gateway.admin())).unwrap();
    secrets.are_not_in("the readiness", &ready.bytes().unwrap());
    let said = watched.gateway.ready.to_string();
    secrets.are_not_in("standard output", said.as_bytes());

    // The chain goes away, with its key in the URL.
    let credential = credential_for(&watched, "/paid");
    secrets.keep_credential(&credential);
    let Watched { network, gateway, collector } = watched;
    network.sandbox.kill();
    refused(&mut secrets, ask(&format!("{}/paid", gateway.url()), Some(&credential)), 503);
    let log = gateway.terminated();
    assert!(log.lines().count() > 30, "little was logged: {log}");
    secrets.are_not_in("the log", log.as_bytes());
    assert_only_our_own(&log);
    let mut spans = 0;
    for asked in collector.asked() {
        spans += asked.text().matches("\"traceId\"").count();
        secrets.are_not_in("a trace", &asked.body);
    }
    assert!(spans > 50, "little was traced: {spans}");
    assert!(secrets.bytes > 50_000, "little was looked through: {}", secrets.bytes);
    assert!(secrets.all.contains_key("a receipt"));
}

/// Whatever is asked for, other people's libraries are not logged in detail: their next version may write headers.
fn assert_only_our_own(log: &str) {
    for line in log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
        let (level, target) = (line["level"].as_str().unwrap(), line["target"].as_str().unwrap());
        let is_own = target == "access" || target.starts_with("farthing");
        assert!(is_own || !matches!(level, "DEBUG" | "TRACE"), "{line}");
    }
}

/// The credential for a POST with the body of [`ask`].
fn credential_for(watched: &Watched, path: &str) -> String {
    let price = || ask(&watched.network.url(path), None).send().unwrap();
    watched.network.answer_to(BUYER_KEY, &price())
}

/// A delivered credential: refused, or answered with what was kept for its idempotency key, once its delivery has been recorded.
fn present_again(secrets: &mut Secrets, url: &str, credential: &str) {
    for _ in 0..1000 {
        let answer = ask(url, Some(credential)).send().unwrap();
        let status = answer.status();
        secrets.are_not_in("a problem's body", &answer.bytes().unwrap());
        if status == 403 || status == 200 {
            return;
        }
        assert_eq!(status, 409);
    }
    panic!("a used credential is never refused");
}

/// Configurations that are wrong in the middle of a secret, and keys that cannot be read.
#[test]
fn no_mistake_in_a_configuration_repeats_a_secret() {
    let network = Network::new(|_| Answer::new(200, "answer"));
    let home = &network.home;
    home.file("short", format!("{CANARY}short"));
    home.file("no.key", canary("no-key"));
    home.file("wrong", canary("wrong-password"));
    let key = home.file("imported.key", SPONSOR_KEY);
    home.run(&["wallet", "import", "sponsor", "--key-file", &key]).ok();
    let text = std::fs::read_to_string(&network.config).unwrap();
    let rpc = network.sandbox.rpc();
    let gone = format!("http://{}/?key={}", free_address(), canary("rpc"));
    let nowhere = format!("postgres://farthing:{}@127.0.0.1:1/farthing", canary("store"));
    let keystore = |file: &str| format!("keystore = \"wallets/sponsor\"\npassword_file = \"{file}\"");
    // What is replaced, and by what; the exit code.
    let cases: Vec<(&str, String, i32)> = vec![
        ("secret_file = \"secret\"", format!("secret = \"{CANARY}inline\""), 2),
        ("secret_file = \"secret\"", format!("secret = \"{}\"", canary("inline-but-long-enough")), 0),
        ("secret_file = \"secret\"", "secret_file = \"short\"".into(), 2),
        ("secret_file = \"secret\"", format!("secret = \"{}", canary("unclosed")), 2),
        ("secret_file = \"secret\"", format!("secret = {}", canary("unquoted")), 2),
        ("secret_file = \"secret\"", format!("secret = [\"{}\"]", canary("list")), 2),
        ("secret_file = \"secret\"", format!("sekret = \"{}\"", canary("misspelled")), 2),
        ("secret_file = \"secret\"", format!("secret_file = \"secret\"\nsecret = \"{}\"", canary("two")), 2),
        ("key_file = \"sponsor.key\"", "key_file = \"no.key\"".into(), 2),
        ("key_file = \"sponsor.key\"", format!("key = \"{}\"", canary("key")), 2),
        ("key_file = \"sponsor.key\"", keystore("wrong"), 2),
        ("key_file = \"sponsor.key\"", keystore("no-such-file"), 2),
        (rpc, gone, 3),
        (rpc, format!("ftp://x/{}", canary("rpc-scheme")), 2),
        (rpc, format!("{}://x", canary("rpc-no-url")), 2),
        ("store = \"claims.db\"", format!("store = \"{nowhere}\""), -1),
        (
            "[tempo]\n",
            format!("[upstream]\nheaders = {{ \"x-key\" = \"{}\\u0001\" }}\n[tempo]\n", canary("header")),
            2,
        ),
        (
            "[tempo]\n",
            format!("[upstream]\nheaders = {{ \"bad name\" = \"{}\" }}\n[tempo]\n", canary("header")),
            2,
        ),
        (
            "[tempo]\n",
            format!("[upstream]\nheaders = {{ \"x\" = \"{}\", x = }}\n[tempo]\n", canary("syntax")),
            2,
        ),
        ("[tempo]\n", format!("[observe]\notlp_endpoint = \"http://u:{}@x\"\n[tempo]\n", canary("otlp")), 2),
        (
            "[tempo]\n",
            format!("[observe]\notlp_endpoint = \"http://x/?key={}\"\n[tempo]\n", canary("otlp")),
            2,
        ),
    ];
    for (from, to, exit) in cases {
        assert!(text.contains(from), "{from}");
        let config = home.file("wrong.toml", text.replacen(from, &to, 1));
        for format in ["text", "json"] {
            // `run` looks for canaries in all that is written.
            let args = ["serve", "--config", &config, "--check", "--output", format];
            let run = home.run_with(&args, "", log_all);
            assert!(exit == -1 || run.code == exit, "{to}: {run:?}");
        }
    }
}

/// Everything that can be logged is.
fn log_all(command: &mut std::process::Command) {
    command.env("FARTHING_LOG", "trace");
}

/// A buyer that is told everything and says nothing: paying, failing, and with the wrong password.
#[test]
fn no_buyer_tells_a_secret() {
    let status = Arc::new(AtomicU16::new(200));
    let answers = Arc::clone(&status);
    let network = Network::new(move |_| Answer::new(answers.load(Ordering::SeqCst), "answer"));
    network.home.funded("agent", &network.sandbox);
    let _gateway = network.serve();
    let rpc = format!("{}/?key={}", network.sandbox.rpc(), canary("rpc"));
    let wrong = network.home.file("wrong", canary("wrong-password"));
    let gone = free_address();
    let header = format!("Authorization: Bearer {}", canary("bearer"));
    let body = canary("body");
    let secret_query = format!("/paid?token={}", canary("query"));
    let paid = network.url("/paid");
    let with_query = network.url(&secret_query);
    let dead = format!("http://{gone}/");
    let cases: [(&[&str], u16, i32); 6] = [
        (&[&paid, "-v"], 200, 0),
        (&[&paid, "-H", "Payment-Authorization: x", "-d", &body, "-v"], 200, -1),
        (&[&paid, "-d", &body, "-v"], 500, -1),
        // With `-v` a person's own URL is shown, as it was asked for.
        (&[&with_query, "--password-file", &wrong], 200, -1),
        (&[&dead, "-H", &header, "-d", &body, "-v"], 200, 3),
        (&[&paid, "-H", &header, "-v"], 200, -1),
    ];
    for (args, answer, exit) in cases {
        status.store(answer, Ordering::SeqCst);
        let args = [&["request", "--rpc-url", &rpc, "--key", "agent"], args].concat();
        let run = network.home.run_with(&args, "", log_all);
        assert!(exit == -1 || run.code == exit, "{args:?}: {run:?}");
        let lines: Vec<&str> = run.stderr.lines().filter(|line| line.contains("\"signature\"")).collect();
        assert!(lines.is_empty(), "{lines:?}");
    }
    let home = Home::new();
    home.run_with(
        &["wallet", "balance", "nobody", "--rpc-url", &format!("{dead}?key={}", canary("rpc"))],
        "",
        log_all,
    );
}
