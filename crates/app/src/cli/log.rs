//! Logs of the long-running commands: on standard error, as text or as JSON lines, chosen by `FARTHING_LOG`.
//!
//! Other people's libraries are never logged below `info`, whatever is asked for: what they write there is theirs to decide, may be
//! headers and bodies in their next version, and those carry credentials. What this program logs holds none (C19).

use clap::ValueEnum;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry};

use crate::config::env;
use crate::observe::access;
use crate::observe::trace::{Traces, is_ours};
use crate::output::{Output, stderr_has_colors};

/// How lines of a log are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How a command logs.
pub struct Logging {
    /// What is logged where `FARTHING_LOG` says nothing.
    pub default: &'static str,
    /// How; as results are written, if nothing is said.
    pub format: Option<LogFormat>,
    /// Where spans go besides.
    pub traces: Option<Traces>,
}

/// Starts logging. A second call changes nothing.
pub fn start(output: Output) {
    start_at(output, "warn");
}

/// Starts logging at `default` where `FARTHING_LOG` says nothing.
pub fn start_at(output: Output, default: &'static str) {
    start_with(output, Logging { default, format: None, traces: None });
}

/// Starts logging.
pub fn start_with(output: Output, logging: Logging) {
    let Logging { default, format, traces } = logging;
    let wanted = env::read(env::LOG);
    let filter = EnvFilter::try_new(wanted.as_deref().unwrap_or(default)).unwrap_or_else(|error| {
        output.warn(format_args!("{} is not understood ({error}); logging at {default}", env::LOG));
        EnvFilter::new(default)
    });
    let is_json = format.map_or(output.is_json(), |format| format == LogFormat::Json);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines: Box<dyn Layer<Registry> + Send + Sync> = if is_json {
        Box::new(lines.json().with_current_span(false))
    } else {
        Box::new(lines.with_ansi(stderr_has_colors()))
    };
    let lines = lines.with_filter(filter).with_filter(filter_fn(may_be_logged));
    let traces = traces.map(|traces| traces.with_filter(filter_fn(is_ours)));
    // A logger that exists already is the one that was wanted first.
    let _ = tracing_subscriber::registry().with(lines).with(traces).try_init();
}

/// Whether a line can hold nothing that was received.
fn may_be_logged(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    *metadata.level() <= Level::INFO || target.starts_with("farthing") || target == access::TARGET
}
