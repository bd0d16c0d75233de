//! Logs of the long-running commands: on standard error, as text or as JSON lines, chosen by `FARTHING_LOG`.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::env;
use crate::output::Output;

/// Starts logging. A second call changes nothing.
pub fn start(output: Output) {
    start_at(output, "warn");
}

/// Starts logging at `default` where `FARTHING_LOG` says nothing.
pub fn start_at(output: Output, default: &str) {
    let wanted = env::read(env::LOG);
    let filter = EnvFilter::try_new(wanted.as_deref().unwrap_or(default)).unwrap_or_else(|error| {
        output.warn(format_args!("{} is not understood ({error}); logging at {default}", env::LOG));
        EnvFilter::new(default)
    });
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A logger that exists already is the one that was wanted first.
    let _ = if output.is_json() {
        builder.json().try_init()
    } else {
        builder.with_ansi(std::io::stderr().is_terminal() && env::read("NO_COLOR").is_none()).try_init()
    };
}
