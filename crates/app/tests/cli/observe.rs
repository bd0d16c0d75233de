//! What an operator sees: the metrics, the readiness, the access log, and traces as a collector gets them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::Value;

use crate::network::{Network, SELLER};
use crate::server::{Answer, Server};
use crate::support::Running;

/// Account 8 of the sandbox: its key is known to everybody.
pub const BUYER_KEY: &str = "0xdbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97";
const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A gateway that is watched, and the collector that its traces go to.
pub struct Watched {
    pub network: Network,
    pub collector: Server,
    pub gateway: Running,
}

impl Watched {
    pub fn start(network: Network, log: &str) -> Self {
        Self::start_with(network, log, "")
    }

    /// With more lines of configuration.
    pub fn start_with(network: Network, log: &str, more: &str) -> Self {
        let collector = Server::start(|_| Answer::new(200, "{}"));
        let text = std::fs::read_to_string(&network.config).unwrap();
        let watched = format!(
            "{text}\n{more}\n[admin]\nlisten = \"127.0.0.1:0\"\n[observe]\notlp_endpoint = \"{}\"\n",
            collector.url("")
        );
        let config = network.home.file("watched.toml", watched);
        let log = log.to_owned();
        let gateway = network.home.start_with(&["serve", "--config", &config], |command| {
            command.env("FARTHING_LOG", log);
        });
        Self { network, collector, gateway }
    }

    pub fn metrics(&self) -> String {
        reqwest::blocking::get(format!("{}/metrics", self.gateway.admin())).unwrap().text().unwrap()
    }

    fn present(&self, path: &str, credential: &str) -> reqwest::blocking::Response {
        let client = reqwest::blocking::Client::new();
        client.get(self.network.url(path)).header("authorization", credential).send().unwrap()
    }
}

/// The value of one series.
#[track_caller]
fn value(page: &str, series: &str) -> String {
    let line = page.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
    line.unwrap_or_else(|| panic!("no {series} in\n{page}")).rsplit_once(' ').unwrap().1.to_owned()
}

#[test]
fn a_paid_call_its_replay_and_refusals_are_counted_with_their_money() {
    let status = Arc::new(AtomicU16::new(200));
    let answered = Arc::clone(&status);
    let network = Network::new(move |_| Answer::new(answered.load(Ordering::SeqCst), "good"));
    let watched = Watched::start(network, "warn");
    let before = watched.network.balance(SELLER);
    assert_eq!(reqwest::blocking::get(watched.network.url("/free")).unwrap().status(), 200);
    assert_eq!(reqwest::blocking::get(watched.network.url("/nowhere?x=1")).unwrap().status(), 404);
    let paid = watched.network.credential(BUYER_KEY, "/paid");
    assert_eq!(watched.present("/paid", &paid).status(), 200);
    // The delivery is recorded when its last byte is read.
    let again = || watched.present("/paid", &paid).status().as_u16();
    while again() == 409 {}
    assert_eq!(again(), 403);
    status.store(500, Ordering::SeqCst);
    let owed = watched.network.credential(BUYER_KEY, "/dear");
    assert_eq!(watched.present("/dear", &owed).status(), 500);
    assert_eq!(watched.network.balance(SELLER) - before, 3_050_000);

    let page = watched.metrics();
    let token = "asset=\"PathUSD\",token=\"0x20c0000000000000000000000000000000000000\",scale=\"6\"";
    let rail = "rail=\"tempo:1337\"";
    for (series, expected) in [
        ("farthing_offers_total{route=\"* /paid\",code=\"payment_required\"}".to_owned(), "1"),
        ("farthing_requests_total{route=\"* /free\",status=\"200\",code=\"\"}".to_owned(), "1"),
        ("farthing_requests_total{route=\"none\",status=\"404\",code=\"no_such_route\"}".to_owned(), "1"),
        (format!("farthing_payments_total{{route=\"* /paid\",{rail},outcome=\"settled\"}}"), "1"),
        (format!("farthing_settled_units_total{{route=\"* /paid\",{rail},{token}}}"), "0"),
        (format!("farthing_settled_rest_base_units_total{{route=\"* /paid\",{rail},{token}}}"), "50000"),
        (format!("farthing_settled_units_total{{route=\"* /dear\",{rail},{token}}}"), "3"),
        ("farthing_deliveries_total{route=\"* /paid\",status=\"200\"}".to_owned(), "1"),
        ("farthing_credits_total{route=\"* /dear\",why=\"status\"}".to_owned(), "1"),
        ("farthing_upstream_responses_total{route=\"* /dear\",status=\"500\",code=\"\"}".to_owned(), "1"),
        ("farthing_in_flight{what=\"requests\"}".to_owned(), "0"),
        ("farthing_in_flight{what=\"verifications\"}".to_owned(), "0"),
        ("farthing_in_flight{what=\"deliveries\"}".to_owned(), "0"),
        (format!("farthing_settle_duration_seconds_count{{{rail},outcome=\"settled\"}}"), "2"),
        ("farthing_panics_total".to_owned(), "0"),
    ] {
        assert_eq!(value(&page, &series), expected, "{series}\n{page}");
    }
    assert!(!page.contains("nowhere"), "a path of a client's own is no label: {page}");
    check_page(&page);
    read_by_prometheus_client(&page);
}

/// The grammar of the text format, line by line, and its rules about families.
fn check_page(page: &str) {
    assert!(page.ends_with('\n'));
    let mut types: BTreeMap<String, String> = BTreeMap::new();
    let (mut seen, mut current) = (BTreeSet::new(), String::new());
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            assert!(matches!(kind, "counter" | "gauge" | "histogram"), "{line}");
            assert!(types.insert(name.into(), kind.into()).is_none(), "twice: {line}");
            assert!(kind != "counter" || name.ends_with("_total"), "{line}");
            current = name.to_owned();
            continue;
        }
        if let Some(rest) = line.strip_prefix("# HELP ") {
            assert!(rest.split_once(' ').is_some_and(|(_, help)| !help.is_empty()), "{line}");
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
        assert!(seen.insert(series.to_owned()), "twice: {line}");
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{line}");
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let family = of_histogram.filter(|family| types.get(*family).is_some_and(|t| t == "histogram"));
        assert_eq!(family.unwrap_or(name), current, "a family is one block: {line}");
        check_labels(labels.strip_suffix('}').unwrap());
    }
}

fn check_labels(mut labels: &str) {
    while !labels.is_empty() {
        let (name, rest) = labels.split_once("=\"").unwrap();
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{labels}");
        let mut escaped = false;
        let end = rest.char_indices().find(|(_, c)| {
            let ends = *c == '"' && !escaped;
            escaped = *c == '\\' && !escaped;
            ends
        });
        labels = &rest[end.unwrap().0 + 1..];
        labels = labels.strip_prefix(',').unwrap_or(labels);
    }
}

/// The same page read by a parser that we did not write. Where there is no Python for it, `check_page` alone has to do.
#[allow(clippy::disallowed_methods, reason = "tests find their counterparts by the environment")]
fn read_by_prometheus_client(page: &str) {
    use std::io::Write;
    let Some(python) = std::env::var_os("FARTHING_INTEROP_PYTHON") else { return };
    let script = "import sys\nfrom prometheus_client.parser import text_string_to_metric_families as read\n\
        print(sum(len(f.samples) for f in read(sys.stdin.read())))";
    let mut child = std::process::Command::new(python)
        .args(["-c", script])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let samples = page.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), samples.to_string());
}

#[test]
fn the_operators_listener_tells_readiness_and_the_public_one_has_no_metrics() {
    let watched = Watched::start(Network::new(|_| Answer::new(200, "good")), "warn");
    let get = |path: &str| reqwest::blocking::get(format!("{}{path}", watched.gateway.admin())).unwrap();
    assert_eq!(
        (get("/healthz").status(), get("/readyz").status()),
        (200.try_into().unwrap(), 200.try_into().unwrap())
    );
    assert_eq!(get("/elsewhere").status(), 404);
    for path in ["/metrics", "/readyz"] {
        assert_eq!(reqwest::blocking::get(watched.network.url(path)).unwrap().status(), 404, "{path}");
    }
    let Watched { network, gateway, .. } = watched;
    let admin = gateway.admin().to_owned();
    network.sandbox.kill();
    // An answer holds for a second.
    let mut looks = 0;
    let failing = loop {
        let ready = reqwest::blocking::get(format!("{admin}/readyz")).unwrap();
        if ready.status() == 503 {
            break ready.json::<Value>().unwrap();
        }
        looks += 1;
        assert!(looks < 1000, "a chain that is gone is not noticed");
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    assert_eq!((&failing["store"], &failing["chain"]), (&"ok".into(), &"failing".into()));
    let alive = reqwest::blocking::get(format!("{admin}/healthz")).unwrap();
    assert_eq!(alive.status(), 200, "a chain that is gone is no reason to restart");
}

#[test]
fn the_operators_listener_is_not_opened_to_everybody_by_accident() {
    let network = Network::new(|_| Answer::new(200, "good"));
    let text = std::fs::read_to_string(&network.config).unwrap();
    for (admin, exit) in [
        ("listen = \"0.0.0.0:0\"", 2),
        ("listen = \"[::]:0\"", 2),
        ("listen = \"0.0.0.0:0\"\nallow_public = true", 0),
        ("listen = \"127.0.0.1:0\"", 0),
    ] {
        let config = network.home.file("admin.toml", format!("{text}\n[admin]\n{admin}\n"));
        let run = network.home.run(&["serve", "--config", &config, "--check"]);
        assert_eq!(run.code, exit, "{admin}: {run:?}");
        assert!(exit == 0 || run.stderr.contains("admin.listen: would show"), "{run:?}");
    }
}

/// One span as the collector got it.
#[derive(Debug, Clone)]
struct Span {
    name: String,
    trace: String,
    id: String,
    parent: Option<String>,
    raw: Value,
}

/// The spans of every message, decoded. Waits until there are `at_least` so many.
fn spans(collector: &Server, at_least: usize) -> Vec<Span> {
    let mut looks = 0;
    loop {
        let mut found = Vec::new();
        for asked in collector.asked() {
            assert_eq!(asked.line, "POST /v1/traces HTTP/1.1");
            assert_eq!(asked.header("content-type"), Some("application/json"));
            let message: Value = serde_json::from_slice(&asked.body).unwrap();
            let spans = &message["resourceSpans"][0]["scopeSpans"][0]["spans"];
            let text = |span: &Value, key: &str| span[key].as_str().unwrap().to_owned();
            found.extend(spans.as_array().unwrap().iter().map(|span| Span {
                name: text(span, "name"),
                trace: text(span, "traceId"),
                id: text(span, "spanId"),
                parent: span["parentSpanId"].as_str().map(str::to_owned),
                raw: span.clone(),
            }));
        }
        if found.len() >= at_least {
            return found;
        }
        looks += 1;
        assert!(looks < 1000, "only {found:?}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[track_caller]
fn one<'a>(spans: &'a [Span], name: &str, trace: &str) -> &'a Span {
    let found: Vec<&Span> = spans.iter().filter(|s| s.name == name && s.trace == trace).collect();
    assert_eq!(found.len(), 1, "{name}: {spans:#?}");
    found[0]
}

#[test]
fn a_paid_call_is_one_trace_from_the_client_to_the_upstream() {
    let watched = Watched::start(Network::new(|_| Answer::new(200, "good")), "warn");
    let credential = watched.network.credential(BUYER_KEY, "/paid");
    let client = reqwest::blocking::Client::new();
    let sent = format!("00-{TRACE_ID}-00f067aa0ba902b7-00");
    let answer = client
        .get(watched.network.url("/paid"))
        .header("authorization", &credential)
        .header("traceparent", &sent)
        .header("tracestate", "vendor=1")
        .send()
        .unwrap();
    assert_eq!(answer.status(), 200);
    drop(answer);
    // The question for the price, and six spans of the call.
    let spans = spans(&watched.collector, 7);
    let request = one(&spans, "request", TRACE_ID);
    assert_eq!(request.parent.as_deref(), Some("00f067aa0ba902b7"));
    for name in ["verify", "claim", "settle", "deliver", "upstream"] {
        assert_eq!(one(&spans, name, TRACE_ID).parent.as_ref(), Some(&request.id), "{name}");
    }
    let attributes = request.raw["attributes"].to_string();
    for word in ["http.route", "* /paid", "http.response.status_code", "\"200\"", "\"GET\""] {
        assert!(attributes.contains(word), "{word}: {attributes}");
    }
    let time = |key: &str| request.raw[key].as_str().unwrap().parse::<u64>().unwrap();
    assert!(time("endTimeUnixNano") > time("startTimeUnixNano"));
    let asked = watched.network.api.asked();
    let upstream = one(&spans, "upstream", TRACE_ID);
    assert_eq!(asked[0].header("traceparent"), Some(&*format!("00-{TRACE_ID}-{}-01", upstream.id)));
    assert_eq!(asked[0].header("tracestate"), Some("vendor=1"));
}

#[test]
fn a_hostile_traceparent_is_ignored() {
    let watched = Watched::start(Network::new(|_| Answer::new(200, "good")), "warn");
    let client = reqwest::blocking::Client::new();
    let hostile = [
        format!("00-{TRACE_ID}-00f067aa0ba902b7-01-more"),
        format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
        TRACE_ID.repeat(100),
        "' or 1=1".to_owned(),
    ];
    for value in &hostile {
        let request = client.get(watched.network.url("/free")).header("traceparent", value);
        assert_eq!(request.header("tracestate", "evil=1").send().unwrap().status(), 200);
    }
    let spans = spans(&watched.collector, 2 * hostile.len());
    assert!(spans.iter().all(|span| span.trace != TRACE_ID && span.trace.len() == 32), "{spans:#?}");
    assert!(spans.iter().filter(|span| span.name == "request").all(|span| span.parent.is_none()));
    for asked in watched.network.api.asked() {
        let upstream = asked.header("traceparent").unwrap();
        assert!(
            spans.iter().any(|s| s.name == "upstream" && upstream == format!("00-{}-{}-01", s.trace, s.id))
        );
        assert_eq!(asked.header("tracestate"), None, "a state goes with its parent");
    }
}

#[test]
fn a_collector_that_is_gone_costs_spans_and_nothing_else() {
    let network = Network::new(|_| Answer::new(200, "good"));
    let text = std::fs::read_to_string(&network.config).unwrap();
    let gone = crate::network::free_address();
    let more = format!("[admin]\nlisten = \"127.0.0.1:0\"\n[observe]\notlp_endpoint = \"http://{gone}\"\n");
    let config = network.home.file("watched.toml", format!("{text}\n{more}"));
    let gateway = network.home.start(&["serve", "--config", &config]);
    assert_eq!(reqwest::blocking::get(network.url("/free")).unwrap().status(), 200);
    let mut looks = 0;
    loop {
        let page = reqwest::blocking::get(format!("{}/metrics", gateway.admin())).unwrap().text().unwrap();
        if page.contains("farthing_trace_spans_total{outcome=\"dropped\"} 2") {
            break;
        }
        looks += 1;
        assert!(looks < 1000, "{page}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let log = gateway.terminated();
    assert!(log.contains("traces cannot be sent"), "{log}");
    assert!(!log.contains(&gone), "the collector's URL may hold a key: {log}");
}

#[test]
fn every_request_is_one_line_of_the_access_log() {
    let watched = Watched::start(Network::new(|_| Answer::new(200, "good")), "warn,access=debug");
    let credential = watched.network.credential(BUYER_KEY, "/paid");
    assert_eq!(watched.present("/paid", &credential).status(), 200);
    assert_eq!(reqwest::blocking::get(watched.network.url("/free?a=secret")).unwrap().status(), 200);
    let Watched { network, gateway, collector } = watched;
    let log = gateway.terminated();
    drop(collector);
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let access: Vec<&Value> = lines.iter().filter(|line| line["target"] == "access").collect();
    assert_eq!(access.len(), 3, "{log}");
    let [asked, paid, free] = access[..] else { panic!("{log}") };
    assert_eq!((&asked["level"], &asked["fields"]["code"]), (&"DEBUG".into(), &"payment_required".into()));
    let fields = &paid["fields"];
    assert_eq!((&paid["level"], &fields["status"]), (&"INFO".into(), &200.into()));
    assert_eq!((&fields["paid"], &fields["asset"]), (&"0.05".into(), &"PathUSD".into()));
    assert_eq!((&fields["method"], &fields["route"]), (&"GET".into(), &"* /paid".into()));
    assert!(fields["reference"].as_str().unwrap().starts_with("0x"), "{paid}");
    assert!(fields["took_ms"].is_u64() && fields["upstream_ms"].is_u64(), "{paid}");
    assert_eq!(fields.get("payer"), None, "nobody asked for payers: {paid}");
    assert_eq!((&free["level"], &free["fields"]["route"]), (&"DEBUG".into(), &"* /free".into()));
    assert!(!log.contains("a=secret"), "{log}");
    drop(network);
}

#[test]
fn logs_can_be_text_beside_results_in_json() {
    let network = Network::new(|_| Answer::new(500, "bad"));
    let args = ["serve", "--config", &network.config, "--log-format", "text"];
    let gateway = network.home.start(&args);
    assert_eq!(reqwest::blocking::get(network.url("/free")).unwrap().status(), 500);
    let log = gateway.terminated();
    let line = log.lines().find(|line| line.contains(" access: ")).unwrap_or_else(|| panic!("{log}"));
    assert!(
        line.contains("WARN") && line.contains("status=500") && line.contains("route=\"* /free\""),
        "{line}"
    );
}
