//! Chains: a real Tempo EVM (`anvil --network tempo`, its path in `FARTHING_ANVIL`), and the sandbox.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use alloy_primitives::{Address, U256};
use farthing_rails::tempo::{PrivateKey, TempoRpc, Transfer, UnixMs, Wallet};
use farthing_sandbox::{RunningSandbox, Sandbox, SandboxConfig};
use serde_json::{Value, json};

use super::{amount, now_ms, skipped};

/// The development keys that every local chain funds.
pub const KEYS: [&str; 3] = [
    "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
];

pub fn key(i: usize) -> PrivateKey {
    PrivateKey::from_hex(KEYS[i]).unwrap()
}

pub struct Node {
    pub url: String,
    pub chain_id: u64,
    _process: Process,
}

#[expect(dead_code, reason = "held for their Drop")]
enum Process {
    Anvil(Anvil),
    Sandbox(RunningSandbox),
}

struct Anvil(Child);

impl Drop for Anvil {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

pub async fn sandbox() -> Node {
    let sandbox = Sandbox::start(SandboxConfig::default(), now_ms).await.unwrap();
    Node { url: sandbox.url(), chain_id: sandbox.chain_id(), _process: Process::Sandbox(sandbox) }
}

/// `None`, and a loud word, where the environment names no anvil. Blocks are made when the test says so (`mine`), or when a
/// transaction comes.
#[allow(clippy::disallowed_methods, reason = "a test is the outermost ring")]
pub async fn anvil() -> Option<Node> {
    let Ok(path) = std::env::var("FARTHING_ANVIL") else {
        skipped("set FARTHING_ANVIL to an anvil that knows --network tempo");
        return None;
    };
    let chain_id: u64 = 1337;
    let seconds = (now_ms() / 1_000).to_string();
    let mut process = Command::new(path)
        .args(["--network", "tempo", "--hardfork", "T4", "--chain-id", &chain_id.to_string()])
        .args(["--timestamp", &seconds, "--port", "0", "--host", "127.0.0.1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let address =
        lines.find_map(|line| line.unwrap().strip_prefix("Listening on ").map(str::to_owned)).unwrap();
    // Its log must be drained, or it stops when the pipe is full.
    std::thread::spawn(move || lines.for_each(drop));
    Some(Node { url: format!("http://{address}"), chain_id, _process: Process::Anvil(Anvil(process)) })
}

impl Node {
    pub fn rpc(&self) -> TempoRpc {
        TempoRpc::new(&self.url).unwrap()
    }

    pub fn wallet(&self) -> Wallet {
        Wallet::new(self.chain_id, self.rpc())
    }

    pub async fn ask(&self, method: &'static str, params: Value) -> Value {
        self.rpc().request(method, params).await.unwrap()
    }

    pub async fn mine(&self, blocks: u64) {
        for _ in 0..blocks {
            self.ask("evm_mine", json!([])).await;
        }
    }

    pub async fn head(&self) -> u64 {
        let head = self.ask("eth_blockNumber", json!([])).await;
        u64::from_str_radix(head.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
    }

    /// Sends tokens from a funded account, and gives the hash.
    pub async fn send(&self, token: Address, to: Address, base: u128) -> String {
        let transfer = Transfer { token, to, amount: amount(base), memo: None };
        self.transfer(1, transfer).await
    }

    pub async fn transfer(&self, from: usize, transfer: Transfer) -> String {
        let sent = self.wallet().send(&key(from), transfer, UnixMs::from_ms(now_ms())).await.unwrap();
        format!("{:#x}", sent.hash)
    }

    pub async fn balance(&self, token: Address, of: Address) -> U256 {
        self.rpc().balance(token, of).await.unwrap()
    }
}
