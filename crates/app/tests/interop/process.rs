//! Child processes that print lines: started, read with a deadline, ended by their own id.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// A running counterpart. Ended when dropped.
pub(crate) struct Process {
    child: Child,
    lines: Receiver<String>,
    _stdin: Option<ChildStdin>,
    name: String,
}

impl Process {
    /// Starts `command`, whose standard output is read line by line.
    pub(crate) fn start(name: &str, command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let stdout = child.stdout.take().unwrap();
        let stdin = child.stdin.take();
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines, _stdin: stdin, name: name.to_owned() }
    }

    /// The next line, or a panic that says who was silent.
    pub(crate) fn line(&self, within: Duration) -> String {
        match self.lines.recv_timeout(within) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => panic!("{} printed nothing within {within:?}", self.name),
            Err(RecvTimeoutError::Disconnected) => panic!("{} ended early", self.name),
        }
    }

    /// Lines until one that `wanted` picks a value from.
    pub(crate) fn line_with<T>(&self, within: Duration, wanted: impl Fn(&str) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(&self.line(within)) {
                return found;
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_path_buf()
}

/// Where this build's artefacts are: `target/`.
pub(crate) fn target_dir() -> PathBuf {
    // target/debug/farthing
    Path::new(env!("CARGO_BIN_EXE_farthing")).ancestors().nth(2).unwrap().to_path_buf()
}

/// A loopback port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
