//! Waits until somebody asks the process to end: SIGINT (Ctrl-C) or SIGTERM.

use crate::error::CliError;

/// Returns when the process is asked to end.
///
/// # Errors
/// When signals cannot be listened for.
pub async fn asked_to_stop() -> Result<(), CliError> {
    wait().await.map_err(|error| CliError::unexpected("signals", format!("cannot listen for signals: {error}")))
}

#[cfg(unix)]
async fn wait() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn wait() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}
