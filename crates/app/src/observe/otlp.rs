//! Sends closed spans to a collector: OTLP over HTTP, as JSON, in batches, beside the requests and never in their way. What cannot
//! be sent is dropped and counted.

use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use url::Url;

use super::exported::Exported;
use super::trace::{Closed, FieldValue};
use crate::config::observe::TraceConfig;

/// Spans that wait to be sent; more are dropped.
const QUEUE: usize = 4096;
/// Spans of one message.
const BATCH: usize = 512;
/// How long spans wait for others.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a collector may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The task that sends spans.
pub struct Exporter {
    task: JoinHandle<()>,
    stop: mpsc::Sender<()>,
}

impl Exporter {
    /// Starts it; what it is to send goes into the sender.
    ///
    /// # Errors
    /// What is wrong with TLS on this machine.
    pub fn start(
        config: &TraceConfig,
        exported: Arc<Exported>,
    ) -> Result<(mpsc::Sender<Closed>, Self), reqwest::Error> {
        let headers: HeaderMap = config.headers.iter().cloned().collect();
        let client = reqwest::Client::builder()
            .default_headers(headers)
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        let (sender, closed) = mpsc::channel(QUEUE);
        let (stop, stopped) = mpsc::channel(1);
        let collector = Collector { client, url: traces_url(&config.endpoint), exported };
        let task = tokio::spawn(collector.run(closed, stopped));
        Ok((sender, Self { task, stop }))
    }

    /// Sends what is there, and ends.
    pub async fn finish(self) {
        let _ = self.stop.send(()).await;
        // A collector that does not answer does not keep a gateway from ending.
        let _ = tokio::time::timeout(PATIENCE, self.task).await;
    }
}

/// Where a collector takes traces.
fn traces_url(endpoint: &Url) -> Url {
    let mut url = endpoint.clone();
    let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url
}

struct Collector {
    client: reqwest::Client,
    url: Url,
    exported: Arc<Exported>,
}

impl Collector {
    async fn run(self, mut closed: mpsc::Receiver<Closed>, mut stopped: mpsc::Receiver<()>) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut failing = false;
        loop {
            let ends = tokio::select! {
                _ = stopped.recv() => true,
                () = tokio::time::sleep(PAUSE) => false,
            };
            while let Ok(span) = closed.try_recv() {
                batch.push(span);
                if batch.len() == BATCH {
                    failing = self.send(&mut batch, failing).await;
                }
            }
            if !batch.is_empty() {
                failing = self.send(&mut batch, failing).await;
            }
            if ends {
                return;
            }
        }
    }

    /// Sends a batch; whether that failed. One warning a failure, not one a batch.
    async fn send(&self, batch: &mut Vec<Closed>, failing: bool) -> bool {
        let message = message(batch);
        let spans = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        batch.clear();
        let sent = self.client.post(self.url.clone()).json(&message).send().await;
        let (outcome, why) = match sent.map(|answer| answer.status()) {
            Ok(status) if status.is_success() => ("exported", None),
            Ok(status) => ("dropped", Some(refusal(status))),
            // The error would name the URL, which may hold a key.
            Err(error) if error.is_timeout() => ("dropped", Some("it did not answer in time".to_owned())),
            Err(_) => ("dropped", Some("it cannot be reached".to_owned())),
        };
        self.exported.spans.with([outcome]).add(spans);
        let failed = why.is_some();
        if let Some(why) = why.filter(|_| !failing) {
            tracing::warn!(%why, "traces cannot be sent to observe.otlp_endpoint and are dropped");
        }
        failed
    }
}

fn refusal(status: StatusCode) -> String {
    format!("it answered {}", status.as_u16())
}

/// The message of OTLP for these spans.
fn message(spans: &[Closed]) -> Value {
    let spans: Vec<Value> = spans.iter().map(span).collect();
    let attributes = [
        attribute("service.name", &FieldValue::Text("farthing".to_owned())),
        attribute("service.version", &FieldValue::Text(env!("CARGO_PKG_VERSION").to_owned())),
    ];
    json!({ "resourceSpans": [{
        "resource": { "attributes": attributes },
        "scopeSpans": [{ "scope": { "name": "farthing" }, "spans": spans }],
    }] })
}

fn span(closed: &Closed) -> Value {
    // SERVER, CLIENT, INTERNAL.
    let kind = match closed.name {
        "request" => 2,
        "upstream" => 3,
        _ => 1,
    };
    let attributes: Vec<Value> = closed.fields.iter().map(|(name, value)| attribute(name, value)).collect();
    let mut span = json!({
        "traceId": format!("{:032x}", closed.trace_id),
        "spanId": format!("{:016x}", closed.span_id),
        "name": closed.name,
        "kind": kind,
        // 64-bit integers are strings in OTLP's JSON.
        "startTimeUnixNano": closed.start_ns.to_string(),
        "endTimeUnixNano": closed.end_ns.to_string(),
        "attributes": attributes,
        "status": status(closed),
    });
    if let Some(parent) = closed.parent_id {
        span["parentSpanId"] = json!(format!("{parent:016x}"));
    }
    span
}

/// An error (2) for a status of 500 and more, and for a step that failed.
fn status(closed: &Closed) -> Value {
    let failed = closed.fields.iter().any(|(name, value)| match (*name, value) {
        ("http.response.status_code", FieldValue::Number(status)) => *status >= 500,
        ("farthing.code", _) => closed.name != "request",
        _ => false,
    });
    if failed { json!({ "code": 2 }) } else { json!({}) }
}

fn attribute(name: &str, value: &FieldValue) -> Value {
    let value = match value {
        FieldValue::Text(text) => json!({ "stringValue": text }),
        FieldValue::Number(number) => json!({ "intValue": number.to_string() }),
    };
    json!({ "key": name, "value": value })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_endpoint_may_have_a_path() {
        for (given, expected) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
            ("https://x.example/otlp/", "https://x.example/otlp/v1/traces"),
        ] {
            assert_eq!(traces_url(&given.parse().unwrap()).as_str(), expected);
        }
    }

    #[test]
    fn a_span_is_written_as_otlp_has_it() {
        let closed = Closed {
            name: "upstream",
            trace_id: 0xab,
            span_id: 0xcd,
            parent_id: Some(1),
            start_ns: u64::MAX - 1,
            end_ns: u64::MAX,
            fields: vec![("http.response.status_code", FieldValue::Number(502))],
        };
        let message = message(std::slice::from_ref(&closed));
        let span = &message["resourceSpans"][0]["scopeSpans"][0]["spans"][0];
        assert_eq!(span["traceId"], "000000000000000000000000000000ab");
        assert_eq!(
            (&span["spanId"], &span["parentSpanId"]),
            (&json!("00000000000000cd"), &json!("0000000000000001"))
        );
        assert_eq!((&span["kind"], &span["endTimeUnixNano"]), (&json!(3), &json!("18446744073709551615")));
        assert_eq!(span["attributes"][0]["value"]["intValue"], "502");
        assert_eq!(span["status"]["code"], 2);
    }
}
