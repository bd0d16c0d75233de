//! Runs the binary in a home of its own, with nothing of this machine's environment.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// The password of every wallet here.
pub const PASSWORD: &str = "correct horse";

/// A home with its wallets.
pub struct Home {
    directory: TempDir,
}

/// What a run of the binary left.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    pub bytes: Vec<u8>,
}

impl Run {
    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }

    /// The same, of a run that must have gone well.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }
}

/// The binary, without the environment of whoever runs the tests.
fn binary(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farthing"));
    command
        .env_clear()
        .env("FARTHING_HOME", home)
        .env("FARTHING_PASSWORD", PASSWORD)
        .env("FARTHING_LIGHT_KEYS", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

impl Home {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file and returns its path as text.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path().join(name);
        std::fs::write(&path, content).unwrap();
        #[cfg(unix)]
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        path.display().to_string()
    }

    pub fn run(&self, args: &[&str]) -> Run {
        self.run_with(args, "", |_| ())
    }

    pub fn run_with_input(&self, args: &[&str], input: &str) -> Run {
        self.run_with(args, input, |_| ())
    }

    pub fn run_with(&self, args: &[&str], input: &str, adjust: impl FnOnce(&mut Command)) -> Run {
        let mut command = binary(self.path());
        command.args(args).stdin(Stdio::piped());
        adjust(&mut command);
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // The process may end without reading.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        Run {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            bytes: output.stdout,
        }
    }

    /// Starts a command that stays, and reads the JSON line with which it says that it is ready.
    pub fn start(&self, args: &[&str]) -> Running {
        let mut command = binary(self.path());
        let mut child =
            command.args(args).args(["--output", "json"]).stderr(Stdio::inherit()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{args:?} did not start: {line}"));
        Running { child, ready }
    }

    /// A chain on a free port.
    pub fn sandbox(&self) -> Running {
        self.start(&["sandbox", "--port", "0"])
    }

    /// Starts a command that is killed before it says anything.
    pub fn spawn(&self, args: &[&str]) -> Child {
        binary(self.path()).args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// A wallet with play money; its address.
    pub fn funded(&self, name: &str, sandbox: &Running) -> String {
        let made = self.run(&["wallet", "new", name, "--output", "json"]).ok().json();
        self.run(&["wallet", "fund", name, "--rpc-url", sandbox.rpc()]).ok();
        made["address"].as_str().unwrap().to_owned()
    }
}

/// A process that stays until it is told to end, or dropped.
pub struct Running {
    child: Child,
    pub ready: Value,
}

impl Running {
    /// The chain's port.
    pub fn rpc(&self) -> &str {
        self.ready["rpc_url"].as_str().unwrap()
    }

    /// The gateway's URL.
    pub fn url(&self) -> &str {
        self.ready["url"].as_str().unwrap()
    }

    /// Ends it with SIGTERM and waits; its exit code.
    pub fn terminate(mut self) -> Option<i32> {
        let status = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(status.success());
        self.child.wait().unwrap().code()
    }

    /// Ends it with SIGKILL, at whatever it is doing.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
