//! Our own side: the gateway and the paying client, as processes, the way a user runs them.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::cell::Kind;
use crate::chain::{CHAIN_ID, CURRENCY, Chain, OUR_PAYER, PARTNER, RECIPIENT, SPONSOR};
use crate::peer::{PRICE, SHARE};
use crate::process::{Process, free_port};

/// A running `farthing serve`.
pub(crate) struct Gateway {
    pub(crate) url: String,
    _process: Process,
    _upstream: Upstream,
    _folder: tempfile::TempDir,
}

impl Gateway {
    /// Starts a gateway on `chain` with one route a kind.
    pub(crate) fn start(chain: &Chain) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let upstream = Upstream::start();
        let port = free_port();
        let config = folder.path().join("gateway.toml");
        std::fs::write(&config, configuration(chain, port, &upstream.url, folder.path())).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_farthing"));
        command.args(["serve", "--config"]).arg(&config).env("FARTHING_HOME", folder.path());
        command.env("INTEROP_SPONSOR_KEY", SPONSOR.key);
        let process = Process::start("farthing serve", &mut command);
        let url = format!("http://127.0.0.1:{port}");
        wait_until_healthy(&url);
        Self { url, _process: process, _upstream: upstream, _folder: folder }
    }
}

fn configuration(chain: &Chain, port: u16, upstream: &str, folder: &std::path::Path) -> String {
    let store = folder.join("claims.db");
    let price = format!("0.{PRICE:0>6}");
    let share = format!("0.{SHARE:0>6}");
    format!(
        r#"
[gateway]
listen = "127.0.0.1:{port}"
realm = "127.0.0.1"
upstream = "{upstream}"
store = "{store}"
secret = "a secret of the interop tests, 32 bytes or more"
challenge_ttl = "25s"

[tempo]
rpc_url = "{rpc}"
chain_id = {CHAIN_ID}
recipient = "{RECIPIENT}"
currency = "{CURRENCY}"

[tempo.sponsor]
key_env = "INTEROP_SPONSOR_KEY"
budget_per_day = "5.00"

[[routes]]
path = "/pull"
methods = ["GET", "POST"]
price = "{price}"

[[routes]]
path = "/push"
methods = ["GET"]
price = "{price}"

[[routes]]
path = "/proof"
methods = ["GET"]
price = "0"

[[routes]]
path = "/sponsored"
methods = ["GET"]
price = "{price}"
sponsored = true

[[routes]]
path = "/splits"
methods = ["GET"]
price = "{price}"
splits = [{{ recipient = "{PARTNER}", amount = "{share}" }}]
"#,
        store = store.display(),
        rpc = chain.url,
    )
}

fn wait_until_healthy(url: &str) {
    for _ in 0..200 {
        let healthy =
            reqwest::blocking::get(format!("{url}/healthz")).is_ok_and(|answer| answer.status().is_success());
        if healthy {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("farthing serve is not healthy");
}

/// A home folder with one wallet, whose key is the payer's.
pub(crate) struct Wallet {
    folder: tempfile::TempDir,
}

impl Wallet {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        std::fs::write(&key, OUR_PAYER.key).unwrap();
        let status = Self { folder }.command(&["wallet", "import", "payer"], Some(key));
        assert!(status.1.status.success(), "wallet import: {}", String::from_utf8_lossy(&status.1.stderr));
        status.0
    }

    fn command(self, args: &[&str], stdin: Option<PathBuf>) -> (Self, std::process::Output) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_farthing"));
        command.args(args).env("FARTHING_HOME", self.folder.path()).env("FARTHING_PASSWORD", "interop");
        command.stdin(stdin.map_or_else(Stdio::null, |path| std::fs::File::open(path).unwrap().into()));
        let output = command.output().unwrap();
        (self, output)
    }

    /// `farthing request --output json`, and what it printed.
    pub(crate) fn request(&self, chain: &Chain, url: &str, kind: Kind) -> Value {
        let mut command = Command::new(env!("CARGO_BIN_EXE_farthing"));
        command.args(["request", "--output", "json", "--key", "payer", "--max-spend", "0.05"]);
        command.args(["--rpc-url", &chain.url, "--chain-id", &CHAIN_ID.to_string()]);
        if kind == Kind::Push {
            command.args(["--mode", "push"]);
        }
        command.arg(url).env("FARTHING_HOME", self.folder.path()).env("FARTHING_PASSWORD", "interop");
        let output = command.stdin(Stdio::null()).output().unwrap();
        let stdout = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(stdout.trim()).unwrap_or_else(|_| {
            let stderr = String::from_utf8_lossy(&output.stderr);
            serde_json::json!({ "error": { "message": format!("{stdout}{stderr}") } })
        })
    }
}

/// The API behind the gateway: answers every path with JSON.
struct Upstream {
    url: String,
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl Upstream {
    fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let app = axum::Router::new().fallback(|request: axum::extract::Request| async move {
                    axum::Json(serde_json::json!({ "upstream": true, "path": request.uri().path() }))
                });
                let serve = axum::serve(listener, app).with_graceful_shutdown(async {
                    let _ = stopped.await;
                });
                let _ = serve.await;
            });
        });
        Self { url, _stop: stop }
    }
}
