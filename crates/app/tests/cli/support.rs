//! Runs the binary in a home of its own, with nothing of this machine's environment.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::Value;
use tempfile::TempDir;

/// What every secret of these tests begins with. No process may ever write it: [`assert_secret`] looks at all they write.
pub const CANARY: &str = "farthing-canary-";
/// The password of every wallet here.
pub const PASSWORD: &str = "farthing-canary-password-correct-horse";

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
        assert_secret("standard error", &output.stderr);
        // What a server answered is the result of a call, and a test's server may repeat what it was sent.
        if !args.contains(&"request") {
            assert_secret("standard output", &output.stdout);
        }
        Run {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            bytes: output.stdout,
        }
    }

    /// Starts a command that stays, and reads the JSON line with which it says that it is ready.
    pub fn start(&self, args: &[&str]) -> Running {
        self.start_with(args, |_| ())
    }

    pub fn start_with(&self, args: &[&str], adjust: impl FnOnce(&mut Command)) -> Running {
        let mut command = binary(self.path());
        command.args(args).args(["--output", "json"]);
        adjust(&mut command);
        let mut child = command.spawn().unwrap();
        let log = Log::read(child.stderr.take().unwrap());
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_secret("standard output", line.as_bytes());
        let ready = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("{args:?} did not start: {line} {}", log.text()));
        Running { child, ready, log }
    }

    /// A chain on a free port.
    pub fn sandbox(&self) -> Running {
        self.start(&["sandbox", "--port", "0"])
    }

    /// Starts a command that is killed before it says anything.
    pub fn spawn(&self, args: &[&str]) -> Child {
        binary(self.path()).args(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// What an account holds of the sandbox's PathUSD, in base units.
    pub fn balance(&self, who: &str, sandbox: &Running) -> u128 {
        let args = ["--token", "PathUSD", "--rpc-url", sandbox.rpc(), "--output", "json"];
        let held = self.run(&[&["wallet", "balance", who], &args[..]].concat()).ok().json();
        held["chains"][0]["balances"][0]["amount_base"].as_str().unwrap().parse().unwrap()
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
    log: Log,
}

/// What a process that stays writes on standard error, until it ends.
struct Log {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Log {
    fn read(mut stderr: ChildStderr) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let read = Arc::clone(&bytes);
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(n @ 1..) = stderr.read(&mut buffer) {
                read.lock().unwrap().extend_from_slice(&buffer[..n]);
            }
        });
        Self { bytes, reader: Some(reader) }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    /// Everything, once the process has ended.
    fn whole(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        self.text()
    }
}

/// No secret of these tests may stand in what a process wrote.
#[track_caller]
pub fn assert_secret(what: &str, written: &[u8]) {
    let text = String::from_utf8_lossy(written);
    if let Some(line) = text.lines().find(|line| line.contains(CANARY)) {
        panic!("a secret stands in {what}: {line}");
    }
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

    /// The operator's listener.
    pub fn admin(&self) -> &str {
        self.ready["admin"].as_str().unwrap()
    }

    /// What it has written on standard error so far.
    pub fn log(&self) -> String {
        self.log.text()
    }

    /// Ends it with SIGTERM, and returns all that it wrote on standard error.
    pub fn terminated(mut self) -> String {
        let status = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(status.success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{}", self.log());
        self.log.whole()
    }

    /// Ends it with SIGTERM and waits; its exit code.
    pub fn terminate(mut self) -> Option<i32> {
        let status = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(status.success());
        self.child.wait().unwrap().code()
    }

    /// Asks it to reload (SIGHUP), and waits until it has said what became of it, which is the `count`th time that it says this.
    pub fn reload(&self, says: &str, count: usize) {
        let status = Command::new("kill").args(["-HUP", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
        for _ in 0..2_000 {
            if self.log().matches(says).count() >= count {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("it never says {says:?}: {}", self.log());
    }

    /// Ends it with SIGKILL, at whatever it is doing.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Running {
    #[allow(clippy::print_stderr, reason = "shown where a test fails")]
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let log = self.log.whole();
        eprint!("{log}");
        if !std::thread::panicking() {
            assert_secret("a log", log.as_bytes());
        }
    }
}
