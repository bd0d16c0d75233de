//! Traces: spans of the gate's own, with ids, handed to the exporter when they close. Only spans with the gate's target are taken,
//! and only the fields that are known here: no library's span and no client's word gets into a trace.
//!
//! A `traceparent` that a client sent says which trace a request belongs to. Whether it is recorded is decided here: a client
//! can neither ask for it nor prevent it.

use std::fmt;
use std::sync::Arc;

use farthing_gate::observe::{SPANS, TraceParent};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Span, Subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use super::exported::Exported;
use crate::clock::SystemClock;

/// Fields that are exported, and what they are called there (OpenTelemetry's semantic conventions, where they have a name).
const FIELDS: [(&str, &str); 6] = [
    ("method", "http.request.method"),
    ("route", "http.route"),
    ("status", "http.response.status_code"),
    ("code", "farthing.code"),
    ("rail", "farthing.rail"),
    ("outcome", "farthing.outcome"),
];

/// A span that has closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    pub name: &'static str,
    pub trace_id: u128,
    pub span_id: u64,
    pub parent_id: Option<u64>,
    pub start_ns: u64,
    pub end_ns: u64,
    pub fields: Vec<(&'static str, FieldValue)>,
}

/// What a field says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldValue {
    Text(String),
    Number(u64),
}

/// A span that is open, kept with it.
struct Open {
    at: TraceParent,
    parent_id: Option<u64>,
    start_ns: u64,
    begun: Instant,
    fields: Vec<(&'static str, FieldValue)>,
}

/// The layer that makes traces of the gate's spans.
pub struct Traces {
    closed: mpsc::Sender<Closed>,
    one_in: u64,
    exported: Arc<Exported>,
}

impl Traces {
    /// A layer that hands one of `one_in` traces to `closed`, and counts what finds no room there.
    pub const fn new(closed: mpsc::Sender<Closed>, one_in: u64, exported: Arc<Exported>) -> Self {
        Self { closed, one_in, exported }
    }

    /// Where a span without a parent of ours is.
    fn root(&self, client: Option<TraceParent>) -> (TraceParent, Option<u64>) {
        let sampled = self.one_in == 1 || rand::random_range(0..self.one_in.max(1)) == 0;
        let trace_id = client.map_or_else(|| rand::random::<u128>().max(1), |client| client.trace_id);
        (TraceParent { trace_id, span_id: span_id(), sampled }, client.map(|client| client.span_id))
    }
}

fn span_id() -> u64 {
    rand::random::<u64>().max(1)
}

/// Whether a span is one for traces.
pub fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target() == SPANS
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Traces {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut said = Said::default();
        attributes.record(&mut said);
        let (at, parent_id) = match span.parent().and_then(|parent| nearest(&parent)) {
            Some(parent) => (TraceParent { span_id: span_id(), ..parent }, Some(parent.span_id)),
            None => self.root(said.client),
        };
        let start_ns = SystemClock::unix_ns();
        let open = Open { at, parent_id, start_ns, begun: Instant::now(), fields: said.fields };
        span.extensions_mut().insert(open);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut said = Said::default();
        values.record(&mut said);
        if let Some(open) = span.extensions_mut().get_mut::<Open>() {
            open.fields.append(&mut said.fields);
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let Some(open) = span.extensions_mut().remove::<Open>() else { return };
        if !open.at.sampled {
            return;
        }
        let took_ns = u64::try_from(open.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let closed = Closed {
            name: span.name(),
            trace_id: open.at.trace_id,
            span_id: open.at.span_id,
            parent_id: open.parent_id,
            start_ns: open.start_ns,
            end_ns: open.start_ns.saturating_add(took_ns),
            fields: open.fields,
        };
        if self.closed.try_send(closed).is_err() {
            self.exported.spans.with(["dropped"]).add(1);
        }
    }
}

/// Where the nearest traced span is, from this one outwards.
fn nearest<'a, S: LookupSpan<'a>>(span: &SpanRef<'a, S>) -> Option<TraceParent> {
    span.scope().find_map(|span| span.extensions().get::<Open>().map(|open| open.at))
}

/// Where the current span is; none when nothing is traced.
pub fn current() -> Option<TraceParent> {
    Span::current()
        .with_subscriber(|(id, dispatch)| nearest(&dispatch.downcast_ref::<Registry>()?.span(id)?))
        .flatten()
}

/// What the fields of a span say.
#[derive(Default)]
struct Said {
    fields: Vec<(&'static str, FieldValue)>,
    client: Option<TraceParent>,
}

impl Said {
    fn say(&mut self, field: &Field, value: FieldValue) {
        if let Some((_, name)) = FIELDS.iter().find(|(known, _)| *known == field.name()) {
            self.fields.push((name, value));
        }
    }
}

impl Visit for Said {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.say(field, FieldValue::Number(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if !value.is_empty() {
            self.say(field, FieldValue::Text(value.to_owned()));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // The only field that is written by its `Display`; it has been checked by the gate.
        if field.name() == "traceparent" {
            self.client = TraceParent::parse(&format!("{value:?}"));
        }
    }
}
