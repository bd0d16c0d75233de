//! The two chains: a real Tempo EVM, and our sandbox; and what the tests ask of either over JSON-RPC.

use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::process::{Process, free_port};

/// Chain id of both.
pub(crate) const CHAIN_ID: u64 = 1337;
/// PathUSD.
pub(crate) const CURRENCY: &str = "0x20c0000000000000000000000000000000000000";

/// One of the development accounts that both chains fund at genesis: public knowledge, worth nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account {
    pub(crate) key: &'static str,
    pub(crate) address: &'static str,
}

/// Pays when a counterpart is the client.
pub(crate) const THEIR_PAYER: Account = Account {
    key: "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    address: "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
};
/// Pays when we are the client.
pub(crate) const OUR_PAYER: Account = Account {
    key: "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    address: "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
};
/// Sponsors fees.
pub(crate) const SPONSOR: Account = Account {
    key: "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
    address: "0x90F79bf6EB2c4f870365E785982E1f101E93b906",
};
/// Receives.
pub(crate) const RECIPIENT: &str = "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65";
/// Receives a share.
pub(crate) const PARTNER: &str = "0x9965507D1a55bcC2695C58ba16FB37d819B0A4dc";

/// A running chain.
pub(crate) struct Chain {
    pub(crate) name: &'static str,
    pub(crate) url: String,
    _process: Process,
    http: reqwest::blocking::Client,
}

impl Chain {
    /// The sandbox always; anvil where `FARTHING_ANVIL` says where it is.
    pub(crate) fn all() -> Vec<Self> {
        let mut chains = vec![Self::sandbox()];
        match std::env::var_os("FARTHING_ANVIL") {
            Some(path) => chains.push(Self::anvil(&path)),
            None => println!("SKIPPED: interop on a real Tempo chain (FARTHING_ANVIL is not set)"),
        }
        chains
    }

    fn sandbox() -> Self {
        let port = free_port();
        let mut command = Command::new(env!("CARGO_BIN_EXE_farthing"));
        command.args(["sandbox", "--port", &port.to_string()]);
        Self::ready("sandbox", port, Process::start("farthing sandbox", &mut command))
    }

    fn anvil(path: &std::ffi::OsStr) -> Self {
        let port = free_port();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().to_string();
        let mut command = Command::new(path);
        command.args(["--network", "tempo", "--hardfork", "T4", "--chain-id", "1337", "--block-time", "1"]);
        command.args(["--timestamp", &now, "--port", &port.to_string(), "--host", "127.0.0.1"]);
        Self::ready("anvil", port, Process::start("anvil", &mut command))
    }

    fn ready(name: &'static str, port: u16, process: Process) -> Self {
        let http = reqwest::blocking::Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
        let chain = Self { name, url: format!("http://127.0.0.1:{port}"), _process: process, http };
        for _ in 0..100 {
            if chain.try_call("eth_chainId", &json!([])).is_some() {
                return chain;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{name} does not answer");
    }

    fn try_call(&self, method: &str, params: &Value) -> Option<Value> {
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let answer: Value = self.http.post(&self.url).json(&body).send().ok()?.json().ok()?;
        answer.get("result").cloned()
    }

    /// PathUSD of `account`, in base units.
    pub(crate) fn balance(&self, account: &str) -> u128 {
        let data = format!("0x70a08231{:0>64}", account.trim_start_matches("0x").to_lowercase());
        let params = json!([{ "to": CURRENCY, "data": data }, "latest"]);
        let result = self.try_call("eth_call", &params).expect("the chain answers balanceOf");
        u128::from_str_radix(result.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
    }

    /// Whether the transaction is on the chain, and succeeded.
    pub(crate) fn settled(&self, hash: &str) -> bool {
        self.try_call("eth_getTransactionReceipt", &json!([hash]))
            .is_some_and(|receipt| receipt["status"] == "0x1")
    }
}
