//! A process of ours: started, waited for until it says that it is ready, and ended at any instant.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

/// A running `farthing …`. It dies with its owner.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// The JSON line with which it said that it is ready.
    pub ready: Value,
}

impl Process {
    /// Starts a command that prints one JSON line when it is ready.
    ///
    /// # Errors
    /// A sentence: it cannot be started, or ends without that line.
    pub fn start(command: &mut Command) -> Result<Self, String> {
        let shown = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{shown}: {error}"))?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line);
        match read.map(|_| serde_json::from_str(&line)) {
            Ok(Ok(ready)) => Ok(Self { child, ready }),
            _ => {
                // It has failed; what it says on standard error is there to read.
                let _ = child.kill();
                let _ = child.wait();
                Err(format!("{shown} did not start: {line:?}"))
            }
        }
    }

    /// A text of the ready line; empty where there is none.
    #[must_use]
    pub fn said(&self, name: &str) -> &str {
        self.ready[name].as_str().unwrap_or_default()
    }

    /// SIGKILL, at whatever it is doing.
    pub fn kill(&mut self) {
        // It may have ended by itself, which its next start will tell.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
