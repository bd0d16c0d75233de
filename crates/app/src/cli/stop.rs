//! Learns that somebody asks the process to end: SIGINT (Ctrl-C) or SIGTERM. Asked twice, it ends at once.

use crate::error::CliError;

/// What a shell reports of a process that SIGINT ended.
const ENDED_AT_ONCE: i32 = 130;

/// Listens for signals from when it is made, so that one that comes before anybody waits is not lost.
#[derive(Debug)]
pub struct Stop(Signals);

impl Stop {
    /// Begins to listen: before a command says that it is ready.
    ///
    /// # Errors
    /// When signals cannot be listened for.
    pub fn listen() -> Result<Self, CliError> {
        let failed = |error| CliError::unexpected("signals", format!("cannot listen for signals: {error}"));
        Signals::listen().map(Self).map_err(failed)
    }

    /// Returns when the process is asked to end.
    pub async fn asked(mut self) {
        self.0.next().await;
        tokio::spawn(async move {
            self.0.next().await;
            // Whatever is cut off here is in the store, and is taken up at the next start.
            std::process::exit(ENDED_AT_ONCE);
        });
    }
}

#[cfg(unix)]
#[derive(Debug)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(not(unix))]
#[derive(Debug)]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!(%error, "stopping, because nobody could ask for it later");
        }
    }
}
