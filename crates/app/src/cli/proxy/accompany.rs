//! `farthing proxy -- PROGRAM`: a program, and a proxy for as long as it runs.

use std::ffi::OsString;
use std::process::ExitStatus;

use super::Ready;
use crate::config::env;
use crate::error::{CliError, Exit};
use crate::proxy::listener;

/// Runs a program with the proxy. Its standard input, output and error are its own.
pub async fn accompany(
    ready: Ready,
    connections: usize,
    program: &OsString,
    args: &[OsString],
) -> Result<Exit, CliError> {
    let mut signals = Signals::listen()?;
    let mut command = tokio::process::Command::new(program);
    command.args(args).envs(ready.environment.pairs()).env_remove(env::PASSWORD);
    let mut child = command.spawn().map_err(|error| {
        let name = program.to_string_lossy();
        CliError::usage("program", format!("cannot run {name}: {}", crate::error::plain_io(&error)))
    })?;
    let id = child.id();
    let (ended, end) = tokio::sync::oneshot::channel();
    let waiting = tokio::spawn(async move {
        let status = loop {
            tokio::select! {
                status = child.wait() => break status,
                () = signals.terminated() => terminate(id),
            }
        };
        // The proxy may have broken before.
        let _ = ended.send(());
        status
    });
    let stop = async {
        // Sent, or dropped with its task: it is over either way.
        let _ = end.await;
    };
    let served = listener::run(ready.listener, ready.proxy, connections, stop).await;
    served.map_err(|error| CliError::unexpected("listen", format!("the listener broke: {error}")))?;
    match waiting.await {
        Ok(Ok(status)) => Ok(Exit::Program(exit_code(status))),
        Ok(Err(error)) => Err(CliError::unexpected("program", error.to_string())),
        Err(error) => Err(CliError::unexpected("program", error.to_string())),
    }
}

/// As a shell reports it: the program's own code, or 128 and the signal that ended it.
fn exit_code(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    #[cfg(not(unix))]
    let signal = None;
    let code = status.code().unwrap_or_else(|| 128 + signal.unwrap_or_default());
    u8::try_from(code).unwrap_or(Exit::Unexpected.code())
}

/// Hands the wish to end on to the program. An interrupt from a terminal reaches it by itself.
fn terminate(id: Option<u32>) {
    #[cfg(unix)]
    if let Some(pid) = id.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw) {
        // It may have ended by now.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    #[cfg(not(unix))]
    let _ = id;
}

/// Signals to a proxy that accompanies a program: the program decides what becomes of an interrupt.
struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    _interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    #[cfg(unix)]
    fn listen() -> Result<Self, CliError> {
        use tokio::signal::unix::{SignalKind, signal};
        let failed = |error| CliError::unexpected("signals", format!("cannot listen for signals: {error}"));
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            _interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
        })
    }

    #[cfg(not(unix))]
    #[allow(clippy::unnecessary_wraps, reason = "the same form as where it can fail")]
    fn listen() -> Result<Self, CliError> {
        Ok(Self {})
    }

    /// Returns when the process is asked to end.
    async fn terminated(&mut self) {
        #[cfg(unix)]
        if self.terminate.recv().await.is_some() {
            return;
        }
        std::future::pending().await
    }
}
