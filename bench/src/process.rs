//! A server in a process of its own, pinned to one CPU: what it costs is read from `/proc`.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::Failure;

/// The CPU that servers have to themselves.
pub(crate) const SERVER_CPU: &str = "0";
/// The CPU of the load, and of the upstream behind the servers.
pub(crate) const LOAD_CPU: &str = "1";

/// A running server. Dropped, it is ended by its process id.
pub(crate) struct Server {
    child: Child,
    /// Kept open: a server ends when nobody holds the other end of its standard input.
    _stdout: Option<BufReader<ChildStdout>>,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts `command` on this CPU and waits for the line that says where it listens: `{"ready":true,"url":"http://…"}`.
    pub(crate) fn start(command: &Command, cpu: &str) -> Result<Self, Failure> {
        let mut child = pinned(command, cpu).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let stdout = child.stdout.take().ok_or("a server without standard output")?;
        let mut stdout = BufReader::new(stdout);
        let mut line = String::new();
        stdout.read_line(&mut line)?;
        let ready: serde_json::Value = serde_json::from_str(&line)
            .map_err(|error| format!("a server did not start: {error}: {}", line.trim()))?;
        let url = ready["url"].as_str().ok_or("a server without an address")?;
        let address = url.trim_start_matches("http://").trim_end_matches('/').parse()?;
        Ok(Self { child, _stdout: Some(stdout), address })
    }

    /// Starts a program that says nothing, and waits until it listens at `address`.
    pub(crate) fn start_at(command: &Command, cpu: &str, address: SocketAddr) -> Result<Self, Failure> {
        let child = pinned(command, cpu).stdin(Stdio::null()).spawn()?;
        let server = Self { child, _stdout: None, address };
        for _ in 0..200 {
            if std::net::TcpStream::connect(address).is_ok() {
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        Err(format!("nothing listens at {address}").into())
    }

    /// CPU time of all threads of the process and of its children, in nanoseconds. A thread that has ended is not in it:
    /// servers keep theirs.
    pub(crate) fn cpu_ns(&self) -> u64 {
        processes(self.child.id()).into_iter().flat_map(threads).sum()
    }

    /// Resident memory of the process, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        status_kib(self.child.id(), "VmRSS:")
    }

    /// The most resident memory since [`Self::forget_peak`], in KiB.
    pub(crate) fn peak_kib(&self) -> u64 {
        status_kib(self.child.id(), "VmHWM:")
    }

    pub(crate) fn forget_peak(&self) -> Result<(), Failure> {
        Ok(std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for child in children(self.child.id()) {
            // A worker of nginx; its master would only be asked to start another one.
            let _ = Command::new("kill").args(["-STOP", &self.child.id().to_string()]).status();
            let _ = Command::new("kill").args(["-KILL", &child.to_string()]).status();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Moves all threads of this process to the CPU of the load.
pub(crate) fn pin_self() -> Result<(), Failure> {
    let own = std::process::id().to_string();
    let moved = Command::new("taskset")
        .args(["--all-tasks", "--cpu-list", "--pid", LOAD_CPU, &own])
        .stdout(Stdio::null())
        .status()?;
    if moved.success() { Ok(()) } else { Err("there is no second CPU for the load".into()) }
}

/// Puts this process, and all that it starts from now on, before every other program of the machine: what those do then costs a
/// measured server no more than a cold cache, and a latency no wait for a CPU. Only an administrator may.
pub(crate) fn go_before_others() -> Result<(), Failure> {
    let own = std::process::id().to_string();
    let moved = Command::new("chrt")
        .args(["--all-tasks", "--rr", "--pid", "10", &own])
        .stdout(Stdio::null())
        .status()?;
    if moved.success() { Ok(()) } else { Err("real-time priority is refused".into()) }
}

/// CPU time of all threads of this process, in nanoseconds.
pub(crate) fn own_cpu_ns() -> u64 {
    threads(std::process::id()).into_iter().sum()
}

fn pinned(command: &Command, cpu: &str) -> Command {
    let mut pinned = Command::new("taskset");
    pinned.args(["--cpu-list", cpu]).arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        pinned.current_dir(folder);
    }
    pinned
}

fn children(pid: u32) -> Vec<u32> {
    let listed = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    listed.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}

fn processes(pid: u32) -> Vec<u32> {
    let mut all = children(pid);
    all.push(pid);
    all
}

/// The time that each thread was on a CPU, in nanoseconds. `utime` and `stime` are the same in steps of 10 ms.
fn threads(pid: u32) -> Vec<u64> {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let spent = |task: &Path| std::fs::read_to_string(task.join("schedstat")).ok();
    let first = |text: String| text.split_whitespace().next()?.parse().ok();
    tasks.flatten().filter_map(|task| spent(&task.path()).and_then(first)).collect()
}

fn status_kib(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or_default()
}
