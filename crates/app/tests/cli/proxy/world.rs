//! A seller behind TLS, a buyer with a wallet, a proxy, and curl.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use super::tls::Tls;
use crate::network::Network;
use crate::server::{Answer, Asked};
use crate::support::{PASSWORD, Run, Running};

/// Everything that a paid call takes.
pub struct World {
    pub network: Network,
    pub tls: Tls,
    _gateway: Running,
}

/// A gateway whose realm is `localhost`, behind TLS, in front of an API that answers so.
pub fn world(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> World {
    World::with(answer, |config| config)
}

impl World {
    /// The same, with changes to the gateway's configuration.
    pub fn with(
        answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static,
        adjust: impl FnOnce(String) -> String,
    ) -> Self {
        let network = Network::new(answer);
        network.home.funded("agent", &network.sandbox);
        let text = std::fs::read_to_string(&network.config).unwrap();
        let gateway: SocketAddr = network.url("").strip_prefix("http://").unwrap().parse().unwrap();
        let text = text.replace(&format!("realm = \"{gateway}\""), "realm = \"localhost\"");
        let config = network.home.file("gateway.toml", adjust(text));
        let running = network.home.start(&["serve", "--config", &config]);
        let tls = Tls::start(&network.home, &["localhost", "127.0.0.1"], gateway);
        Self { network, tls, _gateway: running }
    }

    pub fn origin(&self) -> String {
        format!("https://localhost:{}", self.tls.address.port())
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin())
    }

    /// A proxy that knows the gateway's certificate.
    pub fn proxy(&self, args: &[&str]) -> Started {
        Started::new(&self.network, &[&["--server-ca", &self.tls.ca], args].concat())
    }
}

/// The binary, in a home.
pub fn binary(network: &Network) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farthing"));
    command.env_clear().env("FARTHING_HOME", network.home.path()).env("FARTHING_PASSWORD", PASSWORD);
    // Programs that are run by name are found, and nothing else of this machine is told.
    command.env("PATH", path());
    command
}

#[allow(clippy::disallowed_methods, reason = "tests run programs of this machine")]
pub fn path() -> String {
    std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".to_owned())
}

/// A proxy that listens. Ended when dropped.
pub struct Started {
    child: Child,
    pub ready: Value,
    stderr: PathBuf,
}

impl Started {
    pub fn new(network: &Network, args: &[&str]) -> Self {
        let number = std::fs::read_dir(network.home.path()).unwrap().count();
        let stderr = network.home.path().join(format!("proxy-{number}.err"));
        let mut child = binary(network)
            .args([
                "proxy",
                "--output",
                "json",
                "--listen",
                "127.0.0.1:0",
                "--rpc-url",
                network.sandbox.rpc(),
            ])
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|_| {
            let said = std::fs::read_to_string(&stderr).unwrap();
            panic!("{args:?} did not start: {line}{said}")
        });
        Self { child, ready, stderr }
    }

    pub fn url(&self) -> &str {
        self.ready["url"].as_str().unwrap()
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        self.url().strip_prefix("http://").unwrap()
    }

    /// The file with the proxy's certificate.
    pub fn certificate(&self) -> &str {
        self.ready["ca"]["certificate"].as_str().unwrap()
    }

    pub fn stderr(&self) -> String {
        std::fs::read_to_string(&self.stderr).unwrap()
    }

    /// Every line about a payment.
    pub fn told(&self) -> Vec<Value> {
        self.stderr().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// A program with the environment that the proxy names, and nothing else.
    pub fn program(&self, name: impl AsRef<Path>) -> Command {
        let mut command = Command::new(name.as_ref());
        command.env_clear().env("PATH", path());
        for (name, value) in self.ready["env"].as_object().unwrap() {
            command.env(name, value.as_str().unwrap());
        }
        command
    }

    /// The most memory that it had at any time, in kibibytes.
    pub fn peak_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Ends it with SIGTERM and waits; its exit code.
    pub fn terminate(mut self) -> Option<i32> {
        let status = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(status.success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a program left.
pub fn run(command: &mut Command) -> Run {
    let output = command.stdin(Stdio::null()).output().unwrap();
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        bytes: output.stdout,
    }
}

/// curl behind the proxy.
pub fn curl(proxy: &Started, args: &[&str]) -> Run {
    run(proxy.program("curl").args(["-sS", "--max-time", "60"]).args(args))
}
