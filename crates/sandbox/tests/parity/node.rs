//! The two chains under test, and how a step talks to them.

use farthing_sandbox::{RunningSandbox, Sandbox, SandboxConfig};
use serde_json::{Value, json};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The base fee of every block on both chains.
const BASE_FEE: &str = "0x4a817c800";

#[allow(clippy::disallowed_methods, reason = "a test reads the clock that it starts chains with")]
pub fn unix_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// A sandbox with the expiry window that the reference has, which is the one before hardfork T11.
pub async fn sandbox() -> RunningSandbox {
    let config = SandboxConfig { expiring_window_s: 30, ..Default::default() };
    Sandbox::start(config, unix_ms).await.unwrap()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sandbox,
    Anvil,
}

/// A chain behind a URL.
pub struct Node {
    url: String,
    kind: Kind,
    http: reqwest::Client,
}

impl Node {
    pub fn new(url: String, kind: Kind) -> Self {
        Self { url, kind, http: reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap() }
    }

    /// The whole answer to one request, result or error.
    pub async fn ask(&self, method: &str, params: &Value) -> Value {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer = self.http.post(&self.url).json(&body).send().await.unwrap();
        answer.json().await.unwrap()
    }

    async fn result(&self, method: &str, params: Value) -> Value {
        self.ask(method, &params).await["result"].take()
    }

    /// Sends a transaction and gives every chance of inclusion; the receipt, or null.
    pub async fn send(&self, raw: &str) -> Value {
        if self.kind == Kind::Anvil {
            // Anvil moves the base fee with every block; on Tempo it stands still.
            self.result("anvil_setNextBlockBaseFeePerGas", json!([BASE_FEE])).await;
        }
        let hash = self.result("eth_sendRawTransaction", json!([raw])).await;
        if hash.is_null() {
            return Value::Null;
        }
        for _ in 0..10 {
            let receipt = self.result("eth_getTransactionReceipt", json!([hash])).await;
            if !receipt.is_null() {
                return receipt;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.result("evm_mine", json!([])).await;
        self.result("eth_getTransactionReceipt", json!([hash])).await
    }
}

/// A reference chain, ended when it is dropped.
pub struct Anvil {
    child: Child,
    port: u16,
}

impl Anvil {
    #[allow(clippy::disallowed_methods, reason = "a test is told by the environment where anvil is")]
    pub async fn start(now_s: u64) -> Option<Self> {
        let binary = std::env::var_os("FARTHING_ANVIL")?;
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(binary)
            .args(["--network", "tempo", "--hardfork", "T4", "--chain-id", "1337", "--timestamp"])
            .arg(now_s.to_string())
            .args(["--port", &port.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("FARTHING_ANVIL names a program that runs");
        let anvil = Self { child, port };
        let http = reqwest::Client::new();
        for _ in 0..300 {
            let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": [] });
            if http.post(anvil.url()).json(&body).send().await.is_ok() {
                return Some(anvil);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("anvil did not answer");
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn node(&self) -> Node {
        Node::new(self.url(), Kind::Anvil)
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
